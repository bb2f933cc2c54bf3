"""The scenario, and its steps one by one: transactions from PostgreSQL to Snowflake, validated, merged in batches, proved."""

import json
import os
import sys
import time
import urllib.request
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from e2e.snowflake_server import Client
from servers import Pipeline, Server, Settings, emulator, postgres
from truth import WRONG, Application

HERE = Path(__file__).resolve().parent


def must(is_right: bool, what: str) -> None:
    if not is_right:
        raise SystemExit(f"WRONG: {what}")


class Snowflake:
    """Its own client, on our tables."""

    def __init__(self, settings: Settings):
        if not settings.is_emulated:
            raise SystemExit("the figures are read from the emulator; with an account of yours look there")
        self._client, self._place = Client(settings.ports["snowflake"]), settings.place

    def rows(self, sql: str) -> list[list]:
        """`{}` in it: the schema."""
        return self._client.rows(sql.format(self._place))

    def __enter__(self) -> "Snowflake":
        return self

    def __exit__(self, *_) -> None:
        self._client.close()


def prove_rows(there: Snowflake, application: Application) -> None:
    found = {row[0]: row[1:] for row in there.rows("SELECT TRANSACTION_ID, USER_ID, AMOUNT, STATUS, CREATED_AT, UPDATED_AT FROM {}.TRANSACTIONS")}
    wanted = {key: row.texts() for key, row in application.rows.items()}
    must(found.keys() == wanted.keys(), f"{len(found.keys() - wanted.keys())} rows too many, {len(wanted.keys() - found.keys())} too few")
    differing = [key for key in wanted if found[key] != wanted[key]]
    must(not differing, f"{len(differing)} rows differ, the first is {differing[:1]}")
    (said,) = there.rows("SELECT COUNT(*), COUNT_IF(SOURCE_DB = 'postgres'), COUNT_IF(CDC_OPERATION IN ('SNAPSHOT', 'INSERT', 'UPDATE')), "
                         "COUNT_IF(CDC_TIMESTAMP IS NULL) FROM {}.TRANSACTIONS")
    must(said == [len(wanted), len(wanted), len(wanted), 0], "the columns beside the source's are not filled")
    total = sum((row.amount for row in application.rows.values()), Decimal(0))
    print(f"  {len(wanted)} rows in Snowflake are what the application wrote, every cent: {total:,.2f} in all")


def prove_views(there: Snowflake, application: Application) -> None:
    by_day, by_user = defaultdict(list), defaultdict(list)
    for row in application.rows.values():
        by_day[(row.created.date().isoformat(), row.status)].append(row)
        by_user[row.user].append(row)
    must(there.rows("SELECT COUNT(*) FROM {}.TRANSACTIONS_ACTIVE") == [[len(application.rows)]], "transactions_active has other rows")

    def same(found: list, amounts: list[Decimal]) -> bool:
        total = sum(amounts, Decimal(0))
        return found[0] == len(amounts) and Decimal(found[1]) == total and abs(Decimal(found[2]) - total / len(amounts)) <= Decimal("0.000001")

    days = there.rows("SELECT DAY, STATUS, TRANSACTIONS, TOTAL, AVERAGE, LEAST, MOST FROM {}.TRANSACTIONS_BY_DAY ORDER BY 1, 2")
    must({tuple(row[:2]) for row in days} == by_day.keys(), "transactions_by_day has other days")
    for day, status, *figures in days:
        amounts = [row.amount for row in by_day[(day, status)]]
        must(same(figures, amounts) and [Decimal(figure) for figure in figures[3:]] == [min(amounts), max(amounts)], f"{day} {status} is not true")
    users = there.rows("SELECT USER_ID, TRANSACTIONS, TOTAL, AVERAGE, LAST_AT FROM {}.TRANSACTIONS_BY_USER ORDER BY 1")
    must({row[0] for row in users} == by_user.keys(), "transactions_by_user has other users")
    for user, *figures in users:
        rows = by_user[user]
        must(same(figures, [row.amount for row in rows]) and figures[3] == max(row.created for row in rows).isoformat(), f"user {user} is not true")
    print(f"  views: {len(days)} days and states, {len(users)} users, each figure as it has to be; the first:")
    print("    " + "  ".join(str(value) for value in days[0]))
    print("    " + "  ".join(str(value) for value in users[0]))


def letters(pipeline: Pipeline) -> list[dict]:
    shown = pipeline.ask("dlq", "show", "transactions", "--values", "--json")
    return [json.loads(line) for line in shown.splitlines()]


def prove_letters(pipeline: Pipeline, application: Application) -> None:
    found = {int(letter["new"]["transaction_id"]): letter["reason"] for letter in letters(pipeline)}
    must(found.keys() == application.letters.keys(), f"{len(found)} dead letters and not {len(application.letters)}")
    for key, column in application.letters.items():
        must(found[key].startswith("validation: ") and column in found[key], f"the letter of {key} does not name {column}")
    print(f"  {len(found)} dead letters, each of a row that breaks a rule")


def mend_letters(pipeline: Pipeline, application: Application) -> None:
    """Letters about amounts go on with another amount, those about states are given up; the others stay."""
    mended = dropped = 0
    for letter in letters(pipeline):
        key, number = int(letter["new"]["transaction_id"]), str(letter["id"])
        if application.letters[key] == "amount":
            pipeline.ask("dlq", "replay", "transactions", number, "--set", "amount=0.00", "--dry-run")
            pipeline.ask("dlq", "replay", "transactions", number, "--set", "amount=0.00")
            new = letter["new"]
            application.note("mended", key, [key, int(new["user_id"]), "0.00", new["status"], new["created_at"], new["updated_at"]])
            mended += 1
        elif application.letters[key] == "status":
            pipeline.ask("dlq", "drop", "transactions", number)
            application.note("dropped", key)
            dropped += 1
    must(mended > 0 and dropped > 0, "there was nothing to mend")
    print(f"● dead letters: {mended} replayed with another amount, {dropped} dropped, {len(application.letters)} left")


def write_metrics(pipeline: Pipeline, settings: Settings) -> dict:
    metrics = json.loads(pipeline.ask("metrics", "transactions", "--json"))
    (settings.directory / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics["totals"]


def prove_metrics(pipeline: Pipeline, settings: Settings, application: Application) -> None:
    totals = write_metrics(pipeline, settings)
    must(totals["consumed"] == totals["processed"], "the counters do not add up")
    must(totals["consumed"] == totals["validated"] + totals["rejected"], "the rejected do not add up")
    must(totals["rejected"] == application.rejected, f"{totals['rejected']} rejected, and {application.rejected} were wrong")
    print("● metrics.json: " + pipeline.ask("status", "transactions", "--one-line").strip())


def health(settings: Settings) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.ports['http']}/health", timeout=10) as answer:
        return f"{answer.status} {answer.read().decode().strip()}"


def write_for(application: Application, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        application.transact()
        time.sleep(0.005)


def write_through_faults(application: Application, pipeline: Pipeline, settings: Settings, target: Server, seconds: float) -> Server:
    """The pipeline is killed twice, Snowflake once; every rule is broken at least once."""
    for column, value in WRONG:
        application.insert(**{column: value})
    write_for(application, seconds / 4)
    pipeline.kill()
    write_for(application, seconds / 4)
    pipeline.start()
    target.kill()
    write_for(application, seconds / 4)
    pipeline.kill()
    target = emulator(settings)
    pipeline.start()
    write_for(application, seconds / 4)
    return target


def scenario(settings: Settings) -> None:
    seconds = float(os.environ.get("TRANSACTIONS_SECONDS", "8"))
    pipeline, servers = Pipeline(settings), [postgres(settings)]
    try:
        servers.append(emulator(settings))
        print(f"● private PostgreSQL at 127.0.0.1:{settings.ports['postgres']}, emulator of Snowflake at 127.0.0.1:{settings.ports['snowflake']}")
        application = Application(settings.source_url, settings.directory)
        before = application.changes
        if before == 0:
            for _ in range(120):
                application.transact()
        pipeline.ask("check", str(HERE / "pipeline.yaml"))
        pipeline.start()
        pipeline.wait()
        application.is_followed = True
        print("● pipeline: public.transactions → TRANSACTIONS; " + health(settings))
        servers[1] = write_through_faults(application, pipeline, settings, servers[1], seconds)
        print(f"● application: {application.changes - before} changes; the pipeline was killed twice in between, Snowflake once")
        pipeline.wait()
        with Snowflake(settings) as there:
            print("● Snowflake, compared with what the application wrote down:")
            prove_rows(there, application)
            prove_letters(pipeline, application)
            prove_views(there, application)
            prove_metrics(pipeline, settings, application)
            mend_letters(pipeline, application)
            pipeline.wait()
            prove_rows(there, application)
            prove_letters(pipeline, application)
        pipeline.stop()
        application.close()
        print(f"transactions: OK. All is in {settings.directory}; once more: make example E=transactions; away with it: make example-reset E=transactions")
    finally:
        pipeline.kill()
        for server in reversed(servers):
            server.stop()


def setup(settings: Settings) -> None:
    """Servers that go on when we end, and the connection tested."""
    for name, start in (("postgres", postgres), ("snowflake", emulator if settings.is_emulated else None)):
        if start and not settings.runs(name):
            start(settings)
    print(f"source: {settings.source_url}\n" + Pipeline(settings).ask("check", str(HERE / "pipeline.yaml")))


def generate(settings: Settings) -> None:
    application = Application(settings.source_url, settings.directory)
    before = application.changes
    application.is_followed = Pipeline(settings).command("status", "transactions").returncode == 0
    for _ in range(int(os.environ.get("COUNT", "200"))):
        application.transact()
    print(f"{application.changes - before} changes, {len(application.letters)} of all rows are wrong")
    application.close()


def start(settings: Settings) -> None:
    if settings.runs("tailrace"):
        print("it runs")
        return
    Pipeline(settings).start()
    Pipeline(settings).wait()
    print("it runs, and all is in Snowflake")


def batch(settings: Settings) -> None:
    """Until all that is there now is in Snowflake."""
    must(not settings.runs("tailrace"), "it runs in real time: stop it first")
    print(Pipeline(settings).ask("run", str(HERE / "pipeline.yaml"), "--until-caught-up"))


def views(settings: Settings) -> None:
    with Snowflake(settings) as there:
        for name in ("TRANSACTIONS_ACTIVE", "TRANSACTIONS_BY_DAY", "TRANSACTIONS_BY_USER"):
            print(name)
            for row in there.rows(f"SELECT * FROM {{}}.{name} ORDER BY 1 LIMIT 5"):
                print("  " + "  ".join("-" if value is None else str(value) for value in row))


def replay(settings: Settings) -> None:
    """Each letter of IDS, or all, with another value where SET says one."""
    pipeline = Pipeline(settings)
    numbers = os.environ.get("IDS", "").split() or [str(letter["id"]) for letter in letters(pipeline)]
    change = ("--set", os.environ["SET"]) if os.environ.get("SET") else ()
    print(pipeline.ask("dlq", "replay", "transactions", *numbers, *change))


def clear(settings: Settings) -> None:
    pipeline = Pipeline(settings)
    numbers = [str(letter["id"]) for letter in letters(pipeline)]
    print(pipeline.ask("dlq", "drop", "transactions", *numbers) if numbers else "there are none")


STEPS = {
    "scenario": scenario, "setup": setup, "generate-test-data": generate, "create-connector": start, "batch": batch, "query-views": views,
    "check-connector": lambda settings: print(Pipeline(settings).ask("status", "transactions")),
    "test-connection": lambda settings: print(Pipeline(settings).ask("check", str(HERE / "pipeline.yaml"))),
    "health-check": lambda settings: print(health(settings)),
    "metrics": lambda settings: print(json.dumps(write_metrics(Pipeline(settings), settings), indent=2)),
    "stats": lambda settings: print(Pipeline(settings).ask("status", "transactions", "--one-line")),
    "dlq-list": lambda settings: print(Pipeline(settings).ask("dlq", "list", "transactions")),
    "dlq-count": lambda settings: print(Pipeline(settings).ask("dlq", "count", "transactions")),
    "dlq-replay": replay, "dlq-clear": clear,
    "stop": lambda settings: Pipeline(settings).stop(),
}


def main() -> None:
    step = STEPS.get(sys.argv[1])
    if step is None:
        raise SystemExit(f"there is no step {sys.argv[1]}; there are: {', '.join(STEPS)}")
    step(Settings(Path(os.environ["TRANSACTIONS_DATA"])))


main()

"""The scenario: commerce tables to Parquet in a bucket, and their history in a DuckDB file; then the proof that both are true."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import duckdb_extension_httpfs
from servers import BUCKET, Settings, endpoint, postgres, s3, source_url
from shop import COLUMNS, Shop, counts, versions

HERE = Path(__file__).resolve().parent
WAIT_S = 120


class Pipeline:
    """The program under the configuration of this example, and its commands."""

    def __init__(self, directory: Path, settings: Settings):
        self._directory, self._file = directory, HERE / "lakehouse.yaml"
        self._environment = os.environ | {"LAKEHOUSE_SOURCE": source_url(settings), "LAKEHOUSE_S3": endpoint(settings), "LAKEHOUSE_KEY": settings.key,
                                          "LAKEHOUSE_SECRET": settings.secret, "LAKEHOUSE_DATA": str(directory)}
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        with open(self._directory / "tailrace.log", "ab") as log:
            self._process = subprocess.Popen([os.environ["TAILRACE_BIN"], "run", self._file], env=self._environment, stdout=log, stderr=log)
        (self._directory / "tailrace.pid").write_text(str(self._process.pid))

    def ask(self, command: str, *arguments: str) -> str:
        done = subprocess.run([os.environ["TAILRACE_BIN"], command, "lakehouse", *arguments, "--state", self._directory / "state"], env=self._environment,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"tailrace {command} says: {done.stdout}{done.stderr}")
        return done.stdout

    def wait(self) -> None:
        """Until all that was committed by now is in both targets."""
        deadline = time.monotonic() + WAIT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            done = subprocess.run([os.environ["TAILRACE_BIN"], "wait", "lakehouse", "--timeout", "30s", "--state", self._directory / "state"],
                                  env=self._environment, capture_output=True)
            if done.returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit(f"the pipeline does not come through: see {self._directory}/tailrace.log")

    def kill(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(WAIT_S) != 0:
            raise SystemExit(f"the pipeline failed: see {self._directory}/tailrace.log")
        (self._directory / "tailrace.pid").unlink()


def lakehouse(directory: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    """DuckDB with both targets: `history`, and the bucket under its own addresses."""
    connection = duckdb.connect()
    extension = next(Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE SECRET (TYPE s3, REGION 'us-east-1', KEY_ID '{settings.key}', SECRET '{settings.secret}', "
                       f"ENDPOINT '127.0.0.1:{settings.s3_port}', URL_STYLE 'path', USE_SSL false)")
    connection.execute(f"ATTACH '{directory}/history.duckdb' AS history (READ_ONLY)")
    return connection


def figures(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    found = {}
    for table in COLUMNS:
        (found[f"lake {table}"],) = connection.execute(f"SELECT count(*) FROM read_parquet('s3://{BUCKET}/{table}/**/*.parquet')").fetchone()
        (found[f"history {table}"],) = connection.execute(f"SELECT count(*) FROM history.commerce.{table}__history").fetchone()
    return found


def must(is_right: bool, what: str) -> None:
    if not is_right:
        raise SystemExit(f"WRONG: {what}")


def prove(connection: duckdb.DuckDBPyConnection, truth: list) -> None:
    """Both targets against what the application wrote down."""
    for table, columns in COLUMNS.items():
        true = versions(truth, table)
        values = ", ".join(f"{column}::decimal(10,2)::text" if column == "price" else column for column in columns)
        rows = connection.execute(f"SELECT {values}, epoch_us(effective_from), epoch_us(effective_to), is_current "
                                  f"FROM history.commerce.{table}__history ORDER BY id, from_seq").fetchall()
        found: dict[int, list[tuple]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(row)
        must(found.keys() == true.keys(), f"{table}: other rows than the source ever had")
        for key, known in true.items():
            must(len(found[key]) == len(known), f"{table} {key}: {len(found[key])} versions, not {len(known)}")
            for version, (*row, since, until, is_current) in zip(known, found[key]):
                wanted = [f"{value:.2f}" if isinstance(value, float) else value for value in version.row]
                must(row == wanted, f"{table} {key}: a version holds something else")
                # Nobody knows since when a row is there that was copied.
                must(version.since is None or since == micros(version.since), f"{table} {key}: a version begins at another time")
                must(until == (version.until and micros(version.until)), f"{table} {key}: a version ends at another time")
                must(is_current == (version.until is None), f"{table} {key}: is_current is wrong")
        in_lake = connection.execute(f"SELECT _op, count(*) FROM read_parquet('s3://{BUCKET}/{table}/**/*.parquet') GROUP BY 1").fetchall()
        must(dict(in_lake) == counts(truth, table), f"{table}: the lake has {dict(in_lake)}, not {counts(truth, table)}")
        gone = sum(known[-1].until is not None for known in true.values())
        print(f"  {table}: {sum(map(len, true.values()))} versions of {len(true)} rows, {gone} of them deleted; {sum(counts(truth, table).values())} changes "
              "in the lake: as the source had them")


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)


def show(connection: duckdb.DuckDBPyConnection) -> None:
    for part in (HERE / "queries.sql").read_text().split("\n\n")[1:]:
        title, _, query = part.partition("\n")
        answer = connection.execute(f"SELECT COLUMNS(*)::text FROM ({query.strip().rstrip(';')})")
        print(f"  {title.removeprefix('-- ')}: {', '.join(column[0] for column in answer.description)}")
        for row in answer.fetchall():
            print("    " + "  ".join("-" if value is None else str(value) for value in row))


def write_for(shop: Shop, seconds: float) -> tuple[int, int]:
    """Transactions and changes that were made."""
    transactions = changes = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        changes += shop.transact()
        transactions += 1
        time.sleep(0.005)
    return transactions, changes


def run(directory: Path, settings: Settings, pipeline: Pipeline, seconds: float) -> None:
    shop = Shop(source_url(settings), directory)
    pipeline.start()
    pipeline.wait()
    print("● pipeline: commerce.products and commerce.users → s3://lakehouse and history.duckdb")
    beginning = datetime.now(timezone.utc)
    transactions, changes = write_for(shop, seconds / 2)
    pipeline.kill()
    pipeline.start()
    more, further = write_for(shop, seconds / 2)
    print(f"● writer: {changes + further} changes in {transactions + more} transactions; the pipeline was killed in between and started again")
    pipeline.wait()
    metrics = json.loads(pipeline.ask("metrics", "--json"))
    (directory / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    totals = metrics["totals"]
    print(f"● metrics.json: {totals['consumed']} consumed, {totals['applied']} applied, {totals['dead_lettered']} dead letters, by both targets together")
    must(totals["consumed"] == totals["processed"] and totals["rejected"] == 0, "the counters do not add up")
    pipeline.stop()
    with lakehouse(directory, settings) as connection:
        print("● the targets, compared with what the writer wrote down:")
        prove(connection, shop.truth())
        before = figures(connection)
        print("● queries.sql:")
        show(connection)
    pipeline.start()
    pipeline.wait()
    pipeline.ask("rewind", "--sink", "lake", "--to", beginning.isoformat())
    pipeline.wait()
    pipeline.stop()
    with lakehouse(directory, settings) as connection:
        must(figures(connection) == before, f"a second delivery changed the figures from {before} to {figures(connection)}")
    print("● all changes of this run delivered to the lake once more: nothing changed")
    shop.close()
    print(f"lakehouse: OK. All is in {directory}; once more: make example E=lakehouse; away with it: make example-reset E=lakehouse")


def main() -> None:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    settings = Settings(directory)
    pipeline = Pipeline(directory, settings)
    servers = [postgres(directory, settings)]
    try:
        servers.append(s3(directory, settings))
        print(f"● private PostgreSQL at 127.0.0.1:{settings.postgres_port}, S3 at 127.0.0.1:{settings.s3_port}")
        run(directory, settings, pipeline, float(os.environ.get("LAKEHOUSE_SECONDS", "6")))
    finally:
        pipeline.kill()
        for server in reversed(servers):
            server.stop()


main()

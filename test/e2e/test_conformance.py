"""What every kind of target has to get right, shown on each of them in the same way."""

import functools
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from e2e import kinds
from e2e.cluster import Cluster
from e2e.tailrace import OUTCOMES, Exit, Process, Tailrace
from e2e.targets import TARGETS, ServerUnderTest, TargetUnderTest

SERVERS = [target for target in TARGETS if issubclass(target, ServerUnderTest)]
DOWN_S = float(os.environ.get("CONFORMANCE_DOWN_S", "2"))
ITEMS = ("id", "n", "t")


class Followed:
    """A database with one table of three columns, followed into one target."""

    def __init__(self, cluster: Cluster, database: str, tailrace: Tailrace, target: TargetUnderTest):
        self.cluster, self.database, self.tailrace, self.target = cluster, database, tailrace, target
        self.process: Process | None = None
        self.execute("CREATE TABLE items (id int PRIMARY KEY, n bigint, t text)",
                     "INSERT INTO items SELECT g, g * 10, 'text ' || g FROM generate_series(1, 500) g",
                     "CREATE PUBLICATION tailrace_shop FOR ALL TABLES")

    def execute(self, *statements: str) -> None:
        self.cluster.execute(*statements, database=self.database)

    def start(self, *options: str, **environment: str) -> None:
        file = self.tailrace.directory / "shop.yaml"
        file.write_text(
            f'name: shop\nsource:\n  postgres: {{url: "{self.cluster.url(self.database)}"}}\n'
            f"log:\n  journal: {{path: {self.tailrace.state}}}\nsinks:\n  it:\n    {self.target.kind}: {{{self.target.options()}}}\n{self.target.beside}"
            "    breaker: {failures: 20, recovery: 1s}\n    retry: {longest: 500ms}\n")
        self.process = self.tailrace.start("run", file, *options, environment=environment)

    def wait(self) -> None:
        answer = self.tailrace.wait(60)
        assert answer.code == Exit.DONE, f"{answer}\n{self.process.err()}"
        deadline = time.monotonic() + 60
        while self.sink()["rows_incomplete"] > 0:
            assert time.monotonic() < deadline, "rows stay incomplete"
            time.sleep(0.1)

    def sink(self) -> dict:
        return self.tailrace.status()["sinks"][0]

    def stop(self) -> None:
        assert self.process.stop() == Exit.DONE, self.process.err()

    def assert_same(self, table: str = "items", columns: tuple[str, ...] = ITEMS, schema: str = "public") -> None:
        """Waits, stops where the target is read only then, and compares."""
        self.settle()
        self.compare(table, columns, schema)

    def settle(self) -> None:
        """Waits until all is there, and stops where the target is read only then."""
        self.wait()
        sink = self.sink()
        assert sink["rows_received"] == sum(sink[f"rows_{outcome}"] for outcome in OUTCOMES), sink
        if not self.target.read_while_running:
            self.stop()

    def compare(self, table: str = "items", columns: tuple[str, ...] = ITEMS, schema: str = "public") -> None:
        listed = ", ".join('"{}"::text'.format(column.replace('"', '""')) for column in columns)
        quoted = '.'.join('"{}"'.format(name.replace('"', '""')) for name in (schema, table))
        there = self.cluster.query(f"SELECT {listed} FROM {quoted}", database=self.database)
        here = self.target.rows(schema, table, columns)
        assert sorted(here, key=repr) == sorted(there, key=repr)


class Writer(threading.Thread):
    """Changes the items all the time, with a seed of its own, until stopped."""

    def __init__(self, followed: Followed, seed: int):
        super().__init__(daemon=True)
        self.followed, self.chance, self.stopping = followed, random.Random(seed), threading.Event()

    def run(self) -> None:
        with psycopg.connect(self.followed.cluster.url(self.followed.database), autocommit=True) as connection:
            while not self.stopping.is_set():
                k = self.chance.randrange(1, 700)
                connection.execute(self.chance.choice([
                    f"INSERT INTO items VALUES ({k}, 1, 'new') ON CONFLICT (id) DO UPDATE SET n = items.n + 1",
                    f"UPDATE items SET t = t || 'x', n = n + 1 WHERE id BETWEEN {k} AND {k + 20}",
                    f"DELETE FROM items WHERE id = {k}",
                    f"UPDATE items SET id = id + 10000 WHERE id = {k} AND NOT EXISTS (SELECT FROM items WHERE id = {k + 10000})",
                    f"INSERT INTO items SELECT g, {k}, 'bulk' FROM generate_series({k * 1000}, {k * 1000 + 200}) g ON CONFLICT DO NOTHING",
                ]))
                time.sleep(0.005 if self.followed.target.is_fast else 0.1)

    def __enter__(self) -> "Writer":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        self.join()


@pytest.fixture
def followed(request: pytest.FixtureRequest, cluster: Cluster, database: str, tailrace: Tailrace, tmp_path: Path) -> Iterator[Followed]:
    target = request.param(tmp_path)
    yield Followed(cluster, database, tailrace, target)
    target.close()


def each(targets) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("followed", targets, indirect=True, ids=lambda target: target.__name__)


def test_every_kind_of_sink_is_in_this_suite(tailrace: Tailrace):
    schema = json.loads(tailrace.command("docs", "schema").out)
    kinds = {choice["required"][0] for choice in schema["properties"]["sinks"]["additionalProperties"]["oneOf"]}
    assert kinds == {target.kind for target in TARGETS}


@each(TARGETS)
def test_rows_follow_every_change_in_its_order(followed: Followed):
    followed.start()
    followed.wait()
    followed.execute("UPDATE items SET n = n + 1 WHERE id % 3 = 0", "DELETE FROM items WHERE id % 7 = 0",
                     "INSERT INTO items SELECT g, g, NULL FROM generate_series(1000, 1100) g",
                     "BEGIN; INSERT INTO items VALUES (5000, 1, 'a'); UPDATE items SET t = 'b' WHERE id = 5000; DELETE FROM items WHERE id = 5000; "
                     "INSERT INTO items VALUES (5000, 2, 'c'); COMMIT")
    followed.assert_same()


@each(TARGETS)
def test_keys_change_and_are_used_again_in_one_transaction(followed: Followed):
    followed.start()
    followed.wait()
    followed.execute("BEGIN; UPDATE items SET id = 9001 WHERE id = 1; UPDATE items SET id = 1 WHERE id = 2; UPDATE items SET id = 2 WHERE id = 9001; "
                     "DELETE FROM items WHERE id = 3; INSERT INTO items VALUES (3, 3, 'again'); UPDATE items SET id = 9003 WHERE id = 3; "
                     "INSERT INTO items VALUES (3, 4, 'third'); COMMIT")
    followed.assert_same()


@each(TARGETS)
def test_a_truncate_empties_the_table_at_its_place(followed: Followed):
    followed.start()
    followed.wait()
    followed.execute("BEGIN; INSERT INTO items VALUES (8000, 1, 'before'); TRUNCATE items; INSERT INTO items VALUES (1, 1, 'after'); COMMIT",
                     "INSERT INTO items VALUES (2, 2, 'later')")
    followed.assert_same()


@each(TARGETS)
def test_hostile_names_and_keys_of_several_columns(followed: Followed):
    columns = ('id "x"', "id_ö", "{schema}", "select")
    followed.execute(
        'CREATE SCHEMA "a.b c"',
        'CREATE TABLE "a.b c"."T\'"" %s{table}" ("id ""x""" text, "id_ö" int, "{schema}" text, "select" text, PRIMARY KEY ("id_ö", "id ""x"""))',
        'INSERT INTO "a.b c"."T\'"" %s{table}" VALUES (\'a:b\', 1, \'\', NULL), (\'b\', 1, E\'\\n\', \'{x}\'), (\'1:a:b%3A\', 1, \'é\', \'"\'), (\'*\', 2, \'\\\', \'\')')
    followed.start()
    followed.wait()
    followed.execute('UPDATE "a.b c"."T\'"" %s{table}" SET "select" = \'u\' WHERE "id_ö" = 1', 'DELETE FROM "a.b c"."T\'"" %s{table}" WHERE "id ""x""" = \'b\'',
                     'UPDATE "a.b c"."T\'"" %s{table}" SET "id ""x""" = \'?[\' WHERE "id_ö" = 2')
    followed.assert_same('T\'" %s{table}', columns, "a.b c")


@each(TARGETS)
def test_a_table_whose_columns_change_ends_as_the_source_has_it(followed: Followed):
    followed.start()
    followed.wait()
    followed.execute("ALTER TABLE items ADD COLUMN extra int DEFAULT 7", "INSERT INTO items VALUES (6000, 1, 'x', 8)",
                     "ALTER TABLE items RENAME COLUMN n TO number", "UPDATE items SET number = 5 WHERE id = 6000",
                     "ALTER TABLE items DROP COLUMN t", "INSERT INTO items VALUES (6001, 2, 9)")
    deadline = time.monotonic() + 40
    followed.wait()
    while followed.sink()["state"] != "streaming" or followed.tailrace.status()["problems"]:
        assert time.monotonic() < deadline, followed.process.err()
        time.sleep(0.2)
    followed.assert_same(columns=("id", "number", "extra") if followed.target.keeps_columns_of_rows
                         else ("id",))


@each(TARGETS)
def test_large_values_arrive_and_are_kept_when_a_statement_does_not_touch_them(followed: Followed):
    followed.execute("ALTER TABLE items ALTER t SET STORAGE EXTERNAL",
                     "UPDATE items SET t = repeat(id::text || 'é', 300000 / length(id::text || 'é')) WHERE id <= 4")
    followed.start()
    followed.wait()
    followed.execute("UPDATE items SET n = n + 1 WHERE id <= 3", "UPDATE items SET id = 7001 WHERE id = 4",
                     "UPDATE items SET t = repeat('y', 1048576) WHERE id = 10")
    followed.assert_same()


@each(TARGETS)
def test_every_type_is_read_back(followed: Followed):
    """Copied ones, inserted ones, and ones whose key changed."""
    followed.execute(*kinds.SETUP, kinds.insert(1), kinds.insert(11))
    followed.start()
    followed.wait()
    followed.execute(kinds.insert(101), "UPDATE kinds SET id = id + 50 WHERE id BETWEEN 11 AND 13", "UPDATE kinds SET b = NOT b WHERE id = 102")
    followed.settle()
    query = functools.partial(followed.cluster.query, database=followed.database)
    here = sorted((kinds.plain_row(row) for row in followed.target.kinds(query)), key=lambda row: row["id"])
    there = kinds.of_source(query)
    assert [row["id"] for row in here] == [row["id"] for row in there]
    wrong = [(one["id"], name, one[name], other[name]) for one, other in zip(here, there) for name in one if one[name] != other[name]]
    assert not wrong


@each(TARGETS)
def test_a_batch_of_which_a_part_fails_is_there_once_in_the_end(followed: Followed):
    others = ("second", "third")
    followed.execute(*(f"CREATE TABLE {name} (id int PRIMARY KEY, n bigint, t text)" for name in others))
    followed.start("--log-level", "info", **followed.target.environment())
    followed.wait()
    rows = 300 if followed.target.is_fast else 40
    for step in range(3):
        first = 10_000 * (step + 1)
        with followed.target.failing_within(step):
            followed.execute("BEGIN; " + "; ".join(
                f"INSERT INTO {name} SELECT g, g, repeat('x', 300) FROM generate_series({first}, {first + rows}) g" for name in ("items", *others))
                + f"; UPDATE second SET id = id + 5000, t = 'moved' WHERE id % 10 = 3 AND id BETWEEN {first} AND {first + rows}; DELETE FROM items WHERE id % 7 = {step}; COMMIT")
            time.sleep(0.5)
    followed.settle()
    assert "sink.retry" in followed.process.err(), "nothing failed"
    for name in ("items", *others):
        followed.compare(name)


COPY_POINTS = ("copy_before_finish", "copies_finished")


def crash_points(targets) -> list:
    return [pytest.param(target, point, id=f"{target.__name__}-{point}") for target in targets
            for point in (*target.crash_points, *(COPY_POINTS if target.empties_tables else ()), "batch_flushed")]


@pytest.mark.parametrize(("followed", "point"), crash_points([target for target in TARGETS if target.kind != "duckdb"]), indirect=["followed"])
def test_a_crash_at_any_step_loses_and_doubles_nothing(followed: Followed, point: str):
    if not followed.target.empties_tables:
        followed.start()
        followed.wait()
        followed.stop()
    followed.start(TAILRACE_CRASH_AT=f"{point}:1")
    with Writer(followed, 1):
        deadline = time.monotonic() + 30
        while followed.process.code is None and time.monotonic() < deadline:
            time.sleep(0.05)
    assert followed.process.code is not None, f"{point} was not reached"
    followed.start()
    followed.assert_same()


@each(TARGETS)
def test_kills_beside_a_writer_lose_and_double_nothing(followed: Followed):
    chance = random.Random(7)
    if not followed.target.empties_tables:
        followed.start()
        followed.wait()
        followed.process.kill()
    with Writer(followed, 2):
        for _ in range(4):
            followed.start()
            time.sleep(0.3 + chance.random())
            followed.process.kill()
    followed.start()
    followed.assert_same()


@each(TARGETS)
def test_a_graceful_stop_beside_a_writer_ends_with_0_and_is_gone_on_from(followed: Followed):
    with Writer(followed, 3):
        for _ in range(2):
            followed.start()
            followed.wait()
            followed.stop()
    followed.start()
    followed.assert_same()


@each([target for target in TARGETS if target.can_be_taken_back])
def test_any_end_of_the_log_played_again_ends_at_the_same_rows(followed: Followed):
    followed.start()
    followed.wait()
    places = []
    with Writer(followed, 6):
        for _ in range(3):
            time.sleep(0.3)
            places += followed.cluster.query("SELECT pg_current_wal_lsn()::text", database=followed.database)
        for (place,) in (places[1], places[0], places[2], places[0]):
            answer = followed.tailrace.command("rewind", "shop", "--sink", "it", "--to", place, "--state", followed.tailrace.state)
            assert answer.code == Exit.DONE, answer
    followed.assert_same()


@each(SERVERS)
def test_answers_that_are_lost_double_nothing(followed: Followed):
    followed.start()
    followed.wait()
    with Writer(followed, 4):
        for said in (1, 5, 40, 300, 2000, 9000):
            followed.target.proxy.server_says_at_most = said
            followed.target.proxy.cut()
            time.sleep(0.4)
        followed.target.proxy.server_says_at_most = None
        for _ in range(5):
            followed.target.proxy.cut()
            time.sleep(0.1)
    followed.assert_same()


@each(SERVERS)
def test_a_server_that_is_down_for_a_while_is_caught_up_with(followed: Followed):
    followed.start()
    followed.wait()
    with Writer(followed, 5):
        followed.target.kill()
        time.sleep(DOWN_S)
        deadline = time.monotonic() + 20
        while followed.sink()["state"] != "retrying":  # a library may have tried again by itself before
            assert time.monotonic() < deadline, "nobody noticed"
            time.sleep(0.1)
        followed.target.start()
    followed.assert_same()


@each([target for target in SERVERS if target.is_fast])
def test_a_server_that_is_silent_holds_up_nothing_but_its_sink(followed: Followed):
    followed.start()
    followed.wait()
    followed.target.proxy.hold(True)
    followed.execute(*(f"INSERT INTO items SELECT g, g, repeat('x', 200) FROM generate_series({n}, {n + 9999}) g" for n in range(100_000, 200_000, 10_000)))
    time.sleep(1)
    status = followed.tailrace.status()
    assert status["state"] == "streaming"
    rss = int(next(line for line in Path(f"/proc/{followed.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])
    assert rss < 400 << 10, f"{rss} KiB"
    followed.target.proxy.hold(False)
    followed.assert_same()


@each([target for target in TARGETS if target.refused])
def test_a_row_that_the_target_cannot_hold_is_a_dead_letter_and_the_others_land(followed: Followed):
    declared, value = followed.target.refused
    followed.execute(f"CREATE TABLE odd (id int PRIMARY KEY, v {declared})", "INSERT INTO odd VALUES (1, NULL)")
    followed.start()
    followed.wait()
    followed.execute(f"INSERT INTO odd SELECT g, CASE WHEN g % 5 = 0 THEN {value}::{declared} END FROM generate_series(2, 21) g")
    followed.wait()
    assert followed.sink()["dead_letters"] == 4
    followed.execute("UPDATE odd SET v = NULL WHERE id = 5", "DELETE FROM odd WHERE id % 5 = 0 AND id > 5")
    followed.wait()
    assert followed.sink()["dead_letters"] == 8, "what follows for these rows is kept with them"
    state = ("--state", followed.tailrace.state)
    letters = [json.loads(line) for line in followed.tailrace.command("dlq", "show", "shop", "--values", "--json", *state).out.splitlines()]
    first = next(str(letter["id"]) for letter in letters if letter["operation"] == "insert" and letter["new"]["id"] == "5")
    for flags in ("--dry-run",), ():
        replayed = followed.tailrace.command("dlq", "replay", "shop", first, "--set", "v=null", *flags, *state)
        assert replayed.code == Exit.DONE, f"{replayed}\n{followed.process.err()}"
    assert followed.sink()["dead_letters"] == 6
    followed.assert_same("odd", ("id",))

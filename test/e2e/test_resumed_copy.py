"""A first copy that is broken off in the middle of a table goes on there, whatever changed meanwhile."""

import random
import re
import threading
import time

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit, Tailrace

# Ranges of 8 pages instead of 1,024, each durable at once.
TIGHT = {"TAILRACE_BOUND_COPY_CHUNK_PAGES": "8", "TAILRACE_BOUND_COPY_COMMIT_MS": "0"}
ROWS = 6000
COLUMNS = "id, n, v, md5(big), big IS NULL"
TABLES = [
    # Large values are stored out of line, so that most updates do not send them.
    "CREATE TABLE t (id int PRIMARY KEY, n int, v text, big text)",
    "ALTER TABLE t ALTER COLUMN big SET STORAGE EXTERNAL",
    f"INSERT INTO t SELECT g, 0, repeat('v', 300), CASE WHEN g % 40 = 0 THEN repeat(g::text, 600) END FROM generate_series(1, {ROWS}) g",
    "CREATE TABLE small (id int PRIMARY KEY)",
    "INSERT INTO small SELECT generate_series(1, 5)",
]
# What a copy must see through: rows that come, go, come back, move to other keys and to pages on either side of the
# place where the copy stands.
CHANGES = [
    "UPDATE t SET n = n + 1 WHERE id % 7 = {k}",
    "UPDATE t SET v = repeat('w', 700), n = n + 1 WHERE id % 50 = {k}",
    "DELETE FROM t WHERE id % 31 = {k}",
    "VACUUM t",
    "INSERT INTO t SELECT g, -1, 'again', repeat('z', 4000) FROM generate_series({k}, 6000, 62) g ON CONFLICT DO NOTHING",
    "UPDATE t SET id = id + 100000 WHERE id % 29 = {k} AND id < 100000",
    "INSERT INTO t SELECT 200000 + {k} * 1000 + g, 0, repeat('n', 300) FROM generate_series(1, 300) g",
    "UPDATE t SET big = repeat('{k}', 5000) WHERE id % 41 = {k}",
    "VACUUM t",
    "UPDATE t SET n = n + 1 WHERE id % 3 = {k} % 3",
]


class Copy(Shop):
    """A mirror whose first copy dies on the way."""

    def die_at(self, point: str, *options: str, **environment: str) -> None:
        self.start("--history", "--log-level", "info", *options, TAILRACE_CRASH_AT=point, **TIGHT, **environment)
        assert self.process.wait(60) < 0, self.process.err()
        assert f"crash point {point.split(':')[0]}" in self.process.err(), self.process.err()

    def shuffle(self, k: int) -> None:
        self.cluster.execute(*(change.format(k=k) for change in CHANGES), database=self.database)

    def finish(self, **environment: str) -> str:
        self.start("--history", "--log-level", "info", "--until-caught-up", **{**TIGHT, **environment})
        assert self.process.wait(60) == Exit.DONE, self.process.err()
        return self.process.err()

    def assert_same(self, columns: str = COLUMNS, table: str = "t") -> None:
        query = f"SELECT {columns} FROM public.{table} ORDER BY 1, 2"
        source = self.cluster.query(query, database=self.database)
        assert rows(self.target, query) == source
        current = f"SELECT {columns} FROM public.{table}__history WHERE is_current ORDER BY 1, 2"
        assert rows(self.target, current) == source
        left = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'tailrace' AND table_name LIKE 'changed_keys%'"
        assert rows(self.target, left) == []
        assert rows(self.target, "SELECT * FROM tailrace.chunks") == []


@pytest.fixture
def copy(cluster: Cluster, database: str, tailrace: Tailrace) -> Copy:
    cluster.execute(*TABLES, database=database)
    return Copy(cluster, database, tailrace)


def kept_rows(err: str) -> list[int]:
    return [int(n) for n in re.findall(r"copy\.resumed .*public\.t: goes on behind (\d+) rows", err)]


@pytest.mark.smoke
def test_a_copy_goes_on_in_the_middle_of_a_table_although_it_changed(copy: Copy):
    copy.die_at("duckdb.copy_range_committed:20")
    copy.shuffle(2)
    err = copy.finish()
    assert len(kept_rows(err)) == 1 and kept_rows(err)[0] > 1000, err
    copy.assert_same()
    # A table that was copied as of one moment: all its first versions begin there.
    begins = rows(copy.target, "SELECT count(DISTINCT from_lsn), count(*) FROM public.t__history WHERE from_seq = 0")
    assert begins[0][0] == 1 and begins[0][1] > 5000
    assert rows(copy.target, "SELECT id, count(*) FROM public.t__history WHERE is_current GROUP BY 1 HAVING count(*) > 1") == []


def test_a_copy_that_dies_again_and_again_loses_and_doubles_nothing(copy: Copy):
    stop = threading.Event()

    def write() -> None:
        draw = random.Random(7)
        with copy.cluster.connect(copy.database) as connection:
            while not stop.is_set():
                statements = [change.format(k=draw.randrange(2, 29)) for change in draw.sample(CHANGES, 2)]
                for statement in statements:
                    # Keys are moved onto keys that are there now and then: such a statement is void.
                    try:
                        connection.execute(statement.replace("% 29", f"% 290 = {draw.randrange(290)} AND id % 29"))
                    except Exception as error:  # noqa: BLE001
                        assert "duplicate key" in str(error), error
                time.sleep(0.02)

    writer = threading.Thread(target=write)
    writer.start()
    kept = []
    try:
        for point in ("duckdb.copy_range_committed:9", "duckdb.copy_resuming:1", "duckdb.copy_resumed:1", "duckdb.copy_range:6",
                      "duckdb.copy_range_committed:12", "copy.mid_table:1", "duckdb.copy_mid:4", "copy.after_table:1",
                      "duckdb.copy_before_done:2", "copy_before_finish:1"):
            copy.die_at(point)
            kept += kept_rows(copy.process.err())
    finally:
        stop.set()
        writer.join()
    kept += kept_rows(copy.finish())
    assert len(kept) >= 7, kept
    copy.assert_same()


def test_a_copy_goes_on_after_the_server_was_started_anew(own_cluster: Cluster, tailrace: Tailrace):
    own_cluster.execute("CREATE DATABASE shop")
    own_cluster.execute(*TABLES, database="shop")
    copy = Copy(own_cluster, "shop", tailrace)
    pipeline = tailrace.directory / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{own_cluster.url('shop')}', snapshot: {{rows_per_second: 2000}}}}}}\n"
                        f"sinks: {{warehouse: {{duckdb: {{path: {copy.target}, history: true}}}}}}\n")
    copy.process = tailrace.start("run", pipeline, "--state", tailrace.state, "--log-level", "info", environment=TIGHT)
    pace = None
    for _ in range(200):
        time.sleep(0.05)
        try:
            tables = tailrace.status()["snapshot"]["tables"]
        except RuntimeError:
            continue
        pace = next((table for table in tables if table["table"] == "public.t" and table["seconds_left"]), None)
        if pace:
            break
    # Six thousand rows at two thousand a second take three seconds.
    assert pace and 0 < pace["percent"] < 100 and 500 < pace["rows_per_second"] < 4000 and pace["seconds_left"] < 10, pace
    shown = tailrace.command("status", "shop", "--state", tailrace.state).out
    assert re.search(r"copying  public\.t → warehouse  \d+ %  [\d,]+ rows  [\d,]+/s  .* left", shown), shown
    own_cluster.restart("immediate")
    copy.shuffle(3)
    copy.wait()
    assert kept_rows(copy.process.err()), copy.process.err()
    copy.stop()
    copy.assert_same()


@pytest.mark.parametrize("change", ["VACUUM FULL t", "TRUNCATE t", "ALTER TABLE t ADD COLUMN more int DEFAULT 7",
                                    "ALTER TABLE t DROP COLUMN v, ADD COLUMN v text DEFAULT 'new'",
                                    "ALTER TABLE t REPLICA IDENTITY FULL", "ALTER TABLE t RENAME COLUMN n TO m"])
def test_a_table_that_is_another_one_by_now_is_copied_from_its_beginning(copy: Copy, change: str):
    copy.die_at("duckdb.copy_range_committed:20")
    copy.cluster.execute(change, "INSERT INTO t (id, big) VALUES (300000, 'late')", database=copy.database)
    assert kept_rows(copy.finish()) == []
    copy.assert_same(COLUMNS.replace("n,", "m,") if "RENAME" in change else COLUMNS)


def test_a_key_that_was_another_for_a_while_begins_the_copy_again(copy: Copy):
    copy.cluster.execute("ALTER TABLE t ALTER COLUMN n SET NOT NULL", "CREATE UNIQUE INDEX other ON t (n, id)", database=copy.database)
    copy.die_at("duckdb.copy_range_committed:20")
    copy.cluster.execute("ALTER TABLE t REPLICA IDENTITY USING INDEX other", "UPDATE t SET n = n + 1 WHERE id % 9 = 2",
                         "DELETE FROM t WHERE id % 11 = 3", "ALTER TABLE t REPLICA IDENTITY DEFAULT", database=copy.database)
    assert kept_rows(copy.finish()) == []
    copy.assert_same()


def test_a_full_log_begins_the_copy_again(copy: Copy):
    pipeline = copy.tailrace.directory / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{copy.cluster.url(copy.database)}'}}}}\n"
                        f"log: {{journal: {{max_size: 8MiB}}}}\n"
                        f"sinks: {{warehouse: {{duckdb: {{path: {copy.target}}}}}}}\n")
    small = {**TIGHT, "TAILRACE_BOUND_SEGMENT_BYTES": str(2 << 20)}

    def run(**environment: str) -> None:
        copy.process = copy.tailrace.start("run", pipeline, "--state", copy.tailrace.state, "--log-level", "info",
                                           "--until-caught-up", environment={**small, **environment})
    run(TAILRACE_CRASH_AT="duckdb.copy_range_committed:20")
    assert copy.process.wait(60) < 0, copy.process.err()
    # More than the log may hold before the sink takes from it.
    copy.cluster.execute(*(f"UPDATE t SET big = repeat(id::text, 500) WHERE id % 12 = {k % 12}" for k in range(18)), database=copy.database)
    run(TAILRACE_BOUND_COPY_RESUME_MS="2000")
    assert copy.process.wait(60) == Exit.DONE, copy.process.err()
    assert kept_rows(copy.process.err()) == []
    query = f"SELECT {COLUMNS} FROM public.t ORDER BY 1"
    assert rows(copy.target, query) == copy.cluster.query(query, database=copy.database)


def test_keys_of_several_columns_and_rows_without_key(copy: Copy):
    copy.cluster.execute(
        "CREATE TABLE pairs (b text, filler text DEFAULT repeat('x', 400), a numeric(12,3), n int DEFAULT 0, PRIMARY KEY (a, b))",
        "ALTER TABLE pairs REPLICA IDENTITY FULL",
        "INSERT INTO pairs (a, b) SELECT g / 7.0, 'Ä' || g FROM generate_series(1, 3000) g",
        "CREATE TABLE bag (n int, filler text DEFAULT repeat('x', 400))", "ALTER TABLE bag REPLICA IDENTITY FULL",
        "INSERT INTO bag SELECT g % 9 FROM generate_series(1, 3000) g", "DROP TABLE t", database=copy.database)
    change = ["UPDATE pairs SET a = a + 1000 WHERE n = 0 AND a::int % 5 = 0", "DELETE FROM pairs WHERE a::int % 7 = 3",
              "UPDATE pairs SET n = n + 1 WHERE a::int % 4 = 0", "DELETE FROM bag WHERE n = 4",
              "INSERT INTO bag SELECT 5 FROM generate_series(1, 70)"]
    copy.die_at("duckdb.copy_range_committed:8")
    copy.cluster.execute(*change, database=copy.database)
    copy.die_at("duckdb.copy_range_committed:5")
    copy.cluster.execute(*change, database=copy.database)
    err = copy.finish()
    assert re.search(r"copy\.resumed .*public\.pairs: goes on", err) and "public.bag: goes on" not in err, err
    copy.assert_same("a::text, b, n, length(filler)", "pairs")
    source = copy.cluster.query("SELECT n, count(*) FROM bag GROUP BY 1 ORDER BY 1", database=copy.database)
    assert rows(copy.target, "SELECT n, count(*) FROM public.bag GROUP BY 1 ORDER BY 1") == source

"""Transactions of every shape, on one mirror that runs: each is there whole and once, and histories keep their order."""

import json
import threading
from collections.abc import Iterator

import psycopg
import pytest

from e2e.cluster import Cluster, server_major
from e2e.duckdb_file import rows
from e2e.pair import Pair
from e2e.tailrace import Exit, Tailrace

TABLES = ["CREATE TABLE t (id int PRIMARY KEY, n int, v text)", "INSERT INTO t SELECT g, 0, 'first' FROM generate_series(1, 50) g",
          "CREATE TABLE other (id int PRIMARY KEY, n int)", "CREATE TABLE parents (id int PRIMARY KEY)",
          "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON UPDATE CASCADE ON DELETE SET NULL)",
          "INSERT INTO parents SELECT generate_series(1, 5)", "INSERT INTO children SELECT g, 1 + g % 5 FROM generate_series(1, 20) g",
          "CREATE TABLE dense (id int PRIMARY KEY DEFERRABLE, v int)", "ALTER TABLE dense REPLICA IDENTITY FULL",
          "INSERT INTO dense SELECT g, g FROM generate_series(1, 200) g"]
SAME = {"t": "id, n, v", "other": "id, n", "parents": "id", "children": "id, parent", "dense": "id, v"}


@pytest.fixture(scope="module")
def streamer() -> Iterator[Cluster]:
    """A server that streams all but the smallest transactions while they are in progress."""
    made = Cluster({"logical_decoding_work_mem": "'64kB'", "max_prepared_transactions": "5"})
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(streamer: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """In the end source, mirror and the rows that its history calls current must be equal."""
    streamer.execute("CREATE DATABASE transactions")
    streamer.execute(*TABLES, database="transactions")
    tailrace = Tailrace(tmp_path_factory.mktemp("transactions"), name="shop")
    pair = Pair(streamer, "transactions", tailrace, "--history")
    yield pair
    pair.wait()
    assert pair.process.stop() == Exit.DONE, pair.process.err()
    for table, columns in SAME.items():
        source = streamer.query(f"SELECT {columns} FROM {table} ORDER BY id", database=pair.database)
        assert rows(pair.target, f"SELECT {columns} FROM public.{table} ORDER BY id") == source, table
        assert rows(pair.target, f"SELECT {columns} FROM public.{table}__history WHERE is_current ORDER BY id") == source, table
    tailrace.close()


@pytest.fixture
def pair(shared: Pair) -> Iterator[Pair]:
    """Each test leaves the tables equal to the source's, and none held."""
    yield shared
    shared.wait()
    assert shared.tailrace.status()["problems"] == []
    answer = shared.tailrace.command("verify", "shop", "--state", shared.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)


def versions(pair: Pair, table: str, columns: str, key: int) -> list[tuple]:
    pair.wait()
    answer = pair.tailrace.command("query", "shop", f"SELECT {columns} FROM {table}__history WHERE id = {key} ORDER BY from_seq", "--format",
                                   "json", "--state", pair.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    return [tuple(row.values()) for row in json.loads(answer.out)]


def test_a_transaction_that_outlives_a_stop_is_there_whole(pair: Pair):
    """One begins, another commits, the mirror stops, the first goes on, commits, and the mirror comes back."""
    with pair.cluster.connect(pair.database) as long:
        long.execute("BEGIN; INSERT INTO t VALUES (1000, 1, 'before the stop')")
        pair.cluster.execute("INSERT INTO t VALUES (1001, 1, 'short')", database=pair.database)
        pair.wait()
        assert pair.process.stop() == Exit.DONE
        long.execute("INSERT INTO t VALUES (1002, 1, 'while nobody looked'); UPDATE t SET n = 2 WHERE id = 1000; COMMIT")
        pair.start("--history")
        long.execute("BEGIN; UPDATE t SET n = 3 WHERE id = 1000")
        pair.wait()
        pair.process.kill()
        long.execute("UPDATE t SET n = 4 WHERE id = 1001; COMMIT")
        pair.start("--history")
    assert versions(pair, "t", "n", 1000) == [(2,), (3,)]


def test_rows_that_share_one_place_of_the_log_are_all_there_whenever_the_mirror_dies(pair: Pair):
    """COPY writes many rows by one record, so they all have its LSN."""
    for turn in range(4):
        first = 10_000 * (turn + 1)
        with pair.cluster.connect(pair.database) as connection, connection.cursor().copy("COPY other FROM STDIN") as copy:
            copy.write("".join(f"{first + n}\t{n}\n" for n in range(3000)))
        pair.cluster.execute(f"UPDATE other SET n = -n WHERE id % 7 = {turn}", database=pair.database)
        pair.process.kill()
        pair.start("--history", environment={"TAILRACE_BOUND_BATCH_CHANGES": "60"})
    assert versions(pair, "other", "n", 10_001) == [(1,)] + ([(-1,)] if 10_001 % 7 < 4 else [])


def test_thousands_of_sub_transactions_and_savepoints_a_hundred_deep(pair: Pair):
    pair.cluster.execute(
        "DO $$ BEGIN FOR g IN 2001..12000 LOOP BEGIN INSERT INTO t VALUES (g, 0, 'sub'); IF g % 2 = 0 THEN RAISE 'planned'; END IF; "
        "EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$", database=pair.database)
    nested = "".join(f"SAVEPOINT s{n}; UPDATE t SET n = n + 1 WHERE id = 1; INSERT INTO t VALUES ({13000 + n}, {n}, 'nested'); " for n in range(100))
    pair.cluster.execute(f"BEGIN; {nested} ROLLBACK TO s50; UPDATE t SET v = 'after' WHERE id = 2; RELEASE s20; COMMIT", database=pair.database)
    assert versions(pair, "t", "n", 1)[-1] == (50,)
    pair.cluster.execute("DELETE FROM t WHERE id > 2000", database=pair.database)


def test_a_key_that_is_written_a_thousand_times_in_one_transaction(pair: Pair):
    pair.cluster.execute(
        "DO $$ BEGIN FOR g IN 1..1000 LOOP UPDATE t SET n = g WHERE id = 3; END LOOP; END $$",
        "BEGIN; INSERT INTO t VALUES (500, 1, 'x'); UPDATE t SET n = 2 WHERE id = 500; DELETE FROM t WHERE id = 500; COMMIT",
        "BEGIN; DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 9, 'again'); UPDATE t SET n = 10 WHERE id = 4; COMMIT", database=pair.database)
    assert versions(pair, "t", "n", 3) == [(0,), (1000,)]
    assert versions(pair, "t", "n", 500) == []
    assert versions(pair, "t", "n, v", 4) == [(0, "first"), (10, "again")]


def test_logical_messages_of_any_length_are_passed_over(pair: Pair):
    """Of transactions and alone, longer than anything else that the log writes at once."""
    for length in (300_000, 600_000, 3_000_000):
        pair.cluster.execute(f"SELECT pg_logical_emit_message(false, 'p', repeat('m', {length}))",
                             f"BEGIN; UPDATE t SET n = {length} WHERE id = 450; SELECT pg_logical_emit_message(true, 'p', repeat('m', {length})); COMMIT",
                             database=pair.database)


def test_keys_that_move_up_by_one_in_one_statement(pair: Pair):
    pair.cluster.execute("UPDATE dense SET id = id + 1", "UPDATE dense SET id = CASE id WHEN 5 THEN 6 ELSE 5 END WHERE id IN (5, 6)",
                         "UPDATE t SET id = -id WHERE id BETWEEN 20 AND 30", database=pair.database)


def test_only_what_happened_is_told_of_upserts_merges_and_conflicts(pair: Pair):
    statements = ["INSERT INTO t VALUES (5, 5, 'new'), (600, 6, 'new') ON CONFLICT (id) DO UPDATE SET n = excluded.n",
                  "INSERT INTO t VALUES (6, 6, 'no'), (601, 6, 'yes') ON CONFLICT DO NOTHING"]
    if server_major() >= 15:
        statements.append("MERGE INTO t USING (VALUES (7, 7), (8, 8), (602, 9)) s(id, n) ON t.id = s.id WHEN MATCHED AND t.id = 7 THEN DELETE "
                          "WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.n, 'merged')")
    pair.cluster.execute(*statements, database=pair.database)

    # Several sessions insert the same keys: all but one of each speculative insertion is taken back.
    def insert() -> None:
        with pair.cluster.connect(pair.database) as connection:
            for key in range(700, 800):
                connection.execute("INSERT INTO t VALUES (%s, 1, 'who') ON CONFLICT (id) DO UPDATE SET n = t.n + 1", [key])

    writers = [threading.Thread(target=insert) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert pair.cluster.query("SELECT count(*), sum(n) FROM t WHERE id BETWEEN 700 AND 799", database=pair.database) == [(100, 400)]


def test_what_a_foreign_key_does_to_other_tables_comes_along(pair: Pair):
    pair.cluster.execute("UPDATE parents SET id = 10 WHERE id = 1", "DELETE FROM parents WHERE id = 2",
                         "BEGIN; UPDATE parents SET id = 11 WHERE id = 10; DELETE FROM parents WHERE id = 11; COMMIT", database=pair.database)
    assert versions(pair, "children", "parent", 5) == [(1,), (10,), (None,)]


def test_a_prepared_transaction_comes_at_its_commit_behind_later_ones(pair: Pair):
    gid = "it's \"prepared\""
    literal = psycopg.sql.Literal(gid).as_string(None)
    pair.cluster.execute(f"BEGIN; UPDATE t SET n = 1 WHERE id = 9; INSERT INTO t VALUES (900, 1, 'p'); PREPARE TRANSACTION {literal}",
                         "UPDATE t SET n = 5 WHERE id = 10",
                         "BEGIN; UPDATE t SET n = 7 WHERE id = 11; PREPARE TRANSACTION 'void'", database=pair.database)
    pair.wait()
    pair.process.kill()
    pair.start("--history")
    assert versions(pair, "t", "n", 9) == [(0,)]
    pair.cluster.execute(f"COMMIT PREPARED {literal}", "ROLLBACK PREPARED 'void'", database=pair.database)
    assert versions(pair, "t", "n", 9) == [(0,), (1,)]
    assert versions(pair, "t", "n", 11) == [(0,)]


def test_a_table_altered_inside_a_transaction_that_is_streamed(pair: Pair):
    """Rows of before and behind come in several runs, each with the table's description of its place."""
    flood = "INSERT INTO t SELECT g, g, repeat(md5(g::text), 8) FROM generate_series({0}, {0} + 999) g"
    pair.cluster.execute(f"BEGIN; {flood.format(20000)}; SAVEPOINT s; {flood.format(30000)}; ROLLBACK TO s; ALTER TABLE t ADD COLUMN extra int DEFAULT 4; "
                         f"{flood.format(40000)}; UPDATE t SET extra = 5 WHERE id = 20000; COMMIT", database=pair.database)
    assert versions(pair, "t", "extra", 20000) == [(5,)]
    assert versions(pair, "t", "extra", 40001) == [(4,)]
    assert pair.cluster.query("SELECT sum(stream_txns) > 0 FROM pg_stat_replication_slots") == [(True,)]

"""`tailrace verify --repair`: what differs is put right, only that, and beside the stream."""

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.pair import Hammer, Pair, found
from e2e.tailrace import Exit, Tailrace

KEEPS_COLUMNS = """name: kept
source: {{postgres: {{url: "{url}"}}}}
sinks: {{warehouse: {{duckdb: {{path: {target}, history: true, dropped_columns: keep}}}}}}
"""

DIFFERENCES = ("DELETE FROM public.t WHERE id = 20003", "UPDATE public.t SET n = 9, big = NULL WHERE id = 20005",
               "INSERT INTO public.t (id, n) VALUES (1000000, 1)",
               "INSERT INTO public.t SELECT * FROM public.t WHERE id = 20007")
ROWS = "SELECT id, n, v, big FROM {}t ORDER BY id"


def make_table(cluster: Cluster, database: str) -> None:
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, n int, v text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
                    "INSERT INTO t SELECT g, 0, 'v', repeat('y', 3000) FROM generate_series(1, 3000) g",
                    "INSERT INTO t SELECT g, 0, 'v', 'still' FROM generate_series(20000, 20010) g", database=database)


def assert_equal(pair: Pair) -> None:
    """Ends the program: only then the file can be read."""
    pair.wait()
    assert pair.process.stop() == Exit.DONE, pair.process.err()
    assert rows(pair.target, ROWS.format("public.")) == pair.cluster.query(ROWS.format(""), database=pair.database)


def test_only_what_differs_is_put_right(cluster: Cluster, database: str, tailrace: Tailrace):
    make_table(cluster, database)
    pair = Pair(cluster, database, tailrace)
    pair.plant(*DIFFERENCES)
    assert len(found(pair.table("public.t"))) == 4
    told = pair.answer("--repair")
    assert told.code == Exit.DONE and "(4 repaired)" in told.out, str(told)
    assert pair.table("public.t", "--repair")["repaired"] == 0
    # What was put right takes changes as any other row does.
    cluster.execute("UPDATE t SET n = n + 1 WHERE id > 20002", "DELETE FROM t WHERE id = 20007", database=database)
    assert_equal(pair)


def test_rows_are_put_right_while_writers_hammer_the_table(cluster: Cluster, database: str, tailrace: Tailrace):
    make_table(cluster, database)
    pair = Pair(cluster, database, tailrace, "--history")
    # Of rows that the writers change, too. (Were one missing, its next change would hold the table.)
    differences = (*DIFFERENCES, "UPDATE public.t SET n = -9 WHERE id % 7 = 5")
    for _ in range(3):
        pair.wait()
        pair.plant(*differences)
        hammer = Hammer(cluster, database)
        try:
            code, seen = pair.verify("--repair")
        finally:
            hammer.stop()
        assert code == Exit.DONE and seen["tables"][0]["repaired"] >= 4, seen
        assert hammer.transactions > 0
    assert_equal(pair)


def test_the_history_says_when_a_row_was_found_wrong(cluster: Cluster, database: str, tailrace: Tailrace):
    make_table(cluster, database)
    pair = Pair(cluster, database, tailrace, "--history")
    pair.plant("DELETE FROM public.t WHERE id = 20003", "UPDATE public.t SET n = 9 WHERE id = 20005",
               "UPDATE public.t__history SET n = 9 WHERE id = 20005", "DELETE FROM public.t__history WHERE id = 20003")
    assert pair.verify("--repair")[0] == Exit.DONE
    cluster.execute("UPDATE t SET n = 1 WHERE id IN (20003, 20005)", database=database)
    assert_equal(pair)
    versions = "SELECT n, is_current FROM public.t__history WHERE id = {} ORDER BY from_lsn, effective_to NULLS LAST"
    assert rows(pair.target, versions.format(20005)) == [(9, False), (0, False), (1, True)]
    assert rows(pair.target, versions.format(20003)) == [(0, False), (1, True)]
    # Rows that were right have no new version.
    assert rows(pair.target, "SELECT count(*) FROM public.t__history WHERE id NOT IN (20003, 20005)") == [(3009,)]


def test_a_crash_while_rows_are_put_right_leaves_the_old_or_the_new_ones(cluster: Cluster, database: str, tailrace: Tailrace):
    make_table(cluster, database)
    pair = Pair(cluster, database, tailrace, environment={"TAILRACE_CRASH_AT": "duckdb.after_mending"})
    pair.plant(*DIFFERENCES)
    answer = pair.answer("--repair")
    assert answer.code not in (Exit.DONE, Exit.NO), str(answer)
    assert pair.process.wait(60) < 0
    pair.start()
    assert len(found(pair.table("public.t"))) == 4
    assert pair.verify("--repair")[0] == Exit.DONE
    assert_equal(pair)


def test_rows_of_tables_whose_columns_changed_are_put_right(cluster: Cluster, database: str, tailrace: Tailrace):
    """New columns stand behind all others, also behind a history's own; dropped ones stay, by request."""
    make_table(cluster, database)
    file = tailrace.directory / "kept.yaml"
    file.write_text(KEEPS_COLUMNS.format(url=cluster.url(database), target=tailrace.directory / "target.duckdb"))
    pair = Pair(cluster, database, tailrace, process=tailrace.start("run", file, "--state", tailrace.state))
    cluster.execute("ALTER TABLE t DROP COLUMN v", "ALTER TABLE t ADD COLUMN extra text DEFAULT 'more'",
                    "UPDATE t SET n = 5 WHERE id = 20001", database=database)
    pair.wait()
    wrong = "UPDATE public.{} SET n = 9, extra = 'wrong' WHERE id = 20005"
    pair.plant(wrong.format("t"), wrong.format("t__history"), "DELETE FROM public.t WHERE id = 20003",
               "DELETE FROM public.t__history WHERE id = 20003")
    assert pair.table("public.t", "--repair")["repaired"] == 2
    cluster.execute("UPDATE t SET n = 1, extra = 'last' WHERE id IN (20003, 20005)", database=database)
    pair.wait()
    assert pair.process.stop() == Exit.DONE, pair.process.err()
    of_source = "SELECT id, n, big, extra FROM {}t ORDER BY id"
    assert rows(pair.target, of_source.format("public.")) == cluster.query(of_source.format(""), database=database)
    assert rows(pair.target, "SELECT count(*) FROM public.t WHERE v = 'v'") == [(3008,)]  # the others were written since
    versions = "SELECT n, extra, is_current FROM public.t__history WHERE id = {} ORDER BY from_lsn, effective_to NULLS LAST"
    assert rows(pair.target, versions.format(20005)) == [(9, "wrong", False), (0, "more", False), (1, "last", True)]
    assert rows(pair.target, versions.format(20003)) == [(0, "more", False), (1, "last", True)]

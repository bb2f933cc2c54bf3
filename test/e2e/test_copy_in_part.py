"""Some rows of a table are copied again beside the stream: those for which a condition holds."""

import threading
import time

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.pair import Hammer, Pair
from e2e.tailrace import Answer, Exit, Tailrace

TABLE = [
    "CREATE TABLE t (id int PRIMARY KEY, n int, note text, big text)",
    "ALTER TABLE t ALTER COLUMN big SET STORAGE EXTERNAL",
    "INSERT INTO t SELECT g, g % 10, 'note ' || g, repeat(g::text, 800) FROM generate_series(1, 2000) g",
]
ALL = "SELECT id, n, note, md5(big) FROM public.{} ORDER BY 1"


class Partly(Pair):
    def snapshot(self, where: str, *more: str) -> Answer:
        return self.tailrace.command("snapshot", "shop", "public.t", "--where", where, "--state", self.tailrace.state, *more)

    def merged(self) -> list[str]:
        lines = [line for line in self.process.err().splitlines() if "duckdb.merged" in line]
        return [line.rsplit(": ", 1)[1] for line in lines]

    def copy(self, where: str) -> str:
        """What came of it."""
        before = len(self.merged())
        answer = self.snapshot(where)
        assert answer.code == Exit.DONE, answer
        self.until(lambda: len(self.merged()) > before)
        return self.merged()[-1]

    def until(self, condition) -> None:
        for _ in range(400):
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.tailrace.status()['problems']}\n{self.process.err()}")

    def problems(self) -> list[str]:
        return [problem["code"] for problem in self.tailrace.status()["problems"]]

    def stop(self) -> None:
        assert self.process.stop() == Exit.DONE, self.process.err()

    def source(self, sql: str) -> list[tuple]:
        return self.cluster.query(sql, database=self.database)


@pytest.fixture
def pair(cluster: Cluster, database: str, tailrace: Tailrace) -> Partly:
    cluster.execute(*TABLE, database=database)
    return Partly(cluster, database, tailrace, "--history", "--log-level", "info")


@pytest.mark.smoke
def test_only_rows_that_the_condition_names_are_made_right(pair: Partly):
    pair.plant("UPDATE public.t SET note = 'wrong' WHERE id IN (5, 105, 1105)", "DELETE FROM public.t WHERE id IN (6, 106)",
               "INSERT INTO public.t VALUES (-1, 1, 'never there', 'x'), (-300, 1, 'never there', 'x')",
               "UPDATE public.t SET id = 5000 WHERE id = 7",
               "UPDATE public.t__history SET note = 'wrong' WHERE id IN (5, 105, 1105)")
    assert pair.copy("id BETWEEN -10 AND 100 -- the first hundred") == "2 rows went, 3 came"
    # 5000 was 7 and is outside: the row of 7 came back, the other stays.
    wrong = [(-300, "never there"), (105, "wrong"), (1105, "wrong"), (5000, "note 7")]
    pair.stop()
    there = rows(pair.target, "SELECT id, note FROM public.t WHERE note IN ('wrong', 'never there') OR id > 2000 ORDER BY id")
    assert there == wrong
    assert rows(pair.target, "SELECT count(*) FROM public.t WHERE id IN (6, 7, 106)") == [(2,)]
    versions = "SELECT note, is_current, to_lsn IS NULL FROM public.t__history WHERE id = 5 ORDER BY from_lsn, to_lsn NULLS LAST"
    assert rows(pair.target, versions) == [("wrong", False, False), ("note 5", True, True)]
    assert rows(pair.target, "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'copy_of_%'") == [(0,)]


def test_a_row_is_named_by_what_it_is_at_the_source_or_in_the_target(pair: Partly):
    pair.plant("UPDATE public.t SET n = 77 WHERE id IN (10, 11)", "UPDATE public.t SET n = 78 WHERE id = 12",
               "INSERT INTO public.t VALUES (9001, 77, 'gone at the source', 'x')")
    pair.cluster.execute("UPDATE t SET note = 'new' WHERE id = 11", database=pair.database)
    pair.wait()
    # At the source n is 77 nowhere.
    assert pair.copy("n = 77") in ("3 rows went, 2 came", "2 rows went, 1 came")
    assert pair.copy("id = 12 AND n = 2") == "1 rows went, 1 came"
    pair.stop()
    assert rows(pair.target, ALL.format("t")) == pair.source(ALL.format("t"))


def test_beside_writers_nothing_is_changed_that_the_stream_has_written(pair: Partly):
    hammer = Hammer(pair.cluster, pair.database)
    try:
        for where in ("id < 1000", "n % 2 = 0", "length(note) > 3 AND id > 500", "big LIKE 'x%'"):
            assert pair.copy(where) == "0 rows went, 0 came"
    finally:
        hammer.stop()
    pair.wait()
    assert pair.problems() == []
    pair.stop()
    assert rows(pair.target, ALL.format("t")) == pair.source(ALL.format("t"))
    current = "SELECT id, n, note, md5(big) FROM public.t__history WHERE is_current ORDER BY 1"
    assert rows(pair.target, current) == pair.source(ALL.format("t"))


@pytest.mark.parametrize("point", ["duckdb.side_begun", "duckdb.part_suspects", "recopy_loaded", "recopy_replayed",
                                   "duckdb.part_mirror_merged", "duckdb.part_merged"])
def test_a_copy_in_part_that_is_killed_anywhere_is_made_again(pair: Partly, point: str):
    pair.plant("UPDATE public.t SET note = 'wrong' WHERE id < 20", "INSERT INTO public.t VALUES (-1, 1, 'never there', 'x')")
    pair.stop()
    pair.start("--history", "--log-level", "info", environment={"TAILRACE_CRASH_AT": f"{point}:1"})
    pair.snapshot("id < 500")
    assert pair.process.wait(60) < 0
    assert f"crash point {point}" in pair.process.err(), pair.process.err()
    pair.cluster.execute("UPDATE t SET n = n + 1 WHERE id % 3 = 0", "DELETE FROM t WHERE id % 7 = 0", database=pair.database)
    pair.start("--history", "--log-level", "info")
    pair.until(lambda: pair.merged())
    pair.wait()
    assert pair.problems() == []
    pair.stop()
    assert rows(pair.target, ALL.format("t")) == pair.source(ALL.format("t"))


def test_conditions_that_cannot_be_asked_are_refused_and_change_nothing(pair: Partly):
    for where, what in (("nothing = 1", 'column "nothing" does not exist (at character 1)'),
                        ("id + 1", "must be type boolean"), ("id = 'x'", "invalid input syntax"), ("(id = 1", "parenthesis"),
                        ("true) TO STDOUT; DROP TABLE t; --", "it closes a parenthesis"), ("id = 1; DELETE FROM t", "semicolon"),
                        ("id = 1 OR nextval('s') > 0", 'relation "s" does not exist'), ("id = $1", "parameter")):
        answer = pair.snapshot(where)
        assert answer.code == Exit.REQUEST and "TR642" in answer.err and what in answer.err, answer
    assert pair.snapshot("").code == Exit.REQUEST
    # What writes is refused when a row is asked, if not before.
    pair.cluster.execute("CREATE SEQUENCE s", database=pair.database)
    assert pair.snapshot("nextval('public.s') > 0").code == Exit.DONE
    pair.until(lambda: set(pair.problems()) & {"TR642", "TR643"})
    assert pair.source("SELECT is_called FROM s") == [(False,)]
    assert pair.snapshot("1 / (id - 5) > 0").code == Exit.DONE
    pair.until(lambda: "TR642" in pair.problems())
    assert pair.snapshot("to_tsvector(note) @@ 'note'").code == Exit.DONE
    pair.until(lambda: "TR643" in pair.problems())
    assert pair.copy("id < 10") == "0 rows went, 0 came"
    pair.until(lambda: pair.problems() == [])
    assert pair.source("SELECT count(*) FROM t") == [(2000,)]


def test_a_table_without_key_or_held_is_not_copied_in_part(pair: Partly):
    # A dropped column asks for a decision, so that the table stays held.
    pair.cluster.execute("ALTER TABLE t DROP COLUMN n", "INSERT INTO t (id) VALUES (3000)", database=pair.database)
    pair.wait()
    assert pair.snapshot("id = 1").code == Exit.DONE
    pair.until(lambda: "TR644" in pair.problems())

"""What is done to a running pipeline over months, in half a minute: copied again, compared and put right, altered, killed,
backed up, damaged, all while writers write."""

import os
import random
import signal
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.pair import Hammer, Pair
from e2e.tailrace import Exit, Tailrace
from e2e.test_damaged_target import flip

SEEDS = [int(seed) for seed in os.environ.get("TAILRACE_LIVES", "1").split()]
# The writers leave these rows alone: one that is missing in the target when its change comes would hold the table.
QUIET = range(20000, 20100)


class Life:
    """One pipeline's, drawn from a seed."""

    def __init__(self, pair: Pair, seed: int):
        self.pair, self.draw, self.columns, self.done = pair, random.Random(seed), ["v"], []

    def live(self, events: int) -> None:
        kinds = [self.copy_again, self.put_right, self.alter, self.kill, self.restart, self.back_up, self.damage]
        for _ in range(events):
            event = self.draw.choice(kinds)
            self.done.append(event.__name__)
            event()
            if self.draw.random() < 0.5:
                self.pair.wait()

    def copy_again(self) -> None:
        answer = self.pair.tailrace.command("snapshot", self.pair.tailrace.name, "public.t", "--state", self.pair.tailrace.state)
        assert answer.code == Exit.DONE, answer

    def put_right(self) -> None:
        self.pair.wait()
        one, other, gone = self.draw.sample(QUIET, 3)
        self.pair.plant(f"UPDATE public.t SET n = -1, big = NULL WHERE id = {one}", f"DELETE FROM public.t WHERE id = {gone}",
                        f"INSERT INTO public.t SELECT * REPLACE (id + 1000000 AS id) FROM public.t WHERE id = {other}")
        code, found = self.pair.verify("--repair")
        assert code == Exit.DONE, (found, self.pair.process.err())

    def alter(self) -> None:
        name = f"c{len(self.done)}"
        what = self.draw.choice([f"ADD COLUMN {name} int DEFAULT {self.draw.randrange(100)}", f"ADD COLUMN {name} text",
                                 f"RENAME COLUMN {self.columns[-1]} TO {name}"])
        if what.startswith("RENAME"):
            self.columns[-1] = name
        else:
            self.columns.append(name)
        self.pair.cluster.execute(f"ALTER TABLE t {what}", database=self.pair.database)

    def kill(self) -> None:
        self.pair.process.signal(signal.SIGKILL)
        self.pair.process.wait()
        self.pair.start("--history")

    def restart(self) -> None:
        assert self.pair.process.stop() == Exit.DONE, self.pair.process.err()
        self.pair.start("--history")

    def back_up(self) -> None:
        copy = self.pair.tailrace.directory / f"backup-{len(self.done)}.duckdb"
        made = self.pair.tailrace.command("backup", self.pair.tailrace.name, copy, "--state", self.pair.tailrace.state)
        assert made.code == Exit.DONE, made
        assert rows(copy, "SELECT count(*) > 0 FROM public.t") == [(True,)]

    def damage(self) -> None:
        assert self.pair.process.stop() == Exit.DONE, self.pair.process.err()
        flip(self.pair.target, self.draw.randrange(1000))
        self.pair.start("--history")


def assert_true_to(cluster: Cluster, database: str, target: Path, columns: list[str]) -> None:
    listed = ", ".join(["id", "n", "big", *columns])
    source = cluster.query(f"SELECT {listed} FROM t ORDER BY id", database=database)
    assert rows(target, f"SELECT {listed} FROM public.t ORDER BY id") == source
    assert rows(target, f"SELECT {listed} FROM public.t__history WHERE is_current ORDER BY id") == source
    assert rows(target, "SELECT id, from_lsn, to_lsn, next FROM (SELECT id, from_lsn, to_lsn, lead(from_lsn) OVER "
                        "(PARTITION BY id ORDER BY from_lsn, from_seq, to_lsn NULLS LAST) AS next FROM public.t__history) "
                        "WHERE to_lsn > next OR (to_lsn IS NULL AND next IS NOT NULL) OR to_lsn < from_lsn") == []


@pytest.mark.alone
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_to_a_pipeline_the_rows_are_right_at_the_end(cluster: Cluster, database: str, tailrace: Tailrace,
                                                                       seed: int):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, n int, v text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
                    "INSERT INTO t SELECT g, 0, 'v', repeat('y', 3000) FROM generate_series(1, 3000) g",
                    f"INSERT INTO t SELECT g, 0, 'v', 'quiet' FROM generate_series({QUIET.start}, {QUIET.stop - 1}) g", database=database)
    pair = Pair(cluster, database, tailrace, "--history")
    life = Life(pair, seed)
    hammer = Hammer(cluster, database)
    try:
        life.live(12)
    except AssertionError as failure:
        raise AssertionError(f"{life.done}\n{failure}\n{pair.process.err()}") from failure
    finally:
        hammer.stop()
    pair.wait()
    code, found = pair.verify()
    assert code == Exit.DONE and [table["state"] for table in found["tables"]] == ["equal"], (life.done, found)
    assert [problem for problem in tailrace.status()["problems"] if problem["code"] != "TR624"] == [], life.done
    assert pair.process.stop() == Exit.DONE, pair.process.err()
    assert_true_to(cluster, database, pair.target, life.columns)

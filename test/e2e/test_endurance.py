"""A pipeline that works for a long time: a steady load on tables that keep their size, with everything that happens to it in an
ordinary month, and what it holds of memory, files and disk, which may not grow. MINUTES says for how long (60)."""

import os
import random
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.redis_server import RedisServer
from e2e.tailrace import Exit, Process, Tailrace

MINUTES = float(os.environ.get("MINUTES", "60"))
SAMPLE_S = 5
ROWS = 50_000
TICK_S = 0.02
TABLES = [
    "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL, v text, big text)",
    f"INSERT INTO items SELECT g, 0, 'v' || g, CASE WHEN g % 50 = 0 THEN repeat(md5(g::text), 200) END FROM generate_series(1, {ROWS}) g",
    "CREATE TABLE batches (id bigint PRIMARY KEY, v text)",
    "CREATE TABLE grows (id int PRIMARY KEY, v text)",
    "INSERT INTO grows SELECT g, 'v' FROM generate_series(1, 100) g",
]
DIGESTS = {"items": "SELECT count(*), sum(id), sum(n), count(big), min(md5(v)), max(md5(big)) FROM {}items",
           "batches": "SELECT count(*), sum(id)::bigint, min(v), max(v) FROM {}batches",
           "grows": "SELECT count(*), min(v), max(v) FROM {}grows"}


@dataclass(frozen=True)
class Sample:
    """What the program and its pipeline hold at one moment. Sizes in MiB."""

    minute: float
    rss: float
    descriptors: int
    threads: int
    state: float
    target: float
    server: float

    def __str__(self) -> str:
        return (f"{self.minute:5.1f} min  RSS {self.rss:6.1f}  fds {self.descriptors}  threads {self.threads}  "
                f"state {self.state:6.1f}  target {self.target:6.1f}  WAL {self.server:6.1f}")


class Load:
    """About 50 transactions a second, and now and then something else; from a seed."""

    def __init__(self, cluster: Cluster, database: str):
        self.cluster, self.database, self.draw = cluster, database, random.Random(7)
        self.transactions, self.columns, self._over = 0, 0, threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with self.cluster.connect(self.database) as connection:
                while not self._over.wait(TICK_S):
                    self.transactions += 1
                    self._small(connection)
                    if self.transactions % 1000 == 0:
                        self._large(connection)
                    if self.transactions % 5000 == 0:
                        self._alter(connection)
                    if self.transactions % 7000 == 0:
                        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
                    if self.transactions % 10000 == 0:
                        connection.execute("VACUUM")
        except BaseException as failure:
            self._failure = failure

    def _small(self, connection) -> None:
        """Rows are changed, and some are replaced; never more or fewer."""
        first = self.draw.randrange(1, ROWS - 60)
        with connection.transaction():
            connection.execute("UPDATE items SET n = n + 1 WHERE id BETWEEN %s AND %s", [first, first + 30])
            connection.execute("WITH gone AS (DELETE FROM items WHERE id BETWEEN %s AND %s RETURNING *) "
                               "INSERT INTO items SELECT id, n, v, big FROM gone", [first + 40, first + 45])
            if self.draw.random() < 0.05:
                connection.execute("UPDATE items SET big = repeat(md5(random()::text), 300) WHERE id = %s", [first // 50 * 50 or 50])

    def _large(self, connection) -> None:
        """One transaction that is sent while in progress, and one of its kind that is rolled back."""
        with connection.transaction():
            connection.execute("TRUNCATE batches")
            connection.execute("INSERT INTO batches SELECT g, md5(g::text) FROM generate_series(1, 20000) g")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO batches SELECT g, md5(g::text) FROM generate_series(100000, 110000) g")
        connection.execute("ROLLBACK")

    def _alter(self, connection) -> None:
        connection.execute(f"ALTER TABLE grows RENAME COLUMN v TO v{self.columns + 1}" if self.columns == 0
                           else f"ALTER TABLE grows RENAME COLUMN v{self.columns} TO v{self.columns + 1}")
        self.columns += 1
        connection.execute(f"UPDATE grows SET v{self.columns} = 'after {self.columns}'")


def mib_of(path: Path) -> float:
    """Of a file or of all in a directory; what vanishes meanwhile counts nothing."""
    total = 0
    for file in [path] if path.is_file() else path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            pass
    return total / (1 << 20)


def sample(process: Process, tailrace: Tailrace, target: Path, cluster: Cluster, began: float) -> Sample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return Sample(minute=(time.monotonic() - began) / 60, rss=int(status["VmRSS"].split()[0]) / 1024,
                  descriptors=len(os.listdir(f"/proc/{process.pid}/fd")), threads=int(status["Threads"]), state=mib_of(tailrace.state),
                  target=mib_of(target) + mib_of(target.with_name(target.name + ".wal")) if target.exists() else 0.0,
                  server=mib_of(cluster.data / "pg_wal"))


def middle(samples: list[Sample], name: str) -> float:
    return statistics.median(getattr(one, name) for one in samples)


@pytest.mark.endurance
@pytest.mark.timeout(MINUTES * 60 + 600)
def test_what_a_pipeline_holds_does_not_grow(own_cluster: Cluster, tailrace: Tailrace):
    redis, target = RedisServer("--appendonly", "no"), tailrace.directory / "shop.duckdb"
    try:
        own_cluster.execute(*TABLES)
        file = tailrace.directory / "shop.yaml"
        file.write_text(f"name: shop\nsource: {{postgres: {{url: \"{own_cluster.url('postgres')}\"}}}}\nlog: {{journal: {{keep: 10s}}}}\n"
                        f"sinks: {{warehouse: {{duckdb: {{path: {target}}}}}, cache: {{redis: {{url: \"{redis.url}\"}}}}}}\n")
        process = tailrace.start("run", file, "--state", tailrace.state)
        assert tailrace.wait(120).code == Exit.DONE, process.err()
        load, samples, began = Load(own_cluster, "postgres"), [], time.monotonic()
        while time.monotonic() - began < MINUTES * 60 and process.code is None:
            time.sleep(SAMPLE_S)
            samples.append(sample(process, tailrace, target, own_cluster, began))
        load.end()
        assert process.code is None, process.err()
        assert tailrace.wait(120).code == Exit.DONE, process.err()
        problems = tailrace.status()["problems"]
        cached = len(list(redis.client().scan_iter("public.items:*", count=5000)))
        assert process.stop(120) == Exit.DONE, process.err()
    finally:
        redis.close()
    print(f"\n{load.transactions} transactions, {load.columns} columns renamed")
    for one in samples[::max(1, len(samples) // 30)]:
        print(one)
    assert not problems
    assert cached == ROWS
    for table, digest in DIGESTS.items():
        digest = digest.replace("(v)", f"(v{load.columns})") if table == "grows" and load.columns else digest
        assert rows(target, digest.format("public.")) == own_cluster.query(digest.format("")), table
    # The first third is for what is bounded to reach its bound.
    third = len(samples) // 3
    earlier, later = samples[third:2 * third], samples[2 * third:]
    for name, share, room in [("rss", 1.1, 8), ("descriptors", 1, 2), ("threads", 1, 1), ("state", 1.25, 32), ("target", 1.25, 32), ("server", 1.25, 64)]:
        assert middle(later, name) <= middle(earlier, name) * share + room, f"{name}: {middle(earlier, name)} became {middle(later, name)}"

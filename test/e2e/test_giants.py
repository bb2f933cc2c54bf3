"""Transactions over very many tables, with very large values, and with very many savepoints beside each other. Each in a small
form, which is part of `make test`, and in the promised one, behind `make giants`."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.conftest import drop_slot
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Process, Tailrace

MIB = 1 << 20
SLOT = "giants"


@pytest.fixture(scope="module")
def giant_cluster() -> Iterator[Cluster]:
    made = Cluster({"max_locks_per_transaction": "256", "logical_decoding_work_mem": "64kB", "max_wal_size": "'4GB'"})
    yield made
    made.close()


@pytest.fixture
def database(giant_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "".join(c if c.isalnum() else "_" for c in request.node.name)[:50]
    giant_cluster.execute(f"CREATE DATABASE {name}")
    yield name
    drop_slot(giant_cluster, SLOT)
    giant_cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Mirror:
    """A mirror with limits, and what it used at most."""

    def __init__(self, cluster: Cluster, database: str, tailrace: Tailrace, memory: str = "512MiB"):
        self.tailrace = tailrace
        self.target = tailrace.directory / "shop.duckdb"
        self._file = tailrace.directory / "shop.yaml"
        self._file.write_text(f"name: shop\nsource: {{postgres: {{url: \"{cluster.url(database)}\", slot: {SLOT}}}}}\n"
                              f"sinks: {{warehouse: {{duckdb: {{path: {self.target}}}}}}}\nlimits: {{memory: {memory}}}\n")
        self.process: Process = self.start()

    def start(self) -> Process:
        self.process = self.tailrace.start("run", self._file, "--state", self.tailrace.state)
        return self.process

    def wait(self, timeout_s: int = 60) -> None:
        answer = self.tailrace.wait(timeout_s)
        assert answer.code == Exit.DONE, f"{answer}\n{self.process.err()}"

    def peak_mib(self) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) // 1024

    def stop(self) -> None:
        assert self.process.stop(120) == Exit.DONE, self.process.err()


@pytest.mark.parametrize("tables, memory", [(150, "512MiB"), pytest.param(5000, "512MiB", marks=pytest.mark.giants)])
def test_a_transaction_changes_very_many_tables(giant_cluster: Cluster, database: str, tailrace: Tailrace, tables: int, memory: str):
    with giant_cluster.connect(database) as connection:
        for first in range(0, tables, 500):
            connection.execute(f"DO $$ BEGIN FOR i IN {first}..{min(first + 500, tables) - 1} LOOP EXECUTE format("
                               "'CREATE TABLE t%s (id int PRIMARY KEY, v text); INSERT INTO t%s VALUES (0, ''old'')', i, i); "
                               "END LOOP; END $$")
    mirror = Mirror(giant_cluster, database, tailrace, memory)
    mirror.wait(300)
    giant_cluster.execute(f"DO $$ BEGIN FOR i IN 0..{tables - 1} LOOP EXECUTE format('INSERT INTO t%s SELECT g, ''new'' FROM "
                          "generate_series(1, 3) g; UPDATE t%s SET v = ''changed'' WHERE id = 0', i, i); END LOOP; END $$",
                          database=database)
    mirror.wait(300)
    print(f"\n{tables} tables in one transaction, limits.memory {memory}: peak {mirror.peak_mib()} MiB")
    mirror.stop()
    for i in range(0, tables, tables // 15):
        assert rows(mirror.target, f"SELECT id, v FROM public.t{i} ORDER BY id") == [(0, "changed"), (1, "new"), (2, "new"), (3, "new")]


@pytest.mark.parametrize("mib, memory, fit", [
    (12, "512MiB", True),
    pytest.param(256, "512MiB", False, marks=pytest.mark.giants),
    pytest.param(256, "6GiB", True, marks=pytest.mark.giants)])
def test_very_large_values_arrive_or_are_dead_letters(giant_cluster: Cluster, database: str, tailrace: Tailrace, mib: int,
                                                      memory: str, fit: bool):
    giant_cluster.execute("CREATE TABLE large (id int PRIMARY KEY, t text, b bytea)", database=database)
    mirror = Mirror(giant_cluster, database, tailrace, memory)
    mirror.wait()
    giant_cluster.execute(f"INSERT INTO large VALUES (1, repeat('0123456789abcdef', {mib * MIB // 16}))",
                          f"INSERT INTO large VALUES (2, NULL, convert_to(repeat('fedcba9876543210', {mib * MIB // 16}), 'UTF8'))",
                          "INSERT INTO large VALUES (3, 'small')", database=database)
    mirror.wait(300)
    print(f"\n{mib} MiB as text and as bytea, limits.memory {memory}: peak {mirror.peak_mib()} MiB")
    sink = tailrace.status()["sinks"][0]
    assert sink["dead_letters"] == (0 if fit else 2), sink
    assert fit or mirror.peak_mib() < 1600
    mirror.stop()
    digest = "SELECT id, length(t), md5(t), octet_length(b), md5(b) FROM {} WHERE id = 3 OR {} ORDER BY id"
    assert rows(mirror.target, digest.format("public.large", fit)) == giant_cluster.query(digest.format("large", fit), database=database)


@pytest.mark.parametrize("sessions, depth, width", [(3, 60, 40), pytest.param(6, 1000, 300, marks=pytest.mark.giants)])
def test_transactions_with_very_many_savepoints_come_beside_each_other(
        giant_cluster: Cluster, database: str, tailrace: Tailrace, sessions: int, depth: int, width: int):
    """Of nested savepoints every third is rolled back, with all that was nested in it; kills in between."""
    giant_cluster.execute("CREATE TABLE t (id bigint PRIMARY KEY, v text)", database=database)
    mirror = Mirror(giant_cluster, database, tailrace)
    mirror.wait()
    together = threading.Barrier(sessions + 1)

    def write(session: int) -> None:
        with giant_cluster.connect(database) as connection:
            connection.execute("BEGIN")
            for level in range(depth):
                connection.execute(f"SAVEPOINT s{level}")
                first = (session * depth + level) * width
                connection.execute(f"INSERT INTO t SELECT g, repeat('v', 50) FROM generate_series({first}, {first + width - 1}) g")
                if level % 3 == 2:
                    connection.execute(f"ROLLBACK TO s{level - 1}")
                if level == depth // 2:
                    together.wait(300)
                    together.wait(300)
            connection.execute("ROLLBACK" if session == 1 else "COMMIT")

    threads = [threading.Thread(target=write, args=(session,)) for session in range(sessions)]
    for thread in threads:
        thread.start()
    together.wait(300)
    mirror.process.kill()
    mirror.start()
    together.wait(300)
    for thread in threads:
        thread.join()
    mirror.wait(300)
    print(f"\n{sessions} transactions of {depth} nested savepoints: peak {mirror.peak_mib()} MiB")
    mirror.stop()
    digest = "SELECT count(*), sum(id)::bigint, min(id), max(id) FROM {}"
    found = giant_cluster.query(digest.format("t"), database=database)
    assert found[0][0] > sessions * width
    assert rows(mirror.target, digest.format("public.t")) == found


@pytest.mark.giants
def test_a_value_that_the_server_cannot_write_out_is_named(giant_cluster: Cluster, database: str, tailrace: Tailrace):
    """Its text would be longer than the server's own limit of 1 GiB, so no slot can send it."""
    giant_cluster.execute("CREATE TABLE large (id int PRIMARY KEY, b bytea)", database=database)
    mirror = Mirror(giant_cluster, database, tailrace)
    mirror.wait()
    giant_cluster.execute(f"INSERT INTO large VALUES (1, convert_to(repeat('fedcba9876543210', {540 * MIB // 16}), 'UTF8'))",
                          database=database)
    told = tailrace.wait_for_problem("TR128", "times at", 60)
    assert SLOT in told, told
    mirror.process.kill()

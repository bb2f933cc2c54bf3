"""Transactions over very many tables, with very large values, and with very many savepoints beside each other. Each in a small
form, which is part of `make test`, and in the promised one, behind `make giants`."""

import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.certificates import Authority
from e2e.cluster import Cluster
from e2e.conftest import drop_slot
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Process, Tailrace

MIB = 1 << 20
SLOT = "giants"


@pytest.fixture(scope="module")
def giant_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster({"max_locks_per_transaction": "256", "logical_decoding_work_mem": "64kB", "max_wal_size": "'4GB'"})
    certified = Authority(tmp_path_factory.mktemp("certificates"), "authority").sign("server")
    for source, name in zip(certified, ("server.crt", "server.key")):
        shutil.copyfile(source, made.data / name)
        os.chmod(made.data / name, 0o600)
        shutil.chown(made.data / name, made.data.owner(), made.data.group())
    made.configure({"ssl": "on"})
    made.restart()
    yield made
    made.close()


@pytest.fixture
def database(giant_cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "".join(c if c.isalnum() else "_" for c in request.node.name.lower())[:50]
    giant_cluster.execute(f"CREATE DATABASE {name}")
    yield name
    drop_slot(giant_cluster, SLOT)
    giant_cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Mirror:
    """A mirror with limits, and what it used at most."""

    def __init__(self, cluster: Cluster, database: str, tailrace: Tailrace, memory: str = "512MiB", streaming: str = "on",
                 sslmode: str = "disable"):
        self.tailrace = tailrace
        self.target = tailrace.directory / "shop.duckdb"
        self._file = tailrace.directory / "shop.yaml"
        self._file.write_text(f"name: shop\nsource: {{postgres: {{url: \"{cluster.url(database)}?sslmode={sslmode}\", slot: {SLOT}, "
                              f"streaming: {streaming}}}}}\n"
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


@pytest.mark.parametrize("mib, memory", [(12, "512MiB"), pytest.param(256, "6GiB", marks=pytest.mark.giants)])
def test_very_large_values_arrive(giant_cluster: Cluster, database: str, tailrace: Tailrace, mib: int, memory: str):
    giant_cluster.execute("CREATE TABLE large (id int PRIMARY KEY, t text, b bytea)", database=database)
    mirror = Mirror(giant_cluster, database, tailrace, memory)
    mirror.wait()
    giant_cluster.execute(f"INSERT INTO large VALUES (1, {text_of(mib)})", f"INSERT INTO large VALUES (2, NULL, {bytes_of(mib)})",
                          "INSERT INTO large VALUES (3, 'small')", database=database)
    mirror.wait(300)
    print(f"\n{mib} MiB as text and as bytea, limits.memory {memory}: peak {mirror.peak_mib()} MiB")
    assert tailrace.status()["sinks"][0]["dead_letters"] == 0
    mirror.stop()
    digest = "SELECT id, length(t), md5(t), octet_length(b), md5(b) FROM {} ORDER BY id"
    assert rows(mirror.target, digest.format("public.large")) == giant_cluster.query(digest.format("large"), database=database)


def text_of(mib: int) -> str:
    return f"repeat('0123456789abcdef', {mib * MIB // 16})"


def bytes_of(mib: int) -> str:
    return f"convert_to(repeat('fedcba9876543210', {mib * MIB // 16}), 'UTF8')"


def letters(tailrace: Tailrace) -> list[tuple]:
    """Each dead letter's operation, and the digest of what was kept of its rows, by id of the row."""
    with sqlite3.connect(f"file:{tailrace.state}/catalog.sqlite?mode=ro", uri=True) as catalog:
        found = []
        for letter, operation in catalog.execute("SELECT id, operation FROM dead_letter ORDER BY commit_end, ordinal").fetchall():
            digest = hashlib.md5()
            for (piece,) in catalog.execute("SELECT bytes FROM dead_letter_piece WHERE letter = ? ORDER BY piece", (letter,)):
                digest.update(piece)
            found.append((operation, digest.hexdigest()))
    return found


def row_of(*values: bytes | None) -> list[bytes]:
    """A row as pgoutput has it, in parts; b"" is a value that was not sent."""
    parts = [len(values).to_bytes(2, "big")]
    for value in values:
        parts += [b"n"] if value is None else [b"u"] if value == b"" else [b"t", len(value).to_bytes(4, "big"), value]
    return parts


def kept(operation: str, old: list[bytes], new: list[bytes]) -> tuple[str, str]:
    """As letters() gives it."""
    digest = hashlib.md5()
    for row in (old, new):
        digest.update(sum(map(len, row)).to_bytes(4, "little"))
        for part in row:
            digest.update(part)
    return operation, digest.hexdigest()


@pytest.mark.parametrize("mib, memory_mib, streaming, sslmode", [
    (40, 192, "on", "disable"), (40, 192, "off", "require"),
    pytest.param(256, 512, "on", "disable", marks=pytest.mark.giants),
    pytest.param(256, 512, "on", "require", marks=pytest.mark.giants),
    pytest.param(256, 512, "off", "disable", marks=pytest.mark.giants)])
def test_values_too_large_for_the_memory_pass_within_it(giant_cluster: Cluster, database: str, tailrace: Tailrace, mib: int,
                                                        memory_mib: int, streaming: str, sslmode: str):
    """Copied and streamed, several in a row, whole old rows included: each is a dead letter, whole, and what follows goes on."""
    giant_cluster.execute("CREATE TABLE large (id int PRIMARY KEY, n int, t text, b bytea)", "ALTER TABLE large REPLICA IDENTITY FULL",
                          f"INSERT INTO large VALUES (1, 0, {text_of(mib)})", f"INSERT INTO large VALUES (2, 0, NULL, {bytes_of(mib)})",
                          "INSERT INTO large VALUES (3, 0, 'copied')", database=database)
    mirror = Mirror(giant_cluster, database, tailrace, f"{memory_mib}MiB", streaming, sslmode)
    mirror.wait(300)
    print(f"\n{mib} MiB as text and as bytea copied, limits.memory {memory_mib} MiB: peak {mirror.peak_mib()} MiB")
    giant_cluster.execute(*(f"INSERT INTO large VALUES ({10 + i}, 0, {text_of(mib)})" for i in range(2)),
                          *(f"INSERT INTO large VALUES ({20 + i}, 0, NULL, {bytes_of(mib)})" for i in range(2)),
                          "UPDATE large SET t = '>' || t WHERE id = 10", "UPDATE large SET n = 1, t = 'beside' WHERE id = 20",
                          "DELETE FROM large WHERE id IN (11, 21)", "INSERT INTO large VALUES (4, 0, 'streamed')", database=database)
    mirror.wait(300)
    peak = mirror.peak_mib()
    print(f"the same streamed {'while in progress' if streaming == 'on' else 'whole'}, sslmode {sslmode}: peak {peak} MiB")
    mirror.stop()
    assert peak < memory_mib, f"{peak} MiB"
    assert rows(mirror.target, "SELECT id, t FROM public.large ORDER BY id") == [(3, "copied"), (4, "streamed")]
    text, data = b"0123456789abcdef" * (mib * MIB // 16), b"\\x" + b"fedcba9876543210".hex().encode() * (mib * MIB // 16)
    texts = {number: row_of(b"%d" % number, b"0", text, None) for number in (1, 10, 11)}
    datas = {number: row_of(b"%d" % number, b"0", None, data) for number in (2, 20, 21)}
    assert letters(tailrace) == [
        kept("copy", [], texts[1]), kept("copy", [], datas[2]),
        *(kept("insert", [], row) for row in (texts[10], texts[11], datas[20], datas[21])),
        kept("update", texts[10], row_of(b"10", b"0", b">" + text, None)),
        kept("update", datas[20], row_of(b"20", b"1", b"beside", b"")),
        kept("delete", texts[11], []), kept("delete", datas[21], [])]


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

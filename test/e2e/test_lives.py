"""What befalls a pipeline in its life: frozen, cloned, locked out, stopped at odd moments, one of two targets away, many starts."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.shop import SHOP, Shop
from e2e.tailrace import Exit, Process, Tailrace, preloaded

PIPELINE = """name: shop
source: {{postgres: {{url: "{url}"{source}}}}}
sinks: {sinks}
"""


def write_pipeline(shop: Shop, sinks: str = "", **source: str) -> Path:
    file = shop.tailrace.directory / "shop.yaml"
    options = "".join(f", {name}: {value}" for name, value in source.items())
    file.write_text(PIPELINE.format(url=source.pop("url", shop.cluster.url(shop.database)), source=options,
                                    sinks=sinks or f"{{warehouse: {{duckdb: {{path: {shop.target}}}}}}}"))
    return file


def run(shop: Shop, file: Path, *options: str, **environment: str) -> Process:
    shop.process = shop.tailrace.start("run", file, "--state", shop.tailrace.state, *options, environment=environment)
    return shop.process


def wait_until(shop: Shop, what: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, f"{shop.problems()}\n{shop.process.err()}"
        time.sleep(0.05)


def codes(shop: Shop) -> set[str]:
    return {problem["code"] for problem in shop.problems()}


@pytest.fixture(scope="module")
def own_server() -> Iterator[Cluster]:
    """A server that gives up on a silent walsender after a second, and that tests may crash."""
    made = Cluster({"wal_sender_timeout": "'1s'"})
    yield made
    made.close()


@pytest.fixture
def shop(own_server: Cluster, tailrace: Tailrace, request: pytest.FixtureRequest) -> Iterator[Shop]:
    database = "s" + str(abs(hash(request.node.name)) % 10**9)
    own_server.execute(f"CREATE DATABASE {database}")
    own_server.execute(*SHOP, database=database)
    yield Shop(own_server, database, tailrace)
    tailrace.close()
    with own_server.connect() as connection:
        for _ in range(100):
            if not connection.execute("SELECT FROM pg_replication_slots WHERE active").fetchall():
                break
            time.sleep(0.05)
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


def test_frozen_for_longer_than_the_server_waits(shop: Shop):
    shop.start()
    shop.wait()
    shop.process.signal(signal.SIGSTOP)
    active = "SELECT FROM pg_replication_slots WHERE slot_name = 'tailrace_shop' AND active"
    for _ in range(100):
        shop.cluster.execute("UPDATE orders SET total = total + 1", database=shop.database)
        if not shop.cluster.query(active):
            break
        time.sleep(0.05)
    assert not shop.cluster.query(active), "the server did not give up"
    shop.process.signal(signal.SIGCONT)
    shop.change()
    shop.wait()
    shop.stop()
    shop.assert_equal()


def test_a_server_that_crashes_with_its_walsender(shop: Shop):
    def ask(statement: str) -> list[tuple]:
        """Nothing while the server recovers."""
        try:
            return shop.cluster.query(statement)
        except psycopg.OperationalError:
            return []

    shop.start("--history")
    shop.wait()
    for _ in range(2):
        shop.change()
        reading = "SELECT active_pid FROM pg_replication_slots WHERE active"
        wait_until(shop, lambda: ask(reading) != [])
        (pid,), = ask(reading)
        subprocess.run(["kill", "-KILL", str(pid)], check=True)
        wait_until(shop, lambda: ask(f"SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})") != [])
        shop.change()
    shop.wait()
    shop.stop()
    shop.assert_equal()


def test_a_stop_while_the_server_is_away_ends_at_once(shop: Shop):
    shop.start()
    shop.wait()
    shop.cluster.stop()
    try:
        wait_until(shop, lambda: bool(codes(shop)))
        began = time.monotonic()
        assert shop.process.stop() == Exit.DONE, shop.process.err()
        assert time.monotonic() - began < 5
    finally:
        shop.cluster.start()
    shop.change()
    shop.start()
    shop.wait()
    shop.stop()
    shop.assert_equal()


def test_a_stop_amid_the_copy_ends_at_once_and_the_next_start_goes_on(shop: Shop):
    shop.cluster.execute("INSERT INTO orders (customer, total, note) SELECT 1, g, to_jsonb(repeat('x', 500)) FROM generate_series(1, 20000) g",
                         database=shop.database)
    file = write_pipeline(shop, snapshot="{rows_per_second: 500}")
    run(shop, file)
    shop.tailrace.wait_for_state("snapshotting")
    wait_until(shop, lambda: shop.tailrace.status()["snapshot"]["tables_done"] == 2)
    began = time.monotonic()
    assert shop.process.stop() == Exit.DONE, shop.process.err()
    assert time.monotonic() - began < 5
    shop.change()
    run(shop, write_pipeline(shop))
    shop.wait()
    shop.stop()
    shop.assert_equal()


def test_a_second_program_on_a_copy_of_the_state_is_refused_and_the_first_goes_on(shop: Shop):
    """Both know the slot. Only one may read it, and what the other has missed since is not skipped."""
    shop.start()
    shop.wait()
    shop.stop()
    clone = Shop(shop.cluster, shop.database, Tailrace(shop.tailrace.directory / "clone", name="shop"))
    clone.tailrace.directory.mkdir()
    shutil.copytree(shop.tailrace.state, clone.tailrace.state)
    shutil.copy(shop.target, clone.target)
    shop.start()
    shop.change()
    shop.wait()
    clone.start()
    try:
        assert clone.process.wait(30) == Exit.UNREACHABLE, clone.process.err()
        assert "[TR118]" in clone.process.err(), clone.process.err()
        assert rows(clone.target, "SELECT count(*) FROM public.orders") == [(1000,)]
    finally:
        clone.tailrace.close()
    shop.change()
    shop.wait()
    shop.stop()
    shop.assert_equal()


def test_a_slot_that_somebody_else_reads_is_waited_for(shop: Shop):
    shop.start()
    shop.wait()
    shop.stop()
    reader = shop.cluster.run_beside(str(shop.cluster.binaries / "pg_recvlogical"), "-d", shop.cluster.conninfo(shop.database), "-S", "tailrace_shop",
                                     "--start", "-f", "-", "-F", "0", "-s", "0", "-o", "proto_version=1", "-o", "publication_names=tailrace_shop")
    try:
        wait_until(shop, lambda: shop.cluster.query("SELECT FROM pg_replication_slots WHERE active") != [])
        shop.start()
        wait_until(shop, lambda: "TR112" in codes(shop))
        assert shop.process.code is None
    finally:
        reader.kill()
        reader.wait()
    shop.change()
    shop.wait()
    shop.stop()
    shop.assert_equal()


def test_a_password_that_changes_while_it_streams_is_named_and_nothing_is_lost(shop: Shop):
    """Who is let in stays in; at the next connection the server refuses. With the right password it goes on."""
    shop.cluster.execute("DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'one'")
    try:
        shop.process = shop.tailrace.mirror(shop.cluster.url(shop.database, "guarded", "one"), shop.target)
        shop.wait()
        shop.cluster.execute("ALTER ROLE guarded PASSWORD 'two'")
        shop.change()
        shop.wait()
        shop.cluster.query("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
        assert shop.process.wait(30) == Exit.UNREACHABLE, shop.process.err()
        assert "[TR103]" in shop.process.err() and "one" not in shop.process.err().replace("none", ""), shop.process.err()
        shop.change()
        shop.process = shop.tailrace.mirror(shop.cluster.url(shop.database, "guarded", "two"), shop.target)
        shop.wait()
        shop.stop()
        shop.assert_equal()
    finally:
        shop.cluster.execute("REASSIGN OWNED BY guarded TO postgres", database=shop.database)
        shop.cluster.execute("DROP ROLE guarded")


def test_one_of_two_targets_away_holds_up_neither_the_other_nor_the_slot(shop: Shop):
    second = shop.target.with_name("second.duckdb")

    def away() -> dict:
        try:
            return next(sink for sink in shop.tailrace.status()["sinks"] if sink["name"] == "second")
        except RuntimeError:
            return {"last_error": None}

    file = write_pipeline(shop, f"{{warehouse: {{duckdb: {{path: {shop.target}}}}}, second: {{duckdb: {{path: {second}}}}}}}")
    run(shop, file)
    shop.wait()
    shop.stop()
    holder = subprocess.Popen([sys.executable, "-c", "import duckdb, sys, time; held = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(600)",
                               second], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        run(shop, file)
        wait_until(shop, lambda: "TR601" in (away()["last_error"] or ""))
        shop.change()
        end, = shop.cluster.query("SELECT pg_current_wal_insert_lsn()")[0]
        answer = shop.tailrace.command("wait", "shop", "--sink", "warehouse", "--state", shop.tailrace.state, "--timeout", "30s")
        assert answer.code == Exit.DONE, str(answer)
        wait_until(shop, lambda: shop.cluster.query(f"SELECT FROM pg_replication_slots WHERE slot_name = 'tailrace_shop' AND confirmed_flush_lsn >= '{end}'") != [])
        assert away()["lag_bytes"] > 0 and codes(shop) == set()
    finally:
        holder.kill()
        holder.wait()
    shop.wait()
    shop.stop()
    shop.assert_equal()
    for table in ("orders", "customers"):
        query = f"SELECT * FROM public.{table} ORDER BY id"
        assert rows(second, query) == rows(shop.target, query)


def test_many_starts_leave_nothing_behind(shop: Shop):
    def left() -> tuple[list[str], list[tuple]]:
        files = sorted(str(path.relative_to(shop.tailrace.directory)) for path in shop.tailrace.directory.rglob("*")
                       if "logs" not in path.parts and "segments" not in path.parts and path.suffix != ".seg")
        return files, shop.cluster.query("SELECT slot_name::text FROM pg_replication_slots UNION ALL SELECT pubname::text FROM pg_publication ORDER BY 1",
                                         database=shop.database)

    def once() -> None:
        shop.start("--until-caught-up")
        assert shop.process.wait(60) == Exit.DONE, shop.process.err()

    once()
    once()
    before = left()
    for _ in range(5):
        once()
    assert left() == before
    versions = shop.tailrace.command("schema", "history", "shop", "orders", "--json", "--state", shop.tailrace.state).json()
    assert len(versions) == 1, versions
    shop.assert_equal()


def test_tables_that_leave_and_join_the_configuration(shop: Shop):
    """One that was left out for a while is held, since changes passed it by, until it is copied again."""
    def start(tables: str) -> None:
        run(shop, write_pipeline(shop, tables=tables))
        shop.wait()

    start("[public.customers, public.orders]")
    shop.stop()
    start("[public.customers]")
    shop.change()
    shop.wait()
    shop.stop()
    start("[public.customers, public.orders]")
    shop.change()
    shop.wait()
    assert "TR618" in codes(shop), shop.problems()
    answer = shop.tailrace.command("snapshot", "shop", "public.orders", "--state", shop.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    wait_until(shop, lambda: not codes(shop))
    shop.change()
    shop.wait()
    shop.stop()
    shop.assert_equal()


@pytest.fixture
def full_disk(shop: Shop) -> dict[str, str]:
    """A disk below the journal that is full while the flag exists."""
    library = preloaded("full_disk.c", shop.tailrace.directory)
    return {"LD_PRELOAD": str(library), "FULL_DISK_FLAG": str(shop.tailrace.directory / "full"), "FULL_DISK_PREFIX": str(shop.tailrace.state / "journal")}


def test_a_full_disk_below_the_journal_holds_the_slot_and_loses_nothing(shop: Shop, full_disk: dict[str, str]):
    shop.start(**full_disk)
    shop.wait()
    flag = Path(full_disk["FULL_DISK_FLAG"])
    flag.touch()
    shop.change()
    end, = shop.cluster.query("SELECT pg_current_wal_insert_lsn()")[0]
    wait_until(shop, lambda: "TR404" in codes(shop))
    # Longer than the server would wait for a word from us.
    time.sleep(1.5)
    assert "TR404" in codes(shop) and shop.process.code is None
    assert shop.cluster.query(f"SELECT active, confirmed_flush_lsn < '{end}' FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'") == [(True, True)]
    flag.unlink()
    shop.wait()
    shop.change()
    shop.wait()
    shop.stop()
    shop.assert_equal()

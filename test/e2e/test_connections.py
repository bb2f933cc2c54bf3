"""The way to the server: cut anywhere, dribbling, silent, listed several times, through a pooler, and a server that is full."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from e2e.cluster import Cluster, ReservedPort
from e2e.proxy import Proxy
from e2e.shop import SHOP, Shop
from e2e.tailrace import Answer, Exit, Process, Tailrace, preloaded
from e2e.test_bad_input import assert_refused

# Bytes after which a connection ends: in each message of the login, of the session's set-up, of the questions, in the first
# copy, in the stream. First what the server says, then what the client says.
SERVER_SAYS = [1, 9, 30, 200, 330, 360, 390, 420, 450, 480, 520, 560, 600, 650, 700, 800, 950, 1200, 1700, 2600, 4000, 9000, 20_000, 50_000]
CLIENT_SAYS = [1, 8, 40, 100, 160, 500, 800, 1000, 1200, 1500, 2000, 3000, 5000]


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    made = Proxy(cluster.port)
    yield made
    made.close()


def start_through(shop: Shop, proxy: Proxy, *options: str) -> Process:
    shop.process = shop.tailrace.mirror(shop.cluster.url(shop.database, port=proxy.port), shop.target, *options)
    return shop.process


def run_pipeline(shop: Shop, url: str, **source: str) -> Process:
    """The shop's mirror from a pipeline file, with options of its source."""
    options = "".join(f", {name}: {value}" for name, value in source.items())
    pipeline = shop.tailrace.directory / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{url}'{options}}}}}\nsinks: {{shop: {{duckdb: {{path: {shop.target}}}}}}}\n")
    shop.process = shop.tailrace.start("run", pipeline, "--state", shop.tailrace.state)
    return shop.process


def once(shop: Shop, source: str) -> Answer:
    return shop.tailrace.command("mirror", source, shop.target, "--state", shop.tailrace.state, "--name", "shop", "--until-caught-up",
                                 timeout_s=60)


def test_a_link_that_ends_at_every_step_loses_nothing(mirror: Shop, proxy: Proxy):
    for server_says, client_says in [*((n, None) for n in SERVER_SAYS), *((None, n) for n in CLIENT_SAYS)]:
        proxy.server_says_at_most, proxy.client_says_at_most = server_says, client_says
        process = start_through(mirror, proxy)
        mirror.cluster.execute("UPDATE orders SET total = total + 1 WHERE id % 5 = 0", database=mirror.database)
        deadline = time.monotonic() + 0.7
        while process.code is None and time.monotonic() < deadline:
            time.sleep(0.02)
        # A server that was never reached is told at once, one that was is waited for.
        assert process.code in (None, Exit.UNREACHABLE), f"{server_says}, {client_says}: {process.code} {process.err()}"
        if process.code is None:
            process.kill()
        else:
            assert "[TR" in process.err(), process.err()
    proxy.server_says_at_most = proxy.client_says_at_most = None
    start_through(mirror, proxy)
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


@pytest.mark.parametrize("piece", [1, 7])
def test_a_link_that_dribbles_is_only_slow(mirror: Shop, proxy: Proxy, piece: int):
    proxy.piece = piece
    mirror.cluster.execute("DELETE FROM orders WHERE id > 100", database=mirror.database)
    start_through(mirror, proxy)
    mirror.wait()
    mirror.cluster.execute("UPDATE orders SET state = 'paid' WHERE id % 3 = 0", "DELETE FROM orders WHERE id % 10 = 1",
                           database=mirror.database)
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


def test_a_link_that_is_open_and_silent_is_given_up_within_its_limit(mirror: Shop, proxy: Proxy):
    process = run_pipeline(mirror, mirror.cluster.url(mirror.database, port=proxy.port), silence_limit="2s", connect_timeout="1s")
    mirror.wait()
    proxy.hold(True)
    held = time.monotonic()
    while not {"TR101", "TR130"} & {problem["code"] for problem in mirror.problems()}:
        assert process.code is None and time.monotonic() < held + 8, f"{mirror.tailrace.status()}\n{process.err()}"
        time.sleep(0.1)
    mirror.change()
    proxy.hold(False)
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


@contextlib.contextmanager
def a_silent_host() -> Iterator[int]:
    """It takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def listed(shop: Shop, *ports: int, **options: str) -> str:
    return shop.cluster.conninfo(shop.database, port=",".join(map(str, ports)), **options).replace(
        "host=127.0.0.1", "host=" + ",".join(["127.0.0.1"] * len(ports)))


def test_hosts_that_are_dead_or_silent_are_passed_over(mirror: Shop):
    with a_silent_host() as silent:
        source = listed(mirror, ReservedPort().number, silent, mirror.cluster.port, target_session_attrs="read-write")
        process = run_pipeline(mirror, source, connect_timeout="1s")
        mirror.wait()
        mirror.change()
        mirror.wait()
        assert process.stop() == Exit.DONE, process.err()
    mirror.assert_equal()


def test_a_list_without_a_usable_host_names_each(mirror: Shop):
    dead = ReservedPort().number
    source = listed(mirror, dead, mirror.cluster.port, target_session_attrs="standby")
    assert_refused(once(mirror, source), Exit.UNREACHABLE, "TR101", str(dead), str(mirror.cluster.port), "standby")


def loopbacks() -> list[str]:
    """This machine's own addresses; some have no IPv6."""
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return ["127.0.0.1", "::1"]
    return ["127.0.0.1"]


def test_addresses_of_either_kind_and_names_lead_to_the_server(mirror: Shop):
    rest = f"dbname={mirror.database} user=postgres"
    for address in loopbacks():
        with contextlib.closing(Proxy(mirror.cluster.port, address)) as proxy:
            literal, port, dead = f"[{address}]" if ":" in address else address, proxy.port, ReservedPort().number
            sources = [f"postgresql://postgres@{literal}:{port}/{mirror.database}", f"host={address} port={port} {rest}",
                       f"postgresql://postgres@{literal}:{dead},{literal}:{port}/{mirror.database}"]
            if address == "127.0.0.1":
                sources.append(f"host=localhost port={port} {rest}")
            for source in sources:
                before = proxy.connections
                mirror.change()
                answer = once(mirror, source)
                assert answer.code == Exit.DONE and proxy.connections > before, f"{source}: {answer}"
    mirror.assert_equal()


@pytest.fixture
def moving(mirror: Shop) -> tuple[dict[str, str], Path]:
    """The environment in which the host `moving.test` has an address, and the file that says which."""
    library, address = preloaded("moving_host.c", mirror.tailrace.directory), mirror.tailrace.directory / "address"
    return {"LD_PRELOAD": str(library), "MOVING_HOST": str(address)}, address


def test_a_host_whose_name_gets_another_address_is_followed(mirror: Shop, moving: tuple[dict[str, str], Path]):
    environment, address = moving
    address.write_text("127.0.0.1")
    first = Proxy(mirror.cluster.port)
    source = mirror.cluster.conninfo(mirror.database, port=first.port).replace("127.0.0.1", "moving.test")
    mirror.process = mirror.tailrace.mirror(source, mirror.target, environment=environment)
    mirror.wait()
    first.close()
    # Nobody answers at the old address any more.
    mirror.change()
    address.write_text("127.0.0.2")
    with contextlib.closing(Proxy(mirror.cluster.port, "127.0.0.2", first.port)) as second:
        mirror.wait()
        assert second.connections >= 2
        mirror.stop()
    mirror.assert_equal()


@pytest.fixture
def pooler(own_cluster: Cluster) -> Iterator[int]:
    """A PgBouncer before a server; answers its port."""
    reserved = ReservedPort()
    # In the server's directory, where the account that both run as may read it.
    config = own_cluster.directory / "pgbouncer.ini"
    config.write_text(f"[databases]\n* = host=127.0.0.1 port={own_cluster.port} user=postgres\n"
                      f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {reserved.number}\nunix_socket_dir =\n"
                      "auth_type = any\npool_mode = transaction\nignore_startup_parameters = extra_float_digits\n")
    process = own_cluster.run_beside("/usr/sbin/pgbouncer", "-q", str(config))
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(own_cluster.conninfo(port=reserved.number)).close()
            break
        assert process.poll() is None and time.monotonic() < deadline, "PgBouncer does not come up"
        time.sleep(0.05)
    yield reserved.number
    process.terminate()
    process.wait(20)
    reserved.release()


def test_a_pooler_in_between_is_refused(own_cluster: Cluster, pooler: int, tailrace: Tailrace):
    own_cluster.execute(*SHOP)
    shop = Shop(own_cluster, "postgres", tailrace)
    source = own_cluster.url(port=pooler)
    assert_refused(once(shop, source), Exit.UNREACHABLE, "TR110", "pooler")
    checked = tailrace.command("check", source)
    assert checked.code == Exit.NO and "TR110" in checked.out, str(checked)


HOSTILE = ["statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'",
           "default_transaction_read_only = on", "default_transaction_isolation = serializable", "client_min_messages = debug5",
           "search_path = pg_temp", "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard", "TimeZone = 'Asia/Kathmandu'",
           "bytea_output = escape", "extra_float_digits = 0", "client_encoding = LATIN1", "standard_conforming_strings = off",
           "session_replication_role = replica", "wal_sender_timeout = '1s'", "row_security = off", "quote_all_identifiers = on"]


def test_hostile_defaults_of_a_role_change_nothing(mirror: Shop):
    mirror.cluster.execute("DROP ROLE IF EXISTS hostile", "CREATE ROLE hostile LOGIN SUPERUSER",
                           *(f"ALTER ROLE hostile SET {setting}" for setting in HOSTILE))
    try:
        mirror.process = mirror.tailrace.mirror(mirror.cluster.url(mirror.database, "hostile"), mirror.target, "--history")
        mirror.wait()
        mirror.change()
        mirror.wait()
        mirror.stop()
        mirror.assert_equal()
    finally:
        mirror.cluster.execute("DROP PUBLICATION tailrace_shop", database=mirror.database)
        mirror.cluster.execute("DROP ROLE hostile")


@pytest.fixture
def crowded(own_cluster: Cluster, tailrace: Tailrace) -> Shop:
    """The shop on a server with little room."""
    own_cluster.configure({"max_wal_senders": "1", "max_connections": "12"})
    own_cluster.restart()
    own_cluster.execute(*SHOP)
    return Shop(own_cluster, "postgres", tailrace)


def test_a_server_without_a_free_walsender_is_named_and_then_used(crowded: Shop):
    occupier = psycopg.connect(crowded.cluster.conninfo(replication="database"), autocommit=True)
    assert_refused(once(crowded, crowded.cluster.url()), Exit.UNREACHABLE, "TR109", "max_wal_senders")
    occupier.close()
    answer = once(crowded, crowded.cluster.url())
    assert answer.code == Exit.DONE, str(answer)
    # One that ran before waits.
    crowded.change()
    with psycopg.connect(crowded.cluster.conninfo(replication="database"), autocommit=True):
        crowded.start()
        deadline = time.monotonic() + 30
        while "TR109" not in [problem["code"] for problem in crowded.problems()]:
            assert crowded.process.code is None and time.monotonic() < deadline, crowded.process.err()
            time.sleep(0.1)
    crowded.wait()
    crowded.stop()
    crowded.assert_equal()


def test_a_server_without_a_free_connection_is_named_and_then_used(crowded: Shop):
    occupiers = []
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            occupiers.append(crowded.cluster.connect())
    assert_refused(once(crowded, crowded.cluster.url()), Exit.UNREACHABLE, "TR109", "too many")
    for occupier in occupiers:
        occupier.close()
    answer = once(crowded, crowded.cluster.url())
    assert answer.code == Exit.DONE, str(answer)
    crowded.assert_equal()

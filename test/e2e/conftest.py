"""What the end-to-end tests share: a private server, a database in it, and the program in a directory of its own."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster, server_binaries, server_major
from e2e.redis_server import RedisServer
from e2e.shop import SHOP, Shop
from e2e.tailrace import Tailrace, binary, preloaded

# Standbys have slots from version 16 on, servers failover slots from 17 on and more from 18 on; `tools/versions` runs these tests
# on those.
collect_ignore = [name for name, major in {"test_failover_slots.py": 17, "test_standby.py": 16, "test_young_servers.py": 18}.items()
                  if server_major() < major]

# Most packages of servers lack pg_upgrade.
if not (server_binaries() / "pg_upgrade").exists() or server_major() < 17:
    collect_ignore.append("test_upgrade.py")
# Neither do they have these extensions, nor is one server there that has them all.
collect_ignore.append("test_extensions.py")


def pytest_configure(config: pytest.Config) -> None:
    # Under nohup this would be ignored here and in everything that is started from here.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "smoke: short tests that also run under the sanitizers")
    config.addinivalue_line("markers", "server: what may differ from one version of the server to another; `tools/versions` runs these")
    config.addinivalue_line("markers", "alone: measures time, or keeps the machine busy: no other test runs beside it")
    config.addinivalue_line("markers", "giants: the largest transactions; `make giants`, not part of `make test`")
    config.addinivalue_line("markers", "endurance: an hour of steady load; `make endurance`, not part of `make test`")
    config.addinivalue_line("markers", "minio: what a lake in a bucket is; `make minio` runs these on MinIO, too")
    config.addinivalue_line("markers", "nemesis: the oracle with SEEDS seeds; not part of `make test`")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """For tests that stop or change the server."""
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def database(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of this test; its slots go with it."""
    name = "t_" + "".join(c if c.isalnum() else "_" for c in request.node.name.lower())[:50]
    cluster.execute(f'CREATE DATABASE "{name}"')
    yield name
    cluster.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    for (slot,) in cluster.query(f"SELECT slot_name FROM pg_replication_slots WHERE database = '{name}'"):
        drop_slot(cluster, slot)
    cluster.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def drop_slot(cluster: Cluster, slot: str) -> None:
    with cluster.connect() as connection:
        for _ in range(100):
            active = connection.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                                        "WHERE slot_name = %s AND active", [slot]).fetchall()
            if not active:
                break
            connection.execute("SELECT pg_sleep(0.05)")
        connection.execute("SELECT pg_drop_replication_slot(%s)", [slot])


@pytest.fixture
def tailrace(tmp_path: Path) -> Iterator[Tailrace]:
    binary()
    made = Tailrace(tmp_path, name="shop")
    yield made
    made.close()


@pytest.fixture
def clock(tailrace: Tailrace) -> tuple[dict[str, str], Path]:
    """The environment with a clock that somebody sets, and the file that says by how many seconds."""
    library, shift = preloaded("shifted_clock.c", tailrace.directory), tailrace.directory / "shift"
    shift.write_text("0")
    return {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(shift)}, shift


@pytest.fixture
def mirror(cluster: Cluster, database: str, tailrace: Tailrace) -> Shop:
    """The shop's database, filled; its mirror is not yet started."""
    cluster.execute(*SHOP, database=database)
    return Shop(cluster, database, tailrace)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    made = RedisServer()
    yield made
    made.close()

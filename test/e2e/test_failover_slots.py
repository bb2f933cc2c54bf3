"""A primary that dies and a standby that takes over: the slot is there too, and nothing is lost (PostgreSQL 17 and later)."""

import time
from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster
from e2e.shop import SHOP, Shop
from e2e.tailrace import Exit, Tailrace

pytestmark = pytest.mark.server

FOLLOWS = {"hot_standby_feedback": "on", "sync_replication_slots": "on"}


def until(server: Cluster, condition: str) -> None:
    deadline = time.monotonic() + 60
    while server.query(f"SELECT {condition}") != [(True,)]:
        assert time.monotonic() < deadline, f"{condition}: {server.query('SELECT * FROM pg_replication_slots')}"
        time.sleep(0.1)


@pytest.fixture
def standby(own_cluster: Cluster) -> Iterator[Cluster]:
    own_cluster.execute(*SHOP)
    made = Cluster(FOLLOWS, standby_of=own_cluster)
    own_cluster.execute("ALTER SYSTEM SET synchronized_standby_slots = 'standby'", "SELECT pg_reload_conf()")
    yield made
    made.close()


def test_a_mirror_goes_on_at_the_standby_that_took_over(own_cluster: Cluster, standby: Cluster, tailrace: Tailrace):
    source = own_cluster.conninfo(port=f"{own_cluster.port},{standby.port}", target_session_attrs="read-write").replace(
        "host=127.0.0.1", "host=127.0.0.1,127.0.0.1")
    target = tailrace.directory / "shop.duckdb"
    process = tailrace.mirror(source, target)
    tailrace.wait_for_state("streaming")
    until(own_cluster, "bool_and(failover) FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'")
    until(standby, "count(*) = 1 FROM pg_replication_slots WHERE slot_name = 'tailrace_shop' AND synced AND NOT temporary")
    before, after = (Shop(server, "postgres", tailrace) for server in (own_cluster, standby))
    before.target = after.target = target
    before.change()
    # What the standby lacks is not told to us either, so that it never is behind us when it takes over.
    assert tailrace.wait().code == Exit.DONE, process.err()
    own_cluster.stop("immediate")
    standby.query("SELECT pg_promote()")
    after.change()
    assert tailrace.wait().code == Exit.DONE, process.err()
    assert process.stop() == Exit.DONE, process.err()
    after.assert_equal()

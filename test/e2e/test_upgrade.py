"""The server is upgraded by pg_upgrade, which takes the slot along (PostgreSQL 17 and later): to the same version, and from 17."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster, server_binaries
from e2e.shop import SHOP, Shop
from e2e.tailrace import Exit, Tailrace
from e2e.test_server_life import assert_stays_as_it_is, insert


BEFORE = Path(os.environ["TAILRACE_PG_BEFORE_BIN"])


@pytest.fixture(params=[BEFORE, server_binaries()], ids=["from_17", "from_the_same_version"])
def old_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    made = Cluster(binaries=request.param)
    yield made
    made.close()


@pytest.fixture
def shop(old_cluster: Cluster, tailrace: Tailrace) -> Shop:
    """Followed by a pipeline that runs, up to now."""
    old_cluster.execute("CREATE DATABASE shop")
    old_cluster.execute(*SHOP, database="shop")
    made = Shop(old_cluster, "shop", tailrace)
    made.start()
    made.wait()
    made.change()
    made.wait()
    return made


def major(cluster: Cluster) -> int:
    return int(cluster.query("SHOW server_version_num")[0][0]) // 10000


def upgrade(shop: Shop) -> None:
    """The server goes while it is followed, so that all is received, and comes back as another cluster."""
    insert(shop)
    shop.cluster.stop()
    assert shop.process.stop() == Exit.DONE, shop.process.err()
    shop.cluster.upgrade()
    shop.cluster.start()


def test_an_upgraded_cluster_is_named_and_followed_on_once_it_is_accepted(shop: Shop):
    before = shop.cluster.query("SELECT system_identifier FROM pg_control_system()")
    was = 17 if shop.cluster.binaries == BEFORE else 18
    assert major(shop.cluster) == was
    upgrade(shop)
    assert major(shop.cluster) == 18
    assert shop.cluster.query("SELECT system_identifier FROM pg_control_system()") != before
    shop.change()
    assert_stays_as_it_is(shop, "TR139", "--accept-upgrade")
    shop.start("--accept-upgrade")
    shop.change()
    shop.wait()
    verified = shop.tailrace.command("verify", "shop", "--state", shop.tailrace.state)
    assert verified.code == Exit.DONE, str(verified)
    shop.stop()
    # From then on it is the cluster that is followed.
    insert(shop)
    shop.start()
    shop.wait()
    shop.stop()
    shop.assert_equal()


def test_an_upgraded_cluster_without_its_slot_is_a_stranger(shop: Shop):
    upgrade(shop)
    shop.cluster.query("SELECT pg_drop_replication_slot('tailrace_shop')")
    assert_stays_as_it_is(shop, "TR116", "pg_upgrade")

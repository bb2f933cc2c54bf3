"""A standby as the source (PostgreSQL 16 and later)."""

import threading
import time
from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster
from e2e.pair import Hammer
from e2e.shop import SHOP, Shop
from e2e.tailrace import Exit, Tailrace

pytestmark = pytest.mark.server

PUBLICATION = "CREATE PUBLICATION tailrace_shop FOR ALL TABLES"


@pytest.fixture
def primary(own_cluster: Cluster) -> Cluster:
    own_cluster.execute(*SHOP, PUBLICATION)
    return own_cluster


@pytest.fixture
def standby(primary: Cluster) -> Iterator[Cluster]:
    made = Cluster({"hot_standby_feedback": "on"}, standby_of=primary)
    yield made
    made.close()


class Logging:
    """The primary logs every moment which transactions run, as it does by itself every 15 s."""

    def __init__(self, primary: Cluster):
        self._primary, self._stop = primary, threading.Event()
        self._thread = threading.Thread(target=self._log)
        self._thread.start()

    def _log(self) -> None:
        with self._primary.connect() as connection:
            while not self._stop.is_set():
                connection.execute("SELECT pg_log_standby_snapshot()")
                time.sleep(0.2)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def start(standby: Cluster, primary: Cluster, tailrace: Tailrace) -> Shop:
    """Mirrors the standby; changes are made at the primary."""
    shop = Shop(primary, "postgres", tailrace)
    shop.process = tailrace.mirror(standby.url(), shop.target)
    logging = Logging(primary)
    try:
        tailrace.wait_for_state("streaming")
    finally:
        logging.stop()
    return shop


def replayed(primary: Cluster, standby: Cluster) -> None:
    """Until the standby has what the primary has now."""
    (end,) = primary.query("SELECT pg_current_wal_flush_lsn()")[0]
    deadline = time.monotonic() + 60
    while standby.query(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") != [(True,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_slot_of_a_standby_says_what_it_waits_for(primary: Cluster, standby: Cluster, tailrace: Tailrace):
    checked = tailrace.command("check", standby.url())
    assert "TR132" not in checked.out, str(checked)
    # The slot waits only while something runs, or nothing was logged lately.
    with primary.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO empty_table VALUES (1, 'open')")
        tailrace.mirror(standby.url(), tailrace.directory / "shop.duckdb")
        told = tailrace.wait_for_problem("TR127", "primary", 30)
        assert "log which transactions run" in told
        connection.execute("COMMIT")
    logging = Logging(primary)
    tailrace.wait_for_state("streaming")
    logging.stop()


def test_a_standby_is_copied_followed_compared_and_promoted(primary: Cluster, standby: Cluster, tailrace: Tailrace):
    primary.execute("CREATE TABLE t (id int PRIMARY KEY, n int, v text, big text)",
                    "INSERT INTO t SELECT g, g, 'v', repeat('b', 3000) FROM generate_series(1, 2000) g")
    replayed(primary, standby)
    shop = start(standby, primary, tailrace)
    hammer = Hammer(primary, "postgres")
    try:
        for _ in range(3):
            shop.change()
            time.sleep(0.3)
        answer = tailrace.command("verify", "shop", "--state", tailrace.state)
        assert answer.code == Exit.DONE, f"{answer}\n{shop.process.err()}"
        copied = tailrace.command("snapshot", "shop", "public.t", "--state", tailrace.state)
        assert copied.code == Exit.DONE, f"{copied}\n{shop.process.err()}"
    finally:
        hammer.stop()
    shop.process.kill()
    shop.process = tailrace.mirror(standby.url(), shop.target)
    shop.change()
    replayed(primary, standby)
    shop.wait()

    primary.stop("fast")
    standby.query("SELECT pg_promote()")
    shop.cluster = standby
    shop.change()
    shop.wait()
    answer = tailrace.command("verify", "shop", "--state", tailrace.state)
    assert answer.code == Exit.DONE, f"{answer}\n{shop.process.err()}"
    shop.stop()
    shop.assert_equal()


def test_a_slot_that_a_conflict_with_the_primary_cost_is_named(primary: Cluster, standby: Cluster, tailrace: Tailrace):
    shop = start(standby, primary, tailrace)
    shop.wait()
    primary.configure({"wal_level": "replica"})
    primary.restart()
    assert shop.process.wait(60) == Exit.UNREACHABLE, shop.process.err()
    assert "TR114" in shop.process.err() and "wal_level" in shop.process.err(), shop.process.err()

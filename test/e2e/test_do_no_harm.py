"""What the application at the source sees of us: locks, and its own statements."""

import threading
import time

from e2e.shop import Shop
from e2e.tailrace import Exit

LOCKS = ("SELECT DISTINCT l.mode, c.relname::text FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation "
         "WHERE a.application_name = 'tailrace' AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')")


class LockWatch:
    """Looks all the time which locks we have on the application's tables."""

    def __init__(self, shop: Shop):
        self.seen: set[tuple[str, str]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(shop,))
        self._thread.start()

    def _look(self, shop: Shop) -> None:
        with shop.cluster.connect(shop.database) as connection:
            while not self._stop.is_set():
                self.seen |= set(connection.execute(LOCKS).fetchall())

    def modes(self) -> set[str]:
        self._stop.set()
        self._thread.join()
        return {mode for mode, _ in self.seen}


def test_reading_takes_no_lock_above_access_share(mirror: Shop):
    """Copy, stream, a second copy beside the stream, and a comparison."""
    mirror.cluster.execute("CREATE PUBLICATION tailrace_shop FOR ALL TABLES", "INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, 50000) g",
                           database=mirror.database)
    watch = LockWatch(mirror)
    try:
        mirror.start("--log-level", "info")
        mirror.wait()
        mirror.change()
        mirror.tailrace.command("snapshot", "shop", "public.orders", "--state", mirror.tailrace.state)
        deadline = time.monotonic() + 30
        while "copy.merged" not in mirror.process.err():
            assert time.monotonic() < deadline, mirror.process.err()
            time.sleep(0.05)
        assert mirror.tailrace.command("verify", "shop", "--state", mirror.tailrace.state).code == Exit.DONE
    finally:
        modes = watch.modes()
    assert modes == {"AccessShareLock"}, watch.seen
    mirror.stop()
    mirror.assert_equal()


def test_a_table_that_somebody_locks_is_waited_for_without_standing_in_the_way(mirror: Shop):
    """Whoever queues behind our wait for a lock gets through, since it is short."""
    mirror.cluster.execute("CREATE PUBLICATION tailrace_shop FOR ALL TABLES", database=mirror.database)
    with mirror.cluster.connect(mirror.database) as holder, mirror.cluster.connect(mirror.database) as other:
        holder.execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        mirror.start()
        waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'tailrace' AND wait_event_type = 'Lock'"
        deadline = time.monotonic() + 20
        while not mirror.cluster.query(waiting):
            assert mirror.process.code is None and time.monotonic() < deadline, f"{mirror.problems()}\n{mirror.process.err()}"
            time.sleep(0.01)
        other.execute("UPDATE customers SET name = name || '!' WHERE id = 1")
        holder.execute("COMMIT")
        mirror.wait()
        other.execute("UPDATE orders SET total = 1 WHERE id = 1")
    mirror.wait()
    assert mirror.problems() == []
    mirror.stop()
    mirror.assert_equal()

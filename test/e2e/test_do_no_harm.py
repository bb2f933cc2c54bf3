"""An application that goes on as it likes: what it sees of us are no locks, and its migrations are followed."""

import threading
import time

from e2e.duckdb_file import rows
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


def test_a_storm_of_alterations_is_followed_table_by_table(mirror: Shop):
    """As a migration does it: every table is altered over and over, with rows in between."""
    tables, rounds = 40, 6
    mirror.cluster.execute(*(f"CREATE TABLE storm{n} (id int PRIMARY KEY)" for n in range(tables)), database=mirror.database)
    mirror.start()
    mirror.wait()
    with mirror.cluster.connect(mirror.database) as connection:
        for turn in range(rounds):
            for n in range(tables):
                connection.execute(f"ALTER TABLE storm{n} ADD COLUMN c{turn} int DEFAULT {turn}")
                connection.execute(f"INSERT INTO storm{n} (id) VALUES ({turn})")
                connection.execute(f"UPDATE storm{n} SET c{turn} = -1 WHERE id = 0")
    mirror.wait()
    assert mirror.problems() == []
    mirror.stop()
    for n in range(tables):
        query = f"SELECT * FROM public.storm{n} ORDER BY id"
        assert rows(mirror.target, query) == mirror.cluster.query(query, database=mirror.database)

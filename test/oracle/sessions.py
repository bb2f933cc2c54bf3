"""Runs a plan: one thread and one connection per session; errors end a transaction, never a session."""

import random
import threading
import time
from collections import Counter

import psycopg

from oracle.plan import Transaction

HOSTILE_SETTINGS = ["SET TimeZone TO 'Asia/Kathmandu'", "SET DateStyle TO 'German'", "SET IntervalStyle TO iso_8601",
                    "SET bytea_output TO escape", "SET extra_float_digits TO 0", "SET TimeZone TO 'America/New_York'"]


def origin_of(number: int) -> str:
    return f"elsewhere {number}"


class Sessions:
    """Starts them all, waits for their end or ends them after their current transactions."""

    def __init__(self, conninfo: str, plans: list[list[Transaction]], seed: int, spread_s: float = 0.0):
        """`spread_s`: about how long the plans shall last; 0: as fast as the server takes them."""
        self._conninfo = conninfo
        self._name = f"{seed}"
        self._gap_s = spread_s / max(1, len(plans[0]))
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.outcomes: Counter = Counter()
        self.unexpected: list[str] = []
        self._threads = [threading.Thread(target=self._session, args=(number, plan, seed), name=f"session {number}", daemon=True)
                         for number, plan in enumerate(plans)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def finish(self, timeout_s: float, stop: bool = False) -> None:
        """Waits for the end of the plans, or, with `stop`, of the current transactions."""
        if stop:
            self._stop.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._stop.set()
                thread.join(30)

    def _connect(self, draw: random.Random, number: int) -> psycopg.Connection | None:
        """Whatever the session had prepared when it was cut off is committed first: it holds locks."""
        while not self._stop.is_set():
            try:
                connection = psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5)
                connection.execute("SET lock_timeout TO '1s'")
                connection.execute("SET statement_timeout TO '20s'")
                for (gid,) in connection.execute("SELECT gid FROM pg_prepared_xacts WHERE gid = %s", [f"{self._name} {number}"]).fetchall():
                    connection.execute(f"COMMIT PREPARED '{gid}'")
                if draw.random() < 0.6:
                    connection.execute(draw.choice(HOSTILE_SETTINGS))
                return connection
            except psycopg.OperationalError:
                time.sleep(0.05)
        return None

    def _session(self, number: int, plan: list[Transaction], seed: int) -> None:
        draw = random.Random(f"session {seed} {number}")
        connection = self._connect(draw, number)
        for transaction in plan:
            time.sleep(draw.uniform(0, 1.6 * self._gap_s))
            if self._stop.is_set() or connection is None:
                break
            outcome = self._execute(connection, transaction, number)
            with self._lock:
                self.outcomes[outcome] += 1
            if connection.broken or connection.closed or draw.random() < 0.01:
                connection.close()
                connection = self._connect(draw, number)
        if connection is not None:
            connection.close()

    def _execute(self, connection: psycopg.Connection, transaction: Transaction, number: int) -> str:
        """What became of it. A transaction from elsewhere is replayed under a replication origin of this session's own."""
        try:
            if transaction.origin_age_s is not None:
                connection.execute("SELECT pg_replication_origin_session_setup(%s)", [origin_of(number)])
            outcome = self._transact(connection, transaction, f"{self._name} {number}")
            if transaction.origin_age_s is not None and not connection.broken:
                connection.execute("SELECT pg_replication_origin_session_reset()")
            return outcome
        except psycopg.errors.ObjectInUse:
            return "refused"  # The connection before this one is not yet gone, and holds the origin.
        except psycopg.OperationalError:
            return "cut off"

    def _transact(self, connection: psycopg.Connection, transaction: Transaction, gid: str) -> str:
        try:
            connection.execute("BEGIN")
            if transaction.origin_age_s is not None:
                connection.execute("SELECT pg_replication_origin_xact_setup('0/1', now() - make_interval(secs => %s))",
                                   [transaction.origin_age_s])
            for index, statement in enumerate(transaction.statements):
                connection.execute(statement)
                if pause := transaction.pauses.get(index):
                    time.sleep(pause)
            ending = "COMMIT" if transaction.commits else "ROLLBACK"
            if transaction.prepares_s is not None:
                connection.execute(f"PREPARE TRANSACTION '{gid}'")
                time.sleep(transaction.prepares_s)
                ending += f" PREPARED '{gid}'"
            connection.execute(ending)
            return "committed" if transaction.commits else "rolled back"
        except (psycopg.errors.IntegrityError, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected,
                psycopg.errors.QueryCanceled, psycopg.NotSupportedError):
            connection.execute("ROLLBACK")
            return "refused"
        except psycopg.OperationalError:
            return "cut off"
        except psycopg.Error as failure:
            with self._lock:
                self.unexpected.append(f"{failure} in {[s[:3000] for s in transaction.statements]}"[:4000])
            if not connection.broken:
                connection.execute("ROLLBACK")
            return "unexpected"

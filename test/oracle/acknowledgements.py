"""Watches what the server has been told to be safe."""

import threading
import time

import psycopg

from e2e.cluster import Cluster
from oracle.checker import Findings
from oracle.truth import format_lsn, parse_lsn


class AcknowledgementWatch:
    """Samples the slot's confirmed position: it must not go back while the server stays up."""

    def __init__(self, cluster: Cluster, slot: str, findings: Findings):
        self._cluster = cluster
        self._slot = slot
        self._findings = findings
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._last = 0
        self.first = 0
        self.highest = 0
        self._thread = threading.Thread(target=self._watch, name="acknowledgements", daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """The server goes down: it may come back with an older position."""
        with self._lock:
            self._last = 0

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def settle(self) -> int:
        """After the program died: what it sent last is taken in by the server, and the highest it has confirmed answered."""
        deadline = time.monotonic() + 2
        with self._cluster.connect(connect_timeout=2) as connection:
            while self._look(connection) and time.monotonic() < deadline:
                time.sleep(0.01)
        return self.highest

    def _watch(self) -> None:
        connection = None
        while not self._stop.wait(0.05):
            try:
                connection = connection or self._cluster.connect(connect_timeout=2)
                self._look(connection)
            except psycopg.Error:
                connection = None

    def _look(self, connection: psycopg.Connection) -> bool:
        """One sample. Asked and compared under one lock, since samples of two threads must not overtake each other. Answers
        whether somebody streams from the slot."""
        with self._lock:
            row = connection.execute("SELECT confirmed_flush_lsn::text, active FROM pg_replication_slots "
                                     "WHERE slot_name = %s", [self._slot]).fetchone()
            if not row or not row[0]:
                return False
            confirmed = parse_lsn(row[0])
            self._findings.require("acknowledgement never goes back", confirmed >= self._last,
                                   f"{format_lsn(confirmed)} after {format_lsn(self._last)}")
            self._last = confirmed
            self.first = self.first or confirmed
            self.highest = max(self.highest, confirmed)
            return row[1]

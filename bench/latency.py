"""From COMMIT to visible in a target, while a steady load runs.

A writer commits transactions of ten changes on two large tables; each also raises `n` in the one row of the table
`pulse`, and notes the time when its COMMIT came back. A reader asks the target for `n`, over one connection, again and
again. A commit is visible when the answer to a question holds its `n`; the time of that answer counts. So the figure
contains the question itself (about a millisecond) and, on average, half the pause between two questions: it is never
too good.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from conversation import Conversation
from server import Server

CHANGES_PER_COMMIT = 10
ASK_EVERY_S = 0.002


class Writer(threading.Thread):
    """Commits at a steady rate and notes when."""

    def __init__(self, server: Server, rows: int, changes_per_second: int, seconds: float):
        super().__init__()
        self._server = server
        self._rows = rows
        self._interval = CHANGES_PER_COMMIT / changes_per_second
        self._seconds = seconds
        self.committed: list[float] = []
        self.elapsed = 0.0

    def run(self) -> None:
        half = (CHANGES_PER_COMMIT - 2) // 2
        with self._server.connect() as connection:
            # Otherwise the server itself holds a commit back from its readers for up to wal_writer_delay.
            connection.execute("set synchronous_commit = on")
            connection.execute(
                f"prepare change(bigint) as with a as (update events set amount = amount + 1 where id in "
                f"(select 1 + (random() * {self._rows - 1})::bigint from generate_series(1, {half})) returning 1), "
                f"b as (update orders set amount = amount + 1 where id in "
                f"(select 1 + (random() * {self._rows - 1})::bigint from generate_series(1, {half})) returning 1), "
                f"c as (insert into orders values ({self._rows} + $1, 1, 'new', 1, now()) returning 1) "
                f"update pulse set n = $1")
            started = time.monotonic()
            number = 0
            while time.monotonic() - started < self._seconds:
                number += 1
                connection.execute(f"execute change({number})")
                self.committed.append(time.monotonic())
                ahead = started + number * self._interval - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)
            self.elapsed = time.monotonic() - started


class Eye(threading.Thread):
    """Asks one target for `n` until told to stop and `n` is the last one."""

    def __init__(self, ask: Callable[[], int], every_s: float = ASK_EVERY_S):
        super().__init__()
        self._ask, self._every_s = ask, every_s
        self.last: int | None = None
        #: When which `n` was seen first.
        self.seen: list[tuple[float, int]] = []
        self.questions = 0

    def run(self) -> None:
        known = 0
        while self.last is None or known < self.last:
            n = self._ask()
            self.questions += 1
            if n > known:
                known = n
                self.seen.append((time.monotonic(), n))
            time.sleep(self._every_s)


def percentiles(committed: list[float], seen: list[tuple[float, int]]) -> dict:
    """In milliseconds. `seen`: in the order of time."""
    visible: dict[int, float] = {}
    known = 0
    for at, n in seen:
        while known < n:
            known += 1
            visible[known] = at
    # The first second warms up.
    first = max(1, len(committed) // 10)
    waits = sorted(visible[i + 1] - at for i, at in enumerate(committed) if i >= first)
    return {"p50_ms": 1000 * waits[len(waits) // 2], "p99_ms": 1000 * waits[len(waits) * 99 // 100], "max_ms": 1000 * waits[-1]}


def watch(writer: Writer, eyes: dict[str, Eye]) -> None:
    """Lets the writer write, and all eyes see what it wrote."""
    for thread in (*eyes.values(), writer):
        thread.start()
    writer.join()
    for eye in eyes.values():
        eye.last = len(writer.committed)
    for eye in eyes.values():
        eye.join()


def measure(server: Server, socket_path: Path, rows: int, changes_per_second: int, seconds: float) -> dict:
    """Percentiles in milliseconds. REQUIRES: the pipeline has caught up, `pulse` holds n = 0."""
    questions = Conversation(socket_path)
    writer = Writer(server, rows, changes_per_second, seconds)
    eye = Eye(lambda: int(questions.query("select n from public.pulse").splitlines()[-1]))
    watch(writer, {"duckdb": eye})
    questions.close()
    return percentiles(writer.committed, eye.seen) | {
        "changes_per_second": CHANGES_PER_COMMIT * len(writer.committed) / writer.elapsed,
        "questions_per_second": eye.questions / seconds,
    }

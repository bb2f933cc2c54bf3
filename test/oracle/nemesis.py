"""Breaks things at drawn times: the program, the server, the network between them, the power of the log's disk."""

import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from e2e.tailrace import REPOSITORY, binary

KINDS = {"kill": 8, "terminate": 5, "freeze": 6, "server fast": 5, "server immediate": 7, "walsender": 14, "cut": 18, "hold": 6,
         "checkpoint": 6, "switch wal": 6, "copy again": 16,
         "target killed": 5}
POINT = re.compile(r'TAILRACE_CRASH_POINT\("([^"]+)"\)')
# Of the first copy; "recopy" is what copies a table again.
COPYING = re.compile("(?<!re)copy|copies|slot_created")
UNARMED = 0.2
TRAPS = 4


@dataclass(frozen=True)
class Fault:
    """One fault. `after_s`: quiet time before it."""

    kind: str
    after_s: float
    duration_s: float = 0.0

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True)
class Arm:
    """Where a started program kills itself: at the `passage`-th time that it comes by."""

    point: str
    passage: int

    def __str__(self) -> str:
        return f"{self.point}:{self.passage}"


def crash_points() -> list[str]:
    """The names in the source tree; none if the program was built without them."""
    if b"TAILRACE_CRASH_AT" not in binary().read_bytes():
        return []
    found = subprocess.run(["grep", "-rhoE", r'TAILRACE_CRASH_POINT\("[^"]+"\)', str(REPOSITORY / "src")],
                           capture_output=True, text=True)
    return sorted({match[1] for line in found.stdout.splitlines() if (match := POINT.search(line))})


def meets_the_copy(seed: int) -> bool:
    """In one seed of three the faults also meet the first copy; in the others they begin when it is done."""
    return seed % 3 == 0


def draw_faults(seed: int) -> Iterator[Fault]:
    """Endless."""
    draw = random.Random(f"faults {seed}")
    while True:
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        yield Fault(kind, draw.choice([0.05, 0.2, 0.5, 1.0, 2.0]) * draw.uniform(0.5, 1.0), draw.uniform(0.1, 1.2))


def draw_arms(seed: int, points: list[str]) -> Iterator[tuple[Arm, ...]]:
    """What each start of the program is armed with: it dies where it comes first. Endless; the points are passed in turn, in an
    order of the seed's own."""
    draw = random.Random(f"arms {seed}")
    copying = [point for point in points if COPYING.search(point)]
    streaming = [point for point in points if point not in copying]
    if meets_the_copy(seed):
        for _ in range(2):
            yield tuple(Arm(point, draw.choice([1, 2, 5, 12])) for point in draw.sample(copying, min(2, len(copying))))
    else:
        yield ()
    turn: list[str] = []
    while True:
        if draw.random() < UNARMED:
            yield ()
        if len(turn) < TRAPS:
            turn += draw.sample(streaming, len(streaming))
        yield tuple(Arm(point, draw.choice([1, 2, 3, 7, 20])) for point in turn[:TRAPS])
        del turn[:TRAPS]

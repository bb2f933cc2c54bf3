"""Breaks things at drawn times: the program, the server, the network between them."""

import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from e2e.tailrace import REPOSITORY, binary

KINDS = {"crash point": 34, "kill": 16, "terminate": 8, "freeze": 6, "server fast": 6, "server immediate": 8, "walsender": 10,
         "cut": 14, "hold": 5, "checkpoint": 4, "switch wal": 4}
POINT = re.compile(r'TAILRACE_CRASH_POINT\("([^"]+)"\)')


@dataclass(frozen=True)
class Fault:
    """One fault. `after_s`: quiet time before it. `point`/`passage`: where the program kills itself."""

    kind: str
    after_s: float
    duration_s: float = 0.0
    point: str = ""
    passage: int = 0
    inspect: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.point}:{self.passage}" if self.point else self.kind


def crash_points() -> list[str]:
    """The names in the source tree; none if the program was built without them."""
    if b"TAILRACE_CRASH_AT" not in binary().read_bytes():
        return []
    found = subprocess.run(["grep", "-rhoE", r'TAILRACE_CRASH_POINT\("[^"]+"\)', str(REPOSITORY / "src")],
                           capture_output=True, text=True)
    return sorted({match[1] for line in found.stdout.splitlines() if (match := POINT.search(line))})


def draw_faults(seed: int, points: list[str]) -> Iterator[Fault]:
    """Endless. The crash points are taken in turn across seeds, so that a few runs pass them all."""
    draw = random.Random(f"faults {seed}")
    turn = seed * 4
    while True:
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "crash point" and not points:
            kind = "kill"
        point = ""
        if kind == "crash point":
            point, turn = points[turn % len(points)], turn + 1
        yield Fault(kind, draw.choice([0.05, 0.2, 0.5, 1.0, 2.0]) * draw.uniform(0.5, 1.0), draw.uniform(0.1, 1.2), point,
                    draw.choice([1, 1, 1, 2, 3, 7]) if point else 0, draw.random() < 0.5)

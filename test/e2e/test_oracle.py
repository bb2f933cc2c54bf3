"""The oracle against the real program: three fixed seeds always, SEEDS others under `-m nemesis`: new ones each time, or those
from FROM on. A seed that fails is named and replays: `cd test && python -m oracle --seed N --seconds 20`."""

import os
import time

import pytest

from oracle.run import Run

SMOKE_SEEDS = (1, 2, 3)
SMOKE_SECONDS = 12
NEMESIS_SECONDS = 20
FIRST = int(os.environ.get("FROM") or int(time.time()) // 10 % 1_000_000)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SMOKE_SEEDS)
def test_nothing_is_lost_doubled_or_bent_whatever_breaks(seed: int):
    report = Run(seed, SMOKE_SECONDS).execute()
    print(report)
    assert report.ok, str(report)


@pytest.mark.nemesis
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + int(os.environ.get("SEEDS", "20"))))
def test_nemesis(seed: int):
    report = Run(seed, NEMESIS_SECONDS).execute()
    print(report)
    assert report.ok, str(report)

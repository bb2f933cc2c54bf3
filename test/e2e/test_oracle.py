"""The oracle against the real program: three fixed seeds always, SEEDS of them under `-m nemesis`."""

import os

import pytest

from oracle.run import Run

SMOKE_SEEDS = (1, 2, 3)
SMOKE_SECONDS = 12
NEMESIS_SECONDS = 20


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SMOKE_SEEDS)
def test_nothing_is_lost_doubled_or_bent_whatever_breaks(seed: int):
    report = Run(seed, SMOKE_SECONDS).execute()
    print(report)
    assert report.ok, str(report)


@pytest.mark.nemesis
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(101, 101 + int(os.environ.get("SEEDS", "20"))))
def test_nemesis(seed: int):
    report = Run(seed, NEMESIS_SECONDS).execute()
    print(report)
    assert report.ok, str(report)

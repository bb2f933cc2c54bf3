"""The scenario of examples/lakehouse, as a stranger runs it: twice, and away with it."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from e2e.tailrace import binary

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/lakehouse"


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    # Below /var/tmp, which has the extended attributes that the S3 server needs, and where the server's account may go.
    data = Path("/var/tmp") / f"tailrace-lakehouse-{os.getpid()}"
    environment = os.environ | {"TAILRACE_BIN": str(binary()), "LAKEHOUSE_DATA": str(data), "LAKEHOUSE_SECONDS": "3"}
    yield environment
    subprocess.run([EXAMPLE / "reset"], env=environment, check=True, capture_output=True)
    assert not data.exists()


def run(environment: dict[str, str]) -> str:
    done = subprocess.run([EXAMPLE / "run"], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def figures(said: str, table: str) -> tuple[int, int, int]:
    """Versions, rows, changes in the lake."""
    found = re.search(rf"{table}: (\d+) versions of (\d+) rows, \d+ of them deleted; (\d+) changes in the lake: as the source had them", said)
    assert found, said
    return tuple(map(int, found.groups()))


def test_the_lakehouse_is_true_after_every_run_and_goes_without_a_trace(environment: dict[str, str]):
    first = run(environment)
    assert "lakehouse: OK" in first and "was killed in between" in first and "once more: nothing changed" in first
    before = figures(first, "products")
    # 40 rows were copied; each has a version, and each change made one more or ended one.
    assert before[0] > before[1] >= 40 and before[2] > before[0]
    again = run(environment)
    after = figures(again, "products")
    assert "lakehouse: OK" in again and all(later >= earlier for earlier, later in zip(before, after)) and after[2] > before[2]
    data = Path(environment["LAKEHOUSE_DATA"])
    metrics = json.loads((data / "metrics.json").read_text())
    assert {sink["name"] for sink in metrics["sinks"]} == {"lake", "history"} and metrics["totals"]["dead_lettered"] == 0
    assert not list(data.glob("*.pid"))


def test_what_is_wrong_in_a_target_is_found(environment: dict[str, str]):
    run(environment)
    data = Path(environment["LAKEHOUSE_DATA"])
    # A lie in what the writer wrote down: one version more than there was.
    with open(data / "truth.jsonl", "a", encoding="utf-8") as truth:
        truth.write(json.dumps(["2026-01-01T00:00:00+00:00", [["u", "products", [1, "never", None, 1.0]]]]) + "\n")
    done = subprocess.run([EXAMPLE / "run"], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode != 0 and "WRONG: products 1: " in done.stderr, done.stdout + done.stderr
    assert not list(data.glob("*.pid"))

"""The scenario of examples/transactions, as a stranger runs it: at once and again, step by step, and away with it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.tailrace import binary

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/transactions"


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    # Where the server's account may go, too.
    data = Path("/var/tmp") / f"tailrace-transactions-{os.getpid()}-{abs(hash(request.node.name)) % 1000}"
    environment = os.environ | {"TAILRACE_BIN": str(binary()), "TRANSACTIONS_DATA": str(data), "TRANSACTIONS_SECONDS": "2", "BATCH_TIMEOUT": "1"}
    yield environment
    subprocess.run([EXAMPLE / "reset"], env=environment, check=True, capture_output=True)
    assert not data.exists()


def run(environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(command or [EXAMPLE / "run"], env=environment, capture_output=True, text=True, timeout=240, cwd=EXAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_scenario_is_true_after_every_run_finds_what_is_wrong_and_goes_without_a_trace(environment: dict[str, str]):
    first = run(environment)
    assert "transactions: OK" in first and "killed twice in between, Snowflake once" in first
    data = Path(environment["TRANSACTIONS_DATA"])
    metrics = json.loads((data / "metrics.json").read_text())["totals"]
    assert metrics["consumed"] == metrics["applied"] + metrics["filtered"] + metrics["dead_lettered"] + metrics["held"]
    assert metrics["rejected"] >= 4 and metrics["operations"]["delete"] > 0, metrics
    assert re.search(r"Pipeline Stats - Consumed: \d+, Validated: \d+, Loaded: \d+, Errors: \d+", first)
    assert not list(data.glob("*.pid"))
    before = int(re.search(r"(\d+) rows in Snowflake are what the application wrote", first).group(1))
    again = run(environment)
    assert "transactions: OK" in again
    assert int(re.search(r"(\d+) rows in Snowflake are what the application wrote", again).group(1)) > before
    # A lie in what the application wrote down: a row that is there was deleted.
    lines = [json.loads(line) for line in (data / "truth.jsonl").read_text().splitlines()]
    alive = {key for what, key, _ in lines if what == "there"} - {key for what, key, _ in lines if what == "deleted"}
    with open(data / "truth.jsonl", "a") as truth:
        truth.write(json.dumps(["deleted", min(alive), None]) + "\n")
    done = subprocess.run([EXAMPLE / "run"], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode != 0 and "WRONG: 1 rows too many, 0 too few" in done.stderr, done.stdout + done.stderr
    assert not list(data.glob("*.pid"))


def test_the_steps_work_one_by_one(environment: dict[str, str]):
    def step(name: str, *variables: str) -> str:
        return run(environment, "make", "-s", name, *variables)

    assert "generate-test-data" in step("help")
    assert "Nothing was created" in step("setup")
    assert "wrong" in step("generate-test-data", "COUNT=150")
    assert "Nothing was created" in step("test-connection")
    step("batch")
    assert "all is in Snowflake" in step("create-connector")
    step("generate-test-data", "COUNT=100")
    assert "streaming" in step("check-connector")
    assert step("health-check").startswith("200 ")
    assert "TRANSACTIONS_BY_USER" in step("query-views")
    assert "Consumed: " in step("stats")
    assert json.loads(step("metrics"))["consumed"] > 0
    assert "validation: " in step("dlq-count") and "validation: " in step("dlq-list")
    step("dlq-clear")
    assert "validation: " not in step("dlq-count")
    step("stop")
    step("clean")
    assert not Path(environment["TRANSACTIONS_DATA"]).exists()
    run(environment, "make", "-s", "setup")

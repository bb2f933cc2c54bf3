"""A log that lost what PostgreSQL was told is durable: named, never continued."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.tailrace import Exit, Tailrace

pytestmark = pytest.mark.smoke

PIPELINE = """name: shop
source: {{postgres: {{url: "{url}"}}}}
sinks: {{}}
"""
KEPT_BYTES = 8192


@pytest.fixture
def captured(tailrace: Tailrace, cluster: Cluster, database: str) -> Path:
    """A pipeline without a sink that has captured some transactions into its log, and was stopped."""
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", database=database)
    pipeline = tailrace.directory / "shop.yaml"
    pipeline.write_text(PIPELINE.format(url=cluster.url(database)))
    process = tailrace.start("run", pipeline, "--state", tailrace.state)
    tailrace.wait_for_state("streaming")
    for n in range(50):
        cluster.execute(f"INSERT INTO t VALUES ({n}, repeat('x', 1000))", database=database)
    assert tailrace.wait().code == Exit.DONE
    assert process.stop() == Exit.DONE, process.err()
    return pipeline


def cut(tailrace: Tailrace) -> None:
    for file in (tailrace.state / "journal").iterdir():
        if file.is_file():
            os.truncate(file, KEPT_BYTES)


def test_a_log_that_is_cut_is_damaged(tailrace: Tailrace, captured: Path):
    cut(tailrace)
    answer = tailrace.command("run", captured, "--state", tailrace.state)
    assert answer.code == Exit.DAMAGED and "[TR401]" in answer.err and "help: " in answer.err, str(answer)


def test_a_log_that_is_gone_is_damaged(tailrace: Tailrace, captured: Path):
    shutil.rmtree(tailrace.state / "journal")
    answer = tailrace.command("run", captured, "--state", tailrace.state)
    assert answer.code == Exit.DAMAGED and "[TR401]" in answer.err and "help: " in answer.err, str(answer)


def test_a_slot_beyond_a_cut_log_is_refused(tailrace: Tailrace, captured: Path):
    """As when the process died before the catalog heard of what was acknowledged last."""
    cut(tailrace)
    with sqlite3.connect(tailrace.state / "catalog.sqlite") as catalog:
        assert catalog.execute("DELETE FROM text WHERE key = 'log_durable'").rowcount == 1
    answer = tailrace.command("run", captured, "--state", tailrace.state)
    assert answer.code == Exit.UNREACHABLE and "[TR118]" in answer.err and "help: " in answer.err, str(answer)

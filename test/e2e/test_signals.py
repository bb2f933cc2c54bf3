"""Signals that ask the program to stop, at awkward moments."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.shop import Shop
from e2e.tailrace import Exit, Process

pytestmark = pytest.mark.smoke


def _wait_until_it_hears(process: Process) -> None:
    deadline = time.monotonic() + 20
    while not process.hears(signal.SIGTERM):
        assert process.code is None and time.monotonic() < deadline, process.err()
        time.sleep(0.002)


@contextmanager
def _hangup_ignored() -> Iterator[None]:
    """As under nohup: children inherit it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def unwritten(tmp_path: Path) -> Path:
    """A pipeline file whose reader waits until somebody writes it."""
    made = tmp_path / "unwritten.yaml"
    os.mkfifo(made)
    return made


def test_a_stop_that_comes_before_the_pipeline_is_known_drains_too(mirror: Shop, unwritten: Path):
    process = mirror.tailrace.start("run", unwritten)
    _wait_until_it_hears(process)
    process.signal(signal.SIGTERM)
    unwritten.write_text(f"name: shop\nsource: {{postgres: {{url: '{mirror.cluster.url(mirror.database)}'}}}}\n"
                         "sinks: {shop: {duckdb: {path: shop.duckdb}}}\n")
    assert process.wait(60) == Exit.DONE, process.err()


def test_a_command_that_has_nothing_to_drain_is_ended_by_the_signal(mirror: Shop, unwritten: Path):
    process = mirror.tailrace.start("check", unwritten)
    time.sleep(0.1)
    process.signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM


def test_a_hangup_stops_a_mirror_unless_nohup_took_it_away(mirror: Shop):
    with _hangup_ignored():
        mirror.start()
    mirror.wait()
    mirror.process.signal(signal.SIGHUP)
    time.sleep(0.5)
    assert mirror.process.code is None, mirror.process.err()
    mirror.stop()
    mirror.start()
    mirror.wait()
    mirror.process.signal(signal.SIGHUP)
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()


def test_a_stop_while_the_slot_waits_for_a_transaction_ends_with_0(mirror: Shop):
    with mirror.cluster.connect(mirror.database) as other:
        other.execute("BEGIN; UPDATE orders SET total = 0 WHERE id = 1")
        mirror.start()
        deadline = time.monotonic() + 30
        while not mirror.cluster.query(f"SELECT FROM pg_replication_slots WHERE database = '{mirror.database}'"):
            assert mirror.process.code is None and time.monotonic() < deadline, mirror.process.err()
            time.sleep(0.05)
        mirror.stop()
        other.execute("ROLLBACK")

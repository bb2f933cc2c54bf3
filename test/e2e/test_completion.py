"""Rows whose large value never came with the stream are read from the source, and end up exact."""

import random
import threading
import time

import pytest

from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit

BIG = "repeat(md5({0}::text), 3000)"
# A row that an UPDATE moves into the filter comes as an INSERT, without the large values that were not touched.
MOVING = [
    "CREATE TABLE moving (region text, id int, n int, big text, PRIMARY KEY (region, id))",
    "ALTER TABLE moving ALTER COLUMN big SET STORAGE EXTERNAL",
    f"INSERT INTO moving SELECT CASE WHEN g % 2 = 0 THEN 'eu' ELSE 'us' END, g, 0, {BIG.format('g')} FROM generate_series(1, 60) g",
    "CREATE PUBLICATION tailrace_shop FOR TABLE moving WHERE (region = 'eu')",
]
DIGEST = "SELECT region, id, n, md5(big) FROM {} WHERE region = 'eu' ORDER BY id"


@pytest.fixture
def moving(mirror: Shop) -> Shop:
    mirror.cluster.execute(*MOVING, database=mirror.database)
    return mirror


def wait_until_complete(shop: Shop) -> dict:
    for _ in range(300):
        shop.wait()
        sink = shop.tailrace.status()["sinks"][0]
        if sink["rows_incomplete"] == 0:
            return sink
        time.sleep(0.1)
    raise AssertionError(f"rows stay incomplete: {sink}\n{shop.process.err()}")


def assert_same(shop: Shop) -> None:
    source = shop.cluster.query(DIGEST.format("moving"), database=shop.database)
    assert rows(shop.target, DIGEST.format("public.moving")) == source


@pytest.mark.smoke
def test_rows_that_move_into_a_publications_filter_are_completed(moving: Shop):
    moving.start("--history", "--table", "public.moving")
    moving.wait()
    moving.cluster.execute("UPDATE moving SET region = 'eu', n = 1 WHERE id <= 21 AND region = 'us'", database=moving.database)
    sink = wait_until_complete(moving)
    assert sink["rows_completed"] == 11
    assert moving.tailrace.status()["problems"] == []
    moving.cluster.execute("UPDATE moving SET n = 2 WHERE id = 1", "DELETE FROM moving WHERE id = 3", database=moving.database)
    moving.wait()
    moving.stop()
    assert_same(moving)
    versions = rows(moving.target, "SELECT n, length(big), is_current FROM public.moving__history WHERE id = 1 ORDER BY from_lsn")
    assert versions == [(1, 96000, False), (2, 96000, True)]


def test_rows_that_change_while_they_are_read_end_up_exact(moving: Shop):
    """Writers move rows in and out of the filter and change them, while the program is killed."""
    moving.start("--history", "--table", "public.moving")
    moving.wait()
    stop = threading.Event()
    failures: list[Exception] = []

    def write(seed: int) -> None:
        rng = random.Random(seed)
        try:
            with moving.cluster.connect(moving.database) as connection:
                while not stop.is_set():
                    key = rng.randint(1, 60)
                    statement = rng.choice([
                        f"UPDATE moving SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END, n = n + 1 WHERE id = {key}",
                        f"UPDATE moving SET n = n + 1 WHERE id = {key}",
                        f"UPDATE moving SET big = {BIG.format(rng.randint(1, 9999))} WHERE id = {key}",
                    ])
                    connection.execute(statement)
                    time.sleep(0.005)
        except Exception as failure:  # told by the test's own thread
            failures.append(failure)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3):
            time.sleep(2)
            moving.process.kill()
            moving.start("--history", "--table", "public.moving")
            moving.tailrace.wait_for_state("streaming")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failures
    wait_until_complete(moving)
    assert moving.process.stop() == Exit.DONE
    assert_same(moving)
    current = rows(moving.target, DIGEST.format("public.moving__history").replace("WHERE", "WHERE is_current AND"))
    assert current == moving.cluster.query(DIGEST.format("moving"), database=moving.database)

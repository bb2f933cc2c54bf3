"""DuckDB files that break: set aside, and made anew without anybody's help."""

import os
import random
import time
from pathlib import Path

import pytest

from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit, preloaded

BLOCKS_BEGIN = 12288


def flip(file: Path, seed: int, every: int = 1500) -> bytes:
    """Flips bits all over the blocks of the file, in place. Answers what it is then."""
    draw = random.Random(seed)
    with open(file, "r+b") as handle:
        for at in range(BLOCKS_BEGIN + 200, os.path.getsize(file), every):
            handle.seek(at)
            byte = handle.read(1)[0]
            handle.seek(at)
            handle.write(bytes([byte ^ (1 << draw.randrange(8))]))
    return file.read_bytes()


def kept(target: Path) -> list[Path]:
    return sorted(path for path in target.parent.glob(target.name + ".damaged-*") if path.suffix != ".wal")


def notices(shop: Shop) -> list[str]:
    return [problem["what"] for problem in shop.tailrace.status()["problems"] if problem["code"] == "TR624"]


def copied_and_stopped(shop: Shop) -> None:
    shop.start()
    shop.wait()
    shop.change()
    shop.wait()
    shop.stop()


@pytest.mark.parametrize("how", ["flipped", "cut", "no database"])
def test_a_file_that_broke_while_nobody_looked_is_made_anew(mirror: Shop, how: str):
    copied_and_stopped(mirror)
    if how == "flipped":
        broken = flip(mirror.target, 1)
    elif how == "cut":
        os.truncate(mirror.target, os.path.getsize(mirror.target) // 2)
        broken = mirror.target.read_bytes()
    else:
        broken = b"\0" * os.path.getsize(mirror.target)
        mirror.target.write_bytes(broken)
    mirror.change()
    mirror.start()
    mirror.wait()
    assert [mirror.target.name in what for what in notices(mirror)] == [True]
    mirror.change()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()
    assert [path.read_bytes() for path in kept(mirror.target)] == [broken]


def test_a_file_that_breaks_in_use_is_made_anew_while_streaming_goes_on(mirror: Shop):
    copied_and_stopped(mirror)
    mirror.start()
    mirror.wait()
    flip(mirror.target, 2)
    received = mirror.tailrace.status()["log"]["durable_lsn"]
    for _ in range(5):
        mirror.change()
        mirror.wait()
    assert mirror.tailrace.status()["log"]["durable_lsn"] != received
    assert len(notices(mirror)) == 1, mirror.process.err()
    mirror.stop()
    mirror.assert_equal()
    assert len(kept(mirror.target)) == 1


VERSIONS = ("SELECT COLUMNS(* EXCLUDE (is_current, effective_to, to_lsn, to_seq))::VARCHAR FROM public.orders__history "
            "WHERE {} ORDER BY ALL")


def test_a_history_outlives_its_file(mirror: Shop):
    often = {"TAILRACE_BOUND_EXPORT_SECONDS": "1"}
    mirror.start("--history", **often)
    for _ in range(4):
        mirror.wait()
        mirror.change()
        time.sleep(0.7)
    mirror.wait()
    mirror.stop()
    ended = rows(mirror.target, VERSIONS.format("NOT is_current"))
    begun = rows(mirror.target, VERSIONS.format("true"))
    broken = flip(mirror.target, 3)
    mirror.change()
    mirror.start("--history", **often)
    mirror.wait()
    assert ["from their safety" in what for what in notices(mirror)] == [True]
    mirror.change()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()
    assert [path.read_bytes() for path in kept(mirror.target)] == [broken]
    assert set(ended) <= set(rows(mirror.target, VERSIONS.format("NOT is_current")))
    now = rows(mirror.target, VERSIONS.format("true"))
    assert set(begun) <= set(now) and len(set(now)) == len(now)
    current = "SELECT id, total FROM public.orders__history WHERE is_current ORDER BY id"
    assert rows(mirror.target, current) == mirror.cluster.query("SELECT id, total FROM orders ORDER BY id", database=mirror.database)


def test_a_small_log_does_not_wait_for_the_time_of_the_next_export(mirror: Shop):
    """Without hurry the next one would come after minutes, and reading from the server stand still until then."""
    mirror.cluster.execute("CREATE TABLE filler (k int, v text)", database=mirror.database)
    pipeline = mirror.tailrace.directory / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{mirror.cluster.url(mirror.database)}'}}}}\n"
                        f"log: {{journal: {{max_size: 8MiB}}}}\n"
                        f"sinks: {{warehouse: {{duckdb: {{path: {mirror.target}, history: true}}}}}}\n")
    process = mirror.tailrace.start("run", pipeline, "--state", mirror.tailrace.state, environment={
        "TAILRACE_BOUND_SEGMENT_BYTES": str(2 << 20), "TAILRACE_BOUND_KEEP_SECONDS": "0", "TAILRACE_BOUND_EXPORT_SECONDS": "3600"})
    assert mirror.tailrace.wait(30).code == Exit.DONE, process.err()
    for k in range(3):
        mirror.cluster.execute(*(f"INSERT INTO filler VALUES ({k}, repeat('{n:02}', 250000))" for n in range(12)), database=mirror.database)
        mirror.change()
        answer = mirror.tailrace.wait(40)
        assert answer.code == Exit.DONE, f"{answer}\n{process.err()}"
    assert process.stop() == Exit.DONE, process.err()
    mirror.assert_equal()


@pytest.mark.parametrize("point", ["duckdb.before_export:2", "duckdb.after_export:2", "duckdb.restored:1",
                                   "duckdb.log_set_aside:1", "duckdb.damaged_set_aside:1"])
def test_a_history_outlives_its_file_whenever_the_process_dies(mirror: Shop, point: str):
    often = {"TAILRACE_BOUND_EXPORT_SECONDS": "0"}
    mirror.start("--history", **often)
    mirror.wait()
    mirror.change()
    mirror.wait()
    mirror.stop()
    begun = rows(mirror.target, VERSIONS.format("true"))
    if "export" not in point:
        flip(mirror.target, 5)
    process = mirror.start("--history", **often, TAILRACE_CRASH_AT=point)
    deadline = time.monotonic() + 30
    while process.code is None:
        assert time.monotonic() < deadline, process.err()
        mirror.change()
        time.sleep(0.3)
    if "export" in point:
        flip(mirror.target, 5)
    mirror.start("--history", **often)
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()
    assert set(begun) <= set(rows(mirror.target, VERSIONS.format("true")))


def test_a_history_without_safety_is_left_where_it_is(mirror: Shop):
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"""name: shop
source: {{postgres: {{url: "{mirror.cluster.url(mirror.database)}"}}}}
sinks: {{warehouse: {{duckdb: {{path: {mirror.target}, history: {{tables: ["*.*"], safety: false}}}}}}}}
""")
    run = ["run", file, "--state", mirror.tailrace.state, "--until-caught-up"]
    assert mirror.tailrace.start(*run).wait(60) == Exit.DONE
    assert not mirror.target.with_name(mirror.target.name + ".history").exists()
    broken = flip(mirror.target, 3)
    process = mirror.tailrace.start(*run)
    assert process.wait(60) == Exit.DAMAGED
    assert "[TR605]" in process.err() and "history" in process.err()
    assert mirror.target.read_bytes() == broken and not kept(mirror.target)


@pytest.fixture
def full_disk(tmp_path: Path) -> dict[str, str]:
    library = preloaded("full_disk.c", tmp_path)
    return {"LD_PRELOAD": str(library), "FULL_DISK_FLAG": str(tmp_path / "full"),
            "FULL_DISK_PREFIX": str(tmp_path / "shop.duckdb")}


def test_a_full_disk_is_no_damage(mirror: Shop, full_disk: dict[str, str]):
    mirror.start(**full_disk, TAILRACE_BOUND_BUSY_WAL="65536")
    mirror.wait()
    flag = Path(full_disk["FULL_DISK_FLAG"])
    for _ in range(3):
        flag.touch()
        mirror.change()
        deadline = time.monotonic() + 30
        while mirror.tailrace.status()["sinks"][0]["last_error"] is None:
            assert time.monotonic() < deadline, mirror.process.err()
            time.sleep(0.1)
        time.sleep(0.5)
        flag.unlink()
        mirror.wait()
        mirror.change()
        mirror.wait()
    assert not notices(mirror)
    mirror.stop()
    mirror.assert_equal()
    assert not kept(mirror.target)


def test_kills_in_checkpoints_leave_a_target_that_goes_on(mirror: Shop):
    draw = random.Random(4)
    often = {"TAILRACE_BOUND_BUSY_WAL": "1"}
    points = ["duckdb.before_checkpoint:", "duckdb.after_checkpoint:"]
    for round_number in range(8):
        if round_number % 2 == 0:
            process = mirror.start(**often)
            mirror.wait()
            for _ in range(3):
                mirror.change()
            time.sleep(draw.random())  # checkpoints follow every batch
            process.kill()
        else:
            process = mirror.start(**often, TAILRACE_CRASH_AT=draw.choice(points) + str(draw.randrange(1, 4)))
            deadline = time.monotonic() + 30
            while process.code is None:
                assert time.monotonic() < deadline, process.err()
                mirror.change()
                time.sleep(0.2)
    mirror.start()
    mirror.wait()
    assert not notices(mirror)
    mirror.stop()
    mirror.assert_equal()

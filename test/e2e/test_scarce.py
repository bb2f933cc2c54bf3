"""What the operating system refuses: descriptors, memory, new files, and to write where the state is."""

import os
import re
import resource
import subprocess
import time
from pathlib import Path

import pytest

from e2e.shop import Shop
from e2e.tailrace import Exit, binary, preloaded

ORDERLY = {Exit.DONE, Exit.NO, Exit.REQUEST, Exit.UNREACHABLE, Exit.TIMEOUT, Exit.DAMAGED}


BULK = "INSERT INTO bulk SELECT g, repeat(md5(g::text), 30) FROM generate_series({0}, {0} + 9999) g"


def cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
def test_without_descriptors_it_waits_quietly_and_goes_on_when_there_are_some(mirror: Shop):
    process = mirror.start()
    mirror.wait()
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))
    mirror.change()
    # Now a new connection is needed, and whoever asks cannot be answered.
    mirror.cluster.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailrace'")
    asking = mirror.tailrace.start("status", "shop", "--state", mirror.tailrace.state)
    time.sleep(1)
    spent = cpu_seconds(process.pid)
    time.sleep(2)
    assert process.code is None, process.err()
    assert cpu_seconds(process.pid) - spent < 0.5
    assert "Too many open files" in process.err(), process.err()
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    asking.wait(20)
    mirror.wait()
    assert process.stop() == Exit.DONE, process.err()
    mirror.assert_equal()


def test_a_start_with_few_descriptors_ends_with_an_error_that_says_so(mirror: Shop):
    for most in (6, 10, 14, 18, 24):
        done = subprocess.run(["prlimit", f"--nofile={most}:{most}", binary(), "mirror", mirror.cluster.url(mirror.database), mirror.target, "--state",
                               mirror.tailrace.state, "--name", "shop", "--until-caught-up"], capture_output=True, text=True, timeout=60)
        assert done.returncode in ORDERLY, f"{most}: {done}"
        assert done.returncode == Exit.DONE or "[TR" in done.stderr, f"{most}: {done}"
    mirror.change()
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()


@pytest.mark.parametrize("part", ["journal", "catalog", ""])
def test_a_state_that_becomes_read_only_ends_or_waits_and_loses_nothing(mirror: Shop, part: str):
    flag = mirror.tailrace.directory / "read-only"
    disk = {"LD_PRELOAD": str(preloaded("full_disk.c", mirror.tailrace.directory)), "FULL_DISK_FLAG": str(flag), "FULL_DISK_READ_ONLY": "1",
            "FULL_DISK_PREFIX": str(mirror.tailrace.state / part)}
    process = mirror.start(**disk)
    mirror.wait()
    flag.touch()
    mirror.change()
    time.sleep(1.5)
    assert process.code is None or process.code in ORDERLY, process.err()
    if process.code is None:
        process.stop()
    assert process.code in ORDERLY, process.err()
    # So it is at a start, too.
    started = mirror.start("--until-caught-up", **disk)
    assert started.wait(60) in ORDERLY - {Exit.DONE} and "[TR" in started.err(), started.err()
    assert "read-only file system" in started.err().lower() or "readonly" in started.err(), started.err()
    flag.unlink()
    mirror.start("--until-caught-up", **disk)
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()


def without_inodes(mirror: Shop, part: str) -> tuple[Path, dict[str, str]]:
    """What takes the directory's inodes away while it is there, and the environment for that."""
    flag = mirror.tailrace.directory / "no-inodes"
    return flag, {"LD_PRELOAD": str(preloaded("full_disk.c", mirror.tailrace.directory)), "FULL_DISK_FLAG": str(flag), "FULL_DISK_NO_INODES": "1",
                  "FULL_DISK_PREFIX": str(mirror.tailrace.directory / part)}


@pytest.mark.parametrize("part", ["journal", "spill"])
def test_without_inodes_it_waits_and_goes_on_when_there_are_some(mirror: Shop, part: str):
    """Files that are there take what comes; new ones cannot be made: the log's next segment, that of a large transaction."""
    flag, disk = without_inodes(mirror, f"state/{part}")
    bounds = {"TAILRACE_BOUND_SEGMENT_BYTES": str(2 << 20), "TAILRACE_BOUND_SPILL_BYTES": str(128 << 10)}
    mirror.cluster.execute("CREATE TABLE bulk (id int PRIMARY KEY, t text)",
                           f"ALTER DATABASE \"{mirror.database}\" SET logical_decoding_work_mem = '{'64kB' if part == 'spill' else '64MB'}'",
                           database=mirror.database)
    process = mirror.start(**disk, **bounds)
    mirror.wait()
    flag.touch()
    mirror.cluster.execute(BULK.format(0), database=mirror.database)
    mirror.change()
    told = mirror.tailrace.wait_for_problem("TR404", "No space left on device", 30)
    assert part in told, told
    time.sleep(1)
    assert process.code is None, process.err()
    flag.unlink()
    mirror.cluster.execute(BULK.format(10_000), database=mirror.database)
    mirror.wait()
    assert process.stop() == Exit.DONE, process.err()
    mirror.assert_equal()


@pytest.mark.parametrize("part", ["state", "state/journal", "state/spill", "state/catalog", "shop.duckdb"])
def test_a_start_without_inodes_ends_or_waits_and_loses_nothing(mirror: Shop, part: str):
    flag, disk = without_inodes(mirror, part)
    flag.touch()
    process = mirror.start(**disk)
    time.sleep(2)
    if process.code is None:
        flag.unlink()
        mirror.wait()
        assert process.stop() == Exit.DONE, process.err()
    else:
        assert process.code in ORDERLY and "[TR" in process.err() and ("no space left" in process.err().lower() or part == "state/catalog"), process.err()
        flag.unlink()
    mirror.start("--until-caught-up", **disk)
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()


def test_a_start_with_little_memory_ends_or_waits_and_says_why(mirror: Shop):
    for most in (100, 150, 200, 250, 300, 400):
        process = subprocess.Popen(["prlimit", f"--as={most << 20}", binary(), "mirror", mirror.cluster.url(mirror.database), mirror.target, "--state",
                                    mirror.tailrace.state, "--name", "shop", "--until-caught-up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _, said = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            # DuckDB is tried again for ever, as any target; whoever has enough of it stops the program.
            process.terminate()
            _, said = process.communicate(timeout=60)
            assert "[TR" in said or "retrying  mirror: TR" in said, f"{most} MiB: {said}"
        assert process.returncode in ORDERLY, f"{most} MiB: {process.returncode}: {said}"
        assert process.returncode == Exit.DONE or "[TR" in said, f"{most} MiB: {said}"
    mirror.change()
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()


def test_memory_that_others_take_is_waited_for_or_ends_with_an_error_that_says_so(mirror: Shop):
    mirror.cluster.execute("CREATE TABLE bulk (id int PRIMARY KEY, t text)", database=mirror.database)
    for number in range(5):
        process = mirror.start()
        mirror.wait()
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
        used = int(re.search(r"VmSize:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) << 10
        resource.prlimit(process.pid, resource.RLIMIT_AS, (used + (number * 3 << 20), hard))
        mirror.cluster.execute(BULK.format(number * 10_000), database=mirror.database)
        mirror.change()
        time.sleep(2)
        assert process.code is None or process.code in ORDERLY, process.err()
        if process.code is not None:
            assert "[TR" in process.err(), process.err()
            continue
        resource.prlimit(process.pid, resource.RLIMIT_AS, (soft, hard))
        mirror.wait()
        assert process.stop() == Exit.DONE, process.err()
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()

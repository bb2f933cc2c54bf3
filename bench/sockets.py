"""Compares ways to read the walsender's socket, by the processor time that they cost the walsender."""

import json
import statistics
import sys

import programs
from figures import Sizes
from server import Server

STRATEGIES = {
    "poll, no sleep": {"pause": "none"},
    "sleep 100 us after each read": {"pause": "fixed", "pause_us": 100},
    "sleep 300 us after each read": {"pause": "fixed", "pause_us": 300},
    "low water 256 KiB, at most 2 ms": {"pause": "low-water", "pause_us": 2000},
    "rate, at most 2 ms": {"pause": "rate", "pause_us": 2000},
    "drain, 300 us, kernel's window": {"pause": "drain", "pause_us": 300, "rcvbuf": 0},
    "drain, 1 ms, kernel's window": {"pause": "drain", "pause_us": 1000, "rcvbuf": 0},
    "drain, 1 ms, 32768": {"pause": "drain", "pause_us": 1000, "rcvbuf": 32768},
    "drain, 2 ms, 32768": {"pause": "drain", "pause_us": 2000, "rcvbuf": 32768},
    "drain, 3 ms, 32768": {"pause": "drain", "pause_us": 3000, "rcvbuf": 32768},
    "drain, 4 ms, 32768": {"pause": "drain", "pause_us": 4000, "rcvbuf": 32768},
    "drain, 3 ms, 65536": {"pause": "drain", "pause_us": 3000, "rcvbuf": 65536},
}
LOADS = [("events", 1), ("events", 100), ("events", 10_000), ("orders", 10_000)]


def compare(server: Server, sizes: Sizes) -> None:
    for table, per_transaction in LOADS:
        rows = min(sizes.small_rows, 200_000) if per_transaction == 1 else sizes.stream_rows // 4
        server.empty()
        server.make_slot("base")
        until = server.load(table, rows, per_transaction)
        found: dict[str, list[dict]] = {name: [] for name in STRATEGIES}
        for _ in range(sizes.repeats):
            for name, options in STRATEGIES.items():
                server.wait_for_slots()
                found[name].append(json.loads(programs.ceiling(server, "base", until, **options).out))
        print(f"{table}, {per_transaction} a transaction: k rows/s, walsender us/row, reader us/row")
        for name, runs in found.items():
            rate = statistics.median(run["rows_per_second"] for run in runs)
            walsender = statistics.median(run["walsender_cpu"] for run in runs)
            reader = statistics.median(run["cpu_user"] + run["cpu_system"] for run in runs)
            print(f"  {name:34} {rate / 1000:6.0f} {1e6 * walsender / rows:7.2f} {1e6 * reader / rows:7.2f}")
        sys.stdout.flush()

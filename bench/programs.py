"""The programs that are measured: each run answers wall time, processor time and peak memory of one process."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server import DATABASE, Server, binaries

REPOSITORY = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("TAILRACE_BUILD", REPOSITORY / "build/release"))


@dataclass(frozen=True)
class Run:
    """One finished process."""

    seconds: float
    cpu_seconds: float
    peak_kib: int
    out: str

    def rate(self, rows: int) -> float:
        return rows / self.seconds


class PeakMemory(threading.Thread):
    """Looks at a process' high-water mark until it ends. (What wait4() tells contains the memory of the program that
    forked, which is larger than some of those measured here.)"""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self.kib = 0
        self.start()

    def run(self) -> None:
        while True:
            try:
                found = re.search(r"VmHWM:\s*(\d+)", self._status.read_text(encoding="ascii"))
            except OSError:
                return
            if not found:
                return
            self.kib = int(found.group(1))
            time.sleep(0.01)


def run(command: list, **more) -> Run:
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err, stdin=subprocess.DEVNULL, **more)
        memory = PeakMemory(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {child.returncode}: {err.read().decode()[-2000:]}")
        return Run(seconds, usage.ru_utime + usage.ru_stime, memory.kib, out.read().decode())


def ceiling(server: Server, slot: str, until: str, protocol: int = 1, **options) -> Run:
    streaming = "on" if protocol >= 2 else "off"
    extra = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), value)]
    return run([BUILD / "ceiling", "--conninfo", server.conninfo(), "--slot", slot, "--until-lsn", until,
                "--proto", protocol, "--streaming", streaming, *extra])


def pg_recvlogical(server: Server, slot: str, until: str) -> Run:
    """Protocol 1 to /dev/null. It confirms what it read, so it reads a copy of the slot."""
    server.copy_slot(slot, "recvlogical")
    try:
        return run([binaries() / "pg_recvlogical", "-h", server.host, "-p", server.port, "-U", "postgres",
                    "-d", DATABASE, "-S", "recvlogical", "--start", "-f", "/dev/null", "-o", "proto_version=1",
                    "-o", "publication_names=bench", "--endpos", until])
    finally:
        server.wait_for_slots()
        server.value("select pg_drop_replication_slot('recvlogical')::text")


def copy_ranges(server: Server, table: str) -> float:
    """Seconds that two sessions take to copy a table, half each, in binary to /dev/null."""
    pages = server.value(f"select pg_relation_size('{table}') / current_setting('block_size')::bigint")
    middle = pages // 2
    ranges = [f"ctid < '({middle},0)'", f"ctid >= '({middle},0)'"]
    started = time.monotonic()
    sessions = [subprocess.Popen([binaries() / "psql", "-X", "-q", "-h", server.host, "-p", str(server.port), "-U",
                                  "postgres", "-d", DATABASE, "-c",
                                  f"copy (select * from {table} where {part}) to stdout (format binary)"],
                                 stdout=subprocess.DEVNULL) for part in ranges]
    if any(session.wait() != 0 for session in sessions):
        raise RuntimeError("COPY failed")
    return time.monotonic() - started


def duckdb_append(table: str, rows: int, memory: str) -> Run:
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as directory:
        return run([BUILD / "duckdb_append", Path(directory) / "append.duckdb", table, rows, memory])


class Pipeline:
    """A Tailrace pipeline with a state of its own. Made while the tables are empty, so that its slot keeps the load
    that comes later; each measured run then reads the same changes."""

    def __init__(self, server: Server, name: str, tables: list[str], sinks: bool | Callable[[Path], dict],
                 memory: str = "512MiB"):
        """`sinks`: whether there is one, of DuckDB; or what makes them all, as a pipeline file has them, in a directory."""
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-bench-"))
        self.target = self.directory / "target.duckdb"
        self.file = self.directory / f"{name}.yaml"
        if callable(sinks):
            sinks = sinks(self.directory)
        else:
            sinks = {"target": {"duckdb": {"path": str(self.target)}}} if sinks else {}
        # JSON is YAML.
        self.file.write_text(json.dumps({
            "name": name,
            "source": {"postgres": {"url": server.conninfo(), "tables": tables}},
            "log": {"journal": {"path": str(self.directory / "journal")}},
            "sinks": sinks,
            "limits": {"memory": memory},
        }))

    def command(self, *arguments: str) -> list:
        return [BUILD / "tailrace", "--state", self.directory / "state", "--log-level", "error", *arguments]

    def catch_up(self) -> Run:
        return run(self.command("run", str(self.file), "--until-caught-up"), cwd=self.directory)

    def start(self) -> subprocess.Popen:
        with open(self.directory / "stderr", "wb") as err:
            return subprocess.Popen(list(map(str, self.command("run", str(self.file)))), cwd=self.directory,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)

    def rows(self, table: str) -> int:
        import duckdb
        with duckdb.connect(str(self.target), read_only=True) as connection:
            return connection.execute(f"select count(*) from public.{table}").fetchone()[0]

    def control_socket(self) -> Path:
        return self.directory / "state" / "control.sock"

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

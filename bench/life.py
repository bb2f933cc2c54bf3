"""A pipeline at rest: how soon it streams after its start, and what it costs while nothing happens."""

import os
import subprocess
import time
from pathlib import Path

from conversation import Conversation
from programs import Pipeline
from server import Server


def make_tables(server: Server, count: int) -> None:
    """Empty tables many.t1 … in a schema of their own; a thousand a transaction, for the server's table of locks."""
    server.sql("create schema many")
    for first in range(1, count + 1, 1000):
        last = min(first + 999, count)
        server.sql(f"do $$ begin for i in {first}..{last} loop execute format("
                   "'create table many.t%s (id bigint primary key, a text, b numeric(12, 2), c timestamptz)', i); "
                   "end loop; end $$")


def drop_tables(server: Server, count: int) -> None:
    for first in range(1, count + 1, 1000):
        last = min(first + 999, count)
        server.sql(f"do $$ begin for i in {first}..{last} loop execute format('drop table many.t%s', i); end loop; end $$")
    server.sql("drop schema many")


def seconds_to_streaming(pipeline: Pipeline) -> tuple[float, subprocess.Popen]:
    """Until the source streams and the target waits for more; the process goes on."""
    started = time.monotonic()
    process = pipeline.start()
    conversation = Conversation(pipeline.control_socket(), pause_s=0.002)
    while True:
        status = conversation.status()
        if status["source"]["state"] == "streaming" and all(sink["state"] in ("streaming", "idle") for sink in status["sinks"]):
            conversation.close()
            return time.monotonic() - started, process
        time.sleep(0.002)


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def idle_share(process: subprocess.Popen, seconds: float) -> float:
    """Percent of one core, over so long, after a moment to settle."""
    time.sleep(2)
    before = _ticks(process.pid)
    time.sleep(seconds)
    return 100 * (_ticks(process.pid) - before) / os.sysconf("SC_CLK_TCK") / seconds

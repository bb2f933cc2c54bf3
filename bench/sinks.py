"""Several targets fed by one log: each alone and all at once, capture beside them, and one of them dead."""

import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import latency
import programs
from conversation import Conversation
from programs import PeakMemory
from scene import ClickhouseServer, Place, Scene
from server import Server, free_port

ALL = ("duckdb", "lake", "clickhouse", "redis")
LOOK_EVERY_S = 0.05
PATIENCE_S = 600


@dataclass(frozen=True)
class Course:
    """One run of a pipeline over the load: seconds from its start until each had all of it."""

    captured: float
    applied: dict[str, float]
    cpu_seconds: float
    peak_mib: float

    @property
    def last(self) -> float:
        return max(self.applied.values(), default=self.captured)


def _place(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def follow(pipeline: Place, until: str, waited_for: tuple[str, ...]) -> Course:
    """Runs it until the log and these sinks are durable up to `until`."""
    end = _place(until)
    started = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = pipeline.start()
    memory = PeakMemory(process.pid)
    try:
        conversation = Conversation(pipeline.control_socket(), pause_s=0.01)
        captured, applied = 0.0, {}
        while not captured or len(applied) < len(waited_for):
            status = conversation.status()
            passed = time.monotonic() - started
            if not captured and _place(status["log"]["durable_lsn"]) >= end:
                captured = passed
            for sink in status["sinks"]:
                if sink["name"] in waited_for and sink["name"] not in applied and _place(sink["durable_lsn"]) >= end:
                    applied[sink["name"]] = passed
            if passed > PATIENCE_S or process.poll() is not None:
                raise RuntimeError(f"{pipeline.file} does not arrive: {json.dumps(status)}")
            time.sleep(LOOK_EVERY_S)
        conversation.close()
    finally:
        process.terminate()
        process.wait(120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Course(captured, applied, cpu, memory.kib / 1024)


def _tell(name: str, rows: int, course: Course) -> None:
    each = "  ".join(f"{kind} {rows / seconds / 1000:.0f}k" for kind, seconds in course.applied.items())
    print(f"  {name:20} capture {rows / course.captured / 1000:5.0f}k rows/s   {each}   "
          f"{1e6 * course.cpu_seconds / rows:.2f} us/row   peak {course.peak_mib:.0f} MiB", file=sys.stderr, flush=True)


#: What runs, and the sinks that are waited for. The last two are the same three, with and without a fourth that is dead.
RUNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "capture": ((), ()),
    **{kind: ((kind,), (kind,)) for kind in ALL},
    "all": (ALL, ALL),
    "three": (ALL[:3], ALL[:3]),
    "one dead": ((*ALL[:3], "dead"), ALL[:3]),
}


def together(server: Server, rows: int, per_transaction: int, repeats: int, chosen: list[str]) -> dict[str, list[Course]]:
    """All of `chosen` RUNS over the same load, in turns. What arrived is counted by other readers."""
    print(f"events into several targets, {rows} rows, {per_transaction} a transaction", file=sys.stderr, flush=True)
    server.empty()
    scene = Scene()
    courses: dict[str, list[Course]] = {name: [] for name in chosen}
    try:
        waiting = {name: [scene.pipeline(server, RUNS[name][0], ["public.events"]) for _ in range(repeats)] for name in chosen}
        for pipelines in waiting.values():
            for pipeline in pipelines:
                pipeline.catch_up()
        scene.doomed.kill()
        until = server.load("events", rows, per_transaction)
        # Whatever is durable up to `until` has the load: there is a commit behind it.
        server.load("events", 1, 1, first=rows + 1)
        server.wait_for_sessions()
        for _ in range(repeats):
            for name in chosen:
                server.wait_for_slots()
                pipeline = waiting[name].pop()
                course = follow(pipeline, until, RUNS[name][1])
                _tell(name, rows, course)
                for kind in RUNS[name][1]:
                    if not rows <= pipeline.rows_of(kind, "events") <= rows + 1:
                        raise RuntimeError(f"{pipeline.rows_of(kind, 'events')} rows in {kind} instead of {rows}")
                pipeline.close()
                courses[name].append(course)
    finally:
        scene.close()
    return courses


def ratio(courses: dict[str, list[Course]], numerator, denominator) -> float:
    """The median over the turns: what slows the machine for a while slows both."""
    turns = [dict(zip(courses, turn)) for turn in zip(*courses.values(), strict=True)]
    return statistics.median(numerator(turn) / denominator(turn) for turn in turns)


def clickhouse_alone(rows: int, throw_away: bool, packing: str = "") -> dict:
    """The sink by itself, with batches of 100k rows made in memory, into the engine, or into a server that throws rows away."""
    clickhouse = ClickhouseServer()
    port = free_port() if throw_away else clickhouse.port
    front = subprocess.Popen([sys.executable, Path(__file__).with_name("byte_sink.py"), str(port), str(clickhouse.port), "events", "tailrace_state"],
                             stdout=subprocess.PIPE, text=True) if throw_away else None
    try:
        if front is not None and front.stdout.readline() != "ready\n":
            raise RuntimeError("the server that throws rows away does not start")
        clickhouse.run("CREATE DATABASE alone")
        command = [programs.BUILD / "clickhouse_apply_bench", clickhouse.url("alone", port), "--rows", rows, "--batch", 100_000]
        done = programs.run([*command, f"--{packing}"] if packing else command)
        if not throw_away and int(clickhouse.rows("SELECT count() FROM alone.events")[0][0]) != rows:
            raise RuntimeError("not all rows arrived")
        return json.loads(done.out)
    finally:
        if front is not None:
            front.kill()
        clickhouse.close()


#: How often each target is asked; a question to ClickHouse is a query there, which costs it milliseconds.
ASK_EVERY_S = {"duckdb": 0.005, "clickhouse": 0.05, "redis": 0.002}


def _eyes(place: Place) -> dict[str, latency.Eye]:
    conversation = Conversation(place.control_socket())
    redis = place.scene.redis.client(db=place.number)
    asks = {
        "duckdb": lambda: int(conversation.query("select n from public.pulse").splitlines()[-1]),
        "clickhouse": lambda: int(place.scene.clickhouse.rows(f"SELECT n FROM bench_{place.number}.pulse FINAL")[0][0]),
        "redis": lambda: int(redis.hget("public.pulse:1", "n")),
    }
    return {kind: latency.Eye(ask, ASK_EVERY_S[kind]) for kind, ask in asks.items() if kind in place.kinds}


def delays(server: Server, kinds: tuple[str, ...], rows: int, changes_per_second: int, seconds: float) -> dict[str, dict]:
    """From commit to visible in each of the targets, all fed by one pipeline at the same time."""
    print(f"latency of {', '.join(kinds)} on tables of {rows} rows", file=sys.stderr, flush=True)
    server.empty()
    server.sql("create table if not exists pulse (id integer primary key, n bigint not null); truncate pulse; "
               "insert into pulse values (1, 0)")
    for table in ("events", "orders"):
        server.load(table, rows, 100_000)
    server.sql("vacuum analyze")
    scene = Scene()
    try:
        scene.start_receiver()
        place = scene.pipeline(server, kinds, ["public.*"])
        place.catch_up()
        process = place.start()
        try:
            eyes = _eyes(place)
            writer = latency.Writer(server, rows, changes_per_second, seconds)
            latency.watch(writer, eyes)
        finally:
            process.terminate()
            process.wait(60)
            place.close()
        seen = {kind: eye.seen for kind, eye in eyes.items()}
        if "webhook" in kinds:
            seen["webhook"] = scene.received()
        return {kind: latency.percentiles(writer.committed, of) for kind, of in seen.items()}
    finally:
        scene.close()

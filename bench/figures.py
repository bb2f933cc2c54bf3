"""The figures: each one measures Tailrace and its limit in turns, A B A B, and compares medians."""

import statistics
import sys
from dataclasses import dataclass, field

import latency
import life
import programs
import sinks
from programs import Pipeline, Run
from server import Server

MIB = 1024


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    repeats: int
    stream_rows: int
    small_rows: int
    big_rows: int
    snapshot_rows: int
    giant_rows: int
    latency_rows: int
    latency_seconds: float
    mixed_rows: int
    mixed_changes: int
    many_tables: int
    idle_seconds: float
    poll_seconds: float
    delay_rows: int


FULL = Sizes(repeats=3, stream_rows=2_000_000, small_rows=500_000, big_rows=1_000_000, snapshot_rows=5_000_000,
             giant_rows=10_000_000, latency_rows=1_000_000, latency_seconds=30, mixed_rows=10_000_000,
             mixed_changes=2_000_000, many_tables=10_000, idle_seconds=30, poll_seconds=150, delay_rows=100_000)
QUICK = Sizes(repeats=1, stream_rows=200_000, small_rows=20_000, big_rows=100_000, snapshot_rows=200_000,
              giant_rows=300_000, latency_rows=50_000, latency_seconds=5, mixed_rows=500_000,
              mixed_changes=100_000, many_tables=300, idle_seconds=3, poll_seconds=12, delay_rows=10_000)
LATENCY_RATE = 5000
SINK_RATE = 2000


@dataclass(frozen=True)
class Figure:
    """One line of the table. `at_least`: whether more is better."""

    what: str
    must: float
    aim: float
    value: float
    unit: str
    detail: str
    at_least: bool = True

    def verdict(self) -> str:
        better = (lambda a, b: a >= b) if self.at_least else (lambda a, b: a <= b)
        return "aim" if better(self.value, self.aim) else "must" if better(self.value, self.must) else "missed"


@dataclass
class Series:
    """Runs of several programs over the same load, in turns."""

    rows: int
    runs: dict[str, list[Run]] = field(default_factory=dict)
    server_seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, run: Run, server_seconds: float = 0) -> None:
        self.runs.setdefault(name, []).append(run)
        self.server_seconds.setdefault(name, []).append(server_seconds)
        print(f"  {name:16} {run.rate(self.rows) / 1000:8.1f}k rows/s   {1e6 * run.cpu_seconds / self.rows:6.2f} us/row"
              f"   server {1e6 * server_seconds / self.rows:6.2f} us/row   peak {run.peak_kib / MIB:6.0f} MiB",
              file=sys.stderr, flush=True)

    def rate(self, name: str) -> float:
        return statistics.median(run.rate(self.rows) for run in self.runs[name])

    def cpu(self, name: str) -> float:
        return statistics.median(run.cpu_seconds for run in self.runs[name])

    def peak(self, name: str) -> float:
        """MiB."""
        return max(run.peak_kib for run in self.runs[name]) / MIB

    def ratio(self, name: str, limit: str) -> float:
        """The median of the ratios of each turn: what slows the machine for a while slows both."""
        return statistics.median(a.rate(self.rows) / b.rate(self.rows)
                                 for a, b in zip(self.runs[name], self.runs[limit], strict=True))

    def server_cpu(self, name: str) -> float:
        """Processor time that the server's session took, µs per row."""
        return 1e6 * statistics.median(self.server_seconds[name]) / self.rows

    def beside(self, name: str, limit: str) -> str:
        return (f"{self.rate(name) / 1000:.0f}k rows/s beside {self.rate(limit) / 1000:.0f}k "
                f"(walsender {self.server_cpu(name):.1f} µs/row beside {self.server_cpu(limit):.1f})")


def stream(server: Server, table: str, rows: int, per_transaction: int, repeats: int, kinds: list[str]) -> Series:
    """Everything that reads the load as a stream: `kinds` of journal, duckdb, ceiling, pg_recvlogical."""
    print(f"{table}, {rows} rows, {per_transaction} a transaction", file=sys.stderr, flush=True)
    server.empty()
    waiting = {kind: [Pipeline(server, f"{kind}{turn}", [f"public.{table}"], kind == "duckdb")
                      for turn in range(repeats)] for kind in kinds if kind in ("journal", "duckdb")}
    for pipelines in waiting.values():
        for pipeline in pipelines:
            pipeline.catch_up()
    server.make_slot("base")
    until = server.load(table, rows, per_transaction)
    server.wait_for_sessions()
    series = Series(rows)
    for _ in range(repeats):
        for kind in kinds:
            server.wait_for_slots()
            before = server.sessions_cpu_seconds()
            pipeline = waiting[kind].pop() if kind in waiting else None
            if pipeline:
                run = pipeline.catch_up()
            elif kind == "pg_recvlogical":
                run = programs.pg_recvlogical(server, "base", until)
            else:
                run = programs.ceiling(server, "base", until, 2 if kind == "ceiling2" else 1)
            server.wait_for_sessions()
            series.add(kind, run, server.sessions_cpu_seconds() - before)
            if kind == "duckdb" and pipeline.rows(table) != rows:
                raise RuntimeError(f"{pipeline.rows(table)} rows arrived instead of {rows}")
            if pipeline:
                pipeline.close()
    return series


def measure_stream(server: Server, sizes: Sizes) -> list[Figure]:
    s = stream(server, "events", sizes.stream_rows, 10_000, sizes.repeats,
               ["pg_recvlogical", "journal", "ceiling", "duckdb"])
    cpu = s.cpu("journal") / s.cpu("pg_recvlogical")
    per_row = 1e6 / s.rows
    return [
        Figure("stream → journal durable, events 10k rows/txn, against the ceiling", 0.9, 0.98,
               s.ratio("journal", "ceiling"), "×", s.beside("journal", "ceiling")),
        Figure("the same against pg_recvlogical", 1.3, 1.8, s.ratio("journal", "pg_recvlogical"), "×",
               s.beside("journal", "pg_recvlogical")),
        Figure("CPU per row in it, against pg_recvlogical's own", 0.8, 0.4, cpu, "×",
               f"{s.cpu('journal') * per_row:.2f} µs beside {s.cpu('pg_recvlogical') * per_row:.2f} µs",
               at_least=False),
        Figure("stream → DuckDB, the same load, against the ceiling", 0.6, 0.9, s.ratio("duckdb", "ceiling"), "×",
               s.beside("duckdb", "ceiling")),
        Figure("peak RSS in it, journal only", 96, 48, s.peak("journal"), "MiB", "", at_least=False),
        Figure("peak RSS in it, with DuckDB at 512MiB", 576, 512, s.peak("duckdb"), "MiB", "", at_least=False),
    ]


def measure_small(server: Server, sizes: Sizes) -> list[Figure]:
    s = stream(server, "events", sizes.small_rows, 1, sizes.repeats, ["pg_recvlogical", "duckdb", "ceiling"])
    return [
        Figure(f"1-row transactions, {sizes.small_rows // 1000}k → DuckDB, against pg_recvlogical", 1.3, 1.8,
               s.ratio("duckdb", "pg_recvlogical"), "×",
               s.beside("duckdb", "pg_recvlogical") + f"; ceiling {s.rate('ceiling') / 1000:.0f}k"),
        Figure("peak RSS in it", 576, 512, s.peak("duckdb"), "MiB", "", at_least=False),
    ]


def measure_big(server: Server, sizes: Sizes) -> list[Figure]:
    rows = sizes.big_rows
    s = stream(server, "events", rows, rows, sizes.repeats,
               ["pg_recvlogical", "duckdb", "ceiling", "ceiling2"])
    return [
        Figure(f"one {rows // 1000}k-row transaction → DuckDB, against pg_recvlogical at protocol 1", 1.2, 2.0,
               s.ratio("duckdb", "pg_recvlogical"), "×",
               s.beside("duckdb", "pg_recvlogical") + f"; ceiling {s.rate('ceiling') / 1000:.0f}k at protocol 1, "
               f"{s.rate('ceiling2') / 1000:.0f}k streamed"),
        Figure("peak RSS in it", 576, 512, s.peak("duckdb"), "MiB", "", at_least=False),
    ]


def measure_giant(server: Server, sizes: Sizes) -> list[Figure]:
    rows = sizes.giant_rows
    s = stream(server, "orders", rows, rows, 1, ["journal", "duckdb"])
    return [
        Figure(f"peak RSS, one {rows / 1e6:g}M-row transaction, journal only", 96, 48, s.peak("journal"), "MiB",
               f"{s.rate('journal') / 1000:.0f}k rows/s", at_least=False),
        Figure("peak RSS in it, with DuckDB at 512MiB", 576, 512, s.peak("duckdb"), "MiB",
               f"{s.rate('duckdb') / 1000:.0f}k rows/s", at_least=False),
    ]


def measure_snapshot(server: Server, sizes: Sizes) -> list[Figure]:
    rows = sizes.snapshot_rows
    print(f"snapshot of {rows} events", file=sys.stderr, flush=True)
    server.empty()
    server.load("events", rows, 100_000)
    server.sql("vacuum analyze events")
    s = Series(rows)
    for turn in range(sizes.repeats):
        pipeline = Pipeline(server, f"snapshot{turn}", ["public.events"], True)
        s.add("duckdb", pipeline.catch_up())
        if pipeline.rows("events") != rows:
            raise RuntimeError(f"{pipeline.rows('events')} rows arrived instead of {rows}")
        pipeline.close()
        seconds = programs.copy_ranges(server, "events")
        s.add("copy", Run(seconds, 0, 0, ""))
        s.add("append", programs.duckdb_append("events", rows, "512MiB"))
    slower = min(("copy", "append"), key=s.rate)
    return [
        Figure(f"snapshot {rows / 1e6:g}M rows → DuckDB, against the slower of two-range binary COPY and DuckDB's append",
               0.6, 0.9, s.ratio("duckdb", slower), "×",
               f"{s.rate('duckdb') / 1000:.0f}k rows/s beside COPY {s.rate('copy') / 1000:.0f}k and append "
               f"{s.rate('append') / 1000:.0f}k"),
        Figure("peak RSS in it, with DuckDB at 512MiB", 576, 512, s.peak("duckdb"), "MiB", "", at_least=False),
    ]


def measure_latency(server: Server, sizes: Sizes) -> list[Figure]:
    rows = sizes.latency_rows
    print(f"latency on tables of {rows} rows", file=sys.stderr, flush=True)
    server.empty()
    server.sql("create table if not exists pulse (id integer primary key, n bigint not null); truncate pulse; "
               "insert into pulse values (1, 0)")
    for table in ("events", "orders"):
        server.load(table, rows, 100_000)
    server.sql("vacuum analyze")
    pipeline = Pipeline(server, "latency", ["public.*"], True)
    pipeline.catch_up()
    process = pipeline.start()
    try:
        found = latency.measure(server, pipeline.control_socket(), rows, LATENCY_RATE, sizes.latency_seconds)
    finally:
        process.terminate()
        process.wait(60)
        pipeline.close()
    detail = (f"{found['changes_per_second']:.0f} changes/s, {found['questions_per_second']:.0f} questions/s, "
              f"max {found['max_ms']:.0f} ms")
    size = f"{rows / 1e6:g}M-row tables"
    return [
        Figure(f"commit → visible in DuckDB at {LATENCY_RATE} rows/s, {size}, p50", 100, 30, found["p50_ms"], "ms",
               detail, at_least=False),
        Figure("the same, p99", 400, 150, found["p99_ms"], "ms", "", at_least=False),
    ]


def measure_mixed(server: Server, sizes: Sizes) -> list[Figure]:
    rows, changes = sizes.mixed_rows, sizes.mixed_changes
    print(f"{changes} scattered updates and deletes on {rows} rows", file=sys.stderr, flush=True)
    server.empty()
    server.load("events", rows, 100_000)
    server.sql("vacuum analyze events")
    pipelines = [Pipeline(server, f"mixed{turn}", ["public.events"], True) for turn in range(sizes.repeats)]
    for pipeline in pipelines:
        pipeline.catch_up()
    server.make_slot("base")
    until = server.load("events", changes, 10_000, "scattered", rows)
    left = server.value("select count(*) from events")
    server.wait_for_sessions()
    s = Series(changes)
    for pipeline in pipelines:
        for kind in ("duckdb", "ceiling"):
            server.wait_for_slots()
            before = server.sessions_cpu_seconds()
            run = pipeline.catch_up() if kind == "duckdb" else programs.ceiling(server, "base", until)
            server.wait_for_sessions()
            s.add(kind, run, server.sessions_cpu_seconds() - before)
        if pipeline.rows("events") != left:
            raise RuntimeError(f"{pipeline.rows('events')} rows are left instead of {left}")
        pipeline.close()
    return [
        Figure(f"backlog of scattered updates and deletes on {rows / 1e6:g}M rows → DuckDB", 250_000, 250_000,
               s.rate("duckdb"), "changes/s", s.beside("duckdb", "ceiling")),
        Figure("peak RSS in it, with DuckDB at 512MiB", 576, 512, s.peak("duckdb"), "MiB", "", at_least=False),
    ]


def measure_start(server: Server, sizes: Sizes) -> list[Figure]:
    found = []
    for tables in (3, sizes.many_tables):
        print(f"start with {tables} tables", file=sys.stderr, flush=True)
        server.empty()
        life.make_tables(server, tables)
        pipeline = Pipeline(server, f"start{tables}", ["many.*"], True)
        copied = pipeline.catch_up()
        times = []
        for _ in range(sizes.repeats):
            server.wait_for_slots()
            seconds, process = life.seconds_to_streaming(pipeline)
            times.append(1000 * seconds)
            process.terminate()
            process.wait(60)
        pipeline.close()
        life.drop_tables(server, tables)
        print(f"  {sorted(times)} ms; first copy {copied.seconds:.1f} s", file=sys.stderr, flush=True)
        bound = 300 if tables < 10 else 3000
        found.append(Figure(f"start of a pipeline to streaming, {tables} tables", bound, bound, statistics.median(times),
                            "ms", f"{min(times):.0f} to {max(times):.0f}; first copy of them, empty, "
                            f"{copied.seconds:.1f} s, peak RSS {copied.peak_kib / MIB:.0f} MiB", at_least=False))
    return found


def measure_idle(server: Server, sizes: Sizes) -> list[Figure]:
    print("idle", file=sys.stderr, flush=True)
    server.empty()
    server.load("events", 1000, 1000)
    pipeline = Pipeline(server, "idle", ["public.*"], True)
    _, process = life.seconds_to_streaming(pipeline)
    try:
        share = life.idle_share(process, sizes.idle_seconds)
    finally:
        process.terminate()
        process.wait(60)
        pipeline.close()
    return [Figure("processor time while nothing happens, of one core", 0.5, 0.5, share, "%",
                   f"over {sizes.idle_seconds:g} s", at_least=False)]


def measure_poll(server: Server, sizes: Sizes) -> list[Figure]:
    """What looking after very many tables costs while nothing happens to them."""
    print(f"poll of {sizes.many_tables} tables", file=sys.stderr, flush=True)
    server.empty()
    life.make_tables(server, sizes.many_tables)
    server.sql("vacuum analyze pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_index")
    pipeline = Pipeline(server, "poll", ["many.*"], True)
    pipeline.catch_up()
    _, process = life.seconds_to_streaming(pipeline)
    try:
        before = server.live_cpu_seconds()
        share = life.idle_share(process, sizes.poll_seconds)
        spent = server.live_cpu_seconds() - before
    finally:
        process.terminate()
        process.wait(60)
        pipeline.close()
        life.drop_tables(server, sizes.many_tables)
    tables = f"{sizes.many_tables:,} tables, over {sizes.poll_seconds:g} s"
    return [Figure("server's processor time for looks at the catalog, in 10 s", 50, 50, 10_000 * spent / sizes.poll_seconds, "ms", tables,
                   at_least=False),
            Figure("processor time while nothing happens, of one core", 0.5, 0.5, share, "%", tables, at_least=False)]


def measure_sinks(server: Server, sizes: Sizes) -> list[Figure]:
    rows = sizes.stream_rows
    c = sinks.together(server, rows, 10_000, sizes.repeats, list(sinks.RUNS))
    # Between turns: the slowest is the one with the least median.
    slowest = max(sinks.ALL, key=lambda kind: statistics.median(course.last for course in c[kind]))
    rate = {name: rows / statistics.median(course.last for course in courses) / 1000 for name, courses in c.items()}
    captured = {name: rows / statistics.median(course.captured for course in courses) / 1000 for name, courses in c.items()}
    each = ", ".join(
        f"{kind} {sinks.ratio(c, lambda turn, kind=kind: turn['three'].applied[kind], lambda turn, kind=kind: turn['one dead'].applied[kind]):.2f}×"
        for kind in sinks.RUNS["three"][1])
    alone = ", ".join(f"{kind} {rate[kind]:.0f}k" for kind in sinks.ALL)
    return [
        Figure("four sinks at once (DuckDB, Parquet on S3, ClickHouse, Redis), events, until the last has all, against the slowest alone",
               0.6, 0.8, sinks.ratio(c, lambda turn: turn[slowest].last, lambda turn: turn["all"].last), "×",
               f"{rate['all']:.0f}k rows/s beside {alone}"),
        Figure("capture into the journal meanwhile, against capture alone", 0.9, 0.95,
               sinks.ratio(c, lambda turn: turn["capture"].captured, lambda turn: turn["all"].captured), "×",
               f"{captured['all']:.0f}k rows/s beside {captured['capture']:.0f}k"),
        Figure("peak RSS in it, at limits.memory 512MiB", 768, 512, max(course.peak_mib for course in c["all"]), "MiB", "", at_least=False),
        Figure("three sinks beside a dead fourth, until the last of them has all, against those three without it", 0.95, 1.0,
               sinks.ratio(c, lambda turn: turn["three"].last, lambda turn: turn["one dead"].last), "×",
               f"{rate['one dead']:.0f}k rows/s beside {rate['three']:.0f}k; each by itself: {each}"),
    ]


SINK_BARS_MS = {"duckdb": ("DuckDB", 400, 100), "clickhouse": ("ClickHouse", 1500, 500), "redis": ("Redis", 100, 50),
                "webhook": ("a webhook, requests of up to 100 rows", 150, 75)}


def measure_delays(server: Server, sizes: Sizes) -> list[Figure]:
    rows, seconds = sizes.delay_rows, sizes.latency_seconds
    turns = [sinks.delays(server, tuple(SINK_BARS_MS), rows, SINK_RATE, seconds) for _ in range(sizes.repeats)]
    size = f"{rows / 1000:g}k-row tables"
    found = []
    for kind, (name, must, aim) in SINK_BARS_MS.items():
        p99 = statistics.median(turn[kind]["p99_ms"] for turn in turns)
        p50 = statistics.median(turn[kind]["p50_ms"] for turn in turns)
        found.append(Figure(f"commit → visible in {name}, at {SINK_RATE} rows/s, {size}, beside the other three, p99", must, aim, p99, "ms",
                            f"p50 {p50:.0f} ms, max {max(turn[kind]['max_ms'] for turn in turns):.0f} ms", at_least=False))
    return found


def measure_clickhouse(server: Server, sizes: Sizes) -> list[Figure]:
    print("ClickHouse by batches of 100k rows", file=sys.stderr, flush=True)
    ways = {"bytes": (True, ""), "engine": (False, ""), "lz4": (True, "lz4"), "zstd": (True, "zstd")}
    turns = []
    for _ in range(sizes.repeats):
        turns.append({way: sinks.clickhouse_alone(sizes.stream_rows, *how) for way, how in ways.items()})
        print(f"  {turns[-1]}", file=sys.stderr, flush=True)

    def median(way: str, what: str) -> float:
        return statistics.median(turn[way][what] for turn in turns)

    return [
        Figure("ClickHouse, rows of events, 100k a batch, the sink by itself into a server that throws them away", 1e6, 1e6,
               median("bytes", "rows_per_second"), "rows/s",
               f"into the engine, which writes them beside us: {median('engine', 'rows_per_second') / 1000:.0f}k"),
        Figure("CPU of Tailrace in it, per million rows", 1.2, 0.8, median("bytes", "cpu_s_per_million"), "s",
               f"into the engine {median('engine', 'cpu_s_per_million'):.2f}; packed with lz4 {median('lz4', 'cpu_s_per_million'):.2f}, "
               f"zstd {median('zstd', 'cpu_s_per_million'):.2f}; peak RSS {median('bytes', 'peak_mib'):.0f} MiB", at_least=False),
    ]


FIGURES = {
    "stream": measure_stream,
    "small": measure_small,
    "big": measure_big,
    "snapshot": measure_snapshot,
    "latency": measure_latency,
    "giant": measure_giant,
    "mixed": measure_mixed,
    "start": measure_start,
    "idle": measure_idle,
    "poll": measure_poll,
    "sinks": measure_sinks,
    "sinks-latency": measure_delays,
    "clickhouse": measure_clickhouse,
}

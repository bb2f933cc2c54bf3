"""One seeded run: a hostile workload and faults against the real program, then every comparison there is."""

import contextlib
import json
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import duckdb

from e2e.cluster import Cluster, server_major
from e2e.proxy import Proxy
from e2e.tailrace import Exit, Process, Tailrace
from oracle import recorder
from oracle.acknowledgements import AcknowledgementWatch
from oracle.checker import Findings, JournalCheck, check_history, check_mirror, check_times
from oracle.duckdb_target import DuckDbTarget, TargetWrong, copy_of
from oracle.journal import JournalWrong, LoggedUnit, own, read
from oracle.disk import Disk
from oracle.growth import growing_tables
from oracle.nemesis import Arm, Fault, crash_points, draw_arms, draw_faults, meets_the_copy
from oracle.others import OtherTargets
from oracle.plan import Draw, alterations
from oracle.sessions import Sessions
from oracle.tables import Table, all_tables
from oracle.truth import TableId, Truth, check_self, format_lsn, parse_lsn

Found = TypeVar("Found")

SESSIONS = 4
POSITIONS = 50
SLOT = "tailrace_oracle"
PIPELINE = """name: oracle
source: {{postgres: {{url: "{url}", tables: ["*.*", "!oracle.*"]}}}}
sinks:
  mirror: {{duckdb: {{path: "{target}", history: true}}}}
"""
SERVER_SETTINGS = {"logical_decoding_work_mem": "'64kB'", "deadlock_timeout": "'100ms'", "wal_sender_timeout": "'5s'",
                   "max_prepared_transactions": "20", "max_wal_size": "'64MB'", "autovacuum_naptime": "'2s'"}


def server_settings(seed: int) -> dict[str, str]:
    """From version 16 on a server can be told to stream every transaction while it is in progress; in every second run it is."""
    eager = server_major() >= 16 and seed % 2 == 1
    return SERVER_SETTINGS | ({"debug_logical_replication_streaming": "immediate"} if eager else {})


# Small, so that segments roll, spills reach the disk or go into segments, giants come in parts, readers leave the memory
# and histories are exported all the time. Each run draws one of each. Only builds with crash points look at them.
TIGHT_BOUNDS = {"SEGMENT_BYTES": (2 << 20,), "RING_BYTES": (1 << 20,), "SPILL_BYTES": (128 << 10, 8 << 20),
                "BATCH_CHANGES": (60, 400, 4000), "BUSY_WAL": (64 << 10, 1 << 20), "EXPORT_SECONDS": (0, 2),
                "COPY_CHUNK_PAGES": (4, 32), "COPY_COMMIT_MS": (0, 200)}
# In one run of three the log is trimmed as soon as nobody needs it.
NOTHING_KEPT = {"TAILRACE_BOUND_KEEP_SECONDS": "0"}
# Where the server's WAL begins: as a new cluster does; where an LSN gains a digit in its lower half; in its upper half.
WAL_STARTS = ((0, 1), (0, 0xFD), (0xF, 0xFFD))


@dataclass
class Report:
    """What a run did and found."""

    seed: int
    seconds: float
    transactions: int = 0
    changes: int = 0
    rows: int = 0
    streamed: int = 0
    alterations: int = 0
    held: int = 0
    outcomes: Counter = field(default_factory=Counter)
    faults: Counter = field(default_factory=Counter)
    points_hit: Counter = field(default_factory=Counter)
    points_missed: Counter = field(default_factory=Counter)
    power_cuts: int = 0
    lost_blocks: int = 0
    damaged: int = 0
    segments: int = 0
    starts: int = 0
    converged_s: float = 0.0
    unchanged_values: int = 0
    findings: Findings = field(default_factory=Findings)
    directory: Path | None = None

    @property
    def ok(self) -> bool:
        return not self.findings.failures

    def __str__(self) -> str:
        def listed(counts: Counter) -> str:
            return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
        lines = [f"seed {self.seed}: {'ok' if self.ok else 'FAILED'}",
                 f"  source      {self.transactions} transactions, {self.changes} changes, {self.rows} rows left, "
                 f"{self.streamed} streamed while in progress, {self.alterations} alterations ({self.held} tables held); sessions: {listed(self.outcomes)}",
                 f"  faults      {listed(self.faults)}; {self.power_cuts} power cuts lost {self.lost_blocks} blocks; {self.starts} starts; "
                 f"{self.damaged} damaged targets; {self.segments} segments; converged in {self.converged_s:.1f} s",
                 f"  points hit  {listed(self.points_hit)}",
                 f"  not reached {listed(self.points_missed)}",
                 f"  compared    {listed(self.findings.checked)}; unchanged values {self.unchanged_values}"]
        lines += [f"  ! {failure}" for failure in self.findings.failures]
        if self.findings.more:
            lines.append(f"  ! and {self.findings.more} more")
        if self.directory:
            lines.append(f"  kept        {self.directory}")
        if not self.ok:
            lines.append(f"  replay      cd test && python -m oracle --seed {self.seed} --seconds {self.seconds:g}")
        return "\n".join(lines)


class Run:
    """Owns everything of one run; `execute` gives the report and leaves nothing behind unless it failed."""

    def __init__(self, seed: int, seconds: float, keep: bool = False):
        self.report = Report(seed, seconds)
        self._findings = self.report.findings
        self._draw = random.Random(f"run {seed}")
        self._aftermath = random.Random(f"aftermath {seed}")
        self._draw_copied = random.Random(f"copied {seed}")
        self._arms = draw_arms(seed, crash_points())
        self._armed: tuple[Arm, ...] = ()
        self._bounds = {f"TAILRACE_BOUND_{name}": str(self._draw.choice(sizes)) for name, sizes in TIGHT_BOUNDS.items()}
        # In every other run all but short values go through files.
        self._bounds["TAILRACE_BOUND_LONG_BYTES"] = str(2000 if seed % 2 else 32 << 20)
        self._trims = seed % 3 == 2 and bool(crash_points())
        if self._trims:
            self._bounds |= NOTHING_KEPT
        self._keep = keep
        self._directory = Path(tempfile.mkdtemp(prefix=f"tailrace-oracle-{seed}-"))
        self._target = self._directory / "target.duckdb"
        self._written = [*all_tables(server_major()), *growing_tables(seed)]
        self._tables = [table for table in self._written if table.published]
        self._altered = {table.id for table in self._written if table.shapes}
        self._truth = Truth(tables=self._written)
        self._stack = contextlib.ExitStack()
        self._process: Process | None = None
        self._barriers = 0

    def execute(self) -> Report:
        try:
            with self._stack:
                self._set_up()
                self._work()
                self._converge()
                self._compare()
        except (TargetWrong, JournalWrong) as failure:
            self._findings.fail("shape", str(failure))
        if self.report.ok and not self._keep:
            shutil.rmtree(self._directory, ignore_errors=True)
        else:
            self.report.directory = self._directory
        return self.report

    # The world.

    def _set_up(self) -> None:
        self._cluster = Cluster(server_settings(self.report.seed), wal_start=WAL_STARTS[self.report.seed % len(WAL_STARTS)])
        self._stack.callback(self._cluster.close)
        self._stack.callback(lambda: shutil.copyfile(self._cluster.log, self._directory / "server.log"))
        recorder.install(self._cluster, self._written)
        self._proxy = Proxy(self._cluster.port)
        self._stack.callback(self._proxy.close)
        self._others = OtherTargets(self.report.seed, self._tables, self._stack)
        self._tailrace = Tailrace(self._directory)
        self._stack.callback(self._tailrace.close)
        self._pipeline = self._directory / "oracle.yaml"
        self._pipeline.write_text(PIPELINE.format(url=self._cluster.url(port=self._proxy.port), target=self._target) + self._others.sinks())
        self._disk = Disk(self._tailrace.state, self._directory / "disk", self._draw)
        self._watch = AcknowledgementWatch(self._cluster, SLOT, self._findings)
        self._stack.callback(self._watch.close)

    def _sessions(self, phase: str, sessions: int, transactions: int) -> Sessions:
        plans = [Draw(f"{self.report.seed} {phase} {number}", self._written).transactions(transactions) for number in range(sessions)]
        if phase != "live":
            return Sessions(self._cluster.conninfo(), plans, self.report.seed)
        plans.append(alterations(self.report.seed, [table for table in self._written if table.shapes], self.report.seconds))
        return Sessions(self._cluster.conninfo(), plans, self.report.seed, self.report.seconds)

    def _start(self, armed: bool = True) -> None:
        self._armed = next(self._arms) if armed else ()
        environment = {**self._bounds, **self._disk.environment()}
        if self._armed:
            environment["TAILRACE_CRASH_AT"] = ",".join(map(str, self._armed))
        self.report.starts += 1
        self._process = self._tailrace.start("run", self._pipeline, "--state", self._tailrace.state, environment=environment)

    def _work(self) -> None:
        before = self._sessions("before", 2, 60)
        before.start()
        before.finish(60)
        live = self._sessions("live", SESSIONS, max(30, int(8 * self.report.seconds)))
        live.start()
        self._stack.callback(live.finish, 30, True)
        time.sleep(self._draw.uniform(0, 0.5))
        self._start()
        if not meets_the_copy(self.report.seed):
            self._await_copy()
        end = time.monotonic() + self.report.seconds
        for fault in draw_faults(self.report.seed):
            if time.monotonic() + fault.after_s >= end:
                break
            self._quiet(fault)
            self._strike(fault)
        live.finish(60, stop=True)
        for (gid,) in self._cluster.query("SELECT gid FROM pg_prepared_xacts"):
            self._cluster.execute(f"COMMIT PREPARED '{gid}'")
        for sessions in (before, live):
            self.report.outcomes += sessions.outcomes
            for text in sessions.unexpected:
                self._findings.fail("workload", text)

    def _await_copy(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.code is None:
            with contextlib.suppress(RuntimeError, ValueError):
                snapshot = self._tailrace.status()["snapshot"]
                if snapshot["tables_total"] and snapshot["tables_done"] == snapshot["tables_total"]:
                    return
            time.sleep(0.1)

    # Faults.

    def _quiet(self, fault: Fault) -> None:
        """The time before a fault. A program that kills itself meanwhile is started again."""
        end = time.monotonic() + fault.after_s
        while time.monotonic() < end:
            self._must_run("before " + str(fault))
            time.sleep(0.02)

    def _strike(self, fault: Fault) -> None:
        self._must_run("before " + str(fault))
        self.report.faults[fault.kind] += 1
        strike = getattr(self, "_" + fault.kind.replace(" ", "_"))
        strike(fault)

    def _must_run(self, when: str) -> None:
        """The program ends only where it was told to kill itself: no fault here is beyond a retry. But a server that it
        has never reached is more likely named wrongly than down."""
        code = self._process.code
        if code is None:
            return
        if self._armed and code == -signal.SIGKILL:
            self._note_hit()
            return self._revive()
        if code != Exit.UNREACHABLE or self._watch.first:
            self._findings.fail("survival", f"{when} it had left with {code}: {self._process.err()[-1500:]}")
        self._start()

    def _note_hit(self) -> None:
        last = self._process.err().rstrip().rpartition("\n")[2]
        self.report.points_hit[last.removeprefix("crash point ")] += 1
        self._armed = ()

    def _revive(self) -> None:
        """After a death the power may be gone too, and somebody may look at what is left."""
        self.report.points_missed.update(arm.point for arm in self._armed)
        if self._aftermath.random() < 0.5:
            self.report.power_cuts += 1
            self.report.lost_blocks += self._disk.cut_power()
        if self._aftermath.random() < 0.5:
            self._inspect_cold()
        self._start()

    def _kill(self, fault: Fault) -> None:
        self._process.kill()
        self._revive()

    def _terminate(self, fault: Fault) -> None:
        # Just begun, it does not hear yet, and may leave as any process does.
        deaf = not self._process.hears(signal.SIGTERM)
        self._process.signal(signal.SIGTERM)
        try:
            code = self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._findings.fail("survival", "SIGTERM was not over after 60 s")
            self._process.kill()
            code = None
        hit = bool(self._armed) and code == -signal.SIGKILL
        deaf = deaf and code == -signal.SIGTERM
        self._findings.require("a drained stop answers 0", hit or deaf or code in (Exit.DONE, None),
                               f"exit {code}: {self._process.err()[-1500:]}")
        if hit:
            self._must_run("after SIGTERM")
        else:
            self._revive()

    def _freeze(self, fault: Fault) -> None:
        self._process.signal(signal.SIGSTOP)
        time.sleep(fault.duration_s)
        self._process.signal(signal.SIGCONT)

    def _server_fast(self, fault: Fault) -> None:
        self._restart_server("fast")

    def _server_immediate(self, fault: Fault) -> None:
        self._restart_server("immediate")

    def _restart_server(self, mode: str) -> None:
        self._watch.forget()
        try:
            self._cluster.stop(mode, 30)
        except RuntimeError as failure:
            self._findings.fail("the source is not harmed", str(failure))
        self._watch.forget()
        self._cluster.start()

    def _walsender(self, fault: Fault) -> None:
        self._cluster.query(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                            f"WHERE slot_name = '{SLOT}' AND active_pid IS NOT NULL")

    def _target_killed(self, fault: Fault) -> None:
        self._others.redis.kill()
        time.sleep(fault.duration_s)
        self._others.redis.start()

    def _cut(self, fault: Fault) -> None:
        self._proxy.cut()

    def _hold(self, fault: Fault) -> None:
        self._proxy.hold(True)
        time.sleep(fault.duration_s)
        self._proxy.hold(False)

    def _checkpoint(self, fault: Fault) -> None:
        self._cluster.query("SELECT pg_switch_wal()")
        self._cluster.execute("CHECKPOINT")

    def _copy_again(self, fault: Fault) -> None:
        """No harm, but a second way for rows to come: a table is copied beside the stream, and nothing may change by it."""
        table = self._draw_copied.choice(self._tables)
        only = ["--sink", "mirror"] if table in self._others.left_out else []
        self._tailrace.command("snapshot", self._tailrace.name, ".".join(table.id), *only, "--state", str(self._tailrace.state))

    def _switch_wal(self, fault: Fault) -> None:
        self._cluster.query("SELECT pg_switch_wal()")

    # Looking at a dead program's files.

    def _inspect_cold(self) -> None:
        """The target as the crash left it must be the source as of the target's own cursor, and the journal must hold
        all that was acknowledged."""
        acknowledged = self._watch.settle()
        with self._cluster.connect() as connection:
            self._truth.refresh(connection)
        self._inspect_target()
        if acknowledged > self._watch.first:
            end = self._journal_end()
            self._findings.require("acknowledged is durable", end >= acknowledged,
                                   f"{format_lsn(acknowledged)} is acknowledged, and the journal ends at {format_lsn(end)}")
            present = {unit.end_lsn for unit in self._journal()}
            start = min(present, default=acknowledged)
            for unit in self._truth.up_to(acknowledged):
                if unit.end_lsn > start:
                    self._findings.require("acknowledged is durable", unit.end_lsn in present,
                                           f"{format_lsn(unit.end_lsn)} is acknowledged ({format_lsn(acknowledged)}) and not logged")

    def _inspect_target(self) -> None:
        if not self._target.exists():
            return
        try:
            with DuckDbTarget(copy_of(self._target, self._directory / "cold")) as target:
                cursor = target.cursor()
                if cursor is None:
                    return
                held = self._held(target)
                baselines = self._baselines(target)
                left_out = held | {table.id for table in self._tables if baselines.get(table.id, 0) > cursor.commit_lsn}
                shapes, rows = self._rows(target, [table for table in self._tables if table.id not in left_out], cursor.commit_lsn)
        except duckdb.Error as failure:
            # DuckDB may tear its own file when it dies in a checkpoint; the program has to notice, and to make it anew.
            if "Corrupt database file" not in str(failure):
                self._findings.fail("the target opens after a crash", str(failure)[:600])
            self.report.damaged += 1
            return
        check_mirror(self._findings, self._truth, shapes, rows, cursor.commit_lsn, "mirror after a crash")

    def _rows(self, target: DuckDbTarget, tables: list[Table], lsn: int) -> tuple[list[Table], dict[TableId, Counter]]:
        """What can be read of each table, and in which of its shapes; one that has not the right columns is a finding."""
        shapes, rows = [], {}
        for table in tables:
            shape, found = self._in_a_shape(table, lsn, target.rows)
            if shape is not None:
                shapes.append(shape)
                rows[table.id] = found
        return shapes, rows

    def _in_a_shape(self, table: Table, lsn: int, read: Callable[[Table], Found]) -> tuple[Table | None, Found | None]:
        """What `read` answers of the youngest shape that the target has at that position."""
        wrongs = []
        for shape in self._truth.shapes(table, lsn):
            try:
                return shape, read(shape)
            except TargetWrong as wrong:
                wrongs.append(str(wrong))
        self._findings.fail("columns", wrongs[0])
        return None, None

    def _journal(self) -> list[LoggedUnit]:
        answer = self._tailrace.command("journal", "cat", "--state", str(self._tailrace.state), "--json", "--values")
        if answer.code != Exit.DONE:
            raise JournalWrong(f"journal cat: exit {answer.code}: {answer.err[-1500:]}")
        lines = [(json.loads(line), line) for line in answer.out.splitlines()]
        # What the source looked up by itself is no transaction of the server's.
        described = {line["lsn"] for line, _ in lines if line.get("op") == "description"}
        return list(read(text for line, text in lines if line.get("xid") != 0 or line.get("lsn") not in described))

    def _journal_end(self) -> int:
        answer = self._tailrace.command("journal", "stat", "--state", str(self._tailrace.state), "--json")
        if answer.code != Exit.DONE:
            raise JournalWrong(f"journal stat: exit {answer.code}: {answer.err[-1500:]}")
        stat = answer.json()
        self.report.segments = max(self.report.segments, stat["segments"])
        return parse_lsn(stat["end"].split(":")[1])

    @staticmethod
    def _baselines(target: DuckDbTarget) -> dict[TableId, int]:
        """Where each table's copy stands: what committed before is in the copy, and history begins there."""
        if not target.has("tailrace", "tables"):
            return {}
        return {(schema, table): int(lsn) for schema, table, lsn in target.query(
            "SELECT schema_name, table_name, fence_lsn FROM tailrace.tables WHERE state = 'copied'")}

    def _held(self, target: DuckDbTarget) -> set[TableId]:
        """Of the tables that are altered, those that are held, since the catalog had gone on when an alteration was read from
        the stream. No other may be."""
        held = target.query("SELECT schema_name, table_name, code, reason FROM tailrace.lanes") if target.has("tailrace", "lanes") else []
        unsure = {(schema, name) for schema, name, code, _ in held if (schema, name) in self._altered and code == "TR610"}
        wrong = [row for row in held if row[:2] not in unsure]
        # A table that was held for a while was copied again by itself: what made that necessary is a fault all the same.
        for process in self._tailrace.processes:
            for line in process.err().splitlines():
                told = re.search(r" duckdb\.held +table ([^. ]+)\.(.+?) is held: (.*)", line)
                if told and (told[1], told[2]) in self._altered and "were to be found" not in told[3] and "follow on" not in told[3]:
                    unsure.add((told[1], told[2]))
                elif told:
                    wrong.append(told.groups())
        self._findings.require("nothing is held", not wrong, f"{wrong[:5]}")
        return unsure

    # The end.

    def _converge(self) -> None:
        """All faults are over: within a bound everything committed must be visible, and a drained stop must answer 0."""
        self._must_run("at the end")
        if self._armed:
            self._process.kill()
            self._start(armed=False)
        self._barriers += 1
        self._cluster.execute(f"INSERT INTO public.oracle_barrier VALUES ({self._barriers})")
        began = time.monotonic()
        answer = self._tailrace.wait(60)
        self.report.converged_s = time.monotonic() - began
        self._findings.require("convergence", answer.code == Exit.DONE, f"wait: {answer}\n{self._process.err()[-3000:]}")
        if self._process.code is None and answer.code == Exit.DONE:
            self._await_values()
            self._status()
        code = self._stop()
        self._findings.require("a drained stop answers 0", code == Exit.DONE, f"exit {code}: {self._process.err()[-1500:]}")

    def _await_values(self) -> None:
        """Values that were never sent are read from the source, for which nobody waits but us."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and any(sink["rows_incomplete"] for sink in self._tailrace.status()["sinks"]):
            time.sleep(0.1)

    def _status(self) -> None:
        status = self._tailrace.status()
        held = tuple(".".join(table) + ": table " for table in self._altered)
        left_out = tuple(".".join(table.id) + ": table " for table in self._others.left_out)
        known = {"TR610": held, "TR802": left_out, "TR624": "mirror: the target was damaged"}
        wrong = [problem for problem in status["problems"] if not problem["what"].startswith(known.get(problem["code"], ()))]
        self._findings.require("status", status["state"] == "streaming" and not wrong, f"{status}")
        for sink in status["sinks"]:
            self._findings.require("nothing is dead-lettered", sink["dead_letters"] == 0, f"{sink}")
        for sink in self._tailrace.command("metrics", self._tailrace.name, "--json", "--state", str(self._tailrace.state)).json()["sinks"]:
            ends = [sink[name] for name in ("applied", "filtered", "dead_lettered", "held")]
            self._findings.require("counts add up", sink["consumed"] == sum(ends) > 0, f"{sink['name']}: {sink['consumed']} became {ends}")

    def _stop(self) -> int | None:
        try:
            return self._process.stop(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return None

    def _compare(self) -> None:
        with self._cluster.connect() as connection:
            self._findings.count("self-check: tables", check_self(connection, self._truth, self._tables))
            if server_major() >= 14:
                self.report.streamed = connection.execute(
                    "SELECT coalesce(sum(stream_txns), 0) FROM pg_stat_replication_slots WHERE slot_name = %s", [SLOT]).fetchone()[0]
        self.report.transactions, self.report.changes = self._truth.counts()
        self.report.alterations = self._truth.alterations()
        end = self._truth.units[-1].end_lsn
        state = self._truth.state_at(end)
        self.report.rows = sum(state.of(table.id).total() for table in self._tables)
        logged = self._journal()
        with DuckDbTarget(self._target) as target:
            self._compare_journal(logged, min(self._baselines(target).values(), default=end))
            held = self._held(target)
            self.report.held = len(held)
            followed = [table for table in self._tables if table.id not in held]
            shapes, rows = self._rows(target, followed, end)
            check_mirror(self._findings, self._truth, shapes, rows, end)
            if self.report.damaged:
                kept = list(self._directory.glob("target.duckdb.damaged-*"))
                self._findings.require("a damaged target is set aside", bool(kept), f"{self.report.damaged} times it could not be read")
            self._compare_history(target, followed, logged, end)
        self._others.compare(self._findings, self._truth, followed, end)

    def _compare_journal(self, logged: list[LoggedUnit], copied_at: int) -> None:
        """`copied_at`: where the first table's copy stands. The log holds all that came later, unless it is trimmed."""
        check = JournalCheck(self._findings, self._tables)
        workload = [unit.end_lsn for unit in logged if unit.changes and not own(unit)]
        if not workload:
            self._findings.require("journal: complete", self._trims, "the journal holds nothing of the workload")
            return
        check.run(self._truth, logged, workload[0] - 1 if self._trims else min(workload[0] - 1, copied_at))
        self.report.unchanged_values = check.unchanged_values

    def _compare_history(self, target: DuckDbTarget, tables: list[Table], logged: list[LoggedUnit], end: int) -> None:
        monotone, latest = {}, 0
        for unit in logged:
            if unit.time is not None:
                latest = max(latest, round(unit.time.timestamp() * 1_000_000))
            monotone[unit.end_lsn] = latest
        baselines = self._baselines(target)
        for table in tables:
            if not target.has(table.schema, table.name + "__history"):
                self._findings.fail("history: versions", f"{table.sql} has no history")
                continue
            shape, versions = self._in_a_shape(table, end, target.versions)
            if shape is None:
                continue
            baseline = baselines.get(table.id, 0)
            places = [unit.end_lsn for unit in self._truth.units if unit.end_lsn >= baseline]
            positions = self._draw.sample(places, min(POSITIONS, len(places)))
            check_history(self._findings, self._truth, shape, versions, baseline, end, positions)
            # The first time in a trimmed log says nothing about the ones before it.
            if not self._trims:
                check_times(self._findings, shape, versions, {lsn: time for lsn, time in monotone.items() if lsn > baseline})



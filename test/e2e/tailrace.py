"""Drives the tailrace program from outside, as a user or a supervisor would."""

import enum
import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILDS = ("build/crash/tailrace", "build/release/tailrace")
COMMAND_TIMEOUT_S = 120
# What becomes of a change.
OUTCOMES = ("applied", "filtered", "dead_lettered", "held")


class Exit(enum.IntEnum):
    """The exit codes that scripts rely on."""

    DONE = 0
    NO = 1
    REQUEST = 2
    UNREACHABLE = 3
    TIMEOUT = 4
    DAMAGED = 5
    DEFECT = 70


def binary() -> Path:
    """The program under test: TAILRACE_BIN, or the first build found. A missing one is a failure, never a skip."""
    chosen = os.environ.get("TAILRACE_BIN")
    candidates = [Path(chosen)] if chosen else [REPOSITORY / build for build in BUILDS]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise RuntimeError(f"no tailrace program at {', '.join(map(str, candidates))}: build it, or set TAILRACE_BIN")


def preloaded(source: str, directory: Path) -> Path:
    """The library, made in the directory, of a C source beside the tests: for LD_PRELOAD."""
    library = (directory / source).with_suffix(".so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, Path(__file__).with_name(source), "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Answer:
    """What one finished command said."""

    code: int
    out: str
    err: str

    def json(self) -> dict:
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Process:
    """A running tailrace. Its stdout and stderr go to files, so that a full pipe never stops it."""

    def __init__(self, arguments: list[str], directory: Path, environment: dict[str, str]):
        directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="stderr-", suffix=".log", dir=directory)
        self.err_path = Path(name)
        self.out_path = self.err_path.with_suffix(".out")
        with os.fdopen(handle, "wb") as err, open(self.out_path, "wb") as out:
            self._child = subprocess.Popen([str(binary()), *arguments], stdout=out, stderr=err, cwd=directory,
                                           stdin=subprocess.DEVNULL, env={**os.environ, **environment})

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def code(self) -> int | None:
        """None while it runs; negative: died by that signal."""
        return self._child.poll()

    def err(self) -> str:
        return self.err_path.read_text(errors="replace")

    def out(self) -> str:
        return self.out_path.read_text(errors="replace")

    def hears(self, number: int) -> bool:
        """Whether the program itself deals with the signal by now: what it blocks it takes when it is ready."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("SigBlk:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
        return False

    def signal(self, number: int) -> None:
        if self.code is None:
            self._child.send_signal(number)

    def wait(self, timeout_s: float = 60) -> int:
        return self._child.wait(timeout_s)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._child.wait(30)

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM: drain and leave. Answers the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)


class Tailrace:
    """One pipeline: its name, its state directory, and the commands that speak of it."""

    def __init__(self, directory: Path, name: str = "oracle", environment: dict[str, str] | None = None):
        self.directory = directory
        self.name = name
        self.state = directory / "state"
        self.environment = environment or {}
        self.processes: list[Process] = []

    def start(self, *arguments: str, environment: dict[str, str] | None = None) -> Process:
        process = Process(list(map(str, arguments)), self.directory / "logs", {**self.environment, **(environment or {})})
        self.processes.append(process)
        return process

    def mirror(self, source: str, target: Path, *options: str, environment: dict[str, str] | None = None) -> Process:
        return self.start("mirror", source, target, "--state", self.state, "--name", self.name, *options,
                          environment=environment)

    def command(self, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S,
                environment: dict[str, str] | None = None, cwd: Path | None = None) -> Answer:
        done = subprocess.run([str(binary()), *map(str, arguments)], capture_output=True, timeout=timeout_s,
                              stdin=subprocess.DEVNULL, cwd=cwd or self.directory,
                              env={**os.environ, **self.environment, **(environment or {})})
        return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def status(self) -> dict:
        answer = self.command("status", self.name, "--json", "--state", self.state)
        if answer.code != Exit.DONE:
            raise RuntimeError(f"status failed: {answer}")
        return answer.json()

    def wait(self, timeout_s: int = 60, *options: str) -> Answer:
        """Asks again while the program is still coming up. Held tables are not waited for unless other options are given."""
        deadline = time.monotonic() + 20
        while True:
            answer = self.command("wait", self.name, "--state", self.state, "--timeout", f"{timeout_s}s",
                                  *(options or ("--allow-held",)), timeout_s=timeout_s + 30)
            running = self.processes and self.processes[-1].code is None
            if answer.code in (Exit.DONE, Exit.TIMEOUT) or not running or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    def wait_for_state(self, state: str, timeout_s: float = 60) -> dict:
        deadline = time.monotonic() + timeout_s
        seen = "nothing yet"
        while time.monotonic() < deadline:
            try:
                status = self.status()
                if status["state"] == state:
                    return status
                seen = status["state"]
            except (RuntimeError, json.JSONDecodeError) as failure:
                seen = str(failure)
            time.sleep(0.1)
        raise AssertionError(f"not {state} after {timeout_s} s: {seen}")

    def wait_for_problem(self, code: str, words: str, timeout_s: float = 60) -> str:
        """What the status says of it."""
        deadline = time.monotonic() + timeout_s
        seen: list[dict] = []
        while time.monotonic() < deadline:
            try:
                seen = self.status()["problems"]
            except (RuntimeError, json.JSONDecodeError):
                seen = []
            for problem in seen:
                if problem["code"] == code and words in problem["what"]:
                    return problem["what"]
            time.sleep(0.1)
        raise AssertionError(f"no {code} after {timeout_s} s: {seen}")

    def close(self) -> None:
        try:
            if self.processes:
                self.assert_counts_add_up()
        finally:
            for process in self.processes:
                if process.code is None:
                    process.signal(signal.SIGCONT)
                    process.kill()

    def assert_counts_add_up(self) -> None:
        """Of each sink: what was received is what became of it, in all and by table and kind of change. Of a pipeline that never
        noted any figures, or whose state a test has destroyed, there is nothing to be seen."""
        for process in self.processes:
            process.signal(signal.SIGCONT)
        answer = self.command("metrics", self.name, "--json", "--state", self.state)
        if answer.code != Exit.DONE:
            return
        for sink in answer.json()["sinks"]:
            assert sink["consumed"] == sum(sink[outcome] for outcome in OUTCOMES), sink
            for outcome in OUTCOMES:
                assert sink[outcome] == sum(table[outcome] for table in sink["tables"]), (outcome, sink)
                assert all(sum(counts.get(outcome, 0) for counts in table["outcomes"].values()) == table[outcome] >= 0
                           for table in sink["tables"]), (outcome, sink)

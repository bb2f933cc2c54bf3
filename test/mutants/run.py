"""Plants each bug of this folder in a scratch tree, builds it, and sees whether the tests catch it.

    test/mutants/run.py [NAME...] [--seeds N] [--table]

A bug is a patch against src/ with one line before it, `bug: what is wrong`. It counts as caught when a unit test fails, or
the oracle with one of the seeds. A bug that is not caught, or whose patch does not apply or build, makes the answer 1.
`--table` rewrites the table in docs/correctness.md.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[1]
TREE = REPOSITORY / "build" / "mutants"
PAGE = REPOSITORY / "docs" / "correctness.md"
MARKS = ("<!-- catches -->", "<!-- end of catches -->")
PRESET = "crash"


@dataclass(frozen=True)
class Mutant:
    name: str
    bug: str
    patch: Path


@dataclass(frozen=True)
class Catch:
    mutant: Mutant
    by: str
    evidence: str
    seconds: float

    @property
    def caught(self) -> bool:
        return self.by not in ("nothing", "no build")


def mutants(names: list[str]) -> list[Mutant]:
    found = []
    for patch in sorted(FOLDER.glob("*.patch")):
        head = dict(re.findall(r"^(\w+): (.+)$", patch.read_text().split("diff --git")[0], re.MULTILINE))
        if not names or patch.stem in names:
            found.append(Mutant(patch.stem, head["bug"], patch))
    return found


def run(*command: str, timeout_s: float = 900, cwd: Path = TREE, **environment: str) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, errors="replace",
                              env={**os.environ, **environment})
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(command, 124, str(late.stdout or ""), f"took longer than {timeout_s} s")


def prepare() -> None:
    """A detached work tree of HEAD, with the uncommitted changes of src/ left out."""
    if not (TREE / ".git").exists():
        made = run("git", "worktree", "add", "--force", "--detach", str(TREE), "HEAD", cwd=REPOSITORY)
        if made.returncode:
            raise SystemExit(made.stderr)
    head = run("git", "rev-parse", "HEAD", cwd=REPOSITORY).stdout.strip()
    for command in (("git", "checkout", "--force", "--detach", head), ("git", "clean", "-fdq", "src", "test")):
        run(*command)
    build = compile_tree()
    if build.returncode:
        raise SystemExit(f"the tree does not build:\n{build.stdout[-3000:]}{build.stderr[-3000:]}")


def compile_tree() -> subprocess.CompletedProcess:
    return run("tools/build", PRESET, timeout_s=1800)


def try_unit_tests() -> str:
    """The first failing unit test, or nothing."""
    done = run("ctest", "--preset", PRESET, timeout_s=300)
    failed = re.findall(r"^\s*\d+ - (\S+) \((?:Failed|Subprocess aborted|SEGFAULT|Timeout|ILLEGAL)", done.stdout, re.MULTILINE)
    return failed[0] if done.returncode and failed else ""


def try_oracle(seed: int, seconds: float) -> str:
    """The first finding of the seed, or nothing."""
    done = run(sys.executable, "-m", "oracle", "--seed", str(seed), "--seconds", str(seconds), timeout_s=400, cwd=TREE / "test",
               TAILRACE_BIN=str(TREE / "build" / PRESET / "tailrace"))
    if done.returncode == 0:
        return ""
    findings = re.findall(r"^  ! (.+)$", done.stdout, re.MULTILINE)
    return findings[0][:120] if findings else (done.stderr.strip().splitlines() or ["no answer"])[-1][:120]


def judge(mutant: Mutant, seeds: int, seconds: float) -> Catch:
    began = time.monotonic()

    def catch(by: str, evidence: str) -> Catch:
        return Catch(mutant, by, evidence, time.monotonic() - began)
    applied = run("git", "apply", str(mutant.patch))
    try:
        if applied.returncode:
            return catch("no build", f"the patch does not apply: {applied.stderr.strip()[:200]}")
        built = compile_tree()
        if built.returncode:
            return catch("no build", (built.stdout + built.stderr)[-400:])
        unit = try_unit_tests()
        found, by = "", "nothing"
        for seed in range(1, seeds + 1):
            if found := try_oracle(seed, seconds):
                by = f"oracle, seed {seed}"
                break
        if unit:
            return catch(f"unit test {unit}" + (f"; {by}" if found else ""), found or unit)
        return catch(by, found)
    finally:
        run("git", "checkout", "--force", "--", "src")


def table(catches: list[Catch]) -> str:
    lines = ["| planted bug | caught by | first finding |", "|---|---|---|"]
    lines += [f"| {c.mutant.bug} | {c.by} | {c.evidence.replace('|', '/')} |" for c in catches]
    return "\n".join(lines)


def rewrite_page(catches: list[Catch]) -> None:
    text = PAGE.read_text()
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    PAGE.write_text(f"{before}{MARKS[0]}\n{table(catches)}\n{MARKS[1]}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these; default: all")
    parser.add_argument("--seeds", type=int, default=5, help="oracle seeds to try on each")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--table", action="store_true", help="rewrite the table in docs/correctness.md")
    options = parser.parse_args()
    prepare()
    catches = []
    for mutant in mutants(options.names):
        catches.append(judge(mutant, options.seeds, options.seconds))
        last = catches[-1]
        print(f"{mutant.name:34} {'caught' if last.caught else 'NOT CAUGHT'} by {last.by} in {last.seconds:.0f} s: {last.evidence}", flush=True)
    if options.table:
        rewrite_page(catches)
    missed = [c.mutant.name for c in catches if not c.caught]
    print(f"{len(catches) - len(missed)} of {len(catches)} planted bugs caught{': missed ' + ', '.join(missed) if missed else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

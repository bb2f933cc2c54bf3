"""Plants each bug of this folder in a scratch tree, builds it, and sees whether the tests catch it.

    test/mutants/run.py [NAME...] [--seeds N] [--oracle] [--table]

A bug is a patch against src/ with one line before it, `bug: what is wrong`. It counts as caught when a unit test fails, or
the oracle with one of the seeds; the oracle is asked when the unit tests did not see it, and always with `--oracle`. A bug
that is not caught, or whose patch does not apply or build, makes the answer 1. `--table` writes what was tried into the
table in docs/correctness.md; rows of bugs that were not tried stay.
"""

import argparse
import os
import re
import shutil
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
    """`unit`: the unit test that failed; `seed`: the oracle's seed that found something, and `finding` what; `asked`: how many
    seeds were tried; `broken`: why it could not be tried at all."""

    mutant: Mutant
    unit: str = ""
    seed: int = 0
    finding: str = ""
    asked: int = 0
    broken: str = ""
    seconds: float = 0.0

    @property
    def caught(self) -> bool:
        return bool(self.unit or self.seed)

    @property
    def oracle(self) -> str:
        if self.seed:
            return f"seed {self.seed}: {self.finding}"
        return f"not by {self.asked} seeds" if self.asked else "not asked"

    def __str__(self) -> str:
        what = self.broken or f"unit test: {self.unit or 'none'}; oracle: {self.oracle}"
        return f"{self.mutant.name:48} {'caught' if self.caught else 'NOT CAUGHT'} in {self.seconds:.0f} s; {what}"


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
    done = run("ctest", "--preset", PRESET, "--stop-on-failure", timeout_s=600)
    failed = re.findall(r"^\s*\d+ - (\S+).* \((?:Failed|Subprocess aborted|SEGFAULT|Timeout|ILLEGAL)", done.stdout, re.MULTILINE)
    return failed[0] if done.returncode and failed else ""


def try_oracle(seed: int, seconds: float) -> str:
    """The first finding of the seed, or nothing. An oracle that breaks down has found nothing: that ends all trials."""
    done = run(sys.executable, "-m", "oracle", "--seed", str(seed), "--seconds", str(seconds), timeout_s=600, cwd=TREE / "test",
               TAILRACE_BIN=str(TREE / "build" / PRESET / "tailrace"))
    if done.returncode == 0:
        return ""
    findings = re.findall(r"^  ! (.+)$", done.stdout, re.MULTILINE)
    if not findings:
        raise SystemExit(f"the oracle broke down at seed {seed}:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    for kept in re.findall(r"^  kept +(\S+)$", done.stdout, re.MULTILINE):
        shutil.rmtree(kept, ignore_errors=True)
    return findings[0][:140].strip()


def judge(mutant: Mutant, options: argparse.Namespace) -> Catch:
    began = time.monotonic()

    def catch(**found) -> Catch:
        return Catch(mutant, seconds=time.monotonic() - began, **found)
    applied = run("git", "apply", str(mutant.patch))
    try:
        if applied.returncode:
            return catch(broken=f"the patch does not apply: {applied.stderr.strip()[:200]}")
        built = compile_tree()
        if built.returncode:
            return catch(broken="it does not build: " + (built.stdout + built.stderr)[-400:])
        unit = try_unit_tests()
        if unit and not options.oracle:
            return catch(unit=unit)
        for asked in range(1, options.seeds + 1):
            if finding := try_oracle(asked, options.seconds):
                return catch(unit=unit, seed=asked, finding=finding, asked=asked)
        return catch(unit=unit, asked=options.seeds)
    finally:
        run("git", "checkout", "--force", "--", "src")


def rows_of(page: str) -> dict[str, str]:
    """The rows of the table by the bug they tell of."""
    rows = re.findall(r"^\| (.+?) \| .+ \|$", page, re.MULTILINE)
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    return dict(zip(rows, lines, strict=True))


def rewrite_page(catches: list[Catch]) -> None:
    text = PAGE.read_text()
    before, rest = text.split(MARKS[0])
    old, after = rest.split(MARKS[1])
    rows = rows_of(old)
    for c in catches:
        unit = f"`{c.unit}`" if c.unit else "cannot be tried" if c.broken else "none"
        rows[c.mutant.bug] = f"| {c.mutant.bug} | {unit} | {c.oracle.replace('|', '/')} |"
    known = [rows[mutant.bug] for mutant in mutants([]) if mutant.bug in rows]
    table = "\n".join(["| planted bug | unit test that fails | oracle |", "|---|---|---|", *known])
    PAGE.write_text(f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these; default: all")
    parser.add_argument("--seeds", type=int, default=5, help="oracle seeds to try on each")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--oracle", action="store_true", help="ask the oracle also when a unit test saw it")
    parser.add_argument("--table", action="store_true", help="write what was found into docs/correctness.md")
    options = parser.parse_args()
    prepare()
    catches = []
    for mutant in mutants(options.names):
        catches.append(judge(mutant, options))
        print(catches[-1], flush=True)
        if options.table:
            rewrite_page(catches)
    missed = [c.mutant.name for c in catches if not c.caught]
    print(f"{len(catches) - len(missed)} of {len(catches)} planted bugs caught{': missed ' + ', '.join(missed) if missed else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

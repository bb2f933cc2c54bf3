#!/usr/bin/env python3
"""Every test that docs/cases.md names exists, every case that it calls shown names one, and no two cases have one name."""
import collections
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
PAGE = "docs/cases.md"
ORACLE = "oracle"

functions = set()
for path in sorted((root / "test/e2e").glob("test_*.py")):
    functions |= set(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE))
suites = collections.defaultdict(set)
for path in sorted((root / "src").rglob("*_test.cc")):
    for suite, name in re.findall(r"^TEST(?:_[FP])?\(\s*(\w+)\s*,\s*(\w+)\s*\)", path.read_text(), re.MULTILINE):
        suites[suite].add(name)


def exists(test: str) -> bool:
    if test.startswith("test_"):
        return test in functions
    suite, _, name = test.partition(".")
    return suite in suites and (name == "*" or name in suites[suite])


problems = []
cases = collections.Counter()
marks = collections.Counter()
for line in (root / PAGE).read_text().splitlines():
    row = re.match(r"\| ([✓·–]) \| ([A-Z]\d\d) ([^|]*)\|([^|]*)\|(.*)\|$", line)
    tests = re.findall(r"`(test_\w+|[A-Z]\w+\.(?:\w+|\*))`", line)
    problems += [f"{test} does not exist" for test in tests if not exists(test)]
    if not row:
        if re.match(r"\| *[✓·–]", line):
            problems.append(f"a row of another form: {line[:80]}")
        continue
    mark, case, _, what, shown = row.groups()
    cases[case] += 1
    marks[mark] += 1
    if mark == "✓" and not re.findall(r"`(?:test_\w+|[A-Z]\w+\.[\w*]+)`", shown) and ORACLE not in shown:
        problems.append(f"{case} is called shown and names no test")
    if mark == "·" and not shown.strip():
        problems.append(f"{case} is open and does not say what is missing")
    if mark == "–" and not what.strip():
        problems.append(f"{case} cannot arise, and no reason is given")
problems += [f"{n} cases are called {case}" for case, n in cases.items() if n > 1]
for problem in problems:
    print(f"{PAGE}: {problem}")
print(f"{sum(cases.values())} cases checked: {marks['✓']} shown, {marks['·']} open, {marks['–']} cannot arise")
sys.exit(1 if problems else 0)

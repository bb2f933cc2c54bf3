#!/usr/bin/env python3
"""Every error code in src/ has a section in docs/codes.md, and every section a code that is in use."""
import collections
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
used = collections.defaultdict(set)
for path in sorted((root / "src").rglob("*.[ch]*")):
    if path.name.endswith("_test.cc") or "server_test" in path.parts:
        continue
    for code in re.findall(r'"(TR\d{3})"', path.read_text()):
        used[code].add(str(path.relative_to(root)))
sections = re.findall(r"^## (TR\d{3}) ", (root / "docs/codes.md").read_text(), re.MULTILINE)

problems = [f"{code} ({', '.join(sorted(files))}) has no section" for code, files in used.items() if code not in sections]
problems += [f"{code} has a section, but is not used" for code in sections if code not in used]
problems += [f"{code} has {n} sections" for code, n in collections.Counter(sections).items() if n > 1]
for problem in sorted(problems):
    print(f"docs/codes.md: {problem}")
print(f"{len(sections)} codes checked")
sys.exit(1 if problems else 0)

#!/usr/bin/env python3
"""Checks the shape of the house: which room may include which, and a few rules for every file.

Run by ctest as `layers`; prints one line per finding and fails if there is any.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
MAX_LINES = 500

# Room -> the rooms it may include besides itself. Everything points down.
FORMATS = {"formats", "pgoutput"}
BELOW_SINKS = {"base", "net", "model", "config", "rules", "vectors", "sqlite"} | FORMATS
ALLOWED = {
    "base": set(),
    "net": {"base"},
    "model": {"base"},
    "rules": {"base", "model"},
    "sqlite": {"base", "model"},
    "pgoutput": {"base", "model"},
    "formats": {"base", "model", "pgoutput"},
    "vectors": {"base", "model", "formats"},
    "config": {"base", "model"},
    "journal": {"base", "model"} | FORMATS,
    "transforms": BELOW_SINKS,
    "sources": BELOW_SINKS,
    "sinks": BELOW_SINKS,
    "parity": {"base", "model", "journal", "sources", "sinks"},
    "pipeline": BELOW_SINKS | {"journal", "transforms", "sources", "sinks", "parity"},
    "server": BELOW_SINKS | {"journal", "transforms", "sources", "sinks", "pipeline"},
    "cli": BELOW_SINKS | {"journal", "transforms", "sources", "sinks", "pipeline", "server"},
}

# A target is a folder below one of these rooms: it may include what its room may, and its room.
TARGET_ROOMS = {"sources", "sinks"}

# The only places that know which targets there are, besides the targets themselves: the registrations, for which the
# folder's CMakeLists.txt declares them, and the parts of the demo that are its PostgreSQL client.
KNOWS_TARGETS = re.compile(r"^src/cli/(CMakeLists\.txt|[a-z]+_registration\.cc|demo_(shop|proof)\.cc)$")

# A foreign header and the only places that include it.
FOREIGN_HEADERS = {
    "libpq-fe.h": re.compile(r"^src/sources/postgres/"),
    "curl/curl.h": re.compile(r"^src/net/"),
    "openssl/evp.h": re.compile(r"^src/net/digest\.cc$"),
    "openssl/hmac.h": re.compile(r"^src/net/digest\.cc$"),
    "hiredis/read.h": re.compile(r"^src/sinks/redis/"),
    "sqlite3.h": re.compile(r"^src/(sqlite|pipeline|sinks/lake)/"),
    "duckdb.h": re.compile(r"^src/(vectors|sinks/(duckdb|lake))/"),
    "httplib.h": re.compile(r"^src/server/http_server\.cc$"),
}

FORBIDDEN_WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|^\s*using namespace std\b")
FORBIDDEN_NAMES = re.compile(r"(^|[_/])(utils?|common|misc|managers?|helpers?)([_./]|$)")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
LIBRARY = re.compile(r"tailrace_(?:library|program)\(([^)]*)\)", re.S)


def room_of(path):
    """The room of a path relative to src/: 'journal', or 'sinks/duckdb' for a target."""
    parts = path.split("/")
    if len(parts) > 2 and parts[0] in TARGET_ROOMS:
        return "/".join(parts[:2])
    return parts[0]


def may_include(source_path, room, other):
    """Whether a file of `room` may include a header of `other`."""
    if other == room:
        return True
    parent, _, target = room.partition("/")
    other_parent, _, other_target = other.partition("/")
    if other_target:
        return bool(KNOWS_TARGETS.match(source_path))
    if target and other == parent:
        return True
    return other_parent in ALLOWED.get(parent, set())


def declared(cmake_file):
    """The DEPS and TEST_DEPS that a room's CMakeLists.txt declares, as sets of room paths."""
    deps, test_deps = set(), set()
    for call in LIBRARY.finditer(re.sub(r"#.*", "", cmake_file.read_text())):
        into = None
        for word in call.group(1).split():
            if word in ("NAME", "PUBLIC_LIBS", "PRIVATE_LIBS", "TEST_LIBS"):
                into = None
            elif word in ("DEPS", "TEST_DEPS"):
                into = deps if word == "DEPS" else test_deps
            elif into is not None:
                into.add(word)
    rooms = {str(f.parent.relative_to(SRC)).replace("/", "_"): str(f.parent.relative_to(SRC))
             for f in SRC.glob("**/CMakeLists.txt")}
    return {rooms.get(d, d) for d in deps}, {rooms.get(d, d) for d in test_deps}


def check_file(path, declarations, findings):
    name = str(path.relative_to(ROOT))
    room = room_of(str(path.relative_to(SRC)))
    lines = path.read_text().splitlines()
    if len(lines) > MAX_LINES:
        findings.append(f"{name}: {len(lines)} lines, at most {MAX_LINES} are allowed")
    if FORBIDDEN_NAMES.search(name):
        findings.append(f"{name}: the name says nothing about the domain")
    if room.partition("/")[0] not in ALLOWED:
        findings.append(f"{name}: the room {room} is not known to tools/check_layers.py")
        return
    deps, test_deps = declarations.get(room, (set(), set()))
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        if FORBIDDEN_WORDS.search(line):
            findings.append(f"{where}: forbidden word: {line.strip()}")
        include = INCLUDE.match(line)
        if not include:
            continue
        header = include.group(2)
        if header in FOREIGN_HEADERS and not FOREIGN_HEADERS[header].match(name):
            findings.append(f"{where}: {header} is included outside of its room")
        if include.group(1) != '"' or header in FOREIGN_HEADERS:
            continue
        if not (SRC / header).exists():
            if "/" in header or (path.parent / header).exists():
                findings.append(f'{where}: "{header}" is not a header rooted in src/')
            continue
        other = room_of(header)
        is_test = path.stem.endswith("_test") or path.stem.startswith("test_")
        if not is_test and not may_include(name, room, other):
            findings.append(f"{where}: {room} may not include {other}")
        elif other != room and other not in deps and not (is_test and other in test_deps):
            findings.append(f"{where}: {other} is not among the DEPS in src/{room}/CMakeLists.txt")


def main():
    findings = []
    declarations = {}
    for cmake_file in SRC.glob("*/**/CMakeLists.txt"):
        room = str(cmake_file.parent.relative_to(SRC))
        declarations[room] = declared(cmake_file)
        for other in sorted(declarations[room][0]):
            if not may_include(f"src/{room}/CMakeLists.txt", room, other):
                findings.append(f"src/{room}/CMakeLists.txt: {room} may not depend on {other}")
    files = sorted(f for f in SRC.rglob("*") if f.suffix in (".h", ".cc"))
    for path in files:
        check_file(path, declarations, findings)
    for finding in findings:
        print(finding)
    print(f"{len(files)} files in {len(declarations)} rooms, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

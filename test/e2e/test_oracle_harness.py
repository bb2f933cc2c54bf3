"""The oracle itself on trial: right outputs pass its checker, and every planted fault in them is caught."""

import os
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from e2e.cluster import Cluster, server_major
from e2e.proxy import Proxy
from oracle import recorder
from oracle.canonical import array_elements, interval, moment
from oracle.checker import Findings, JournalCheck, check_history, check_mirror
from oracle.disk import Disk
from oracle.duckdb_target import DuckDbTarget, canonical_source_rows
from oracle.fake import FakeTarget, as_text, journal_lines
from oracle.growth import growing_tables
from oracle.journal import JournalWrong, read
from oracle.plan import Draw, alterations
from oracle.nemesis import draw_arms, draw_faults
from oracle.run import SERVER_SETTINGS, Report
from oracle.sessions import Sessions
from oracle.tables import Table, all_tables
from oracle.truth import Change, SelfCheckFailed, Truth, Unit, check_self


@dataclass
class World:
    truth: Truth
    tables: list[Table]
    baseline: int

    @property
    def end(self) -> int:
        return self.truth.units[-1].end_lsn

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    made = Cluster(SERVER_SETTINGS)
    recorder.install(made, all_tables(server_major()))
    yield made
    made.close()


@pytest.fixture(scope="module")
def world(source: Cluster) -> World:
    tables = [table for table in all_tables(server_major()) if table.published]
    sessions = Sessions(source.conninfo(), [Draw(f"harness {n}", all_tables(server_major())).transactions(60) for n in range(3)], seed=7)
    sessions.start()
    sessions.finish(60)
    assert not sessions.unexpected
    truth = Truth()
    with source.connect() as connection:
        assert check_self(connection, truth, tables) == len(tables)
    return World(truth, tables, truth.units[len(truth.units) // 3].end_lsn)


def test_the_record_and_the_tables_agree_also_after_a_server_crash(source: Cluster, world: World):
    source.restart("immediate")
    with source.connect() as connection:
        assert check_self(connection, Truth(world.truth.units), world.tables) == len(world.tables)


def test_a_record_that_does_not_explain_the_tables_voids_the_run(source: Cluster, world: World):
    broken = Truth(world.truth.units[1:])
    with source.connect() as connection, pytest.raises(SelfCheckFailed):
        check_self(connection, broken, world.tables)


def check_target(world: World, file: Path, tables: list[Table]) -> Findings:
    findings = Findings()
    units = world.truth.units
    positions = [unit.end_lsn for unit in units[len(units) // 3:]][::2]
    with DuckDbTarget(file) as target:
        check_mirror(findings, world.truth, tables, {t.id: target.rows(t) for t in tables}, world.end)
        for table in tables:
            check_history(findings, world.truth, table, target.versions(table), world.baseline, world.end, positions)
    return findings


def test_a_right_target_has_no_findings(world: World, tmp_path: Path):
    FakeTarget(tmp_path / "right.duckdb", world.truth, world.tables, world.baseline).write()
    findings = check_target(world, tmp_path / "right.duckdb", world.tables)
    assert findings.failures == []
    assert findings.checked["mirror"] > 100
    assert findings.checked["history: versions"] > 100


def _changed(column: int, change: Callable) -> Callable:
    """Changes that column in the first row that has something in it."""
    def bend(rows: list) -> list:
        victim = next(i for i, row in enumerate(rows) if row[column])
        row = rows[victim]
        return [*rows[:victim], (*row[:column], change(row[column]), *row[column + 1:]), *rows[victim + 1:]]
    return bend


def _closed_late(versions: list) -> list:
    place = next(i for i, (_, _, stop) in enumerate(versions) if stop is not None)
    row, start, stop = versions[place]
    return [*versions[:place], (row, start, stop + 1), *versions[place + 1:]]


ROW_FAULTS = {
    "a row is missing": ("by_three", lambda rows: rows[1:]),
    "a row is there twice": ("by_three", lambda rows: [*rows, rows[0]]),
    "one of two equal rows is missing": ("bag_full", lambda rows: rows[1:]),
    "an unchanged value became null": ("toasty", _changed(1, lambda value: None)),
    "a text lost its end": ("by_index", _changed(1, lambda value: value[:-1])),
    "a table is empty": ("every_type_full", lambda rows: []),
}
VERSION_FAULTS = {
    "a version is missing": ("by_text", lambda versions: versions[1:]),
    "a version was never closed": ("by_text", lambda versions: [(r, s, None) for r, s, _ in versions]),
    "a version was closed at another place": ("by_text", _closed_late),
    "a version begins too early": ("toasty", lambda versions: [(r, s, e - 1 if e else None) for r, s, e in versions]),
    "a version is there twice": ("by_uuid", lambda versions: [*versions, versions[0]]),
}


def check_with(world: World, file: Path, name: str, **bend: Callable) -> list[str]:
    tables = [world.table(name)]
    FakeTarget(file, world.truth, tables, world.baseline).write(**bend)
    return check_target(world, file, tables).failures


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_a_wrong_mirror_is_caught(world: World, tmp_path: Path, fault: str):
    name, bend = ROW_FAULTS[fault]
    failures = check_with(world, tmp_path / "wrong.duckdb", name, bend_rows=bend)
    assert failures and failures[0].startswith("mirror")


@pytest.mark.parametrize("fault", VERSION_FAULTS)
def test_a_wrong_history_is_caught(world: World, tmp_path: Path, fault: str):
    name, bend = VERSION_FAULTS[fault]
    failures = check_with(world, tmp_path / "wrong.duckdb", name, bend_versions=bend)
    assert failures and failures[0].startswith("history")


def check_journal(world: World, lines: list[dict]) -> list[str]:
    findings = Findings()
    try:
        JournalCheck(findings, world.tables).run(world.truth, list(read(as_text(lines))), world.baseline)
    except JournalWrong as wrong:
        return [str(wrong)]
    return findings.failures


@pytest.fixture(scope="module")
def right_journal(world: World) -> list[dict]:
    return journal_lines(world.truth, world.tables, world.baseline)


def test_a_right_journal_has_no_findings(world: World, right_journal: list[dict]):
    assert check_journal(world, right_journal) == []


def _blocks(lines: list[dict]) -> list[list[dict]]:
    blocks, block = [], []
    for line in lines:
        block.append(line)
        if line["kind"] == "commit":
            blocks.append(block)
            block = []
    return blocks


def _flat(blocks: list[list[dict]]) -> list[dict]:
    return [line for block in blocks for line in block]


def _without_a_transaction(lines: list[dict]) -> list[dict]:
    blocks = _blocks(lines)
    return _flat(blocks[:5] + blocks[6:])


def _twice(lines: list[dict]) -> list[dict]:
    blocks = _blocks(lines)
    return _flat(blocks[:5] + [blocks[4]] + blocks[5:])


def _swapped(lines: list[dict]) -> list[dict]:
    blocks = _blocks(lines)
    return _flat([*blocks[:3], blocks[4], blocks[3], *blocks[5:]])


def _without_a_change(lines: list[dict]) -> list[dict]:
    for block in _blocks(lines):
        if len(block) > 3:
            lines.remove(block[1])
            return lines
    raise AssertionError("no transaction with several changes")


def _invented(lines: list[dict]) -> list[dict]:
    block = deepcopy(_blocks(lines)[3])
    for line in block:
        line["lsn"] = "0/1"
    return block + lines


def _first(lines: list[dict], wanted: Callable[[dict], bool]) -> dict:
    return next(line for line in lines if line["kind"] == "change" and wanted(line))


def _unchanged_that_changed(lines: list[dict]) -> list[dict]:
    line = _first(lines, lambda c: c["op"] == "insert")
    line["new"][next(iter(line["new"]))] = {"unchanged": True}
    return lines


def _null_for_unchanged(lines: list[dict]) -> list[dict]:
    line = _first(lines, lambda c: {"unchanged": True} in c.get("new", {}).values())
    line["new"] = {name: None if value == {"unchanged": True} else value for name, value in line["new"].items()}
    return lines


def _key_left_out(lines: list[dict]) -> list[dict]:
    line = _first(lines, lambda c: c.get("old_kind") == "key" and c["op"] == "update")
    del line["old"], line["old_kind"]
    return lines


def _ordinals_from_one(lines: list[dict]) -> list[dict]:
    for line in lines:
        if "ordinal" in line:
            line["ordinal"] += 1
    return lines


def _seq_repeats(lines: list[dict]) -> list[dict]:
    changes = [line for line in lines if line["kind"] == "change"]
    changes[10]["seq"] = changes[9]["seq"]
    return lines


JOURNAL_FAULTS = [_without_a_transaction, _twice, _swapped, _without_a_change, _invented, _unchanged_that_changed, _null_for_unchanged,
                  _key_left_out, _ordinals_from_one, _seq_repeats]


@pytest.mark.parametrize("bend", JOURNAL_FAULTS, ids=lambda bend: bend.__name__.strip("_"))
def test_a_wrong_journal_is_caught(world: World, right_journal: list[dict], bend: Callable):
    assert check_journal(world, bend(deepcopy(right_journal)))


def test_the_same_seed_gives_the_same_plan():
    def drawn(seed: int) -> tuple:
        tables = [*all_tables(server_major()), *growing_tables(seed)]
        return tables, Draw(f"seed {seed}", tables).transactions(50), alterations(seed, tables[-2:], 12)
    assert drawn(7) == drawn(7) != drawn(8)


def test_an_altered_table_is_compared_in_a_shape_that_it_may_have_there():
    """Alterations come to the target with the next change, so until then it may have the former shape, and never an older one."""
    table = growing_tables(3)[0]
    row = table.completed(("1", "x", None, None))
    assert len(row) == len(table.columns) and row[4:] == table.defaults[4:]
    insert = Change("insert", table.id, None, row)
    truth = Truth([Unit(100, 1, None, [insert]), Unit(300, 3, None, [insert])], [table])
    for lsn in (50, 200, 400):
        truth.note_alteration(table.id, lsn)
    places = {100: [1], 250: [2, 1], 350: [2], 450: [3, 2]}
    assert {lsn: truth.shapes(table, lsn) for lsn in places} == {lsn: [table.at(n) for n in shapes] for lsn, shapes in places.items()}


@pytest.mark.parametrize("wrong", [lambda row: (*row[:-1], "another default"), lambda row: (*row[:-1], None)])
def test_a_wrong_default_in_an_older_row_is_caught(wrong: Callable):
    table = next(made for seed in range(100) for made in growing_tables(seed) if made.defaults[-1] is not None)
    row = table.completed(("1", "x", "v", "1.00"))
    truth = Truth([Unit(100, 1, None, [Change("insert", table.id, None, row)])], [table])
    shape = table.at(len(table.alterations))
    for found, right in ((row, True), (wrong(row), False)):
        findings = Findings()
        rows = {table.id: canonical_source_rows(shape, Counter([found]))}
        check_mirror(findings, truth, [shape], rows, 100)
        assert (findings.failures == []) == right


@pytest.mark.parametrize("draws", [draw_faults, lambda seed: draw_arms(seed, [f"point.{n}" for n in range(30)])])
def test_the_same_seed_breaks_the_same_things(draws: Callable):
    assert list(islice(draws(7), 40)) == list(islice(draws(7), 40)) != list(islice(draws(8), 40))


def test_a_seed_that_fails_says_how_it_is_run_again():
    report = Report(7, 12)
    report.findings.fail("mirror", "a row is missing")
    assert not report.ok
    assert "python -m oracle --seed 7 --seconds 12" in str(report)


class NothingLands(random.Random):
    """Of what was not synced, the power takes everything."""

    def choice(self, options):
        return options[0]


WRITE = """import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.pwrite(file, b"a" * 8192, 0)
os.fdatasync(file)
os.pwrite(file, b"b" * 4096, 4096)
os.pwrite(file, b"c" * 4096, 4096)
os.kill(os.getpid(), 9)
"""


def test_the_disk_loses_what_was_not_synced_and_nothing_else(tmp_path: Path):
    root = tmp_path / "root"
    root.mkdir()
    disk = Disk(root, tmp_path / "disk", NothingLands())
    for where in (root / "on_the_disk", tmp_path / "elsewhere"):
        subprocess.run([sys.executable, "-c", WRITE, str(where)], env={**os.environ, **disk.environment()})
    assert (root / "on_the_disk").read_bytes() == b"a" * 4096 + b"c" * 4096
    assert disk.cut_power() == 1
    assert (root / "on_the_disk").read_bytes() == b"a" * 8192
    assert (tmp_path / "elsewhere").read_bytes() == b"a" * 4096 + b"c" * 4096
    assert disk.cut_power() == 0


def test_the_proxy_serves_one_connection_while_another_is_not_read():
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(listener.getsockname()[1])
    try:
        clients, servers = [], []
        for _ in range(2):
            clients.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=10))
            servers.append(listener.accept()[0])
        servers[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                servers[0].send(b"x" * 65536)
        clients[1].sendall(b"question")
        assert servers[1].recv(100) == b"question"
        servers[1].sendall(b"the last words")
        servers[1].close()
        assert clients[1].recv(100) == b"the last words"
        assert clients[1].recv(100) == b""
    finally:
        proxy.close()
        for end in (*clients, *servers, listener):
            end.close()


def test_values_meet_in_one_form():
    assert interval("-1 mons +2 days -00:00:00.000001") == (-1, 2, -1)
    assert interval("1 year 2 mons 3 days 04:05:06.789") == interval("1 year 2 months 3 days 04:05:06.789")
    assert moment("0044-03-15 12:00:00 BC") == moment("0044-03-15 (BC) 12:00:00")
    assert moment("2024-01-01 00:00:00+00") != moment("2024-01-01 00:00:01+00")
    assert array_elements(r'{NULL,"NULL","",a,"q\"\\"}') == [None, "NULL", "", "a", 'q"\\']

"""Holds what Tailrace made against the truth. Every difference is a finding; counts say how much was compared."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from oracle.canonical import from_source
from oracle.duckdb_target import Version, canonical_source_rows
from oracle.journal import UNCHANGED, LoggedChange, LoggedUnit, own
from oracle.tables import Table
from oracle.truth import Change, Row, TableId, Truth, Unit, format_lsn

MOST_SHOWN = 20
FOREVER = 2**64 - 1


@dataclass
class Findings:
    """What was compared, by invariant, and every difference (the first ones in full)."""

    checked: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    more: int = 0

    def count(self, invariant: str, amount: int = 1) -> None:
        self.checked[invariant] += amount

    def fail(self, invariant: str, text: str) -> None:
        if len(self.failures) < MOST_SHOWN:
            self.failures.append(f"{invariant}: {text}")
        else:
            self.more += 1

    def require(self, invariant: str, holds: bool, text: str) -> None:
        self.count(invariant)
        if not holds:
            self.fail(invariant, text)


def shorten(row: object) -> str:
    text = repr(row)
    return text if len(text) <= 400 else f"{text[:300]}…{text[-80:]} ({len(text)})"


def _difference(table: Table, expected: Row, found: Row) -> str:
    names = [f"{name}: {shorten(e)} became {shorten(f)}" for name, e, f in zip(table.names, expected, found, strict=True) if e != f]
    return "; ".join(names)


def compare_rows(findings: Findings, invariant: str, table: Table, expected: Counter, found: Counter, where: str) -> None:
    """Two multisets of canonical rows. Rows of one key are shown column by column."""
    findings.count(invariant, max(1, expected.total()))
    if expected == found:
        return
    missing, extra = expected - found, found - expected
    key = table.positions(table.key)
    by_key = {tuple(row[p] for p in key): row for row in extra} if key else {}
    findings.fail(invariant, f"{table.sql} {where}: {missing.total()} rows missing, {extra.total()} too many, "
                             f"of {expected.total()}")
    for row in list(missing)[:4]:
        twin = by_key.pop(tuple(row[p] for p in key), None) if key else None
        if twin is not None:
            findings.fail(invariant, f"  key {shorten([row[p] for p in key])}: {_difference(table, row, twin)}")
        else:
            findings.fail(invariant, f"  missing {missing[row]}× {shorten(row)}")
    for row in list(by_key.values() if key else extra)[:4]:
        findings.fail(invariant, f"  too many {extra[row]}× {shorten(row)}")


def check_mirror(findings: Findings, truth: Truth, tables: list[Table], rows: dict[TableId, Counter], lsn: int,
                 invariant: str = "mirror") -> None:
    """Only the tables whose rows are given."""
    state = truth.state_at(lsn)
    for table in tables:
        if table.id in rows:
            compare_rows(findings, invariant, table, canonical_source_rows(table, state.of(table.id)), rows[table.id],
                         f"at {format_lsn(lsn)}")


# The journal.

class JournalCheck:
    """Compares the journal with the truth: transaction by transaction, change by change, column by column."""

    def __init__(self, findings: Findings, tables: list[Table]):
        self._findings = findings
        self._tables = {table.id: table for table in tables}
        self._truth = Truth()
        self.unchanged_values = 0
        self.inside_copy = 0

    def run(self, truth: Truth, logged: list[LoggedUnit], required_from: int, required_to: int = FOREVER) -> None:
        """All units of the truth in (required_from, required_to] must be there; older ones may be, but only as they were."""
        self._truth = truth
        self._order(logged)
        expected = {unit.end_lsn: unit for unit in truth.units if self._relevant(unit)}
        found = [unit for unit in logged if unit.changes and not own(unit)]
        for unit in found:
            if unit.end_lsn not in expected:
                self._findings.fail("journal: nothing invented", f"{self._name(unit)} was never committed "
                                    f"({len(unit.changes)} changes, first {unit.changes[0].op} {unit.changes[0].table})")
            else:
                self._unit(expected[unit.end_lsn], unit)
        present = {unit.end_lsn for unit in found}
        for lsn, unit in expected.items():
            if required_from < lsn <= required_to:
                self._findings.require("journal: complete", lsn in present,
                                       f"the transaction {unit.xid} at {format_lsn(lsn)} with {len(unit.changes)} changes is missing")

    def _relevant(self, unit: Unit) -> bool:
        return any(change.table is None or change.table in self._tables for change in unit.changes)

    @staticmethod
    def _name(unit: LoggedUnit) -> str:
        return f"the transaction {unit.xid} at {unit.epoch}:{format_lsn(unit.end_lsn)}"

    def _order(self, logged: list[LoggedUnit]) -> None:
        last, last_seq = (0, 0), 0
        for unit in logged:
            place = (unit.epoch, unit.end_lsn)
            self._findings.require("journal: order", place > last or (unit.xid == 0 and place >= last),
                                   f"{self._name(unit)} stands behind {last[0]}:{format_lsn(last[1])}")
            last = place
            ordinals = [change.position[2] for change in unit.changes]
            self._findings.require("journal: ordinals", ordinals == list(range(len(ordinals))) and unit.announced == len(ordinals),
                                   f"{self._name(unit)} has {len(ordinals)} changes, announced {unit.announced}, "
                                   f"ordinals {ordinals[:10]}")
            for change in unit.changes:
                self._findings.require("journal: seq", change.seq > last_seq, f"seq {change.seq} at {change.position} "
                                       f"does not rise above {last_seq}")
                last_seq = change.seq

    def _unit(self, expected: Unit, found: LoggedUnit) -> None:
        wanted = [change for change in expected.changes if change.table is None or change.table in self._tables]
        name = self._name(found)
        self._findings.require("journal: whole transactions", len(wanted) == len(found.changes),
                               f"{name} has {len(found.changes)} changes, the source made {len(wanted)}: "
                               f"{self._first_other(wanted, found)}")
        if expected.xid:
            self._findings.require("journal: commit time", found.time == expected.committed_at and found.xid == expected.xid,
                                   f"{name}: xid {found.xid}, time {found.time}, not {expected.xid}, {expected.committed_at}")
        if len(wanted) != len(found.changes):
            return
        logged_changes = found.changes
        if any(change.table and self._tables[change.table].cascades for change in wanted):
            wanted = sorted(wanted, key=lambda change: change.table or ("", ""))
            logged_changes = sorted(logged_changes, key=lambda change: change.table or ("", ""))
        for change, logged in zip(wanted, logged_changes, strict=True):
            self._change(name, change, logged, expected.end_lsn)

    @staticmethod
    def _first_other(wanted: list[Change], found: LoggedUnit) -> str:
        for place, change in enumerate(wanted):
            if place >= len(found.changes):
                return f"ends before ordinal {place} ({change.op} {change.table})"
            other = found.changes[place]
            if (change.op, change.table) != (other.op, other.table):
                return f"ordinal {place} is {other.op} {other.table}, not {change.op} {change.table}"
        return f"goes on after ordinal {len(wanted)}"

    def _change(self, name: str, change: Change, logged: LoggedChange, end_lsn: int) -> None:
        place = f"{name}, ordinal {logged.position[2]}"
        self._findings.count("journal: changes")
        if (change.op, change.table) != (logged.op, logged.table):
            self._findings.fail("journal: changes", f"{place} is {logged.op} {logged.table}, not {change.op} {change.table}")
            return
        if change.table is None:
            prefix = change.new[0]
            if logged.prefix != prefix:
                self._findings.fail("journal: changes", f"{place}: the message's prefix is {logged.prefix!r}, not {prefix!r}")
            return
        table = self._tables[change.table].at(self._truth.altered(change.table, end_lsn))
        self._old(place, table, change, logged)
        if change.new is not None:
            self._new(place, table, change, logged)

    def _old(self, place: str, table: Table, change: Change, logged: LoggedChange) -> None:
        if change.old is None:
            if logged.old is not None:
                self._findings.fail("journal: old rows", f"{place}: an old row where the source has none")
            return
        old = dict(zip(table.names, change.old[:len(table.names)], strict=True))
        identity = table.names if table.identity == "full" else table.key
        if table.identity == "full":
            kind = "full"
        elif change.op == "update" and all(old[n] == change.new[table.names.index(n)] for n in identity):
            kind = None
        else:
            kind = "key"
        self._findings.count("journal: old rows")
        if kind != logged.old_kind:
            self._findings.fail("journal: old rows", f"{place} ({table.sql}): old kind {logged.old_kind}, not {kind}")
        elif kind is not None:
            wrong = [n for n in identity if (logged.old or {}).get(n, UNCHANGED) != old[n]]
            if wrong:
                self._findings.fail("journal: old rows", f"{place} ({table.sql}): old {wrong[0]} is "
                                    f"{shorten((logged.old or {}).get(wrong[0]))}, not {shorten(old[wrong[0]])}")

    def _new(self, place: str, table: Table, change: Change, logged: LoggedChange) -> None:
        found = logged.new or {}
        if tuple(found) != table.names:
            self._findings.fail("journal: values", f"{place} ({table.sql}): columns {list(found)}, not {list(table.names)}")
            return
        self._findings.count("journal: values", len(table.names))
        for index, name in enumerate(table.names):
            if found[name] == UNCHANGED:
                self.unchanged_values += 1
                if change.op == "insert" or change.old[index] != change.new[index]:
                    self._findings.fail("journal: values", f"{place} ({table.sql}): {name} is called unchanged, and is not")
            elif found[name] != change.new[index]:
                self._findings.fail("journal: values", f"{place} ({table.sql}): {name} is {shorten(found[name])}, "
                                    f"not {shorten(change.new[index])}")


# The history.

def true_versions(truth: Truth, table: Table, baseline: int, form=from_source) -> Counter:
    """(row, from, to) of every version that the source's commits made visible; those alive at `baseline` begin there.

    A row that a transaction leaves as it was is one version going on. `form` gives a type's canonical form.
    """
    converters = [form(column.type) for column in table.columns]

    def canonical(row: Row) -> Row:
        return tuple(convert(value) for convert, value in zip(converters, row[:len(converters)], strict=True))

    alive: dict[Row, list[int]] = defaultdict(list)
    versions: Counter = Counter()
    for unit in truth.units:
        mine = [change for change in unit.changes if change.table == table.id]
        if not mine:
            continue
        begun = max(unit.end_lsn, baseline)
        net = _net_of_transaction(mine, alive, canonical)
        for row, count in net.items():
            if count > 0:
                alive[row] += [begun] * count
            for _ in range(-count):
                start = alive[row].pop()
                if unit.end_lsn > baseline:
                    versions[(row, start, unit.end_lsn)] += 1
            if count < 0 and not alive[row]:
                del alive[row]
    for row, starts in alive.items():
        for start in starts:
            versions[(row, start, None)] += 1
    return versions


def _net_of_transaction(changes: list[Change], alive: dict[Row, list[int]], canonical) -> Counter:
    net: Counter = Counter()
    for change in changes:
        if change.op == "truncate":
            net = Counter({row: -len(starts) for row, starts in alive.items()})
            continue
        if change.old is not None:
            net[canonical(change.old)] -= 1
        if change.new is not None:
            net[canonical(change.new)] += 1
    return net


def joined_versions(versions: list[Version], baseline: int) -> Counter:
    """What a history table holds as (row, from, to), where equal rows that meet end to end are one version."""
    open_ends: dict[Row, dict[int | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for version in sorted(versions, key=lambda v: v.from_lsn):
        start = max(version.from_lsn, baseline)
        ends = open_ends[version.row]
        if version.to_lsn is not None and version.to_lsn <= baseline:
            continue
        if ends.get(start):
            start_of_chain = ends[start].pop()
            ends[version.to_lsn].append(start_of_chain)
        else:
            ends[version.to_lsn].append(start)
    result: Counter = Counter()
    for row, ends in open_ends.items():
        for end, starts in ends.items():
            for start in starts:
                result[(row, start, end)] += 1
    return result


def check_history(findings: Findings, truth: Truth, table: Table, versions: list[Version], baseline: int, end: int,
                  positions: list[int]) -> None:
    """The versions one by one; the table as of each position; and what must hold of any history."""
    _shape(findings, table, versions, baseline)
    expected, found = true_versions(truth, table, baseline), joined_versions(versions, baseline)
    findings.count("history: versions", expected.total())
    if not _same_but_for_bags(expected, found):
        missing, extra = expected - found, found - expected
        findings.fail("history: versions", f"{table.sql}: {missing.total()} versions missing, {extra.total()} too many, of "
                      f"{expected.total()}")
        for sign, some in (("missing", missing), ("too many", extra)):
            for row, start, stop in list(some)[:3]:
                findings.fail("history: versions", f"  {sign} [{format_lsn(start)}, {format_lsn(stop) if stop else 'open'}) "
                              f"{shorten(row)}")
    asked = sorted(position for position in positions if baseline <= position <= end)
    for lsn, state in truth.states_at(asked):
        then = Counter(v.row for v in versions if max(v.from_lsn, baseline) <= lsn and (v.to_lsn is None or v.to_lsn > lsn))
        compare_rows(findings, "history: as of", table, canonical_source_rows(table, state.of(table.id)), then,
                     f"as of {format_lsn(lsn)}")
        findings.count("history: positions")


def _same_but_for_bags(expected: Counter, found: Counter) -> bool:
    """Equal rows of one table are interchangeable: which of them ended when cannot be told, only how many did."""
    if expected == found:
        return True

    def events(versions: Counter) -> tuple[Counter, Counter]:
        begins, ends = Counter(), Counter()
        for (row, start, stop), count in versions.items():
            begins[(row, start)] += count
            if stop is not None:
                ends[(row, stop)] += count
        return begins, ends
    return events(expected) == events(found)


def _shape(findings: Findings, table: Table, versions: list[Version], baseline: int) -> None:
    """Of the time before a table's baseline nothing is promised: a version that the copy held and that ended there is empty."""
    for version in versions:
        is_open = version.to_lsn is None
        before = not is_open and version.from_lsn == version.to_lsn <= baseline
        findings.require("history: open rows", version.is_current == is_open == (version.effective_to is None) == (version.to_seq is None),
                         f"{table.sql}: is_current {version.is_current}, to_lsn {version.to_lsn}, "
                         f"effective_to {version.effective_to}, to_seq {version.to_seq} disagree")
        findings.require("history: intervals", is_open or ((version.from_lsn < version.to_lsn or before) and version.from_seq < version.to_seq
                                                           and version.effective_from <= version.effective_to),
                         f"{table.sql}: a version from {version.from_lsn}/{version.from_seq} to {version.to_lsn}/{version.to_seq}")
    if table.key and not table.swaps:
        _no_overlap(findings, table, versions)


def _no_overlap(findings: Findings, table: Table, versions: list[Version]) -> None:
    by_key: dict[Row, list[Version]] = defaultdict(list)
    key = table.positions(table.key)
    for version in versions:
        by_key[tuple(version.row[p] for p in key)].append(version)
    for value, chain in by_key.items():
        chain.sort(key=lambda v: (v.from_lsn, v.to_lsn or FOREVER))
        for earlier, later in zip(chain, chain[1:]):
            findings.require("history: no overlap", earlier.to_lsn is not None and earlier.to_lsn <= later.from_lsn,
                             f"{table.sql} key {shorten(value)}: a version from {earlier.from_lsn} to {earlier.to_lsn} "
                             f"meets one from {later.from_lsn}")
            findings.require("history: times rise", earlier.to_lsn != later.from_lsn or earlier.effective_to == later.effective_from,
                             f"{table.sql} key {shorten(value)}: one ends at {earlier.effective_to}, the next begins at "
                             f"{later.effective_from}")


def check_times(findings: Findings, table: Table, versions: list[Version], monotone: dict[int, int]) -> None:
    """`effective_from`/`effective_to` are the monotone commit times of their transactions, in microseconds."""
    for version in versions:
        for lsn, shown in ((version.from_lsn, version.effective_from), (version.to_lsn, version.effective_to)):
            if lsn in monotone:
                findings.require("history: commit times", shown == monotone[lsn],
                                 f"{table.sql}: {shown} at {format_lsn(lsn)}, not {monotone[lsn]}")

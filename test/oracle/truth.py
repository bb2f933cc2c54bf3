"""The truth: what the source committed, in commit order, and what its tables held at any position.

Rows come from the record that triggers wrote, order and positions from a test_decoding slot of our own.
"""

import re
import time
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from oracle.recorder import PINNED_SESSION, SLOT, select_live
from oracle.tables import Table
from oracle.values import Text

Row = tuple[Text, ...]
TableId = tuple[str, str]
COMMIT = re.compile(r"COMMIT (\d+) \(at (.+)\)")
MESSAGE = re.compile(r"message: transactional: 0 prefix: (.*?), sz: (\d+) content:(.*)", re.DOTALL)


def parse_lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True)
class Change:
    """One change of the source; `table` is None for a logical message, whose `new` is (prefix, content)."""

    op: str
    table: TableId | None
    old: Row | None
    new: Row | None


@dataclass
class Unit:
    """What has a place in commit order: a transaction, or a message outside of any."""

    end_lsn: int
    xid: int
    committed_at: datetime | None
    changes: list[Change] = field(default_factory=list)


class SelfCheckFailed(Exception):
    """The record does not explain the live tables: the run says nothing about the engine."""


class State:
    """The contents of all tables as multisets of rows."""

    def __init__(self):
        self.rows: dict[TableId, Counter] = {}

    def apply(self, change: Change) -> None:
        if change.table is None:
            return
        rows = self.rows.setdefault(change.table, Counter())
        if change.op == "truncate":
            rows.clear()
            return
        if change.old is not None:
            if rows[change.old] <= 0:
                raise SelfCheckFailed(f"{change.op} of a row of {change.table} that the record does not have")
            rows[change.old] -= 1
            if not rows[change.old]:
                del rows[change.old]
        if change.new is not None:
            rows[change.new] += 1

    def of(self, table: TableId) -> Counter:
        return self.rows.get(table, Counter())


class Truth:
    """Grows by `refresh`. One thread at a time."""

    def __init__(self, units: Iterable[Unit] = (), tables: Iterable[Table] = ()):
        """`tables`: those whose rows need to be completed, since they are altered."""
        self.units: list[Unit] = list(units)
        self._altered = {table.id: table for table in tables if table.shapes}
        self._alterations: dict[TableId, list[int]] = defaultdict(list)
        self._positions = [unit.end_lsn for unit in self.units]
        self._taken = self._positions[-1] if self._positions else 0

    def refresh(self, connection: psycopg.Connection) -> None:
        """Takes what committed since the last call. After a server crash the slot repeats itself: repeats are dropped."""
        fresh: list[Unit] = []
        lines = connection.execute(
            "SELECT lsn::text, data FROM pg_logical_slot_get_changes(%s, NULL, NULL, 'include-timestamp', 'on') "
            "WHERE data LIKE 'COMMIT %%' OR data LIKE 'message: transactional: 0%%'", [SLOT]).fetchall()
        for lsn_text, data in lines:
            lsn = parse_lsn(lsn_text)
            if lsn <= self._taken:
                continue
            if commit := COMMIT.match(data):
                fresh.append(Unit(lsn, int(commit[1]), datetime.fromisoformat(commit[2].replace("+00", "+00:00"))))
            elif (message := MESSAGE.match(data)) and connection.info.server_version >= 140000:
                fresh.append(Unit(lsn, 0, None, [Change("message", None, None, (message[1], message[3]))]))
        self._fill(connection, {unit.xid: unit for unit in fresh if unit.xid})
        # Not where the units end: one that only altered a table is none of them.
        self._taken = max([self._taken, *(unit.end_lsn for unit in fresh)])
        self.units += [unit for unit in fresh if unit.changes]
        self.units.sort(key=lambda unit: unit.end_lsn)
        self._positions = [unit.end_lsn for unit in self.units]

    def _fill(self, connection: psycopg.Connection, units: dict[int, Unit]) -> None:
        """A commit can be decoded an instant before its rows are visible: waits until all are."""
        if not units:
            return
        while connection.execute("SELECT bool_and(pg_visible_in_snapshot(x::text::xid8, pg_current_snapshot())) "
                                 "FROM unnest(%s::int8[]) x", [list(units)]).fetchone()[0] is False:
            time.sleep(0.01)
        rows = connection.execute("SELECT xid::text::int8, schema, name, op, old, new FROM oracle.h "
                                  "WHERE xid = ANY(%s::text[]::xid8[]) ORDER BY seq", [[str(xid) for xid in units]])
        for xid, schema, name, op, old, new in rows:
            table = (schema, name) if name is not None else None
            complete = self._altered[table].completed if table in self._altered else lambda row: row
            units[xid].changes.append(Change(op, table, complete(tuple(old)) if old else None, complete(tuple(new)) if new else None))
        for xid, schema, name in connection.execute("SELECT xid::text::int8, schema, name FROM oracle.alterations "
                                                    "WHERE xid = ANY(%s::text[]::xid8[])", [[str(xid) for xid in units]]):
            self.note_alteration((schema, name), units[xid].end_lsn)

    def note_alteration(self, table: TableId, lsn: int) -> None:
        insort(self._alterations[table], lsn)

    def alterations(self) -> int:
        return sum(map(len, self._alterations.values()))

    def altered(self, table: TableId, lsn: int) -> int:
        """How many of its alterations the table has had at that position."""
        return bisect_right(self._alterations[table], lsn)

    def shapes(self, table: Table, lsn: int) -> list[Table]:
        """What a target may have of the table at that position, youngest first: alterations come with the next change."""
        if not table.shapes:
            return [table]
        touched = next((unit.end_lsn for unit in reversed(list(self.up_to(lsn))) if any(c.table == table.id for c in unit.changes)), 0)
        return [table.at(n) for n in range(self.altered(table.id, lsn), self.altered(table.id, touched) - 1, -1)]

    def up_to(self, lsn: int) -> Iterator[Unit]:
        return iter(self.units[:bisect_right(self._positions, lsn)])

    def state_at(self, lsn: int) -> State:
        state = State()
        for unit in self.up_to(lsn):
            for change in unit.changes:
                state.apply(change)
        return state

    def states_at(self, positions: list[int]) -> Iterator[tuple[int, State]]:
        """The one growing state at each of the ascending positions; it changes when the iteration goes on."""
        state, done = State(), 0
        for lsn in positions:
            upto = bisect_right(self._positions, lsn)
            for unit in self.units[done:upto]:
                for change in unit.changes:
                    state.apply(change)
            done = max(done, upto)
            yield lsn, state

    def find(self, lsn: int) -> Unit | None:
        place = bisect_right(self._positions, lsn) - 1
        return self.units[place] if place >= 0 and self.units[place].end_lsn == lsn else None

    def counts(self) -> tuple[int, int]:
        return len(self.units), sum(len(unit.changes) for unit in self.units)


def check_self(connection: psycopg.Connection, truth: Truth, tables: list[Table]) -> int:
    """The fold of the record must equal the live tables. Only while no session writes."""
    for statement in PINNED_SESSION:
        connection.execute(statement)
    truth.refresh(connection)
    state = truth.state_at(2**64 - 1)
    for table in tables:
        if table.shapes:
            table = table.at(truth.altered(table.id, 2**64 - 1))
        live = Counter(connection.execute(select_live(table)).fetchall())
        recorded = Counter()
        for row, count in state.of(table.id).items():
            recorded[row[:len(table.columns)]] += count
        if live != recorded:
            missing, extra = live - recorded, recorded - live
            raise SelfCheckFailed(f"{table.sql}: {missing.total()} live rows are not in the record, {extra.total()} only there")
    return len(tables)

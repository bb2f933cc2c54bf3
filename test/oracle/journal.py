"""Reads what `tailrace journal cat --json --values` prints: one JSON line per change, one per commit after its changes."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from oracle.truth import parse_lsn

UNCHANGED = {"unchanged": True}
OWN_PREFIX = "tailrace"


@dataclass(frozen=True)
class LoggedChange:
    position: tuple[int, int, int]
    seq: int
    xid: int
    op: str
    table: tuple[str, str] | None
    old_kind: str | None
    old: dict | None
    new: dict | None
    prefix: str | None


@dataclass
class LoggedUnit:
    """A commit line with the changes before it; one with an xid of 0 is a message outside of transactions."""

    end_lsn: int
    epoch: int
    xid: int
    time: datetime | None
    announced: int
    seq: int
    changes: list[LoggedChange] = field(default_factory=list)


class JournalWrong(Exception):
    """The journal's own lines contradict each other."""


def _change(line: dict) -> LoggedChange:
    table = (line["schema"], line["table"]) if line.get("table") is not None else None
    return LoggedChange((line["epoch"], parse_lsn(line["lsn"]), line["ordinal"]), line["seq"], line["xid"], line["op"], table,
                        line.get("old_kind"), line.get("old"), line.get("new"), line.get("prefix"))


def read(lines: Iterable[str]) -> Iterator[LoggedUnit]:
    pending: list[LoggedChange] = []
    for text in lines:
        line = json.loads(text)
        if line["kind"] == "change":
            pending.append(_change(line))
        elif line["kind"] == "commit":
            lsn = parse_lsn(line["lsn"])
            for change in pending:
                if change.position[:2] != (line["epoch"], lsn):
                    raise JournalWrong(f"the change at {change.position} lies in the transaction {line['lsn']}")
            time = datetime.fromisoformat(line["time"].replace("Z", "+00:00")) if line.get("time") else None
            yield LoggedUnit(lsn, line["epoch"], line["xid"], time, line["changes"], line["seq"], pending)
            pending = []
    if pending:
        raise JournalWrong(f"{len(pending)} changes stand behind the last commit")


def own(unit: LoggedUnit) -> bool:
    """Only our own heartbeats: not part of the workload."""
    return bool(unit.changes) and all(change.op == "message" and (change.prefix or "").startswith(OWN_PREFIX)
                                      for change in unit.changes)

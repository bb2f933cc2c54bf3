"""The application beside the pipeline: it changes products and users, and writes down what it did, as the truth that the targets are
compared with."""

import json
import random
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

COLUMNS = {"products": ("id", "name", "description", "price"), "users": ("id", "username", "password")}
SPARE = 12


@dataclass
class Version:
    """One version of a row. `since`: None where it was there before anybody looked; `until`: None while it is the row."""

    row: tuple
    since: datetime | None
    until: datetime | None = None


class Shop:
    """Does transactions and notes them, one line each, in `truth.jsonl`: when it was committed, and its changes. After a crash of this
    program the last transaction may be missing there, so it is not to be killed."""

    def __init__(self, url: str, directory: Path):
        self._connection = psycopg.connect(url)
        self._file = directory / "truth.jsonl"
        if not self._file.exists():
            self._note(None, [("r", table, row) for table in COLUMNS for row in self._rows(table)])
        self._random = random.Random(self._file.stat().st_size)

    def _rows(self, table: str) -> list[tuple]:
        rows = self._connection.execute(f"SELECT {', '.join(COLUMNS[table])} FROM commerce.{table} ORDER BY id").fetchall()
        self._connection.commit()
        return rows

    def _note(self, committed: datetime | None, changes: list[tuple]) -> None:
        with open(self._file, "a", encoding="utf-8") as file:
            file.write(json.dumps([committed and committed.isoformat(), changes]) + "\n")

    def transact(self) -> int:
        """One transaction of one to six changes, some of the same row, some of which are deleted and made again. Gives how many."""
        changes = []
        for _ in range(self._random.choice((1, 1, 1, 2, 6))):
            table = self._random.choice(("products", "products", "users"))
            changes.append(self._change(table))
        (xid,) = self._connection.execute("SELECT pg_current_xact_id()::xid").fetchone()
        self._connection.commit()
        (committed,) = self._connection.execute("SELECT pg_xact_commit_timestamp(%s::text::xid)", [xid]).fetchone()
        self._connection.commit()
        self._note(committed, changes)
        return len(changes)

    def _change(self, table: str) -> tuple[str, str, tuple]:
        columns = COLUMNS[table]
        key = self._random.randint(1, (40 if table == "products" else 20) + SPARE)
        there = self._connection.execute(f"SELECT 1 FROM commerce.{table} WHERE id = %s", [key]).fetchone()
        listed = ", ".join(columns)
        if not there:
            row = self._row(table, key)
            self._connection.execute(f"INSERT INTO commerce.{table} ({listed}) VALUES ({', '.join(['%s'] * len(row))})", row)
            return "c", table, row
        if self._random.random() < 0.2:
            self._connection.execute(f"DELETE FROM commerce.{table} WHERE id = %s", [key])
            return "d", table, (key,)
        row = self._row(table, key)
        assignments = ", ".join(f"{column} = %s" for column in columns[1:])
        self._connection.execute(f"UPDATE commerce.{table} SET {assignments} WHERE id = %s", [*row[1:], key])
        return "u", table, row

    def _row(self, table: str, key: int) -> tuple:
        number = self._random.randrange(10_000)
        if table == "users":
            return key, f"user{key}", f"not a real one {number}"
        return key, f"product {key}", self._random.choice((None, "ümlaut", f"it's number {number}")), number / 100

    def truth(self) -> list[tuple[datetime | None, list]]:
        with open(self._file, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return [(committed and datetime.fromisoformat(committed), changes) for committed, changes in lines]

    def close(self) -> None:
        self._connection.close()


def versions(truth: list, table: str) -> dict[int, list[Version]]:
    """The true history: what each row was, from commit to commit. What came and went inside of one transaction never was."""
    out: dict[int, list[Version]] = {}
    for committed, changes in truth:
        last = {row[0]: (operation, tuple(row)) for operation, of, row in changes if of == table}
        for key, (operation, row) in last.items():
            known = out.setdefault(key, [])
            if known and known[-1].until is None:
                known[-1].until = committed
            if operation != "d":
                known.append(Version(row, committed))
    return {key: known for key, known in out.items() if known}


def counts(truth: list, table: str) -> dict[str, int]:
    """Changes by kind, as the lake has them in `_op`."""
    out: dict[str, int] = {}
    for _, changes in truth:
        for operation, of, _ in changes:
            if of == table:
                out[operation] = out.get(operation, 0) + 1
    return out

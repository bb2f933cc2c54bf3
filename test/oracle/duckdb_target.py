"""Reads a DuckDB target by DuckDB's own Python package, never through Tailrace."""

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from oracle.canonical import from_source, from_target, reading
from oracle.tables import Table, quoted
from oracle.truth import Row

HISTORY_COLUMNS = ("effective_from", "effective_to", "is_current", "from_lsn", "to_lsn", "from_seq", "to_seq")


class TargetWrong(Exception):
    """The target lacks a table or a column, or has one too many."""


@dataclass(frozen=True)
class Version:
    """One row of a history table."""

    row: Row
    effective_from: datetime | None
    effective_to: datetime | None
    is_current: bool
    from_lsn: int
    to_lsn: int | None
    from_seq: int
    to_seq: int | None


@dataclass(frozen=True)
class Cursor:
    commit_lsn: int
    seq: int
    epoch: int


def canonical_source_rows(table: Table, rows: Counter) -> Counter:
    """Rows of the truth in canonical form; rows that differ only in form fall together."""
    converters = [from_source(column.type) for column in table.columns]
    result: Counter = Counter()
    for row, count in rows.items():
        result[tuple(convert(value) for convert, value in zip(converters, row[:len(converters)], strict=True))] += count
    return result


def copy_of(file: Path, directory: Path) -> Path:
    """The file with its log, as a crash left it."""
    directory.mkdir(parents=True, exist_ok=True)
    copy = directory / file.name
    shutil.copyfile(file, copy)
    log = file.with_name(file.name + ".wal")
    if log.exists():
        shutil.copyfile(log, copy.with_name(copy.name + ".wal"))
    else:
        copy.with_name(copy.name + ".wal").unlink(missing_ok=True)
    return copy


class DuckDbTarget:
    """An open target file; a context manager."""

    def __init__(self, file: Path):
        self._db = duckdb.connect(str(file), config={"threads": "2"})
        self._db.execute("SET TimeZone = 'UTC'")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._db.close()

    def _columns(self, schema: str, name: str) -> dict[str, str]:
        return dict(self._db.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = ? "
            "AND table_name = ? ORDER BY column_index", [schema, name]).fetchall())

    def has(self, schema: str, name: str) -> bool:
        return bool(self._columns(schema, name))

    def tables(self) -> set[tuple[str, str]]:
        return set(self._db.execute("SELECT schema_name, table_name FROM duckdb_tables() "
                                    "WHERE database_name = current_database() AND NOT temporary").fetchall())

    def query(self, statement: str) -> list[tuple]:
        return self._db.execute(statement).fetchall()

    def _select(self, table: Table, name: str, extra: tuple[str, ...]) -> str:
        found = self._columns(table.schema, name)
        expected = [*table.names, *extra]
        # Behind the columns of a history come those that were added later.
        if (sorted(found) != sorted(expected)) if table.grown else (list(found) != expected):
            raise TargetWrong(f"{table.schema}.{name} has the columns {list(found)}, not {expected}")
        parts = [reading(column.type, quoted(column.name), found[column.name]) for column in table.columns]
        parts += [f"epoch_us({n})" if n.startswith("effective") else n for n in extra]
        return f"SELECT {', '.join(parts)} FROM {quoted(table.schema)}.{quoted(name)}"

    def rows(self, table: Table) -> Counter:
        converters = [from_target(column.type) for column in table.columns]
        fetched = self._db.execute(self._select(table, table.name, ())).fetchall()
        return Counter(tuple(c(v) for c, v in zip(converters, row, strict=True)) for row in fetched)

    def versions(self, table: Table) -> list[Version]:
        converters = [from_target(column.type) for column in table.columns]
        width = len(converters)
        fetched = self._db.execute(self._select(table, table.name + "__history", HISTORY_COLUMNS)).fetchall()
        return [Version(tuple(c(v) for c, v in zip(converters, row[:width], strict=True)), *row[width:]) for row in fetched]

    def cursor(self) -> Cursor | None:
        """None: no cursor yet, that is, nothing was promised."""
        if not self.has("tailrace", "cursor"):
            return None
        found = self.query("SELECT commit_lsn, seq, epoch FROM tailrace.cursor")
        if not found:
            return None
        if len(found) > 1:
            raise TargetWrong(f"tailrace.cursor has {len(found)} rows for one pipeline")
        return Cursor(*map(int, found[0]))

"""A target and a journal made from the truth itself: what the checker is tested against, right and with planted faults."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb

from oracle.canonical import array_elements, interval
from oracle.checker import true_versions
from oracle.tables import Table, quoted
from oracle.truth import Row, Truth, format_lsn

TYPES = {"bool": "BOOLEAN", "int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT", "float4": "FLOAT", "float8": "DOUBLE",
         "numeric(20,5)": "DECIMAL(20,5)", "numeric(38,10)": "DECIMAL(38,10)", "bytea": "BLOB", "date": "DATE", "time": "TIME",
         "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMPTZ", "interval": "INTERVAL", "uuid": "UUID", "json": "JSON",
         "jsonb": "JSON", "oracle.positive": "INTEGER", "oracle.amount": "DECIMAL(10,2)", "numeric(10,2)": "DECIMAL(10,2)"}
MOMENTS = ("date", "timestamp", "timestamptz")


def duckdb_type(name: str) -> str:
    return duckdb_type(name[:-2]) + "[]" if name.endswith("[]") else TYPES.get(name, "VARCHAR")


def _spelled(type_name: str, text: str) -> str:
    """PostgreSQL's text as DuckDB reads it."""
    if type_name in MOMENTS and text.endswith(" BC"):
        day, _, rest = text.removesuffix(" BC").partition(" ")
        return f"{day} (BC) {rest}".rstrip()
    if type_name == "bytea":
        return "".join(f"\\x{byte:02X}" for byte in bytes.fromhex(text[2:]))
    if type_name == "interval":
        months, days, micros = interval(text)
        sign = "-" if micros < 0 else ""
        seconds, rest = divmod(abs(micros), 1_000_000)
        return f"{months} months {days} days {sign}{seconds // 3600:02}:{seconds % 3600 // 60:02}:{seconds % 60:02}.{rest:06}"
    return text


def _value(type_name: str, text: str | None):
    if text is None:
        return None
    if type_name.endswith("[]"):
        return [None if e is None else _spelled(type_name[:-2], e) for e in array_elements(text)]
    return _spelled(type_name, text)


class FakeTarget:
    """Writes a DuckDB file as a faultless sink would; the hooks bend it."""

    def __init__(self, file: Path, truth: Truth, tables: list[Table], baseline: int):
        self._truth, self._tables, self._baseline = truth, tables, baseline
        self._db = duckdb.connect(str(file))
        self._db.execute("SET TimeZone = 'UTC'")

    def write(self, bend_rows: Callable[[list[Row]], list[Row]] = lambda rows: rows,
              bend_versions: Callable[[list[tuple]], list[tuple]] = lambda versions: versions) -> None:
        end = self._truth.units[-1].end_lsn
        state = self._truth.state_at(end)
        for table in self._tables:
            rows = bend_rows(list(state.of(table.id).elements()))
            self._table(table, table.name, rows, ())
            self._table(table, table.name + "__history", *self._history(table, bend_versions))
        self._db.close()

    def _history(self, table: Table, bend: Callable) -> tuple[list[Row], tuple[list, ...]]:
        as_text = true_versions(self._truth, table, self._baseline, lambda _: lambda text: text)
        versions = bend(list(as_text.elements()))
        rows = [row for row, _, _ in versions]
        starts, ends = [start for _, start, _ in versions], [stop for _, _, stop in versions]
        return rows, (starts, ends)

    def _table(self, table: Table, name: str, rows: list[Row], extra: tuple[list, ...]) -> None:
        self._db.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(table.schema)}")
        columns = [f"{quoted(c.name)} {duckdb_type(c.type)}" for c in table.columns]
        if extra:
            columns += ["effective_from TIMESTAMPTZ", "effective_to TIMESTAMPTZ", "is_current BOOLEAN", "from_lsn UBIGINT",
                        "to_lsn UBIGINT", "from_seq UBIGINT", "to_seq UBIGINT"]
        place = f"{quoted(table.schema)}.{quoted(name)}"
        self._db.execute(f"CREATE TABLE {place} ({', '.join(columns)})")
        if not rows:
            return
        types = ["VARCHAR" + "[]" * column.type.endswith("[]") for column in table.columns] + ["UBIGINT"] * len(extra)
        named = ", ".join(f"v{n}: '{name}'" for n, name in enumerate(types))
        selects = [f"CAST(v{n} AS {duckdb_type(column.type)})" for n, column in enumerate(table.columns)]
        if extra:
            start, stop = (f"v{len(table.columns) + n}" for n in (0, 1))
            selects += [f"make_timestamptz({start}::BIGINT)", f"make_timestamptz({stop}::BIGINT)", f"{stop} IS NULL", start, stop, start, stop]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as lines:
            for place_in_rows, row in enumerate(rows):
                values = [_value(column.type, text) for column, text in zip(table.columns, row, strict=True)]
                values += [column[place_in_rows] for column in extra]
                lines.write(json.dumps({f"v{n}": value for n, value in enumerate(values)}) + "\n")
            lines.flush()
            self._db.execute(f"INSERT INTO {place} SELECT {', '.join(selects)} FROM read_json('{lines.name}', "
                             f"format = 'newline_delimited', columns = {{{named}}})")


def journal_lines(truth: Truth, tables: list[Table], baseline: int) -> list[dict]:
    """The journal of a faultless program."""
    known = {table.id: table for table in tables}
    lines, seq = [], 0
    for unit in truth.units:
        if unit.end_lsn <= baseline:
            continue
        seq = max(seq + 1, unit.end_lsn)
        lsn = format_lsn(unit.end_lsn)
        for ordinal, change in enumerate(unit.changes):
            line = {"kind": "change", "epoch": 1, "lsn": lsn, "ordinal": ordinal, "seq": seq + ordinal, "xid": unit.xid, "op": change.op}
            if change.table is None:
                line["prefix"] = change.new[0]
            else:
                line |= {"schema": change.table[0], "table": change.table[1], **_images(known[change.table], change)}
            lines.append(line)
        time = unit.committed_at.isoformat() if unit.committed_at else None
        lines.append({"kind": "commit", "epoch": 1, "lsn": lsn, "commit_lsn": lsn, "xid": unit.xid, "time": time,
                      "changes": len(unit.changes), "seq": seq})
        seq += max(0, len(unit.changes) - 1)
    return lines


def _images(table: Table, change) -> dict:
    images = {}
    if change.new is not None:
        images["new"] = dict(zip(table.names, change.new, strict=True))
        for column in table.toast_columns:
            place = table.names.index(column.name)
            if change.old and change.old[place] == change.new[place] and change.new[place]:
                images["new"][column.name] = {"unchanged": True}
    if change.old is None:
        return images
    old = dict(zip(table.names, change.old, strict=True))
    if table.identity == "full":
        return {"old_kind": "full", "old": old, **images}
    if change.op == "delete" or any(old[name] != dict(zip(table.names, change.new, strict=True))[name] for name in table.key):
        return {"old_kind": "key", "old": {name: old[name] if name in table.key else None for name in table.names}, **images}
    return images


def as_text(lines: list[dict]) -> list[str]:
    return [json.dumps(line) for line in lines]

"""The tables in ClickHouse, made before the run with the texts of PostgreSQL in them where they are not altered, and read over
HTTP, never through Tailrace."""

import functools
from collections import Counter
from dataclasses import replace

from e2e.clickhouse_server import ClickhouseServer
from oracle.canonical import from_source
from oracle.duckdb_target import TargetWrong
from oracle.redis_target import keeps
from oracle.tables import Table

DATABASE = "oracle"


@functools.cache
def quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _name(table: Table) -> str:
    return f"{DATABASE}.{quoted(f'{table.schema}.{table.name}')}"


def make(server: ClickhouseServer, tables: list[Table]) -> None:
    """Every value has a place in a String. Tables that are altered are left to the program, which gives them types."""
    server.run(f"CREATE DATABASE {DATABASE}")
    for table in tables:
        if table.shapes or not keeps(table):
            continue
        columns = [f"{quoted(c.name)} {'String' if c.name in table.key else 'Nullable(String)'}" for c in table.columns]
        key = ", ".join(map(quoted, table.key))
        server.run(f"CREATE TABLE {_name(table)} ({', '.join(columns)}, _version UInt64, _deleted UInt8) "
                   f"ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY ({key})")


def compared(table: Table) -> Table:
    """Of those of its columns that can be: arrays are JSON there."""
    return replace(table, columns=tuple(column for column in table.columns if not column.type.endswith("[]")))


def rows_of(server: ClickhouseServer, table: Table) -> Counter:
    """All rows in canonical form, of the columns that are compared."""
    literal = f"{table.schema}.{table.name}".replace("\\", "\\\\").replace("'", "\\'")
    found = {name for (name,) in server.rows(f"SELECT name FROM system.columns WHERE database = '{DATABASE}' AND table = '{literal}'")}
    if found != {*table.names, "_version", "_deleted"}:
        raise TargetWrong(f"{literal} has the columns {sorted(found)}, not {sorted(table.names)}")
    columns = compared(table).columns
    listed = ", ".join(f"hex({quoted(c.name)})" if c.type == "bytea" else quoted(c.name) for c in columns)
    converters = [from_source(column.type) for column in columns]
    return Counter(tuple(convert(None if value is None else str(value)) for convert, value in zip(converters, row, strict=True))
                   for row in server.rows(f"SELECT {listed} FROM {_name(table)} FINAL"))

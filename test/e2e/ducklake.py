"""A lake with a catalog as DuckDB's own extension reads it, which knows nothing of Tailrace."""

from importlib.util import find_spec
from pathlib import Path

import duckdb

from e2e.lake import event_of


def extension(name: str) -> Path:
    """The one of DuckDB's version, as its package has it."""
    package = Path(find_spec(f"duckdb_extension_{name}").origin).parent
    return next(package.rglob(f"{name}.duckdb_extension"))


def attached(catalog: Path, options: str = "READ_ONLY") -> duckdb.DuckDBPyConnection:
    """A process of its own would see the same: `lake` is the catalog."""
    connection = duckdb.connect()
    for name in ("sqlite_scanner", "ducklake", "httpfs"):
        connection.execute(f"LOAD '{extension(name)}'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"ATTACH 'ducklake:sqlite:{catalog}' AS lake ({options})")
    return connection


def quoted(*names: str) -> str:
    return ".".join('"{}"'.format(name.replace('"', '""')) for name in names)


def has_table(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    return bool(connection.execute("SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = ? AND table_name = ?",
                                   [schema, table]).fetchall())


def rows(connection: duckdb.DuckDBPyConnection, schema: str, table: str, where: str = "", at: str = "") -> list[dict]:
    """Times with a zone as text."""
    of = f"{quoted('lake', schema, table)} {at}"
    described = connection.execute(f"DESCRIBE SELECT * FROM {of}").fetchall()
    listed = ", ".join(f"{quoted(name)}::text AS {quoted(name)}" if kind == "TIMESTAMP WITH TIME ZONE" else quoted(name) for name, kind, *_ in described)
    answer = connection.execute(f"SELECT {listed} FROM {of} {where} ORDER BY _seq, _ordinal")
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row)) for row in answer.fetchall()]


def events(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[dict]:
    """Every change of a table, in order, as e2e.lake.events has them."""
    return [event_of(row) for row in rows(connection, schema, table)]


def snapshots(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, str, str]]:
    """Number, message and what else each says of itself."""
    return connection.execute("SELECT snapshot_id, commit_message, commit_extra_info FROM lake.snapshots() ORDER BY 1").fetchall()

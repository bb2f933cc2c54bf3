"""Reads a DuckDB file by DuckDB's own package, never through Tailrace."""

from pathlib import Path

import duckdb


def rows(file: Path, statement: str) -> list[tuple]:
    """The file must not be held by a running Tailrace."""
    with duckdb.connect(str(file), read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        return db.execute(statement).fetchall()

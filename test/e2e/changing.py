"""A mirror whose source changes in ways that the stream does not show, or not at once."""

import time

from e2e.duckdb_file import rows
from e2e.shop import Shop

PATIENCE_S = 40


def execute(mirror: Shop, *statements: str) -> None:
    mirror.cluster.execute(*statements, database=mirror.database)


def settle(mirror: Shop, condition=lambda problems: not problems) -> None:
    """Waits until all that was committed is there, and `condition` holds of what the status names: mostly nothing."""
    deadline = time.monotonic() + PATIENCE_S
    mirror.wait()
    while not condition(mirror.problems()):
        assert time.monotonic() < deadline, f"{mirror.problems()}\n{mirror.process.err()}"
        time.sleep(0.1)
    mirror.wait()


def copied_again(mirror: Shop) -> int:
    return mirror.process.err().count("copy.merged")


def until(mirror: Shop, condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}\n{mirror.problems()}\n{mirror.process.err()}"
        time.sleep(0.1)


def assert_same(mirror: Shop, table: str, *columns: str) -> None:
    """`table`: of the schema public, unless it names another. REQUIRES: the program has let go of the file."""
    listed = ", ".join(f"{column}::text" for column in columns)
    query = f"SELECT {listed} FROM {table if '.' in table else f'public.{table}'}"
    there = mirror.cluster.query(query, database=mirror.database)
    here = rows(mirror.target, query)
    assert sorted(here, key=repr) == sorted(there, key=repr), table


def assert_columns(mirror: Shop, table: str, *columns: str) -> None:
    there = rows(mirror.target, f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}' ORDER BY column_index")
    assert tuple(name for (name,) in there) == columns

"""Reads the hashes that Redis keeps for rows by Redis' own Python package, never through Tailrace."""

from collections import Counter

from e2e.redis_server import RedisServer
from oracle.canonical import from_source
from oracle.tables import Table


def keeps(table: Table) -> bool:
    """A row has a place there when it has a key that holds after every statement."""
    return bool(table.key) and not table.swaps


def _part(name: str) -> str:
    return name.replace("%", "%25").replace(":", "%3A")


def rows_of(server: RedisServer, table: Table) -> Counter:
    """All rows of the table in canonical form; a field that is not of the table is shown as a row that nobody expects."""
    converters = [from_source(column.type) for column in table.columns]
    begin = f"{_part(table.schema)}.{_part(table.name)}:"
    found: Counter = Counter()
    with server.client() as client:
        keys = [key for key in client.scan_iter(count=5000) if key.startswith(begin)]
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.hgetall(key)
        for key, row in zip(keys, pipe.execute(), strict=True):
            foreign = set(row) - set(table.names)
            found[("not a row", key, tuple(sorted(foreign))) if foreign else
                  tuple(convert(row.get(name)) for convert, name in zip(converters, table.names, strict=True))] += 1
    return found

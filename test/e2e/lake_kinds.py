"""A table with a column of every type, for all formats of a lake."""

from datetime import date, datetime, time, timezone
from decimal import Decimal
from uuid import UUID

KINDS = (
    "CREATE TABLE kinds (id int PRIMARY KEY, b bool, s int2, l int8, f real, d float8, n numeric(20,5), big numeric(38,10), huge numeric(40,1), "
    "free numeric, t text, c char(5), by bytea, u uuid, day date, ts timestamp, tz timestamptz, clock time, zoned timetz, span interval, "
    "j json, jb jsonb, e state, a int[], na numeric(10,2)[], ta text[], o oid, ip inet)",
    "INSERT INTO kinds VALUES (1, true, -32768, 9223372036854775807, 1.5, 1e-300, -123456789012345.12345, "
    "-9999999999999999999999999999.9999999999, 1.5, 12345678901234567890.0123456789, "
    "E'a\"b\\n\\\\ é', 'ab', '\\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1500-01-01', '2299-12-31 23:59:59.999999', "
    "'1969-12-31 23:59:59.000001+00', '23:59:59.999999', '12:00:00.5+02', '1 mon -1 day 00:00:00.000001', '{\"x\": [1,  2]}', '{\"y\": null}', 'paid', "
    "'{1,NULL,-3}', '{1.50}', '{\"a,b\",NULL,\"\"}', 4294967295, '10.0.0.1/8')",
    "INSERT INTO kinds (id, a, f, d) VALUES (2, '{}', 'Infinity', '-Infinity')")

# Its rows as readers of typed files have them.
FIRST = {
    "id": 1, "b": True, "s": -32768, "l": 9223372036854775807, "f": 1.5, "d": 1e-300, "n": Decimal("-123456789012345.12345"),
    "big": Decimal("-9999999999999999999999999999.9999999999"), "huge": "1.5", "free": "12345678901234567890.0123456789", "t": "a\"b\n\\ é",
    "c": "ab   ", "by": b"\x00\xff", "u": UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "day": date(1500, 1, 1),
    "ts": datetime(2299, 12, 31, 23, 59, 59, 999999), "tz": datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=timezone.utc),
    "clock": time(23, 59, 59, 999999), "zoned": "12:00:00.5+02", "span": "1 mon -1 days +00:00:00.000001", "j": "{\"x\": [1,  2]}",
    "jb": "{\"y\": null}", "e": "paid", "a": [1, None, -3], "na": [Decimal("1.50")], "ta": ["a,b", None, ""], "o": 4294967295, "ip": "10.0.0.1/8"}
SECOND = dict.fromkeys(FIRST) | {"id": 2, "a": [], "f": float("inf"), "d": float("-inf")}

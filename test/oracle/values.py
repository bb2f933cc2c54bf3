"""Hostile values: for each PostgreSQL type a pool of its edges, and a draw that mixes edges with ordinary values.

Values are the text that PostgreSQL reads. Only values that a DuckDB column of the mirrored type can hold are in the pools.
"""

import json
import random
import string
import uuid

from e2e.cluster import server_major

Text = str | None

WORDS = ["", " ", "  two  ", "NULL", "null", r"\N", "\\", "\\.", "'", "''", '"', '""', "a,b", "(x)", "{y}", "tab\there",
         "line\nbreak", "cr\rhere", "%s %d", "$1", ";--", "e\u0301", "\u00e9", "\u4eba\u9593\u5931\u683c", "\U0001f40d",
         "\u200b", "\ufffd", "\ufeffbom", "x" * 126, "x" * 127, "x" * 128]
INTEGERS = {"int2": 2**15, "int4": 2**31, "int8": 2**63}
FLOATS = ["0", "1", "-1", "0.1", "1e-5", "123456.789", "NaN", "Infinity", "-Infinity", "1e15", "1e16", "0.30000000000000004"]
FLOATS8 = [*FLOATS, "1.7976931348623157e308", "5e-324", "2.2250738585072014e-308"]
FLOATS4 = [*FLOATS[:-1], "3.4028235e38", "1e-45", "1.17549435e-38"]
DATES = ["2024-02-29", "1970-01-01", "1969-12-31", "0001-01-01", "0001-12-31 BC", "4713-01-01 BC", "1582-10-10",
         "9999-12-31", "10000-01-01", "290000-05-05", "infinity", "-infinity"]
CLOCKS = ["00:00:00", "23:59:59.999999", "12:34:56.7", "00:00:00.000249", "24:00:00", "01:02:03.12"]
STAMPS = ["1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "0044-03-15 12:00:00 BC", "4713-01-01 00:00:00 BC",
          "1582-10-10 01:02:03", "9999-12-31 23:59:59.999999", "10000-01-01 00:00:00.000001", "infinity", "-infinity",
          "2024-02-29 12:34:56.123456", "294000-01-01 00:00:00"]
ZONES = ["+00", "+05:30", "-08", "+08:05:43", "-00:25:21", "+14"]
INTERVALS = ["0", "1 mon", "30 days", "1 day", "24 hours", "-1 mons +2 days -00:00:00.000001", "1 year 2 mons 3 days 04:05:06.789",
             "178000000 years", "-178000000 years", "-00:00:01", "1 mon -1 day", "999:59:59.999999"]
NUMERICS = ["0", "0.00000", "1.50000", "-1.5", "99999999999999.99999", "-99999999999999.99999", "0.00001", "-0.00001"]
WIDE_NUMERICS = ["0", "1234567890123456789012345678.0123456789", "-9999999999999999999999999999.9999999999", "0.0000000001"]
INFINITE_NUMERICS = ["Infinity", "-Infinity"] if server_major() >= 14 else []
FREE_NUMERICS = ["0", "0.0", "1.50", "1.500", "NaN", *INFINITE_NUMERICS, "1e-20", "1e40", "-" + "9" * 60,
                 "0." + "0" * 50 + "1", "123456789012345678901234567890.12345678901234567890"]
JSONS = ["null", "true", '"x"', '{"a":1,"a":2}', '{"b" : 1 ,  "a":[1, 2,null]}', "12345678901234567890.10", '"\\u00e9\\""',
         '{"nested":{"deep":[[[]]]},"empty":{}}', "[]", '""', '"\\\\N"']
NETWORKS = {"inet": ["1.2.3.4", "1.2.3.4/8", "::1", "2001:db8::/32", "0.0.0.0/0"],
            "cidr": ["10.0.0.0/8", "1.2.3.4/32", "::/0"],
            "macaddr": ["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"], "macaddr8": ["08:00:2b:01:02:03:04:05"]}
PLAIN = {
    "bool": ["t", "f"], "\"char\"": ["a", " ", "\\", "'"], "name": ["pg_class", "x" * 63, "a b"],
    "bit(3)": ["101", "000"], "varbit": ["", "1", "10101010101"],
    "int4range": ["empty", "(,)", "[1,5)", "(,3]", "[7,7]"], "numrange": ["empty", "[1.50,2.0)", "(,)"],
    "tstzrange": ["empty", "[2020-01-01 00:00:00+00,infinity)", "(,)"],
    "int4multirange": ["{}", "{[1,3),[5,7)}"], "tsvector": ["", "'a':1 'b':2A", "'it''s':3"], "tsquery": ["'a' & 'b'", ""],
    "xml": ["<a/>", "<a b=\"c\">x &amp; y</a>"], "money": ["$0.00", "-$1,234.56", "$92,233,720,368,547,758.07"],
    "point": ["(0,0)", "(-1.5,1e300)"], "box": ["(1,1),(0,0)"], "path": ["[(0,0),(1,1)]"], "circle": ["<(0,0),1>"],
    "lseg": ["[(0,0),(1,1)]"], "polygon": ["((0,0),(1,1),(1,0))"], "line": ["{1,-1,0}"],
    "oid": ["0", "16384", "3000000000", "4294967295"], "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF", "1/2A"],
    "xid8": ["3", "18446744073709551615"], "jsonpath": ["$.\"a\"[*]"], "regclass": ["pg_class"],
    "oracle.mood": ["sad", "it's \"ok\"", "", "happy, very"], "oracle.pair": ["(1,x)", "(,)", "(2,\"a,\"\"b\")"],
    "oracle.positive": ["1", "2147483647"], "oracle.amount": ["1.50", "0.00", "-99999999.99"],
    "int4[]": ["{}", "{1,NULL,3}", "{-2147483648}"],
    "text[]": ["{}", "{\"\"}", "{NULL,\"NULL\",\"\",\"a\\\\,b\",\"q\\\"\"}", "{\"{x}\",\" \",Nx}"],
    "numeric(10,2)[]": ["{}", "{1.50,NULL,-0.01}"], "timestamptz[]": ["{\"2024-01-01 00:00:00+00\",infinity}", "{NULL}"],
    "uuid[]": ["{00000000-0000-0000-0000-000000000000,NULL}"], "bool[]": ["{t,f,NULL}"],
    "float8[]": ["{NaN,Infinity,0.1}"], "date[]": ["{2024-01-01,NULL}"], "jsonb[]": ["{\"{\\\"a\\\": 1}\",\"null\",NULL}"],
    "bytea[]": ["{\"\\\\x00ff\",NULL}", "{}"], "oracle.mood[]": ["{sad,\"\"}", "{}"],
    "varchar(20)[]": ["{\"  x \",NULL}"],
}


def literal(value: Text) -> str:
    """A value as an SQL literal that any type's input function takes."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def incompressible(draw: random.Random, length: int) -> str:
    return draw.randbytes((length + 1) // 2).hex()[:length]


def toasted(draw: random.Random) -> str:
    """Lengths around the TOAST threshold and well above it."""
    return incompressible(draw, draw.choice([1900, 1999, 2000, 2001, 2100, 3000, 8191, 9000]))


def _text(draw: random.Random) -> str:
    if draw.random() < 0.4:
        return draw.choice(WORDS)
    return "".join(draw.choices(string.ascii_letters + "äß€ ", k=draw.randint(1, 12)))


def _integer(draw: random.Random, bound: int) -> str:
    return str(draw.choice([0, 1, -1, bound - 1, -bound, draw.randint(-1000, 1000), draw.randint(-bound, bound - 1)]))


def _stamp(draw: random.Random) -> str:
    if draw.random() < 0.4:
        return draw.choice(STAMPS)
    return (f"{draw.randint(1800, 2100):04}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02} "
            f"{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:{draw.randint(0, 59):02}.{draw.randint(0, 999999):06}")


def _zoned(draw: random.Random) -> str:
    stamp = _stamp(draw)
    if stamp.endswith("infinity"):
        return stamp
    zone = draw.choice(ZONES)
    return stamp[:-3] + zone + " BC" if stamp.endswith("BC") else stamp + zone


def _bytes(draw: random.Random) -> str:
    return "\\x" + draw.choice([b"", b"\x00", bytes(range(256)), b"\\x41", draw.randbytes(draw.randint(1, 40))]).hex()


def _json(draw: random.Random) -> str:
    if draw.random() < 0.6:
        return draw.choice(JSONS)
    return json.dumps({_text(draw): draw.randint(-9, 9), "t": _text(draw)})


_DRAWS = {
    "text": _text, "varchar": _text,
    "varchar(20)": lambda draw: _text(draw)[:20], "char(5)": lambda draw: draw.choice(["", "a", "ab   ", "abcde", "äöü", "  x"]),
    "bytea": _bytes, "json": _json, "jsonb": _json, "timestamp": _stamp, "timestamptz": _zoned,
    "uuid": lambda draw: str(uuid.UUID(int=draw.getrandbits(128))),
    "timetz": lambda draw: draw.choice(CLOCKS[:-1]) + draw.choice(["+00", "+05:30", "-08", "+14"]),
    **{name: (lambda draw, bound=bound: _integer(draw, bound)) for name, bound in INTEGERS.items()},
}
_POOLS = {**PLAIN, **NETWORKS, "float8": FLOATS8, "float4": FLOATS4, "date": DATES, "time": CLOCKS, "interval": INTERVALS,
          "numeric(20,5)": NUMERICS, "numeric(38,10)": WIDE_NUMERICS, "numeric": FREE_NUMERICS}


def draw_value(draw: random.Random, type_name: str) -> str:
    if type_name in _DRAWS:
        return _DRAWS[type_name](draw)
    return draw.choice(_POOLS[type_name])

"""One table with a column of every kind of type, and what values are the same whoever read them."""

import datetime
import decimal
import json
import re
import struct
import uuid

# Name, type, what it is read as, three values; the third row is NULL wherever it may be.
KINDS = (
    ("b", "bool", "bool", "true", "false"),
    ("s", "int2", "int", "-32768", "32767"),
    ("i", "int4", "int", "-2147483648", "2147483647"),
    ("l", "int8", "int", "-9223372036854775808", "9223372036854775807"),
    ("o", "oid", "int", "0", "4294967295"),
    ("f", "real", "real", "-1.5", "3.4028235e38"),
    ("d", "float8", "float", "5e-324", "'-Infinity'"),
    ("n", "numeric(20,5)", "numeric", "-123456789012345.12345", "0.00001"),
    ("nn", "numeric(38,10)", "numeric", "9999999999999999999999999999.9999999999", "-0.0000000001"),
    ("free", "numeric", "numeric", "12345678901234567890.01234567890123456789", "-1e-30"),
    ("t", "text", "text", "E'a\"b\\n\\\\ é \\u2028'", "''"),
    ("v", "varchar(10)", "text", "'{x}'", "'NULL'"),
    ("c", "char(5)", "text", "'ab'", "'abcde'"),
    ("by", "bytea", "bytes", "'\\x00ff0a5c'", "''"),
    ("u", "uuid", "uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'"),
    ("day", "date", "date", "'1900-01-01'", "'2299-12-31'"),
    ("clock", "time", "time", "'23:59:59.999999'", "'00:00'"),
    ("clockz", "timetz", "text", "'12:34:56.7+02'", "'00:00-11:30'"),
    ("ts", "timestamp", "timestamp", "'1969-12-31 23:59:59.000001'", "'2262-04-11 23:47:16'"),
    ("tz", "timestamptz", "timestamptz", "'2024-02-29 12:34:56.789+05:30'", "'1901-01-01 00:00:00+00'"),
    ("span", "interval", "interval", "'1 year -1 mon 3 days -04:05:06.7'", "'00:00:00.000001'"),
    ("j", "json", "json", "'{\"x\": [1,  2]}'", "'[]'"),
    ("jb", "jsonb", "json", "'{\"y\": null}'", "'{\"z\": {\"é\": true}}'"),
    ("e", "mood", "text", "'fine'", "'so \"so\"'"),
    ("pair", "pair", "text", "ROW(1, 'a b')", "ROW(NULL, '')"),
    ("ip", "inet", "text", "'10.0.0.1/8'", "'::1'"),
    ("r", "int4range", "text", "'[1,5)'", "'empty'"),
    ("bits", "bit varying(8)", "text", "B'1010'", "B''"),
    ("ai", "int[]", "int[]", "'{1,NULL,-3}'", "'{}'"),
    ("an", "numeric(10,2)[]", "numeric[]", "'{1.50,NULL}'", "'{0.01}'"),
    ("at", "text[]", "text[]", "'{\"a,b\",NULL,\"\",\"NULL\",\"\\\"\"}'", "'{x}'"),
)
TYPES = {name: type_ for name, type_, *_ in KINDS}
SETUP = ("CREATE TYPE mood AS ENUM ('fine', 'so \"so\"')", "CREATE TYPE pair AS (a int, b text)",
         "CREATE TABLE kinds (id int PRIMARY KEY, " + ", ".join(f'"{name}" {type_}' for name, type_, *_ in KINDS) + ")")


def insert(first: int) -> str:
    """Three rows, from an id on."""
    rows = [", ".join(f"{kind[3 + n]}" for kind in KINDS) for n in (0, 1)] + [", ".join("NULL" for _ in KINDS)]
    return "INSERT INTO kinds VALUES " + ", ".join(f"({first + n}, {row})" for n, row in enumerate(rows))


def exact_json(text: str):
    return json.loads(text, parse_float=decimal.Decimal)


def without_zeros(text: str) -> str:
    return re.sub(r"(\.\d*?)0+$", r"\1", text).rstrip(".") if "." in text else text


def _interval(value) -> tuple[int, int, int]:
    """Months, days and microseconds: in none of them are others contained."""
    text = str(value)
    units = {"year": (12, 0), "mon": (1, 0), "month": (1, 0), "day": (0, 1)}
    months = days = micros = 0
    for number, unit in re.findall(r"([+-]?\d+) (year|month|mon|day)s?", text):
        months += int(number) * units[unit][0]
        days += int(number) * units[unit][1]
    if found := re.search(r"([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d+))?", text):
        sign, hours, minutes, seconds, fraction = found.groups()
        micros = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000 + int((fraction or "").ljust(6, "0"))
        micros = -micros if sign == "-" else micros
    return months, days, micros


def _moment(value) -> str:
    """A text in UTC where it has a zone."""
    if isinstance(value, datetime.datetime):
        value = value.isoformat(" ")
    text = value.replace("T", " ")
    zone = re.search(r"([+-]\d\d)(?::?(\d\d))?$", text[10:])
    if not zone:
        return without_zeros(text)
    at = datetime.datetime.fromisoformat(text[:10 + zone.start()].replace(" ", "T").ljust(19) if "." not in text else
                                         re.sub(r"\.(\d+)$", lambda part: "." + part[1].ljust(6, "0"), text[:10 + zone.start()]))
    offset = datetime.timedelta(hours=int(zone[1]), minutes=int((zone[1][0] if zone[2] else "") + (zone[2] or "0")))
    return without_zeros((at - offset).isoformat(" "))


def _real(value) -> float:
    """Readers have them with the digits of four bytes, or as the same number in eight."""
    return struct.unpack("f", struct.pack("f", float(str(value))))[0]


def plain(kind: str, value):
    """The same for equal values, whichever reader gave them."""
    if value is None:
        return None
    if kind.endswith("[]"):
        items = exact_json(value) if isinstance(value, str) else value
        return [plain(kind[:-2], item) for item in items]
    if kind == "bytes":
        raw = value if isinstance(value, bytes) else bytes.fromhex(value.removeprefix("\\x")) if value.startswith("\\x") or not value else value.encode()
        return raw.hex()
    if kind == "uuid":
        return str(uuid.UUID(bytes=value) if isinstance(value, bytes) else value)
    if kind == "json":
        return exact_json(value) if isinstance(value, str) else value
    convert = {"bool": lambda v: v in (True, 1, "true", "t", "1"), "int": int, "float": lambda v: float(str(v)), "real": _real, "text": str,
               "numeric": lambda v: decimal.Decimal(str(v)), "date": str, "time": lambda v: without_zeros(str(v)),
               "interval": _interval, "timestamp": _moment, "timestamptz": _moment}
    return convert[kind](value)


def plain_row(row: dict) -> dict:
    return {"id": int(row["id"])} | {name: plain(kind, row.get(name)) for name, _, kind, *_ in KINDS}


def of_source(query) -> list[dict]:
    """`query` runs SQL at the source and gives rows."""
    # As the type's own output has it: a cast of char(n) cuts blanks off, and one of inet adds a mask.
    texts = [f'CASE WHEN "{name}" IS DISTINCT FROM NULL THEN format($$%s$$, "{name}") END' if kind in ("text", "bytes", "interval") else f'to_json("{name}")::text' for name, _, kind, *_ in KINDS]
    rows = query(f"SELECT id::text, {', '.join(texts)} FROM kinds ORDER BY id")
    found = []
    for row_id, *values in rows:
        row = {"id": row_id}
        for (name, _, kind, *_), text in zip(KINDS, values):
            row[name] = text if text is None or kind in ("text", "bytes", "interval") else exact_json(text)
        found.append(plain_row(row))
    return sorted(found, key=lambda row: row["id"])


def of_texts(row: dict[str, str], query) -> dict:
    """A row of PostgreSQL's own texts, whose arrays and JSON the source reads."""
    read = dict(row)
    for name, type_, kind, *_ in KINDS:
        if kind.endswith("[]") and row.get(name) is not None:
            quoted = row[name].replace("'", "''")
            read[name] = query(f"SELECT to_json('{quoted}'::{type_})::text")[0][0]
    return read

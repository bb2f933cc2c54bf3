"""One canonical form of a value, reached from PostgreSQL's text and from what DuckDB's own reader gives.

The forms are chosen per PostgreSQL type, so that two texts of one value are equal and two values never are.
"""

import re
import struct
from collections.abc import Callable
from functools import lru_cache

Canonical = object

_DATE_TIME = re.compile(r"^(?P<year>-?\d+)-(?P<month>\d\d)-(?P<day>\d\d)(?P<early> \(BC\))?"
                        r"(?:[ T](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?)?(?P<zone>[+-]\d\d(?::\d\d)*)?(?P<late> BC)?$")
_CLOCK = re.compile(r"^(\d\d):(\d\d):(\d\d)(?:\.(\d+))?([+-]\d\d(?::\d\d)*)?$")
_INTERVAL_PART = re.compile(r"([+-]?\d+) (year|month|mon|day)s?")
_INTERVAL_TIME = re.compile(r"([+-]?)(\d+):(\d\d):(\d\d)(?:\.(\d+))?$")


def _micros(fraction: str | None) -> int:
    return int((fraction or "").ljust(6, "0")[:6])


def moment(text: str) -> Canonical:
    """A date or a timestamp; with a zone only in UTC, since both readers are pinned to it."""
    if "infinity" in text:
        return text
    found = _DATE_TIME.match(text)
    if not found:
        return ("not a moment", text)
    year = -int(found["year"]) if found["early"] or found["late"] else int(found["year"])
    return (year, found["month"], found["day"], found["time"] or "00:00:00", _micros(found["fraction"]),
            (found["zone"] or "").removesuffix(":00"))


def clock(text: str) -> Canonical:
    found = _CLOCK.match(text)
    if not found:
        return ("not a time", text)
    return (found[1], found[2], found[3], _micros(found[4]), (found[5] or "").removesuffix(":00"))


def interval(text: str) -> Canonical:
    months = days = micros = 0
    rest = text
    for number, unit in _INTERVAL_PART.findall(text):
        if unit == "year":
            months += 12 * int(number)
        elif unit == "day":
            days += int(number)
        else:
            months += int(number)
    rest = _INTERVAL_PART.sub("", text).strip()
    if rest:
        found = _INTERVAL_TIME.match(rest)
        if not found:
            return ("not an interval", text)
        micros = (int(found[2]) * 3600 + int(found[3]) * 60 + int(found[4])) * 1_000_000 + _micros(found[5])
        micros = -micros if found[1] == "-" else micros
    return (months, days, micros)


def _number(value: float) -> Canonical:
    if value != value:
        return "NaN"
    return value + 0.0  # DuckDB's storage does not keep the sign of zero: -0.0 + 0.0 is 0.0


def float8(text: str) -> Canonical:
    return _number(float(text))


def float4(text: str) -> Canonical:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        return value
    return _number(struct.unpack("f", struct.pack("f", value))[0])


def boolean(text: str) -> Canonical:
    return {"t": True, "true": True, "f": False, "false": False}[text]


def exact(text: str) -> Canonical:
    return text


def bytes_of(text: str) -> Canonical:
    return text.removeprefix("\\x").lower()


def array_elements(text: str) -> list:
    """PostgreSQL's text of a one-dimensional array, as its elements' texts and None."""
    elements, place = [], 1
    if text == "{}":
        return elements
    while place < len(text):
        if text[place] == '"':
            place, piece = place + 1, []
            while text[place] != '"':
                place += text[place] == "\\"
                piece.append(text[place])
                place += 1
            elements.append("".join(piece))
            place += 1
        else:
            end = place
            while text[end] not in ",}":
                end += 1
            word = text[place:end]
            elements.append(None if word == "NULL" else word)
            place = end
        place += 1
    return elements


_SCALARS: dict[str, Callable[[str], Canonical]] = {
    "bool": boolean, "int2": int, "int4": int, "int8": int, "oid": int, "float4": float4, "float8": float8, "bytea": bytes_of,
    "date": moment, "timestamp": moment, "timestamptz": moment, "time": clock, "timetz": clock, "interval": interval,
    "oracle.positive": int,
}


def scalar(type_name: str) -> Callable[[str], Canonical]:
    return _SCALARS.get(type_name, exact)


def from_source(type_name: str) -> Callable[[str | None], Canonical]:
    """PostgreSQL's text → canonical. Results are remembered: texts repeat."""
    if type_name.endswith("[]"):
        element = scalar(type_name[:-2])

        def convert(text: str) -> Canonical:
            return tuple(None if e is None else element(e) for e in array_elements(text))
    else:
        convert = scalar(type_name)
    remembered = lru_cache(maxsize=20000)(convert)
    return lambda text: None if text is None else remembered(text)


def reading(type_name: str, column: str, duckdb_type: str) -> str:
    """The SQL that reads a DuckDB column as text, list of text, or a plain Python value, without loss."""
    if type_name.endswith("[]") and duckdb_type.endswith("[]"):
        if duckdb_type == "BLOB[]":
            return f"list_transform({column}, lambda x: hex(x))"
        return column if duckdb_type in ("BOOLEAN[]", "DOUBLE[]", "FLOAT[]") else f"CAST({column} AS VARCHAR[])"
    if duckdb_type == "BLOB":
        return f"hex({column})"
    if duckdb_type in ("BOOLEAN", "DOUBLE", "FLOAT"):
        return column
    return f"CAST({column} AS VARCHAR)"


def _plain(value, convert: Callable[[str], Canonical]) -> Canonical:
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return _number(value)
    return convert(value)


def from_target(type_name: str) -> Callable[[object], Canonical]:
    """What `reading` gives → canonical."""
    convert = scalar(type_name.removesuffix("[]"))

    def one(value: object) -> Canonical:
        if value is None:
            return None
        if isinstance(value, list):
            return tuple(None if e is None else _plain(e, convert) for e in value)
        if type_name.endswith("[]"):
            return ("an array that is no list", value)
        return _plain(value, convert)
    return one

"""A lake as a reader sees it that knows nothing of Tailrace: DuckDB over a pattern of names."""

import csv
import decimal
import gzip
import json
from pathlib import Path

import duckdb
import fastavro
import pyarrow.parquet
from backports import zstd

METAS = ("_op", "_commit_lsn", "_ordinal", "_seq", "_commit_time", "_old", "_unchanged")


def folder(*names: str) -> str:
    """As docs/lake.md says that names of tables are written."""
    def written(name: str) -> str:
        return "".join(c if (c.isascii() and c.isalnum()) or c in "-_." and (n > 0 or c == "-") or not c.isascii() else f"%{ord(c):02X}"
                       for n, c in enumerate(name))
    return "/".join(written(name) for name in names)


def paths(connection: duckdb.DuckDBPyConnection, place: str, schema: str, table: str, form: str) -> list[str]:
    ending = {"parquet": "parquet", "json": "jsonl", "avro": "avro", "csv": "csv"}[form]
    found = connection.execute("SELECT file FROM glob(?) ORDER BY file", [f"{place}/{folder(schema, table)}/**/*.{ending}"]).fetchall()
    return [path for (path,) in found]


def events(connection: duckdb.DuckDBPyConnection, place: str, schema: str, table: str, form: str) -> list[dict]:
    """Every change of a table, in order: `op`, `seq`, and `row`, `old` and `unchanged` where it has them."""
    out = []
    for path in paths(connection, place, schema, table, form):
        rows = {"parquet": parquet_rows, "json": json_rows, "avro": avro_rows, "csv": csv_rows}[form](connection, path)
        out += [event_of(row) for row in rows]
    return sorted(out, key=lambda event: (event["seq"], event["ordinal"]))


def parquet_rows(connection: duckdb.DuckDBPyConnection, path: str) -> list[dict]:
    answer = connection.execute("SELECT * REPLACE (_commit_time::text AS _commit_time) FROM read_parquet(?)", [path])
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row)) for row in answer.fetchall()]


def json_rows(connection: duckdb.DuckDBPyConnection, path: str) -> list[dict]:
    (text,) = connection.execute("SELECT content FROM read_text(?)", [path]).fetchone()
    return [json.loads(line) for line in text.splitlines()]


def exact_events(place: str, schema: str, table: str, form: str) -> list[dict]:
    """The same with values of every type as they are: by pyarrow, fastavro, or out of JSON with all digits."""
    out = []
    for path in paths(duckdb.connect(), place, schema, table, form):
        if form == "parquet":
            rows = pyarrow.parquet.read_table(path, partitioning=None).to_pylist()
        elif form == "avro":
            rows = avro_rows(None, path)
        else:
            rows = [json.loads(line, parse_float=decimal.Decimal) for line in Path(path).read_text().split("\n") if line]
        out += [event_of(row) for row in rows]
    return sorted(out, key=lambda event: (event["seq"], event["ordinal"]))


def avro_rows(_: duckdb.DuckDBPyConnection | None, path: str) -> list[dict]:
    with open(path, "rb") as file:
        reader = fastavro.reader(file)
        names = {field["name"]: field.get("column", field["name"]) for field in reader.writer_schema["fields"]}
        return [{names[name]: value for name, value in row.items()} for row in reader]


def csv_rows(connection: duckdb.DuckDBPyConnection, path: str) -> list[dict]:
    """All as text; an empty text is not NULL."""
    answer = connection.execute("SELECT * FROM read_csv(?, header = true, all_varchar = true, allow_quoted_nulls = false)", [path])
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row)) for row in answer.fetchall()]


def text_of(path: Path) -> str:
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        data = gzip.decompress(data)
    if path.name.endswith(".zst"):
        data = zstd.decompress(data)
    return data.decode()


def csv_lines(path: Path) -> list[list[str]]:
    return list(csv.reader(text_of(path).splitlines(keepends=True)))


def event_of(row: dict) -> dict:
    def parsed(value):
        return json.loads(value) if isinstance(value, str) else value

    event = {"op": row["_op"], "seq": row["_seq"], "ordinal": row["_ordinal"]}
    values = {name: value for name, value in row.items() if name not in METAS}
    unchanged = parsed(row.get("_unchanged")) or []
    if event["op"] == "d":
        event["old"] = values
    elif event["op"] != "t":
        event["row"] = {name: value for name, value in values.items() if name not in unchanged}
        event["unchanged"] = unchanged
        if row.get("_old") is not None:
            event["old"] = parsed(row["_old"])
    return event

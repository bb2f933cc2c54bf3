"""The formats of a lake beside Parquet: each is read back by a reader that knows nothing of Tailrace."""

import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import fastavro
import pyarrow.parquet
import pytest

from e2e.lake import csv_lines, text_of
from e2e.lake_kinds import FIRST, KINDS, SECOND
from e2e.shop import Shop
from e2e.tailrace import Exit


def start(mirror: Shop, lakes: Path, options: Iterable[str], **environment: str) -> None:
    """One pipeline with a lake for each of these, each in a directory of its own: 0, 1, …"""
    file = mirror.tailrace.directory / "shop.yaml"
    sinks = "".join(f"  l{n}:\n    lake: {{url: \"file://{lakes}/{n}\", {option}}}\n    batch: {{wait: 50ms}}\n" for n, option in enumerate(options))
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\n"
                    f"log:\n  journal: {{path: {mirror.tailrace.state}}}\nsinks:\n{sinks}")
    mirror.process = mirror.tailrace.start("run", file, environment=environment)
    mirror.wait()


def files(lakes: Path, number: int, table: str) -> list[Path]:
    return sorted((lakes / str(number) / "public" / table).iterdir())


def avro_rows(path: Path) -> list[dict]:
    with path.open("rb") as file:
        return list(fastavro.reader(file))


def values(rows: list[dict]) -> list[dict]:
    return sorted(({name: value for name, value in row.items() if not name.startswith("_")} for row in rows), key=lambda row: row["id"])


def test_every_type_is_read_back_from_avro_with_each_codec(mirror: Shop, tmp_path: Path):
    codecs = {"deflate": "auto", "null": "none", "snappy": "snappy", "zstandard": "zstd"}
    mirror.cluster.execute(*KINDS, "CREATE TABLE many (id int PRIMARY KEY, \"dé f\" text, \"d__f\" text)",
                           "INSERT INTO many SELECT g, repeat('x', g % 50), NULL FROM generate_series(1, 20000) g", database=mirror.database)
    start(mirror, tmp_path, (f"format: avro, codec: {codec}" for codec in codecs.values()))
    mirror.cluster.execute("UPDATE kinds SET id = id + 10", "INSERT INTO kinds (id, n) VALUES (20, 'NaN')",
                           "INSERT INTO kinds (id, day) VALUES (21, 'infinity')", "INSERT INTO kinds (id, a) VALUES (22, '{{1}}')",
                           "INSERT INTO kinds (id, n, big) VALUES (23, 0.00128, -0.0000000128)", "DELETE FROM kinds WHERE id = 12", database=mirror.database)
    mirror.wait()
    assert [sink["dead_letters"] for sink in mirror.tailrace.status()["sinks"]] == [3] * len(codecs)
    mirror.stop()
    for number, codec in enumerate(codecs):
        rows = [row for path in files(tmp_path, number, "kinds") for row in avro_rows(path)]
        assert values([row for row in rows if row["_op"] == "r"]) == [FIRST, SECOND]
        assert values([row for row in rows if row["_op"] == "u"]) == [FIRST | {"id": 11}, SECOND | {"id": 12}]
        (inserted,) = values([row for row in rows if row["_op"] == "c"])
        assert (inserted["n"], inserted["big"]) == (Decimal("0.00128"), Decimal("-0.0000000128"))
        updated = [row for row in rows if row["_op"] == "u"]
        assert json.loads(updated[0]["_old"]) == {"id": 1} and updated[0]["_commit_time"].year == datetime.now().year
        assert [row["id"] for row in rows if row["_op"] == "d"] == [12]
        copied = [path for path in files(tmp_path, number, "many")]
        with copied[0].open("rb") as file:
            blocks = list(fastavro.block_reader(file))
        assert {block.codec for block in blocks} == {codec} and len(blocks) > 2
        assert [field["column"] for field in blocks[0].writer_schema["fields"] if "column" in field] == ["dé f", "d__f"]
        many = [row for path in copied for row in avro_rows(path)]
        assert [(row["id"], row["d__f"]) for row in many] == [(n, "x" * (n % 50)) for n in range(1, 20001)]


def test_what_postgres_reads_from_csv_is_what_it_had(mirror: Shop, tmp_path: Path):
    mirror.cluster.execute(*KINDS, "CREATE TABLE texts (id int PRIMARY KEY, a text, \"b,\"\"c\" text)",
                           "INSERT INTO texts VALUES (1, '', NULL), (2, NULL, ''), (3, E'\\\\.', E'a\\r\\nb'), (4, ' x', '\"'), (5, ',', 'NULL')",
                           database=mirror.database)
    start(mirror, tmp_path, ["format: csv", "format: csv, codec: gzip", "format: csv, codec: zstd"])
    mirror.stop()
    endings = [".csv", ".csv.gz", ".csv.zst"]
    texts = []
    for number, ending in enumerate(endings):
        for table in ("kinds", "texts"):
            (path,) = files(tmp_path, number, table)
            assert path.name.endswith(ending)
            texts.append(text_of(path))
            # The columns of ours go; what is left is copied into an empty table of the same types.
            loaded = f"{table}_{number}"
            mirror.cluster.execute(f"CREATE TABLE {loaded} (LIKE {table}, _op text, _commit_lsn int8, _ordinal int8, _seq int8, _commit_time timestamptz, "
                                   "_old jsonb, _unchanged jsonb)", database=mirror.database)
            with mirror.cluster.connect(mirror.database) as connection, \
                    connection.cursor().copy(f"COPY {loaded} FROM STDIN (FORMAT csv, HEADER match)") as copy:
                copy.write(texts[-1])
            columns = ", ".join("{0}::text".format('"' + name.replace('"', '""') + '"') for name in csv_lines(path)[0] if not name.startswith("_"))
            rows = [mirror.cluster.query(f"SELECT {columns} FROM {name} ORDER BY id", database=mirror.database) for name in (table, loaded)]
            assert rows[0] == rows[1] and len(rows[0]) > 1
        lines = csv_lines(files(tmp_path, number, "texts")[0])
        assert lines[0][:4] == ["id", "a", 'b,"c', "_op"] and lines[3][:4] == ["3", "\\.", "a\r\nb", "r"]
        assert '\n1,"",,r,' in texts[-1] and '\n2,,"",r,' in texts[-1]
    assert len(set(texts)) == 2


def test_files_of_text_and_parquet_take_the_codec_that_is_asked_for(mirror: Shop, tmp_path: Path):
    parquet = {"snappy": "SNAPPY", "gzip": "GZIP", "lz4": "LZ4", "none": "UNCOMPRESSED"}
    start(mirror, tmp_path, ["format: json, codec: gzip", "format: json, codec: zstd"] + [f"codec: {codec}" for codec in parquet])
    mirror.stop()
    for number, ending in enumerate([".jsonl.gz", ".jsonl.zst"]):
        (path,) = files(tmp_path, number, "customers")
        assert path.name.endswith(ending)
        assert [json.loads(line)["id"] for line in text_of(path).splitlines()] == list(range(1, 51))
    for number, codec in enumerate(parquet.values(), 2):
        (path,) = files(tmp_path, number, "customers")
        columns = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).to_dict()["columns"]
        assert {column["compression"] for column in columns} == {codec}


@pytest.mark.parametrize("options", ["format: csv, codec: snappy", "format: avro, codec: gzip", "format: json, codec: lz4", "codec: deflate"])
def test_a_codec_that_a_format_has_not_is_refused_with_those_it_has(mirror: Shop, tmp_path: Path, options: str):
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\nsinks:\n  l:\n    lake: {{url: \"file://{tmp_path}\", {options}}}\n")
    answer = mirror.tailrace.command("check", file)
    assert answer.code == Exit.REQUEST and "TR857" in answer.err and "choose one of" in answer.err, answer

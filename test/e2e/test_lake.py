"""A lake of files: what stands in them is what happened at the source, and each name that was seen stays."""

import json
from datetime import date, datetime, timezone
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

import duckdb
import pyarrow.parquet
import pytest

from e2e.lake_kinds import FIRST, KINDS, SECOND
from e2e.shop import Shop
from e2e.tailrace import Exit

OPTIONS = 'url: "file://{}", partition_by: day'


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def write(mirror: Shop, lake: Path, options: str = OPTIONS, wait: str = "50ms") -> None:
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\n"
                    f"log:\n  journal: {{path: {mirror.tailrace.state}}}\nsinks:\n  it:\n    lake: {{{options.format(lake)}}}\n"
                    f"    batch: {{wait: {wait}}}\n")


def run(mirror: Shop, lake: Path, options: str = OPTIONS, wait: str = "50ms") -> None:
    write(mirror, lake, options, wait)
    mirror.process = mirror.tailrace.start("run", mirror.tailrace.directory / "shop.yaml")
    mirror.wait()


def objects(lake: Path, table: str = "*") -> list[Path]:
    return sorted(lake.glob(f"public/{table}/**/*.parquet"))


def rows(lake: Path, table: str) -> list[dict]:
    found = [row for path in objects(lake, table) for row in pyarrow.parquet.ParquetFile(path).read().to_pylist()]
    return sorted(found, key=lambda row: (row["_seq"], row["_ordinal"], row.get("id") or 0))


def holds_a_copy_only(lake: Path, table: str) -> bool:
    try:
        return {row["_op"] for row in rows(lake, table)} == {"r"}
    except FileNotFoundError:  # went between being listed and being read
        return False


def test_a_binary_value_that_comes_often_is_found_by_duckdb(mirror: Shop, lake: Path):
    mirror.cluster.execute("CREATE TABLE parts (id int PRIMARY KEY, by bytea)",
                           "INSERT INTO parts SELECT g, CASE WHEN g % 2 = 0 THEN '\\x00ff'::bytea END FROM generate_series(1, 1000) g", database=mirror.database)
    run(mirror, lake)
    mirror.stop()
    found = duckdb.sql(f"SELECT count(*) FROM read_parquet('{lake}/public/parts/**/*.parquet') WHERE \"by\" = '\\x00\\xff'::blob").fetchone()
    assert found == (500,)


def test_every_type_is_read_back_by_another_reader(mirror: Shop, lake: Path):
    mirror.cluster.execute(*KINDS, database=mirror.database)
    def read(operation: str) -> list[dict]:
        there = [row for row in rows(lake, "kinds") if row["_op"] == operation]
        return [{name: UUID(bytes=value) if name == "u" and isinstance(value, bytes) else value
                 for name, value in row.items() if not name.startswith("_")} for row in there]

    run(mirror, lake)
    assert read("r") == [FIRST, SECOND]
    # The same by the stream, under other keys.
    mirror.cluster.execute("UPDATE kinds SET id = id + 10", database=mirror.database)
    mirror.wait()
    assert read("u") == [FIRST | {"id": 11}, SECOND | {"id": 12}]
    # What a type cannot hold is a letter; the other rows land.
    mirror.cluster.execute("INSERT INTO kinds (id, n) VALUES (20, 'NaN')", "INSERT INTO kinds (id, day) VALUES (21, 'infinity')",
                           "INSERT INTO kinds (id, tz) VALUES (22, '-infinity')", "INSERT INTO kinds (id, a) VALUES (23, '{{1,2},{3,4}}')",
                           "UPDATE kinds SET l = 5 WHERE id = 23", "INSERT INTO kinds (id) VALUES (24)", database=mirror.database)
    mirror.wait()
    assert [row["id"] for row in read("c")] == [24]
    assert mirror.tailrace.status()["sinks"][0]["dead_letters"] == 5
    mirror.stop()


def test_files_are_sorted_have_a_day_and_stand_in_the_manifests(mirror: Shop, lake: Path):
    run(mirror, lake)
    mirror.cluster.execute("INSERT INTO customers (id, name) SELECT g, 'x' FROM generate_series(2000, 1001, -1) g",
                           "TRUNCATE empty_table", "DELETE FROM orders WHERE id = 5", database=mirror.database)
    mirror.wait()
    mirror.stop()
    today = datetime.now(timezone.utc).date()
    days = {path.parent.name for path in objects(lake)}
    assert days <= {f"date={date.fromordinal(today.toordinal() - back)}" for back in (0, 1)}
    inserted = [path for path in objects(lake, "customers")
                if pyarrow.parquet.ParquetFile(path).read(["_op"]).to_pylist()[0]["_op"] == "c"]
    ids = [[row["id"] for row in pyarrow.parquet.ParquetFile(path).read(["id"]).to_pylist()] for path in inserted]
    assert ids and all(found == sorted(found) for found in ids) and sum(len(found) for found in ids) == 1000
    metadata = pyarrow.parquet.ParquetFile(inserted[0]).metadata.row_group(0).column(0)
    assert metadata.compression == "ZSTD" and metadata.statistics.min == min(ids[0])
    assert [row["_op"] for row in rows(lake, "empty_table")] == ["t"]
    deleted = rows(lake, "orders")[-1]
    assert (deleted["_op"], deleted["id"], deleted["total"]) == ("d", 5, None)
    manifests = [json.loads(path.read_text()) for path in sorted((lake / "_manifest").glob("*.json"))]
    listed = {item["path"]: item["rows"] for manifest in manifests for item in manifest["objects"]}
    assert listed == {str(path.relative_to(lake)): pyarrow.parquet.ParquetFile(path).metadata.num_rows for path in objects(lake)}
    assert not list((lake / "_staged").iterdir())


def test_a_copy_begins_a_folder_anew_and_leaves_the_others_alone(mirror: Shop, lake: Path):
    run(mirror, lake)
    mirror.cluster.execute("UPDATE customers SET name = 'y' WHERE id <= 10", database=mirror.database)
    mirror.wait()
    others = {path: path.read_bytes() for path in objects(lake, "orders")}
    answer = mirror.tailrace.command("snapshot", "shop", "customers", "--state", mirror.tailrace.state)
    assert answer.code == Exit.DONE, answer
    deadline = monotonic() + 30
    while not holds_a_copy_only(lake, "customers"):
        assert monotonic() < deadline, "the table is not copied again"
        sleep(0.1)
    mirror.cluster.execute("DELETE FROM customers WHERE id = 7", database=mirror.database)
    mirror.wait()
    there = rows(lake, "customers")
    assert [row["_op"] for row in there] == ["r"] * 50 + ["d"]
    assert sum(row["name"] == "y" for row in there) == 10
    assert {path: path.read_bytes() for path in others} == others
    mirror.stop()


def test_a_folder_with_files_of_somebody_else_is_refused(mirror: Shop, lake: Path):
    theirs = lake / "public" / "customers" / f"{'0' * 40}-{'0' * 40}.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    write(mirror, lake)
    mirror.process = mirror.tailrace.start("run", mirror.tailrace.directory / "shop.yaml")
    assert mirror.process.wait() == Exit.UNREACHABLE
    assert "TR858" in mirror.process.err()
    assert objects(lake) == [theirs] and theirs.read_bytes() == b"theirs"


def test_a_transaction_larger_than_memory_comes_in_several_files_and_once(mirror: Shop, lake: Path):
    run(mirror, lake, OPTIONS + ", format: json", wait="200ms")
    mirror.process.kill()
    mirror.process = mirror.tailrace.start("run", mirror.tailrace.directory / "shop.yaml", environment={"TAILRACE_BOUND_LAKE_BYTES": "2000000"})
    mirror.cluster.execute("INSERT INTO customers (id, name) SELECT g, repeat('x', 100) FROM generate_series(1001, 31000) g",
                           database=mirror.database)
    mirror.wait()
    mirror.stop()
    files = sorted(lake.glob("public/customers/**/*.jsonl"))
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    inserted = [line for line in lines if line["_op"] == "c"]
    assert len(files) > 2 and [line["id"] for line in inserted] == list(range(1001, 31001))
    assert [line["_seq"] for line in inserted] == sorted({line["_seq"] for line in inserted})
    assert inserted[0]["_commit_time"].startswith(str(datetime.now(timezone.utc).year))

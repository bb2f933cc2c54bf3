"""Small files of a lake are merged: no reader misses a row at any moment, and who reads the manifests sees each once."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import duckdb
import pyarrow.parquet
import pytest

from e2e.lake import csv_lines, csv_rows, json_rows, parquet_rows
from e2e.shop import Shop
from e2e.tailrace import Exit

READERS = {"parquet": parquet_rows, "json": json_rows, "csv": csv_rows}


class Merged:
    def __init__(self, shop: Shop, lake: Path, form: str = "parquet"):
        self.shop, self.lake, self.form = shop, lake, form
        shop.cluster.execute("CREATE TABLE events (id int PRIMARY KEY, \"v,\" text)", database=shop.database)
        self.connection = duckdb.connect()

    def start(self, **environment: str) -> None:
        file = self.shop.tailrace.directory / "shop.yaml"
        file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{self.shop.cluster.url(self.shop.database)}\", tables: [\"public.events\"]}}\n"
                        f"log:\n  journal: {{path: {self.shop.tailrace.state}}}\nsinks:\n  it:\n    lake: {{url: \"file://{self.lake}\", format: {self.form}, "
                        "compact_files: 3}\n    batch: {wait: 20ms}\n    retry: {longest: 200ms}\n")
        self.shop.process = self.shop.tailrace.start("run", file, environment=environment)

    def insert(self, first: int, last: int) -> None:
        for k in range(first, last + 1):
            self.shop.cluster.execute(f"INSERT INTO events VALUES ({1000 - k}, E'a\\nb {k}')", database=self.shop.database)
            sleep(0.02)

    def files(self) -> list[Path]:
        return sorted((self.lake / "public" / "events").glob("*.*"))

    def staged(self) -> list[str]:
        return sorted(path.name for path in (self.lake / "_staged").iterdir())

    def rows(self, files: list[Path]) -> list[int]:
        return [int(row["id"]) for path in files for row in READERS[self.form](self.connection, str(path))]

    def by_manifests(self) -> list[int]:
        """The rows that a reader of the manifests finds; nothing when a file went meanwhile, and it has to begin again."""
        there: dict[str, None] = {}
        for path in sorted((self.lake / "_manifest").glob("*.json")):
            manifest = json.loads(path.read_text())
            for folder in manifest["emptied"]:
                there = dict.fromkeys(path for path in there if not path.startswith(folder))
            there |= dict.fromkeys(item["path"] for item in manifest["objects"])
            for gone in manifest["replaced"]:
                del there[gone]
        try:
            return self.rows([self.lake / path for path in there])
        except (FileNotFoundError, duckdb.IOException, TypeError):
            return []

    def until_merged(self, condition: Callable[[list[Path]], bool]) -> list[Path]:
        """A file that a merge takes away between being listed and being read is no answer yet."""
        deadline = monotonic() + 30
        while True:
            files = self.files()
            try:
                if condition(files):
                    return files
            except (FileNotFoundError, duckdb.IOException):
                pass
            assert monotonic() < deadline, f"{len(files)} files\n{self.shop.process.err()}"
            sleep(0.05)


@pytest.mark.parametrize("form", READERS)
def test_no_reader_misses_a_row_and_a_reader_of_manifests_sees_each_once(mirror: Shop, tmp_path: Path, form: str):
    lake = Merged(mirror, tmp_path / "lake", form)
    lake.start()
    mirror.wait()
    seen: list[tuple[list[int], list[int]]] = []
    stopping = threading.Event()

    def read() -> None:
        reader = Merged.__new__(Merged)
        reader.lake, reader.form, reader.connection = lake.lake, form, duckdb.connect()
        while not stopping.is_set():
            try:
                seen.append((reader.rows(reader.files()), reader.by_manifests()))
            except (FileNotFoundError, duckdb.IOException, TypeError):
                pass

    thread = threading.Thread(target=read)
    thread.start()
    lake.insert(1, 30)
    mirror.wait()
    lake.until_merged(lambda there: len(there) < 8)
    stopping.set()
    thread.join()
    mirror.stop()
    expected = [1000 - k for k in range(1, 31)]
    assert sorted(lake.rows(lake.files()), reverse=True) == expected
    assert sorted(lake.by_manifests(), reverse=True) == expected
    for globbed, listed in seen:
        # Rows come in the order of their commits: what is there is all up to some place.
        assert set(globbed) == set(expected[:len(set(globbed))])
        assert sorted(listed, reverse=True) == expected[:len(listed)]
    assert len(seen) > 3
    largest = max(lake.files(), key=lambda path: path.stat().st_size)
    ids = lake.rows([largest])
    assert len(ids) >= 9
    if form == "parquet":
        assert ids == sorted(ids) and pyarrow.parquet.ParquetFile(largest).metadata.row_group(0).column(0).compression == "ZSTD"
    elif form == "csv":
        assert [line[0] for line in csv_lines(largest)].count("id") == 1


@pytest.mark.parametrize("point", ["lake.merge_staged:2", "lake.replaced_removed:2", "lake.replaced_removed:3"])
def test_a_crash_while_files_are_merged_loses_and_doubles_nothing(mirror: Shop, tmp_path: Path, point: str):
    lake = Merged(mirror, tmp_path / "lake")
    lake.start(TAILRACE_CRASH_AT=point)
    mirror.wait()
    last, deadline = 0, monotonic() + 30
    # How many rows a step has is up to the machine; merges come with steps.
    while mirror.process.code is None:
        assert monotonic() < deadline, mirror.process.err()
        last += 1
        lake.insert(last, last)
    assert mirror.process.code == -9
    # What was merged and not yet named by a step is there until the next start, beside what the sink was writing.
    assert lake.staged() or not point.startswith("lake.merge_staged")
    lake.insert(last + 1, last + 5)
    lake.start()
    mirror.wait()
    lake.until_merged(lambda there: len(there) < 9)
    mirror.stop()
    expected = [1000 - k for k in range(1, last + 6)]
    assert sorted(lake.rows(lake.files()), reverse=True) == expected
    assert sorted(lake.by_manifests(), reverse=True) == expected
    # A merge that the stop cut short goes with it.
    assert lake.staged() == []


def test_a_merge_stays_within_a_version_of_the_table_and_goes_with_its_folder(mirror: Shop, tmp_path: Path):
    lake = Merged(mirror, tmp_path / "lake")
    lake.start()
    mirror.wait()
    lake.insert(1, 2)
    mirror.wait()
    mirror.cluster.execute("ALTER TABLE events ADD more int", database=mirror.database)
    for k in range(3, 7):
        lake.insert(k, k)
        mirror.wait()
    lake.until_merged(lambda there: any(len(lake.rows([path])) >= 3 for path in there))
    lake.until_merged(lambda there: all(len(set("more" in row for row in parquet_rows(lake.connection, str(path)))) == 1 for path in there))
    assert mirror.tailrace.command("snapshot", "shop", "events", "--state", mirror.tailrace.state).code == Exit.DONE
    lake.until_merged(lambda there: len(there) == 1 and len(lake.rows(there)) == 6)
    lake.insert(7, 12)
    mirror.wait()
    mirror.stop()
    assert sorted(lake.rows(lake.files())) == sorted(1000 - k for k in range(1, 13)) == sorted(lake.by_manifests())


@pytest.mark.parametrize("options", ["compact_files: 1", "compact_files: 4, format: avro", "compact_files: 4, format: json, codec: gzip",
                                     "compact_files: 4, layout: connect", "compact_files: 4, layout: ducklake, catalog: \"sqlite:c.sqlite\""])
def test_what_is_never_merged_is_refused(mirror: Shop, tmp_path: Path, options: str):
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\nsinks:\n  l:\n    lake: {{url: \"file://{tmp_path}\", {options}}}\n")
    answer = mirror.tailrace.command("check", file)
    assert answer.code == Exit.REQUEST and "TR857" in answer.err, answer

"""A lake with the names of Kafka Connect's object stores: what a topic has is what was changed, in numbered files of the size that was asked for."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from time import monotonic, sleep
from zoneinfo import ZoneInfo

import fastavro
import pyarrow.parquet
import pytest

from e2e.lake import text_of
from e2e.shop import Shop
from e2e.tailrace import Exit

POINTS = ("lake.rows_kept", "lake.object_staged", "lake.before_commit", "lake.committed", "lake.object_published", "lake.published")


class Topics:
    """A pipeline into topics, with options of the layout."""

    def __init__(self, shop: Shop, lake: Path):
        self.shop, self.lake = shop, lake

    def write(self, connect: str, options: str = "format: json") -> None:
        self.shop.tailrace.directory.joinpath("shop.yaml").write_text(
            f"name: shop\nsource:\n  postgres: {{url: \"{self.shop.cluster.url(self.shop.database)}\", tables: [\"public.events\"]}}\n"
            f"log:\n  journal: {{path: {self.shop.tailrace.state}}}\nsinks:\n  it:\n    lake: {{url: \"file://{self.lake}\", {options}, layout: connect, "
            f"connect: {{topic: \"shop.{{table}}\", {connect}}}}}\n    batch: {{wait: 50ms}}\n    retry: {{longest: 200ms}}\n")

    def start(self, **environment: str) -> None:
        self.shop.process = self.shop.tailrace.start("run", self.shop.tailrace.directory / "shop.yaml", environment=environment)

    def execute(self, *statements: str) -> None:
        self.shop.cluster.execute(*statements, database=self.shop.database)

    def files(self) -> dict[str, list[dict]]:
        """The rows of each file, by its path below the topics."""
        below = self.lake / "topics"
        return {str(path.relative_to(below)): [json.loads(line) for line in text_of(path).splitlines()]
                for path in sorted(below.rglob("*.json*"))}

    def bytes(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (self.lake / "topics").rglob("*.*") if path.is_file()}

    def until(self, condition: Callable[[dict[str, list[dict]]], bool], what: str) -> dict[str, list[dict]]:
        deadline = monotonic() + 40
        while not condition(files := self.files()):
            assert monotonic() < deadline, f"{what}: {files.keys()}\n{self.shop.process.err()}"
            sleep(0.05)
        return files


@pytest.fixture
def topics(mirror: Shop, tmp_path: Path) -> Topics:
    mirror.cluster.execute("CREATE TABLE events (id int PRIMARY KEY, kind text, at timestamptz, v text)",
                           "INSERT INTO events SELECT g, 'k' || g % 2, '2024-03-31 00:00:00+00', 'copied' FROM generate_series(1, 25) g",
                           database=mirror.database)
    return Topics(mirror, tmp_path / "lake")


def ids(rows: list[dict]) -> list[int]:
    return [row["id"] for row in rows]


def name(partition: str, offset: int, ending: str = "json") -> str:
    return f"shop.events/{partition}/shop.events+0+{offset:010}.{ending}"


def test_files_have_the_rows_that_were_asked_for_whatever_steps_are_made(topics: Topics):
    topics.write("flush: {rows: 10, schedule: 0s}")
    topics.start()
    topics.shop.wait()
    copied = topics.files()
    assert {path: len(rows) for path, rows in copied.items()} == {name("partition=0", 0): 10, name("partition=0", 10): 10, name("partition=0", 20): 5}
    assert list(copied[name("partition=0", 0)][0]) == ["id", "kind", "at", "v", "__deleted"]
    # One row after the other, each a step of its own or not; a stop in between.
    for k in range(100, 113):
        topics.execute(f"INSERT INTO events VALUES ({k}, 'x', now(), 'one')")
        if k == 105:
            topics.shop.wait()
            assert topics.files().keys() == copied.keys()
            topics.shop.stop()
            assert topics.files().keys() == copied.keys()
            topics.start()
    topics.execute("UPDATE events SET v = 'changed' WHERE id = 100", "DELETE FROM events WHERE id = 101", "TRUNCATE events",
                   "INSERT INTO events SELECT g, 'x', now(), 'many' FROM generate_series(200, 209) g")
    topics.shop.wait()
    files = topics.until(lambda there: len(there) == 5, "two files more")
    assert ids(files[name("partition=0", 25)]) == list(range(100, 110))
    assert ids(files[name("partition=0", 35)]) == [110, 111, 112, 100, 101, 200, 201, 202, 203, 204]
    assert [row["__deleted"] for row in files[name("partition=0", 35)]] == ["false"] * 4 + ["true"] + ["false"] * 5
    topics.shop.stop()


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_step_gives_the_same_files(topics: Topics, point: str):
    topics.write("flush: {rows: 10, schedule: 0s}, partitioner: {by: field, fields: [kind]}")
    topics.start()
    topics.shop.wait()
    topics.shop.stop()
    before = topics.bytes()
    topics.start(TAILRACE_CRASH_AT=f"{point}:2", TAILRACE_BOUND_LAKE_KEPT="3")
    for k in range(100, 160, 4):
        topics.execute(f"INSERT INTO events SELECT g, 'k' || g % 3, now(), 'streamed' FROM generate_series({k}, {k + 3}) g")
        sleep(0.03)
    assert topics.shop.process.wait(30) == -9
    seen = topics.bytes()
    topics.start(TAILRACE_BOUND_LAKE_KEPT="3")
    topics.shop.wait()
    files = topics.files()
    assert {path: data for path, data in topics.bytes().items() if path in seen} == seen and before.items() <= seen.items()
    topics.shop.stop()
    # Each flush closes the files of all partitions: together they have ten rows.
    streamed = {path: rows for path, rows in files.items() if rows[0]["v"] == "streamed"}
    rounds: dict[int, list[int]] = {}
    for path, rows in streamed.items():
        offset = int(path.split("+")[-1].split(".")[0])
        rounds.setdefault((offset - 25) // 10, []).extend(ids(rows))
        assert {f"kind={row['kind']}" for row in rows} == {path.split("/")[1]} and ids(rows) == sorted(ids(rows))
    assert {number: sorted(found) for number, found in rounds.items()} == {n: list(range(100 + 10 * n, 110 + 10 * n)) for n in range(6)}


def test_rows_go_where_clocks_of_their_zone_stood_and_files_close_by_their_times(topics: Topics):
    topics.write("flush: {rows: 1000, interval: 1h, schedule: 0s}, metadata: true, "
                 "partitioner: {by: hourly, timezone: Europe/Berlin, timestamp: field, timestamp_field: at}", "format: json, codec: gzip")
    topics.start()
    topics.shop.wait()
    # Clocks went from 02:00 to 03:00; the third row closes the files of the first two, the fourth that of the third.
    topics.execute("INSERT INTO events VALUES (100, 'x', '2024-03-31 00:30+00', ''), (101, 'x', '2024-03-31 00:59+00', '')",
                   "INSERT INTO events VALUES (102, 'x', '2024-03-31 01:00+00', '')", "INSERT INTO events VALUES (103, 'x', '2024-03-31 02:00+00', '')",
                   "INSERT INTO events VALUES (104, 'x', NULL, '')", "TRUNCATE events", "INSERT INTO events VALUES (105, 'x', '2024-03-31 03:00+00', '')")
    topics.shop.wait()
    files = topics.until(lambda there: len(there) >= 5, "files of three hours")
    hour = "year=2024/month=03/day=31/hour={:02}"
    assert ids(files[name(hour.format(1), 25, "json.gz")]) == [100, 101]
    assert ids(files[name(hour.format(3), 27, "json.gz")]) == [102]
    assert ids(files[name(hour.format(4), 28, "json.gz")]) == [103]
    assert [row["_op"] for row in files[name(hour.format(1), 0, "json.gz")]] == ["r"] * 25
    # The truncated table is told of at the time of its commit, which is an hour of its own.
    told = [rows for path, rows in files.items() if rows[0]["_op"] == "t"]
    today = datetime.now(ZoneInfo("Europe/Berlin"))
    assert len(told) == 1 and any(f"year={day:%Y}/month={day:%m}/day={day:%d}" in " ".join(files) for day in (today, today - timedelta(hours=1)))
    assert topics.shop.tailrace.status()["sinks"][0]["dead_letters"] == 1
    topics.shop.stop()


def test_the_clock_closes_files_while_nothing_happens(topics: Topics):
    topics.write("flush: {rows: 1000, schedule: 1s}")
    topics.start()
    topics.shop.wait()
    topics.execute("INSERT INTO events VALUES (100, 'x', now(), '')")
    files = topics.until(lambda there: len(there) == 2, "a file by the clock")
    assert ids(files[name("partition=0", 25)]) == [100]
    topics.shop.stop()
    topics.start()
    topics.execute("INSERT INTO events VALUES (101, 'x', now(), '')")
    files = topics.until(lambda there: len(there) == 3, "another one")
    assert ids(files[name("partition=0", 26)]) == [101]
    topics.shop.stop()


def test_a_table_that_is_copied_again_or_altered_goes_on_in_its_topic(topics: Topics):
    topics.write("flush: {rows: 1000, schedule: 0s}")
    topics.start()
    topics.shop.wait()
    topics.execute("INSERT INTO events VALUES (100, 'x', now(), 'open')", "ALTER TABLE events ADD more int", "INSERT INTO events VALUES (101, 'x', now(), 'more', 1)")
    topics.shop.wait()
    assert ids(topics.until(lambda there: len(there) == 2, "the file of the former version")[name("partition=0", 25)]) == [100]
    answer = topics.shop.tailrace.command("snapshot", "shop", "events", "--state", topics.shop.tailrace.state)
    assert answer.code == Exit.DONE, answer
    files = topics.until(lambda there: len(there) == 4, "what was open, and the copy")
    assert ids(files[name("partition=0", 26)]) == [101]
    assert len(files[name("partition=0", 27)]) == 27
    topics.shop.stop()


@pytest.mark.parametrize("form", ["avro", "parquet"])
def test_formats_of_a_topic_have_the_columns_of_the_table_and_one_more(topics: Topics, form: str):
    topics.write("flush: {rows: 20, schedule: 0s}, deletes: drop", f"format: {form}, codec: snappy")
    topics.start()
    topics.shop.wait()
    topics.shop.stop()
    paths = sorted(path for path in (topics.lake / "topics").rglob("*.*") if path.is_file())
    assert [path.name for path in paths] == [f"shop.events+0+{offset:010}.{'avro' if form == 'avro' else 'snappy.parquet'}" for offset in (0, 20)]
    if form == "avro":
        with paths[0].open("rb") as file:
            rows = list(fastavro.reader(file))
    else:
        file = pyarrow.parquet.ParquetFile(paths[0])
        group = file.metadata.row_group(0)
        # What readers of the first version of the format know.
        assert {encoding for n in range(group.num_columns) for encoding in group.column(n).encodings} <= {"PLAIN", "PLAIN_DICTIONARY", "RLE"}
        rows = file.read().to_pylist()
    assert rows[0] == {"id": 1, "kind": "k1", "at": datetime(2024, 3, 31, tzinfo=timezone.utc), "v": "copied", "_unchanged": None}
    assert len(rows) == 20


def test_a_topic_with_files_of_somebody_else_and_a_field_that_is_not_there_are_named(topics: Topics):
    theirs = topics.lake / "topics" / "shop.events" / "partition=0" / "shop.events+0+0000000000.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}\n")
    topics.write("flush: {rows: 10}")
    topics.start()
    assert topics.shop.process.wait() == Exit.UNREACHABLE
    assert "TR858" in topics.shop.process.err() and theirs.read_text() == "{}\n"
    topics.write("partitioner: {by: time, path_format: \"'day'=q\", duration: 1h}")
    answer = topics.shop.tailrace.command("check", topics.shop.tailrace.directory / "shop.yaml")
    assert answer.code == Exit.REQUEST and "TR864" in answer.err
    topics.write("flush: {rows: 10}", "format: json, path: \"{table}\"")
    answer = topics.shop.tailrace.command("check", topics.shop.tailrace.directory / "shop.yaml")
    assert answer.code == Exit.REQUEST and "TR857" in answer.err and "partitioner" in answer.err
    theirs.unlink()
    topics.write("partitioner: {by: field, fields: [absent]}")
    topics.start()
    topics.shop.wait()
    (problem,) = topics.shop.problems()
    assert problem["code"] == "TR802" and re.search("no column absent", problem["what"])
    topics.shop.stop()

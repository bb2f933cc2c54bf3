"""The kinds of targets as the conformance suite sees them: how each is configured, read by an independent client, and broken."""

import atexit
import functools
import itertools
import json
import re
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import duckdb

from e2e import ducklake, kinds
from e2e.clickhouse_server import ClickhouseServer
from e2e.duckdb_file import rows as duckdb_rows
from e2e.lake import events as lake_events
from e2e.lake import exact_events as lake_values
from e2e.proxy import Proxy
from e2e.redis_server import RedisServer
from e2e.s3_server import KEY, SECRET, S3Server, make_server
from e2e.tailrace import preloaded
from e2e.snowflake_server import SnowflakeServer, snowflake_name
from e2e.webhook_receiver import Receiver


class TargetUnderTest(ABC):
    """One target of one test. The caller closes it."""

    #: As the pipeline file calls it.
    kind: str
    #: Crash points of its own, besides those that every sink passes.
    crash_points: tuple[str, ...] = ()
    #: A type and a value of it that the target cannot hold; nothing: it holds all that PostgreSQL has.
    refused: tuple[str, str] | None = None
    #: Whether it can be read while the pipeline runs.
    read_while_running = True
    #: Whether playing the log again from an earlier place ends at the same rows.
    can_be_taken_back = True
    #: Whether rows get the columns that their table gets, without a change of their own.
    keeps_columns_of_rows = True
    #: A copy that begins anew can tell it of rows that are gone.
    empties_tables = True
    #: It takes some ten thousand rows a second.
    is_fast = True
    #: What stands beside its kind in the pipeline file, as lines of YAML.
    beside = ""

    def __init__(self, directory: Path):
        self.directory = directory

    @abstractmethod
    def options(self) -> str:
        """What stands under its kind in the pipeline file, as flow YAML."""

    @abstractmethod
    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        """The table's rows as PostgreSQL's texts, None for NULL."""

    @abstractmethod
    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        """The rows of public.kinds (kinds.py) as the target's own reader has them, in any order. `query`: SQL at the source."""

    @abstractmethod
    def failing_within(self, step: int) -> AbstractContextManager:
        """While it is entered, a write of some size fails when a part of it was done, another one for each step (0 to 2)."""

    def environment(self) -> dict[str, str]:
        """What the program needs in its environment for failing_within()."""
        return {}

    def close(self) -> None:
        pass


class FilesUnderTest(TargetUnderTest):
    """A target of local files, whose disk can be full."""

    @property
    @abstractmethod
    def place(self) -> str:
        """What all paths of its files begin with."""

    @property
    def _flag(self) -> Path:
        return self.directory / "disk-is-full"

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(preloaded("full_disk.c", self.directory)), "FULL_DISK_FLAG": str(self._flag), "FULL_DISK_PREFIX": self.place}

    @contextmanager
    def failing_within(self, step: int) -> Iterator[None]:
        # Writes are under way when it becomes full, at some place.
        late = threading.Timer(0.1 * step, self._flag.touch)
        late.start()
        yield
        late.join()
        self._flag.unlink()


class ServerUnderTest(TargetUnderTest):
    """A target behind a network: it can be away, silent, and cut off in the middle of an answer."""

    def __init__(self, directory: Path, server: RedisServer | ClickhouseServer | Receiver | S3Server | SnowflakeServer):
        super().__init__(directory)
        self.server = server
        self.proxy = Proxy(server.port)

    def kill(self) -> None:
        self.server.kill()
        self.proxy.cut()

    def start(self) -> None:
        self.server.start()

    @contextmanager
    def failing_within(self, step: int) -> Iterator[None]:
        self.proxy.client_says_at_most = (1_500, 30_000, 150_000)[step]
        self.proxy.cut()
        yield
        self.proxy.client_says_at_most = None
        self.proxy.cut()

    def close(self) -> None:
        self.proxy.close()
        self.server.close()


class Duckdb(FilesUnderTest):
    kind = "duckdb"
    crash_points = ("duckdb.before_commit", "duckdb.after_commit", "duckdb.copy_mid")
    refused = ("numeric(10,2)", "'NaN'")
    read_while_running = False
    can_be_taken_back = False

    @property
    def file(self) -> Path:
        return self.directory / "target.duckdb"

    @property
    def place(self) -> str:
        return str(self.file)

    def options(self) -> str:
        return f'path: "{self.file}", dropped_columns: drop'

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        listed = ", ".join('"{}"::text'.format(column.replace('"', '""')) for column in columns)
        quoted = '.'.join('"{}"'.format(name.replace('"', '""')) for name in (schema, table))
        return duckdb_rows(self.file, f"SELECT {listed} FROM {quoted}")

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        # What the package for Python gives no value for, or one that is not exact, is read as text.
        texts = ("ts", "tz", "span", "day", "clock", "clockz")
        listed = ", ".join(f'"{name}"::text' if name in texts else f'"{name}"' for name in ("id", *kinds.TYPES))
        return [dict(zip(("id", *kinds.TYPES), row)) for row in duckdb_rows(self.file, f"SELECT {listed} FROM public.kinds")]


class Redis(ServerUnderTest):
    kind = "redis"
    crash_points = ("redis.before_exec", "redis.after_exec", "rows.before_write", "rows.after_write", "rows.copy_mid")
    form = "hash"

    def __init__(self, directory: Path):
        super().__init__(directory, RedisServer())

    def options(self) -> str:
        return f'url: "redis://127.0.0.1:{self.proxy.port}/0", as: {self.form}, timeout: 3s'

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        begin = f"{schema}.{table}:"
        return [tuple(row.get(column) for column in columns) for row in self.read(begin, "hgetall")]

    def read(self, begin: str, command: str) -> list:
        """What the command says of each key that begins so, asked all at once."""
        client = self.server.client()
        pipeline = client.pipeline(transaction=False)
        for key in client.scan_iter(count=1000):
            if key.startswith(begin):
                getattr(pipeline, command)(key)
        return pipeline.execute()

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        columns = ("id", *kinds.TYPES)
        return [kinds.of_texts(dict(zip(columns, row)), query) for row in self.rows("public", "kinds", columns)]


def as_text(value) -> str | None:
    """A value of JSON as PostgreSQL prints it; the suite's tables have numbers without fraction, and text."""
    return None if value is None else str(value)


class RedisJson(Redis):
    form = "json"

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        rows = map(json.loads, self.read(f"{schema}.{table}:", "get"))
        return [tuple(as_text(row.get(column)) for column in columns) for row in rows]

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        return list(map(kinds.exact_json, self.read("public.kinds:", "get")))


def play(event: dict, state: dict[tuple, dict]) -> None:
    """Rows are known by what their tables have as keys: columns whose names begin with "id"."""
    def key(row: dict) -> tuple:
        return tuple(sorted((name, value) for name, value in row.items() if name.startswith("id")))

    if event["op"] == "t":
        state.clear()
        return
    before = state.pop(key(event["old"]), {}) if "old" in event else {}
    if "row" in event:
        known = before or state.get(key(event["row"]), {})
        kept = {name: known[name] for name in event.get("unchanged", ())}
        state[key(event["row"])] = event["row"] | kept


class RedisStream(Redis):
    """Its entries, played from the first to the last, have to give the rows."""

    keeps_columns_of_rows = False
    form = "stream"

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        return [tuple(as_text(row.get(column)) for column in columns) for row in self.played(schema, table)]

    def played(self, schema: str, table: str) -> list[dict]:
        state: dict[tuple, dict] = {}
        last = -1
        for _, entry in self.server.client().xrange(f"{schema}.{table}"):
            event = kinds.exact_json(entry["event"])
            assert event.get("seq", 0) > last or event["op"] == "r", "an entry out of order"
            last = event.get("seq", last)
            play(event, state)
        return list(state.values())

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        return self.played("public", "kinds")


class Webhook(ServerUnderTest):
    """What it did, played from the first to the last, has to give the rows."""

    kind = "webhook"
    crash_points = ("webhook.started", "webhook.answered", "webhook.delivered", "webhook.state_saved", "rows.after_write")
    keeps_columns_of_rows = False
    empties_tables = False
    is_fast = False
    more = "parallel: 8"

    def __init__(self, directory: Path):
        super().__init__(directory, Receiver())

    def options(self) -> str:
        return f'url: "http://127.0.0.1:{self.proxy.port}/hook", timeout: 3s, {self.more}'

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        return [tuple(as_text(row.get(column)) for column in columns) for row in self.played(schema, table)]

    def played(self, schema: str, table: str) -> list[dict]:
        state: dict[tuple, dict] = {}
        for event in self.server.events():
            if (event["schema"], event["table"]) == (schema, table):
                play(event, state)
        return list(state.values())

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        return self.played("public", "kinds")


class WebhookBatches(Webhook):
    more = "batch: {rows: 500}"
    is_fast = True


@functools.cache
def clickhouse_server() -> ClickhouseServer:
    """One server for all tests of a worker; each has a database of its own."""
    server = ClickhouseServer()
    atexit.register(server.close)
    return server


class Clickhouse(ServerUnderTest):
    kind = "clickhouse"
    crash_points = ("clickhouse.table_made", "clickhouse.table_written", "clickhouse.before_state", "clickhouse.after_state", "rows.after_write")
    refused = ("numeric(10,2)", "'NaN'")
    numbers = itertools.count(1)

    def __init__(self, directory: Path):
        super().__init__(directory, clickhouse_server())
        self.database = f"conformance_{next(self.numbers)}"
        self.server.run(f"CREATE DATABASE {self.database}")

    def options(self) -> str:
        return f'url: "{self.server.url(self.database, self.proxy.port)}", timeout: 3s'

    def close(self) -> None:
        self.proxy.close()

    @staticmethod
    def quoted(name: str) -> str:
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        listed = ", ".join(f"toString({self.quoted(column)})" for column in columns)
        return [tuple(row) for row in self.server.rows(f"SELECT {listed} FROM {self.database}.{self.quoted(table)} FINAL")]

    @staticmethod
    def columns_of_kinds() -> str:
        # Bytes are no text.
        return ", ".join(["id", *(r"if(by IS NULL, NULL, concat('\\x', lower(hex(by))))" if name == "by" else f"`{name}`" for name in kinds.TYPES)])

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        return [dict(zip(("id", *kinds.TYPES), row)) for row in
                self.server.rows(f"SELECT {self.columns_of_kinds()} FROM {self.database}.kinds FINAL")]


class ClickhouseEvents(Clickhouse):
    """Its events, played from the first to the last, have to give the rows, and none may be there twice."""

    crash_points = ("clickhouse.table_written", "rows.after_write")
    refused = None
    keeps_columns_of_rows = False

    def options(self) -> str:
        return super().options() + ", as: events"

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        listed = ", ".join(f"toString({self.quoted(column)})" for column in columns)
        return [tuple(row.get(column) for column in columns) for row in self.played(self.quoted(table), listed, columns, as_text)]

    def played(self, table: str, listed: str, columns: tuple[str, ...], old_value: Callable) -> list[dict]:
        state: dict[tuple, dict] = {}
        last = "0"
        for op, version, old, unchanged, *values in self.server.rows(
                f"SELECT _op, _version, _old, _unchanged, {listed} FROM {self.database}.{table} ORDER BY _version"):
            assert op == "r" or version != last, "an event is there twice"
            last = version
            row = dict(zip(columns, values))
            event = {"op": op} | ({"old": {name: old_value(value) for name, value in json.loads(old).items()}} if old else {})
            if op not in "dt":
                kept = json.loads(unchanged)
                event |= {"row": {name: value for name, value in row.items() if name not in kept}, "unchanged": kept}
            play(event, state)
        return list(state.values())

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        return self.played("kinds", self.columns_of_kinds(), ("id", *kinds.TYPES), lambda value: value)


class Lake(FilesUnderTest):
    """Its events, played from the first to the last, have to give the rows, and none may be there twice."""

    kind = "lake"
    crash_points = ("lake.object_staged", "lake.before_commit", "lake.committed", "lake.object_published", "lake.published")
    refused = ("numeric(10,2)", "'NaN'")
    keeps_columns_of_rows = False
    beside = "    batch: {wait: 100ms}\n"
    form = "parquet"

    @property
    def place(self) -> str:
        return str(self.directory / "lake")

    def options(self) -> str:
        return f'url: "file://{self.place}", format: {self.form}'

    def connection(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect()

    def events(self, schema: str, table: str) -> list[dict]:
        return lake_events(self.connection(), self.place, schema, table, self.form)

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        return [tuple(as_text(row.get(column)) for column in columns) for row in self.played(self.events(schema, table))]

    @staticmethod
    def played(events: list[dict]) -> list[dict]:
        state: dict[tuple, dict] = {}
        last = -1
        for event in events:
            assert event["seq"] > last or event["op"] == "r", "an event is there twice"
            last = event["seq"]
            play(event, state)
        return list(state.values())

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        return self.played(lake_values(self.place, "public", "kinds", self.form))


class LakeDuckLake(Lake):
    """The same in tables of DuckLake, read by DuckDB's own extension."""

    crash_points = ("ducklake.file_written", "ducklake.before_commit", "ducklake.committing", "ducklake.committed")

    @property
    def catalog(self) -> Path:
        return self.directory / "catalog.sqlite"

    def options(self) -> str:
        return f'url: "file://{self.place}", layout: ducklake, catalog: "sqlite:{self.catalog}"'

    def events(self, schema: str, table: str) -> list[dict]:
        with ducklake.attached(self.catalog) as connection:
            return ducklake.events(connection, schema, table) if ducklake.has_table(connection, schema, table) else []


class LakeAvro(Lake):
    """The same as Avro's files."""

    crash_points = ("lake.object_staged",)
    form = "avro"


@functools.cache
def s3_server() -> S3Server:
    """One server for all tests of a worker; each has a bucket of its own."""
    server = make_server()
    atexit.register(server.close)
    return server


class LakeS3(ServerUnderTest, Lake):
    """The same in a bucket, as JSON lines."""

    crash_points = ("lake.committed", "lake.object_published")
    refused = None
    form = "json"
    numbers = itertools.count(1)

    def __init__(self, directory: Path):
        super().__init__(directory, s3_server())
        self.bucket = f"conformance-{next(self.numbers)}"
        self.server.make_bucket(self.bucket)

    @property
    def place(self) -> str:
        """A copy of what is there now."""
        into = Path(tempfile.mkdtemp(dir=self.directory))
        return str(self.server.download(self.bucket, "a lake/", into))

    def options(self) -> str:
        return (f'url: "s3://{self.bucket}/a lake", endpoint: "http://127.0.0.1:{self.proxy.port}", format: {self.form}, '
                f'access_key_id: {KEY}, secret_access_key: "{SECRET}", timeout: 3s')

    def close(self) -> None:
        self.proxy.close()


@functools.cache
def snowflake_server() -> SnowflakeServer:
    """One server for all tests of a worker; each has a database of its own."""
    server = SnowflakeServer()
    atexit.register(server.close)
    return server


class Snowflake(ServerUnderTest):
    kind = "snowflake"
    crash_points = ("warehouse.table_made", "warehouse.loaded", "warehouse.merged", "warehouse.before_commit", "warehouse.committed",
                    "rows.after_write")
    refused = ("numeric(10,2)", "'NaN'")
    beside = "    batch: {wait: 100ms}\n"
    numbers = itertools.count(1)

    def __init__(self, directory: Path):
        super().__init__(directory, snowflake_server())
        self.database = f"CONFORMANCE_{next(self.numbers)}"

    def options(self) -> str:
        return (f'account: TEST-ACCOUNT, user: cdc, password: any, warehouse: WH, database: {self.database}, '
                f'endpoint: "http://127.0.0.1:{self.proxy.port}", timeout: 15s')

    def close(self) -> None:
        self.proxy.close()

    def rows(self, schema: str, table: str, columns: tuple[str, ...]) -> list[tuple]:
        listed = ", ".join(f"{snowflake_name(column)}::VARCHAR" for column in columns)
        return [tuple(row) for row in self.server.rows(f'SELECT {listed} FROM "{self.database}"."PUBLIC".{snowflake_name(table)}')]

    def kinds(self, query: Callable[[str], list[tuple]]) -> list[dict]:
        columns = ("id", *kinds.TYPES)
        listed = ", ".join(map(snowflake_name, columns))
        read = [dict(zip(columns, row)) for row in self.server.rows(f'SELECT {listed} FROM "{self.database}"."PUBLIC"."KINDS"')]
        return [kinds.of_texts(row | {"by": None if row["by"] is None else "\\x" + row["by"]}, query) for row in read]

    @contextmanager
    def failing_within(self, step: int) -> Iterator[None]:
        # The driver would try again by itself where a connection is cut.
        pattern = ('COPY INTO "TAILRACE_[0-9A-F]*_1"', 'MERGE INTO .*"THIRD"', "COMMIT")[step]
        before = len(self.server.statements())
        self.server.set_faults(refuse=[[pattern, "000603", "XX000", "SQL execution internal error"]])
        yield
        deadline = time.monotonic() + 20
        while not any(re.match(pattern, statement) for statement in self.server.statements()[before:]) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.server.set_faults()


TARGETS: tuple[type[TargetUnderTest], ...] = (Duckdb, Clickhouse, ClickhouseEvents, Redis, RedisJson, RedisStream, Webhook,
                                                WebhookBatches, Lake, LakeAvro, LakeS3, LakeDuckLake, Snowflake)

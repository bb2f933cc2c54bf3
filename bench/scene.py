"""The servers behind the targets that are measured, each private to one run of the benchmarks, and what a sink's options are there."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

from programs import Pipeline
from server import Server, free_port

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))

from e2e.clickhouse_server import ClickhouseServer  # noqa: E402
from e2e.redis_server import RedisServer  # noqa: E402
from e2e.s3_server import KEY, SECRET, S3Server  # noqa: E402

DATABASES = 200


class Scene:
    """One server of each kind. Pipelines get places of their own in them. The caller closes it."""

    def __init__(self):
        self.clickhouse = ClickhouseServer()
        # Redis' own way to keep a file, without the copies of the whole that it makes of a file that grows fast.
        self.redis = RedisServer("--databases", str(DATABASES), "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
        self.s3 = S3Server()
        #: One that is there for the first copy and is killed then.
        self.doomed = RedisServer("--databases", str(DATABASES))
        self._numbers = itertools.count(1)
        self._receiver_port = free_port()
        self._receiver: subprocess.Popen | None = None

    def _place(self, kind: str, number: int, directory: Path) -> dict:
        if kind == "duckdb":
            return {"duckdb": {"path": str(directory / "target.duckdb")}}
        if kind == "clickhouse":
            self.clickhouse.run(f"CREATE DATABASE bench_{number}")
            return {"clickhouse": {"url": self.clickhouse.url(f"bench_{number}")}}
        if kind == "redis":
            return {"redis": {"url": f"redis://127.0.0.1:{self.redis.port}/{number}"}}
        if kind == "dead":
            return {"redis": {"url": f"redis://127.0.0.1:{self.doomed.port}/{number}"}}
        if kind == "lake":
            self.s3.make_bucket(f"bench-{number}")
            return {"lake": {"url": f"s3://bench-{number}/lake", "endpoint": f"http://127.0.0.1:{self.s3.port}",
                             "access_key_id": KEY, "secret_access_key": SECRET},
                    # What is gathered last is not to wait for ten seconds.
                    "batch": {"bytes": "64MiB", "wait": "500ms"}}
        if kind == "webhook":
            return {"webhook": {"url": f"http://127.0.0.1:{self._receiver_port}/", "batch": {"rows": 100}}}
        raise ValueError(kind)

    def start_receiver(self) -> None:
        self._receiver = subprocess.Popen([sys.executable, Path(__file__).with_name("receiver.py"), str(self._receiver_port)],
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._receiver.stdout.readline() != "ready\n":
            raise RuntimeError("the receiver of webhooks does not start")

    def received(self) -> list[tuple[float, int]]:
        """When which `n` of pulse came; the receiver ends."""
        out, _ = self._receiver.communicate(timeout=60)
        return [(at, n) for n, at in json.loads(out)]

    def pipeline(self, server: Server, kinds: tuple[str, ...], tables: list[str]) -> "Place":
        return Place(self, server, kinds, tables, next(self._numbers))

    def close(self) -> None:
        for server in (self.clickhouse, self.redis, self.s3, self.doomed):
            server.close()
        if self._receiver is not None and self._receiver.poll() is None:
            self._receiver.kill()


class Place(Pipeline):
    """A pipeline with sinks in the scene's servers; what it wrote there goes with it."""

    def __init__(self, scene: Scene, server: Server, kinds: tuple[str, ...], tables: list[str], number: int):
        self.scene, self.kinds, self.number = scene, kinds, number
        super().__init__(server, f"sinks{number}", tables,
                         lambda directory: {kind: scene._place(kind, number, directory) for kind in kinds})

    def rows_of(self, kind: str, table: str) -> int:
        """How many the target has, by another reader than Tailrace."""
        if kind == "duckdb":
            return self.rows(table)
        if kind == "clickhouse":
            return int(self.scene.clickhouse.rows(f"SELECT count() FROM bench_{self.number}.{table} FINAL")[0][0])
        if kind == "redis":
            # One key is the sink's own state.
            return self.scene.redis.client(db=self.number).dbsize() - 1
        import pyarrow.parquet
        root = self.scene.s3.directory / "data" / f"bench-{self.number}"
        return sum(pyarrow.parquet.ParquetFile(file).metadata.num_rows for file in root.rglob("*.parquet")
                   if f"/{table}/" in str(file) and ".sgwtmp" not in file.parts)

    def close(self) -> None:
        if "clickhouse" in self.kinds:
            self.scene.clickhouse.run(f"DROP DATABASE bench_{self.number}")
        if "redis" in self.kinds:
            self.scene.redis.client(db=self.number).flushdb()
        if "lake" in self.kinds:
            shutil.rmtree(self.scene.s3.directory / "data" / f"bench-{self.number}", ignore_errors=True)
        super().close()

"""A private Redis server: started, killed and removed by one test."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from e2e.cluster import ReservedPort
from e2e.shop import Shop

START_TIMEOUT_S = 20
ORDERS = "SELECT id::text, customer::text, total::text, state::text, tags::text, note::text FROM orders"
COLUMNS = ("id", "customer", "total", "state", "tags", "note")


class RedisServer:
    """One directory and the server on it, which syncs every write. The caller closes it; closing removes everything."""

    def __init__(self, *options: str):
        if shutil.which("redis-server") is None:
            raise RuntimeError("no redis-server: run tools/bootstrap")
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-redis-"))
        self.options = list(options)
        self._process: subprocess.Popen | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, **options)

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory),
                   "--appendonly", "yes", "--appendfsync", "always", "--save", "", *self.options]
        with open(self.directory / "server.log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                self.client().ping()
                return
            except redis.exceptions.AuthenticationError:
                return
            except (redis.exceptions.ConnectionError, redis.exceptions.BusyLoadingError):
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
        raise RuntimeError(f"redis-server does not start: {(self.directory / 'server.log').read_text()}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reserved.release()
        shutil.rmtree(self.directory, ignore_errors=True)


def hashes(server: RedisServer, pattern: str) -> dict[str, dict[str, str]]:
    client = server.client()
    keys = list(client.scan_iter(pattern, count=1000))
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return dict(zip(keys, pipeline.execute()))


def assert_same_orders(mirror: Shop, server: RedisServer) -> None:
    expected = {f"public.orders:{row[0]}": {name: value for name, value in zip(COLUMNS, row) if value is not None}
                for row in mirror.cluster.query(ORDERS, database=mirror.database)}
    assert hashes(server, "public.orders:*") == expected


def start(mirror: Shop, server: RedisServer, *options: str) -> None:
    mirror.target = server.url
    mirror.start(*options)


def run_file(mirror: Shop, sink: str, *options: str) -> None:
    """A pipeline file with one Redis sink; `sink`: the keys below `redis:`, as flow YAML."""
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\n"
                    f"log:\n  journal: {{path: {mirror.tailrace.state}}}\nsinks:\n  cache:\n    redis: {{{sink}}}\n")
    mirror.process = mirror.tailrace.start("run", file, *options)


def counts(mirror: Shop) -> dict:
    return mirror.tailrace.status()["sinks"][0]

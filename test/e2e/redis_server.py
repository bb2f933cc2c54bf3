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

    def __init__(self, *options: str, terms: dict | None = None):
        """`terms`: what its clients need besides the port."""
        if shutil.which("redis-server") is None:
            raise RuntimeError("no redis-server: run tools/bootstrap")
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-redis-"))
        self.options = list(options)
        self.terms = terms or {}
        self._process: subprocess.Popen | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, **options) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, **self.terms, **options)

    def start(self) -> None:
        port = ["--port", "0", "--tls-port"] if self.terms.get("ssl") else ["--port"]
        command = ["redis-server", *port, str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory),
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


class RedisCluster:
    """Three nodes that share the slots. The caller closes it."""

    def __init__(self):
        self._buses = [ReservedPort() for _ in range(3)]
        self.nodes = [RedisServer("--cluster-enabled", "yes", "--cluster-port", str(bus.number)) for bus in self._buses]
        places = [f"127.0.0.1:{node.port}" for node in self.nodes]
        made = subprocess.run(["redis-cli", "--cluster", "create", *places, "--cluster-yes"], capture_output=True, text=True, timeout=60, check=False)
        if made.returncode != 0:
            self.close()
            raise RuntimeError(f"no cluster: {made.stdout}{made.stderr}")
        deadline = time.monotonic() + START_TIMEOUT_S
        while any(node.client().cluster("INFO").get("cluster_state") != "ok" for node in self.nodes):
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster does not come up")
            time.sleep(0.05)

    def owner(self, key: str) -> RedisServer:
        """The node that has the key's slot."""
        slot = self.nodes[0].client().cluster("KEYSLOT", key)
        slots = self.nodes[0].client().execute_command("CLUSTER SLOTS")
        port = next(node[1] for first, last, node, *_ in slots if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        for bus in self._buses:
            bus.release()


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


def run_file(mirror: Shop, sink: str, *options: str, **environment: str) -> None:
    """A pipeline file with one Redis sink; `sink`: the keys below `redis:`, as flow YAML."""
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\n"
                    f"log:\n  journal: {{path: {mirror.tailrace.state}}}\nsinks:\n  cache:\n    redis: {{{sink}}}\n")
    mirror.process = mirror.tailrace.start("run", file, *options, environment=environment)


def counts(mirror: Shop) -> dict:
    return mirror.tailrace.status()["sinks"][0]

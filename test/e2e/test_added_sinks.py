"""A sink that is added to a pipeline while it runs, beside a writer: filled by a copy, and nobody else notices."""

import signal
import threading
import time

import pytest

from e2e.duckdb_file import rows
from e2e.redis_server import RedisServer, assert_same_orders
from e2e.shop import DIGEST, Shop
from e2e.tailrace import Exit

# The copy of the shop lasts some seconds.
FILE = """name: shop
source: {{postgres: {{url: "{url}", snapshot: {{rows_per_second: {pace}}}}}}}
log: {{journal: {{path: {state}}}}}
sinks: {{{sinks}}}
"""
LONGEST_LAG_S = 3


class Writer:
    """Changes orders all the time, from one thread."""

    def __init__(self, mirror: Shop):
        self.mirror, self.over = mirror, threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self) -> None:
        with self.mirror.cluster.connect(self.mirror.database) as connection:
            turn = 0
            while not self.over.is_set():
                turn += 1
                connection.execute("INSERT INTO orders (customer, total) VALUES (1, %s)", [turn])
                connection.execute("UPDATE orders SET total = total + 1 WHERE id %% 50 = %s", [turn % 50])
                connection.execute("DELETE FROM orders WHERE id %% 97 = %s AND id < 1000", [turn % 97])
                time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def added(mirror: Shop, redis: RedisServer, kind: str) -> str:
    return f"second: {{duckdb: {{path: {mirror.target.with_name('second.duckdb')}}}}}" if kind == "duckdb" else \
        f'second: {{redis: {{url: "{redis.url}"}}}}'


@pytest.mark.parametrize("kind", ["duckdb", "redis"])
@pytest.mark.parametrize("how", ["reload", "restart"])
def test_an_added_sink_is_filled_beside_a_writer_and_the_others_keep_pace(mirror: Shop, redis: RedisServer, kind: str, how: str):
    file = mirror.tailrace.directory / "shop.yaml"
    first = f"warehouse: {{duckdb: {{path: {mirror.target}}}}}"

    def write(pace: int, sinks: str) -> None:
        file.write_text(FILE.format(url=mirror.cluster.url(mirror.database), pace=pace, state=mirror.tailrace.state, sinks=sinks))

    write(0, first)
    mirror.process = mirror.tailrace.start("run", file)
    mirror.wait()
    with Writer(mirror):
        write(300, f"{first}, {added(mirror, redis, kind)}")
        if how == "reload":
            mirror.process.signal(signal.SIGHUP)
        else:
            mirror.stop()
            mirror.process = mirror.tailrace.start("run", file)
        lags = []
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline and mirror.process.code is None, mirror.process.err()
            try:
                sinks = {sink["name"]: sink for sink in mirror.tailrace.status()["sinks"]}
            except RuntimeError:
                continue
            if "second" not in sinks:
                continue
            lags.append((sinks["second"]["state"], sinks["warehouse"]["lag_seconds"], sinks["warehouse"]["state"]))
            if sinks["second"]["state"] == "streaming" and len(lags) > 5:
                break
            time.sleep(0.02)
    beside = [(lag, state) for second, lag, state in lags if second == "copying" and state == "streaming"]
    assert len(beside) > 5 and max(lag for lag, _ in beside) < LONGEST_LAG_S, lags
    mirror.wait()
    assert mirror.tailrace.command("wait", "shop", "--state", mirror.tailrace.state).code == Exit.DONE
    mirror.stop()
    mirror.assert_equal()
    if kind == "redis":
        assert_same_orders(mirror, redis)
    else:
        digest = DIGEST.format("public.")
        assert rows(mirror.target.with_name("second.duckdb"), digest) == rows(mirror.target, digest)

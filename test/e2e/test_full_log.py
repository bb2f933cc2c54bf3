"""A log that is full because a sink does not take from it: the sink is let go, the others go on, and it is made right later."""

import time

import pytest

from e2e.duckdb_file import rows
from e2e.redis_server import RedisServer, assert_same_orders
from e2e.shop import Shop
from e2e.tailrace import Exit

FILE = """name: shop
source: {{postgres: {{url: "{url}"}}}}
log: {{journal: {{path: {state}, max_size: 16MiB, on_full: {on_full}}}}}
sinks:
  warehouse: {{duckdb: {{path: {target}, history: true}}}}
  cache: {{redis: {{url: "{redis}"{form}}}, breaker: {{recovery: 1s}}}}
"""
# Small segments, nothing kept once it is had, and a sink that works has a second to make room.
QUICK = {"TAILRACE_BOUND_SEGMENT_BYTES": str(2 << 20), "TAILRACE_BOUND_KEEP_SECONDS": "0", "TAILRACE_BOUND_DETACH_MS": "1000"}
THREE_MEBIBYTES = ("INSERT INTO orders (customer, total, note) SELECT 1, g, to_jsonb(repeat(md5(g::text), 30)) "
                   "FROM generate_series(1, 3000) g")


def run(mirror: Shop, redis: RedisServer, form: str = "", on_full: str = "detach", **environment: str) -> None:
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(FILE.format(url=mirror.cluster.url(mirror.database), state=mirror.tailrace.state, target=mirror.target,
                                redis=redis.url, form=form, on_full=on_full))
    mirror.process = mirror.tailrace.start("run", file, environment={**QUICK, **environment})


def command(mirror: Shop, *words: str):
    return mirror.tailrace.command(words[0], "shop", *words[1:], "--state", mirror.tailrace.state)


def sink(mirror: Shop, name: str) -> dict:
    return next(one for one in mirror.tailrace.status()["sinks"] if one["name"] == name)


def fill_until(mirror: Shop, reached, what: str, beside: str = "") -> None:
    """No faster than the sink `beside` takes it, which is not let go so."""
    deadline = time.monotonic() + 90
    while not reached():
        assert time.monotonic() < deadline and mirror.process.code is None, f"{what}: {mirror.process.err()}"
        mirror.cluster.execute(THREE_MEBIBYTES, "DELETE FROM orders WHERE id % 3 = 0", database=mirror.database)
        if beside:
            command(mirror, "wait", "--sink", beside, "--timeout", "5s")
        time.sleep(0.2)


def is_let_go(mirror: Shop, name: str):
    return lambda: sink(mirror, name)["state"] == "detached"


def numbers(lsn: str) -> int:
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


@pytest.mark.smoke
def test_a_dead_sink_is_let_go_and_made_right_when_it_is_back(mirror: Shop, redis: RedisServer):
    # Time enough for the one that works, also where a sanitizer slows it.
    run(mirror, redis, TAILRACE_BOUND_DETACH_MS="6000")
    mirror.wait()
    redis.kill()
    fill_until(mirror, is_let_go(mirror, "cache"), "the sink is kept", beside="warehouse")
    told = next(problem for problem in mirror.problems() if problem["code"] == "TR230")
    assert "cache" in told["what"] and "resume" in told["remedy"]
    # The others go on, and the log lets go of what only that sink lacked.
    fill_until(mirror, lambda: numbers(mirror.tailrace.status()["log"]["oldest_lsn"]) > numbers(sink(mirror, "cache")["durable_lsn"]),
               "the log is kept", beside="warehouse")
    assert command(mirror, "wait", "--sink", "warehouse", "--timeout", "60s").code == Exit.DONE
    assert command(mirror, "wait", "--timeout", "1s").code == Exit.TIMEOUT
    redis.start()
    assert command(mirror, "resume", "--sink", "cache").code == Exit.DONE
    mirror.change()
    mirror.wait()
    assert "TR230" not in {problem["code"] for problem in mirror.problems()}
    mirror.stop()
    assert_same_orders(mirror, redis)
    mirror.assert_equal()


@pytest.mark.parametrize("point", ["sink_detached", "attach_begun", "attach_flushed", "rows.copy_mid"])
def test_a_crash_at_any_step_of_it_is_gone_on_from(mirror: Shop, redis: RedisServer, point: str):
    run(mirror, redis, **({"TAILRACE_CRASH_AT": "sink_detached:1"} if point == "sink_detached" else {}))
    mirror.wait()
    redis.kill()
    if point == "sink_detached":
        with pytest.raises((AssertionError, RuntimeError)):
            fill_until(mirror, is_let_go(mirror, "cache"), "killed")
        assert mirror.process.wait(30) < 0
    else:
        fill_until(mirror, is_let_go(mirror, "cache"), "the sink is kept")
        fill_until(mirror, lambda: numbers(mirror.tailrace.status()["log"]["oldest_lsn"]) > numbers(sink(mirror, "cache")["durable_lsn"]),
                   "the log is kept")
        mirror.process.kill()
        redis.start()
        run(mirror, redis, TAILRACE_CRASH_AT=f"{point}:1")
        assert mirror.process.wait(60) < 0, "the point was not reached"
        redis.kill()
    redis.start()
    run(mirror, redis)
    mirror.wait()
    mirror.change()
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)
    mirror.assert_equal()


def test_a_duckdb_file_that_is_held_too_long_is_copied_beside_the_stream_afterwards(mirror: Shop, redis: RedisServer):
    run(mirror, redis)
    mirror.wait()
    assert command(mirror, "pause", "--sink", "warehouse").code == Exit.DONE
    before = numbers(sink(mirror, "warehouse")["durable_lsn"])
    fill_until(mirror, lambda: numbers(mirror.tailrace.status()["log"]["oldest_lsn"]) > before, "the log is kept")
    assert "TR230" in {problem["code"] for problem in mirror.problems()}
    assert command(mirror, "wait", "--sink", "cache", "--timeout", "60s").code == Exit.DONE
    assert command(mirror, "resume", "--sink", "warehouse").code == Exit.DONE
    mirror.change()
    assert command(mirror, "wait", "--timeout", "60s").code == Exit.DONE
    mirror.stop()
    assert_same_orders(mirror, redis)
    mirror.assert_equal()
    # What was not seen stands in no history: the one before ends, and a new one begins.
    histories = rows(mirror.target, "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'orders__history_until_%'")
    assert histories == [(1,)]


def test_a_sink_that_tells_of_every_change_is_never_let_go(mirror: Shop, redis: RedisServer):
    run(mirror, redis, form=", as: stream")
    mirror.wait()
    redis.kill()
    deadline = time.monotonic() + 90
    with mirror.cluster.connect(mirror.database) as writer:
        while not any(problem["code"] == "TR231" for problem in mirror.problems()):
            assert time.monotonic() < deadline, mirror.process.err()
            writer.execute(THREE_MEBIBYTES)
            time.sleep(0.2)
    assert sink(mirror, "cache")["state"] == "retrying"
    redis.start()
    mirror.wait()
    mirror.stop()
    count = mirror.cluster.query("SELECT count(*) FROM orders", database=mirror.database)[0][0]
    assert redis.client().xlen("public.orders") == count
    mirror.assert_equal()

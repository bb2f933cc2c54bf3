"""A person holds a sink: paused and resumed, taken back to an earlier place, copied anew."""

import time

import pytest

from e2e.changing import copied_again
from e2e.redis_server import RedisServer, assert_same_orders, counts, hashes, run_file, start
from e2e.shop import Shop
from e2e.tailrace import Exit


def command(mirror: Shop, *words: str):
    return mirror.tailrace.command(words[0], "shop", *words[1:], "--state", mirror.tailrace.state)


def until(condition, what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_paused_sink_stands_still_over_restarts_until_it_is_resumed(mirror: Shop, redis: RedisServer):
    start(mirror, redis)
    mirror.wait()
    assert command(mirror, "pause", "--sink", "mirror").code == Exit.DONE
    until(lambda: counts(mirror)["state"] == "paused", "it goes on")
    before = hashes(redis, "public.orders:*")
    mirror.change()
    time.sleep(0.5)
    mirror.stop()
    start(mirror, redis)
    until(lambda: counts(mirror)["state"] == "paused", "the restart forgot it")
    assert hashes(redis, "public.orders:*") == before
    assert command(mirror, "resume").code == Exit.DONE
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_a_stopped_pipeline_can_be_told_too_and_does_not_wait_for_what_is_paused(mirror: Shop, redis: RedisServer):
    start(mirror, redis, "--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE
    assert command(mirror, "pause").code == Exit.DONE
    start(mirror, redis, "--until-caught-up")
    assert mirror.process.wait(60) == Exit.UNREACHABLE
    assert "TR695" in mirror.process.err()
    assert command(mirror, "resume", "--sink", "nobody").code == Exit.REQUEST
    assert command(mirror, "resume", "--sink", "mirror").code == Exit.DONE
    mirror.change()
    start(mirror, redis, "--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE
    assert_same_orders(mirror, redis)


def test_a_paused_duckdb_file_is_free_for_others(mirror: Shop):
    mirror.start()
    mirror.wait()
    assert command(mirror, "pause").code == Exit.DONE
    until(lambda: counts(mirror)["state"] == "paused", "it goes on")
    mirror.assert_equal()
    mirror.change()
    assert command(mirror, "resume").code == Exit.DONE
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


@pytest.mark.parametrize("by", ["lsn", "time"])
def test_a_sink_that_is_taken_back_ends_at_the_same_rows(mirror: Shop, redis: RedisServer, by: str):
    start(mirror, redis)
    mirror.wait()
    mirror.change()
    lsn, moment = mirror.cluster.query("SELECT pg_current_wal_lsn()::text, clock_timestamp()::text", database=mirror.database)[0]
    mirror.change()
    mirror.cluster.execute("TRUNCATE orders", "INSERT INTO orders (customer, total) VALUES (1, 1)", database=mirror.database)
    mirror.wait()
    received = counts(mirror)["rows_received"]
    answer = command(mirror, "rewind", "--sink", "mirror", "--to", lsn if by == "lsn" else moment)
    assert answer.code == Exit.DONE, answer
    until(lambda: counts(mirror)["rows_received"] > received, "nothing comes again")
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_every_event_behind_the_place_comes_again_and_an_entry_is_there_once(mirror: Shop, redis: RedisServer):
    run_file(mirror, f'url: "{redis.url}", as: stream')
    mirror.wait()
    lsn = mirror.cluster.query("SELECT pg_current_wal_lsn()::text", database=mirror.database)[0][0]
    mirror.cluster.execute("INSERT INTO empty_table SELECT g, 'x' FROM generate_series(1, 100) g", database=mirror.database)
    mirror.wait()
    assert command(mirror, "rewind", "--sink", "cache", "--to", lsn).code == Exit.DONE
    until(lambda: counts(mirror)["rows_received"] >= 200, "nothing comes again")
    mirror.wait()
    mirror.stop()
    assert redis.client().xlen("public.empty_table") == 100


def test_a_target_that_holds_the_rows_of_its_place_is_not_taken_back(mirror: Shop):
    mirror.start()
    mirror.wait()
    answer = command(mirror, "rewind", "--sink", "mirror", "--to", "0/1")
    assert answer.code == Exit.UNREACHABLE and "TR694" in answer.err
    assert command(mirror, "rewind", "--sink", "mirror", "--to", "yesterday").code == Exit.REQUEST
    mirror.change()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


def test_a_table_is_copied_anew_on_request(mirror: Shop, redis: RedisServer):
    start(mirror, redis, "--log-level", "info")
    mirror.wait()
    redis.client().delete("public.orders:5", "public.orders:6")
    assert command(mirror, "snapshot", "public.orders").code == Exit.DONE
    until(lambda: len(hashes(redis, "public.orders:*")) == 1000, "it is not copied")
    mirror.change()
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_every_table_of_one_sink_is_copied_again_as_it_is_now(mirror: Shop, redis: RedisServer):
    start(mirror, redis)
    mirror.wait()
    client = redis.client()
    client.delete("public.orders:5", "public.customers:7")
    client.hset("public.customers:8", "name", "somebody else")
    assert command(mirror, "rewind", "--sink", "nobody", "--to", "snapshot").code == Exit.REQUEST
    assert command(mirror, "rewind", "--sink", "mirror", "--to", "snapshot").code == Exit.DONE
    until(lambda: client.exists("public.orders:5", "public.customers:7") == 2, "they are not copied")
    mirror.change()
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)
    found = sorted((int(row["id"]), row["name"]) for row in hashes(redis, "public.customers:*").values())
    assert found == mirror.cluster.query("SELECT id, name FROM customers ORDER BY id", database=mirror.database)


def test_every_table_of_a_duckdb_file_is_copied_again_beside_the_stream(mirror: Shop):
    mirror.start("--log-level", "info")
    mirror.wait()
    assert command(mirror, "rewind", "--sink", "mirror", "--to", "snapshot").code == Exit.DONE
    mirror.change()
    until(lambda: copied_again(mirror) == 3, "not every table is copied")
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()

"""`wait`: what it promises is there."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.redis_server import RedisServer, run_file
from e2e.shop import Shop
from e2e.tailrace import Exit

EVERYTHING = ("--timeout", "60s")
# Stored outside of its row, so that a change of other columns does not send it.
LARGE = "SELECT string_agg(md5(g::text || {seed}), '') FROM generate_series(1, 400) g"


def wait(shop: Shop, *options: str):
    return shop.tailrace.command("wait", "shop", "--state", shop.tailrace.state, *options)


@contextmanager
def changed_and_locked(cluster: Cluster, database: str, change: str, table: str) -> Iterator[None]:
    """The change is committed, and nobody reads the table from that very moment on."""
    with cluster.connect(database) as writer, cluster.connect(database) as locker, ThreadPoolExecutor(1) as other:
        writer.execute("BEGIN")
        writer.execute(change)
        locker.execute("BEGIN")
        locked = other.submit(locker.execute, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        while not cluster.query("SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'", database):
            time.sleep(0.01)
        writer.execute("COMMIT")
        locked.result(30)
        yield
        locker.execute("ROLLBACK")


@pytest.mark.smoke
def test_rows_whose_values_are_still_read_from_the_source_are_waited_for(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute("CREATE TABLE papers (id int PRIMARY KEY, n int, text text)",
                           "ALTER TABLE papers ALTER COLUMN text SET STORAGE EXTERNAL",
                           f"INSERT INTO papers SELECT g, 0, ({LARGE.format(seed=1)}) FROM generate_series(1, 3) g",
                           database=mirror.database)
    run_file(mirror, f'url: "{redis.url}", as: json')
    mirror.wait()
    with changed_and_locked(mirror.cluster, mirror.database, "UPDATE papers SET n = 1", "papers"):
        answer = wait(mirror, "--timeout", "2s")
        assert answer.code == Exit.TIMEOUT and "lack a value that is read from the source" in answer.err, answer
    assert wait(mirror, *EVERYTHING).code == Exit.DONE
    whole = dict(mirror.cluster.query("SELECT id, text FROM papers", database=mirror.database))
    for key, text in whole.items():
        row = json.loads(redis.client().get(f"public.papers:{key}"))
        assert row["n"] in (1, "1") and row["text"] == text
    mirror.stop()


def test_a_table_that_the_target_cannot_have_is_told_of_and_can_be_left_out_of_account(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute("CREATE TABLE keyless (n int)", "ALTER TABLE keyless REPLICA IDENTITY FULL", "INSERT INTO keyless VALUES (1)",
                           database=mirror.database)
    run_file(mirror, f'url: "{redis.url}"')
    mirror.wait()
    answer = wait(mirror, *EVERYTHING)
    assert answer.code == Exit.NO and "TR229" in answer.err and "public.keyless" in answer.err, answer
    assert wait(mirror, "--allow-held", *EVERYTHING).code == Exit.DONE
    assert wait(mirror, "--allow-held", "--sink", "cache", *EVERYTHING).code == Exit.DONE
    mirror.stop()


def test_a_table_that_is_still_copied_is_waited_for(mirror: Shop):
    mirror.cluster.execute("CREATE PUBLICATION tailrace_shop FOR ALL TABLES", database=mirror.database)
    mirror.start()
    mirror.wait()
    with mirror.cluster.connect(mirror.database) as open_one:
        # A copy waits for transactions that have not ended.
        open_one.execute("BEGIN")
        open_one.execute("SELECT pg_current_xact_id()")
        mirror.cluster.execute("CREATE TABLE late AS SELECT g AS id FROM generate_series(1, 100) g", "ALTER TABLE late ADD PRIMARY KEY (id)",
                               "INSERT INTO late VALUES (101)", database=mirror.database)
        assert wait(mirror, "--allow-held", *EVERYTHING).code == Exit.DONE
        answer = wait(mirror, "--timeout", "2s")
        assert answer.code == Exit.TIMEOUT and "late" in answer.err, answer
        open_one.execute("ROLLBACK")
    assert wait(mirror, *EVERYTHING).code == Exit.DONE
    mirror.stop()
    assert rows(mirror.target, "SELECT count(*) FROM public.late") == [(101,)]

"""What came with version 18 of the server."""

import time

import pytest

from e2e.changing import assert_columns, assert_same, settle
from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.shop import SHOP, Shop
from e2e.tailrace import Exit, Tailrace

pytestmark = pytest.mark.server


def test_a_slot_that_the_server_gave_up_for_its_idleness_is_named(own_cluster: Cluster, tailrace: Tailrace):
    own_cluster.execute(*SHOP)
    shop = Shop(own_cluster, "postgres", tailrace)
    shop.start("--until-caught-up")
    assert shop.process.wait(60) == Exit.DONE, shop.process.err()
    own_cluster.execute("ALTER SYSTEM SET idle_replication_slot_timeout = '1s'", "SELECT pg_reload_conf()")
    deadline = time.monotonic() + 60
    while own_cluster.query("SELECT invalidation_reason FROM pg_replication_slots") != [("idle_timeout",)]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        own_cluster.execute("CHECKPOINT")
    before = rows(shop.target, "SELECT count(*) FROM public.orders")
    shop.change()
    for _ in range(2):
        shop.start("--until-caught-up")
        assert shop.process.wait(60) == Exit.UNREACHABLE, shop.process.err()
        assert "[TR114]" in shop.process.err() and "help: " in shop.process.err(), shop.process.err()
    assert rows(shop.target, "SELECT count(*) FROM public.orders") == before


def test_a_span_of_time_is_part_of_a_key(cluster: Cluster, database: str, tailrace: Tailrace):
    cluster.execute("CREATE TABLE stays (room int4range, during daterange, guest text, PRIMARY KEY (room, during WITHOUT OVERLAPS))",
                    "INSERT INTO stays VALUES ('[1,2)', '[2024-01-01,2024-02-01)', 'a'), ('[1,2)', '[2024-02-01,2024-03-01)', 'b'), "
                    "('[2,3)', '[2024-01-01,)', 'c')", database=database)
    shop = Shop(cluster, database, tailrace)
    shop.start("--history")
    shop.wait()
    cluster.execute("UPDATE stays SET guest = 'd' WHERE during @> '2024-02-10'::date AND room @> 1", "INSERT INTO stays VALUES ('[1,2)', '[2024-03-01,)', 'e')",
                    "UPDATE stays SET during = '[2024-01-01,2024-01-20)' WHERE guest = 'a'", "DELETE FROM stays WHERE guest = 'c'", database=database)
    shop.wait()
    assert shop.problems() == []
    shop.stop()
    query = "SELECT room::text, during::text, guest FROM {} ORDER BY 1, 2"
    expected = cluster.query(query.format("stays"), database=database)
    assert rows(shop.target, query.format("public.stays")) == expected
    assert rows(shop.target, query.format("(FROM public.stays__history WHERE is_current)")) == expected


def test_columns_that_are_computed_when_read_are_neither_copied_nor_missed(cluster: Cluster, database: str, tailrace: Tailrace):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2), thrice int GENERATED ALWAYS AS (a * 3) STORED, b text)",
                    "INSERT INTO t (id, a, b) VALUES (1, 1, 'x'), (2, 2, 'y')", database=database)
    shop = Shop(cluster, database, tailrace)
    shop.start()
    shop.wait()
    cluster.execute("UPDATE t SET a = 5 WHERE id = 1", "INSERT INTO t (id, a, b) VALUES (3, 3, 'z')", "DELETE FROM t WHERE id = 2", database=database)
    shop.wait()
    assert shop.problems() == []
    shop.stop()
    assert rows(shop.target, "SELECT * FROM public.t ORDER BY id") == [(1, 5, "x"), (3, 3, "z")]


def test_generated_columns_that_are_published_are_copied_followed_and_compared(cluster: Cluster, database: str, tailrace: Tailrace):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, thrice int GENERATED ALWAYS AS (a * 3), "
                    "large text GENERATED ALWAYS AS (repeat(md5(a::text), 400)) STORED, b text)", "ALTER TABLE t ALTER large SET STORAGE EXTERNAL",
                    "INSERT INTO t (id, a, b) SELECT g, g, 'x' FROM generate_series(1, 5) g",
                    "CREATE TABLE by_generated (a int, k int NOT NULL GENERATED ALWAYS AS (a + 1) STORED, b text)", "CREATE UNIQUE INDEX k ON by_generated (k)",
                    "ALTER TABLE by_generated REPLICA IDENTITY USING INDEX k", "INSERT INTO by_generated (a, b) VALUES (1, 'x'), (2, 'y'), (3, 'z')",
                    "CREATE PUBLICATION tailrace_shop FOR ALL TABLES WITH (publish_generated_columns = stored)", database=database)
    shop = Shop(cluster, database, tailrace)
    shop.start("--history", "--log-level", "info")
    shop.wait()
    cluster.execute("UPDATE t SET a = 50 WHERE id = 1", "UPDATE t SET b = 'y' WHERE id = 2", "INSERT INTO t (id, a, b) VALUES (6, 6, 'z'), (7, NULL, 'z')",
                    "DELETE FROM t WHERE id = 3", "ALTER TABLE t ALTER COLUMN twice SET EXPRESSION AS (a * 20)", "UPDATE t SET a = 40 WHERE id = 4",
                    "UPDATE by_generated SET a = 20 WHERE a = 2", "UPDATE by_generated SET b = 'w' WHERE a = 1", "DELETE FROM by_generated WHERE a = 3",
                    database=database)
    # What was computed by the older expression is read again.
    settle(shop)
    compared = tailrace.command("verify", "shop", "--state", tailrace.state)
    assert compared.code == Exit.DONE, compared
    shop.stop()
    assert_same(shop, "t", "id", "a", "twice", "large", "b")
    assert_columns(shop, "t", "id", "a", "twice", "large", "b")
    assert_same(shop, "by_generated", "a", "k", "b")

"""Partitions that come and go under their root, and tables that inherit."""

import pytest

from e2e.changing import assert_same, copied_again, execute, settle, until
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.test_changes_without_rows import run

MONTHS = ["CREATE TABLE logs (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
          "CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
          "CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (id)",
          "CREATE TABLE logs_2a PARTITION OF logs_2 FOR VALUES IN (1, 2, 3, 4)",
          "CREATE TABLE logs_2b PARTITION OF logs_2 DEFAULT",
          "INSERT INTO logs SELECT g, '2024-01-01'::date + g, 'v' FROM generate_series(1, 50) g"]
BY_ROOT = "CREATE PUBLICATION tailrace_shop FOR TABLE logs WITH (publish_via_partition_root = true)"


def start_by_root(mirror: Shop) -> None:
    execute(mirror, *MONTHS, BY_ROOT)
    mirror.start("--table", "public.logs", "--history", "--log-level", "info")
    mirror.wait()


@pytest.mark.server
def test_empty_partitions_are_made_and_filled_under_their_root_without_a_copy(mirror: Shop):
    start_by_root(mirror)
    execute(mirror, "CREATE TABLE logs_3 PARTITION OF logs FOR VALUES FROM ('2024-03-01') TO ('2024-04-01') PARTITION BY RANGE (day)",
            "CREATE TABLE logs_3a PARTITION OF logs_3 FOR VALUES FROM ('2024-03-01') TO ('2024-03-15')",
            "INSERT INTO logs VALUES (100, '2024-03-02', 'new')",
            "UPDATE logs SET day = '2024-03-03' WHERE id = 5")
    execute(mirror, "ALTER TABLE logs ADD COLUMN n int DEFAULT 4", "UPDATE logs SET v = 'x' WHERE id IN (1, 30, 45)")
    settle(mirror)
    assert copied_again(mirror) == 0
    mirror.stop()
    assert_same(mirror, "logs", "id", "day", "v", "n")


def test_partitions_with_rows_are_attached_and_detached_at_every_level(mirror: Shop):
    start_by_root(mirror)
    execute(mirror, "CREATE TABLE attached (id int, day date, v text, PRIMARY KEY (id, day))",
            "INSERT INTO attached SELECT g, '2024-03-01'::date + g % 30, 'a' FROM generate_series(200, 220) g",
            "ALTER TABLE logs ATTACH PARTITION attached FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')",
            "UPDATE logs SET v = 'x' WHERE id = 1")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 1, "what was attached is not copied")
    execute(mirror, "ALTER TABLE logs_2 DETACH PARTITION logs_2b", "INSERT INTO logs_2b VALUES (900, '2024-02-02', 'not ours')",
            "UPDATE logs SET v = 'y' WHERE id = 2")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 2, "what was detached stays")
    execute(mirror, "DROP TABLE logs_1", "UPDATE logs SET v = 'z' WHERE id = 205")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 3, "what was dropped stays")
    mirror.stop()
    assert_same(mirror, "logs", "id", "day", "v")
    current = "SELECT count(*) FROM public.logs__history WHERE is_current"
    assert rows(mirror.target, current) == mirror.cluster.query("SELECT count(*) FROM logs", database=mirror.database)


def test_partitions_that_stand_for_themselves_come_and_go(mirror: Shop):
    execute(mirror, *MONTHS, "CREATE PUBLICATION tailrace_shop FOR ALL TABLES")
    mirror.start("--log-level", "info")
    mirror.wait()
    execute(mirror, "CREATE TABLE attached (id int, day date, v text, PRIMARY KEY (id, day))",
            "INSERT INTO attached VALUES (300, '2024-03-02', 'a')",
            "ALTER TABLE logs ATTACH PARTITION attached FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')",
            "ALTER TABLE logs DETACH PARTITION logs_1", "INSERT INTO logs_1 VALUES (301, '2024-01-02', 'still ours')",
            "UPDATE logs SET v = 'x' WHERE id = 300", "CREATE TABLE logs_4 PARTITION OF logs FOR VALUES FROM ('2024-04-01') TO ('2024-05-01')",
            "INSERT INTO logs VALUES (302, '2024-04-02', 'b')")
    settle(mirror)
    mirror.stop()
    for table in ("logs_1", "logs_2a", "logs_2b", "logs_4", "attached"):
        assert_same(mirror, table, "id", "day", "v")


def test_rows_of_children_are_not_their_parents(mirror: Shop):
    execute(mirror, "CREATE TABLE base (id int PRIMARY KEY, v text)", "CREATE TABLE child (extra int, PRIMARY KEY (id)) INHERITS (base)",
            "CREATE TABLE grandchild (PRIMARY KEY (id)) INHERITS (child)", "INSERT INTO base VALUES (1, 'b')",
            "INSERT INTO child VALUES (1, 'c', 5)", "INSERT INTO grandchild VALUES (1, 'g', 6)",
            "CREATE PUBLICATION tailrace_shop FOR TABLE base")
    mirror.start("--table", "public.base", "--table", "public.child", "--table", "public.grandchild", "--log-level", "info")
    mirror.wait()
    execute(mirror, "UPDATE base SET v = v || '!'", "UPDATE ONLY base SET v = v || '?'", "ALTER TABLE base ADD COLUMN n int DEFAULT 3",
            "UPDATE base SET n = 4 WHERE v LIKE 'c%'", "ALTER TABLE grandchild NO INHERIT child", "UPDATE base SET v = v || '+'",
            "UPDATE grandchild SET v = 'alone'", "ALTER TABLE grandchild INHERIT child", "UPDATE base SET v = v || '-'")
    settle(mirror)
    mirror.stop()
    for table in ("base", "child", "grandchild"):
        listed = "id::text, v, n::text"
        there = mirror.cluster.query(f"SELECT {listed} FROM ONLY {table}", database=mirror.database)
        assert rows(mirror.target, f"SELECT {listed} FROM public.{table}") == there, table


def test_partitions_of_different_identities_come_through_one_root(mirror: Shop):
    """The server describes the root and sends what each partition's identity gives of old rows."""
    execute(mirror, "CREATE TABLE many (id int NOT NULL, part int NOT NULL, k int NOT NULL, v text, big text, PRIMARY KEY (id, part)) PARTITION BY LIST (part)",
            *(f"CREATE TABLE many_{n} PARTITION OF many FOR VALUES IN ({n})" for n in (1, 2, 3)),
            "ALTER TABLE many ALTER big SET STORAGE EXTERNAL", "CREATE UNIQUE INDEX other ON many_3 (k)",
            "ALTER TABLE many_2 REPLICA IDENTITY FULL", "ALTER TABLE many_3 REPLICA IDENTITY USING INDEX other",
            "INSERT INTO many SELECT g, 1 + g % 3, g, 'v', repeat('x', 5000) FROM generate_series(1, 60) g",
            "CREATE PUBLICATION tailrace_shop FOR TABLE many WITH (publish_via_partition_root = true)")
    mirror.start("--table", "public.many", "--history", "--log-level", "info")
    mirror.wait()
    execute(mirror, "UPDATE many SET v = 'w' WHERE id % 2 = 0", "UPDATE many SET id = id + 100 WHERE id % 5 = 0", "UPDATE many SET k = k + 1000 WHERE id % 7 = 0",
            "DELETE FROM many WHERE id % 11 = 0", "UPDATE many SET part = 1 + part % 3 WHERE id % 13 = 0")
    settle(mirror)
    mirror.stop()
    assert_same(mirror, "many", "id", "part", "k", "v", "big")


def test_a_partition_that_is_emptied_under_its_root_is_noticed_and_the_root_is_emptied_in_the_stream(mirror: Shop):
    """PostgreSQL publishes no TRUNCATE of a partition through its root."""
    execute(mirror, *MONTHS, BY_ROOT)
    run(mirror, more=", tables: [public.logs]")
    execute(mirror, "TRUNCATE logs_1", "INSERT INTO logs VALUES (500, '2024-01-03', 'after')")
    until(mirror, lambda: copied_again(mirror) == 1, "nobody noticed")
    settle(mirror)
    execute(mirror, "BEGIN; TRUNCATE logs; INSERT INTO logs VALUES (700, '2024-01-03', 'later'), (701, '2024-02-03', 'later'); COMMIT")
    settle(mirror)
    assert copied_again(mirror) == 1
    mirror.stop()
    assert_same(mirror, "logs", "id", "day", "v")

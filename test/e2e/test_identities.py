"""By what rows are known: large values under every replica identity, identities that change, keys that are no primary key."""

from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit

LARGE = "repeat(md5(({0})::text), 500)"
# What an update does to the large value of row n, and n is changed with it.
FATES = {1: "n = n", 2: "n = n + 1", 3: "n = n + 1, big = NULL", 4: "n = n + 1, big = 'small'", 5: "big = " + LARGE.format("n + 77"),
         6: "n = n + 1, big = big || 'x'"}
IDENTITIES = {"by_key": "DEFAULT", "whole": "FULL", "by_index": "USING INDEX by_index_k"}


def follow(shop: Shop, *options: str) -> None:
    shop.start("--history", *options)
    shop.wait()


def execute(shop: Shop, *statements: str) -> None:
    shop.cluster.execute(*statements, database=shop.database)


@pytest.fixture
def compared(cluster: Cluster, database: str, tailrace) -> Iterator[tuple[Shop, dict[str, str]]]:
    """A database that the test fills, and tables with their columns: in the end all of them must be as in the source."""
    shop, tables = Shop(cluster, database, tailrace), {}
    yield shop, tables
    shop.wait()
    assert tailrace.status()["problems"] == []
    assert shop.process.stop() == Exit.DONE, shop.process.err()
    for table, columns in tables.items():
        source = sorted(cluster.query(f"SELECT {columns} FROM {table}", database=database), key=repr)
        for target in (table, f"(SELECT * FROM {table}__history WHERE is_current)"):
            assert sorted(rows(shop.target, f"SELECT {columns} FROM {target}"), key=repr) == source, target


def test_large_values_are_right_under_every_identity_whatever_becomes_of_them(compared):
    shop, tables = compared
    for table, identity in IDENTITIES.items():
        tables[f"public.{table}"] = "id, k, n, md5(big)"
        execute(shop, f"CREATE TABLE {table} (id int PRIMARY KEY, k int NOT NULL, n int, big text)", f"CREATE UNIQUE INDEX {table}_k ON {table} (k)",
                f"ALTER TABLE {table} ALTER big SET STORAGE EXTERNAL", f"ALTER TABLE {table} REPLICA IDENTITY {identity}",
                f"INSERT INTO {table} SELECT g, g, 0, {LARGE.format('g')} FROM generate_series(1, 8) g")
    follow(shop)
    for table in IDENTITIES:
        execute(shop, f"INSERT INTO {table} SELECT g + 100, g + 100, 0, {LARGE.format('g')} FROM generate_series(1, 8) g",
                *(f"UPDATE {table} SET {fate} WHERE id % 100 = {n}" for n, fate in FATES.items()))
        # In one transaction: changed, then left alone, then moved to another key, then changed and left alone again.
        execute(shop, f"BEGIN; UPDATE {table} SET big = {LARGE.format('k + 9')} WHERE id = 7; UPDATE {table} SET n = 5 WHERE id = 7; "
                      f"UPDATE {table} SET id = 70, k = 70 WHERE id = 7; UPDATE {table} SET n = 6 WHERE id = 70; "
                      f"UPDATE {table} SET big = {LARGE.format('k')} WHERE id = 70; UPDATE {table} SET n = 7 WHERE id = 70; COMMIT",
                f"UPDATE {table} SET id = 80, k = 80 WHERE id = 8", f"DELETE FROM {table} WHERE id = 108")
    shop.wait()
    assert shop.tailrace.status()["sinks"][0]["rows_completed"] == 0, "what the target has is not asked of the source"


def test_an_identity_that_changes_within_and_between_transactions(compared):
    shop, tables = compared
    tables["public.t"] = "id, k, v"
    execute(shop, "CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL, v text)", "CREATE UNIQUE INDEX other ON t (k)",
            "INSERT INTO t SELECT g, -g, 'v' FROM generate_series(1, 30) g")
    follow(shop)
    execute(shop, "BEGIN; UPDATE t SET v = 'a' WHERE id = 1; ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET v = 'b' WHERE id IN (1, 2); "
                  "UPDATE t SET id = 31 WHERE id = 3; ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET id = 32 WHERE id = 4; "
                  "DELETE FROM t WHERE id = 5; COMMIT",
            "ALTER TABLE t REPLICA IDENTITY USING INDEX other", "UPDATE t SET k = k - 100 WHERE id = 6", "DELETE FROM t WHERE id = 7",
            "UPDATE t SET id = 33 WHERE id = 8", "ALTER TABLE t REPLICA IDENTITY FULL", "UPDATE t SET v = 'c' WHERE id = 9",
            "DROP INDEX other", "DELETE FROM t WHERE id = 10",
            "ALTER TABLE t REPLICA IDENTITY DEFAULT", "UPDATE t SET v = 'd' WHERE id = 11",
            "BEGIN; ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (k); UPDATE t SET v = 'e', k = -500 WHERE id = 12; COMMIT",
            "DELETE FROM t WHERE id = 13")


def test_whole_rows_show_what_they_never_stored(compared):
    """Under FULL an old row comes with the columns that are younger than it, and without those that are gone."""
    shop, tables = compared
    tables["public.t"] = "a, later"
    execute(shop, "CREATE TABLE t (a int, gone text, b text)", "ALTER TABLE t REPLICA IDENTITY FULL",
            "INSERT INTO t SELECT g % 4, 'x', 'b' FROM generate_series(1, 12) g", "ALTER TABLE t DROP COLUMN gone",
            "ALTER TABLE t ADD COLUMN later int DEFAULT 5", "INSERT INTO t VALUES (1, 'b', 6), (1, 'b', NULL)")
    follow(shop)
    execute(shop, "DELETE FROM t WHERE a = 1 AND later = 5", "UPDATE t SET a = 9 WHERE a = 2", "UPDATE t SET later = 7 WHERE a = 3")


def test_keys_that_are_equal_but_not_the_same(compared):
    """Under a collation that takes letters of either case for equal, an update may change the key's bytes alone."""
    shop, tables = compared
    tables["public.t"] = "k, n"
    execute(shop, "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            "CREATE TABLE t (k text COLLATE any_case PRIMARY KEY, n int)", "INSERT INTO t VALUES ('One', 1), ('two', 2), ('three', 3), ('f\u00e9', 4)")
    follow(shop)
    execute(shop, "UPDATE t SET k = 'ONE' WHERE k = 'one'", "UPDATE t SET n = 20 WHERE k = 'TWO'", "DELETE FROM t WHERE k = 'Three'",
            "INSERT INTO t VALUES ('THREE', 30) ON CONFLICT (k) DO NOTHING", "INSERT INTO t VALUES ('One', 9) ON CONFLICT (k) DO UPDATE SET n = 10",
            "UPDATE t SET k = 'F\u00c9' WHERE n = 4")


def test_rows_known_by_an_index_where_the_key_is_not_published(compared):
    shop, tables = compared
    tables["public.t"] = "code, v"
    execute(shop, "CREATE TABLE t (id serial PRIMARY KEY, secret text, code int NOT NULL UNIQUE, v text)", "ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key",
            "INSERT INTO t (secret, code, v) SELECT 's', g, 'v' FROM generate_series(1, 10) g", "CREATE PUBLICATION mine FOR TABLE t (code, v)")
    file = shop.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource: {{postgres: {{url: '{shop.cluster.url(shop.database)}', publication: {{name: mine, create: false}}}}}}\n"
                    f"sinks: {{shop: {{duckdb: {{path: {shop.target}, history: ['*.*']}}}}}}\n")
    shop.process = shop.tailrace.start("run", file, "--state", shop.tailrace.state)
    shop.wait()
    execute(shop, "UPDATE t SET v = 'w', secret = 'S' WHERE code = 1", "UPDATE t SET code = 20 WHERE code = 2", "DELETE FROM t WHERE code = 3",
            "UPDATE t SET id = id + 100, secret = NULL WHERE code = 4", "INSERT INTO t (code, v) VALUES (30, 'x')")

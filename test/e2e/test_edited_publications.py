"""A publication of somebody else that is edited while it is followed."""

from e2e.changing import assert_same, copied_again, execute, settle, until
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit

ITEMS = ["CREATE TABLE items (id int PRIMARY KEY, v text, n int)", "CREATE TABLE things (id int PRIMARY KEY, v text)",
         "INSERT INTO items SELECT g, 'v' || g, g FROM generate_series(1, 40) g", "INSERT INTO things SELECT g, 'v' FROM generate_series(1, 5) g"]


def start(mirror: Shop, publication: str) -> None:
    execute(mirror, *ITEMS, f"CREATE PUBLICATION tailrace_shop {publication}")
    mirror.start("--table", "public.items", "--table", "public.things", "--log-level", "info")
    mirror.wait()


def test_another_row_filter_brings_and_takes_rows(mirror: Shop):
    start(mirror, "FOR TABLE items WHERE (id <= 20), things")
    execute(mirror, "UPDATE items SET v = 'x' WHERE id IN (1, 30)",
            "ALTER PUBLICATION tailrace_shop SET TABLE items WHERE (id > 10), things", "UPDATE items SET v = 'y' WHERE id IN (2, 31)")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 1, "the filter's rows are not copied")
    execute(mirror, "UPDATE items SET v = 'z' WHERE id IN (15, 32)")
    settle(mirror)
    mirror.stop()
    query = "SELECT id, v, n FROM {}items {} ORDER BY id"
    assert rows(mirror.target, query.format("public.", "")) == mirror.cluster.query(query.format("", "WHERE id > 10"), database=mirror.database)


def test_a_table_that_left_a_publication_for_a_while_is_copied_again(mirror: Shop):
    start(mirror, "FOR TABLE items, things")
    execute(mirror, "ALTER PUBLICATION tailrace_shop DROP TABLE items", "UPDATE items SET v = 'unseen' WHERE id < 10",
            "ALTER PUBLICATION tailrace_shop ADD TABLE items", "UPDATE items SET v = 'seen' WHERE id = 20", "INSERT INTO things VALUES (9, 'x')")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 1, "the table is not copied again")
    mirror.stop()
    assert_same(mirror, "items", "id", "v", "n")
    assert_same(mirror, "things", "id", "v")


def test_columns_that_leave_and_join_a_list(mirror: Shop):
    start(mirror, "FOR TABLE items (id, v), things")
    execute(mirror, "UPDATE items SET v = 'x', n = 0 WHERE id = 1", "ALTER PUBLICATION tailrace_shop SET TABLE items, things",
            "UPDATE items SET n = 100 WHERE id = 2")
    settle(mirror)
    until(mirror, lambda: copied_again(mirror) == 1, "the new column's values are not copied")
    mirror.stop()
    assert_same(mirror, "items", "id", "v", "n")


def test_operations_that_are_left_out_for_a_while(mirror: Shop):
    start(mirror, "FOR TABLE items, things")
    execute(mirror, "ALTER PUBLICATION tailrace_shop SET (publish = 'insert')", "DELETE FROM items WHERE id < 5",
            "UPDATE items SET v = 'unseen' WHERE id = 6", "INSERT INTO items VALUES (50, 'seen', 1)",
            "ALTER PUBLICATION tailrace_shop SET (publish = 'insert, update, delete, truncate')", "UPDATE items SET v = 'seen' WHERE id = 7",
            "UPDATE things SET v = 'seen' WHERE id = 1")
    settle(mirror)
    mirror.stop()
    assert_same(mirror, "items", "id", "v", "n")
    assert_same(mirror, "things", "id", "v")


def test_a_truncate_that_is_not_published_leaves_its_rows_and_a_comparison_tells(mirror: Shop):
    execute(mirror, "CREATE PUBLICATION tailrace_shop FOR ALL TABLES WITH (publish = 'insert, update, delete')")
    mirror.start()
    mirror.wait()
    execute(mirror, "TRUNCATE orders", "INSERT INTO orders (customer, total) VALUES (1, 1)")
    settle(mirror)
    told = mirror.tailrace.command("verify", "shop", "--json", "--state", mirror.tailrace.state)
    assert told.code == Exit.NO and "TR700" in told.err, told
    mirror.stop()
    assert rows(mirror.target, "SELECT count(*) FROM public.orders") == [(1001,)]

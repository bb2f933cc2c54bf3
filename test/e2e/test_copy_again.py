"""One table of a running mirror is copied again while the stream goes on."""

import threading
import time

import pytest

from e2e.changing import copied_again, until
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Answer, Exit

CURRENT = "SELECT count(*) FROM public.{0}__history WHERE is_current"


def problems(shop: Shop) -> list[str]:
    return [problem["code"] for problem in shop.tailrace.status()["problems"]]


def ask_for_copy(shop: Shop, *tables: str) -> Answer:
    return shop.tailrace.command("snapshot", "shop", *tables, "--state", shop.tailrace.state)


def snapshot(shop: Shop, *tables: str) -> None:
    answer = ask_for_copy(shop, *tables)
    assert answer.code == Exit.DONE, answer


def assert_same(shop: Shop, table: str, columns: str) -> None:
    query = f"SELECT {columns} FROM public.{table} ORDER BY 1"
    source = shop.cluster.query(query, database=shop.database)
    assert rows(shop.target, query) == source
    assert rows(shop.target, CURRENT.format(table)) == [(len(source),)]


@pytest.mark.smoke
def test_a_table_that_nobody_can_explain_is_copied_again_by_itself(mirror: Shop):
    mirror.start("--history", "--log-level", "info")
    mirror.wait()
    mirror.cluster.execute("ALTER TABLE customers ALTER COLUMN joined TYPE text USING 'since ' || joined",
                           "INSERT INTO customers (name) VALUES ('new')", database=mirror.database)
    until(mirror, lambda: copied_again(mirror) == 1, "the table is not copied")
    mirror.cluster.execute("UPDATE customers SET joined = 'today' WHERE id % 2 = 0", "DELETE FROM orders WHERE id % 3 = 0",
                           database=mirror.database)
    mirror.wait()
    assert problems(mirror) == []
    mirror.stop()
    assert_same(mirror, "customers", "id, name, joined")
    assert_same(mirror, "orders", "id, total::text")


@pytest.mark.smoke
def test_a_held_table_is_followed_again_after_a_copy_that_was_asked_for(mirror: Shop):
    mirror.start("--history", "--log-level", "info")
    mirror.wait()
    mirror.cluster.execute("ALTER TABLE customers DROP COLUMN joined", "INSERT INTO customers (name) VALUES ('new')",
                           database=mirror.database)
    mirror.wait()
    assert problems(mirror) == ["TR609"]
    snapshot(mirror, "public.customers")
    until(mirror, lambda: not problems(mirror), "the table stays held")
    mirror.cluster.execute("UPDATE customers SET name = 'x' WHERE id % 2 = 0", database=mirror.database)
    mirror.wait()
    mirror.stop()
    assert_same(mirror, "customers", "id, name")


def test_a_new_table_of_the_publication_is_copied_by_itself(mirror: Shop):
    mirror.cluster.execute("CREATE PUBLICATION tailrace_shop FOR ALL TABLES", database=mirror.database)
    mirror.start("--history", "--log-level", "info")
    mirror.wait()
    mirror.cluster.execute("CREATE TABLE late (id int PRIMARY KEY, v text)",
                           "INSERT INTO late SELECT g, 'before' FROM generate_series(1, 2000) g", database=mirror.database)
    until(mirror, lambda: copied_again(mirror) == 1, "the table is not copied")
    mirror.cluster.execute("UPDATE late SET v = 'after' WHERE id % 5 = 0", database=mirror.database)
    mirror.wait()
    assert problems(mirror) == []
    mirror.stop()
    assert_same(mirror, "late", "id, v")


def test_a_copy_beside_writers_changes_nothing_where_nothing_differs(mirror: Shop):
    mirror.cluster.execute("CREATE TABLE bag (n int, v text)", "ALTER TABLE bag REPLICA IDENTITY FULL",
                           "INSERT INTO bag SELECT g % 7, 'x' FROM generate_series(1, 500) g", database=mirror.database)
    mirror.start("--history", "--log-level", "info")
    mirror.wait()
    stop = threading.Event()
    failures = []

    def write(worker: int) -> None:
        try:
            with mirror.cluster.connect(mirror.database) as connection:
                for n in range(10**6):
                    if stop.is_set():
                        return
                    with connection.transaction():
                        connection.execute(f"UPDATE orders SET total = total + 1 WHERE id % 50 = {n % 50}")
                        connection.execute("DELETE FROM bag WHERE ctid IN (SELECT ctid FROM bag LIMIT 3)")
                        connection.execute(f"INSERT INTO bag SELECT {n % 7}, 'y' FROM generate_series(1, 3)")
        except Exception as error:  # noqa: BLE001 — shown below
            failures.append(error)

    writer = threading.Thread(target=write, args=(0,))
    writer.start()
    try:
        snapshot(mirror, "public.orders", "bag")
        until(mirror, lambda: copied_again(mirror) == 2, "the tables are not copied")
    finally:
        stop.set()
        writer.join()
    assert failures == []
    mirror.wait()
    assert problems(mirror) == []
    merged = [line for line in mirror.process.err().splitlines() if "duckdb.merged" in line]
    assert [line.rsplit(": ", 1)[1] for line in merged] == ["0 rows went, 0 came"] * 2
    mirror.stop()
    assert_same(mirror, "orders", "id, total::text")
    source = mirror.cluster.query("SELECT n, v, count(*) FROM bag GROUP BY 1, 2 ORDER BY 1, 2", database=mirror.database)
    assert rows(mirror.target, "SELECT n, v, count(*) FROM public.bag GROUP BY 1, 2 ORDER BY 1, 2") == source


def test_a_table_that_cannot_be_copied_is_named(mirror: Shop):
    mirror.start("--log-level", "info")
    mirror.wait()
    snapshot(mirror, "public.nowhere")
    until(mirror, lambda: problems(mirror) == ["TR641"], "nobody says that there is no such table")
    snapshot(mirror, "public.orders")
    until(mirror, lambda: copied_again(mirror) == 1, "the table is not copied")
    assert problems(mirror) == []
    mirror.stop()
    mirror.assert_equal()


@pytest.mark.parametrize("point", ["duckdb.side_begun", "recopy_placed", "duckdb.copy_before_done", "recopy_loaded",
                                   "recopy_replayed", "duckdb.side_mirror_merged", "duckdb.side_before_commit",
                                   "duckdb.side_merged", "recopy_merged"])
def test_a_copy_that_is_killed_anywhere_is_made_again(mirror: Shop, point: str):
    mirror.start("--history", "--log-level", "info")
    mirror.wait()
    mirror.cluster.execute("DROP VIEW paid", "ALTER TABLE orders DROP COLUMN note", "ALTER TABLE orders ADD COLUMN more int DEFAULT 7",
                           "UPDATE orders SET state = 'paid' WHERE id % 3 = 0", database=mirror.database)
    mirror.wait()
    mirror.stop()
    mirror.start("--history", "--log-level", "info", TAILRACE_CRASH_AT=f"{point}:1")
    mirror.wait()
    # It may die before it answers.
    ask_for_copy(mirror, "public.orders")
    mirror.process.wait(60)
    assert f"crash point {point}" in mirror.process.err(), mirror.process.err()
    mirror.change()
    mirror.start("--history", "--log-level", "info")
    mirror.wait()
    until(mirror, lambda: copied_again(mirror) == 1, "the copy is not made again")
    mirror.wait()
    assert problems(mirror) == []
    mirror.stop()
    assert_same(mirror, "orders", "id, total::text, state::text, more")
    mirror.assert_equal()
    assert rows(mirror.target, "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'copy_of_%'") == [(0,)]

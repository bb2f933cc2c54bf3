"""How a mirror begins: beside open and prepared transactions, among tables that cannot be followed, with nothing to follow."""

import time
from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit, Tailrace


@pytest.fixture(scope="module")
def preparing() -> Iterator[Cluster]:
    """A server that takes prepared transactions."""
    made = Cluster({"max_prepared_transactions": "5"})
    yield made
    made.close()


def wait_for_problem(shop: Shop, code: str, *words: str) -> None:
    deadline = time.monotonic() + 30
    while not any(problem["code"] == code and all(word in problem["what"] for word in words) for problem in shop.problems()):
        assert shop.process.code is None and time.monotonic() < deadline, f"{shop.problems()}\n{shop.process.err()}"
        time.sleep(0.05)


def test_what_was_open_or_prepared_before_the_slot_is_waited_for_by_name_and_there_once(preparing: Cluster, tailrace: Tailrace):
    preparing.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", "BEGIN; INSERT INTO t VALUES (1, 'prepared'); PREPARE TRANSACTION 'it''s ours'")
    shop = Shop(preparing, "postgres", tailrace)
    with preparing.connect() as other:
        pid = other.info.backend_pid
        other.execute("BEGIN; INSERT INTO t VALUES (2, 'open')")
        shop.start("--history")
        wait_for_problem(shop, "TR127", "it''s ours", str(pid))
        other.execute("INSERT INTO t VALUES (3, 'open'); COMMIT")
        preparing.execute("COMMIT PREPARED 'it''s ours'")
        shop.tailrace.wait_for_state("streaming")
    shop.wait()
    shop.stop()
    assert rows(shop.target, "SELECT id FROM public.t ORDER BY id") == [(1,), (2,), (3,)]
    assert rows(shop.target, "SELECT count(*) FROM public.t__history") == [(3,)]


UNFOLLOWED = ["CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) FROM orders GROUP BY 1", "CREATE UNLOGGED TABLE fast (id int PRIMARY KEY)",
              "CREATE EXTENSION file_fdw", "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw",
              "CREATE FOREIGN TABLE lines (line text) SERVER files OPTIONS (filename '/etc/hostname')", "CREATE SEQUENCE numbers",
              "CREATE TYPE shape AS (a int)"]


def test_views_and_tables_that_leave_no_trace_in_the_log_are_passed_over(mirror: Shop):
    mirror.cluster.execute(*UNFOLLOWED, "CREATE PUBLICATION tailrace_shop FOR ALL TABLES", database=mirror.database)
    mirror.start()
    mirror.wait()
    mirror.cluster.execute("REFRESH MATERIALIZED VIEW totals", "INSERT INTO fast VALUES (1)", "CREATE TEMP TABLE gone AS SELECT * FROM orders",
                           "SELECT nextval('numbers')", "UPDATE orders SET total = 2 WHERE id = 5", database=mirror.database)
    mirror.wait()
    assert mirror.problems() == []
    mirror.stop()
    mirror.assert_equal()
    found = rows(mirror.target, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public' ORDER BY 1")
    assert found == [("customers",), ("empty_table",), ("orders",)]


def test_nothing_stays_open_at_the_server_when_the_copy_is_done(mirror: Shop):
    mirror.start()
    mirror.tailrace.wait_for_state("streaming")
    mirror.wait()
    ours = "FROM pg_stat_activity WHERE application_name = 'tailrace' AND datname = current_database()"
    deadline = time.monotonic() + 10
    while mirror.cluster.query(f"SELECT {ours} AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL) AND backend_type <> 'walsender'",
                               database=mirror.database):
        assert time.monotonic() < deadline, "a transaction of ours stays open"
        time.sleep(0.1)
    slots = f"SELECT slot_name::text, temporary FROM pg_replication_slots WHERE database = '{mirror.database}'"
    assert mirror.cluster.query(slots) == [("tailrace_shop", False)]
    mirror.stop()


def test_a_database_without_a_table_is_refused_and_nothing_is_made(cluster: Cluster, database: str, tailrace: Tailrace):
    answer = tailrace.command("mirror", cluster.url(database), tailrace.directory / "t.duckdb", "--state", tailrace.state, "--until-caught-up")
    assert answer.code == Exit.UNREACHABLE and "[TR107]" in answer.err and "help: " in answer.err, str(answer)
    assert cluster.query(f"SELECT FROM pg_replication_slots WHERE database = '{database}'") == []


def test_a_publication_without_a_table_is_refused(mirror: Shop):
    mirror.cluster.execute("CREATE PUBLICATION bare", database=mirror.database)
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource: {{postgres: {{url: '{mirror.cluster.url(mirror.database)}', publication: {{name: bare, create: false}}}}}}\n"
                    f"sinks: {{shop: {{duckdb: {{path: {mirror.target}}}}}}}\n")
    answer = mirror.tailrace.command("run", file, "--state", mirror.tailrace.state, "--until-caught-up")
    assert answer.code == Exit.UNREACHABLE and "[TR119]" in answer.err and "help: ALTER PUBLICATION" in answer.err, str(answer)
    assert mirror.cluster.query(f"SELECT FROM pg_replication_slots WHERE database = '{mirror.database}'") == []
    mirror.cluster.execute("ALTER PUBLICATION bare ADD TABLE orders", database=mirror.database)
    answer = mirror.tailrace.command("run", file, "--state", mirror.tailrace.state, "--until-caught-up")
    assert answer.code == Exit.DONE, str(answer)


def test_a_publication_that_is_younger_than_the_slot_is_named(mirror: Shop):
    """The server looks it up as of the place that it decodes, where it is not there yet."""
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    definition, = mirror.cluster.query("SELECT string_agg(format('%I', tablename), ', ') FROM pg_publication_tables", database=mirror.database)[0]
    mirror.cluster.execute("DROP PUBLICATION tailrace_shop", "UPDATE orders SET total = 2 WHERE id = 5",
                           f"CREATE PUBLICATION tailrace_shop FOR TABLE {definition}", database=mirror.database)
    mirror.start()
    assert mirror.process.wait(60) == Exit.UNREACHABLE, mirror.process.err()
    assert "[TR119]" in mirror.process.err() and "help: " in mirror.process.err()


def test_columns_that_come_between_the_snapshot_and_its_reading_are_not_missed(mirror: Shop):
    """The copy dies behind its first table, and goes on when all of them have been altered and written to."""
    mirror.start("--history", TAILRACE_CRASH_AT="copy_after_finish:1")
    assert mirror.process.wait(60) < 0, mirror.process.err()
    mirror.cluster.execute("ALTER TABLE orders ADD COLUMN extra int DEFAULT 3", "ALTER TABLE customers ADD COLUMN extra int DEFAULT 4",
                           "ALTER TABLE empty_table ADD COLUMN extra int DEFAULT 5", "INSERT INTO empty_table VALUES (1, 'x')",
                           "UPDATE orders SET extra = 9 WHERE id = 7", "UPDATE customers SET extra = 9 WHERE id = 7", database=mirror.database)
    mirror.start("--history")
    mirror.wait()
    assert mirror.problems() == []
    mirror.stop()
    mirror.assert_equal()
    for table in ("orders", "customers", "empty_table"):
        query = f"SELECT id, extra FROM public.{table} ORDER BY id"
        assert rows(mirror.target, query) == mirror.cluster.query(query, database=mirror.database)

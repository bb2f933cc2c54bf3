"""The main job on an ordinary database: a copy, then every change, through restarts and kills."""

import json
import re
import sys
import time
from pathlib import Path

import pytest

from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit

pytestmark = pytest.mark.smoke

@pytest.mark.server
def test_an_ordinary_database_is_copied_and_followed(mirror: Shop):
    mirror.start()
    mirror.wait()
    mirror.change()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()
    assert rows(mirror.target, "SELECT count(*) FROM public.empty_table") == [(0,)]


def test_columns_keep_their_names_their_order_and_fitting_types(mirror: Shop):
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    described = rows(mirror.target, "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'public' "
                                    "AND table_name = 'orders' ORDER BY column_index")
    assert described == [("id", "BIGINT"), ("customer", "INTEGER"), ("total", "DECIMAL(10,2)"), ("state", "VARCHAR"),
                         ("tags", "VARCHAR[]"), ("note", "JSON")]


def test_until_caught_up_leaves_with_0_and_everything_committed_at_its_start(mirror: Shop):
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()
    mirror.change()
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()


@pytest.mark.server
def test_a_restart_goes_on_where_it_stopped(mirror: Shop):
    mirror.start()
    mirror.wait()
    mirror.stop()
    mirror.change()
    mirror.start()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


def test_kill_9_loses_nothing(mirror: Shop):
    mirror.start()
    mirror.wait()
    for _ in range(3):
        mirror.change()
        mirror.process.kill()
        mirror.start()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


def test_history_keeps_every_version(mirror: Shop):
    mirror.start("--history")
    mirror.wait()
    mirror.cluster.execute("UPDATE orders SET total = 1 WHERE id = 1", "UPDATE orders SET total = 2 WHERE id = 1",
                           "DELETE FROM orders WHERE id = 1", database=mirror.database)
    mirror.wait()
    mirror.stop()
    versions = rows(mirror.target, "SELECT total::text, is_current, to_lsn IS NULL FROM public.orders__history WHERE id = 1 ORDER BY from_lsn")
    assert versions == [("0.14", False, False), ("1.00", False, False), ("2.00", False, False)]
    gone = rows(mirror.target, "SELECT count(*) FROM public.orders__as_of(now()::TIMESTAMPTZ) WHERE id = 1")
    assert gone == [(0,)]


def test_named_tables_only(mirror: Shop):
    mirror.start("--table", "public.customers", "--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    names = rows(mirror.target, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public'")
    assert names == [("customers",)]


@pytest.mark.server
def test_changes_of_tables_that_a_foreign_publication_sends_are_filtered(mirror: Shop, tmp_path: Path):
    mirror.cluster.execute("CREATE PUBLICATION all_of_it FOR ALL TABLES", database=mirror.database)
    pipeline = tmp_path / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{mirror.cluster.url(mirror.database)}', "
                        "tables: [public.customers], publication: {name: all_of_it, create: false}}}\n"
                        f"sinks: {{shop: {{duckdb: {{path: '{mirror.target}'}}}}}}\n")
    mirror.process = mirror.tailrace.start("run", pipeline, "--state", mirror.tailrace.state)
    mirror.wait()
    mirror.change()
    mirror.wait()
    status = mirror.tailrace.status()
    assert status["problems"] == [] and status["sinks"][0]["rows_filtered"] > 0, status
    mirror.stop()
    assert rows(mirror.target, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public'") == [("customers",)]
    customers = "SELECT id, name FROM public.customers ORDER BY id"
    assert rows(mirror.target, customers) == mirror.cluster.query(customers, database=mirror.database)


def test_status_says_what_scripts_read(mirror: Shop):
    mirror.start()
    mirror.wait()
    status = mirror.tailrace.status()
    assert (status["name"], status["state"], status["problems"]) == ("shop", "streaming", [])
    assert {"lsn", "confirmed_lsn", "lag_bytes", "lag_seconds", "slot", "wal_status"} <= set(status["source"])
    assert {"durable_lsn", "bytes", "oldest_lsn"} <= set(status["log"])
    assert status["snapshot"]["tables_done"] == status["snapshot"]["tables_total"] == 3
    assert {"name", "kind", "state", "durable_lsn", "lag_bytes", "lag_seconds", "rows_applied", "rows_filtered",
            "dead_letters", "last_error"} <= set(status["sinks"][0])
    mirror.stop()
    answer = mirror.tailrace.command("status", "shop", "--json", "--state", mirror.tailrace.state)
    assert answer.json()["state"] == "stopped", str(answer)


@pytest.mark.alone
def test_a_steady_load_is_no_growing_lag(mirror: Shop):
    mirror.start()
    mirror.wait()
    seen = []
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        mirror.cluster.execute("INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, 20) g",
                               database=mirror.database)
        status = mirror.tailrace.status()
        seen.append(max(status["source"]["lag_seconds"], *(sink["lag_seconds"] for sink in status["sinks"])))
    assert sorted(seen)[len(seen) * 9 // 10] < 2, seen
    mirror.stop()


def test_wait_runs_out_with_4(mirror: Shop):
    mirror.start()
    mirror.wait()
    answer = mirror.tailrace.command("wait", "shop", "--state", mirror.tailrace.state, "--lsn", "FFFF/0", "--timeout", "1s")
    assert answer.code == Exit.TIMEOUT, str(answer)


def test_query_answers_while_the_mirror_runs(mirror: Shop):
    mirror.start()
    mirror.wait()
    answer = mirror.tailrace.command("query", "shop", "SELECT count(*) AS n FROM orders", "--format", "json", "--state",
                                     mirror.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    assert json.loads(answer.out) == [{"n": 1000}]
    wrong = mirror.tailrace.command("query", "shop", "SELECT nothing FROM nowhere", "--state", mirror.tailrace.state)
    assert wrong.code == Exit.REQUEST, str(wrong)


def test_query_tells_as_of_when_its_answer_is(mirror: Shop):
    mirror.start()
    mirror.wait()
    question = ["query", "shop", "FROM orders SELECT count(*)", "--state", mirror.tailrace.state]
    assert re.search(r"^\d+ ms, as of [0-9A-F]+/[0-9A-F]+ \(\d+ ms ago\)$", mirror.tailrace.command(*question).err, re.MULTILINE)
    assert mirror.tailrace.command(*question, "--format", "csv").err == ""
    mirror.stop()
    assert re.search(r" ms, as of [0-9A-F]+/[0-9A-F]+; the pipeline is stopped$", mirror.tailrace.command(*question).err, re.MULTILINE)


def test_a_table_that_is_held_does_not_hold_the_others(mirror: Shop):
    mirror.start()
    mirror.wait()
    mirror.cluster.execute("ALTER TABLE customers DROP COLUMN name",
                           "UPDATE customers SET joined = '2025-01-01' WHERE id = 1", "UPDATE orders SET total = 1 WHERE id = 2",
                           database=mirror.database)
    mirror.wait()
    problems = mirror.tailrace.status()["problems"]
    assert [(problem["code"], "public.customers" in problem["what"], '"name" was dropped' in problem["what"])
            for problem in problems] == [("TR609", True, True)]
    mirror.stop()
    assert rows(mirror.target, "SELECT total::text FROM public.orders WHERE id = 2") == [("1.00",)]
    assert rows(mirror.target, "SELECT name, joined::text FROM public.customers WHERE id = 1") == [("customer 1", "2024-01-01")]


def test_lend_frees_the_file_for_one_command_and_loses_nothing(mirror: Shop):
    mirror.start()
    mirror.wait()
    counting = f"import duckdb; print(duckdb.connect('{mirror.target}', read_only=True).execute('FROM public.orders').fetchall().__len__())"
    lent = mirror.tailrace.command("lend", "shop", "--state", mirror.tailrace.state, "--", sys.executable, "-c", counting)
    assert (lent.code, lent.out.strip()) == (Exit.DONE, "1000"), str(lent)
    failing = mirror.tailrace.command("lend", "shop", "--state", mirror.tailrace.state, "--", "/bin/false")
    assert failing.code != Exit.DONE
    mirror.change()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()


@pytest.mark.server
def test_an_idle_database_moves_its_slot_on(mirror: Shop):
    """Otherwise a quiet database beside a busy one fills the server's disk."""
    mirror.start()
    mirror.wait()
    before = mirror.cluster.query("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'")[0][0]
    mirror.cluster.execute("CREATE TABLE IF NOT EXISTS elsewhere (x text)", "INSERT INTO elsewhere SELECT repeat('x', 500) FROM generate_series(1, 5000)",
                           "DROP TABLE elsewhere")
    moved = f"SELECT pg_wal_lsn_diff(confirmed_flush_lsn, '{before}') > 1000000 FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'"
    for _ in range(150):
        if mirror.cluster.query(moved) == [(True,)]:
            return
        mirror.cluster.query("SELECT pg_sleep(0.1)")
    raise AssertionError(f"confirmed_flush_lsn stays at {before}: {mirror.process.err()}")

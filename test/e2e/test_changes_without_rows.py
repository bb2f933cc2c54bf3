"""DDL that no change of a row follows: noticed by looks at the catalog, or by an event trigger's messages."""

import time

import psycopg
import pytest

from e2e.changing import assert_columns, assert_same, copied_again, execute, settle, until
from e2e.duckdb_file import rows
from e2e.shop import Shop

PIPELINE = """name: shop
source: {{postgres: {{url: "{url}", catalog_poll: {poll}{more}}}}}
sinks: {{warehouse: {{duckdb: {{path: {target}, dropped_columns: drop}}}}}}
"""


def run(mirror: Shop, poll: str = "1s", more: str = "") -> None:
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(PIPELINE.format(url=mirror.cluster.url(mirror.database), target=mirror.target, poll=poll, more=more))
    mirror.process = mirror.tailrace.start("run", file, "--state", mirror.tailrace.state, "--log-level", "info")
    mirror.wait()


def versions(mirror: Shop, table: str) -> list[str]:
    listed = mirror.tailrace.command("schema", "history", "shop", table, "--json", "--state", mirror.tailrace.state).json()
    return [version["what"] for version in listed]


def codes(mirror: Shop) -> list[str]:
    return sorted(problem["code"] for problem in mirror.problems())


def test_columns_tables_and_types_change_at_the_target_without_a_row(mirror: Shop):
    execute(mirror, "CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE TABLE moods (id int PRIMARY KEY, m mood)",
            "INSERT INTO moods SELECT g, 'sad' FROM generate_series(1, 10) g", "CREATE PUBLICATION tailrace_shop FOR ALL TABLES")
    run(mirror)
    execute(mirror, "ALTER TABLE customers ADD COLUMN level int DEFAULT 3", "ALTER TABLE customers RENAME COLUMN name TO title",
            "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", "CREATE TABLE fresh (id int PRIMARY KEY, v text)",
            "ALTER TABLE empty_table RENAME TO hollow")
    until(mirror, lambda: len(versions(mirror, "customers")) == 2, "nobody noticed")
    assert versions(mirror, "customers")[1] == 'renamed "name" to "title"; added "level" integer'
    # The new table, and the one with the enum.
    until(mirror, lambda: copied_again(mirror) == 2, "not all is copied")
    settle(mirror)
    mirror.stop()
    assert_columns(mirror, "customers", "id", "title", "joined", "level")
    assert_same(mirror, "customers", "id", "title", "joined", "level")
    assert_same(mirror, "moods", "id", "m")
    assert_columns(mirror, "fresh", "id", "v")
    assert_columns(mirror, "hollow", "id", "v")


def test_a_dropped_table_stands_still_and_comes_back_when_it_is_made_again(mirror: Shop):
    execute(mirror, "CREATE TABLE gone (id int PRIMARY KEY, v text)", "INSERT INTO gone VALUES (1, 'a')",
            "CREATE PUBLICATION tailrace_shop FOR ALL TABLES")
    run(mirror)
    execute(mirror, "DROP TABLE gone")
    until(mirror, lambda: "TR629" in codes(mirror), "nobody noticed")
    assert versions(mirror, "gone") == ["first seen", "the table was dropped at the source"]
    execute(mirror, "CREATE TABLE gone (id int PRIMARY KEY, other int)", "INSERT INTO gone VALUES (1, 7), (2, 8)")
    until(mirror, lambda: copied_again(mirror) == 1, "the new table is not copied")
    settle(mirror, lambda problems: "TR629" not in [problem["code"] for problem in problems])
    execute(mirror, "INSERT INTO gone VALUES (3, 9)")
    mirror.wait()
    mirror.stop()
    assert_same(mirror, "gone", "id", "other")


def test_what_changed_while_nobody_looked_is_found_at_the_start(mirror: Shop):
    run(mirror)
    mirror.stop()
    execute(mirror, "ALTER TABLE customers ADD COLUMN level int DEFAULT 3")
    run(mirror)
    until(mirror, lambda: len(versions(mirror, "customers")) == 2, "nobody noticed")
    mirror.process.kill()
    run(mirror)
    mirror.change()
    mirror.wait()
    settle(mirror)
    mirror.stop()
    assert_columns(mirror, "customers", "id", "name", "joined", "level")
    mirror.assert_equal()


def test_looks_beside_writers_and_ddl_tear_nothing(mirror: Shop):
    run(mirror)
    for n in range(12):
        execute(mirror, f"ALTER TABLE customers ADD COLUMN c{n} int DEFAULT {n}",
                f"BEGIN; UPDATE orders SET total = total + 1; ALTER TABLE orders ADD COLUMN c{n} int; UPDATE orders SET c{n} = 1 WHERE id % 7 = {n % 7}; COMMIT")
        if n % 3 == 0:
            execute(mirror, f"UPDATE customers SET c{n} = -1 WHERE id % 5 = 0")
        time.sleep(0.3)
    settle(mirror)
    until(mirror, lambda: "c11" in versions(mirror, "customers")[-1], "the last column is not noticed")
    settle(mirror)
    mirror.stop()
    assert_same(mirror, "customers", "id", "name", *[f"c{n}" for n in range(12)])
    assert_same(mirror, "orders", "id", "total", *[f"c{n}" for n in range(12)])


def remedies(mirror: Shop, code: str) -> list[str]:
    checked = mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml", "--json", "--state", mirror.tailrace.state)
    return [finding["remedy"] for finding in checked.json()["pipelines"][0]["findings"] if finding["code"] == code]


def test_an_event_trigger_tells_of_ddl_at_once_and_fails_no_statement(mirror: Shop):
    run(mirror, "1h", ", ddl_messages: true")
    sql, = remedies(mirror, "TR136")
    execute(mirror, sql)
    execute(mirror, "ALTER TABLE customers ADD COLUMN level int DEFAULT 3")
    until(mirror, lambda: len(versions(mirror, "customers")) == 2, "nobody noticed")
    assert remedies(mirror, "TR136") == []
    # Also where the trigger itself fails, and for those who may do nothing else.
    role = f"ddl_{mirror.database[-40:]}"
    execute(mirror, f"CREATE ROLE {role}", f"GRANT CREATE ON SCHEMA public TO {role}",
            "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(bool, text, text) FROM PUBLIC",
            f"ALTER FUNCTION public.tailrace_ddl() OWNER TO {role}", f"SET ROLE {role}; CREATE TABLE theirs (id int PRIMARY KEY); DROP TABLE theirs; RESET ROLE",
            "ALTER TABLE customers ADD COLUMN more int", "DROP EVENT TRIGGER tailrace_ddl", "DROP FUNCTION public.tailrace_ddl()")
    execute(mirror, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
    mirror.stop()
    assert_columns(mirror, "customers", "id", "name", "joined", "level")
    assert rows(mirror.target, "SELECT DISTINCT level FROM public.customers") == [(3,)]


@pytest.mark.server
def test_a_published_table_that_loses_its_identity_is_told_of_until_it_has_one_again(mirror: Shop):
    """PostgreSQL then refuses the application's updates. The remedies are taken as they are told."""
    execute(mirror, "CREATE TABLE parted (id int, n int) PARTITION BY LIST (id)", "CREATE TABLE part PARTITION OF parted DEFAULT",
            "ALTER TABLE part ADD PRIMARY KEY (id)", "INSERT INTO parted SELECT g, 0 FROM generate_series(1, 9) g")
    run(mirror)
    lost = {"customers": "ALTER TABLE customers REPLICA IDENTITY NOTHING", "orders": "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
            "part": "ALTER TABLE part DROP CONSTRAINT part_pkey"}
    execute(mirror, *lost.values(), "INSERT INTO customers (name) VALUES ('new')", "INSERT INTO orders (customer, total) VALUES (1, 1)")
    for table in lost:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="does not have a replica identity"):
            execute(mirror, f"UPDATE {table} SET id = id WHERE id = 1")

    def told() -> list[dict]:
        return [problem for problem in mirror.problems() if problem["code"] == "TR143"]

    until(mirror, lambda: told() and all(f"public.{table}" in told()[0]["what"] for table in lost), "nobody tells of it")
    remedy = told()[0]["remedy"]
    assert '"customers" REPLICA IDENTITY DEFAULT' in remedy and '"orders" REPLICA IDENTITY FULL' in remedy, remedy
    assert f"[TR143]; {remedy}" in mirror.process.err()
    checked = mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml", "--state", mirror.tailrace.state)
    assert "TR143" in checked.out, checked
    execute(mirror, remedy)
    until(mirror, lambda: not told(), "it is still told")
    mirror.change()
    execute(mirror, "UPDATE parted SET n = id WHERE id < 5", "DELETE FROM parted WHERE id = 6")
    settle(mirror)
    mirror.stop()
    mirror.assert_equal()
    assert_same(mirror, "part", "id", "n")

"""Tables that change while they are followed."""

import pytest

from e2e.changing import assert_same, copied_again, execute, settle
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit

pytestmark = pytest.mark.smoke

PIPELINE = """name: shop
source: {{postgres: {{url: "{url}"}}}}
sinks: {{warehouse: {{duckdb: {{path: {target}, dropped_columns: {dropped}{more}}}}}}}
"""


def run(mirror: Shop, dropped: str = "drop", more: str = "") -> None:
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(PIPELINE.format(url=mirror.cluster.url(mirror.database), target=mirror.target, dropped=dropped, more=more))
    mirror.process = mirror.tailrace.start("run", file, "--state", mirror.tailrace.state, "--log-level", "info")
    mirror.wait()


def no_problems(mirror: Shop) -> None:
    settle(mirror)
    assert "duckdb.held" not in mirror.process.err()


def test_columns_may_be_added_with_very_long_defaults(mirror: Shop):
    """They are part of the table's description, which is then longer than anything else that the log writes at once."""
    run(mirror)
    execute(mirror, *(f"ALTER TABLE customers ADD COLUMN long_{n} text DEFAULT repeat('{n}', 560000)" for n in range(3)),
            "UPDATE customers SET long_1 = 'x' WHERE id = 2", "INSERT INTO customers (name) VALUES ('new')")
    no_problems(mirror)
    mirror.process.kill()
    execute(mirror, "INSERT INTO customers (name) VALUES ('newer')")
    run(mirror)
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "long_0", "long_1", "long_2")


def test_added_columns_show_their_defaults_in_older_rows(mirror: Shop):
    run(mirror)
    execute(mirror, "ALTER TABLE customers ADD COLUMN level int DEFAULT 3, ADD COLUMN note text, "
                    "ADD COLUMN words text[] DEFAULT '{\"a b\",\"c,d\"}'",
            "ALTER TABLE customers ADD COLUMN since timestamp NOT NULL DEFAULT '2024-05-06 07:08:09'",
            "UPDATE customers SET level = 4, note = 'x' WHERE id = 2",
            "INSERT INTO customers (name) VALUES ('new')")
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "level", "note", "since")
    assert rows(mirror.target, "SELECT DISTINCT words FROM public.customers") == [(["a b", "c,d"],)]


def test_a_table_whose_new_column_is_computed_for_each_row_is_copied_again(mirror: Shop):
    run(mirror)
    execute(mirror, "ALTER TABLE customers ADD COLUMN token uuid DEFAULT gen_random_uuid()",
            "UPDATE customers SET name = 'x' WHERE id = 2", "UPDATE orders SET total = 1 WHERE id = 2")
    settle(mirror)
    assert copied_again(mirror) == 1
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "token")
    assert rows(mirror.target, "SELECT total::text FROM public.orders WHERE id = 2") == [("1.00",)]


def test_renamed_columns_and_tables_keep_their_rows(mirror: Shop):
    run(mirror, more=", history: [\"*.*\"]")
    execute(mirror, "ALTER TABLE customers RENAME COLUMN name TO title", "UPDATE customers SET title = 'T' WHERE id = 1",
            "ALTER TABLE customers RENAME TO clients", "UPDATE clients SET title = 'U' WHERE id = 2",
            "CREATE SCHEMA crm", "ALTER TABLE clients SET SCHEMA crm", "DELETE FROM crm.clients WHERE id = 50")
    no_problems(mirror)
    execute(mirror, "UPDATE crm.clients SET title = 'V' WHERE id = 3")
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "crm.clients", "id", "title", "joined")
    assert rows(mirror.target, "SELECT title FROM crm.clients__history WHERE id = 1 ORDER BY from_lsn") == [("customer 1",), ("T",)]
    assert rows(mirror.target, "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'customers%'") == []


def test_changes_before_between_and_behind_alterations_of_one_transaction(mirror: Shop):
    run(mirror, more=", history: [\"*.*\"]")
    execute(mirror, "BEGIN; INSERT INTO customers (id, name) VALUES (100, 'a'); "
                    "ALTER TABLE customers ADD COLUMN extra int DEFAULT 7; INSERT INTO customers (id, name) VALUES (101, 'b'); "
                    "UPDATE customers SET extra = 8 WHERE id = 100; ALTER TABLE customers RENAME COLUMN joined TO entered; "
                    "UPDATE customers SET name = 'c' WHERE id IN (1, 101); COMMIT")
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "entered", "extra")
    assert rows(mirror.target, "SELECT id, extra FROM public.customers__history WHERE is_current AND id IN (1, 100, 101) "
                               "ORDER BY id") == [(1, 7), (100, 8), (101, 7)]


def test_alterations_while_nobody_looks_are_followed_from_the_stream(mirror: Shop):
    run(mirror)
    mirror.stop()
    execute(mirror, "UPDATE customers SET name = 'first' WHERE id = 1", "ALTER TABLE customers ADD COLUMN a int DEFAULT 1",
            "UPDATE customers SET name = 'second' WHERE id = 2", "ALTER TABLE customers ADD COLUMN b int DEFAULT 2",
            "UPDATE customers SET name = 'third' WHERE id = 3")
    run(mirror)
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "a", "b")


@pytest.mark.parametrize("then", ["RENAME COLUMN level TO grade", "ALTER COLUMN level TYPE numeric(12,2)"])
def test_the_default_of_a_column_that_was_altered_again_while_nobody_looked_is_in_older_rows(mirror: Shop, then: str):
    run(mirror, more=", history: true")
    mirror.stop()
    execute(mirror, "ALTER TABLE customers ADD COLUMN level numeric(6,2) DEFAULT 1.50", "UPDATE customers SET name = 'x' WHERE id = 2",
            f"ALTER TABLE customers {then}", "UPDATE customers SET name = 'y' WHERE id = 3")
    run(mirror, more=", history: true")
    settle(mirror)
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "grade" if "RENAME" in then else "level")


@pytest.mark.parametrize("dropped", ["hold", "drop", "keep"])
def test_a_dropped_column_is_treated_as_the_pipeline_says(mirror: Shop, dropped: str):
    run(mirror, dropped)
    execute(mirror, "ALTER TABLE customers DROP COLUMN joined", "UPDATE customers SET name = 'x' WHERE id = 2")
    mirror.wait()
    problems = mirror.tailrace.status()["problems"]
    mirror.stop()
    columns = [name for (name,) in rows(mirror.target, "SELECT column_name FROM duckdb_columns() WHERE table_name = 'customers' "
                                                       "ORDER BY column_index")]
    if dropped == "hold":
        assert [(problem["code"], '"joined" was dropped' in problem["what"]) for problem in problems] == [("TR609", True)]
        return
    assert problems == []
    assert columns == (["id", "name"] if dropped == "drop" else ["id", "name", "joined"])
    assert_same(mirror, "public.customers", "id", "name")


def test_a_column_dropped_and_added_under_its_name_is_not_guessed(mirror: Shop):
    run(mirror)
    execute(mirror, "ALTER TABLE customers DROP COLUMN joined, ADD COLUMN joined date", "UPDATE customers SET name = 'x' WHERE id = 2")
    settle(mirror)
    assert "dropped and added again" in mirror.process.err() and copied_again(mirror) == 1
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "joined")


def test_wider_types_without_a_rewrite_are_followed(mirror: Shop):
    execute(mirror, "CREATE TABLE sized (id int PRIMARY KEY, v varchar(5), n numeric(6,2))", "INSERT INTO sized VALUES (1, 'abc', 1.25)")
    run(mirror)
    execute(mirror, "ALTER TABLE sized ALTER COLUMN v TYPE varchar(50), ALTER COLUMN n TYPE numeric(20,2)",
            "INSERT INTO sized VALUES (2, 'longer than five', 123456789012.25)")
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.sized", "id", "v", "n")


def test_another_primary_key_tells_rows_apart_from_then_on(mirror: Shop):
    execute(mirror, "CREATE TABLE keyed (id int PRIMARY KEY, k int UNIQUE NOT NULL, v text)",
            "INSERT INTO keyed SELECT g, -g, 'v' FROM generate_series(1, 20) g")
    run(mirror)
    execute(mirror, "UPDATE keyed SET v = 'x' WHERE id = 1",
            "ALTER TABLE keyed DROP CONSTRAINT keyed_pkey, ADD CONSTRAINT keyed_pkey PRIMARY KEY (k)",
            "UPDATE keyed SET id = id + 100 WHERE k < -10", "DELETE FROM keyed WHERE k = -3", "UPDATE keyed SET k = 77 WHERE k = -4")
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.keyed", "id", "k", "v")


def test_alterations_survive_a_kill(mirror: Shop):
    run(mirror)
    for n in range(4):
        execute(mirror, f"ALTER TABLE customers ADD COLUMN c{n} int DEFAULT {n}", f"UPDATE customers SET c{n} = -1 WHERE id = {n + 1}",
                f"ALTER TABLE orders RENAME COLUMN {'note' if n == 0 else f'note{n - 1}'} TO note{n}",
                "UPDATE orders SET total = total + 1 WHERE id < 20")
        mirror.process.kill()
        run(mirror)
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.customers", "id", "name", "c0", "c1", "c2", "c3")
    assert_same(mirror, "public.orders", "id", "total", "note3")


def test_partitioned_tables_are_altered_through_their_root(mirror: Shop):
    execute(mirror, "CREATE TABLE parted (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
            "CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
            "CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
            "INSERT INTO parted SELECT g, '2024-01-15'::date + g, 'v' FROM generate_series(1, 30) g")
    run(mirror)
    execute(mirror, "ALTER TABLE parted ADD COLUMN n int DEFAULT 5", "UPDATE parted SET v = 'x' WHERE id IN (3, 25)",
            "INSERT INTO parted VALUES (99, '2024-02-02', 'z', 6)")
    no_problems(mirror)
    mirror.stop()
    listed = {name for (name,) in rows(mirror.target, "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'parted%'")}
    query = "SELECT id, day::text, v, n FROM {} ORDER BY id"
    for table in listed:
        assert rows(mirror.target, query.format(f"public.{table}")) == mirror.cluster.query(query.format(table), database=mirror.database)
    assert listed


def test_the_versions_of_a_table_are_listed_by_their_places(mirror: Shop):
    run(mirror)
    execute(mirror, "ALTER TABLE customers ADD COLUMN level int DEFAULT 3", "UPDATE customers SET level = 4 WHERE id = 2",
            "VACUUM ANALYZE customers", "UPDATE customers SET level = 5 WHERE id = 2",
            "ALTER TABLE customers RENAME TO clients", "UPDATE clients SET level = 6 WHERE id = 2")
    no_problems(mirror)
    mirror.process.kill()
    run(mirror)
    execute(mirror, "UPDATE clients SET level = 7 WHERE id = 2")
    no_problems(mirror)
    state = ["--state", mirror.tailrace.state]
    listed = mirror.tailrace.command("schema", "history", "shop", "customers", "--json", *state).json()
    assert [(version["table"], version["what"]) for version in listed] == [
        ("public.customers", "first seen"), ("public.customers", 'added "level" integer'),
        ("public.clients", "renamed from public.customers")]
    assert [column["name"] for column in listed[1]["columns"]] == ["id", "name", "joined", "level"]
    assert [version["lsn"] for version in listed] == sorted({version["lsn"] for version in listed},
                                                            key=lambda lsn: [int(part, 16) for part in lsn.split("/")])
    mirror.stop()
    lines = mirror.tailrace.command("schema", "history", "shop", *state).out.splitlines()
    assert len(lines) == 5 and any('added "level" integer' in line for line in lines)
    unknown = mirror.tailrace.command("schema", "history", "shop", "nothing", *state)
    assert (unknown.code, "TR219" in unknown.err) == (Exit.REQUEST, True)


def test_rewrites_that_change_nothing_hold_nothing(mirror: Shop):
    execute(mirror, "CREATE TABLE moved (id int PRIMARY KEY, v text DEFAULT 'd', n numeric(6,2))",
            "INSERT INTO moved SELECT g, 'v', g FROM generate_series(1, 20) g", "ALTER TABLE moved ADD COLUMN old int DEFAULT 5")
    run(mirror)
    execute(mirror, "UPDATE moved SET v = 'a' WHERE id = 1", "VACUUM FULL moved", "UPDATE moved SET v = 'b' WHERE id = 2",
            "CLUSTER moved USING moved_pkey", "UPDATE moved SET v = 'c' WHERE id = 3", "REINDEX TABLE moved", "ANALYZE moved",
            "UPDATE moved SET v = 'd' WHERE id = 4", "VACUUM FULL moved", "DELETE FROM moved WHERE id = 5")
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.moved", "id", "v", "n", "old")


def test_a_rewrite_to_the_same_type_is_told_from_one_that_changes_nothing(mirror: Shop):
    execute(mirror, "CREATE TABLE moved (id int PRIMARY KEY, n int)", "INSERT INTO moved SELECT g, g FROM generate_series(1, 20) g")
    run(mirror)
    execute(mirror, "UPDATE moved SET n = 0 WHERE id = 1", "ALTER TABLE moved ALTER COLUMN n TYPE int USING n * 10",
            "UPDATE moved SET n = 1 WHERE id = 2")
    settle(mirror)
    assert copied_again(mirror) == 1
    mirror.stop()
    assert_same(mirror, "public.moved", "id", "n")


def test_tables_that_are_emptied_between_their_versions_are_not_taken_for_rewritten(mirror: Shop):
    execute(mirror, "CREATE TABLE emptied (id serial PRIMARY KEY, v text)", "CREATE TABLE refers (id int PRIMARY KEY, e int REFERENCES emptied)",
            "INSERT INTO emptied (v) SELECT 'v' FROM generate_series(1, 20) g", "INSERT INTO refers SELECT g, g FROM generate_series(1, 20) g")
    run(mirror, more=", history: [\"*.*\"]")
    execute(mirror, "UPDATE emptied SET v = 'a' WHERE id = 1", "ALTER TABLE emptied ADD COLUMN n int DEFAULT 3",
            "TRUNCATE emptied RESTART IDENTITY CASCADE", "INSERT INTO emptied (v) VALUES ('first')", "INSERT INTO refers VALUES (1, 1)",
            "BEGIN; ALTER TABLE emptied ADD COLUMN m int; TRUNCATE emptied CASCADE; INSERT INTO emptied (v, m) VALUES ('x', 1); COMMIT",
            "ALTER TABLE emptied RENAME COLUMN m TO k", "INSERT INTO emptied (v, k) VALUES ('y', 2)",
            "ALTER TABLE refers ADD COLUMN t text", "INSERT INTO refers VALUES (7, NULL, 't')")
    no_problems(mirror)
    mirror.stop()
    assert_same(mirror, "public.emptied", "id", "v", "n", "k")
    assert_same(mirror, "public.refers", "id", "e", "t")

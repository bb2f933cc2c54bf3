"""`tailrace verify`: every planted difference is found, and nothing is where none was planted."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.pair import Hammer, Pair, found
from e2e.shop import Shop
from e2e.tailrace import Exit, Tailrace
from e2e.test_duckdb_values import VALUES


def test_values_of_every_type_have_one_text_on_both_sides(cluster: Cluster, database: str, tailrace: Tailrace):
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(VALUES))
    literals = ", ".join(value for _, value, *_ in VALUES)
    more = ["float8 '1e15'", "float8 '123456789012345678'", "float8 '-0'", "float4 '1e6'", "float4 '16777216'",
            "interval '-1 year 3 days -00:00:00.5'", "timestamptz '9999-12-31 23:59:59.999999+00'",
            "timestamp '10000-01-01'", "timetz '00:00:00+15:59:59'", "numeric(4,4) '-0.0001'", "ARRAY[float8 '-0', 1e-7]",
            "ARRAY['NULL', 'a b', '{', '', NULL]", "ARRAY[timestamptz '-infinity']", "ARRAY[true, false]",
            "ARRAY['\\x00'::bytea]", "ARRAY[interval '1 mon', '30 days']", "'x'::\"char\"", "date '-infinity'"]
    wide = ", ".join(f"w{n} int DEFAULT {n}" for n in range(150))
    cluster.execute("CREATE TYPE mood AS ENUM ('so, so')", "CREATE DOMAIN percent AS numeric(5,2)",
                    f"CREATE TABLE v (id bigint PRIMARY KEY, {columns})", f"INSERT INTO v VALUES (1, {literals})", "INSERT INTO v (id) VALUES (2)",
                    "CREATE TABLE more AS SELECT 1 AS id, " + ", ".join(f"{value} AS m{n}" for n, value in enumerate(more)),
                    "ALTER TABLE more ADD PRIMARY KEY (id)", f"CREATE TABLE wide (id int PRIMARY KEY, {wide})",
                    "INSERT INTO wide VALUES (1), (-5)", database=database)
    pair = Pair(cluster, database, tailrace)
    code, seen = pair.verify()
    assert code == Exit.DONE, seen
    assert seen["equal"]
    # Were a text another one on one side, hashes would differ and the row would be a suspect. Arrays alone may hold a -0.
    assert {table["table"]: table["suspects"] for table in seen["tables"]} == {
        "public.more": 1, "public.v": 0, "public.wide": 0}


PLANTED = {
    "a changed value": ("UPDATE public.t SET n = 8 WHERE id = 3", [("stale", "3")]),
    "a missing row": ("DELETE FROM public.t WHERE id = 3", [("missing", "3")]),
    "an extra row": ("INSERT INTO public.t (id, n) VALUES (1000000, 1)", [("extra", "1000000")]),
    "a row below all others": ("INSERT INTO public.t (id, n) VALUES (-7, 1)", [("extra", "-7")]),
    "a doubled row": ("INSERT INTO public.t SELECT * FROM public.t WHERE id = 3", [("extra", "3")]),
    "NULL for an empty text": ("UPDATE public.t SET v = NULL WHERE id = 3", [("stale", "3")]),
    "an empty text for NULL": ("UPDATE public.t SET w = '' WHERE id = 3", [("stale", "3")]),
    "a value in the next column": ("UPDATE public.t SET w = 'a,1:b', x = NULL WHERE id = 4", [("stale", "4")]),
    "another scale": ("UPDATE public.t SET free = '1.50' WHERE id = 3", [("stale", "3")]),
    "a finite moment": ("UPDATE public.t SET moment = '2026-01-01' WHERE id = 3", [("stale", "3")]),
    "one microsecond": ("UPDATE public.t SET moment = moment + INTERVAL 1 MICROSECOND WHERE id = 4", [("stale", "4")]),
    # DuckDB's UPDATE writes nothing where old and new value compare as equal.
    "30 days for a month": ("DELETE FROM public.t WHERE id = 3; INSERT INTO public.t SELECT * REPLACE (INTERVAL 30 DAYS AS i) "
                            "FROM kept WHERE id = 3", [("stale", "3")]),
    "an array's element": ("UPDATE public.t SET a = [1, NULL] WHERE id = 3", [("stale", "3")]),
    "white space in JSON": ("UPDATE public.t SET j = '{\"a\": 1}' WHERE id = 3", [("stale", "3")]),
    "one bit of a bytea": ("UPDATE public.t SET b = '\\x01'::BLOB WHERE id = 3", [("stale", "3")]),
    "a float's last digit": ("UPDATE public.t SET f = 0.30000000000000004 WHERE id = 3", [("stale", "3")]),
    "swapped keys": ("UPDATE public.t SET id = CASE id WHEN 3 THEN 4 ELSE 3 END WHERE id IN (3, 4)",
                     [("stale", "3"), ("stale", "4")]),
}


@pytest.fixture(scope="module")
def planted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory):
    database = "planted"
    cluster.execute(f"CREATE DATABASE {database}")
    cluster.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, n int, v text DEFAULT '', w text, x text, free numeric DEFAULT 1.5, "
        "moment timestamptz DEFAULT 'infinity', i interval DEFAULT '1 mon', a int[] DEFAULT '{1,2}', j json DEFAULT '{\"a\":1}', "
        "b bytea DEFAULT '\\x00', f float8 DEFAULT 0.3)",
        "INSERT INTO t SELECT g FROM generate_series(1, 5000) g",
        "UPDATE t SET w = 'a', x = 'b', moment = '2026-01-31 12:00:00' WHERE id = 4", database=database)
    tailrace = Tailrace(tmp_path_factory.mktemp("planted"), name="planted")
    yield Pair(cluster, database, tailrace)
    tailrace.close()


@pytest.mark.parametrize("name", PLANTED)
def test_every_planted_difference_is_found(planted: Pair, name: str):
    statement, expected = PLANTED[name]
    planted.plant("CREATE TABLE kept AS FROM public.t", statement)
    try:
        code, seen = planted.verify()
        assert code == Exit.NO, seen
        assert found(seen["tables"][0]) == [(what, {"id": key}) for what, key in expected]
        told = planted.answer()
        assert f"id {expected[0][1]}" in told.out and "TR700" in told.err, str(told)
    finally:
        planted.plant("DELETE FROM public.t", "INSERT INTO public.t FROM kept", "DROP TABLE kept")
    assert planted.verify()[0] == Exit.DONE


def test_names_and_keys_may_be_hostile(cluster: Cluster, database: str, tailrace: Tailrace):
    cluster.execute('CREATE SCHEMA "sch""ema"', 'CREATE TABLE "sch""ema"."ta ble\'😀" ("k""ey" text, "2" uuid, "v,a l" text, '
                    'PRIMARY KEY ("2", "k""ey"))',
                    'INSERT INTO "sch""ema"."ta ble\'😀" SELECT k, \'f47ac10b-58cc-4372-a567-0e02b2c3d479\', k FROM '
                    "unnest(ARRAY['a', '', 'it''s \"x\"', E'back\\\\slash', E'line\\nfeed', '{}', '😀']) k", database=database)
    pair = Pair(cluster, database, tailrace)
    assert pair.verify()[0] == Exit.DONE
    pair.plant('UPDATE "sch""ema"."ta ble\'😀" SET "v,a l" = \'other\' WHERE "k""ey" IN (\'\', \'it\'\'s "x"\', \'line\nfeed\')')
    code, seen = pair.verify()
    assert code == Exit.NO
    assert sorted(one["key"]['k"ey'] for one in seen["tables"][0]["keys"]) == ["", 'it\'s "x"', "line\nfeed"]


@pytest.mark.parametrize("identity", ["FULL", "DEFAULT"])
def test_rows_without_a_key_are_counted(cluster: Cluster, database: str, tailrace: Tailrace, identity: str):
    cluster.execute("CREATE TABLE t (a int, b text)", f"ALTER TABLE t REPLICA IDENTITY {identity}",
                    "INSERT INTO t SELECT g % 3, 'x' FROM generate_series(1, 100) g", database=database)
    pair = Pair(cluster, database, tailrace)
    assert pair.verify()[0] == Exit.DONE
    pair.plant("DELETE FROM public.t WHERE rowid = (SELECT min(rowid) FROM public.t WHERE a = 1)")
    code, seen = pair.verify()
    assert code == Exit.NO and seen["tables"][0]["differing"] == 1, seen


def test_rows_that_the_target_cannot_hold_are_excused(cluster: Cluster, database: str, tailrace: Tailrace):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric(5,2))", "INSERT INTO t VALUES (1, 1), (2, 'NaN')",
                    database=database)
    pair = Pair(cluster, database, tailrace)
    cluster.execute("INSERT INTO t VALUES (3, 'NaN'), (4, 4)", "UPDATE t SET n = 5 WHERE id = 3", database=database)
    pair.wait()
    assert pair.verify()[0] == Exit.DONE
    pair.plant("DELETE FROM public.t WHERE id = 4")
    assert found(pair.table("public.t")) == [("missing", {"id": "4"})]


def test_a_held_table_is_not_called_equal(mirror: Shop):
    pair = Pair(mirror.cluster, mirror.database, mirror.tailrace)
    # Held until a person decides: other tables are soon copied again.
    mirror.cluster.execute("ALTER TABLE customers DROP name", "DELETE FROM customers WHERE id = 1", database=mirror.database)
    pair.wait()
    code, seen = pair.verify()
    assert code == Exit.NO
    states = {table["table"]: table["state"] for table in seen["tables"]}
    assert states == {"public.customers": "skipped", "public.empty_table": "equal", "public.orders": "equal"}
    assert pair.verify("--table", "!customers")[0] == Exit.DONE


def test_a_row_filter_of_a_publication_counts(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path: Path):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 100) g",
                    "CREATE PUBLICATION part FOR TABLE t WHERE (id > 50)", database=database)
    pipeline = tmp_path / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{cluster.url(database)}', publication: {{name: part, "
                        f"create: false}}}}}}\nsinks: {{shop: {{duckdb: {{path: '{tmp_path / 'target.duckdb'}'}}}}}}\n")
    tailrace.start("run", pipeline, "--state", tailrace.state)
    assert tailrace.wait(60).code == Exit.DONE
    answer = tailrace.command("verify", "shop", "--state", tailrace.state, "--json")
    assert answer.code == Exit.DONE and answer.json()["rows"] == 50, str(answer)


def test_no_false_alarm_while_writers_hammer_the_table(cluster: Cluster, database: str, tailrace: Tailrace):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, n int, v text, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
                    "CREATE TABLE bag (a int, b text)", "ALTER TABLE bag REPLICA IDENTITY FULL",
                    "INSERT INTO bag SELECT g % 5, 'x' FROM generate_series(1, 1000) g",
                    "INSERT INTO t SELECT g, 0, 'v', repeat('y', 3000) FROM generate_series(1, 3000) g",
                    "INSERT INTO t SELECT g, 0, 'v', 'still' FROM generate_series(20000, 20010) g", database=database)
    pair = Pair(cluster, database, tailrace, "--history")
    hammer = Hammer(cluster, database)
    suspects = 0
    try:
        for _ in range(8):
            code, seen = pair.verify()
            assert code == Exit.DONE, seen
            suspects += sum(table["suspects"] for table in seen["tables"])
    finally:
        hammer.stop()
    # Else nothing was on trial.
    assert suspects > 50 and hammer.transactions > 200, (suspects, hammer.transactions)
    pair.wait()
    pair.plant("DELETE FROM public.t WHERE id = 20003", "UPDATE public.t SET n = 9 WHERE id = 20005",
               "INSERT INTO public.t (id, n) VALUES (1000000, 1)")
    hammer = Hammer(cluster, database)
    try:
        expected = [("extra", {"id": "1000000"}), ("missing", {"id": "20003"}), ("stale", {"id": "20005"})]
        assert found(pair.table("public.t")) == expected
    finally:
        hammer.stop()


def test_a_comparison_needs_a_running_pipeline(mirror: Shop):
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE
    answer = mirror.tailrace.command("verify", "shop", "--state", mirror.tailrace.state)
    assert answer.code == Exit.UNREACHABLE and "TR514" in answer.err, str(answer)


def test_a_pipeline_compares_all_the_time_when_its_file_says_so(cluster: Cluster, database: str, tailrace: Tailrace,
                                                                tmp_path: Path):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t SELECT g, 'x' FROM generate_series(1, 100) g",
                    database=database)
    target = tmp_path / "target.duckdb"
    pipeline = tmp_path / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{cluster.url(database)}'}}}}\n"
                        f"sinks: {{shop: {{duckdb: {{path: '{target}'}}}}}}\nverify: continuous\n")
    process = tailrace.start("run", pipeline, "--state", tailrace.state, "--log-level", "info",
                             environment={"TAILRACE_BOUND_VERIFY_PAUSE_MS": "200"})
    tailrace.wait_for_state("streaming")
    pair = Pair(cluster, database, tailrace, process=process)
    wait_until(lambda: "100 rows compared; 0 tables differ" in process.err())
    assert not tailrace.status()["problems"]
    pair.plant("DELETE FROM public.t WHERE id = 4")
    wait_until(lambda: [one["code"] for one in tailrace.status()["problems"]] == ["TR700"])
    assert "public.t" in tailrace.status()["problems"][0]["what"]
    assert pair.verify("--repair")[0] == Exit.DONE
    wait_until(lambda: not tailrace.status()["problems"])
    assert process.stop() == Exit.DONE, process.err()


def wait_until(happened: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)

"""Every type that the server has, and values at the edges of the types: exact by copy and by stream, or named, never bent."""

import json

import psycopg
import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Process, Tailrace

# Something that is a value of any type, tried one after the other.
GUESSES = ["1", "t", "a", "{1,2}", "(1,2)", "((1,2),(3,4))", "[(1,2),(3,4)]", "<(1,2),3>", "{1,2,3}", "2024-02-29", "2024-02-29 12:00",
           "12:00", "1 day", "10.0.0.1", "10.0.0.0/8", "08:00:2b:01:02:03", "08:00:2b:01:02:03:04:05", "{\"a\":1}", "<a/>", "$.a", "a & b",
           "f47ac10b-58cc-4372-a567-0e02b2c3d479", "empty", "{}", "[1,2)", "1/2A", "10:20:10,14,15", "pg_class", "pg_catalog", "int4",
           "postgres", "abs(int4)", "pg_catalog.+(int4,int4)", "english", "simple", "\"C\"", "1 2 3", "=r/postgres", "101"]


def caught_up(tailrace: Tailrace, cluster: Cluster, database: str, *options: str) -> None:
    process = tailrace.mirror(cluster.url(database), tailrace.directory / "target.duckdb", "--until-caught-up", *options)
    assert process.wait(120) == Exit.DONE, process.err()


def start(tailrace: Tailrace, cluster: Cluster, database: str, *options: str) -> Process:
    process = tailrace.mirror(cluster.url(database), tailrace.directory / "target.duckdb", *options)
    assert tailrace.wait().code == Exit.DONE, process.err()
    return process


def guessed(connection: psycopg.Connection, kind: str) -> str | None:
    for value in GUESSES:
        try:
            connection.execute(f"SELECT '{value}'::{kind}")
            return value
        except psycopg.Error:
            pass
    return None


def test_no_type_of_the_server_is_left_out_or_bent(cluster: Cluster, database: str, tailrace: Tailrace):
    """Whatever pg_type lists and a column may have; new versions of the server add to it."""
    with cluster.connect(database) as connection:
        kinds = [kind for (kind,) in connection.execute(
            "SELECT format_type(oid, NULL) FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm', 'e', 'd') "
            "AND typname NOT IN ('unknown', 'gtsvector', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', "
            "'pg_brin_minmax_multi_summary', 'pg_ddl_command') ORDER BY typname")]
        values = {kind: guessed(connection, kind) for kind in kinds if not kind.endswith("[]")}
        unknown = [kind for kind, value in values.items() if value is None]
        assert unknown == [], "no value is known of these types"
        for kind in kinds:
            if kind.endswith("[]") and kind.removesuffix("[]") in values:
                literal, base = values[kind.removesuffix("[]")], kind.removesuffix("[]")
                values[kind] = connection.execute(f"SELECT ARRAY['{literal}'::{base}, NULL]::text").fetchone()[0]
    assert len(values) > 120
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(values))
    literals = ", ".join("'" + value.replace("'", "''") + "'" for value in values.values())
    cluster.execute(f"CREATE TABLE v (id int PRIMARY KEY, {columns})", f"INSERT INTO v VALUES (1, {literals})", database=database)
    caught_up(tailrace, cluster, database)
    cluster.execute(f"INSERT INTO v VALUES (2, {literals})", database=database)
    caught_up(tailrace, cluster, database)
    target = tailrace.directory / "target.duckdb"
    types = rows(target, "SELECT data_type FROM duckdb_columns() WHERE table_name = 'v' ORDER BY column_index")
    copied, streamed = rows(target, "SELECT COLUMNS(* EXCLUDE id)::VARCHAR FROM public.v ORDER BY id")
    # As the type's output function writes it; a cast to text may be another function.
    source = cluster.query("SELECT " + ", ".join(f"format('%s', c{n})" for n in range(len(values))) + " FROM v WHERE id = 1", database=database)[0]
    for n, kind in enumerate(values):
        assert copied[n] is not None and copied[n] == streamed[n], kind
        if types[n + 1] == ("VARCHAR",):
            assert copied[n] == source[n], kind


# Type, value, what DuckDB shows of it.
EDGES = [
    ("numeric", "9" * 131072 + "." + "9" * 16383, "9" * 131072 + "." + "9" * 16383),
    ("numeric", "1e-16383", "0." + "0" * 16382 + "1"),
    ("json", '{"a":1,"a":2, "b" :  "\\u0000"}', '{"a":1,"a":2, "b" :  "\\u0000"}'),
    ("json", "null", "null"),
    ("jsonb", "null", "null"),
    ("jsonb", "12345678901234567890.10", "12345678901234567890.10"),
    ("jsonb", "1e400", "1" + "0" * 400),
    ("text[]", '{""}', "['']"),
    ("text[]", "{}", "[]"),
    ("text[]", '{NULL,"NULL","",Nx}', "[NULL, 'NULL', '', Nx]"),
    ("jsonb[]", '{"{\\"a\\": [1]}",NULL}', None),
    ("pair[]", '{"(1,\\"a,b\\")",NULL}', None),
    ("pair", '(1,"a ""quoted"" (x)")', '(1,"a ""quoted"" (x)")'),
    ("pair", "(,)", "(,)"),
    ("\"odd.\"\"schema\".\"mo.\"\"od\"", "fine", "fine"),
    ("mood", "sad", "sad"),
    ("\"odd.\"\"schema\".\"mo.\"\"od\"[]", "{fine,NULL}", "[fine, NULL]"),
    ("words", "{a,b}", "[a, b]"),
    ("exact[]", "{1.50,NULL}", None),
    ("timetz", "24:00:00+15:59", "24:00:00+15:59"),
    ("time", "23:59:60", "24:00:00"),
    ("time", "00:00:00.000249", "00:00:00.000249"),
    ("timestamptz", "1890-01-01 00:00:00+08:05:43", "1889-12-31 15:54:17+00"),
    ("interval", "-1 mons +2 days -00:00:00.000001", "-1 month 2 days -00:00:00.000001"),
    ("timestamptz[]", "{infinity,-infinity,NULL}", "[infinity, -infinity, NULL]"),
    ("date", "4713-01-01 BC", "4713-01-01 (BC)"),
    ("int8range", "(,]", "(,)"),
    ("tstzrange", "[infinity,]", None),
    ("bytea", "", ""),
    ("text", "\ufffe\u200be\u0301", "\ufffe\u200be\u0301"),
]
KINDS = ["CREATE SCHEMA \"odd.\"\"schema\"", "CREATE TYPE \"odd.\"\"schema\".\"mo.\"\"od\" AS ENUM ('fine')", "CREATE TYPE mood AS ENUM ('sad')",
         "CREATE TYPE \"odd.\"\"schema\".mood AS ENUM ('other')", "CREATE TYPE pair AS (a int, b text)", "CREATE DOMAIN words AS text[]",
         "CREATE DOMAIN inner_exact AS numeric(10,2)", "CREATE DOMAIN exact AS inner_exact CHECK (VALUE > 0)"]


def test_values_at_the_edges_are_exact_by_copy_and_by_stream(cluster: Cluster, database: str, tailrace: Tailrace):
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(EDGES))
    holes = ", ".join(["%s"] * len(EDGES))
    cluster.execute(*KINDS, f"CREATE TABLE v (id int PRIMARY KEY, {columns})", "INSERT INTO v (id) VALUES (2)", database=database)

    def insert(key: int) -> None:
        with psycopg.connect(cluster.conninfo(database), autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute(f"INSERT INTO v VALUES ({key}, {holes})", [value for _, value, _ in EDGES])

    insert(1)
    caught_up(tailrace, cluster, database)
    insert(3)
    # Values come and go by updates, too.
    cluster.execute("UPDATE v SET " + ", ".join(f"c{n} = (SELECT c{n} FROM v WHERE id = 3)" for n in range(len(EDGES))) + " WHERE id = 2",
                    "UPDATE v SET " + ", ".join(f"c{n} = NULL" for n in range(len(EDGES))) + " WHERE id = 3", database=database)
    caught_up(tailrace, cluster, database)
    shown = ", ".join(f"c{n}::VARCHAR" for n in range(len(EDGES)))
    copied, updated, emptied = rows(tailrace.directory / "target.duckdb", f"SELECT {shown} FROM public.v ORDER BY id")
    assert set(emptied) == {None}
    for n, (kind, value, text) in enumerate(EDGES):
        assert copied[n] == updated[n], kind
        assert copied[n] is not None and (text is None or copied[n] == text), (kind, copied[n][:200])


LETTERS = {
    "a": ("int[]", "{{1,2},{3,4}}"), "b": ("int[]", "[0:2]={1,NULL,3}"), "c": ("text[]", "{{{{{a}}}}}"), "d": ("numeric(5,2)", "NaN"),
    "e": ("timestamp", "294276-12-31 23:59:59"),
}


def test_what_the_target_cannot_hold_is_a_letter_and_the_other_rows_land(cluster: Cluster, database: str, tailrace: Tailrace):
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in LETTERS.items())
    cluster.execute(f"CREATE TABLE v (id int PRIMARY KEY, {columns})", database=database)
    for at_start in (True, False):
        for n, (name, (_, value)) in enumerate(LETTERS.items()):
            cluster.execute(f"INSERT INTO v (id, {name}) VALUES ({n + 10 * at_start}, '{value}')", database=database)
        cluster.execute(f"INSERT INTO v (id) VALUES ({100 + at_start})", database=database)
        caught_up(tailrace, cluster, database)
    assert rows(tailrace.directory / "target.duckdb", "SELECT id FROM public.v ORDER BY id") == [(100,), (101,)]
    status = tailrace.status()
    assert status["sinks"][0]["dead_letters"] == 2 * len(LETTERS), status
    assert [problem["code"] for problem in status["problems"]] == ["TR615"]


KEYS = {
    "float8": ["NaN", "Infinity", "-Infinity", "0", "0.1", "5e-324", "1.7976931348623157e308"],
    "numeric": ["NaN", "0", "1.50", "1e-20", "1e40"],
    "timestamptz": ["infinity", "-infinity", "2024-02-29 12:00:00+05:30", "0044-03-15 12:00:00+00 BC"],
    "date": ["infinity", "4713-01-01 BC", "10000-01-01"],
    "bytea": ["\\x", "\\x00", "\\x" + bytes(range(256)).hex()],
    "text": ["", " ", "\u00e9", "e\u0301", "NULL", "\\N", "a", "A"],
    "int4[]": ["{}", "{NULL}", "{1,2}"],
    "boolean": ["t", "f"],
    "interval": ["1 mon", "24:00:00", "-1 mon +2 days"],
}


def test_values_at_the_edges_are_keys_too(cluster: Cluster, database: str, tailrace: Tailrace):
    """Rows are found by such keys when they are changed, moved and deleted."""
    for n, (kind, keys) in enumerate(KEYS.items()):
        values = ", ".join(f"('{key}'::{kind}, {place})" for place, key in enumerate(keys))
        cluster.execute(f"CREATE TABLE k{n} (k {kind} PRIMARY KEY, n int)", f"INSERT INTO k{n} VALUES {values}", database=database)
    process = start(tailrace, cluster, database)
    for n, (kind, keys) in enumerate(KEYS.items()):
        cluster.execute(f"UPDATE k{n} SET n = n + 100", f"DELETE FROM k{n} WHERE k = '{keys[0]}'", f"INSERT INTO k{n} VALUES ('{keys[0]}', 7)",
                        f"DELETE FROM k{n} WHERE k = '{keys[1]}'", f"UPDATE k{n} SET k = '{keys[1]}' WHERE k = '{keys[0]}'", database=database)
    answer = tailrace.wait()
    assert answer.code == Exit.DONE and tailrace.status()["problems"] == [], f"{answer}\n{process.err()}"
    compared = tailrace.command("verify", tailrace.name, "--state", tailrace.state, "--json")
    assert compared.code == Exit.DONE and json.loads(compared.out.splitlines()[0])["equal"], str(compared)
    assert process.stop() == Exit.DONE
    for n, keys in enumerate(KEYS.values()):
        numbers = f"SELECT n FROM {{}}k{n} ORDER BY n"
        assert rows(tailrace.directory / "target.duckdb", numbers.format("public.")) == cluster.query(numbers.format(""), database=database)


def test_a_table_as_wide_as_they_may_be(cluster: Cluster, database: str, tailrace: Tailrace):
    columns = ", ".join(f"c{n} boolean" for n in range(1599))
    cluster.execute(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})", "INSERT INTO wide (id, c1598) VALUES (1, true), (2, NULL)",
                    database=database)
    caught_up(tailrace, cluster, database)
    cluster.execute("BEGIN; INSERT INTO wide (id) VALUES (3); UPDATE wide SET c0 = true WHERE id = 2; DELETE FROM wide WHERE id = 1; COMMIT",
                    database=database)
    caught_up(tailrace, cluster, database)
    assert rows(tailrace.directory / "target.duckdb", "SELECT id, c0, c1, c1598 FROM public.wide ORDER BY id") == [(2, True, None, None), (3, None, None, None)]


def test_a_table_without_columns_is_refused_by_its_name(cluster: Cluster, database: str, tailrace: Tailrace):
    cluster.execute("CREATE TABLE bare ()", "CREATE TABLE t (id int PRIMARY KEY)", database=database)
    target = tailrace.directory / "target.duckdb"
    refused = tailrace.command("mirror", cluster.url(database), target, "--state", tailrace.state, "--name", "shop", "--until-caught-up")
    assert refused.code == Exit.REQUEST and "[TR608]" in refused.err and "bare" in refused.err, str(refused)


@pytest.fixture
def tailrace(tmp_path) -> Tailrace:
    made = Tailrace(tmp_path, name="shop")
    yield made
    made.close()

"""Values of every kind, by copy and by stream, as DuckDB's own package reads them."""


import pytest

from e2e.cluster import Cluster, server_major
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Tailrace

# PostgreSQL type, literal, DuckDB type, DuckDB's text of it
ALL_VALUES = [
    ("smallint", "-32768", "SMALLINT", "-32768"),
    ("integer", "2147483647", "INTEGER", "2147483647"),
    ("bigint", "-9223372036854775808", "BIGINT", "-9223372036854775808"),
    ("oid", "4294967295", "UINTEGER", "4294967295"),
    ("boolean", "true", "BOOLEAN", "true"),
    ("real", "1e-45", "FLOAT", "1e-45"),
    ("double precision", "'-Infinity'", "DOUBLE", "-inf"),
    ("numeric(10,2)", "-12345678.90", "DECIMAL(10,2)", "-12345678.90"),
    ("numeric(38,10)", "1234567890123456789012345678.0123456789", "DECIMAL(38,10)",
     "1234567890123456789012345678.0123456789"),
    ("numeric(3,5)", "0.00123", "DECIMAL(5,5)", ".00123"),
    ("numeric(5,-2)", "1234500", "DECIMAL(7,0)", "1234500"),
    ("numeric", "1.500", "VARCHAR", "1.500"),
    ("numeric(50,2)", "'NaN'", "VARCHAR", "NaN"),
    ("text", "'Ünïcödé, \"quotes\" and a \\ backslash'", "VARCHAR", "Ünïcödé, \"quotes\" and a \\ backslash"),
    ("varchar(5)", "''", "VARCHAR", ""),
    ("char(4)", "'a'", "VARCHAR", "a   "),
    ("name", "'n'", "VARCHAR", "n"),
    ("bytea", "'\\x00ff41'", "BLOB", "\\x00\\xFFA"),
    ("uuid", "'f47ac10b-58cc-4372-a567-0e02b2c3d479'", "UUID", "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
    ("date", "'4713-01-01 BC'", "DATE", "4713-01-01 (BC)"),
    ("date", "'infinity'", "DATE", "infinity"),
    ("time", "'24:00:00'", "TIME", "24:00:00"),
    ("timetz", "'12:34:56.789-03:30'", "TIME WITH TIME ZONE", "12:34:56.789-03:30"),
    ("timestamp", "'2026-01-31 12:34:56.000001'", "TIMESTAMP", "2026-01-31 12:34:56.000001"),
    ("timestamp", "'0044-03-15 12:00 BC'", "TIMESTAMP", "0044-03-15 (BC) 12:00:00"),
    ("timestamptz", "'2026-01-31 12:00:00+05:30'", "TIMESTAMP WITH TIME ZONE", "2026-01-31 06:30:00+00"),
    ("timestamptz", "'-infinity'", "TIMESTAMP WITH TIME ZONE", "-infinity"),
    ("interval", "'1 year 2 mons -3 days -04:05:06.789'", "INTERVAL", "1 year 2 months -3 days -04:05:06.789"),
    ("json", "'{\"a\":  1}'", "JSON", "{\"a\":  1}"),
    ("jsonb", "'{\"b\": [1, null]}'", "JSON", "{\"b\": [1, null]}"),
    ("integer[]", "'{1,NULL,3}'", "INTEGER[]", "[1, NULL, 3]"),
    ("text[]", "'{}'", "VARCHAR[]", "[]"),
    ("numeric(6,2)[]", "'{1.5,-2.25}'", "DECIMAL(6,2)[]", "[1.50, -2.25]"),
    ("box[]", "'{(1,1),(0,0);NULL;(3,3),(2,2)}'", "VARCHAR[]", "['(1,1),(0,0)', NULL, '(3,3),(2,2)']"),
    ("money", "'12.34'", "VARCHAR", "$12.34"),
    ("inet", "'10.0.0.0/8'", "VARCHAR", "10.0.0.0/8"),
    ("int4range", "'[1,5)'", "VARCHAR", "[1,5)"),
    ("bit(4)", "'1010'", "VARCHAR", "1010"),
    ("point", "'(1,2)'", "VARCHAR", "(1,2)"),
    ("mood", "'so, so'", "VARCHAR", "so, so"),
    ("percent", "12.5", "DECIMAL(5,2)", "12.50"),
]

# The first major version of the server that has them.
YOUNG_TYPES = {"numeric(3,5)": 15, "numeric(5,-2)": 15}
VALUES = [value for value in ALL_VALUES if server_major() >= YOUNG_TYPES.get(value[0], 0)]

# Type of an extension, literal, its text; each becomes text.
EXTENSIONS = ["hstore", "ltree", "citext", "cube"]
EXTENSION_VALUES = [
    ("hstore", """'a=>1, "b c"=>NULL, "=>"=>"\\"x"'""", r'''"a"=>"1", "=>"=>"\"x", "b c"=>NULL'''),
    ("hstore", "''", ""),
    ("ltree", "'Top.Science.Astronomy'", "Top.Science.Astronomy"),
    ("lquery", "'Top.*{1,2}.!Hobby'", "Top.*{1,2}.!Hobby"),
    ("citext", "'MiXed'", "MiXed"),
    ("cube", "'(1,2),(3,4)'", "(1, 2),(3, 4)"),
    ("shout", "'LOUD'", "LOUD"),
]
# Lists of them become lists of text.
EXTENSION_LISTS = [("citext[]", "ARRAY['A','b',NULL]::citext[]", ["A", "b", None]),
                   ("ltree[]", "ARRAY['a.b','c']::ltree[]", ["a.b", "c"]),
                   ("hstore[]", "ARRAY['k=>v'::hstore]", ['"k"=>"v"'])]


def run_until_caught_up(tailrace: Tailrace, cluster: Cluster, database: str, target, *options: str) -> None:
    process = tailrace.mirror(cluster.url(database), target, "--until-caught-up", *options)
    assert process.wait(120) == Exit.DONE, process.err()


@pytest.mark.parametrize("history", [False, pytest.param(True, marks=pytest.mark.server)])
def test_copy_and_stream_bring_the_same_exact_values(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path,
                                                     history: bool):
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(VALUES))
    literals = ", ".join(value for _, value, *_ in VALUES)
    nulls = ", ".join("NULL" for _ in VALUES)
    cluster.execute("CREATE TYPE mood AS ENUM ('so, so')", "CREATE DOMAIN percent AS numeric(5,2)",
                    f"CREATE TABLE v (id bigint PRIMARY KEY, {columns})",
                    f"INSERT INTO v VALUES (1, {literals}), (2, {nulls})", database=database)
    target = tmp_path / "target.duckdb"
    options = ["--history"] if history else []
    run_until_caught_up(tailrace, cluster, database, target, *options)
    cluster.execute(f"INSERT INTO v VALUES (3, {literals}), (4, {nulls})", "UPDATE v SET id = id + 10 WHERE id = 1",
                    "DELETE FROM v WHERE id = 2", database=database)
    run_until_caught_up(tailrace, cluster, database, target, *options)
    types = dict(rows(target, "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'v'"))
    shown = ", ".join(f"c{n}::VARCHAR" for n in range(len(VALUES)))
    found = rows(target, f"SELECT id, {shown} FROM public.v ORDER BY id")
    assert [row[0] for row in found] == [3, 4, 11]
    for n, (kind, value, target_type, text) in enumerate(VALUES):
        assert types[f"c{n}"] == target_type, kind
        assert [row[n + 1] for row in found] == [text, None, text], (kind, value)
    if history:
        versions = rows(target, "SELECT id, is_current, effective_to IS NULL FROM public.v__history ORDER BY id, from_lsn")
        assert versions == [(1, False, False), (2, False, False), (3, True, True), (4, True, True), (11, True, True)]


def test_types_of_extensions_come_as_their_text(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path):
    kinds = [kind for kind, *_ in EXTENSION_VALUES + EXTENSION_LISTS]
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(kinds))
    literals = ", ".join(value for _, value, _ in EXTENSION_VALUES + EXTENSION_LISTS)
    # A citext is a key that equals others in spite of its letters' case.
    cluster.execute(*(f"CREATE EXTENSION {name}" for name in EXTENSIONS), "CREATE DOMAIN shout AS citext",
                    f"CREATE TABLE v (id citext PRIMARY KEY, {columns})", f"INSERT INTO v VALUES ('One', {literals})",
                    database=database)
    target = tmp_path / "target.duckdb"
    run_until_caught_up(tailrace, cluster, database, target, "--history")
    cluster.execute(f"INSERT INTO v VALUES ('two', {literals})", "UPDATE v SET id = 'ONE' WHERE id = 'one'",
                    "INSERT INTO v (id) VALUES ('gone')", "DELETE FROM v WHERE id = 'GONE'", database=database)
    run_until_caught_up(tailrace, cluster, database, target, "--history")
    expected = [value for *_, value in EXTENSION_VALUES + EXTENSION_LISTS]
    for table in ("v", "v__history"):
        types = dict(rows(target, f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table}'"))
        assert [types[f"c{n}"] for n in range(len(kinds))] == ["VARCHAR[]" if "[]" in kind else "VARCHAR" for kind in kinds]
    shown = ", ".join(f"c{n}" for n in range(len(kinds)))
    assert rows(target, f"SELECT id, {shown} FROM public.v ORDER BY id") == [("ONE", *expected), ("two", *expected)]
    current = f"SELECT id, {shown} FROM public.v__history WHERE is_current ORDER BY id"
    assert rows(target, current) == [("ONE", *expected), ("two", *expected)]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL", "USING INDEX other"])
def test_unchanged_large_values_are_kept(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path, identity: str):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, k int NOT NULL, n int, big text)",
                    "CREATE UNIQUE INDEX other ON t (k)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
                    f"ALTER TABLE t REPLICA IDENTITY {identity}",
                    "INSERT INTO t SELECT i, i, 0, repeat(chr(96 + i), 20000) FROM generate_series(1, 5) i",
                    database=database)
    target = tmp_path / "target.duckdb"
    run_until_caught_up(tailrace, cluster, database, target, "--history")
    cluster.execute("UPDATE t SET n = 1", "UPDATE t SET k = k + 10, n = 2 WHERE id = 2",
                    "BEGIN; UPDATE t SET id = 99 WHERE id = 3; UPDATE t SET id = 3, n = 3 WHERE id = 4; "
                    "UPDATE t SET id = 4 WHERE id = 99; COMMIT", "UPDATE t SET n = 7 WHERE id = 4",
                    database=database)
    run_until_caught_up(tailrace, cluster, database, target, "--history")
    with cluster.connect(database) as connection:
        truth = connection.execute("SELECT id, k, n, md5(big) FROM t ORDER BY id").fetchall()
    assert rows(target, "SELECT id, k, n, md5(big) FROM public.t ORDER BY id") == truth
    current = "SELECT id, k, n, md5(big) FROM public.t__history WHERE is_current ORDER BY id"
    assert rows(target, current) == truth
    # The first two versions of rows that did not move, before and after the first update, which touched no large value.
    first = "SELECT id, n, length(big), big = repeat(chr(96 + id), 20000) FROM public.t__history WHERE n <= 1 AND id IN (1, 2, 5) ORDER BY ALL"
    assert rows(target, first) == [(i, n, 20000, True) for i in (1, 2, 5) for n in (0, 1)]


@pytest.mark.server
def test_rows_without_a_key_are_a_multiset(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path):
    cluster.execute("CREATE TABLE t (a int, f float8, i interval)", "ALTER TABLE t REPLICA IDENTITY FULL",
                    "INSERT INTO t SELECT n % 2, 0, '1 mon' FROM generate_series(1, 6) n",
                    "INSERT INTO t VALUES (1, '-0', '30 days'), (NULL, 'NaN', NULL)", database=database)
    target = tmp_path / "target.duckdb"
    run_until_caught_up(tailrace, cluster, database, target, "--history")
    cluster.execute("DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE a = 1)",
                    "UPDATE t SET a = 5 WHERE i = '1 mon' AND i::text = '30 days'",
                    "UPDATE t SET a = 6 WHERE f = 'NaN'",
                    "INSERT INTO t VALUES (0, 0, '1 mon'), (0, 0, '30 days')", database=database)
    run_until_caught_up(tailrace, cluster, database, target, "--history")
    with cluster.connect(database) as connection:
        truth = connection.execute("SELECT a, abs(f)::text, i::text FROM t ORDER BY 1, 2, 3").fetchall()
    found = rows(target, "SELECT a, CASE WHEN isnan(f) THEN 'NaN' ELSE abs(f)::INTEGER::VARCHAR END, "
                         "replace(i::VARCHAR, 'month', 'mon') FROM public.t ORDER BY 1, 2, 3")
    assert found == truth


def test_values_that_do_not_fit_are_dead_letters(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path):
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric(5,2))", "INSERT INTO t VALUES (1, 1), (2, 'NaN')",
                    database=database)
    target = tmp_path / "target.duckdb"
    run_until_caught_up(tailrace, cluster, database, target)
    cluster.execute("INSERT INTO t VALUES (3, 'NaN'), (4, 4)", "UPDATE t SET n = 3 WHERE id = 3", database=database)
    run_until_caught_up(tailrace, cluster, database, target)
    assert rows(target, "SELECT id, n::VARCHAR FROM public.t ORDER BY id") == [(1, "1.00"), (4, "4.00")]
    counters = rows(target, "SELECT received - filtered, applied, dead_lettered FROM tailrace.cursor")
    assert counters == [(3, 1, 2)]

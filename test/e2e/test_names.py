"""Names as strange as PostgreSQL takes them: of database, role, schema, table, column, type, publication."""

import psycopg
import pytest
from psycopg import sql

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Tailrace

NAMES = ['q"uote', "it's", "dot.dot", "sp ace ", "100%s", "back\\slash", "line\nfeed", "\U0001f40d\u4eba\u9593", "1digit", "select", "a,b", "{x}", "\u00fc" * 31,
         "x" * 63, "under_score", "underXscore", "star*"]
PUBLICATION = "pub, \"li\"'cation"


def quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def label(name: str) -> str:
    """A literal of the enum's only value."""
    return sql.Literal(name[:20]).as_string(None)


@pytest.fixture
def strange(cluster: Cluster):
    """A database and a role with such names; the role owns the database."""
    database, role = 'da"ta, b\'ase %', 'ro"le \'x\''
    cluster.execute(f"CREATE ROLE {quoted(role)} LOGIN REPLICATION", f"CREATE DATABASE {quoted(database)} OWNER {quoted(role)}")
    yield database, role
    with cluster.connect() as connection:
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [database])
        connection.execute(f"DROP DATABASE {quoted(database)} WITH (FORCE)")
        connection.execute(f"DROP ROLE {quoted(role)}")


def test_every_name_is_taken_as_it_is(cluster: Cluster, tailrace: Tailrace, strange: tuple[str, str]):
    database, role = strange
    conninfo = psycopg.conninfo.make_conninfo(host="127.0.0.1", port=cluster.port, dbname=database, user=role)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for n, name in enumerate(NAMES):
            connection.execute(f"CREATE SCHEMA {quoted(name)}")
            connection.execute(f"CREATE TYPE {quoted(name)}.{quoted(name)} AS ENUM ({label(name)})")
            connection.execute(f"CREATE TABLE {quoted(name)}.{quoted(NAMES[n - 1])} ({quoted(name)} int, {quoted(NAMES[n - 2])} {quoted(name)}.{quoted(name)}, "
                               f"PRIMARY KEY ({quoted(name)}))")
            connection.execute(f"INSERT INTO {quoted(name)}.{quoted(NAMES[n - 1])} VALUES (1, {label(name)}), (2, NULL), (3, NULL)")
        connection.execute(f"CREATE PUBLICATION {quoted(PUBLICATION)} FOR TABLE "
                           + ", ".join(f"{quoted(name)}.{quoted(NAMES[n - 1])}" for n, name in enumerate(NAMES)))
        file = tailrace.directory / "shop.yaml"
        url, publication = conninfo.replace("'", "''"), PUBLICATION.replace("'", "''")
        file.write_text(f"name: shop\nsource: {{postgres: {{url: '{url}', publication: {{name: '{publication}', create: false}}}}}}\n"
                        "sinks: {shop: {duckdb: {path: shop.duckdb, history: [\"*.*\"]}}}\n")

        def caught_up() -> None:
            process = tailrace.start("run", file, "--state", tailrace.state, "--until-caught-up")
            assert process.wait(60) == Exit.DONE, process.err()

        caught_up()
        for n, name in enumerate(NAMES):
            table = f"{quoted(name)}.{quoted(NAMES[n - 1])}"
            connection.execute(f"UPDATE {table} SET {quoted(NAMES[n - 2])} = {label(name)} WHERE {quoted(name)} = 2")
            connection.execute(f"DELETE FROM {table} WHERE {quoted(name)} = 3")
        caught_up()
    assert tailrace.status()["problems"] == []
    target = next(tailrace.directory.rglob("shop.duckdb"))
    for n, name in enumerate(NAMES):
        for table in (f"{quoted(name)}.{quoted(NAMES[n - 1])}", f"(FROM {quoted(name)}.{quoted(NAMES[n - 1] + '__history')} WHERE is_current)"):
            found = rows(target, f"SELECT {quoted(name)}, {quoted(NAMES[n - 2])} FROM {table} ORDER BY 1")
            assert found == [(1, name[:20]), (2, name[:20])], name


def test_a_name_that_contains_another_is_not_the_other(cluster: Cluster, database: str, tailrace: Tailrace):
    """Patterns mean whole names, and their other characters are only themselves."""
    cluster.execute(*(f"CREATE TABLE {quoted(name)} (id int PRIMARY KEY)" for name in ["a", "aa", "a_b", "aXb", "a.b", "a+", "(a)", "a,b"]),
                    database=database)
    process = tailrace.mirror(cluster.url(database), tailrace.directory / "shop.duckdb", "--table", "public.a", "--table", "public.a_b",
                              "--table", "public.a+", "--table", "public.a,b", "--until-caught-up")
    assert process.wait(60) == Exit.DONE, process.err()
    found = rows(tailrace.directory / "shop.duckdb", "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public' ORDER BY 1")
    assert found == [("a",), ("a+",), ("a,b",), ("a_b",)]

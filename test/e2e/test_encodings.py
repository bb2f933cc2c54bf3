"""Databases in other encodings than UTF-8: everything arrives as UTF-8, by copy and by stream, or is a named letter."""

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Tailrace

# The encoding and characters that it has.
ENCODINGS = {"LATIN1": "Größe ½ ÿ", "EUC_JP": "人間失格 Größe", "WIN1252": "€ „Größe“"}


@pytest.fixture
def encoded(cluster: Cluster, request: pytest.FixtureRequest):
    name = f"encoded_{request.param.lower()}"
    cluster.execute(f"CREATE DATABASE {name} ENCODING '{request.param}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    yield name, ENCODINGS.get(request.param, "")
    cluster.query(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'")
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def caught_up(tailrace: Tailrace, cluster: Cluster, database: str) -> None:
    answer = tailrace.command("mirror", cluster.url(database), tailrace.directory / "target.duckdb", "--state", tailrace.state,
                              "--name", tailrace.name, "--until-caught-up")
    assert answer.code == Exit.DONE, str(answer)


@pytest.mark.parametrize("encoded", ENCODINGS, indirect=True)
def test_names_and_values_of_another_encoding_arrive_as_utf8(cluster: Cluster, tailrace: Tailrace, encoded: tuple[str, str]):
    database, text = encoded
    cluster.execute(f"CREATE TABLE \"{text}\" (id int PRIMARY KEY, \"{text}\" text, kinds text[])",
                    f"INSERT INTO \"{text}\" VALUES (1, '{text}', ARRAY['{text}'])", database=database)
    caught_up(tailrace, cluster, database)
    cluster.execute(f"INSERT INTO \"{text}\" VALUES (2, '{text}', ARRAY['{text}'])", f"UPDATE \"{text}\" SET \"{text}\" = '{text}!' WHERE id = 1",
                    database=database)
    caught_up(tailrace, cluster, database)
    assert rows(tailrace.directory / "target.duckdb", f"SELECT id, \"{text}\", kinds FROM public.\"{text}\" ORDER BY id") == [
        (1, text + "!", [text]), (2, text, [text])]
    assert tailrace.status()["problems"] == []


@pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)
def test_bytes_that_are_no_text_are_letters(cluster: Cluster, tailrace: Tailrace, encoded: tuple[str, str]):
    """A database that checks nothing may hold anything."""
    database, _ = encoded
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", r"INSERT INTO t VALUES (1, E'Gr\xc3\xb6\xc3\x9fe'), (2, E'\xff\xfe'), (3, 'plain')",
                    database=database)
    caught_up(tailrace, cluster, database)
    cluster.execute(r"INSERT INTO t VALUES (4, E'\xc3'), (5, E'\xc2\xbd')", r"UPDATE t SET v = E'\xe2\x82' WHERE id = 3", database=database)
    caught_up(tailrace, cluster, database)
    assert rows(tailrace.directory / "target.duckdb", "SELECT id, v FROM public.t ORDER BY id") == [(1, "Größe"), (3, "plain"), (5, "½")]
    assert tailrace.status()["sinks"][0]["dead_letters"] == 3
    for form in ([], ["--json"]):
        shown = tailrace.command("journal", "cat", tailrace.name, "--values", "--state", tailrace.state, *form)
        assert shown.code == Exit.DONE and "½" in shown.out, str(shown)

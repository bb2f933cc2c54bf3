"""Each usual mistake: what is said, with which code and which remedy, and how the program ends."""

import re
import sqlite3
from pathlib import Path

import duckdb
import pytest

from e2e.cluster import Cluster, ReservedPort
from e2e.tailrace import Answer, Exit, Tailrace

pytestmark = pytest.mark.smoke

SECRET = "s3cr3t-word"


def assert_refused(answer: Answer, code: Exit, *words: str) -> None:
    """An error has a code that is documented and a remedy; it never shows a secret."""
    assert answer.code == code, str(answer)
    told = re.search(r"^error: .+ \[(TR\d{3})\]$", answer.err, re.MULTILINE)
    assert told, f"no error line with a code: {answer}"
    assert re.search(r"^help: \S", answer.err, re.MULTILINE), f"no remedy: {answer}"
    assert SECRET not in answer.err + answer.out
    for word in words:
        assert word.lower() in answer.err.lower(), f"{word!r} is not in: {answer}"
    documented = Tailrace(Path("/")).command("docs", told[1])
    assert documented.code == Exit.DONE and told[1] in documented.out, f"{told[1]} has no page"


@pytest.fixture
def table(cluster: Cluster, database: str) -> str:
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'x')", database=database)
    return database


def mirror(tailrace: Tailrace, source: str, *options: str, target: Path | None = None) -> Answer:
    return tailrace.command("mirror", source, target or tailrace.directory / "t.duckdb", "--state", tailrace.state, "--name", "shop",
                            "--until-caught-up", *options, timeout_s=60)


def test_a_url_that_is_none(tailrace: Tailrace):
    assert_refused(mirror(tailrace, "postgresql://[half/an:address"), Exit.REQUEST)


def test_a_target_of_unknown_kind(tailrace: Tailrace, cluster: Cluster):
    assert_refused(mirror(tailrace, cluster.url(), target=tailrace.directory / "target.unknown"), Exit.REQUEST, ".duckdb")


def test_a_port_where_nobody_listens(tailrace: Tailrace):
    assert_refused(mirror(tailrace, f"postgresql://postgres:{SECRET}@127.0.0.1:{ReservedPort().number}/shop"), Exit.UNREACHABLE)


def test_a_database_that_does_not_exist(tailrace: Tailrace, cluster: Cluster):
    assert_refused(mirror(tailrace, cluster.url("no_such_database")), Exit.UNREACHABLE, "no_such_database")


@pytest.fixture
def guarded(cluster: Cluster, table: str) -> str:
    cluster.execute("DROP ROLE IF EXISTS guarded", f"CREATE ROLE guarded LOGIN REPLICATION PASSWORD '{SECRET}'")
    yield table
    cluster.execute("DROP OWNED BY guarded", database=table)
    cluster.execute("DROP ROLE guarded")


@pytest.mark.server
def test_a_wrong_password(tailrace: Tailrace, cluster: Cluster, guarded: str):
    answer = mirror(tailrace, cluster.url(guarded, "guarded", "wrong-" + SECRET))
    assert_refused(answer, Exit.UNREACHABLE, "guarded")


@pytest.mark.server
def test_a_role_without_replication(tailrace: Tailrace, cluster: Cluster, table: str):
    cluster.execute("DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN")
    cluster.execute("GRANT SELECT ON t TO plain", database=table)
    try:
        assert_refused(mirror(tailrace, cluster.url(table, "plain")), Exit.UNREACHABLE, "REPLICATION", "ALTER ROLE")
    finally:
        cluster.execute("DROP OWNED BY plain", database=table)
        cluster.execute("DROP ROLE plain")


@pytest.mark.server
def test_a_role_without_select(tailrace: Tailrace, cluster: Cluster, guarded: str):
    cluster.execute("CREATE PUBLICATION tailrace_shop FOR TABLE t", database=guarded)
    assert_refused(mirror(tailrace, cluster.url(guarded, "guarded", SECRET)), Exit.UNREACHABLE, "SELECT", "GRANT")


def test_wal_level_replica(tailrace: Tailrace, own_cluster: Cluster):
    own_cluster.configure({"wal_level": "replica"})
    own_cluster.restart()
    own_cluster.execute("CREATE TABLE t (id int PRIMARY KEY)")
    assert_refused(mirror(tailrace, own_cluster.url()), Exit.UNREACHABLE, "wal_level", "logical")


def test_a_table_that_does_not_exist(tailrace: Tailrace, cluster: Cluster, table: str):
    assert_refused(mirror(tailrace, cluster.url(table), "--table", "public.nowhere"), Exit.UNREACHABLE, "nowhere")
    slots = cluster.query(f"SELECT count(*) FROM pg_replication_slots WHERE database = '{table}'")
    assert slots == [(0,)], "a refused request left a slot behind"


def test_a_target_that_cannot_be_written(tailrace: Tailrace, cluster: Cluster, table: str):
    assert_refused(mirror(tailrace, cluster.url(table), target=Path("/proc/no/such/place/t.duckdb")), Exit.UNREACHABLE, "/proc/no")


def test_a_target_that_is_no_duckdb_file(tailrace: Tailrace, cluster: Cluster, table: str):
    other = tailrace.directory / "letter.duckdb"
    other.write_text("Dear reader, this is not a database. " * 200)
    assert_refused(mirror(tailrace, cluster.url(table), target=other), Exit.UNREACHABLE, "letter.duckdb")
    assert other.read_text().startswith("Dear reader")


def test_a_duckdb_file_with_somebody_elses_table(tailrace: Tailrace, cluster: Cluster, table: str):
    other = tailrace.directory / "other.duckdb"
    with duckdb.connect(str(other)) as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS public; CREATE TABLE public.t AS SELECT 42 AS precious")
    assert_refused(mirror(tailrace, cluster.url(table), target=other), Exit.UNREACHABLE, "public.t")
    with duckdb.connect(str(other), read_only=True) as db:
        assert db.execute("FROM public.t").fetchall() == [(42,)]


def test_state_of_a_newer_version(tailrace: Tailrace, cluster: Cluster, table: str):
    assert mirror(tailrace, cluster.url(table)).code == Exit.DONE
    catalog = tailrace.state / "catalog.sqlite"
    with sqlite3.connect(catalog) as db:
        db.execute("PRAGMA user_version = 1000000")
    assert_refused(mirror(tailrace, cluster.url(table)), Exit.REQUEST, "newer")


def test_two_processes_on_one_state(tailrace: Tailrace, cluster: Cluster, table: str):
    first = tailrace.mirror(cluster.url(table), tailrace.directory / "t.duckdb")
    tailrace.wait_for_state("streaming")
    assert_refused(mirror(tailrace, cluster.url(table)), Exit.REQUEST, str(first.pid))
    assert first.code is None
    assert first.stop() == Exit.DONE


PIPELINE = """name: shop
source:
  postgres:
    url: {url}
    tabels: [public.t]
sinks:
  warehouse: {{duckdb: {{path: shop.duckdb}}}}
"""


def test_an_unknown_key_in_a_pipeline(tailrace: Tailrace, cluster: Cluster):
    pipeline = tailrace.directory / "shop.yaml"
    pipeline.write_text(PIPELINE.format(url=cluster.url()))
    answer = tailrace.command("run", pipeline)
    assert_refused(answer, Exit.REQUEST, "tabels", "tables", "shop.yaml:5")


@pytest.mark.parametrize("arguments, word", [
    (["drop", "shop"], "--yes"),
    (["init", "URL", "-o", "there.yaml"], "--force"),
    (["wait", "shop", "--timeout", "soon"], "30s"),
    (["query", "shop", "DELETE FROM public.t"], "would change"),
    (["query", "shop", "SELECT 1; SELECT 2"], "more than one"),
    (["query", "shop", "SELECT 1", "--as-of", "yesterday"], "as-of"),
    (["query", "shop", "SELECT 1", "--format", "xml"], "format"),
    (["query", "shop", "SELECT 1", "--output", "no/such/place"], "no/such/place"),
    (["lend", "shop", "--", "/no/such/program"], "/no/such/program"),
    (["completion", "tcsh"], "bash"),
    (["docs", "nothing"], "docs"),
    (["journal", "cat", "shop", "--from", "here"], "position"),
], ids=lambda value: "_".join(value[:1]) if isinstance(value, list) else "")
def test_requests_that_make_no_sense(tailrace: Tailrace, cluster: Cluster, table: str, arguments: list[str], word: str):
    answer = mirror(tailrace, cluster.url(table))
    assert answer.code == Exit.DONE, str(answer)
    (tailrace.directory / "there.yaml").write_text("kept")
    given = [cluster.url(table) if argument == "URL" else argument for argument in arguments]
    assert_refused(tailrace.command(given[0], "--state", tailrace.state, *given[1:]), Exit.REQUEST, word)
    assert (tailrace.directory / "there.yaml").read_text() == "kept"
    assert tailrace.command("query", "shop", "SELECT v FROM t", "--format", "csv", "--state", tailrace.state).out == "v\nx\n"


def test_waiting_for_a_pipeline_that_does_not_run(tailrace: Tailrace, cluster: Cluster, table: str):
    assert mirror(tailrace, cluster.url(table)).code == Exit.DONE
    assert_refused(tailrace.command("wait", "shop", "--state", tailrace.state), Exit.UNREACHABLE, "not running")


def test_an_unknown_flag(tailrace: Tailrace):
    assert_refused(tailrace.command("mirror", "postgresql://x/y", "t.duckdb", "--histroy"), Exit.REQUEST, "histroy")


def test_a_name_nobody_knows(tailrace: Tailrace):
    assert_refused(tailrace.command("status", "nobody", "--state", tailrace.directory / "none"), Exit.REQUEST)


def test_a_state_directory_that_cannot_be_made(tailrace: Tailrace, cluster: Cluster, table: str):
    answer = tailrace.command("mirror", cluster.url(table), tailrace.directory / "t.duckdb", "--state", "/proc/no/state", "--name", "shop")
    assert_refused(answer, Exit.REQUEST, "/proc/no/state")

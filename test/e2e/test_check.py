"""`tailrace check FILE`: source, log and every sink, and nothing is made."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from e2e.cluster import Cluster
from e2e.tailrace import Answer, Exit, Tailrace

pytestmark = pytest.mark.smoke

PIPELINE = """name: shop
source: {{postgres: {{url: "{url}"}}}}
log: {{journal: {{max_size: {max_size}}}}}
sinks: {sinks}
"""
HOLDER = "import duckdb, sys, time; held = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(600)"


@pytest.fixture
def source(cluster: Cluster, database: str) -> str:
    cluster.execute("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'x')", database=database)
    return cluster.url(database)


def pipeline(tailrace: Tailrace, url: str, sinks: str = "{warehouse: {duckdb: {path: shop.duckdb}}}", max_size: str = "64MiB") -> Path:
    file = tailrace.directory / "shop.yaml"
    file.write_text(PIPELINE.format(url=url, sinks=sinks, max_size=max_size))
    return file


def check(tailrace: Tailrace, file: Path, state: Path | None = None) -> tuple[Answer, dict]:
    answer = tailrace.command("check", file, "--state", state or tailrace.state, "--json")
    return answer, {finding["title"]: finding for finding in answer.json()["pipelines"][0]["findings"]}


def test_a_sound_pipeline_passes_and_nothing_is_made(tailrace: Tailrace, cluster: Cluster, database: str, source: str):
    file = pipeline(tailrace, source)
    answer = tailrace.command("check", file, "--state", tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    for word in ("source", "state", "log", "sink warehouse", "0 errors", "Nothing was created."):
        assert word in answer.out, f"{word!r} is not in {answer}"
    assert not tailrace.state.exists() and not (tailrace.directory / "shop.duckdb").exists()
    assert cluster.query(f"SELECT count(*) FROM pg_replication_slots WHERE database = '{database}'") == [(0,)]
    assert cluster.query("SELECT count(*) FROM pg_publication", database=database) == [(0,)]


def test_a_running_pipeline_passes(tailrace: Tailrace, source: str):
    file = pipeline(tailrace, source)
    process = tailrace.start("run", file, "--state", tailrace.state)
    tailrace.wait_for_state("streaming")
    tailrace.state = process.err_path.parent / tailrace.state
    target = process.err_path.parent / "shop.duckdb"
    answer, found = check(tailrace, pipeline(tailrace, source, f"{{warehouse: {{duckdb: {{path: {target}}}}}}}"))
    assert answer.code == Exit.DONE, str(answer)
    assert "runs" in found["state"]["what"] and "in use by this pipeline" in found["sink warehouse"]["what"], str(answer)
    assert process.stop() == Exit.DONE
    answer, found = check(tailrace, pipeline(tailrace, source, f"{{warehouse: {{duckdb: {{path: {target}}}}}}}"))
    assert answer.code == Exit.DONE and "this pipeline's target, up to" in found["sink warehouse"]["what"], str(answer)


@pytest.mark.parametrize("made, code", [
    ("CREATE SCHEMA public; CREATE TABLE public.t AS SELECT 42 AS precious", "TR602"),
    ("CREATE SCHEMA tailrace", "TR602"),
    (None, "TR602"),
])
def test_a_foreign_file_is_an_error(tailrace: Tailrace, source: str, made: str | None, code: str):
    target = tailrace.directory / "shop.duckdb"
    if made is None:
        target.write_text("Dear reader, this is not a database. " * 200)
    else:
        with duckdb.connect(str(target)) as db:
            db.execute(made.replace("CREATE SCHEMA public", "CREATE SCHEMA IF NOT EXISTS public"))
    before = target.read_bytes()
    answer, found = check(tailrace, pipeline(tailrace, source))
    assert answer.code == Exit.NO and found["sink warehouse"]["code"] == code, str(answer)
    assert found["sink warehouse"]["severity"] == "error" and found["sink warehouse"]["remedy"]
    assert target.read_bytes() == before


def test_a_file_that_somebody_holds_is_a_warning_that_names_him(tailrace: Tailrace, source: str):
    target = tailrace.directory / "shop.duckdb"
    with subprocess.Popen([sys.executable, "-c", HOLDER, target], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        answer, found = check(tailrace, pipeline(tailrace, source))
        holder.kill()
    assert answer.code == Exit.DONE and found["sink warehouse"]["code"] == "TR601", str(answer)
    assert found["sink warehouse"]["severity"] == "warning" and str(holder.pid) in found["sink warehouse"]["what"], str(answer)


def test_places_that_cannot_be_written_are_errors(tailrace: Tailrace, source: str):
    answer, found = check(tailrace, pipeline(tailrace, source, "{warehouse: {duckdb: {path: /proc/no/such/place/t.duckdb}}}"),
                          tailrace.directory / "shop.yaml" / "state")
    assert answer.code == Exit.NO, str(answer)
    assert found["sink warehouse"]["code"] == "TR606" and found["state"]["code"] == "TR512", str(answer)


def test_a_disk_smaller_than_the_journal_may_grow_is_a_warning(tailrace: Tailrace, source: str):
    answer, found = check(tailrace, pipeline(tailrace, source, max_size="4000TiB"))
    assert answer.code == Exit.DONE and found["log"]["code"] == "TR404" and found["log"]["severity"] == "warning", str(answer)


def test_a_source_that_cannot_be_reached_does_not_hide_the_sinks(tailrace: Tailrace):
    answer, found = check(tailrace, pipeline(tailrace, "postgresql://postgres@127.0.0.1:1/shop"))
    assert answer.code == Exit.NO and found["connection"]["code"] == "TR101", str(answer)
    assert found["sink warehouse"]["severity"] == "note", str(answer)


def test_two_sinks_on_one_target_are_refused(tailrace: Tailrace, source: str):
    file = pipeline(tailrace, source, "{one: {duckdb: {path: shop.duckdb}}, two: {duckdb: {path: ./shop.duckdb}}}")
    for command in ("check", "run"):
        answer = tailrace.command(command, file)
        assert answer.code == Exit.REQUEST and "[TR209]" in answer.err and "shop.yaml:4" in answer.err, str(answer)

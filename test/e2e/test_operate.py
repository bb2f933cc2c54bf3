"""What surrounds a mirror: looking before, setting up, taking away."""

from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Answer, Exit, Tailrace

pytestmark = pytest.mark.smoke


@pytest.mark.server
def test_drop_takes_slot_and_publication_away(mirror: Shop):
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'"
    publications = "SELECT count(*) FROM pg_publication WHERE pubname = 'tailrace_shop'"
    assert mirror.cluster.query(slots) == [(1,)]
    answer = mirror.tailrace.command("drop", "shop", "--slot", "--publication", "--yes", "--state", mirror.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    assert mirror.cluster.query(slots) == [(0,)]
    assert mirror.cluster.query(publications, database=mirror.database) == [(0,)]
    assert mirror.target.exists()


def drop(mirror: Shop, *options: str) -> Answer:
    return mirror.tailrace.command("drop", "shop", "--yes", "--state", mirror.tailrace.state, *options)


def test_drop_leaves_a_publication_of_somebody_else_alone(mirror: Shop):
    mirror.cluster.execute("CREATE PUBLICATION tailrace_shop FOR ALL TABLES", database=mirror.database)
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    said = mirror.process.err() + mirror.process.out()
    assert "created   slot tailrace_shop" in said and "--publication" not in said, said
    slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'"
    answer = drop(mirror, "--slot", "--publication")
    assert answer.code == Exit.REQUEST and "TR141" in answer.err, str(answer)
    assert 'DROP PUBLICATION "tailrace_shop"' in answer.err and mirror.cluster.query(slots) == [(1,)], str(answer)
    answer = drop(mirror, "--slot")
    assert answer.code == Exit.DONE and mirror.cluster.query(slots) == [(0,)], str(answer)
    assert mirror.cluster.query("SELECT pubname FROM pg_publication", database=mirror.database) == [("tailrace_shop",)]


def test_a_publication_is_known_as_ours_after_a_start_that_was_broken_off(mirror: Shop):
    for place in ("source.publication_remembered", "source.after_slot_created"):
        mirror.start(TAILRACE_CRASH_AT=place)
        assert mirror.process.wait(60) < 0, mirror.process.err()
    mirror.start("--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    assert "created   publication tailrace_shop, slot" in mirror.process.err() + mirror.process.out()
    answer = drop(mirror, "--slot", "--publication")
    assert answer.code == Exit.DONE, str(answer)
    assert mirror.cluster.query("SELECT pubname FROM pg_publication", database=mirror.database) == []


def test_a_copy_that_was_dropped_half_way_is_made_again(mirror: Shop):
    mirror.start("--history", TAILRACE_CRASH_AT="copy_after_finish:2")
    assert mirror.process.wait(60) < 0, mirror.process.err()
    answer = mirror.tailrace.command("drop", "shop", "--slot", "--publication", "--yes", "--state", mirror.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    # Nobody follows now: these changes stand neither in the copy that was finished nor in the next log.
    mirror.change()
    mirror.start("--history", "--until-caught-up")
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()


@pytest.mark.server
def test_check_finds_nothing_wrong_and_creates_nothing(mirror: Shop):
    answer = mirror.tailrace.command("check", mirror.cluster.url(mirror.database))
    assert answer.code == Exit.DONE, str(answer)
    assert mirror.cluster.query("SELECT count(*) FROM pg_publication", database=mirror.database) == [(0,)]
    assert mirror.cluster.query(f"SELECT count(*) FROM pg_replication_slots WHERE database = '{mirror.database}'") == [(0,)]


def test_init_writes_a_pipeline_that_run_takes(mirror: Shop, tmp_path: Path):
    pipeline = tmp_path / "shop.yaml"
    answer = mirror.tailrace.command("init", mirror.cluster.url(mirror.database), "-o", pipeline)
    assert answer.code == Exit.DONE, str(answer)
    assert pipeline.exists()
    ran = mirror.tailrace.start("run", pipeline, "--until-caught-up")
    assert ran.wait(60) == Exit.DONE, ran.err()
    targets = list(ran.err_path.parent.rglob("*.duckdb")) + list(tmp_path.glob("*.duckdb"))
    assert targets and rows(targets[0], "SELECT count(*) FROM public.orders") == [(1000,)]


def test_duckdb_gets_its_share_of_the_limit_and_the_threads_of_its_sink(mirror: Shop, tmp_path: Path):
    pipeline = tmp_path / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource: {{postgres: {{url: '{mirror.cluster.url(mirror.database)}'}}}}\n"
                        "sinks: {shop: {duckdb: {path: shop.duckdb, threads: 1}}}\nlimits: {memory: 256MiB}\n")
    mirror.process = mirror.tailrace.start("run", pipeline, "--state", mirror.tailrace.state)
    mirror.wait()
    answer = mirror.tailrace.command("query", "shop", "SELECT current_setting('memory_limit'), current_setting('threads')",
                                     "--format", "csv", "--state", mirror.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    memory, threads = answer.out.splitlines()[-1].split(",")
    assert threads == "1"
    amount, unit = memory.split()
    assert unit == "MiB" and 64 <= float(amount) <= 192, memory
    mirror.stop()


@pytest.mark.server
def test_check_names_a_missing_right_and_the_sql_that_mends_it(mirror: Shop):
    mirror.cluster.execute("DROP ROLE IF EXISTS looker", "CREATE ROLE looker LOGIN")
    try:
        answer = mirror.tailrace.command("check", mirror.cluster.url(mirror.database, "looker"))
        assert answer.code == Exit.NO and "ALTER ROLE" in answer.out, str(answer)
    finally:
        mirror.cluster.execute("DROP ROLE looker")


@pytest.mark.server
def test_check_names_a_wal_level_that_is_too_low(tailrace: Tailrace, own_cluster: Cluster):
    own_cluster.configure({"wal_level": "replica"})
    own_cluster.restart()
    answer = tailrace.command("check", own_cluster.url())
    assert answer.code == Exit.NO and "wal_level" in answer.out, str(answer)

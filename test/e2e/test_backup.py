"""`backup` and `restore`."""

from e2e.duckdb_file import rows
from e2e.shop import DIGEST, Shop
from e2e.tailrace import Exit


def test_a_backup_of_a_running_pipeline_is_restored_and_catches_up(mirror: Shop, tmp_path):
    copy = tmp_path / "monday.duckdb"
    mirror.start("--history")
    mirror.wait()
    mirror.change()
    mirror.wait()
    made = mirror.tailrace.command("backup", "shop", copy, "--state", mirror.tailrace.state)
    assert made.code == Exit.DONE, made
    at_backup = rows(copy, DIGEST.format("public."))
    assert at_backup == mirror.cluster.query(DIGEST.format(""), database=mirror.database)
    mirror.change()
    mirror.wait()
    refused = mirror.tailrace.command("restore", "shop", copy, "--state", mirror.tailrace.state)
    assert refused.code == Exit.REQUEST and "[TR511]" in refused.err
    mirror.stop()
    versions = "SELECT count(*), count(*) FILTER (WHERE is_current), max(to_lsn) FROM public.orders__history"
    before = rows(mirror.target, versions)
    restored = mirror.tailrace.command("restore", "shop", copy, "--state", mirror.tailrace.state)
    assert restored.code == Exit.DONE, restored
    assert rows(mirror.target, DIGEST.format("public.")) == at_backup
    (kept,) = mirror.target.parent.glob(mirror.target.name + ".replaced-*")
    assert rows(kept, versions) == before
    mirror.start("--history")
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()
    assert rows(mirror.target, versions) == before
    assert rows(copy, DIGEST.format("public.")) == at_backup


def test_a_backup_that_the_log_does_not_reach_back_to_is_refused(mirror: Shop, tmp_path):
    trimmed_at_once = {"TAILRACE_BOUND_KEEP_SECONDS": "0", "TAILRACE_BOUND_SEGMENT_BYTES": "2097152"}
    copy = tmp_path / "old.duckdb"
    mirror.start(**trimmed_at_once)
    mirror.wait()
    assert mirror.tailrace.command("backup", "shop", copy, "--state", mirror.tailrace.state).code == Exit.DONE
    for _ in range(3):
        mirror.cluster.execute("INSERT INTO empty_table SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g",
                               "DELETE FROM empty_table", database=mirror.database)
        mirror.wait()
    mirror.stop()
    before = mirror.target.read_bytes()
    answer = mirror.tailrace.command("restore", "shop", copy, "--state", mirror.tailrace.state)
    assert answer.code == Exit.UNREACHABLE and "[TR626]" in answer.err, answer
    assert mirror.target.read_bytes() == before
    assert not list(mirror.target.parent.glob(mirror.target.name + ".replaced-*"))


def test_a_backup_of_a_stopped_pipeline_needs_a_free_place_and_a_known_sink(mirror: Shop, tmp_path):
    copy = tmp_path / "copy.duckdb"
    mirror.start()
    mirror.wait()
    mirror.stop()
    assert mirror.tailrace.command("backup", "shop", copy, "--state", mirror.tailrace.state).code == Exit.DONE
    again = mirror.tailrace.command("backup", "shop", copy, "--state", mirror.tailrace.state)
    assert again.code == Exit.REQUEST and "[TR217]" in again.err
    unknown = mirror.tailrace.command("backup", "shop", tmp_path / "other.duckdb", "--sink", "nobody", "--state",
                                      mirror.tailrace.state)
    assert unknown.code == Exit.REQUEST and "[TR513]" in unknown.err
    text = tmp_path / "text.duckdb"
    text.write_text("this is a text, not a database, and it is long enough to be read as one")
    foreign = mirror.tailrace.command("restore", "shop", text, "--state", mirror.tailrace.state)
    assert foreign.code == Exit.UNREACHABLE and "[TR602]" in foreign.err
    mirror.start()
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()

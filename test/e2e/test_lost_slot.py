"""Going on behind changes that will never come, since their slot was lost: nothing is skipped silently, and what is made right is
right."""

import random
from pathlib import Path

import pytest

from e2e.changing import until
from e2e.duckdb_file import rows
from e2e.shop import SHOP, Shop
from e2e.tailrace import Answer, Exit

KEYLESS = ["CREATE TABLE notes (v text)", "INSERT INTO notes SELECT 'note ' || g % 7 FROM generate_series(1, 50) g",
           # DuckDB has no such date: a dead letter.
           "CREATE TABLE dates (id int PRIMARY KEY, day timestamp)", "INSERT INTO dates VALUES (1, '294276-12-30'), (2, '2024-01-01')"]
# What a process does on its way over a gap, in this order.
STEPS = ("source.gap_accepted", "source.gap_slot_made", "source.gap_logged", "duckdb.epoch_begun", "epoch_begun", "epoch_flushed",
         "recopy_placed", "recopy_loaded", "duckdb.side_before_commit", "recopy_merged:3")


def lose_slot(shop: Shop) -> None:
    """Also while it is read, and would be again."""
    with shop.cluster.connect() as connection:
        connection.execute(
            "DO $$ BEGIN LOOP PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'tailrace_shop' AND active; "
            "BEGIN PERFORM pg_drop_replication_slot('tailrace_shop'); RETURN; EXCEPTION WHEN object_in_use THEN END; END LOOP; END $$")


def once(shop: Shop, *options: str) -> Answer:
    return shop.tailrace.command("mirror", shop.cluster.url(shop.database), shop.target, "--state", shop.tailrace.state, "--name", "shop",
                                 "--until-caught-up", *options, timeout_s=90)


def follow(shop: Shop, *options: str) -> None:
    answer = once(shop, *options)
    assert answer.code == Exit.DONE, str(answer)


def scatter(shop: Shop, seed: int) -> None:
    """Rows that come, change, move to other keys and go; tables that change with them."""
    draw = random.Random(seed)
    shop.change()
    shop.cluster.execute(f"UPDATE orders SET id = id + 1000000 WHERE id % 97 = {draw.randrange(97)}",
                         f"DELETE FROM orders WHERE id % 13 = {draw.randrange(13)}",
                         "INSERT INTO notes SELECT 'more ' || g % 3 FROM generate_series(1, 10) g",
                         f"INSERT INTO dates VALUES ({10 + seed}, '294276-12-31'), ({1000 + seed}, '2024-01-01')",
                         f"DELETE FROM dates WHERE id = {9 + seed}", database=shop.database)


def assert_proved(shop: Shop, *options: str) -> None:
    """`verify` finds every row of every table equal, nothing is held, and the target says the same by itself."""
    shop.start(*options)
    shop.wait()
    proof = shop.tailrace.command("verify", "shop", "--state", shop.tailrace.state)
    problems = [problem for problem in shop.tailrace.status()["problems"] if problem["code"] not in ("TR126", "TR615")]
    shop.stop()
    assert proof.code == Exit.DONE, str(proof)
    assert problems == []
    shop.assert_equal()
    notes = "SELECT v, count(*) FROM public.notes GROUP BY 1 ORDER BY 1"
    assert rows(shop.target, notes) == shop.cluster.query(notes, database=shop.database)


def begin_anew(shop: Shop) -> None:
    answer = shop.tailrace.command("drop", "shop", "--slot", "--publication", "--targets", "--yes", "--state", shop.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)


@pytest.fixture
def followed(mirror: Shop) -> Shop:
    mirror.cluster.execute(*KEYLESS, database=mirror.database)
    follow(mirror)
    return mirror


@pytest.mark.server
def test_a_gap_is_refused_until_it_is_accepted_and_then_every_row_is_right(followed: Shop):
    lose_slot(followed)
    scatter(followed, 1)
    # What nobody tells of a table: it was altered, dropped, made.
    followed.cluster.execute("ALTER TABLE customers ADD COLUMN since int DEFAULT 7", "UPDATE customers SET since = 8 WHERE id % 2 = 0",
                             "DROP TABLE empty_table", "TRUNCATE notes", "INSERT INTO notes VALUES ('after')", database=followed.database)
    before = rows(followed.target, "SELECT count(*), sum(total) FROM public.orders")
    answer = once(followed)
    assert answer.code == Exit.UNREACHABLE and "TR115" in answer.err and "--accept-gap" in answer.err, str(answer)
    assert rows(followed.target, "SELECT count(*), sum(total) FROM public.orders") == before
    follow(followed, "--accept-gap")
    assert rows(followed.target, "SELECT count(*), sum(total)::text FROM public.orders") == followed.cluster.query(
        "SELECT count(*), sum(total)::text FROM orders", database=followed.database)
    scatter(followed, 2)
    follow(followed)
    since = "SELECT id, since FROM public.customers ORDER BY 1"
    assert rows(followed.target, since) == followed.cluster.query(since, database=followed.database)


def test_a_process_that_dies_on_the_way_over_a_gap_goes_on_right(followed: Shop):
    lose_slot(followed)
    accepted = ["--accept-gap"]
    for seed, step in enumerate(STEPS):
        scatter(followed, seed)
        followed.start(*accepted, TAILRACE_CRASH_AT=step)
        assert followed.process.wait(60) < 0, f"{step}: {followed.process.err()}"
        # It was said once, and is remembered.
        accepted = []
    scatter(followed, len(STEPS))
    follow(followed)
    assert_proved(followed)
    assert followed.cluster.query(f"SELECT count(*) FROM pg_replication_slots WHERE database = '{followed.database}'") == [(1,)]


def test_a_target_that_lags_has_the_rest_of_the_log_before_the_gap(followed: Shop):
    begin_anew(followed)
    follow(followed, "--history")
    followed.cluster.execute("INSERT INTO customers (id, name) VALUES (7777, 'in the log')", database=followed.database)
    followed.start("--history", TAILRACE_CRASH_AT="batch_applied")
    assert followed.process.wait(60) < 0
    lose_slot(followed)
    followed.cluster.execute("UPDATE customers SET name = 'in the gap' WHERE id = 7777",
                             "UPDATE customers SET name = 'known' WHERE id = 7777", database=followed.database)
    scatter(followed, 3)
    follow(followed, "--history", "--accept-gap")
    scatter(followed, 4)
    follow(followed, "--history")
    assert_proved(followed, "--history")

    kept = rows(followed.target, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public' AND table_name LIKE "
                                 "'customers\\_\\_history\\_until\\_%' ESCAPE '\\'")
    assert len(kept) == 1
    names = "SELECT DISTINCT name FROM public.\"{}\" WHERE name IN ('in the log', 'in the gap', 'known')"
    assert rows(followed.target, names.format(kept[0][0])) == [("in the log",)]
    assert rows(followed.target, names.format("customers__history")) == [("known",)]
    current = "SELECT count(*) FROM public.orders{}"
    assert rows(followed.target, current.format("__history WHERE is_current")) == rows(followed.target, current.format(""))


@pytest.mark.server
def test_a_slot_that_goes_while_it_is_read_is_made_anew_where_the_file_says_so(followed: Shop, tmp_path: Path):
    """With two targets, one of which is lent meanwhile, and a comparison going on all the time."""
    begin_anew(followed)
    targets = [tmp_path / "one.duckdb", tmp_path / "two.duckdb"]
    pipeline = tmp_path / "shop.yaml"
    pipeline.write_text(f"name: shop\nsource:\n  postgres:\n    url: '{followed.cluster.url(followed.database)}'\n    on_lost_slot: repair\n"
                        f"log: {{journal: {{path: {followed.tailrace.state}}}}}\nverify: continuous\nsinks:\n"
                        + "".join(f"  {target.stem}: {{duckdb: {{path: {target}}}}}\n" for target in targets))
    followed.process = followed.tailrace.start("run", pipeline, "--log-level", "info")
    followed.wait()
    for seed in range(3):
        scatter(followed, seed)
        lent = followed.tailrace.start("lend", "shop", "--sink", "one", "--state", followed.tailrace.state, "--", "sleep", "1")
        lose_slot(followed)
        scatter(followed, 100 + seed)
        assert lent.wait(60) == Exit.DONE, lent.err()
        until(followed, lambda seen=seed: followed.process.err().count("sink.gap") >= 2 * (seen + 1), "the gap is not crossed")
        until(followed, lambda: not [one for one in followed.problems() if one["code"] in ("TR631", "TR115", "TR641")], "not repaired")
    scatter(followed, 200)
    followed.wait()
    for target in targets:
        proof = followed.tailrace.command("verify", "shop", "--sink", target.stem, "--state", followed.tailrace.state)
        assert proof.code == Exit.DONE, str(proof)
    followed.stop()
    for target in targets:
        followed.target = target
        followed.assert_equal()

"""What befalls a slot and its server: what the stream cannot show is named with its remedy, and nothing is skipped."""

import time
from pathlib import Path

import pytest

from e2e.cluster import Cluster, server_major
from e2e.duckdb_file import rows
from e2e.shop import SHOP, Shop
from e2e.tailrace import Answer, Exit, Tailrace
from e2e.test_bad_input import assert_refused

TRANSACTIONS = "DO $$ BEGIN FOR i IN 1..11000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
COUNT = "SELECT count(*) FROM public.orders"


@pytest.fixture
def shop(own_cluster: Cluster, tailrace: Tailrace) -> Shop:
    """The shop on a server of its own, followed up to now; the pipeline has stopped."""
    own_cluster.execute("CREATE DATABASE shop")
    own_cluster.execute(*SHOP, database="shop")
    made = Shop(own_cluster, "shop", tailrace)
    follow(made)
    return made


def follow(shop: Shop, *options: str) -> None:
    answer = once(shop, *options)
    assert answer.code == Exit.DONE, str(answer)


def once(shop: Shop, *options: str) -> Answer:
    return shop.tailrace.command("mirror", shop.cluster.url(shop.database), shop.target, "--state", shop.tailrace.state,
                                 "--name", "shop", "--until-caught-up", *options, timeout_s=60)


def assert_stays_as_it_is(shop: Shop, *words: str) -> None:
    """It is refused, as often as it is tried, and the target is left where it was."""
    before = rows(shop.target, COUNT)
    for _ in range(2):
        assert_refused(once(shop), Exit.UNREACHABLE, *words)
    assert rows(shop.target, COUNT) == before


def insert(shop: Shop, count: int = 10) -> None:
    shop.cluster.execute(f"INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, {count}) g", database=shop.database)


@pytest.mark.server
def test_a_slot_that_is_gone_is_named(shop: Shop):
    insert(shop)
    shop.cluster.query("SELECT pg_drop_replication_slot('tailrace_shop')")
    assert_stays_as_it_is(shop, "TR115", "tailrace_shop", "--accept-gap")


@pytest.mark.server
def test_a_slot_that_goes_while_it_is_read_is_named(shop: Shop):
    shop.start()
    shop.wait()
    with shop.cluster.connect() as connection:
        connection.execute(
            "DO $$ BEGIN LOOP PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active; "
            "BEGIN PERFORM pg_drop_replication_slot('tailrace_shop'); RETURN; EXCEPTION WHEN object_in_use THEN END; END LOOP; END $$")
    insert(shop)
    assert shop.process.wait(60) == Exit.UNREACHABLE, shop.process.err()
    assert "TR115" in shop.process.err()


@pytest.mark.server
def test_a_slot_that_was_made_anew_is_told_from_ours(shop: Shop):
    shop.cluster.query("SELECT pg_drop_replication_slot('tailrace_shop')")
    insert(shop)
    with shop.cluster.connect(shop.database) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('tailrace_shop', 'pgoutput')")
    assert_stays_as_it_is(shop, "TR118", "tailrace_shop")
    # It may be read by somebody else, so it is not ours to take or to drop.
    assert_refused(once(shop, "--accept-gap"), Exit.UNREACHABLE, "TR118", "drop the slot")
    shop.cluster.query("SELECT pg_drop_replication_slot('tailrace_shop')")
    follow(shop, "--accept-gap")
    shop.assert_equal()


@pytest.mark.server
def test_a_slot_that_the_server_gave_up_for_its_size_is_named(shop: Shop):
    shop.cluster.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '2MB'", "ALTER SYSTEM SET max_wal_size = '4MB'",
                         "ALTER SYSTEM SET min_wal_size = '2MB'", "SELECT pg_reload_conf()")
    insert(shop)
    deadline = time.monotonic() + 60
    while shop.cluster.query("SELECT wal_status FROM pg_replication_slots") != [("lost",)]:
        assert time.monotonic() < deadline
        for _ in range(8):
            shop.cluster.query("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 500000)), pg_switch_wal()")
        shop.cluster.execute("CHECKPOINT")
    shop.change()
    assert_stays_as_it_is(shop, "TR114", "tailrace_shop", "--accept-gap")
    shop.cluster.execute("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    follow(shop, "--accept-gap")
    shop.change()
    follow(shop)
    shop.assert_equal()


def test_another_server_or_database_under_the_address_is_told(shop: Shop, cluster: Cluster, database: str):
    shop.cluster.execute("CREATE DATABASE other TEMPLATE shop")
    cluster.execute(*SHOP, database=database)
    for other in (Shop(shop.cluster, "other", shop.tailrace), Shop(cluster, database, shop.tailrace)):
        assert_stays_as_it_is(other, "TR116")


def older_copy_after_more_was_followed(shop: Shop) -> Path:
    """A copy of the server from before; since then more was committed and followed."""
    shop.cluster.stop()
    copy = shop.cluster.keep_copy()
    shop.cluster.start()
    insert(shop, 1000)
    follow(shop)
    shop.cluster.stop()
    return copy


def test_an_older_copy_of_the_server_is_told(shop: Shop):
    shop.cluster.bring_back(older_copy_after_more_was_followed(shop))
    shop.cluster.start()
    assert_stays_as_it_is(shop, "TR117", "older copy")


def test_an_older_copy_that_went_on_beyond_our_place_is_told(shop: Shop):
    shop.cluster.bring_back(older_copy_after_more_was_followed(shop))
    shop.cluster.start()
    insert(shop, 5000)
    assert_stays_as_it_is(shop, "TR117")


def test_an_older_copy_on_a_timeline_of_its_own_is_told(shop: Shop):
    shop.cluster.bring_back(older_copy_after_more_was_followed(shop), promote=True)
    shop.cluster.start()
    insert(shop, 5000)
    assert_stays_as_it_is(shop, "TR117", "timeline 1")


@pytest.mark.server
def test_a_promoted_copy_that_has_all_we_followed_is_followed_on(shop: Shop):
    insert(shop)
    follow(shop)
    shop.cluster.stop()
    copy = shop.cluster.keep_copy()
    shop.cluster.bring_back(copy, promote=True)
    shop.cluster.start()
    wait_until(lambda: shop.cluster.query("SELECT pg_is_in_recovery()") == [(False,)])
    assert shop.cluster.query("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)") == [("00000002",)]
    shop.change()
    follow(shop)
    shop.change()
    follow(shop)
    shop.assert_equal()


@pytest.mark.server
def test_a_standby_without_a_publication_or_slots_is_named(own_cluster: Cluster, tailrace: Tailrace):
    own_cluster.execute(*SHOP)
    code, word = ("TR119", "at the primary") if server_major() >= 16 else ("TR132", "primary")
    standby = Cluster(standby_of=own_cluster)
    try:
        answer = tailrace.command("mirror", standby.url(), tailrace.directory / "shop.duckdb", "--state", tailrace.state, timeout_s=60)
        assert_refused(answer, Exit.UNREACHABLE, code, word)
        checked = tailrace.command("check", standby.url())
        assert checked.code == Exit.NO and code in checked.out, str(checked)
    finally:
        standby.close()


@pytest.mark.server
def test_what_the_server_keeps_for_us_is_watched(tailrace: Tailrace):
    cluster = Cluster({"autovacuum_freeze_max_age": "100000", "max_slot_wal_keep_size": "30MB", "max_prepared_transactions": "1"})
    try:
        cluster.execute("CREATE DATABASE shop")
        cluster.execute(*SHOP, database="shop")
        shop = Shop(cluster, "shop", tailrace)
        shop.start()
        shop.wait()
        with cluster.connect("shop") as connection:
            connection.execute("BEGIN")
            connection.execute("INSERT INTO empty_table VALUES (1, 'held')")
            connection.execute("PREPARE TRANSACTION 'forgotten'")
            connection.execute(TRANSACTIONS)
            for _ in range(45):
                connection.execute("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 500000))")

        def named() -> dict[str, str]:
            return {problem["code"]: problem["what"] for problem in shop.problems()}

        wait_until(lambda: {"TR126", "TR137"} <= named().keys())
        assert all("'forgotten'" in what for what in named().values())
        source = tailrace.status()["source"]
        assert source["slot_age"] > 10_000 and source["wal_status"] in ("reserved", "extended"), source

        cluster.execute("COMMIT PREPARED 'forgotten'", database="shop")
        # What slots keep is looked at anew when the server logs which transactions run.
        wait_until(lambda: cluster.execute("CHECKPOINT") is None and not named())
        with cluster.connect("shop") as reader:
            reader.execute("SET application_name = 'tailrace'")
            reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            reader.execute("SELECT 1")
            with cluster.connect("shop") as connection:
                connection.execute(TRANSACTIONS)
            wait_until(lambda: any("copy or comparison" in what for what in named().values()))
        shop.stop()
    finally:
        cluster.close()


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)

"""A server late in its life: object ids and transaction ids past 2^31 and about to wrap, WAL positions past 2^63."""

import subprocess
from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.shop import SHOP, Shop
from e2e.tailrace import Exit, Tailrace

LATE_OID = 3_000_000_000
# The ids wrap after so many transactions.
LEFT = 1000
LATE_XID = 2**32 - LEFT


@pytest.fixture
def late(own_cluster: Cluster) -> Iterator[Cluster]:
    """All rows of the catalogs are frozen, since their transactions would come to lie in the future."""
    own_cluster.execute("VACUUM FREEZE")
    own_cluster.execute("VACUUM FREEZE", database="template1")
    own_cluster.stop()
    own_cluster.reset_wal("-o", str(LATE_OID), "-x", str(LATE_XID), "-u", str(LATE_XID - 100), "-l", "00000001" + "80000000" + "00000FFE")
    # The page of the commit log that such a transaction is noted in.
    page = own_cluster.data / "pg_xact" / f"{LATE_XID // (32 * 8192 * 4):04X}"
    page.write_bytes(bytes(32 * 8192))
    subprocess.run(["chown", "--reference", str(own_cluster.data), str(page)], check=True)
    own_cluster.start()
    yield own_cluster


def pass_ids(server: Cluster, count: int) -> None:
    with server.connect() as connection:
        for _ in range(count):
            connection.execute("SELECT pg_current_xact_id()")
        connection.execute("SELECT pg_switch_wal()")


def test_ids_and_positions_past_their_halves_and_their_wrap(late: Cluster, tailrace: Tailrace):
    late.execute(*SHOP)
    shop = Shop(late, "postgres", tailrace)
    shop.start("--history")
    shop.wait()
    before, = late.query("SELECT pg_current_xact_id()::text::numeric")[0]
    pass_ids(late, LEFT // 2)
    shop.change()
    pass_ids(late, LEFT // 2)
    shop.process.kill()
    shop.change()
    shop.start("--history")
    shop.wait()
    shop.change()
    shop.wait()
    assert shop.problems() == []
    shop.stop()
    shop.assert_equal()
    after, place, oid = late.query("SELECT pg_current_xact_id()::text::numeric, pg_current_wal_lsn() > '80000001/0', 'orders'::regclass::oid::bigint")[0]
    assert before < 2**32 < after and place and oid > LATE_OID
    current = "SELECT count(*), sum(id), sum(total)::text FROM public.orders{}"
    assert rows(shop.target, current.format("__history WHERE is_current")) == rows(shop.target, current.format(""))
    lowest, = rows(shop.target, "SELECT min(from_lsn) FROM public.orders__history")[0]
    assert lowest > 2**63
    listed = shop.tailrace.command("journal", "ls", "shop", "--state", shop.tailrace.state)
    assert listed.code == Exit.DONE and "80000001/" in listed.out, str(listed)

"""Prepared transactions, on a slot of our own and on one that was made by somebody else with two-phase decoding."""

from collections.abc import Iterator

import pytest

from e2e.duckdb_file import rows
from e2e.cluster import Cluster, server_major
from e2e.shop import SHOP, Shop
from e2e.tailrace import Exit, Tailrace

PREPARED = "SELECT count(*) FROM orders WHERE total = 4242"


@pytest.fixture(scope="module")
def preparing() -> Iterator[Cluster]:
    made = Cluster({"max_prepared_transactions": "10"})
    yield made
    made.close()


@pytest.fixture
def shop(preparing: Cluster, tailrace: Tailrace, request: pytest.FixtureRequest) -> Shop:
    database = request.node.name
    preparing.execute(f"CREATE DATABASE {database}")
    preparing.execute(*SHOP, database=database)
    return Shop(preparing, database, tailrace)


def prepare(shop: Shop, gid: str, statement: str = "INSERT INTO orders (customer, total) SELECT 1, 4242 FROM generate_series(1, 20)") -> None:
    with shop.cluster.connect(shop.database) as connection:
        connection.execute("BEGIN")
        connection.execute(statement)
        connection.execute(f"PREPARE TRANSACTION '{gid}'")


def assert_over_kills(shop: Shop, start) -> None:
    """What is prepared is in the target once it is committed, however often the program is killed meanwhile."""
    shop.process = start()
    shop.wait()
    prepare(shop, f"{shop.database} kept")
    prepare(shop, f"{shop.database} gone", "INSERT INTO orders (customer, total) VALUES (1, 9999)")
    shop.change()
    shop.wait()
    for _ in range(2):
        shop.process.kill()
        shop.process = start()
        shop.change()
        shop.wait()
    shop.process.kill()
    shop.cluster.execute(f"ROLLBACK PREPARED '{shop.database} gone'", f"COMMIT PREPARED '{shop.database} kept'", database=shop.database)
    shop.process = start()
    shop.wait()
    shop.stop()
    shop.assert_equal()
    assert rows(shop.target, PREPARED.replace("orders", "public.orders")) == [(20,)]


def test_prepared_transactions_on_a_slot_of_our_own(shop: Shop):
    assert_over_kills(shop, shop.start)


def test_prepared_transactions_on_an_adopted_slot_with_two_phases(shop: Shop):
    two_phase = ", false, true" if server_major() >= 14 else ""
    slot = f"made_for_{shop.database}"[:60]
    shop.cluster.execute("CREATE PUBLICATION theirs FOR ALL TABLES",
                         f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput'{two_phase})", database=shop.database)
    # Older than the first copy, younger than the slot.
    prepare(shop, "before the copy", "INSERT INTO orders (customer, total) VALUES (2, 17)")
    shop.cluster.execute("COMMIT PREPARED 'before the copy'", database=shop.database)
    file = shop.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres:\n    url: {shop.cluster.url(shop.database)}\n    slot: {slot}\n"
                    f"    adopt_slot: true\n    publication: {{name: theirs}}\n"
                    f"sinks: {{warehouse: {{duckdb: {{path: {shop.target}}}}}}}\n")
    assert_over_kills(shop, lambda: shop.tailrace.start("run", file, "--state", shop.tailrace.state))

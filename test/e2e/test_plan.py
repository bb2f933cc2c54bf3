"""`plan`: what it says of a changed file is what then happens."""

import signal
import time

import pytest

from e2e.redis_server import RedisServer, assert_same_orders
from e2e.shop import Shop
from e2e.tailrace import Exit

FILE = """name: shop
source: {{postgres: {{url: "{url}"{source}}}}}
log: {{journal: {{path: {state}}}}}
sinks: {sinks}
"""
TABLES = {"public.customers", "public.orders", "public.empty_table"}


class Planned:
    """A pipeline that runs from a file."""

    def __init__(self, mirror: Shop, redis: RedisServer):
        self.mirror, self.file = mirror, mirror.tailrace.directory / "shop.yaml"
        self.warehouse = f"{{duckdb: {{path: {mirror.target}}}}}"
        self.cache = f'{{redis: {{url: "{redis.url}"}}}}'

    def write(self, source: str = "", **sinks: str) -> None:
        self.file.write_text(FILE.format(url=self.mirror.cluster.url(self.mirror.database), source=source, state=self.mirror.tailrace.state,
                                         sinks="{" + ", ".join(f"{name}: {sink}" for name, sink in sinks.items()) + "}"))

    def plan(self, code: Exit = Exit.DONE) -> list[tuple[str, str, str]]:
        """What, which sink, which table."""
        answer = self.mirror.tailrace.command("plan", self.file, "--json")
        assert answer.code == code, answer
        (one,) = answer.json()["pipelines"]
        assert one["running"] == (self.mirror.process is not None and self.mirror.process.code is None)
        return [(change["what"], change["sink"], change["table"] or change["code"]) for change in one["changes"]]

    def start(self) -> None:
        self.mirror.process = self.mirror.tailrace.start("run", self.file)
        self.mirror.wait()

    def names(self) -> set[str]:
        try:
            return {sink["name"] for sink in self.mirror.tailrace.status()["sinks"]}
        except RuntimeError:
            return set()

    def reload(self, sinks: set[str]) -> None:
        self.mirror.process.signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while self.names() != sinks:
            assert time.monotonic() < deadline, self.mirror.process.err()
            time.sleep(0.05)
        self.mirror.wait()

    def copied(self) -> dict[str, set[str]]:
        """Tables that were copied since the last start, by sink."""
        found: dict[str, set[str]] = {}
        for table in self.mirror.tailrace.status()["snapshot"]["tables"]:
            found.setdefault(table["sink"], set()).add(table["table"])
        return found


@pytest.fixture
def planned(mirror: Shop, redis: RedisServer) -> Planned:
    return Planned(mirror, redis)


@pytest.mark.smoke
def test_an_added_sink_is_copied_and_a_renamed_one_goes_on_as_planned(planned: Planned, redis: RedisServer):
    planned.write(warehouse=planned.warehouse)
    assert planned.plan()[0] == ("new_pipeline", None, None)
    assert not planned.mirror.tailrace.state.exists()
    planned.start()
    assert planned.copied() == {"warehouse": TABLES}
    assert planned.plan() == []
    planned.write(house=planned.warehouse, cache=planned.cache)
    wanted = planned.plan()
    assert wanted[:2] == [("sink_renamed", "house", None), ("sink_added", "cache", None)]
    assert set(wanted[2:]) == {("table_copied", "cache", table) for table in TABLES}
    assert planned.names() == {"warehouse"}, "the plan changed something"
    planned.reload({"house", "cache"})
    assert planned.copied() == {"cache": TABLES}
    assert planned.plan() == []
    planned.mirror.stop()
    assert_same_orders(planned.mirror, redis)
    planned.mirror.assert_equal()


def test_a_sink_that_is_removed_and_a_table_that_is_left_out_are_as_planned(planned: Planned):
    planned.write(warehouse=planned.warehouse, cache=planned.cache)
    planned.start()
    planned.mirror.stop()
    planned.write(', tables: ["public.*", "!public.empty_table"]', warehouse=planned.warehouse)
    assert planned.plan() == [("sink_removed", "cache", "TR521"), ("table_left_out", "warehouse", "public.empty_table")]
    planned.start()
    planned.mirror.cluster.execute("INSERT INTO empty_table VALUES (1, 'left out')", database=planned.mirror.database)
    planned.mirror.wait()
    planned.mirror.tailrace.wait_for_problem("TR521", "cache")
    planned.mirror.tailrace.wait_for_problem("TR618", "empty_table")
    assert planned.copied() == {}
    planned.mirror.stop()


def test_a_table_that_the_publication_lacks_is_planned_as_such(planned: Planned):
    planned.write(', tables: ["public.orders", "public.customers"]', warehouse=planned.warehouse)
    planned.start()
    planned.mirror.stop()
    planned.write(warehouse=planned.warehouse)
    assert planned.plan() == [("table_not_followed", None, "public.empty_table")]
    planned.start()
    planned.mirror.tailrace.wait_for_problem("TR133", "public.empty_table")
    assert planned.copied() == {}
    planned.mirror.stop()


def test_what_would_be_refused_is_planned_with_its_code(planned: Planned):
    planned.write(warehouse=planned.warehouse, cache=planned.cache)
    planned.start()
    planned.mirror.stop()
    planned.write(cache=planned.warehouse, warehouse=planned.cache)
    assert ("refused", None, "TR520") in planned.plan(Exit.REQUEST)
    process = planned.mirror.tailrace.start("run", planned.file)
    assert process.wait(60) == Exit.REQUEST and "TR520" in process.err()
    planned.write(', tables: ["public.none"]', warehouse=planned.warehouse, cache=planned.cache)
    assert ("refused", None, "TR107") in planned.plan(Exit.REQUEST)
    planned.file.write_text("name: shop\nsinks: {}\n")
    assert planned.mirror.tailrace.command("plan", planned.file).code == Exit.REQUEST

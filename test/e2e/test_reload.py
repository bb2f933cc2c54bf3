"""SIGHUP: the pipeline file is read again."""

import signal
import time

import pytest

from e2e.duckdb_file import rows
from e2e.shop import Shop
from e2e.tailrace import Exit

pytestmark = pytest.mark.smoke

PIPELINE = """name: shop
source: {{postgres: {{url: "{url}"}}}}
sinks: {sinks}
"""


def test_a_changed_file_is_taken_up_and_a_wrong_one_is_not(mirror: Shop):
    url = mirror.cluster.url(mirror.database)
    one = f"{{warehouse: {{duckdb: {{path: {mirror.target}}}}}}}"
    second = mirror.target.with_name("second.duckdb")
    two = f"{{warehouse: {{duckdb: {{path: {mirror.target}}}}}, second: {{duckdb: {{path: {second}}}}}}}"
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(PIPELINE.format(url=url, sinks=one))
    mirror.process = mirror.tailrace.start("run", file, "--state", mirror.tailrace.state)
    mirror.wait()
    mirror.change()

    file.write_text(PIPELINE.format(url=url, sinks="{warehouse: {dukdb: {}}}"))
    mirror.process.signal(signal.SIGHUP)
    for _ in range(100):
        if "[TR201]" in mirror.process.err():
            break
        time.sleep(0.1)
    assert "[TR201]" in mirror.process.err() and "left as it was" in mirror.process.err()
    mirror.wait()
    assert len(mirror.tailrace.status()["sinks"]) == 1

    file.write_text(PIPELINE.format(url=url, sinks=two))
    mirror.process.signal(signal.SIGHUP)
    for _ in range(200):
        if second.exists():
            break
        time.sleep(0.1)
    mirror.tailrace.wait_for_state("streaming")
    assert {sink["name"] for sink in mirror.tailrace.status()["sinks"]} == {"warehouse", "second"}
    mirror.change()
    mirror.wait()
    assert mirror.process.stop() == Exit.DONE, mirror.process.err()
    mirror.assert_equal()
    count = "SELECT count(*), sum(total)::text FROM public.orders"
    assert rows(second, count) == rows(mirror.target, count)


def test_dead_letters_outlive_the_name_of_their_sink(mirror: Shop, tmp_path):
    mirror.cluster.execute("CREATE TABLE measures (id int PRIMARY KEY, n numeric(5,2))",
                           "INSERT INTO measures VALUES (1, 'NaN')", database=mirror.database)
    file = tmp_path / "shop.yaml"

    def run_with(sinks: str) -> dict:
        file.write_text(PIPELINE.format(url=mirror.cluster.url(mirror.database), sinks=sinks))
        process = mirror.tailrace.start("run", file, "--state", mirror.tailrace.state, "--until-caught-up")
        assert process.wait(120) == Exit.DONE, process.err()
        return mirror.tailrace.status()

    def letters(status: dict) -> dict[str, int]:
        return {sink["name"]: sink["dead_letters"] for sink in status["sinks"]}

    assert letters(run_with(f"{{warehouse: {{duckdb: {{path: {mirror.target}}}}}}}")) == {"warehouse": 1}
    house = f"house: {{duckdb: {{path: {mirror.target}}}}}"
    assert letters(run_with(f"{{{house}}}")) == {"house": 1}
    other = f"other: {{duckdb: {{path: {tmp_path / 'other.duckdb'}}}}}"
    without = run_with(f"{{{other}}}")
    assert letters(without) == {"other": 1}
    assert [problem["code"] for problem in without["problems"] if "house" in problem["what"]] == ["TR521"]
    again = run_with(f"{{{house}, {other}}}")
    assert letters(again) == {"house": 1, "other": 1}
    assert "TR521" not in {problem["code"] for problem in again["problems"]}


def test_without_a_file_it_ends_well(mirror: Shop):
    mirror.start()
    mirror.wait()
    mirror.process.signal(signal.SIGHUP)
    assert mirror.process.wait(60) == Exit.DONE, mirror.process.err()
    mirror.assert_equal()

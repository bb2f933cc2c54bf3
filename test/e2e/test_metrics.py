"""All counters of a pipeline, against what was really done to its source."""

import os
import pty
import re
import subprocess
import time

import pytest

from e2e.shop import Shop
from e2e.tailrace import OUTCOMES, Exit, binary
from e2e.test_watching import ANYWHERE, address_of, get, samples

LINE = re.compile(r"Pipeline Stats - Consumed: (\d+), Validated: (\d+), Loaded: (\d+), Errors: (\d+)")


def metrics(shop: Shop) -> dict:
    answer = shop.tailrace.command("metrics", "shop", "--json", "--state", shop.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    return answer.json()


@pytest.fixture
def worked(mirror: Shop) -> Shop:
    """Six inserts, three updates, one delete and a truncate; three of the rows cannot be held by the target."""
    mirror.cluster.execute("CREATE TABLE measures (id int PRIMARY KEY, n numeric(5,2))", database=mirror.database)
    mirror.url = address_of(mirror.start(*ANYWHERE))
    mirror.wait()
    mirror.cluster.execute("INSERT INTO measures SELECT g, CASE WHEN g > 3 THEN 'NaN' ELSE g::numeric END FROM generate_series(1, 6) g",
                           "UPDATE customers SET name = 'x' WHERE id <= 3", "DELETE FROM measures WHERE id = 1",
                           "TRUNCATE empty_table", database=mirror.database)
    mirror.wait()
    return mirror


@pytest.mark.smoke
def test_counters_are_what_was_done(worked: Shop):
    now = metrics(worked)
    (sink,) = now["sinks"]
    assert (now["name"], now["state"], sink["name"], sink["kind"]) == ("shop", "streaming", "mirror", "duckdb")
    assert sink["operations"] == {"insert": 6, "update": 3, "delete": 1, "truncate": 1, "message": sink["operations"]["message"]}
    tables = {table.pop("table"): table for table in sink["tables"]}
    outcomes = {name: table.pop("outcomes") for name, table in tables.items()}
    (wait_nudges,) = outcomes.pop("")["message"].items()
    assert wait_nudges[0] == "filtered" and wait_nudges[1] == sink["operations"]["message"]
    assert outcomes == {"public.measures": {"insert": {"applied": 3, "dead_lettered": 3}, "delete": {"applied": 1}},
                        "public.customers": {"update": {"applied": 3}}, "public.empty_table": {"truncate": {"applied": 1}}}
    for name, table in tables.items():
        for outcome in OUTCOMES:
            assert table.pop(outcome) == sum(counts.get(outcome, 0) for counts in outcomes.get(name, {}).values()) or name == ""
    assert tables.pop("") == {"insert": 0, "update": 0, "delete": 0, "truncate": 0, "message": 0}
    assert tables == {"public.measures": {"insert": 6, "update": 0, "delete": 1, "truncate": 0, "message": 0},
                      "public.customers": {"insert": 0, "update": 3, "delete": 0, "truncate": 0, "message": 0},
                      "public.empty_table": {"insert": 0, "update": 0, "delete": 0, "truncate": 1, "message": 0}}
    assert sink["dead_lettered"] == sink["rejected"] == sink["errors"]["data"] == sink["dead_letters"] == 3
    assert sink["consumed"] == sink["processed"] == sink["validated"] + 3
    assert sink["processed"] == sum(sink[outcome] for outcome in OUTCOMES)
    assert sink["error_rate"] == pytest.approx(3 / sink["processed"], abs=1e-5)
    assert sink["success_rate"] + sink["error_rate"] == pytest.approx(1)
    assert sink["batches"] > 0 and sink["average_batch_size"] >= 1 and sink["average_batch_seconds"] > 0
    assert sink["copied_rows"] == 1050
    assert {name: now["totals"][name] for name in ("consumed", "applied", "operations")} == \
        {name: sink[name] for name in ("consumed", "applied", "operations")}
    over_http = get(f"{worked.url}/api/v1/metrics").json()
    assert over_http.keys() == now.keys() and over_http["sinks"][0]["tables"] != []
    found = samples(get(f"{worked.url}/metrics").text)
    assert found['tailrace_operations_total{pipeline="shop",sink="mirror",table="public.measures",op="insert"}'] == 6
    one = 'tailrace_changes_total{pipeline="shop",sink="mirror",table="public.measures",op="insert",outcome="%s"}'
    assert found[one % "dead_lettered"] == found[one % "applied"] == 3
    assert found['tailrace_lag_seconds_count{pipeline="shop",sink="mirror"}'] >= sink["batches"]

    worked.stop()
    after = metrics(worked)
    assert after["state"] == "stopped" and after["sinks"][0]["state"] == "stopped"
    for kept in ("consumed", "operations", "dead_lettered", "tables"):
        assert after["sinks"][0][kept] == metrics(worked)["sinks"][0][kept]
    assert after["sinks"][0]["operations"]["insert"] == 6

    assert worked.tailrace.command("dlq", "drop", "shop", "--yes", "--state", worked.tailrace.state).code == Exit.DONE
    worked.start()
    worked.wait()
    (dropped,) = worked.tailrace.status()["sinks"]
    assert dropped["dead_letters"] == 0 and dropped["rows_dead_lettered"] == 3
    assert dropped["rows_received"] == sum(dropped[f"rows_{outcome}"] for outcome in OUTCOMES)
    again = {table["table"]: table["outcomes"] for table in metrics(worked)["sinks"][0]["tables"]}
    assert {name: again[name] for name in outcomes} == outcomes
    worked.stop()


def test_people_see_the_same_figures(worked: Shop):
    answer = worked.tailrace.command("metrics", "shop", "--state", worked.tailrace.state)
    assert answer.code == Exit.DONE and "dead-lettered 3" in answer.out and "insert 6  update 3" in answer.out, str(answer)


def test_the_live_status_is_one_line(worked: Shop):
    line = worked.tailrace.command("status", "shop", "--one-line", "--state", worked.tailrace.state).out
    consumed, validated, loaded, errors = map(int, LINE.fullmatch(line.strip()).groups())
    assert consumed == validated + 3 and loaded <= validated and errors == 3
    ours, theirs = pty.openpty()
    watching = subprocess.Popen([binary(), "status", "shop", "--one-line", "--watch", "--state", worked.tailrace.state],
                                stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    time.sleep(1.2)
    worked.stop()
    assert watching.wait(20) == 0
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert shown.count(b"\r\x1b[KPipeline Stats - ") >= 2 and shown.count(b"\n") == 1

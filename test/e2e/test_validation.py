"""Rows that break a rule reach no target, whatever its kind, and are kept with the rule; the others do."""

import sqlite3
from pathlib import Path

import pytest

from e2e.duckdb_file import rows
from e2e.redis_server import RedisServer, hashes
from e2e.shop import Shop
from e2e.tailrace import OUTCOMES, Exit

PAYMENTS = ("CREATE TABLE payments (id int PRIMARY KEY, user_id int, amount numeric(10,2), status text, email text)",
            "INSERT INTO payments SELECT g, g, g, 'pending', 'a@b' FROM generate_series(1, 3) g",
            "INSERT INTO payments VALUES (4, 1, -0.01, 'pending', 'a@b')")
RULES = """
  public.payments:
    not_null: [user_id]
    range: {user_id: {min: 1}, amount: {min: 0}}
    in: {status: [pending, completed, failed, cancelled]}
    regex: {email: "[^@]+@[^@]+"}
    sql: ["amount < 1000 OR status = 'completed'"]
"""
#: What each breaks, by the row's id.
BROKEN = {10: ("NULL, 5, 'pending', 'a@b'", "`not_null` of `user_id`"), 11: ("0, 5, 'pending', 'a@b'", "`range` of `user_id`"),
          12: ("1, -1, 'pending', 'a@b'", "`range` of `amount`"), 13: ("1, 'NaN', 'pending', 'a@b'", "`range` of `amount`"),
          14: ("1, 5, 'lost', 'a@b'", "`in` of `status`"), 15: ("1, 5, 'failed', 'ab'", "`regex` of `email`"),
          16: ("1, 1000, 'failed', 'a@b'", "`sql` amount < 1000 OR status = 'completed'")}


def run(mirror: Shop, redis: RedisServer, rules: str = RULES) -> None:
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\", tables: [payments]}}\n"
                    f"log:\n  journal: {{path: {mirror.tailrace.state}}}\nvalidate:{rules}\nsinks:\n"
                    f"  cache:\n    redis: {{url: \"{redis.url}\"}}\n  file:\n    duckdb: {{path: \"{mirror.target}\"}}\n")
    mirror.process = mirror.tailrace.start("run", file)


@pytest.mark.smoke
def test_rows_that_break_a_rule_reach_no_target_and_are_kept_with_the_rule(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute(*PAYMENTS, database=mirror.database)
    run(mirror, redis)
    mirror.wait()
    mirror.cluster.execute(*(f"INSERT INTO payments VALUES ({row}, {values})" for row, (values, _) in BROKEN.items()),
                           "INSERT INTO payments VALUES (20, 1, 5000, 'completed', NULL), (21, 1, 999.99, NULL, 'a@b')",
                           "UPDATE payments SET status = 'completed' WHERE id = 1", "UPDATE payments SET amount = -5 WHERE id = 2",
                           "DELETE FROM payments WHERE id = 3", database=mirror.database)
    mirror.wait()
    for sink in mirror.tailrace.status()["sinks"]:
        assert sink["rows_received"] == sum(sink[f"rows_{outcome}"] for outcome in OUTCOMES), sink
    for sink in mirror.tailrace.command("metrics", "shop", "--json", "--state", mirror.tailrace.state).json()["sinks"]:
        assert sink["rejected"] == sink["errors"]["validation"] == len(BROKEN) + 1 and sink["errors"]["data"] == 0
    mirror.stop()
    there = {"1": "completed", "2": "pending", "20": "completed", "21": None}
    assert {row["id"]: row.get("status") for row in hashes(redis, "public.payments:*").values()} == there
    assert dict(rows(mirror.target, "SELECT id::text, status FROM public.payments")) == there
    with sqlite3.connect(next(Path(mirror.tailrace.state).rglob("catalog.sqlite"))) as catalog:
        for sink in ("cache", "file"):
            kept = [reason for (reason,) in catalog.execute("SELECT reason FROM dead_letter WHERE sink = ? ORDER BY commit_end, ordinal", [sink])]
            assert kept == [f"validation: {reason}" for reason in
                            ("`range` of `amount`", *(reason for _, reason in BROKEN.values()), "`range` of `amount`")]
    assert "-0.01" not in mirror.process.err()


@pytest.mark.parametrize(("rule", "code"), [("not_null: [nothing]", "TR871"), ("sql: [amount <]", "TR872"), ("regex: {email: '['}", "TR872")])
def test_a_rule_that_does_not_fit_its_table_is_named_before_anything_is_written(mirror: Shop, redis: RedisServer, rule: str, code: str):
    mirror.cluster.execute(*PAYMENTS, database=mirror.database)
    run(mirror, redis, f" {{public.payments: {{{rule}}}}}")
    assert mirror.process.wait(30) == Exit.UNREACHABLE
    assert code in mirror.process.err()
    assert hashes(redis, "public.payments:*") == {}

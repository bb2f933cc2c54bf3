"""The first thing that a new user runs."""

import time

from e2e.tailrace import Exit, Tailrace


def test_the_demo_can_be_queried_while_it_runs_and_proves_itself_at_the_end(tailrace: Tailrace):
    demo = tailrace.start("demo", "--seconds", "8")
    directory = demo.err_path.parent
    rows = ""
    deadline = time.monotonic() + 60
    while not rows.isdigit() or int(rows) == 0:
        assert demo.code is None and time.monotonic() < deadline, f"{demo.out()}{demo.err()}"
        answer = tailrace.command("query", "demo", "select count(*) from orders", "--format", "csv", cwd=directory)
        rows = answer.out.splitlines()[-1] if answer.code == Exit.DONE else ""
        time.sleep(0.2)
    assert demo.wait(90) == Exit.DONE, f"{demo.out()}{demo.err()}"
    assert "demo: OK" in demo.out() + demo.err()
    assert not list(directory.glob("*.duckdb")), "the demo left its target behind"

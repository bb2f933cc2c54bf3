"""Under REPLICA IDENTITY FULL a table's key may come, go or change while changes of before are still in the log."""

import pytest

from e2e.cluster import Cluster
from e2e.duckdb_file import rows
from e2e.tailrace import Exit, Tailrace

ROWS = "SELECT id, code, v FROM {} ORDER BY id, code, v"
# What the table is at first, and what happens to it: changes that only hold without the later key, the key, changes under it.
LIVES = {
    "added": ("CREATE TABLE t (id int NOT NULL, code text NOT NULL, v int)", [
        "UPDATE t SET v = v + 1 WHERE code = 'a'", "INSERT INTO t VALUES (2, 'n', 0), (1, 'm', 5)",
        "UPDATE t SET v = 7 WHERE code = 'm'", "DELETE FROM t WHERE id = 1 AND code <> 'm'",
        "INSERT INTO t VALUES (4, 'o', 1)", "DELETE FROM t WHERE id = 2 AND v = 0",
        "ALTER TABLE t ADD PRIMARY KEY (id)",
        "UPDATE t SET v = v * 2", "UPDATE t SET id = id + 10 WHERE id = 1", "INSERT INTO t VALUES (1, 'q', 8)"]),
    "dropped": ("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, v int)", [
        "UPDATE t SET v = 9 WHERE id = 1", "ALTER TABLE t DROP CONSTRAINT t_pkey",
        "INSERT INTO t SELECT * FROM t", "INSERT INTO t VALUES (1, 'x', 1)",
        "UPDATE t SET v = v + 1 WHERE code = 'x'", "DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t WHERE id = 2)"]),
    "changed": ("CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, v int)", [
        "INSERT INTO t VALUES (5, 'a', 1), (6, 'a', 2)", "UPDATE t SET v = 3 WHERE id = 6", "DELETE FROM t WHERE id = 1",
        "UPDATE t SET code = 'e' WHERE id = 5",
        "BEGIN; UPDATE t SET v = 11 WHERE id = 5; ALTER TABLE t DROP CONSTRAINT t_pkey; "
        "ALTER TABLE t ADD PRIMARY KEY (code); UPDATE t SET id = 2, v = v + 1; COMMIT",
        "UPDATE t SET id = 3 WHERE code = 'e'", "DELETE FROM t WHERE code = 'b'"]),
}


@pytest.mark.parametrize("running", [True, False], ids=["while_running", "while_down"])
@pytest.mark.parametrize("life, identity", [(life, "FULL") for life in LIVES] + [("changed", "DEFAULT")])
def test_a_key_that_changes_bends_nothing(cluster: Cluster, database: str, tailrace: Tailrace, tmp_path, life: str,
                                          running: bool, identity: str):
    create, changes = LIVES[life]
    seed = "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)"
    if life == "added":
        seed += ", (1, 'b', 4), (1, 'a', 1)"
    cluster.execute(create, f"ALTER TABLE t REPLICA IDENTITY {identity}", seed, database=database)
    target = tmp_path / "target.duckdb"
    caught_up = [cluster.url(database), target, "--history", "--until-caught-up"]
    assert tailrace.mirror(*caught_up).wait(120) == Exit.DONE
    if running:
        process = tailrace.mirror(cluster.url(database), target, "--history")
        for change in changes:
            cluster.execute(change, database=database)
            assert tailrace.wait().code == Exit.DONE, process.err()
        status = tailrace.status()
        assert process.stop() == Exit.DONE, process.err()
    else:
        cluster.execute(*changes, database=database)
        process = tailrace.mirror(*caught_up)
        assert process.wait(120) == Exit.DONE, process.err()
        status = tailrace.status()
    assert not [problem for problem in status["problems"] if problem["code"].startswith("TR6")], status["problems"]
    with cluster.connect(database) as connection:
        truth = connection.execute(ROWS.format("t")).fetchall()
    assert rows(target, ROWS.format("public.t")) == truth
    assert rows(target, ROWS.format("public.t__history WHERE is_current")) == truth

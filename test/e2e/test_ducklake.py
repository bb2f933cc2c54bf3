"""A lake with a catalog: what DuckDB's own reader of DuckLake finds, while Tailrace writes, behind crashes and beside other writers."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

import pytest

from e2e import ducklake
from e2e.s3_server import KEY, SECRET, S3Server, make_server
from e2e.shop import Shop
from e2e.tailrace import Exit
from e2e.test_lake import write


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    return tmp_path / "lake" / "catalog.sqlite"


def options(catalog: Path, place: str = "") -> str:
    return f'url: "{place or f"file://{catalog.parent}/data"}", layout: ducklake, catalog: "sqlite:{catalog}"'


def start(mirror: Shop, catalog: Path, more: str = "", environment: dict[str, str] | None = None) -> None:
    write(mirror, catalog, options(catalog) + more)
    mirror.process = mirror.tailrace.start("run", mirror.tailrace.directory / "shop.yaml", environment=environment)


def run(mirror: Shop, catalog: Path, more: str = "") -> None:
    start(mirror, catalog, more)
    mirror.wait()


def rows(catalog: Path, table: str, where: str = "", at: str = "") -> list[dict]:
    with ducklake.attached(catalog) as connection:
        return ducklake.rows(connection, "public", table, where, at)


def operations(catalog: Path, table: str, at: str = "") -> list[tuple[str, int]]:
    there = rows(catalog, table, at=at)
    # Copied rows have no order among themselves.
    there.sort(key=lambda row: (row["_seq"], row["id"] if row["_op"] == "r" else 0))
    return [(row["_op"], row["id"]) for row in there]


def files(catalog: Path) -> set[str]:
    """All files that are there, below the lake's data."""
    data = catalog.parent / "data"
    return {str(path.relative_to(data)) for path in data.rglob("*.parquet")}


def named(catalog: Path) -> set[str]:
    """All files that the catalog names, in any snapshot."""
    with sqlite3.connect(catalog) as connection:
        return {path for (path,) in connection.execute(
            "SELECT s.path || t.path || f.path FROM ducklake_data_file f JOIN ducklake_table t USING (table_id) JOIN ducklake_schema s USING (schema_id)")}


def test_every_type_is_read_back_and_found_by_its_value(mirror: Shop, catalog: Path):
    mirror.cluster.execute(
        "CREATE TABLE kinds (id int PRIMARY KEY, b bool, s int2, l int8, f real, d float8, n numeric(20,5), big numeric(38,10), free numeric, "
        "t text, by bytea, u uuid, day date, ts timestamp, tz timestamptz, clock time, zoned timetz, span interval, j json, e state, a int[], "
        "na numeric(10,2)[], ta text[], o oid)",
        "INSERT INTO kinds VALUES (1, true, -32768, 9223372036854775807, 1.5, 1e-300, -123456789012345.12345, "
        "-9999999999999999999999999999.9999999999, 12345678901234567890.0123456789, E'a\"b\\n\\\\ é', '\\x00ff', "
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1500-01-01', '2299-12-31 23:59:59.999999', '1969-12-31 23:59:59.000001+00', '23:59:59.999999', "
        "'12:00:00.5+02', '1 mon -1 day', '{\"x\": [1,  2]}', 'paid', '{1,NULL,-3}', '{1.50}', '{\"a,b\",NULL,\"\"}', 4294967295)",
        "INSERT INTO kinds (id, a, f, d, t) VALUES (2, '{}', 'NaN', '-Infinity', repeat('long ', 1000))", database=mirror.database)
    run(mirror, catalog)
    # The same by the stream, in other files.
    mirror.cluster.execute("UPDATE kinds SET id = id + 10", database=mirror.database)
    mirror.wait()
    mirror.stop()
    there = rows(catalog, "kinds")
    first = {"id": 1, "b": True, "s": -32768, "l": 9223372036854775807, "f": 1.5, "d": 1e-300, "n": Decimal("-123456789012345.12345"),
             "big": Decimal("-9999999999999999999999999999.9999999999"), "free": "12345678901234567890.0123456789", "t": "a\"b\n\\ é",
             "by": b"\x00\xff", "u": UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "day": date(1500, 1, 1),
             "ts": datetime(2299, 12, 31, 23, 59, 59, 999999), "clock": time(23, 59, 59, 999999), "zoned": "12:00:00.5+02",
             "span": "1 mon -1 days", "j": "{\"x\": [1,  2]}", "e": "paid", "a": [1, None, -3], "na": [Decimal("1.50")],
             "ta": ["a,b", None, ""], "o": 4294967295}
    for row, key in ((there[0], 1), (there[2], 11)):
        assert {name: row[name] for name in first} == first | {"id": key}
    assert there[1]["t"] == there[3]["t"] == "long " * 1000 and there[3]["a"] == [] and there[3]["f"] != there[3]["f"]
    # What is looked for is found, whatever a reader leaves out by statistics; and nothing else.
    for where, found in {"l = 9223372036854775807": [1, 11], "day = '1500-01-01'": [1, 11], "day > '1500-01-01'": [], "d < 0": [2, 12], "f > 1000": [2, 12],
                         "t = repeat('long ', 1000)": [2, 12], "n < -123456789012345": [1, 11], "u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'": [1, 11],
                         "tz = '1969-12-31 23:59:59.000001+00'": [1, 11], "b": [1, 11], "s IS NULL": [2, 12], "\"by\" = '\\x00\\xff'::blob": [1, 11],
                         "_seq > 0": [11, 12], "_op = 'r'": [1, 2], "list_contains(a, -3)": [1, 11], "t > 'm'": [], "clock IS NOT NULL": [1, 11]}.items():
        assert sorted(row["id"] for row in rows(catalog, "kinds", f"WHERE {where}")) == found, where
    with ducklake.attached(catalog) as connection:
        assert connection.execute("SELECT count(*), min(id), max(id), count(t), max(_op) FROM lake.public.kinds").fetchone() == (4, 1, 12, 4, "u")


READER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from e2e import ducklake
seen = 0
with ducklake.attached(Path(sys.argv[2])) as connection:
    while True:
        accounts, total, changes = connection.execute(
            "SELECT count(*), sum(balance), max(_seq) FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY _seq DESC) AS n FROM lake.public.accounts) WHERE n = 1").fetchone()
        assert (accounts, total) == (10, 1000), (accounts, total)
        assert changes >= seen
        seen = changes
        print(seen, flush=True)
"""


def test_other_processes_read_whole_steps_while_changes_come(mirror: Shop, catalog: Path):
    mirror.cluster.execute("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)",
                           "INSERT INTO accounts SELECT g, 100 FROM generate_series(1, 10) g", database=mirror.database)
    run(mirror, catalog)
    heard = [catalog.parent / f"reader-{n}" for n in range(2)]
    readers = []
    for path in heard:
        with open(path, "wb") as out:
            readers.append(subprocess.Popen([sys.executable, "-c", READER, str(Path(__file__).resolve().parents[1]), str(catalog)], stdout=out, stderr=out))
    try:
        with mirror.cluster.connect(mirror.database) as connection:
            deadline = monotonic() + 40
            n = 0
            # Until each reader saw some steps, however slowly it comes up.
            while n < 150 or any(len(set(read(path))) < 5 for path in heard):
                n += 1
                assert monotonic() < deadline, [read(path) for path in heard]
                with connection.transaction():
                    # The sum stays what it was at each commit, and only there.
                    connection.execute("UPDATE accounts SET balance = balance - %s WHERE id = %s", [n, 1 + n % 10])
                    connection.execute("UPDATE accounts SET balance = balance + %s WHERE id = %s", [n, 1 + (n + 3) % 10])
                sleep(0.01)
        mirror.wait()
        assert all(reader.poll() is None for reader in readers), [path.read_text() for path in heard]
    finally:
        for reader in readers:
            reader.kill()
            reader.wait(10)
    mirror.stop()


def read(path: Path) -> list[str]:
    return path.read_text().split()


def test_a_snapshot_tells_its_place_in_the_log_and_stays(mirror: Shop, catalog: Path):
    run(mirror, catalog)
    mirror.cluster.execute("UPDATE customers SET name = 'first' WHERE id = 1", database=mirror.database)
    mirror.wait()
    with ducklake.attached(catalog) as connection:
        before = ducklake.snapshots(connection)[-1]
    lsn = mirror.cluster.query("SELECT pg_current_wal_lsn()", mirror.database)[0][0]
    mirror.cluster.execute("UPDATE customers SET name = 'second' WHERE id = 1", "TRUNCATE empty_table", database=mirror.database)
    mirror.wait()
    mirror.stop()
    place = json.loads(before[2])
    assert before[1] == f"up to {place['lsn']}" and place["pipeline"] == "shop"

    def number(text: str) -> int:
        high, _, low = text.partition("/")
        return int(high, 16) << 32 | int(low, 16)

    with ducklake.attached(catalog) as connection:
        places = [json.loads(extra) for _, _, extra in ducklake.snapshots(connection) if extra]
        cursors = [(one["epoch"], number(one["lsn"]), one["seq"]) for one in places if "lsn" in one]
        assert len(cursors) >= 2 and cursors == sorted(cursors) and number(place["lsn"]) <= number(lsn) < cursors[-1][1]
        names = [row["name"] for row in ducklake.rows(connection, "public", "customers", "WHERE id = 1", f"AT (VERSION => {before[0]})")]
        assert names[-1] == "first"
        assert ducklake.rows(connection, "public", "customers", "WHERE id = 1")[-1]["name"] == "second"
        assert [row["_op"] for row in ducklake.rows(connection, "public", "empty_table")] == ["t"]
        assert not ducklake.rows(connection, "public", "empty_table", at=f"AT (VERSION => {before[0]})")


def test_tables_that_change_keep_their_rows(mirror: Shop, catalog: Path):
    mirror.cluster.execute("CREATE TABLE things (id int PRIMARY KEY, a text, b int2, c real, gone text)",
                           "INSERT INTO things VALUES (1, 'one', 1, 1.5, 'there')", database=mirror.database)
    run(mirror, catalog)
    mirror.cluster.execute("ALTER TABLE things ADD COLUMN more int[] DEFAULT '{7}'", "INSERT INTO things VALUES (2, 'two', 2, 2.5, 'there', '{1,2}')",
                           "ALTER TABLE things RENAME COLUMN a TO z", "INSERT INTO things VALUES (3, 'three', 3, 3.5, 'there', NULL)",
                           "ALTER TABLE things DROP COLUMN gone", "INSERT INTO things VALUES (4, 'four', 4, 4.5, '{4}')", database=mirror.database)
    mirror.wait()
    there = rows(catalog, "things")
    assert [(row["id"], row["z"], row["gone"], row["more"]) for row in there] == [
        (1, "one", "there", None), (2, "two", "there", [1, 2]), (3, "three", "there", None), (4, "four", None, [4])]
    # Found by what is new, also where a file knows nothing of it.
    assert [row["id"] for row in rows(catalog, "things", "WHERE more IS NOT NULL")] == [2, 4]
    assert [row["id"] for row in rows(catalog, "things", "WHERE z = 'one'")] == [1]
    before = max(int(n) for n, _, _ in snapshots(catalog))
    # Wider numbers are read as such; a name that is used again is another column.
    mirror.cluster.execute("ALTER TABLE things ADD COLUMN gone int", "INSERT INTO things VALUES (5, 'five', 5, 5.5, NULL, 55)", database=mirror.database)
    mirror.wait()
    assert [(row["id"], row["gone"]) for row in rows(catalog, "things")] == [(1, None), (2, None), (3, None), (4, None), (5, 55)]
    assert [row["gone"] for row in rows(catalog, "things", at=f"AT (VERSION => {before})")] == ["there", "there", "there", None]
    # A type as which the former files cannot be read: the table begins anew, and what it was is in its snapshots.
    mirror.cluster.execute("ALTER TABLE things ALTER COLUMN b TYPE text USING 'b' || b", database=mirror.database)
    mirror.cluster.execute("INSERT INTO things VALUES (6, 'six', 'b6', 6.5, NULL, 66)", database=mirror.database)
    wait_for(lambda: sorted(str(row["b"]) for row in rows(catalog, "things")) == ["b1", "b2", "b3", "b4", "b5", "b6"])
    assert [row["b"] for row in rows(catalog, "things", at=f"AT (VERSION => {before})")] == [1, 2, 3, 4]
    mirror.cluster.execute("ALTER TABLE things RENAME TO goods", "UPDATE goods SET z = 'else' WHERE id = 6", database=mirror.database)

    def goods() -> list[dict]:
        with ducklake.attached(catalog) as connection:
            return ducklake.rows(connection, "public", "goods") if ducklake.has_table(connection, "public", "goods") else []

    wait_for(lambda: bool(goods()) and goods()[-1]["z"] == "else")
    with ducklake.attached(catalog) as connection:
        assert not ducklake.has_table(connection, "public", "things")
    mirror.stop()


def snapshots(catalog: Path) -> list[tuple[int, str, str]]:
    with ducklake.attached(catalog) as connection:
        return ducklake.snapshots(connection)


def wait_for(holds, timeout_s: float = 40) -> None:
    deadline = monotonic() + timeout_s
    while not holds():
        assert monotonic() < deadline, "it does not come"
        sleep(0.1)


def test_integers_and_floats_may_grow_wider(mirror: Shop, catalog: Path):
    mirror.cluster.execute("CREATE TABLE sizes (id int PRIMARY KEY, s int2, f real)", "INSERT INTO sizes VALUES (1, 7, 0.5)", database=mirror.database)
    run(mirror, catalog)
    mirror.cluster.execute("UPDATE sizes SET s = 8", database=mirror.database)
    mirror.wait()
    with ducklake.attached(catalog) as connection:
        (before,) = connection.execute("SELECT table_id FROM ducklake_table_info('lake') WHERE table_name = 'sizes'").fetchone()
    mirror.cluster.execute("ALTER TABLE sizes ALTER COLUMN s TYPE bigint", "ALTER TABLE sizes ALTER COLUMN f TYPE float8",
                           "INSERT INTO sizes VALUES (2, 9000000000, 0.1)", database=mirror.database)
    wait_for(lambda: any(row["id"] == 2 for row in rows(catalog, "sizes")))
    mirror.stop()
    there = rows(catalog, "sizes")
    assert there[-1]["s"] == 9_000_000_000 and there[-1]["f"] == 0.1
    assert [row["id"] for row in rows(catalog, "sizes", "WHERE s > 8000000000")] == [2]
    assert [row["id"] for row in rows(catalog, "sizes", "WHERE s < 100 AND f = 0.5")] == [1] * (len(there) - 1)
    with ducklake.attached(catalog) as connection:
        (after,) = connection.execute("SELECT table_id FROM ducklake_table_info('lake') WHERE table_name = 'sizes'").fetchone()
    assert before == after or [row["_op"] for row in there][0] == "r"


def test_killed_at_any_moment_nothing_is_lost_doubled_or_left_behind(mirror: Shop, catalog: Path):
    start(mirror, catalog)
    done = 0
    for kill in range(6):
        for _ in range(15):
            done += 1
            mirror.cluster.execute(f"INSERT INTO customers (id, name) VALUES ({1000 + done}, 'n')", f"DELETE FROM orders WHERE id = {done}",
                                   database=mirror.database)
            sleep(0.01 * kill)
        mirror.process.kill()
        start(mirror, catalog)
    mirror.wait()
    mirror.stop()
    customers = rows(catalog, "customers")
    # What was there when the copy began came by it.
    assert sorted(row["id"] for row in customers if row["id"] > 1000) == list(range(1001, 1001 + done))
    orders = [row["id"] for row in rows(catalog, "orders") if row["_op"] == "d"]
    assert sorted(set(orders)) == sorted(orders)
    left = {row["id"] for row in rows(catalog, "orders") if row["_op"] == "r"} - set(orders)
    assert left == {id for (id,) in mirror.cluster.query("SELECT id FROM orders", mirror.database)}
    assert files(catalog) == named(catalog)


def test_the_log_may_come_again(mirror: Shop, catalog: Path):
    run(mirror, catalog)
    moment = datetime.now(timezone.utc).isoformat()
    mirror.cluster.execute("DELETE FROM orders WHERE id <= 5", "UPDATE customers SET name = 'x' WHERE id <= 5", database=mirror.database)
    mirror.wait()
    before = operations(catalog, "orders"), operations(catalog, "customers")
    answer = mirror.tailrace.command("rewind", "shop", "--sink", "it", "--to", moment, "--state", mirror.tailrace.state)
    assert answer.code == Exit.DONE, answer
    mirror.cluster.execute("DELETE FROM orders WHERE id = 6", database=mirror.database)
    mirror.wait()
    mirror.stop()
    assert (operations(catalog, "orders"), operations(catalog, "customers")) == (before[0] + [("d", 6)], before[1])


def test_others_may_use_the_catalog_too(mirror: Shop, catalog: Path):
    run(mirror, catalog)
    for n in range(1, 6):
        mirror.cluster.execute(f"DELETE FROM orders WHERE id = {n}", database=mirror.database)
        mirror.wait()
    before = operations(catalog, "orders")
    with ducklake.attached(catalog, "AUTOMATIC_MIGRATION false") as connection:
        connection.execute("CREATE TABLE lake.main.theirs AS SELECT range AS n FROM range(100)")
        connection.execute("CALL ducklake_merge_adjacent_files('lake')")
    assert operations(catalog, "orders") == before
    mirror.cluster.execute("DELETE FROM orders WHERE id = 6", database=mirror.database)
    mirror.wait()
    with ducklake.attached(catalog, "AUTOMATIC_MIGRATION false") as connection:
        connection.execute("INSERT INTO lake.main.theirs VALUES (1000)")
        connection.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
        connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
    mirror.cluster.execute("DELETE FROM orders WHERE id = 7", database=mirror.database)
    mirror.wait()
    mirror.stop()
    assert operations(catalog, "orders") == before + [("d", 6), ("d", 7)]
    with ducklake.attached(catalog) as connection:
        assert connection.execute("SELECT count(*) FROM lake.main.theirs").fetchone() == (101,)


def test_a_table_of_somebody_else_and_one_that_somebody_dropped_are_named(mirror: Shop, catalog: Path):
    catalog.parent.mkdir(parents=True)
    with ducklake.attached(catalog, f"DATA_PATH '{catalog.parent}/data/'") as connection:
        connection.execute("CREATE SCHEMA lake.public")
        connection.execute("CREATE TABLE lake.public.customers (id int)")
    start(mirror, catalog)
    assert mirror.process.wait() == Exit.UNREACHABLE
    assert "TR915" in mirror.process.err() and "public.customers" in mirror.process.err()
    with ducklake.attached(catalog, "AUTOMATIC_MIGRATION false") as connection:
        connection.execute("DROP TABLE lake.public.customers")
    run(mirror, catalog)
    assert len(operations(catalog, "customers")) == 50
    with ducklake.attached(catalog, "AUTOMATIC_MIGRATION false") as connection:
        connection.execute("DROP TABLE lake.public.customers")
    mirror.cluster.execute("DELETE FROM customers WHERE id = 7", database=mirror.database)
    wait_for(lambda: "TR915" in mirror.process.err())
    # Nothing is gone on with that would leave a gap.
    assert not [row for row in rows(catalog, "orders") if row["_op"] == "d"]
    mirror.process.kill()


@pytest.mark.parametrize(("statement", "words"), [("UPDATE ducklake_metadata SET value = '0.3' WHERE key = 'version'", "format 0.3"),
                                                  ("UPDATE ducklake_metadata SET value = '/elsewhere/' WHERE key = 'data_path'", "/elsewhere/"),
                                                  ("DROP TABLE ducklake_metadata", "without a catalog")], ids=["version", "place", "other"])
def test_a_catalog_that_does_not_fit_is_refused_untouched(mirror: Shop, catalog: Path, statement: str, words: str):
    catalog.parent.mkdir(parents=True)
    with ducklake.attached(catalog, f"DATA_PATH '{catalog.parent}/data/'") as connection:
        connection.execute("CREATE TABLE lake.main.theirs (id int)")
    with sqlite3.connect(catalog) as connection:
        connection.execute(statement)
    write(mirror, catalog, options(catalog))
    answer = mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml")
    assert answer.code != Exit.DONE and "TR914" in answer.out and words in answer.out, answer
    with sqlite3.connect(catalog) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name LIKE 'tailrace%'").fetchall()


@pytest.mark.parametrize(("more", "words"), [(", format: json", "leave out `format`"), (', catalog: "postgresql://host/db"', "sqlite:"),
                                             (', layout: folders, catalog: "sqlite:/x"', "layout: ducklake")], ids=["format", "catalog", "layout"])
def test_options_that_do_not_fit_are_refused(mirror: Shop, catalog: Path, more: str, words: str):
    given = f'url: "file://{catalog.parent}/data"{more}'
    if "layout" not in more:
        given += ", layout: ducklake"
    if "catalog" not in more:
        given += f', catalog: "sqlite:{catalog}"'
    write(mirror, catalog, given)
    answer = mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml")
    assert answer.code == Exit.REQUEST and "TR857" in answer.err and words in answer.err, answer


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    made = make_server()
    made.make_bucket("shop")
    yield made
    made.close()


@pytest.mark.minio
def test_the_files_may_lie_in_a_bucket(mirror: Shop, server: S3Server, catalog: Path):
    place = f's3://shop/with a catalog", endpoint: "{server.endpoint}", access_key_id: {KEY}, secret_access_key: "{SECRET}'
    write(mirror, catalog, options(catalog, place))
    mirror.process = mirror.tailrace.start("run", mirror.tailrace.directory / "shop.yaml")
    mirror.wait()
    mirror.cluster.execute("DELETE FROM orders WHERE id = 5", database=mirror.database)
    mirror.wait()
    mirror.stop()
    connection = ducklake.attached(catalog)
    connection.execute(f"CREATE SECRET (TYPE s3, REGION 'us-east-1', KEY_ID '{KEY}', SECRET '{SECRET}', ENDPOINT 'localhost:{server.port}', "
                       "URL_STYLE 'path', USE_SSL false)")
    there = [(row["_op"], row["id"]) for row in ducklake.rows(connection, "public", "orders")]
    connection.close()
    assert len(there) == 1001 and there[-1] == ("d", 5)
    assert not server.uploads("shop")

"""Tables in a ClickHouse server: what stands there is what stands at the source, whatever breaks."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.certificates import Authority
from e2e.clickhouse_server import ClickhouseServer, OldClickhouseServer
from e2e.shop import Shop
from e2e.tailrace import OUTCOMES, Exit
from e2e.tls_front import TlsFront

NUMBERS = itertools.count(1)
ORDERS = "SELECT id::text, customer, total::text, state::text, to_json(tags)::text, note::text FROM orders ORDER BY orders.id"
ORDERS_THERE = "SELECT id, customer, total, state, tags, note FROM {}.orders FINAL ORDER BY id"
CUSTOMERS = "SELECT id, name, joined::text FROM customers ORDER BY customers.id"
CUSTOMERS_THERE = "SELECT id, name, joined FROM {}.customers FINAL ORDER BY id"


@pytest.fixture(scope="module")
def server() -> Iterator[ClickhouseServer]:
    made = ClickhouseServer()
    yield made
    made.close()


@pytest.fixture
def there(server: ClickhouseServer, mirror: Shop) -> str:
    """An empty database, which is the mirror's target. It goes with the server."""
    name = f"d{next(NUMBERS)}"
    server.run(f"CREATE DATABASE {name}")
    mirror.target = server.url(name)
    return name


def source(mirror: Shop, sql: str) -> list[list]:
    return [list(row) for row in mirror.cluster.query(sql, database=mirror.database)]


def assert_same_shop(mirror: Shop, server: ClickhouseServer, there: str) -> None:
    assert server.rows(ORDERS_THERE.format(there)) == source(mirror, ORDERS)
    assert server.rows(CUSTOMERS_THERE.format(there)) == source(mirror, CUSTOMERS)


def run_file(mirror: Shop, sink: str, *options: str) -> None:
    """A pipeline file with one ClickHouse sink; `sink`: the keys below `clickhouse:`, as flow YAML."""
    write_file(mirror, sink)
    mirror.process = mirror.tailrace.start("run", mirror.tailrace.directory / "shop.yaml", *options)


def write_file(mirror: Shop, sink: str) -> None:
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\n"
                    f"log:\n  journal: {{path: {mirror.tailrace.state}}}\nsinks:\n  warehouse:\n    clickhouse: {{{sink}}}\n")


def counts(mirror: Shop) -> dict:
    return mirror.tailrace.status()["sinks"][0]


def assert_counts_add_up(mirror: Shop) -> None:
    sink = counts(mirror)
    assert sink["rows_received"] == sum(sink[f"rows_{outcome}"] for outcome in OUTCOMES), sink


def test_rows_follow_every_change(mirror: Shop, server: ClickhouseServer, there: str):
    mirror.start()
    mirror.wait()
    assert_same_shop(mirror, server, there)
    mirror.change()
    mirror.cluster.execute("UPDATE orders SET note = NULL, tags = '{\"a b\",NULL}' WHERE id % 5 = 0", database=mirror.database)
    mirror.wait()
    assert_same_shop(mirror, server, there)
    mirror.cluster.execute("TRUNCATE orders", "INSERT INTO orders (customer, total) VALUES (1, 1)", database=mirror.database)
    mirror.wait()
    assert_counts_add_up(mirror)
    mirror.stop()
    assert_same_shop(mirror, server, there)
    types = dict(server.rows(f"SELECT name, type FROM system.columns WHERE database = '{there}' AND table = 'orders'"))
    assert types == {"id": "Int64", "customer": "Nullable(Int32)", "total": "Nullable(Decimal(10, 2))",
                     "state": "LowCardinality(Nullable(String))", "tags": "Nullable(String)", "note": "Nullable(String)",
                     "_version": "UInt64", "_deleted": "UInt8"}


def test_inserts_that_fail_or_whose_answer_is_lost_are_done_once(mirror: Shop, server: ClickhouseServer, there: str):
    run_file(mirror, f'url: "{mirror.target}", as: events')
    mirror.wait()
    for mode in ("error", "lose", "lose", "error"):
        server.fail(mode)
        mirror.cluster.execute("INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, 20) g",
                               "UPDATE orders SET total = 5 WHERE id = 3", "DELETE FROM customers WHERE id = (SELECT max(id) FROM customers) "
                               "AND NOT EXISTS (SELECT FROM orders WHERE customer = customers.id)", database=mirror.database)
        mirror.wait()
    mirror.stop()
    assert server.rows(f"SELECT _op, toString(count()) FROM {there}.orders GROUP BY _op ORDER BY _op") == [["c", "80"], ["r", "1000"], ["u", "4"]]
    assert server.rows(f"SELECT count() = uniqExact(_version) FROM {there}.orders WHERE _op != 'r'") == [[1]]
    assert server.rows(f"SELECT count() FROM {there}.orders WHERE abs(dateDiff('second', _commit_time, now64(6))) > 3600") == [["0"]]
    # The last event of each row is the row.
    last = f"SELECT id, argMax(total, _version) FROM {there}.orders GROUP BY id ORDER BY id"
    assert server.rows(last) == source(mirror, "SELECT id::text, total::text FROM orders ORDER BY orders.id")


def test_every_type_is_read_back(mirror: Shop, server: ClickhouseServer, there: str):
    mirror.cluster.execute(
        "CREATE TABLE kinds (id int PRIMARY KEY, b bool, s int2, l int8, f real, d float8, n numeric(20,5), big numeric(76,10), "
        "free numeric, t text, c char(5), by bytea, u uuid, day date, ts timestamp, tz timestamptz, clock time, span interval, "
        "j json, jb jsonb, e state, a int[] NOT NULL, na numeric(10,2)[] NOT NULL, ta text[] NOT NULL, nulla text[], o oid, ip inet)",
        "INSERT INTO kinds VALUES (1, true, -32768, 9223372036854775807, 1.5, 1e-300, -123456789012345.12345, "
        "-999999999999999999999999999999999999999999999999999999999999999999.9999999999, 12345678901234567890.0123456789, "
        "E'a\"b\\n\\\\ é', 'ab', '\\x00ff', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '1900-01-01', '2299-12-31 23:59:59.999999', "
        "'1969-12-31 23:59:59.000001+00', '24:00', '1 mon -1 day', '{\"x\": [1,  2]}', '{\"y\": null}', 'paid', '{1,NULL,-3}', '{1.50}', "
        "'{\"a,b\",NULL,\"\"}', '{x}', 4294967295, '10.0.0.1/8')",
        "INSERT INTO kinds (id, a, na, ta, f, d) VALUES (2, '{}', '{}', '{}', 'NaN', '-Infinity')",
        database=mirror.database)
    expected = [
        ["1", True, -32768, "9223372036854775807", 1.5, 1e-300, "-123456789012345.12345",
         "-" + "9" * 66 + "." + "9" * 10, "12345678901234567890.0123456789", "a\"b\n\\ é", "ab   ", "00FF",
         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "1900-01-01", "2299-12-31 23:59:59.999999", "1969-12-31 23:59:59.000001", "24:00:00",
         "1 mon -1 days", "{\"x\": [1,  2]}", "{\"y\": null}", "paid", [1, None, -3], ["1.50"], ["a,b", None, ""], "[\"x\"]",
         4294967295, "10.0.0.1/8"],
        ["2", None, None, None, "nan", "-inf"] + [None] * 15 + [[], [], [], None, None, None]]
    read = (f"SELECT toString(id), b, s, l, f, d, n, big, free, t, c, hex(by), u, day, ts, tz, clock, span, j, jb, e, a, na, ta, nulla, o, ip "
            f"FROM {there}.kinds FINAL ORDER BY id")
    mirror.start()
    mirror.wait()
    assert server.rows(read) == expected
    # The same by the stream, under other keys.
    mirror.cluster.execute("UPDATE kinds SET id = id + 10", database=mirror.database)
    mirror.wait()
    for row in expected:
        row[0] = "1" + row[0]
    assert server.rows(read) == expected
    # What a type there cannot hold is a letter; the other rows land.
    mirror.cluster.execute("INSERT INTO kinds (id, a, na, ta, n) VALUES (20, '{}', '{}', '{}', 'NaN')",
                           "INSERT INTO kinds (id, a, na, ta, day) VALUES (21, '{}', '{}', '{}', 'infinity')",
                           "INSERT INTO kinds (id, a, na, ta, ts) VALUES (22, '{}', '{}', '{}', '2300-01-01')",
                           "INSERT INTO kinds (id, a, na, ta) VALUES (23, '{{1,2},{3,4}}', '{}', '{}')",
                           "UPDATE kinds SET l = 5 WHERE id = 23", "INSERT INTO kinds (id, a, na, ta) VALUES (24, '{}', '{}', '{}')",
                           database=mirror.database)
    mirror.wait()
    assert server.rows(f"SELECT id FROM {there}.kinds FINAL ORDER BY id") == [[11], [12], [24]]
    assert counts(mirror)["dead_letters"] == 5
    assert_counts_add_up(mirror)
    mirror.stop()


def test_names_of_all_kinds(mirror: Shop, server: ClickhouseServer, there: str):
    mirror.cluster.execute("""CREATE TABLE "or'd``er"" \\ {0} é; --" ("i`d" int, "k'\\""2" text, "FORMAT VALUES" int, PRIMARY KEY ("k'\\""2", "i`d"))""",
                           """INSERT INTO "or'd``er"" \\ {0} é; --" VALUES (1, 'x''\\`', 2)""", database=mirror.database)
    mirror.start()
    mirror.wait()
    mirror.cluster.execute("""UPDATE "or'd``er"" \\ {0} é; --" SET "FORMAT VALUES" = 3""", database=mirror.database)
    mirror.wait()
    mirror.stop()
    (name,), = server.rows(f"SELECT name FROM system.tables WHERE database = '{there}' AND name != 'orders' AND name LIKE 'or%'")
    assert name == "or'd``er\" \\ {0} é; --"
    quoted = name.replace("\\", "\\\\").replace("`", "\\`")
    assert server.rows(f"SELECT `i\\`d`, `k'\\\\\"2`, `FORMAT VALUES` FROM {there}.`{quoted}` FINAL") == [[1, "x'\\`", 3]]


def test_a_table_follows_its_source_through_changes_of_its_columns(mirror: Shop, server: ClickhouseServer, there: str):
    mirror.cluster.execute("CREATE TABLE wares (id int PRIMARY KEY, a int NOT NULL, b text)", "INSERT INTO wares VALUES (1, 1, 'x'), (2, 2, 'y')",
                           database=mirror.database)
    mirror.start("--log-level", "info")
    mirror.wait()
    for statement in ("ALTER TABLE wares ADD COLUMN c int NOT NULL DEFAULT 7", "ALTER TABLE wares RENAME COLUMN b TO bb",
                      "ALTER TABLE wares ALTER COLUMN a DROP NOT NULL", "UPDATE wares SET a = NULL WHERE id = 2",
                      "ALTER TABLE wares DROP COLUMN c", "ALTER TABLE wares ADD COLUMN d text", "ALTER TABLE wares ALTER COLUMN a TYPE bigint",
                      "ALTER TABLE wares RENAME TO goods"):
        mirror.cluster.execute(statement, f"UPDATE {'goods' if 'goods' in statement else 'wares'} SET id = id WHERE id = 1", database=mirror.database)
        mirror.wait()
        if "NOT NULL DEFAULT" in statement:
            assert server.rows(f"SELECT id, a, b, c FROM {there}.wares FINAL ORDER BY id") == [[1, 1, "x", 7], [2, 2, "y", 7]]
    mirror.wait()
    mirror.stop()
    assert server.rows(f"SELECT id, a, bb, d FROM {there}.goods FINAL ORDER BY id") == [[1, "1", "x", None], [2, None, "y", None]]
    copies = [line for line in mirror.process.err().splitlines() if "sink.retry" in line and "copied anew" in line]
    assert len(copies) == 2, "a wider type, another name"


def test_a_table_that_is_there_is_filled_if_it_fits(mirror: Shop, server: ClickhouseServer, there: str):
    engine = "ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY"
    server.run(f"CREATE TABLE {there}.raw_orders (own String DEFAULT 'mine', id UInt64, customer Nullable(Int64), total Nullable(Decimal(18, 4)), "
               f"state LowCardinality(Nullable(String)), tags Array(Nullable(String)), note Nullable(String), _version UInt64, _deleted UInt8) "
               f"{engine} id COMMENT 'of the analysts'")
    server.run(f"CREATE TABLE {there}.raw_customers (id Int32, name String, joined Nullable(DateTime64(3)), _version UInt64, _deleted UInt8) {engine} id")
    mirror.cluster.execute("UPDATE orders SET tags = NULL WHERE id = 3", database=mirror.database)
    run_file(mirror, f'url: "{mirror.target}", table: "raw_{{table}}"')
    mirror.wait()
    mirror.cluster.execute("UPDATE orders SET id = -5 WHERE id = 5", "UPDATE orders SET total = 0.5 WHERE id = 7", "DELETE FROM orders WHERE id = 8",
                           database=mirror.database)
    mirror.wait()
    problems = " ".join(problem["what"] for problem in mirror.problems())
    assert "joined is date at the source and Nullable(DateTime64(3)) there" in problems, problems
    assert counts(mirror)["dead_letters"] == 2, "an array that is NULL, a number below zero"
    mirror.stop()
    assert server.rows(f"SELECT own, id, total, tags FROM {there}.raw_orders FINAL WHERE id < 10 ORDER BY id") == [
        ["mine", str(n), total, ["a", None, str(n)]] for n, total in
        [(1, "0.1400"), (2, "0.2900"), (4, "0.5700"), (6, "0.8600"), (7, "0.5000"), (9, "1.2900")]]
    assert server.rows(f"SELECT comment FROM system.tables WHERE database = '{there}' AND name = 'raw_orders'") == [
        ["of the analysts Tailrace: filled from public.orders of pipeline shop"]]


def test_a_table_of_somebody_else_is_not_touched(mirror: Shop, server: ClickhouseServer, there: str):
    server.run(f"CREATE TABLE {there}.orders (id Int64, customer Nullable(Int32), total Nullable(Decimal(10, 2)), state Nullable(String), "
               "tags Nullable(String), note Nullable(String), _version UInt64, _deleted UInt8) "
               "ENGINE = ReplacingMergeTree(_version, _deleted) ORDER BY id")
    server.run(f"INSERT INTO {there}.orders (id) VALUES (-1)")
    mirror.start()
    assert mirror.process.wait(30) == Exit.UNREACHABLE
    assert "TR844" in mirror.process.err()
    assert server.rows(f"SELECT id FROM {there}.orders") == [["-1"]]


@pytest.mark.parametrize(("part", "instead", "code"), [("s3cret", "wrong", "TR841"), ("/d", "/nothing", "TR843"), ("127.0.0.1", "127.0.0.2", "TR840")])
def test_a_server_that_refuses_is_named_at_check(mirror: Shop, server: ClickhouseServer, there: str, part: str, instead: str, code: str):
    write_file(mirror, f'url: "{mirror.target.replace(part, instead)}"')
    answer = mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml")
    # A server that is down may be up when the pipeline starts.
    assert answer.code == (Exit.DONE if code == "TR840" else Exit.NO) and code in answer.out, answer
    assert "s3cret" not in answer.out + answer.err and "wrong" not in answer.out + answer.err


def test_a_server_of_2018_is_told_that_it_is_too_old(mirror: Shop):
    old = OldClickhouseServer()
    try:
        for user, code in (("default:s3cret", "TR849"), ("default:wrong", "TR841")):
            write_file(mirror, f'url: "clickhouse://{user}@127.0.0.1:{old.port}/default"')
            answer = mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml")
            assert answer.code == Exit.NO and code in answer.out, answer
            assert "18.16.1" in answer.out or code != "TR849", answer
    finally:
        old.close()


def test_over_tls_both_ends_are_verified(mirror: Shop, server: ClickhouseServer, there: str, tmp_path: Path):
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    client, key = ours.sign("tailrace")
    stranger, strangers_key = other.sign("stranger")
    front = TlsFront(server.port, ours.sign("server", "localhost"), clients=ours.certificate)
    url = mirror.target.replace("clickhouse://", "clickhouses://").replace(f"127.0.0.1:{server.port}", f"localhost:{front.port}")
    whole = f'ca_file: "{ours.certificate}", certificate_file: "{client}", key_file: "{key}"'
    try:
        for terms, words in ((f'ca_file: "{other.certificate}", certificate_file: "{client}", key_file: "{key}"', "certificate"),
                             (f'ca_file: "{ours.certificate}"', "certificate required"),
                             (f'ca_file: "{ours.certificate}", certificate_file: "{stranger}", key_file: "{strangers_key}"', "unknown ca"),
                             (whole, "")):
            host = url.replace("localhost", "127.0.0.1") if not words else url
            write_file(mirror, f'url: "{host}", {terms}')
            # What a server says of our certificate may be lost with the connection that it closes.
            for _ in range(10):
                answer = mirror.tailrace.command("check", mirror.tailrace.directory / "shop.yaml")
                if answer.code == Exit.NO:
                    break
            # The last one has all it needs, but the certificate speaks for another host than the one that was asked.
            assert answer.code == Exit.NO and "TR841" in answer.out and words in answer.out, answer
        run_file(mirror, f'url: "{url}", {whole}')
        mirror.wait()
        mirror.change()
        mirror.wait()
        mirror.stop()
        assert_same_shop(mirror, server, there)
        assert set(front.seen) == {"tailrace"}
    finally:
        front.close()


@pytest.mark.parametrize("packing", ["lz4", "zstd"])
def test_rows_arrive_however_they_are_packed(mirror: Shop, server: ClickhouseServer, there: str, packing: str):
    run_file(mirror, f'url: "{mirror.target}", compression: {packing}')
    mirror.wait()
    mirror.change()
    mirror.wait()
    mirror.stop()
    assert_same_shop(mirror, server, there)
    assert server.packed(packing) > 0, "nothing was packed"


@pytest.mark.parametrize("form", ["rows", "events"])
def test_an_insert_that_outlives_the_process_is_waited_for(mirror: Shop, server: ClickhouseServer, there: str, form: str):
    sink = f'url: "{mirror.target}", as: {form}'
    run_file(mirror, sink)
    mirror.wait()
    server.fail("linger")
    mirror.cluster.execute("INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, 20) g", database=mirror.database)
    deadline = time.monotonic() + 10
    while server.rows("SELECT count() FROM system.processes WHERE Settings['log_comment'] LIKE 'tailrace %' AND query LIKE 'INSERT INTO%orders%'") == [["0"]]:
        assert time.monotonic() < deadline, "the INSERT is not under way"
        time.sleep(0.05)
    mirror.process.kill()
    run_file(mirror, sink, "--log-level", "info")
    deadline = time.monotonic() + 30
    while "TR824" not in mirror.process.err():
        assert time.monotonic() < deadline, mirror.process.err()
        time.sleep(0.05)
    server.release()
    mirror.wait()
    mirror.stop()
    new = f"{there}.orders WHERE _op != 'r' AND id > 1000" if form == "events" else f"{there}.orders FINAL WHERE id > 1000"
    assert server.rows(f"SELECT count(), uniqExact(id) FROM {new}") == [["20", "20"]], "each is there once, whoever wrote it"


def test_a_materialized_view_that_fails_is_named_and_waited_for(mirror: Shop, server: ClickhouseServer, there: str):
    run_file(mirror, f'url: "{mirror.target}"')
    mirror.wait()
    server.run(f"CREATE TABLE {there}.totals (n Int32) ENGINE = MergeTree ORDER BY n")
    server.run(f"CREATE MATERIALIZED VIEW {there}.broken TO {there}.totals AS SELECT toInt32(concat('secret', toString(id))) AS n FROM {there}.orders")
    mirror.cluster.execute("INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, 20) g", database=mirror.database)
    deadline = time.monotonic() + 20
    while "TR825" not in (counts(mirror)["last_error"] or ""):
        assert time.monotonic() < deadline, mirror.process.err()
        time.sleep(0.1)
    assert f"{there}.broken" in counts(mirror)["last_error"]
    assert counts(mirror)["dead_letters"] == 0
    server.run(f"DROP VIEW {there}.broken")
    mirror.wait()
    mirror.stop()
    assert "secret" not in mirror.process.err()
    assert_same_shop(mirror, server, there)

"""Tables in Snowflake: what an emulator of it can show that every target does not show alike (test_conformance.py)."""

import itertools
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.snowflake_server import SnowflakeServer
from e2e.tailrace import Answer, Exit, Process, Tailrace

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[SnowflakeServer]:
    made = SnowflakeServer()
    yield made
    made.close()


class Followed:
    """A database that is followed into one of Snowflake's."""

    def __init__(self, cluster: Cluster, database: str, tailrace: Tailrace, server: SnowflakeServer):
        self.cluster, self.database, self.tailrace, self.server = cluster, database, tailrace, server
        self.there = f"DB_{next(NUMBERS)}"
        self.process: Process | None = None

    def execute(self, *statements: str) -> None:
        self.cluster.execute(*statements, database=self.database)

    def write_file(self, login: str = "password: any", more: str = "", beside: str = "batch: {wait: 50ms}") -> Path:
        file = self.tailrace.directory / "shop.yaml"
        file.write_text(
            f'name: shop\nsource:\n  postgres: {{url: "{self.cluster.url(self.database)}"}}\n'
            f"log:\n  journal: {{path: {self.tailrace.state}}}\nsinks:\n  it:\n    snowflake:\n"
            f"      {{account: TEST-ACCOUNT, user: cdc, {login}, database: {self.there}, timeout: 15s, "
            f'endpoint: "http://127.0.0.1:{self.server.port}"{more}}}\n    {beside}\n    retry: {{longest: 500ms}}\n')
        return file

    def start(self, *, environment: dict[str, str] | None = None, **file: str) -> None:
        self.process = self.tailrace.start("run", self.write_file(**file), environment=environment)

    def check(self, environment: dict[str, str] | None = None, **file: str) -> Answer:
        return self.tailrace.command("check", self.write_file(**file), environment=environment)

    def wait(self) -> None:
        answer = self.tailrace.wait(60)
        assert answer.code == Exit.DONE, f"{answer}\n{self.process.err()}"

    def stop(self) -> None:
        assert self.process.stop() == Exit.DONE, self.process.err()

    def rows(self, sql: str) -> list[list]:
        """`{}` in it: the schema."""
        return self.server.rows(sql.format(f'"{self.there}"."PUBLIC"'))

    def databases(self) -> list[str]:
        return [row[1] for row in self.server.rows("SHOW DATABASES")]


@pytest.fixture
def followed(cluster: Cluster, database: str, tailrace: Tailrace, server: SnowflakeServer) -> Iterator[Followed]:
    yield Followed(cluster, database, tailrace, server)
    server.set_users(None)
    server.set_faults()


# Type, literals, and what Snowflake's client reads: numbers as text, binary values as hex, times in ISO notation.
TYPES: dict[str, list[tuple[str, object]]] = {
    "bool": [("true", True), ("false", False)],
    "int2": [("-32768", -32768), ("32767", 32767)],
    "int4": [("-2147483648", -2147483648), ("2147483647", 2147483647)],
    "int8": [("-9223372036854775808", -9223372036854775808), ("9223372036854775807", 9223372036854775807)],
    "oid": [("4294967295", 4294967295)],
    "real": [("1.5", 1.5), ("'-Infinity'", float("-inf"))],
    "float8": [("0.1", 0.1), ("1e308", 1e308)],
    "numeric(10,2)": [("99999999.99", "99999999.99"), ("-0.01", "-0.01"), ("0", "0.00")],
    "numeric(38,10)": [("1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789")],
    "numeric": [("1e-40", "0." + "0" * 39 + "1"), ("'NaN'", "NaN")],
    "numeric(50,2)": [("1e47", "1" + "0" * 47 + ".00")],
    "text": [("E'it''s \\\\ \\n\\t é 😀'", "it's \\ \n\t é 😀"), ("''", "")],
    "varchar(20)": [("'short'", "short")],
    "bytea": [(r"'\x00ff27'", "00ff27"), ("''", "")],
    "date": [("'0001-01-01'", "0001-01-01"), ("'9999-12-31'", "9999-12-31")],
    "time": [("'23:59:59.999999'", "23:59:59.999999")],
    "timetz": [("'12:00:00.5+02'", "12:00:00.5+02")],
    "timestamp": [("'2024-02-29 12:34:56.123456'", "2024-02-29T12:34:56.123456"), ("'1969-12-31 23:59:59'", "1969-12-31T23:59:59")],
    "timestamptz": [("'2024-02-29 12:34:56.123456+02'", "2024-02-29T10:34:56.123456+00:00")],
    "interval": [("'1 mon 2 days 03:04:05.6'", "1 mon 2 days 03:04:05.6")],
    "uuid": [("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")],
    "json": [("""'{"a":  1.0, "a": null}'""", '{"a":  1.0, "a": null}')],
    "jsonb": [("""'{"a":  1.0}'""", '{"a": 1.0}')],
    "int4[]": [("'{1,NULL,3}'", "{1,NULL,3}"), ("'{{1,2},{3,4}}'", "{{1,2},{3,4}}")],
    "text[]": [("""'{"a b",NULL}'""", '{"a b",NULL}')],
    "inet": [("'192.0.2.1/24'", "192.0.2.1/24")],
}


def test_every_type_is_read_back_by_snowflakes_own_client_copied_and_streamed(followed: Followed):
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(TYPES))
    most = max(len(values) for values in TYPES.values())
    rows = [[values[n] if n < len(values) else ("NULL", None) for values in TYPES.values()] for n in range(most)]
    inserts = ["INSERT INTO types VALUES ({}, {})", *(", ".join(literal for literal, _ in row) for row in rows)]
    followed.execute(f"CREATE TABLE types (id int PRIMARY KEY, {columns})",
                     *(inserts[0].format(n, values) for n, values in enumerate(inserts[1:])))
    followed.start()
    followed.wait()
    followed.execute(*(inserts[0].format(100 + n, values) for n, values in enumerate(inserts[1:])))
    followed.wait()
    listed = ", ".join(f"C{n}" for n in range(len(TYPES)))
    for first in (0, 100):
        there = followed.rows(f"SELECT {listed} FROM {{}}.TYPES WHERE ID >= {first} AND ID < {first + 100} ORDER BY ID")
        for row, expected in zip(there, rows, strict=True):
            for kind, value, (literal, wanted) in zip(TYPES, row, expected, strict=True):
                assert value == wanted, f"{kind} {literal}: {value!r} instead of {wanted!r}"
    declared = dict(followed.server.rows(f"SELECT COLUMN_NAME, DATA_TYPE FROM {followed.there}.INFORMATION_SCHEMA.COLUMNS "
                                         "WHERE TABLE_NAME = 'TYPES'"))
    assert [declared[f"C{list(TYPES).index(kind)}"] for kind in ("numeric(10,2)", "bytea", "timestamp", "timestamptz", "uuid")] == [
        "NUMBER", "BINARY", "TIMESTAMP_NTZ", "TIMESTAMP_TZ", "TEXT"]


def test_rows_say_what_was_done_last_when_and_where(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY, v text)", "INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    followed.start(more=", source_db: shopdb")
    followed.wait()
    before = followed.cluster.query("SELECT clock_timestamp()")[0][0]
    followed.execute("INSERT INTO items VALUES (4, 'd')", "UPDATE items SET v = 'B' WHERE id = 2", "DELETE FROM items WHERE id = 3")
    followed.wait()
    there = followed.rows("SELECT ID, V, CDC_OPERATION, SOURCE_DB FROM {}.ITEMS ORDER BY ID")
    assert there == [[1, "a", "SNAPSHOT", "shopdb"], [2, "B", "UPDATE", "shopdb"], [4, "d", "INSERT", "shopdb"]]
    copied, *streamed = [row[0] for row in followed.rows("SELECT CDC_TIMESTAMP FROM {}.ITEMS ORDER BY ID")]
    now = time.time()
    for text in streamed:
        assert before.timestamp() - 1 <= followed.cluster.query(f"SELECT '{text}'::timestamptz")[0][0].timestamp() <= now + 1
    assert copied <= streamed[0]


def test_a_batch_is_one_merge_for_each_table_and_one_transaction(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY, v int)", "INSERT INTO items SELECT g, 0 FROM generate_series(1, 300) g",
                     "CREATE TABLE other (id int PRIMARY KEY)")
    followed.start(beside="batch: {rows: 100000, wait: 2s}")
    followed.wait()
    first = len(followed.server.statements())
    followed.execute("BEGIN; UPDATE items SET v = v + 1; UPDATE items SET v = v + 1; DELETE FROM items WHERE id % 2 = 0; "
                     "INSERT INTO other SELECT generate_series(1, 50); COMMIT", "UPDATE items SET v = 7 WHERE id = 1")
    followed.wait()
    asked = [statement for statement in followed.server.statements()[first:] if followed.there in statement or " " not in statement]
    merges = [statement.split('"')[5] for statement in asked if statement.startswith("MERGE")]
    assert sorted(merges) == ["ITEMS", "OTHER", "TAILRACE_STATE"], asked
    assert followed.server.statements()[first:].count("COMMIT") == 1
    assert followed.rows("SELECT COUNT(*), MIN(V), MAX(V), COUNT_IF(V = 7) FROM {}.ITEMS") == [[150, 2, 7, 1]]


def test_a_commit_that_took_nothing_is_noticed_and_done_again(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY, v int)")
    followed.start()
    followed.wait()
    followed.server.set_faults(lose_commits=2)
    followed.execute("INSERT INTO items SELECT g, g FROM generate_series(1, 20) g")
    followed.wait()
    followed.server.set_faults()
    assert followed.rows("SELECT COUNT(*) FROM {}.ITEMS") == [[20]]
    assert "lost a transaction" in followed.process.err()


#: Statements whose answers are lost, each once, as far as a repetition may end otherwise than the statement did.
REPEATED = ("CREATE TEMPORARY STAGE", "COPY INTO", "ALTER TABLE .* DEFAULT", "ALTER TABLE .* ADD COLUMN .*VARCHAR$")


def test_a_statement_whose_answer_is_lost_is_asked_again_and_counts_once(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY, v int, gone int)", "INSERT INTO items VALUES (1, 1, 1), (2, 2, 2)")
    followed.server.set_faults(lose_answers=REPEATED)
    followed.start(more=', views: {active: "SELECT * FROM {public.items} WHERE v > 1"}')
    followed.wait()
    followed.execute("ALTER TABLE items ADD COLUMN extra int DEFAULT 5, ADD COLUMN note text, DROP COLUMN gone",
                     "INSERT INTO items VALUES (3, 3, 3, 'new')")
    followed.wait()
    assert followed.rows("SELECT ID, V, EXTRA, NOTE FROM {}.ITEMS ORDER BY ID") == [[1, 1, 5, None], [2, 2, 5, None], [3, 3, 3, "new"]]
    assert followed.rows("SELECT ID FROM {}.ACTIVE ORDER BY ID") == [[2], [3]]
    asked = followed.server.statements()
    for pattern in REPEATED:
        assert any(one == other and re.match(pattern, one) for one, other in itertools.pairwise(asked)), f"{pattern} was not asked again"


def test_views_are_made_with_their_tables_and_again_when_these_change(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY, v int)", "INSERT INTO items VALUES (1, 10), (2, -1)")
    views = (', views: {active: "SELECT * FROM {public.items} WHERE v > 0", "Most": "SELECT MAX(v) AS v FROM {public.items}", '
             'never: "SELECT * FROM {public.never}"}')
    followed.start(more=views)
    followed.wait()
    assert followed.rows('SELECT ID, V FROM {}.ACTIVE') == [[1, 10]]
    assert followed.rows('SELECT V FROM {}."Most"') == [[10]]
    followed.execute("ALTER TABLE items ADD COLUMN extra int DEFAULT 5", "INSERT INTO items VALUES (3, 3, 3)")
    followed.wait()
    assert followed.rows('SELECT ID, V, EXTRA FROM {}.ACTIVE ORDER BY ID') == [[1, 10, 5], [3, 3, 3]]
    followed.stop()
    followed.start(more=', views: {active: "SELECT id FROM {public.items} WHERE v < 0"}')
    followed.wait()
    assert followed.rows('SELECT * FROM {}.ACTIVE') == [[2]]


def test_check_makes_nothing_and_says_what_is_there(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY)")
    answer = followed.check()
    assert answer.code == Exit.DONE, answer
    assert "nothing of this pipeline is there yet" in answer.out
    assert followed.there not in followed.databases()
    followed.start()
    followed.wait()
    followed.stop()
    assert "goes on from its cursor" in followed.check().out


def test_a_driver_that_is_missing_is_told_of_with_all_places(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY)")
    answer = followed.check(more=", driver: /nowhere/libadbc.so")
    assert answer.code != Exit.DONE and "TR880" in str(answer) and "/nowhere/libadbc.so" in str(answer), answer
    answer = followed.check(environment={"TAILRACE_DEPS": "/nowhere"})
    assert answer.code != Exit.DONE and "/nowhere/adbc-snowflake" in str(answer) and "tools/bootstrap --snowflake" in str(answer), answer


def make_key(directory: Path, *encryption: str) -> tuple[Path, str]:
    """A private key's file (PKCS #8), and the public key."""
    private = directory / f"key{next(NUMBERS)}.pem"
    plain = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, check=True).stdout
    subprocess.run(["openssl", "pkcs8", "-topk8", "-inform", "PEM", "-out", private, *(encryption or ("-nocrypt",))], input=plain, check=True)
    public = subprocess.run(["openssl", "rsa", "-pubout"], input=plain, capture_output=True, check=True).stdout
    return private, public.decode()


@pytest.mark.parametrize("passphrase", ["", "open sesame"], ids=["plain", "encrypted"])
def test_a_key_lets_us_in_and_another_one_does_not(followed: Followed, tmp_path: Path, passphrase: str):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY)", "INSERT INTO items VALUES (1)")
    encryption = ("-v2", "aes-256-cbc", "-passout", f"pass:{passphrase}") if passphrase else ()
    private, public = make_key(tmp_path, *encryption)
    login = f'private_key: "${{file:{private}}}"' + (f', private_key_passphrase: "{passphrase}"' if passphrase else "")
    followed.server.set_users({"cdc": {"public_key": public}, "reader": {"password": "reader"}})
    followed.start(login=login)
    followed.wait()
    followed.stop()
    assert followed.rows("SELECT ID FROM {}.ITEMS") == [[1]]
    _, other = make_key(tmp_path)
    followed.server.set_users({"cdc": {"public_key": other}, "reader": {"password": "reader"}})
    answer = followed.check(login=login)
    assert answer.code != Exit.DONE and "TR882" in str(answer) and "RSA_PUBLIC_KEY_FP" in str(answer), answer


REFUSALS = {
    "password": ({"cdc": {"password": "right"}}, "TR882", "user with this password"),
    "user": ({"other": {"password": "any"}}, "TR882", "user with this password"),
    "role": ({"cdc": {"error": ["390189", "Role 'X' specified in the connect string does not exist or not authorized."]}}, "TR882", "GRANT ROLE"),
    "policy": ({"cdc": {"error": ["390422", "Incoming request with IP/Token 192.0.2.1 is not allowed to access Snowflake."]}}, "TR882",
               "network policy"),
    "warehouse": ({"cdc": {"error": ["390201", "The requested warehouse does not exist or not authorized."]}}, "TR885", "GRANT USAGE ON WAREHOUSE"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_who_is_not_let_in_reads_why_and_what_to_do(followed: Followed, name: str):
    users, code, words = REFUSALS[name]
    followed.server.set_users(users)
    answer = followed.check(login="password: wr0ng-one")
    assert answer.code != Exit.DONE and code in str(answer) and words in str(answer), answer
    assert "wr0ng-one" not in str(answer)


def test_a_warehouse_that_is_suspended_stops_the_sink_which_goes_on_later(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY)")
    followed.start()
    followed.wait()
    followed.server.set_faults(refuse=[["MERGE|COPY", "000606", "57P03", "No active warehouse selected in the current session."]])
    followed.execute("INSERT INTO items VALUES (1)")
    text = followed.tailrace.wait_for_problem("TR885", "no warehouse")
    assert "GRANT USAGE ON WAREHOUSE" in text or "warehouse" in text
    followed.server.set_faults()
    followed.process.stop()
    followed.start()
    followed.wait()
    assert followed.rows("SELECT ID FROM {}.ITEMS") == [[1]]


def test_a_table_that_is_not_ours_is_left_alone_unless_told_otherwise(followed: Followed):
    followed.execute("CREATE TABLE items (id int PRIMARY KEY)", "INSERT INTO items VALUES (1)")
    for statement in (f'CREATE DATABASE "{followed.there}"', f'CREATE SCHEMA "{followed.there}"."PUBLIC"',
                      f'CREATE TABLE "{followed.there}"."PUBLIC"."ITEMS" (WHOSE VARCHAR)'):
        followed.server.rows(statement)
    followed.start()
    assert followed.process.wait() != Exit.DONE
    assert "TR886" in followed.process.err() and "overwrite" in followed.process.err()
    assert followed.rows("SELECT COUNT(*) FROM {}.ITEMS WHERE WHOSE IS NULL") == [[0]]
    followed.start(more=", overwrite: true")
    followed.wait()
    assert followed.rows("SELECT ID FROM {}.ITEMS") == [[1]]


def make_twins(followed: Followed) -> None:
    followed.execute("CREATE SCHEMA other", "CREATE TABLE items (id int PRIMARY KEY)", "CREATE TABLE other.items (id int PRIMARY KEY)",
                     "INSERT INTO items VALUES (1)", "INSERT INTO other.items VALUES (1)")


def test_of_two_tables_that_would_be_one_there_the_second_is_held(followed: Followed):
    make_twins(followed)
    followed.start()
    followed.wait()
    assert followed.tailrace.wait_for_problem("TR802", "put {schema} into `table`")
    assert followed.rows("SELECT ID FROM {}.ITEMS") == [[1]]


def test_a_template_keeps_tables_of_several_schemas_apart(followed: Followed):
    make_twins(followed)
    followed.start(more=', table: "{schema}_{table}"')
    followed.wait()
    assert followed.rows("SELECT ID FROM {}.PUBLIC_ITEMS") == [[1]] and followed.rows("SELECT ID FROM {}.OTHER_ITEMS") == [[1]]

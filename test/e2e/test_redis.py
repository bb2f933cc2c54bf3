"""Rows and changes in a Redis server: what stands there is what stands at the source, whatever breaks."""

import json
import time
from pathlib import Path

import pytest

from e2e.certificates import Authority
from e2e.proxy import Proxy
from e2e.redis_server import COLUMNS, RedisCluster, RedisServer, assert_same_orders, counts, hashes, run_file, start
from e2e.shop import Shop
from e2e.tailrace import OUTCOMES, Exit



def assert_counts_add_up(mirror: Shop) -> None:
    sink = counts(mirror)
    assert sink["rows_received"] == sum(sink[f"rows_{outcome}"] for outcome in OUTCOMES), sink


@pytest.mark.smoke
def test_rows_are_hashes_and_follow_every_change(mirror: Shop, redis: RedisServer):
    start(mirror, redis)
    mirror.wait()
    assert_same_orders(mirror, redis)
    mirror.change()
    mirror.cluster.execute("UPDATE orders SET note = NULL, tags = '{\"a b\",NULL}' WHERE id % 5 = 0", database=mirror.database)
    mirror.wait()
    assert_same_orders(mirror, redis)
    mirror.cluster.execute("TRUNCATE orders", "INSERT INTO orders (customer, total) VALUES (1, 1)", database=mirror.database)
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_kill_9_loses_and_doubles_nothing(mirror: Shop, redis: RedisServer):
    start(mirror, redis)
    mirror.wait()
    for _ in range(3):
        mirror.change()
        mirror.process.kill()
        start(mirror, redis)
    mirror.wait()
    assert_counts_add_up(mirror)
    mirror.stop()
    assert_same_orders(mirror, redis)


@pytest.mark.parametrize("point", ["redis.before_exec", "redis.after_exec", "rows.copy_mid", "rows.after_write",
                                   "rows.table_emptied", "copies_finished"])
def test_a_crash_at_any_step_is_gone_on_from(mirror: Shop, redis: RedisServer, point: str):
    mirror.target = redis.url
    mirror.start(TAILRACE_CRASH_AT=f"{point}:1")
    deadline = time.monotonic() + 60
    while mirror.process.code is None and time.monotonic() < deadline:
        removal = "TRUNCATE orders" if point == "rows.table_emptied" else "DELETE FROM orders WHERE id % 2 = 0"
        mirror.cluster.execute(removal, "INSERT INTO orders (customer, total) SELECT 1, g FROM generate_series(1, 50) g",
                               database=mirror.database)
        time.sleep(0.3)
    assert mirror.process.code is not None, f"{point} was not reached"
    start(mirror, redis)
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_a_server_that_is_down_for_a_while_is_caught_up_with(mirror: Shop, redis: RedisServer):
    start(mirror, redis)
    mirror.wait()
    redis.kill()
    mirror.change()
    deadline = time.monotonic() + 30
    while counts(mirror)["state"] != "retrying" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "127.0.0.1" in counts(mirror)["last_error"]
    redis.start()
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_a_server_that_lost_everything_is_filled_anew(mirror: Shop, redis: RedisServer):
    start(mirror, redis)
    mirror.wait()
    mirror.stop()
    redis.client().flushall()
    mirror.change()
    start(mirror, redis)
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_rows_as_json_are_what_the_source_calls_json(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute(
        "CREATE TABLE kinds (id int PRIMARY KEY, b bool, n numeric, f float8, t text, j json, jb jsonb, a int[], ta text[], "
        "ts timestamp, tz timestamptz, d date, u uuid, by bytea)",
        "INSERT INTO kinds VALUES (1, true, 12345678901234567890.0123456789, 1e-300, E'a\"b\\n\\\\ \\u00e9', '{\"x\":\n [1, 2]}', "
        "'{\"y\": null}', '{{1,2},{3,NULL}}', '{\"a,b\",NULL,\"\"}', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+02', "
        "'2024-02-29', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\\x00ff')",
        "INSERT INTO kinds (id) VALUES (2)",
        "INSERT INTO kinds (id, n, f, ts, tz, d) VALUES (3, 'NaN', '-Infinity', 'infinity', '-infinity', 'infinity')",
        database=mirror.database)
    run_file(mirror, f'url: "{redis.url}", as: json, key: "{{table}}/{{key}}"')
    mirror.wait()
    mirror.cluster.execute("UPDATE kinds SET id = id + 10", database=mirror.database)
    mirror.wait()
    mirror.stop()
    expected = {f"kinds/{row[0]}": row[1] for row in
                mirror.cluster.query("SELECT id, row_to_json(kinds) FROM kinds", database=mirror.database)}
    client = redis.client()
    there = {key: json.loads(client.get(key)) for key in client.scan_iter("kinds/*")}
    assert there == expected


def test_values_that_were_not_sent_are_read_from_the_source(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute("CREATE TABLE big (id int PRIMARY KEY, n int, t text)", "ALTER TABLE big ALTER t SET STORAGE EXTERNAL",
                           "INSERT INTO big SELECT g, g, repeat(g::text, 3000) FROM generate_series(1, 20) g", database=mirror.database)
    start(mirror, redis)
    mirror.wait()
    mirror.cluster.execute("UPDATE big SET n = n + 1", "UPDATE big SET id = id + 100 WHERE id = 3", database=mirror.database)
    mirror.wait()
    deadline = time.monotonic() + 30
    while mirror.problems() and time.monotonic() < deadline:
        time.sleep(0.1)
    mirror.stop()
    expected = {f"public.big:{row[0]}": {"id": row[0], "n": row[1], "t": row[2]} for row in
                mirror.cluster.query("SELECT id::text, n::text, t FROM big", database=mirror.database)}
    assert hashes(redis, "public.big:*") == expected


def test_every_change_is_one_entry_of_a_stream_over_kills(mirror: Shop, redis: RedisServer):
    sink = f'url: "{redis.url}", as: stream'
    run_file(mirror, sink)
    mirror.wait()
    for n in range(5):
        mirror.cluster.execute(f"INSERT INTO empty_table SELECT g, 'x' FROM generate_series({n * 100 + 1}, {n * 100 + 100}) g",
                               f"UPDATE empty_table SET v = 'y' WHERE id = {n * 100 + 7}", f"DELETE FROM empty_table WHERE id = {n * 100 + 8}",
                               database=mirror.database)
        if n in (1, 3):
            mirror.process.kill()
            run_file(mirror, sink)
    mirror.wait()
    mirror.stop()
    entries = [json.loads(fields["event"]) for _, fields in redis.client().xrange("public.empty_table")]
    assert len(entries) == 5 * 102
    assert [entry["op"] for entry in entries[100:102]] == ["u", "d"]
    assert entries[100]["row"] == {"id": 7, "v": "y"} and entries[101]["old"] == {"id": 8}
    seqs = [entry["seq"] for entry in entries]
    assert seqs == sorted(set(seqs))


def test_a_sorted_set_is_ordered_by_a_column(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute("CREATE TABLE game (player text PRIMARY KEY, points numeric)",
                           "INSERT INTO game VALUES ('ann', 5), ('bob', 7.5), ('eve', NULL)", database=mirror.database)
    run_file(mirror, f'url: "{redis.url}", as: sorted_set, key: top, member: "{{player}}", score: points')
    mirror.wait()
    assert redis.client().zrevrange("top", 0, -1, withscores=True) == [("bob", 7.5), ("ann", 5.0)]
    mirror.cluster.execute("UPDATE game SET points = 9 WHERE player = 'eve'", "UPDATE game SET points = 'NaN' WHERE player = 'ann'",
                           "DELETE FROM game WHERE player = 'bob'", database=mirror.database)
    mirror.wait()
    assert counts(mirror)["dead_letters"] == 1
    assert_counts_add_up(mirror)
    mirror.stop()
    assert redis.client().zrevrange("top", 0, -1, withscores=True) == [("eve", 9.0), ("ann", 5.0)]


def test_a_new_table_and_an_altered_one_are_copied_while_others_go_on(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute("CREATE PUBLICATION tailrace_shop FOR ALL TABLES", database=mirror.database)
    start(mirror, redis, "--log-level", "info")
    mirror.wait()
    mirror.cluster.execute("CREATE TABLE late (id int PRIMARY KEY, v text)", "INSERT INTO late SELECT g, 'x' FROM generate_series(1, 10) g",
                           "ALTER TABLE orders ADD COLUMN extra int DEFAULT 7", "UPDATE orders SET total = 1 WHERE id = 5",
                           "INSERT INTO late VALUES (11, 'y')", database=mirror.database)
    deadline = time.monotonic() + 30
    while len(hashes(redis, "public.late:*")) < 11 and time.monotonic() < deadline:
        time.sleep(0.2)
    mirror.wait()
    mirror.stop()
    assert hashes(redis, "public.late:*")["public.late:11"] == {"id": "11", "v": "y"}
    assert {row["extra"] for row in hashes(redis, "public.orders:*").values()} == {"7"}


def test_keys_of_somebody_else_are_not_touched(mirror: Shop, redis: RedisServer):
    redis.client().set("public.orders:1", "mine")
    start(mirror, redis)
    assert mirror.process.wait(30) == Exit.UNREACHABLE
    assert "TR817" in mirror.process.err()
    assert redis.client().get("public.orders:1") == "mine"


@pytest.mark.parametrize(("options", "url", "code"), [
    (["--requirepass", "s3cret"], "redis://:wrong@127.0.0.1:{port}/0", "TR811"),
    (["--requirepass", "s3cret"], "redis://127.0.0.1:{port}/0", "TR811"),
    ([], "redis://127.0.0.1:{port}/99", "TR811"),
    ([], "redis://127.0.0.1:1/0", "TR810"),
])
def test_a_server_that_refuses_is_named_at_check(mirror: Shop, options: list[str], url: str, code: str):
    server = RedisServer(*options)
    try:
        file = mirror.tailrace.directory / "shop.yaml"
        file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\nsinks:\n  cache:\n"
                        f"    redis: {{url: \"{url.format(port=server.port)}\"}}\n")
        answer = mirror.tailrace.command("check", file)
        # A server that is down may be up when the pipeline starts.
        assert answer.code == (Exit.DONE if code == "TR810" else Exit.NO) and code in answer.out, answer
        assert "s3cret" not in answer.out + answer.err and "wrong@" not in answer.out + answer.err
    finally:
        server.close()


def test_a_full_server_is_waited_for(mirror: Shop):
    server = RedisServer("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    try:
        mirror.cluster.execute("INSERT INTO orders (customer, total, note) SELECT 1, g, jsonb_build_object('x', repeat('y', 500)) "
                               "FROM generate_series(1, 20000) g", database=mirror.database)
        start(mirror, server)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and "OOM" not in mirror.process.err():
            time.sleep(0.1)
        assert "OOM" in mirror.process.err()
        server.client().config_set("maxmemory", "500mb")
        mirror.wait()
        mirror.stop()
        assert_same_orders(mirror, server)
    finally:
        server.close()


def checked(mirror: Shop, sink: str) -> str:
    """What `check` says of a Redis sink that it refuses."""
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{mirror.cluster.url(mirror.database)}\"}}\nsinks:\n  cache:\n    redis: {{{sink}}}\n")
    # What a server says of our certificate may be lost with the connection that it closes.
    for _ in range(10):
        answer = mirror.tailrace.command("check", file)
        if answer.code == Exit.NO:
            break
    assert answer.code == Exit.NO, answer
    return answer.out


def test_over_tls_both_ends_are_verified(mirror: Shop, tmp_path: Path):
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    server, server_key = ours.sign("server", "localhost")
    client, key = ours.sign("tailrace")
    stranger, strangers_key = other.sign("stranger")
    redis = RedisServer("--tls-cert-file", str(server), "--tls-key-file", str(server_key), "--tls-ca-cert-file", str(ours.certificate),
                        terms={"ssl": True, "host": "localhost", "ssl_ca_certs": str(ours.certificate), "ssl_certfile": str(client), "ssl_keyfile": str(key)})
    whole = f'ca_file: "{ours.certificate}", certificate_file: "{client}", key_file: "{key}"'
    try:
        for host, terms, words in (
                ("localhost", f'ca_file: "{other.certificate}", certificate_file: "{client}", key_file: "{key}"', "certificate"),
                ("localhost", f'ca_file: "{ours.certificate}"', "certificate required"),
                ("localhost", f'ca_file: "{ours.certificate}", certificate_file: "{stranger}", key_file: "{strangers_key}"', "unknown ca"),
                ("127.0.0.1", whole, "127.0.0.1")):
            said = checked(mirror, f'url: "rediss://{host}:{redis.port}/0", {terms}')
            assert "TR826" in said and words in said, said
        run_file(mirror, f'url: "rediss://localhost:{redis.port}/0", {whole}')
        mirror.wait()
        mirror.change()
        mirror.wait()
        mirror.stop()
        assert_same_orders(mirror, redis)
    finally:
        redis.close()


@pytest.mark.parametrize(("granted", "lacking"), [
    (["~public.*"], "HGETALL"),
    (["~tailrace:*"], "SCAN"),
])
def test_rights_on_other_keys_are_not_enough_and_what_is_lacking_is_named(mirror: Shop, redis: RedisServer, granted: list[str], lacking: str):
    client = redis.client()
    client.acl_setuser("cdc", enabled=True, passwords=["+s3cret"], commands=["+@all"], keys=[pattern.removeprefix("~") for pattern in granted])
    url = f"redis://cdc:s3cret@127.0.0.1:{redis.port}/0"
    if lacking == "HGETALL":
        said = checked(mirror, f'url: "{url}"')
    else:
        mirror.target = url
        mirror.start()
        assert mirror.process.wait(30) == Exit.UNREACHABLE
        said = mirror.process.err()
    assert "TR811" in said and "NOPERM" in said and "ACL" in said and "s3cret" not in said, said
    # With both it goes on.
    client.acl_setuser("cdc", enabled=True, keys=["public.*", "tailrace:state:*"])
    mirror.target = url
    mirror.start()
    mirror.wait()
    mirror.stop()
    assert_same_orders(mirror, redis)


def test_a_node_of_a_cluster_is_told_from_a_server(mirror: Shop):
    cluster = RedisCluster()
    try:
        for node in cluster.nodes:
            said = checked(mirror, f'url: "{node.url}"')
            assert "TR813" in said and "cluster" in said, said
        # Who may not ask a node what it is learns it from where the keys are.
        for node in cluster.nodes:
            node.client().acl_setuser("cdc", enabled=True, passwords=["+pw"], commands=["+@all", "-info"], keys=["*"])
        told = [checked(mirror, f'url: "redis://cdc:pw@127.0.0.1:{node.port}/0"') for node in cluster.nodes
                if node is not cluster.owner("tailrace:state:shop:hash:{schema}.{table}:{key}")]
        assert len(told) == 2 and all("TR813" in said for said in told), told
    finally:
        cluster.close()


def test_a_message_is_published_once_over_kills_and_lost_answers(mirror: Shop, redis: RedisServer):
    listener = redis.client().pubsub(ignore_subscribe_messages=True)
    listener.psubscribe("public.empty_table")
    assert listener.get_message(timeout=5) is None, "the subscription's own message is passed over"
    proxy = Proxy(redis.port)
    sink = f'url: "redis://127.0.0.1:{proxy.port}/0", as: publish'
    try:
        run_file(mirror, sink)
        mirror.wait()
        for n in range(6):
            mirror.cluster.execute(f"INSERT INTO empty_table SELECT g, 'x' FROM generate_series({n * 100 + 1}, {n * 100 + 100}) g", database=mirror.database)
            if n % 2:
                mirror.process.kill()
                run_file(mirror, sink)
            else:
                proxy.cut()
        mirror.wait()
        for point in ("redis.before_exec", "redis.after_exec"):
            mirror.stop()
            mirror.cluster.execute(f"INSERT INTO empty_table SELECT max(id) + 1, '{point}' FROM empty_table", database=mirror.database)
            run_file(mirror, sink, TAILRACE_CRASH_AT=f"{point}:1")
            assert mirror.process.wait(30) < 0, f"{point} was not reached"
            run_file(mirror, sink)
            mirror.wait()
        mirror.stop()
    finally:
        proxy.close()
    heard = []
    while (message := listener.get_message(timeout=1)) is not None:
        heard.append(json.loads(message["data"]))
    assert [event["row"]["id"] for event in heard if event["op"] == "c"] == list(range(1, 603))

"""Changes as HTTP requests: each has its effect once, those of a row in their order, whatever breaks."""

import hashlib
import hmac
import json
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote

import pytest

from e2e.certificates import Authority
from e2e.shop import Shop
from e2e.tailrace import OUTCOMES, Exit
from e2e.webhook_receiver import Fate, Receiver, Request

EVENTS = "CREATE TABLE play (event_id int PRIMARY KEY, content_id text, event_type text)"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def play(mirror: Shop) -> Shop:
    """A database with one small table."""
    mirror.cluster.execute("DROP TABLE orders, customers, empty_table CASCADE", EVENTS,
                           "CREATE PUBLICATION tailrace_shop FOR ALL TABLES", database=mirror.database)
    return mirror


def execute(play: Shop, *statements: str) -> None:
    play.cluster.execute(*statements, database=play.database)


def insert(play: Shop, first: int, last: int) -> None:
    execute(play, f"INSERT INTO play SELECT g, 'c' || g % 7, 'play' FROM generate_series({first}, {last}) g")


def start(play: Shop, sink: str, **environment: str) -> None:
    """`sink`: the keys below `webhook:`, as flow YAML."""
    file = play.tailrace.directory / "shop.yaml"
    file.write_text(f"name: shop\nsource:\n  postgres: {{url: \"{play.cluster.url(play.database)}\"}}\n"
                    f"log:\n  journal: {{path: {play.tailrace.state}}}\nsinks:\n  hook:\n    webhook: {{{sink}}}\n"
                    "    retry: {first: 50ms, longest: 300ms}\n")
    play.process = play.tailrace.start("run", file, environment=environment)


def counts(play: Shop) -> dict:
    sink = play.tailrace.status()["sinks"][0]
    assert sink["rows_received"] == sum(sink[f"rows_{outcome}"] for outcome in OUTCOMES), sink
    return sink


def until(condition: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def ids(requests: list[Request]) -> list[int]:
    return [request.json()["row"]["event_id"] for request in requests]


@pytest.mark.smoke
def test_every_change_is_a_request_of_its_own_with_a_key(play: Shop, receiver: Receiver):
    insert(play, 1, 20)
    start(play, f'url: "{receiver.url}/hook", parallel: 1')
    play.wait()
    execute(play, "INSERT INTO play VALUES (50, E'a\"b\\n', NULL)", "UPDATE play SET event_type = 'pause' WHERE event_id = 50",
            "DELETE FROM play WHERE event_id = 50", "TRUNCATE play")
    play.wait()
    counts(play)
    play.stop()
    assert sorted(ids(receiver.done[:20])) == list(range(1, 21))
    events = [request.json() for request in receiver.done[20:]]
    assert [event["op"] for event in events] == ["c", "u", "d", "t"]
    assert events[0]["row"] == {"event_id": 50, "content_id": 'a"b\n', "event_type": None}
    assert events[2]["old"] == {"event_id": 50}
    assert len(receiver.requests) == len({request.key for request in receiver.requests}) == 24
    assert all(request.key == request.json()["id"] and request.headers["Content-Type"] == "application/json" for request in receiver.done)


@pytest.mark.parametrize("point", ["webhook.answered:40", "webhook.state_saved:4", "rows.copy_mid:1"])
def test_a_crash_at_any_step_has_no_second_effect_and_loses_nothing(play: Shop, receiver: Receiver, point: str):
    insert(play, 1, 30)
    sink = f'url: "{receiver.url}/hook"'
    start(play, sink, TAILRACE_CRASH_AT=point)
    n = 100
    deadline = time.monotonic() + 40
    while play.process.code is None and time.monotonic() < deadline:
        insert(play, n, n + 9)
        n += 10
        time.sleep(0.1)
    assert play.process.code is not None, f"{point} was not reached"
    start(play, sink)
    play.wait()
    counts(play)
    play.stop()
    assert sorted(ids(receiver.done)) == [*range(1, 31), *range(100, n)]


def test_kills_at_random_have_no_second_effect_and_rows_keep_their_order(play: Shop, receiver: Receiver):
    chance = random.Random(3)
    receiver.fate = lambda request: Fate(wait_s=0.002, drop=chance.random() < 0.02, status=500 if chance.random() < 0.02 else 200)
    insert(play, 1, 10)
    sink = f'url: "{receiver.url}/hook", parallel: 6'
    start(play, sink)
    play.wait()
    for n in range(4):
        for step in range(15):
            execute(play, *(f"UPDATE play SET content_id = '{n * 15 + step}' WHERE event_id = {row}" for row in range(1, 11)))
        play.process.kill()
        start(play, sink)
    play.wait()
    play.stop()
    updates = [event for event in receiver.events() if event["op"] == "u"]
    for row in range(1, 11):
        assert [event["row"]["content_id"] for event in updates if event["row"]["event_id"] == row] == [str(n) for n in range(60)]
    assert receiver.most_at_once > 1


def test_keys_that_change_are_followed_by_the_rows_they_lead_to(play: Shop, receiver: Receiver):
    chance = random.Random(5)
    receiver.fate = lambda request: Fate(wait_s=chance.random() * 0.02)
    start(play, f'url: "{receiver.url}/hook", parallel: 8')
    play.wait()
    moves = [f"UPDATE play SET event_id = event_id + 1000, content_id = 'm{n}' WHERE event_id = {n}" for n in range(1, 21)]
    back = [f"UPDATE play SET event_id = event_id - 1000, content_id = 'b{n}' WHERE event_id = {n + 1000}" for n in range(1, 21)]
    execute(play, "BEGIN;" + "INSERT INTO play SELECT g, 'i', 'x' FROM generate_series(1, 20) g;" + ";".join(moves + back) + ";DELETE FROM play; COMMIT")
    play.wait()
    play.stop()
    for n in range(1, 21):
        ops = [event["op"] for event in receiver.events() if {event.get("row", {}).get("event_id"), event.get("old", {}).get("event_id")} & {n, n + 1000}]
        assert ops == ["c", "u", "u", "d"]


def test_a_receiver_that_is_down_is_caught_up_with(play: Shop, receiver: Receiver):
    start(play, f'url: "{receiver.url}/hook"')
    play.wait()
    receiver.kill()
    insert(play, 1, 100)
    # Between two attempts neither is told.
    until(lambda: counts(play)["state"] == "retrying")
    until(lambda: "TR831" in (counts(play)["last_error"] or ""))
    receiver.start()
    play.wait()
    assert counts(play)["dead_letters"] == 0
    play.stop()
    assert sorted(ids(receiver.done)) == list(range(1, 101))


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_receiver_that_asks_to_be_left_alone_is(play: Shop, receiver: Receiver, form: str):
    start(play, f'url: "{receiver.url}/hook", parallel: 1')
    play.wait()
    busy: list[float] = []

    def fate(request: Request) -> Fate:
        if len(busy) > 0:
            return Fate()
        busy.append(time.monotonic())
        # A date has whole seconds.
        return Fate(429 if form == "seconds" else 503, {"Retry-After": "2" if form == "seconds" else formatdate(time.time() + 3, usegmt=True)})

    receiver.fate = fate
    insert(play, 1, 3)
    play.wait()
    play.stop()
    assert ids(receiver.done) == [1, 2, 3]
    assert receiver.requests[1].at - busy[0] >= (1.9 if form == "seconds" else 1.5)


def test_only_what_was_not_delivered_is_sent_again(play: Shop, receiver: Receiver):
    start(play, f'url: "{receiver.url}/hook", parallel: 1')
    play.wait()
    failed: list[int] = []

    def fate(request: Request) -> Fate:
        if ids([request]) == [7] and len(failed) < 3:
            failed.append(7)
            return Fate(500)
        return Fate()

    receiver.fate = fate
    insert(play, 1, 10)
    play.wait()
    play.stop()
    assert ids(receiver.requests) == [1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 8, 9, 10]


def test_a_time_out_after_the_receiver_has_done_it_has_no_second_effect(play: Shop, receiver: Receiver):
    start(play, f'url: "{receiver.url}/hook", timeout: 300ms')
    play.wait()
    slow: list[str] = []

    def fate(request: Request) -> Fate:
        if len(slow) < 2:
            slow.append(request.key)
            return Fate(wait_s=1)
        return Fate()

    receiver.fate = fate
    insert(play, 1, 2)
    play.wait()
    play.stop()
    assert sorted(ids(receiver.done)) == [1, 2]
    assert [request.key for request in receiver.requests].count(slow[0]) >= 2


def letters(play: Shop) -> list[tuple]:
    with sqlite3.connect(next(Path(play.tailrace.state).rglob("catalog.sqlite"))) as catalog:
        return catalog.execute("SELECT operation, reason FROM dead_letter ORDER BY commit_end, ordinal").fetchall()


def test_rows_that_are_refused_are_letters_with_what_was_said_and_the_others_are_delivered(play: Shop, receiver: Receiver):
    secret = "the receiver repeats a value"
    said = f"{secret} \N{EURO SIGN}\n".encode() * 50

    def fate(request: Request) -> Fate:
        event = request.json()
        return Fate(422, body=said) if event.get("row", event.get("old"))["event_id"] % 10 == 3 else Fate()

    receiver.fate = fate
    start(play, f'url: "{receiver.url}/hook"')
    play.wait()
    insert(play, 1, 40)
    play.wait()
    execute(play, "UPDATE play SET event_type = 'x' WHERE event_id IN (3, 4)")
    play.wait()
    assert counts(play)["dead_letters"] == 5
    play.stop()
    assert sorted(ids(receiver.done)) == sorted([*(n for n in range(1, 41) if n % 10 != 3), 4])
    found = letters(play)
    assert [operation for operation, _ in found] == ["insert"] * 4 + ["update"]
    assert found[0][1].startswith(f"HTTP 422: {secret} \N{EURO SIGN} ") and len(found[0][1].removeprefix("HTTP 422: ").encode()) <= 500
    assert "dead letter" in found[4][1]
    assert len(receiver.requests) == 41, "nothing was tried twice"
    assert secret not in play.process.err()


def test_letters_are_delivered_by_a_replay_in_order_and_under_their_own_keys(play: Shop, receiver: Receiver):
    receiver.fate = lambda request: Fate(422) if request.json()["row"]["event_id"] == 3 else Fate()
    start(play, f'url: "{receiver.url}/hook"')
    play.wait()
    insert(play, 1, 5)
    execute(play, "UPDATE play SET event_type = 'x' WHERE event_id = 3")
    play.wait()
    assert counts(play)["dead_letters"] == 2
    refused = receiver.requests[ids(receiver.requests).index(3)].key
    listed = play.tailrace.command("dlq", "list", "shop", "--json", "--state", play.tailrace.state).out.splitlines()
    replay = ("dlq", "replay", "shop", str(json.loads(listed[0])["id"]), "--state", play.tailrace.state)
    again = play.tailrace.command(*replay)
    assert again.code != Exit.DONE and "TR226" in again.err, str(again)
    receiver.fate = lambda request: Fate()
    assert play.tailrace.command(*replay).code == Exit.DONE
    assert counts(play)["dead_letters"] == 0
    execute(play, "UPDATE play SET event_type = 'y' WHERE event_id = 3")
    play.wait()
    play.stop()
    delivered = [request for request in receiver.done if request.json()["row"]["event_id"] == 3]
    assert [request.json()["row"]["event_type"] for request in delivered] == ["play", "x", "y"]
    assert delivered[0].key == refused


def test_a_receiver_that_refuses_everything_floods_no_letters(play: Shop, receiver: Receiver):
    start(play, f'url: "{receiver.url}/hook"')
    play.wait()
    receiver.fate = lambda request: Fate(401)
    insert(play, 1, 300)
    until(lambda: "TR806" in (counts(play)["last_error"] or ""))
    receiver.fate = lambda request: Fate()
    play.wait()
    assert counts(play)["dead_letters"] == 0
    play.stop()
    assert sorted(ids(receiver.done)) == list(range(1, 301))


def test_a_copy_that_is_refused_floods_no_letters(play: Shop, receiver: Receiver):
    insert(play, 1, 500)
    receiver.fate = lambda request: Fate(404)
    start(play, f'url: "{receiver.url}/hook"')
    until(lambda: "TR806" in play.process.err())
    receiver.fate = lambda request: Fate()
    play.wait()
    assert counts(play)["dead_letters"] == 0
    play.stop()
    assert sorted(ids(receiver.done)) == list(range(1, 501))


def test_a_redirect_is_named_and_not_followed(play: Shop, receiver: Receiver):
    start(play, f'url: "{receiver.url}/hook"')
    play.wait()
    receiver.fate = lambda request: Fate(307, {"Location": f"{receiver.url}/elsewhere"})
    insert(play, 1, 1)
    assert play.process.wait(30) == Exit.UNREACHABLE
    assert "TR832" in play.process.err() and "307" in play.process.err()
    assert {request.path for request in receiver.requests} == {"/hook"}


def test_hostile_values_stay_where_the_template_puts_them(play: Shop, receiver: Receiver):
    hostile = ["../../admin", "a/b?c=d&e#f", "%2e%2e", "@evil.example/", "\N{EURO SIGN} x", "\\", ":", "{table}", "a\nb", "..", ".", "", "x\r\nX-Evil: 1"]
    start(play, f'url: "{receiver.url}/{{table}}/{{content_id}}?type={{event_type}}", parallel: 1, '
                "headers: {X-Content: \"<{content_id}>\"}")
    play.wait()
    for n, value in enumerate(hostile):
        with play.cluster.connect(play.database) as connection:
            connection.execute("INSERT INTO play VALUES (%s, %s, 'p&q=r')", (n, value))
            connection.commit()
    play.wait()
    refused = ["a\nb", "..", ".", "", "x\r\nX-Evil: 1"]
    assert counts(play)["dead_letters"] == len(refused)
    play.stop()
    assert len(receiver.done) == len(hostile) - len(refused)
    for value, request in zip(hostile, receiver.done):
        path, _, query = request.path.partition("?")
        assert re.fullmatch(r"/play/[A-Za-z0-9._~%-]+", path) and unquote(path.removeprefix("/play/")) == value
        assert query == "type=p%26q%3Dr" and "X-Evil" not in request.headers
        assert request.headers["X-Content"].encode("latin-1").decode() == f"<{value}>"


def test_bodies_of_columns_and_of_templates_keys_of_columns_and_signatures(play: Shop, receiver: Receiver):
    receiver.fate = lambda request: Fate()
    start(play, f'url: "{receiver.url}/hook", method: PUT, body: {{columns: [event_id, content_id, event_type]}}, '
                "idempotency_key: event_id, secret: top secret, headers: {Authorization: Bearer abc}")
    play.wait()
    execute(play, "INSERT INTO play VALUES (77, 'c', 'click')")
    play.wait()
    play.stop()
    request = receiver.done[0]
    assert request.method == "PUT" and request.json() == {"event_id": 77, "content_id": "c", "event_type": "click"}
    assert request.key == "77" and request.headers["Authorization"] == "Bearer abc"
    stamp, signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", request.headers["Tailrace-Signature"]).groups()
    assert hmac.new(b"top secret", f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest() == signed
    assert abs(int(stamp) - time.time()) < 60
    assert "top secret" not in play.process.err()
    start(play, f'url: "{receiver.url}/text", body: \'{{{{"text": "<{{content_id}}>"}}}}\'')
    play.wait()
    execute(play, "INSERT INTO play VALUES (78, E'a\"\\\\\\n', 'click')")
    play.wait()
    play.stop()
    assert json.loads(receiver.done[-1].body) == {"text": '<a"\\\n>'}


def test_many_rows_go_in_a_request_and_bad_ones_are_found(play: Shop, receiver: Receiver):
    def fate(request: Request) -> Fate:
        return Fate(400, body=b"no 33") if any(event["row"]["event_id"] == 33 for event in request.json()) else Fate()

    receiver.fate = fate
    start(play, f'url: "{receiver.url}/hook", batch: {{rows: 20}}')
    play.wait()
    insert(play, 1, 100)
    play.wait()
    assert counts(play)["dead_letters"] == 1
    play.stop()
    assert [event["row"]["event_id"] for event in receiver.events()] == [n for n in range(1, 101) if n != 33]
    assert max(len(request.json()) for request in receiver.done) == 20 and receiver.most_at_once == 1
    assert letters(play) == [("insert", "HTTP 400: no 33")]


def test_tables_without_key_are_delivered_strictly_in_order(play: Shop, receiver: Receiver):
    chance = random.Random(9)
    receiver.fate = lambda request: Fate(wait_s=chance.random() * 0.01)
    execute(play, "CREATE TABLE log (n int)")
    start(play, f'url: "{receiver.url}/hook", parallel: 8')
    play.wait()
    execute(play, "INSERT INTO log SELECT g FROM generate_series(1, 100) g")
    play.wait()
    play.stop()
    assert [event["row"]["n"] for event in receiver.events()] == list(range(1, 101))


def test_certificates_are_verified(play: Shop, tmp_path: Path):
    authority, other = Authority(tmp_path, "good"), Authority(tmp_path, "other")
    receiver = Receiver(authority.sign("receiver", "localhost"))
    url = receiver.url.replace("127.0.0.1", "localhost")
    try:
        start(play, f'url: "{url}/hook", ca_file: "{other.certificate}"')
        insert(play, 1, 1)
        until(lambda: "certificate" in play.process.err())
        play.process.kill()
        assert receiver.requests == []
        start(play, f'url: "{url}/hook", ca_file: "{authority.certificate}"')
        play.wait()
        play.stop()
        assert ids(receiver.done) == [1]
    finally:
        receiver.close()


def test_a_receiver_that_takes_its_time_keeps_a_stop_no_longer_than_its_limit(play: Shop, receiver: Receiver):
    insert(play, 1, 5)
    sink = f'url: "{receiver.url}/hook", parallel: 2'
    start(play, sink, TAILRACE_BOUND_DRAIN_MS="2000")
    play.wait()
    receiver.fate = lambda request: Fate(wait_s=0.2)
    insert(play, 100, 299)
    until(lambda: len(receiver.done) > 10)
    began = time.monotonic()
    play.stop()
    # What is under way ends; 200 requests would take 20 seconds.
    assert time.monotonic() - began < 10 and "not everything could be applied in time" in play.process.err()
    assert len(receiver.done) < 205
    receiver.fate = lambda request: Fate()
    start(play, sink)
    play.wait()
    play.stop()
    assert sorted(ids(receiver.done)) == [*range(1, 6), *range(100, 300)]

"""Dead letters, seen and handled by a person while the pipeline runs and when it does not."""

import functools
import json
import stat
import time
from pathlib import Path

import pytest

from e2e.duckdb_file import rows
from e2e.redis_server import RedisServer, hashes
from e2e.shop import Shop
from e2e.tailrace import OUTCOMES, Answer, Exit, preloaded

SECRET = "s3cr3t-word"


@pytest.fixture
def lettered(mirror: Shop) -> Shop:
    """A running pipeline with one letter of a copied row and four of the stream, under three versions of their table."""
    mirror.cluster.execute("CREATE TABLE measures (id int PRIMARY KEY, n numeric(5,2), word text)",
                           f"INSERT INTO measures VALUES (1, 'NaN', '{SECRET}'), (2, 2, 'fine')", database=mirror.database)
    mirror.start("--history")
    mirror.wait()
    for statements in (
            (f"INSERT INTO measures VALUES (3, 'NaN', '{SECRET}')", "UPDATE measures SET n = 'NaN', word = NULL WHERE id = 2"),
            ("ALTER TABLE measures ADD COLUMN extra text", "INSERT INTO measures VALUES (4, 'NaN', 'added', 'ö')"),
            ("ALTER TABLE measures RENAME COLUMN extra TO more", "INSERT INTO measures VALUES (5, 'NaN', 'renamed', NULL)")):
        mirror.cluster.execute(*statements, database=mirror.database)
        mirror.wait()  # Of one batch all rows are brought to its last version.
    return mirror


def dlq(shop: Shop, verb: str, *arguments: str) -> Answer:
    return shop.tailrace.command("dlq", verb, "shop", *arguments, "--state", shop.tailrace.state)


def lines(answer: Answer) -> list[dict]:
    assert answer.code == Exit.DONE, str(answer)
    return [json.loads(line) for line in answer.out.splitlines()]


@pytest.mark.smoke
def test_letters_are_listed_counted_and_shown_with_values_only_on_request(lettered: Shop):
    listed = lines(dlq(lettered, "list", "--json"))
    assert [(letter["operation"], letter["attempts"], letter["sink"]) for letter in listed[1:]] == \
        [("insert", 1, "mirror"), ("update", 1, "mirror"), ("insert", 1, "mirror"), ("insert", 1, "mirror")]
    assert listed[0]["position"] is None and all(letter["position"] and letter["xid"] for letter in listed[1:])
    assert all(letter["failed_at"].startswith("20") and letter["reason"] for letter in listed)
    counted = dlq(lettered, "count", "--json").json()
    assert counted["letters"] == 5 and {group["table"] for group in counted["groups"]} == {"public.measures"}

    shown = lines(dlq(lettered, "show", "--values", "--json"))
    assert [letter["new"] for letter in shown] == [
        {"id": "1", "n": "NaN", "word": SECRET}, {"id": "3", "n": "NaN", "word": SECRET}, {"id": "2", "n": "NaN", "word": None},
        {"id": "4", "n": "NaN", "word": "added", "extra": "ö"}, {"id": "5", "n": "NaN", "word": "renamed", "more": None}]
    one = lines(dlq(lettered, "show", str(listed[3]["id"]), "--values", "--json"))
    assert one == [shown[3]]
    for verb, flags in (("list", []), ("list", ["--json"]), ("count", []), ("show", []), ("show", ["--json"])):
        answer = dlq(lettered, verb, *flags)
        assert answer.code == Exit.DONE and SECRET not in answer.out and "public.measures" in answer.out.replace('", "', ".") or \
            '"measures"' in answer.out, str(answer)
    assert SECRET not in lettered.process.err()

    lettered.stop()
    assert lines(dlq(lettered, "show", "--values", "--json")) == shown


def test_letters_are_dropped_only_by_number_or_on_request(lettered: Shop):
    ids = [str(letter["id"]) for letter in lines(dlq(lettered, "list", "--json"))]
    refused = dlq(lettered, "drop")
    assert refused.code == Exit.REQUEST and "[TR216]" in refused.err, str(refused)
    unknown = dlq(lettered, "drop", ids[0], "999")
    assert unknown.code == Exit.REQUEST and "[TR224]" in unknown.err and "999" in unknown.err, str(unknown)
    assert dlq(lettered, "drop", ids[1], ids[2], "--json").json() == {"dropped": 2}
    assert lettered.tailrace.status()["sinks"][0]["dead_letters"] == 3
    assert dlq(lettered, "list", "--sink", "nobody").code == Exit.REQUEST
    # The pipeline that runs goes on adding.
    lettered.cluster.execute("INSERT INTO measures VALUES (6, 'NaN', 'later', NULL)", database=lettered.database)
    lettered.wait()
    now = lines(dlq(lettered, "list", "--json", "--sink", "mirror"))
    assert len(now) == 4 and now[-1]["id"] > int(ids[-1])
    lettered.stop()
    assert dlq(lettered, "drop", "--yes").code == Exit.DONE
    assert dlq(lettered, "count", "--json").json()["letters"] == 0


def test_letters_are_exported_to_a_file_of_their_own(lettered: Shop):
    file = lettered.tailrace.directory / "letters.jsonl"
    assert dlq(lettered, "export", "-o", str(file)).code == Exit.DONE
    exported = [json.loads(line) for line in file.read_text().splitlines()]
    assert exported == lines(dlq(lettered, "show", "--values", "--json")) == lines(dlq(lettered, "export"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = dlq(lettered, "export", "-o", str(file))
    assert again.code == Exit.REQUEST and "[TR217]" in again.err, str(again)


def number_of(shop: Shop, key: str, operation: str) -> str:
    """Of the last letter of such a change of the row with this key."""
    return str([letter["id"] for letter in lines(dlq(shop, "show", "--values", "--json"))
                if letter["new"]["id"] == key and letter["operation"] == operation][-1])


def sums_up(shop: Shop) -> bool:
    sink = shop.tailrace.status()["sinks"][0]
    return sink["rows_received"] == sum(sink[f"rows_{outcome}"] for outcome in OUTCOMES)


@pytest.mark.smoke
def test_a_letter_is_replayed_in_its_place_with_all_that_waits_for_its_row(lettered: Shop):
    change = functools.partial(lettered.cluster.execute, database=lettered.database)
    inserted = number_of(lettered, "3", "insert")
    again = dlq(lettered, "replay", inserted)
    assert again.code != Exit.DONE and "[TR226]" in again.err and f"dead letter {inserted}" in again.err, str(again)
    assert lines(dlq(lettered, "show", inserted, "--json"))[0]["attempts"] == 2
    rehearsed = dlq(lettered, "replay", inserted, "--set", "n=1.5", "--dry-run", "--json")
    assert rehearsed.json() == {"sink": "mirror", "replayed": 1, "followed": 0, "superseded": 0, "dry_run": True}
    assert dlq(lettered, "count", "--json").json()["letters"] == 5

    change("UPDATE measures SET word = 'after' WHERE id = 3")
    lettered.wait()
    chained = number_of(lettered, "3", "update")
    part = dlq(lettered, "replay", inserted, "--set", "n=1.5")
    assert "[TR226]" in part.err and f"dead letter {chained}" in part.err, str(part)
    change("UPDATE measures SET n = 7 WHERE id = 3")
    lettered.wait()
    done = dlq(lettered, "replay", inserted, chained, "--set", "n=1.5", "--json")
    assert done.json() == {"sink": "mirror", "replayed": 2, "followed": 1, "superseded": 0, "dry_run": False}, str(done)
    # The row is an ordinary one again.
    change("UPDATE measures SET word = 'last' WHERE id = 3")
    copied = number_of(lettered, "1", "copy")
    assert dlq(lettered, "replay", copied, "--set", "n=null", "--set", 'word="null"').code == Exit.DONE
    assert dlq(lettered, "replay", number_of(lettered, "2", "update"), "--set", "n=2.25").code == Exit.DONE
    # Kept under an earlier version of the table.
    assert dlq(lettered, "replay", number_of(lettered, "4", "insert"), "--set", "n=4").code == Exit.DONE
    lettered.wait()
    assert dlq(lettered, "count", "--json").json()["letters"] == 1 and sums_up(lettered)
    lettered.stop()
    assert rows(lettered.target, "SELECT id, n::text, word, more FROM public.measures ORDER BY id") == [
        (1, None, "null", None), (2, "2.25", None, None), (3, "7.00", "last", None), (4, "4.00", "added", "ö")]
    versions = rows(lettered.target, "SELECT n::text, word, is_current FROM public.measures__history WHERE id = 3 ORDER BY from_seq")
    assert versions == [("1.50", SECRET, False), ("1.50", "after", False), ("7.00", "after", False), ("7.00", "last", True)]


def test_a_replay_that_cannot_be_is_refused_and_changes_nothing(lettered: Shop):
    inserted = number_of(lettered, "3", "insert")
    for edit, code in (("nothing=1", "TR228"), ("id=9", "TR228"), ("n", "TR204"), ('n="1', "TR204")):
        answer = dlq(lettered, "replay", inserted, "--set", edit)
        assert answer.code == Exit.REQUEST and f"[{code}]" in answer.err, str(answer)
    assert "[TR216]" in dlq(lettered, "replay").err
    assert "[TR224]" in dlq(lettered, "replay", "999").err
    # What came later is newer than any letter.
    lettered.cluster.execute("TRUNCATE measures", "INSERT INTO measures VALUES (3, 3, 'newer', NULL)", database=lettered.database)
    lettered.wait()
    late = dlq(lettered, "replay", inserted, "--set", "n=1")
    assert late.code != Exit.DONE and "[TR225]" in late.err, str(late)
    lettered.cluster.execute("UPDATE measures SET word = 'newest'", database=lettered.database)
    lettered.wait()
    lettered.stop()
    assert rows(lettered.target, "SELECT id, n::text, word FROM public.measures") == [(3, "3.00", "newest")]
    assert "[TR514]" in dlq(lettered, "replay", inserted).err


@pytest.mark.parametrize("point", ["duckdb.before_commit", "letters_replayed"])
def test_a_letter_whose_replay_dies_is_in_the_target_once(lettered: Shop, point: str):
    inserted = number_of(lettered, "3", "insert")
    lettered.stop()
    lettered.start("--history", TAILRACE_CRASH_AT=f"{point}:1")
    lettered.tailrace.wait(30)
    dlq(lettered, "replay", inserted, "--set", "n=1")
    assert lettered.process.wait(20) not in (Exit.DONE, None)
    lettered.start("--history")
    lettered.wait()
    again = dlq(lettered, "replay", inserted, "--set", "n=1")
    if point == "letters_replayed":
        assert "[TR225]" in again.err, str(again)
    else:
        assert again.code == Exit.DONE, str(again)
    lettered.stop()
    assert rows(lettered.target, "SELECT n::text FROM public.measures WHERE id = 3") == [("1.00",)]
    assert rows(lettered.target, "SELECT count(*) FROM public.measures__history WHERE id = 3") == [(1,)]


def test_a_full_store_holds_the_sink_and_skips_nothing(mirror: Shop, tmp_path: Path):
    mirror.cluster.execute("CREATE TABLE measures (id int PRIMARY KEY, n numeric(5,2))", database=mirror.database)
    library = preloaded("full_disk.c", tmp_path)
    flag = tmp_path / "full"
    mirror.start(LD_PRELOAD=str(library), FULL_DISK_FLAG=str(flag), FULL_DISK_PREFIX=str(mirror.tailrace.state / "catalog.sqlite"))
    mirror.wait()
    flag.touch()
    mirror.cluster.execute("INSERT INTO measures VALUES (1, 'NaN'), (2, 2)", "INSERT INTO measures VALUES (3, 3)", database=mirror.database)
    deadline = time.monotonic() + 30
    while "TR516" not in mirror.process.err():
        assert time.monotonic() < deadline, mirror.process.err()
        time.sleep(0.1)
    flag.unlink()
    mirror.wait()
    listed = lines(dlq(mirror, "show", "--values", "--json"))
    assert [letter["new"]["id"] for letter in listed] == ["1"] and sums_up(mirror)
    mirror.stop()
    assert rows(mirror.target, "SELECT id FROM public.measures ORDER BY id") == [(2,), (3,)]


APPLIES = """name: shop
source: {{postgres: {{url: "{url}"}}}}
log: {{journal: {{path: {state}}}}}
validate: {{public.measures: {{range: {{n: {{max: 100}}}}}}}}
sinks:
  warehouse: {{duckdb: {{path: {target}, history: true}}, dead_letters: apply}}
  cache: {{redis: {{url: "{redis}"}}, dead_letters: apply}}
"""


def test_rows_go_on_behind_their_letters_and_letters_never_overwrite_them(mirror: Shop, redis: RedisServer):
    mirror.cluster.execute("CREATE TABLE measures (id int PRIMARY KEY, n int, word text)",
                           "ALTER TABLE measures ALTER COLUMN word SET STORAGE EXTERNAL",
                           "INSERT INTO measures SELECT g, g, repeat('w' || g, CASE WHEN g IN (2, 3) THEN 1 ELSE 2000 END) "
                           "FROM generate_series(1, 5) g", database=mirror.database)
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(APPLIES.format(url=mirror.cluster.url(mirror.database), state=mirror.tailrace.state, target=mirror.target, redis=redis.url))
    mirror.process = mirror.tailrace.start("run", file)
    mirror.wait()
    for statements in (["UPDATE measures SET n = 1000 WHERE id = 1", "INSERT INTO measures VALUES (6, 1000, 'six'), (7, 1000, 'seven')"],
                       # Its word was not sent, and the target's row is not to be trusted.
                       ["UPDATE measures SET n = 11 WHERE id = 1", "DELETE FROM measures WHERE id = 6"],
                       ["UPDATE measures SET id = 20, n = 1000 WHERE id = 2", "INSERT INTO measures VALUES (2, 22, 'again')"],
                       ["UPDATE measures SET n = 1000 WHERE id = 3"], ["UPDATE measures SET n = 1000, word = 'changed' WHERE id = 5"],
                       ["UPDATE measures SET n = 55 WHERE id = 5"]):
        mirror.cluster.execute(*statements, database=mirror.database)
        mirror.wait()
    mirror.process.kill()
    mirror.process = mirror.tailrace.start("run", file)
    mirror.wait()
    for sink in ("warehouse", "cache"):
        letters = {(letter["new"]["id"], letter["operation"]): str(letter["id"])
                   for letter in lines(dlq(mirror, "show", "--sink", sink, "--values", "--json"))}
        assert set(letters) == {("1", "update"), ("6", "insert"), ("7", "insert"), ("20", "update"), ("3", "update"), ("5", "update")}
        for newer in (("1", "update"), ("6", "insert"), ("20", "update"), ("5", "update")):
            refused = dlq(mirror, "replay", letters[newer], "--sink", sink, "--set", "n=1")
            assert refused.code == Exit.UNREACHABLE and "[TR650]" in refused.err, (newer, refused)
        for last in (("7", "insert"), ("3", "update")):
            assert dlq(mirror, "replay", letters[last], "--sink", sink, "--set", "n=1").code == Exit.DONE
    mirror.wait()
    mirror.stop()
    expected = {str(key): (1 if key in (3, 7) else n, word) for key, n, word in mirror.cluster.query(
        "SELECT id, n, word FROM measures WHERE id <> 20", database=mirror.database)}
    assert set(expected) == {"1", "2", "3", "4", "5", "7"}
    assert {str(key): (n, word) for key, n, word in rows(mirror.target, "SELECT id, n, word FROM public.measures")} == expected
    found = hashes(redis, "public.measures:*")
    assert {row["id"]: (int(row["n"]), row["word"]) for row in found.values()} == expected
    current = rows(mirror.target, "SELECT id, n, word FROM public.measures__history WHERE is_current")
    assert {str(key): (n, word) for key, n, word in current} == expected

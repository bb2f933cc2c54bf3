"""Commands that only look: at the journal, at a pipeline that runs or not, and the shell's completion."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from e2e.shop import Shop
from e2e.tailrace import Answer, Exit, Tailrace, binary

ITEM = {"id": "3", "word": "hush-hush", "big": "x"}


@pytest.fixture
def logged(mirror: Shop) -> Shop:
    """A pipeline that has stopped, with one change of each kind in its log."""
    mirror.cluster.execute("CREATE TABLE items (id int PRIMARY KEY, word text, big text)",
                           "ALTER TABLE items ALTER big SET STORAGE EXTERNAL", "CREATE TABLE other (id int PRIMARY KEY)",
                           "INSERT INTO items SELECT g, 'old', repeat('y', 5000) FROM generate_series(1, 2) g",
                           database=mirror.database)
    mirror.start()
    mirror.wait()
    mirror.cluster.execute("INSERT INTO items VALUES (3, 'hush-hush', 'x')", "UPDATE items SET word = NULL WHERE id = 1",
                           "UPDATE items SET id = 20 WHERE id = 2", "DELETE FROM items WHERE id = 3", "TRUNCATE items",
                           "BEGIN; INSERT INTO other VALUES (1); INSERT INTO items VALUES (9, 'nine', ''); COMMIT",
                           "SELECT pg_logical_emit_message(true, 'greeting', 'hello')", database=mirror.database)
    mirror.wait()
    mirror.stop()
    return mirror


def journal(shop: Shop, *arguments: str) -> Answer:
    answer = shop.tailrace.command("journal", *arguments, "--state", shop.tailrace.state)
    assert answer.code == Exit.DONE, str(answer)
    return answer


def changes(shop: Shop, *arguments: str) -> list[dict]:
    lines = [json.loads(line) for line in journal(shop, "cat", "--json", *arguments).out.splitlines()]
    return [line for line in lines if line["kind"] == "change" and not line.get("prefix", "").startswith("tailrace.")]


def test_the_log_shows_each_change_with_values_only_on_request(logged: Shop):
    shown = changes(logged, "--values")
    assert [change["op"] for change in shown] == ["insert", "update", "update", "delete", "truncate", "insert", "insert", "message"]
    assert shown[0]["new"] == ITEM and "old" not in shown[0]
    assert shown[1]["new"] == {"id": "1", "word": None, "big": {"unchanged": True}}
    assert shown[2]["old"] == {"id": "2"} and shown[2]["old_kind"] == "key" and shown[2]["new"]["id"] == "20"
    assert shown[3]["old"] == {"id": "3"}
    assert (shown[7]["prefix"], shown[7]["content"]) == ("greeting", "hello")
    assert [change["seq"] for change in shown] == sorted({change["seq"] for change in shown})
    for flags in ([], ["--json"]):
        assert "hush-hush" not in journal(logged, "cat", *flags).out
    text = journal(logged, "cat", "--values").out
    assert 'insert public.items new(id="3" word="hush-hush" big="x")' in text
    assert "word=null big unchanged)" in text and 'old(id="2")' in text and "truncate public.items" in text


def test_the_log_is_cut_to_places_and_tables(logged: Shop):
    everything = changes(logged)
    assert [change["table"] for change in changes(logged, "--table", "public.other")] == ["other"]
    after_first, third = everything[0], everything[2]
    between = changes(logged, "--from", after_first["lsn"], "--to", f"{third['epoch']}:{third['lsn']}")
    assert [change["op"] for change in between] == ["update", "update"]
    wrong = logged.tailrace.command("journal", "cat", "--from", "here", "--state", logged.tailrace.state)
    assert wrong.code == Exit.REQUEST and "`here` is not a position" in wrong.err, str(wrong)


def test_the_log_is_followed_while_it_grows(logged: Shop):
    logged.start()
    logged.wait()
    follower = logged.tailrace.start("journal", "cat", "-f", "--table", "public.other", "--state", logged.tailrace.state)
    for number in (100, 101):
        logged.cluster.execute(f"INSERT INTO other VALUES ({number})", database=logged.database)
        deadline = time.monotonic() + 20
        while follower.out().count("insert public.other") != number - 98:
            assert follower.code is None and time.monotonic() < deadline, follower.out() + follower.err()
            time.sleep(0.05)
    follower.signal(signal.SIGTERM)
    assert follower.wait(20) == -signal.SIGTERM
    logged.stop()


def test_segments_and_sums_agree_in_text_and_json(logged: Shop):
    segments = json.loads(journal(logged, "ls", "--json").out)
    assert len(segments) == 1 and not segments[0]["sealed"] and segments[0]["used_bytes"] <= segments[0]["file_bytes"]
    assert segments[0]["segment"] in (listed := journal(logged, "ls").out) and "(written to)" in listed
    stat = json.loads(journal(logged, "stat", "--json").out)
    assert (stat["segments"], stat["used_bytes"], stat["end"]) == (1, segments[0]["used_bytes"], segments[0]["last"])
    assert stat["end"] in journal(logged, "stat").out
    verified = json.loads(journal(logged, "verify", "--json").out)
    assert verified["damages"] == [] and verified["end"] == stat["end"] and verified["frames"] > 0
    assert "every checksum matches" in journal(logged, "verify").out


def test_a_flipped_bit_in_the_log_is_found_and_named(logged: Shop):
    segment = next((logged.tailrace.state / "journal").glob("*.seg"))
    place = segment.read_bytes().index(b"hush-hush")
    with open(segment, "r+b") as file:
        file.seek(place)
        file.write(b"H")
    for flags in ([], ["--json"]):
        answer = logged.tailrace.command("journal", "verify", "--state", logged.tailrace.state, *flags)
        assert answer.code == Exit.DAMAGED and segment.name in answer.out and "TR401" in answer.err, str(answer)


def test_a_journal_is_found_by_its_directory_and_a_missing_one_is_told(logged: Shop, tmp_path: Path):
    for where in (logged.tailrace.state, logged.tailrace.state / "journal"):
        answer = logged.tailrace.command("journal", "stat", where, "--json")
        assert answer.code == Exit.DONE and answer.json()["segments"] == 1, str(answer)
    missing = logged.tailrace.command("journal", "ls", "nobody", cwd=tmp_path)
    assert missing.code == Exit.REQUEST and "nobody" in missing.err, str(missing)


def test_status_is_the_same_look_for_people_and_programs(mirror: Shop):
    mirror.start("--history")
    mirror.wait()
    told = mirror.tailrace.command("status", "shop", "--state", mirror.tailrace.state)
    status = mirror.tailrace.status()
    assert told.code == Exit.DONE and "streaming" in told.out, str(told)
    for shown in (status["source"]["slot"], status["sinks"][0]["name"], "duckdb", "SINK", "reserved"):
        assert shown in told.out, f"{shown!r} is not in {told}"
    mirror.stop()
    stopped = mirror.tailrace.command("status", "shop", "--state", mirror.tailrace.state)
    assert stopped.code == Exit.DONE and "stopped" in stopped.out, str(stopped)
    last = mirror.tailrace.status()
    assert last["state"] == last["sinks"][0]["state"] == "stopped"
    assert last["sinks"][0]["durable_lsn"] >= status["sinks"][0]["durable_lsn"]


def test_status_names_a_held_table_and_its_remedy(mirror: Shop):
    mirror.start()
    mirror.wait()
    mirror.cluster.execute("ALTER TABLE customers DROP COLUMN joined", "INSERT INTO customers (name) VALUES ('x')", database=mirror.database)
    mirror.wait()
    told = mirror.tailrace.command("status", "shop", "--state", mirror.tailrace.state)
    problem = mirror.tailrace.status()["problems"][0]
    assert problem["code"] in told.out and problem["what"] in told.out and f"fix: {problem['remedy']}" in told.out, str(told)
    mirror.stop()


def bash_completes(*words: str) -> list[str]:
    script = (f"source <({binary()} completion bash); COMP_WORDS=(tailrace {' '.join(map(repr, words))}); "
              f"COMP_CWORD={len(words)}; _tailrace; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_their_flags_and_files(tailrace: Tailrace):
    assert bash_completes("mir") == ["mirror"]
    assert bash_completes("mirror", "--hist") == ["--history"]
    assert {"ls", "cat", "verify", "stat"} <= set(bash_completes("journal", ""))
    assert bash_completes("journal", "cat", "--fr") == ["--from"]
    assert bash_completes("run", "/etc/host") and all(name.startswith("/etc/host") for name in bash_completes("run", "/etc/host"))


@pytest.mark.parametrize("shell, words", [("zsh", ["#compdef tailrace", "bashcompinit", "mirror"]),
                                          ("fish", ["__fish_seen_subcommand_from mirror' -l history",
                                                    "__fish_seen_subcommand_from journal' -l follow"])])
def test_other_shells_have_their_script(tailrace: Tailrace, shell: str, words: list[str]):
    answer = tailrace.command("completion", shell)
    assert answer.code == Exit.DONE and all(word in answer.out for word in words), str(answer)


def test_a_shell_without_a_script_is_told(tailrace: Tailrace):
    answer = tailrace.command("completion", "tcsh")
    assert answer.code == Exit.REQUEST and "tcsh" in answer.err, str(answer)

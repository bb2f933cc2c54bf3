"""A running pipeline looked at over HTTP, by one who knows only the documents that are promised."""

import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest

from e2e.cluster import Cluster
from e2e.shop import Shop
from e2e.tailrace import Exit, Process, Tailrace

ANYWHERE = ("--listen", "127.0.0.1:0")
SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)')


@dataclass(frozen=True)
class Page:
    code: int
    text: str

    def json(self) -> dict:
        return json.loads(self.text)


def address_of(process: Process) -> str:
    for _ in range(200):
        if told := re.search(r"^watch +(http://\S+)/metrics$", process.err(), re.MULTILINE):
            return told[1]
        assert process.code is None, process.err()
        time.sleep(0.05)
    raise AssertionError(f"no address is told: {process.err()}")


def get(url: str) -> Page:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return Page(answer.status, answer.read().decode())
    except urllib.error.HTTPError as refused:
        return Page(refused.code, refused.read().decode())


def samples(text: str) -> dict[str, float]:
    """Each sample by its name with labels. Every line must be one that Prometheus reads, and each family stands once."""
    found: dict[str, float] = {}
    families: list[str] = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
        elif not line.startswith("# HELP "):
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            assert re.sub("_(bucket|sum|count)$", "", sample[1]) == families[-1] or sample[1] == families[-1], line
            assert line.rsplit(" ", 1)[0] not in found, line
            found[line.rsplit(" ", 1)[0]] = float(sample[3])
    assert len(families) == len(set(families))
    return found


@pytest.mark.smoke
def test_a_pipeline_is_watched_over_http(mirror: Shop):
    url = address_of(mirror.start(*ANYWHERE))
    mirror.wait()
    mirror.change()
    mirror.wait()
    assert get(f"{url}/livez") == Page(200, '{"live":true}')
    assert get(f"{url}/readyz") == Page(200, '{"ready":true}')
    health = get(f"{url}/health")
    assert health.code == 200 and health.json()["status"] == "healthy" and set(health.json()) == {"status", "message"}
    over_http, by_command = get(f"{url}/api/v1/status").json(), mirror.tailrace.status()
    assert over_http.keys() == by_command.keys() and over_http["name"] == "shop" and over_http["state"] == "streaming"
    (sink,), (the_same,) = by_command["sinks"], over_http["sinks"]
    assert the_same.keys() == sink.keys() and the_same["rows_applied"] == sink["rows_applied"] > 0
    assert get(f"{url}/api/v1/status?pipeline=none").json()["error_code"] == 404

    found = samples(get(f"{url}/metrics").text)
    assert found['tailrace_changes_received_total{pipeline="shop",sink="mirror"}'] == sink["rows_received"] > 0
    outcomes = [count for name, count in found.items() if name.startswith("tailrace_changes_total{")]
    assert sum(outcomes) == sink["rows_received"]
    assert found['tailrace_sink_state{pipeline="shop",sink="mirror",state="streaming"}'] == 1
    assert found['tailrace_source_connected{pipeline="shop"}'] == 1
    assert found['tailrace_snapshot_completed_ratio{pipeline="shop",sink="mirror",table="public.orders"}'] == 1
    assert 10e6 < found["tailrace_memory_bytes"] < 2e9
    mirror.stop()
    with pytest.raises(urllib.error.URLError):
        get(f"{url}/livez")


def test_the_process_lives_and_is_ready_while_its_source_is_away(tailrace: Tailrace, own_cluster: Cluster):
    own_cluster.execute("CREATE TABLE t (id int PRIMARY KEY)")
    url = address_of(tailrace.mirror(own_cluster.url(), tailrace.directory / "t.duckdb", *ANYWHERE))
    assert tailrace.wait().code == Exit.DONE
    own_cluster.stop()
    connected = 'tailrace_source_connected{pipeline="shop"}'
    for _ in range(100):
        if samples(get(f"{url}/metrics").text)[connected] == 0:
            break
        time.sleep(0.1)
    assert samples(get(f"{url}/metrics").text)[connected] == 0
    assert [get(url + path).code for path in ("/livez", "/readyz", "/health")] == [200, 200, 200]


def test_an_address_that_is_taken_is_named_before_anything_is_made(mirror: Shop):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = mirror.start("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert process.wait() == Exit.REQUEST
    assert "[TR222]" in process.err() and "Address already in use" in process.err() and "help: " in process.err()
    assert mirror.cluster.query("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'tailrace_shop'") == [(0,)]
    process = mirror.start("--listen", "somewhere")
    assert process.wait() == Exit.REQUEST and "[TR222]" in process.err()


def test_clients_that_say_nothing_hold_up_neither_the_pipeline_nor_its_end(mirror: Shop):
    url = address_of(mirror.start(*ANYWHERE))
    place = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
    silent = [socket.create_connection(place) for _ in range(60)]
    try:
        mirror.wait()
        mirror.change()
        mirror.wait()
        assert mirror.tailrace.status()["state"] == "streaming"
        begun = time.monotonic()
        mirror.stop()
        assert time.monotonic() - begun < 10
    finally:
        for client in silent:
            client.close()
    mirror.assert_equal()


def test_the_address_stays_while_the_configuration_is_read_again(mirror: Shop):
    file = mirror.tailrace.directory / "shop.yaml"
    file.write_text(f'name: shop\nsource: {{postgres: {{url: "{mirror.cluster.url(mirror.database)}"}}}}\n'
                    f"sinks: {{warehouse: {{duckdb: {{path: {mirror.target}}}}}}}\n")
    mirror.process = mirror.tailrace.start("run", file, "--state", mirror.tailrace.state, *ANYWHERE)
    url = address_of(mirror.process)
    mirror.wait()
    mirror.process.signal(signal.SIGHUP)
    taken = 'tailrace_config_reloads_total{outcome="taken"}'
    for _ in range(100):
        assert get(f"{url}/livez").code == 200
        if samples(get(f"{url}/metrics").text)[taken] == 1 and get(f"{url}/readyz").code == 200:
            break
        time.sleep(0.1)
    assert samples(get(f"{url}/metrics").text)[taken] == 1
    mirror.wait()
    mirror.stop()

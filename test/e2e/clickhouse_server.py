"""A private ClickHouse server: the current engine behind its HTTP interface (clickhouse_front.py), for one test or several."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from e2e.cluster import ReservedPort

START_TIMEOUT_S = 60
ROOT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "tail race", "s3cret p@ss"


def engine() -> Path:
    """The library that tools/deps.lock names."""
    lines = [line.split() for line in (ROOT / "tools/deps.lock").read_text().splitlines()]
    version = next(line[1] for line in lines if line and line[0] == "clickhouse")
    library = Path(os.environ.get("TAILRACE_DEPS", Path.home() / ".cache/tailrace")) / "clickhouse" / version / "libchdb.so"
    if not library.exists():
        raise RuntimeError(f"no {library}: run tools/bootstrap --clickhouse")
    return library


class ClickhouseServer:
    """One directory and the server on it. The caller closes it; closing removes everything. It is asked as HTTP allows,
    without our code and without a library."""

    def __init__(self):
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-clickhouse-"))
        self._process: subprocess.Popen | None = None
        self.start()

    def url(self, database: str, port: int | None = None) -> str:
        return f"clickhouse://tail%20race:s3cret%20p%40ss@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        front = Path(__file__).with_name("clickhouse_front.py")
        with open(self.directory / "server.log", "ab") as log:
            self._process = subprocess.Popen([sys.executable, front, engine(), self.directory, str(self.port), USER, PASSWORD],
                                             stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.run("SELECT 1")
                return
            except urllib.error.URLError:
                time.sleep(0.05)
        raise RuntimeError(f"the engine does not start: {(self.directory / 'server.log').read_text()}")

    def _post(self, path: str, body: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body.encode(),
                                         {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def run(self, sql: str) -> None:
        self._post("/", sql)

    def rows(self, sql: str) -> list[list]:
        """Numbers of 64 bits and decimals come as text, which keeps them whole."""
        settings = ("output_format_json_quote_64bit_integers=1, output_format_json_quote_decimals=1, "
                    "output_format_json_quote_denormals=1, output_format_decimal_trailing_zeros=1")
        return [json.loads(line) for line in self._post("/", f"{sql} SETTINGS {settings} FORMAT JSONCompactEachRow").splitlines()]

    def fail(self, mode: str, count: int = 1) -> None:
        """The next inserts: `error` refuses them, `lose` does them and does not answer, `linger` does them when told to (release)."""
        self._post(f"/fail?mode={mode}&count={count}", "")

    def release(self) -> None:
        self._post("/release", "")

    def packed(self, how: str) -> int:
        """Inserts whose bodies came packed in this way."""
        return int(self._post(f"/packed?how={how}", ""))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reserved.release()
        shutil.rmtree(self.directory, ignore_errors=True)


def old_program() -> Path:
    found = Path(os.environ.get("TAILRACE_DEPS", Path.home() / ".cache/tailrace")) / "clickhouse/debian/usr/sbin/clickhouse-server"
    if not found.exists():
        raise RuntimeError(f"no {found}: run tools/bootstrap --clickhouse")
    return found


class OldClickhouseServer:
    """A server of 2018 (Debian's) on a directory of its own. The caller closes it; closing removes everything."""

    def __init__(self):
        self._http, self._native = ReservedPort(), ReservedPort()
        self.port = self._http.number
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-clickhouse-"))
        (self.directory / "users.xml").write_text(
            "<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default><password>s3cret</password>"
            "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users></yandex>")
        (self.directory / "config.xml").write_text(
            f"<yandex><logger><level>warning</level><log>{self.directory}/log</log><errorlog>{self.directory}/errors</errorlog></logger>"
            f"<http_port>{self.port}</http_port><tcp_port>{self._native.number}</tcp_port><listen_host>127.0.0.1</listen_host>"
            f"<path>{self.directory}/data/</path><tmp_path>{self.directory}/tmp/</tmp_path><mark_cache_size>1000000</mark_cache_size>"
            "<users_config>users.xml</users_config><default_profile>default</default_profile><default_database>default</default_database></yandex>")
        with open(self.directory / "out", "wb") as out:
            self._process = subprocess.Popen([old_program(), f"--config-file={self.directory}/config.xml"], cwd=self.directory,
                                             stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise RuntimeError(f"the server does not start: {(self.directory / 'out').read_text()}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._http.release()
        self._native.release()
        shutil.rmtree(self.directory, ignore_errors=True)

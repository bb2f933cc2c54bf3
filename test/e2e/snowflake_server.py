"""A private Snowflake: the emulator in a process of its own, and Snowflake's own client in another."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from e2e.cluster import ReservedPort

START_TIMEOUT_S = 60
ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def deps() -> Path:
    return Path(os.environ.get("TAILRACE_DEPS", Path.home() / ".cache/tailrace"))


def python() -> Path:
    """Of the emulator's environment, which is known by what it holds."""
    digest = hashlib.sha256((ROOT / "test/snowflake-requirements.txt").read_bytes()).hexdigest()[:12]
    found = deps() / f"snowflake-python-{digest}" / "bin/python"
    if not (found.parent.parent / "complete").exists():
        raise RuntimeError(f"no {found}: run tools/bootstrap --snowflake")
    return found


def driver() -> Path:
    lines = [line.split() for line in (ROOT / "tools/deps.lock").read_text().splitlines()]
    version = next(line[1] for line in lines if line and line[0] == "adbc-snowflake")
    found = deps() / "adbc-snowflake" / version / "libadbc_driver_snowflake.so"
    if not found.exists():
        raise RuntimeError(f"no {found}: run tools/bootstrap --snowflake")
    return found


def snowflake_name(name: str) -> str:
    """What a name of the source is there, quoted: plain ones are as those that nobody quotes."""
    return '"{}"'.format(name.upper() if re.fullmatch("[a-z_][a-z0-9_]*", name) else name.replace('"', '""'))


class Client:
    """Snowflake's own client. The caller closes it."""

    def __init__(self, port: int, *where: str):
        self._process = subprocess.Popen([python(), HERE / "snowflake_client.py", str(port), *where], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def rows(self, sql: str, parameters: list | None = None) -> list[list]:
        self._process.stdin.write(json.dumps([sql, parameters] if parameters else [sql]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["rows"]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


class SnowflakeServer:
    """The emulator on a directory of its own. The caller closes it; closing removes everything."""

    def __init__(self, port: int = 0, directory: Path | None = None):
        self._reserved = ReservedPort() if port == 0 else None
        self.port = port or self._reserved.number
        self.directory = directory or Path(tempfile.mkdtemp(prefix="tailrace-snowflake-"))
        self._process: subprocess.Popen | None = None
        self._client: Client | None = None
        self.start()

    def start(self) -> None:
        with open(self.directory / "server.log", "ab") as log:
            self._process = subprocess.Popen([python(), HERE / "snowflake_emulator.py", str(self.port), self.directory], stdout=log, stderr=log,
                                             stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/session", timeout=5)
            except urllib.error.HTTPError:
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise RuntimeError(f"the emulator does not start: {(self.directory / 'server.log').read_text()[-2000:]}")

    def set_users(self, users: dict | None) -> None:
        """Who may log in, and with what; nothing: everybody."""
        file = self.directory / "users.json"
        if users is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(json.dumps(users))

    def set_faults(self, **faults) -> None:
        """As snowflake_emulator.py reads them."""
        (self.directory / "faults.json").write_text(json.dumps(faults))

    def statements(self) -> list[str]:
        """What was asked so far, in its order, each cut off."""
        return (self.directory / "statements.log").read_text().splitlines()

    def rows(self, sql: str, parameters: list | None = None) -> list[list]:
        if self._client is None:
            self._client = Client(self.port)
        return self._client.rows(sql, parameters)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        if self._reserved is not None:
            self._reserved.release()
        shutil.rmtree(self.directory, ignore_errors=True)

"""The private servers of this example: PostgreSQL, and versitygw, which speaks S3. Their data lie below one directory; the processes
are the example's own and end with it."""

import contextlib
import json
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

START_TIMEOUT_S = 60
BUCKET = "lakehouse"
PROGRAMS = Path(os.environ.get("TAILRACE_PG_BIN", "/usr/lib/postgresql/15/bin"))
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Settings:
    """Ports and keys, chosen once and kept in `lakehouse.json`, since a pipeline knows its source and targets by where they are."""

    def __init__(self, directory: Path):
        file = directory / "lakehouse.json"
        self.is_new = not file.exists()
        if self.is_new:
            chosen = {"postgres_port": int(os.environ.get("LAKEHOUSE_PG_PORT", 0)) or free_port(),
                      "s3_port": int(os.environ.get("LAKEHOUSE_S3_PORT", 0)) or free_port(),
                      "key": "lakehouse", "secret": secrets.token_hex(16)}
            file.touch(mode=0o600)
            file.write_text(json.dumps(chosen))
        kept = json.loads(file.read_text())
        self.postgres_port, self.s3_port = kept["postgres_port"], kept["s3_port"]
        self.key, self.secret = kept["key"], kept["secret"]


class Server:
    """A process, its log and its number in a file, by which `reset` finds it."""

    def __init__(self, directory: Path, name: str, command: list, environment: dict[str, str], is_up: Callable[[], bool], **identity):
        self._number = directory / f"{name}.pid"
        with open(directory / f"{name}.log", "ab") as log:
            self._process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                                             env=os.environ | environment, **identity)
        self._number.write_text(str(self._process.pid))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} does not start: see {directory / name}.log")
            time.sleep(0.05)

    def stop(self) -> None:
        # PostgreSQL waits for its clients when it is asked by SIGTERM.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._number.unlink(missing_ok=True)


def postgres(directory: Path, settings: Settings) -> Server:
    """PostgreSQL with logical decoding, and with commit times, which the proof compares."""
    data = directory / "postgres"
    identity = {}
    if os.geteuid() == 0:
        # It refuses to run as root.
        account = pwd.getpwnam("postgres")
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    if not data.exists():
        data.mkdir(mode=0o700)
        if identity:
            os.chown(data, identity["user"], identity["group"])
        subprocess.run([PROGRAMS / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"], check=True,
                       stdout=subprocess.DEVNULL, cwd="/", **identity)
    options = {"port": settings.postgres_port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "wal_level": "logical",
               "track_commit_timestamp": "on", "timezone": "UTC"}
    command = [PROGRAMS / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())]

    def is_up() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(source_url(settings), connect_timeout=2).close()
            return True
        return False

    server = Server(directory, "postgres", command, {}, is_up, **identity)
    if settings.is_new:
        with psycopg.connect(source_url(settings), autocommit=True) as connection:
            connection.execute((Path(__file__).parent / "schema.sql").read_text())
    return server


def source_url(settings: Settings) -> str:
    return f"postgresql://postgres@127.0.0.1:{settings.postgres_port}/postgres"


def endpoint(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.s3_port}"


def s3(directory: Path, settings: Settings) -> Server:
    """Every directory below `s3` is a bucket, every file in it an object."""
    (directory / "s3" / BUCKET).mkdir(parents=True, exist_ok=True)
    lines = [line.split() for line in (ROOT / "tools/deps.lock").read_text().splitlines()]
    version = next(line[1] for line in lines if line and line[0] == "versitygw")
    program = Path(os.environ.get("TAILRACE_DEPS", Path.home() / ".cache/tailrace")) / "versitygw" / version / "versitygw"

    def is_up() -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", settings.s3_port), timeout=2).close()
            return True
        return False

    return Server(directory, "s3", [program, "--port", f"127.0.0.1:{settings.s3_port}", "posix", directory / "s3"],
                  {"ROOT_ACCESS_KEY": settings.key, "ROOT_SECRET_KEY": settings.secret}, is_up)

"""Private servers of the examples: processes with their data below one directory, which end with the example that started them."""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

START_TIMEOUT_S = 60
PROGRAMS = Path(os.environ.get("TAILRACE_PG_BIN", "/usr/lib/postgresql/15/bin"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return True
    return False


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

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self._number.unlink(missing_ok=True)

    def stop(self) -> None:
        # PostgreSQL waits for its clients when it is asked by SIGTERM.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)
        self._number.unlink(missing_ok=True)


def postgres_url(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def postgres(directory: Path, port: int, schema: Path) -> Server:
    """PostgreSQL with logical decoding, and with commit times. `schema`: what is run once, when it is made."""
    data = directory / "postgres"
    is_new = not data.exists()
    identity = {}
    if os.geteuid() == 0:
        # It refuses to run as root.
        account = pwd.getpwnam("postgres")
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    if is_new:
        data.mkdir(mode=0o700)
        if identity:
            os.chown(data, identity["user"], identity["group"])
        subprocess.run([PROGRAMS / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"], check=True,
                       stdout=subprocess.DEVNULL, cwd="/", **identity)
    options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "wal_level": "logical",
               "track_commit_timestamp": "on", "timezone": "UTC"}
    command = [PROGRAMS / "postgres", "-D", data, *(f"--{name}={value}" for name, value in options.items())]

    def is_up() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(postgres_url(port), connect_timeout=2).close()
            return True
        return False

    server = Server(directory, "postgres", command, {}, is_up, **identity)
    if is_new:
        with psycopg.connect(postgres_url(port), autocommit=True) as connection:
            connection.execute(schema.read_text())
    return server

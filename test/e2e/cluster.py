"""A private PostgreSQL cluster: made, started, crashed and removed by one test or one oracle run."""

import functools
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

SUPERUSER = "postgres"
START_TIMEOUT_S = 60
BASE_SETTINGS = {
    "wal_level": "logical",
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "fsync": "off",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "timezone": "'UTC'",
    # The default from 14 on.
    "password_encryption": "'scram-sha-256'",
}


def server_binaries() -> Path:
    """The directory of the server's programs: TAILRACE_PG_BIN, or Debian's of version TAILRACE_PG (15)."""
    chosen = os.environ.get("TAILRACE_PG_BIN")
    binaries = Path(chosen) if chosen else Path(f"/usr/lib/postgresql/{os.environ.get('TAILRACE_PG', '15')}/bin")
    if not (binaries / "initdb").exists():
        raise RuntimeError(f"no PostgreSQL server in {binaries}: run tools/bootstrap or set TAILRACE_PG_BIN")
    return binaries


@functools.cache
def server_major() -> int:
    """The servers' major version: 15."""
    said = subprocess.run([str(server_binaries() / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"\d+", said)[0])


class ReservedPort:
    """A port that no other test takes, also not while the server on it is down. It lies below those that the kernel gives
    to outgoing connections, and is held by an abstract socket of its name, which ends with this process."""

    RANGE = range(20_000, 32_000)

    def __init__(self):
        for number in random.SystemRandom().sample(self.RANGE, 200):
            self._lock = socket.socket(socket.AF_UNIX)
            try:
                self._lock.bind(f"\0tailrace-test-port-{number}")
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            except OSError:
                self._lock.close()
                continue
            self.number = number
            return
        raise RuntimeError("no free port was found")

    def release(self) -> None:
        self._lock.close()


class Cluster:
    """One data directory and the postmaster on it. The caller closes it; closing removes everything."""

    def __init__(self, settings: dict[str, str] | None = None, wal_start: tuple[int, int] = (0, 1), standby_of: "Cluster | None" = None,
                 binaries: Path | None = None):
        """`binaries`: of another server. `wal_start`: upper half of the LSN and MiB of the lower one where the WAL begins, at least (0, 1).
        `standby_of`: it begins as a copy of that one, which is stopped for a moment, and follows it by its slot `standby`."""
        self.binaries = binaries or server_binaries()
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-pg-"))
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self._identity = self._server_user()
        self._postmaster: subprocess.Popen | None = None
        if standby_of is None:
            self._initialise({**BASE_SETTINGS, **(settings or {})})
        else:
            self._follow(standby_of, settings or {})
        if wal_start != (0, 1):
            self.reset_wal("-l", "00000001{:08X}{:08X}".format(*wal_start))
        self.start()

    @staticmethod
    def _server_user() -> dict:
        """The server refuses to run as root; then it runs as the account that Debian's package made."""
        if os.geteuid() != 0:
            return {}
        account = pwd.getpwnam("postgres")
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, **self._identity)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def _initialise(self, settings: dict[str, str], *options: str) -> None:
        if self._identity:
            os.chown(self.directory, self._identity["user"], self._identity["group"])
        self._run(str(self.binaries / "initdb"), "-D", str(self.data), "--wal-segsize=1", "-U", SUPERUSER,
                  "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", *options)
        self.configure(settings)
        access = ("local all all trust\n"
                  "host all guarded 127.0.0.1/32 scram-sha-256\n"
                  "host replication guarded 127.0.0.1/32 scram-sha-256\n"
                  "host all all 127.0.0.1/32 trust\n"
                  "host replication all 127.0.0.1/32 trust\n")
        (self.data / "pg_hba.conf").write_text(access)

    def _follow(self, primary: "Cluster", settings: dict[str, str]) -> None:
        if self._identity:
            os.chown(self.directory, self._identity["user"], self._identity["group"])
        primary.query("SELECT pg_create_physical_replication_slot('standby', true)")
        primary.stop()
        subprocess.run(["cp", "-a", str(primary.data), str(self.data)], check=True)
        primary.start()
        shutil.rmtree(self.data / "pg_replslot" / "standby")
        self.configure({"primary_conninfo": f"'{primary.conninfo(application_name='standby')}'", "primary_slot_name": "standby", **settings})
        self._own(self.data / "standby.signal")

    def _own(self, path: Path) -> None:
        """An empty file of the server's account."""
        path.touch()
        if self._identity:
            os.chown(path, self._identity["user"], self._identity["group"])

    def configure(self, settings: dict[str, str]) -> None:
        """Appends settings; they count from the next start or reload."""
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as config:
            config.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def reset_wal(self, *options: str) -> None:
        """The stopped server goes on at other counters, as pg_resetwal has them."""
        self._run(str(self.binaries / "pg_resetwal"), *options, "-D", str(self.data))

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self._postmaster = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)],
                cwd="/", stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, **self._identity)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._postmaster.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
            try:
                self.connect(connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError("the server took too long to start")

    def run_beside(self, *command: str) -> subprocess.Popen:
        """A program under the server's account, which the caller ends."""
        return subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                **self._identity)

    def stop(self, mode: str = "fast", timeout_s: float = 60) -> None:
        """`fast` and `smart` as the server knows them; `immediate` is a crash: recovery follows at the next start."""
        if self._postmaster is None or self._postmaster.poll() is not None:
            return
        number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        self._postmaster.send_signal(number)
        try:
            self._postmaster.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._postmaster.send_signal(signal.SIGQUIT)
            self._postmaster.wait(30)
            raise RuntimeError(f"a {mode} stop was not over after {timeout_s} s") from None

    def restart(self, mode: str = "fast", timeout_s: float = 60) -> None:
        self.stop(mode, timeout_s)
        self.start()

    def keep_copy(self) -> Path:
        """The data directory as a stopped server left it."""
        copy = Path(tempfile.mkdtemp(prefix="copy-", dir=self.directory)) / "data"
        subprocess.run(["cp", "-a", str(self.data), str(copy)], check=True)
        return copy

    def bring_back(self, copy: Path, promote: bool = False) -> None:
        """The stopped server becomes the copy; `promote`: it then begins a timeline of its own, as a restored backup does."""
        shutil.rmtree(self.data)
        subprocess.run(["cp", "-a", str(copy), str(self.data)], check=True)
        if promote:
            self.configure({"restore_command": "'false'"})
            self._own(self.data / "recovery.signal")

    def upgrade(self) -> None:
        """The stopped server becomes what the tests' pg_upgrade makes of it, which may be that of a later version."""
        old, self.data = self.data, self.directory / "upgraded"
        before, self.binaries = self.binaries, server_binaries()
        # The default from 18 on is another one than before.
        self._initialise(BASE_SETTINGS, *(["--no-data-checksums"] if before != self.binaries else []))
        done = subprocess.run([f"{self.binaries}/pg_upgrade", "-b", before, "-B", self.binaries, "-d", str(old), "-D", str(self.data),
                               "-U", SUPERUSER, "--socketdir", str(self.directory)],
                              cwd=self.directory, capture_output=True, text=True, **self._identity)
        if done.returncode != 0:
            raise RuntimeError(f"pg_upgrade failed: {done.stdout}{done.stderr}")

    def conninfo(self, database: str = "postgres", user: str = SUPERUSER, **more) -> str:
        return " ".join([f"host=127.0.0.1 port={more.pop('port', self.port)} dbname={database} user={user}",
                         *(f"{name}={value}" for name, value in more.items())])

    def url(self, database: str = "postgres", user: str = SUPERUSER, password: str = "", port: int = 0) -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@127.0.0.1:{port or self.port}/{database}"

    def connect(self, database: str = "postgres", user: str = SUPERUSER, **more) -> psycopg.Connection:
        """An autocommit connection to the server itself, never through a proxy."""
        return psycopg.connect(self.conninfo(database, user, **more), autocommit=True)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def query(self, statement: str, database: str = "postgres") -> list[tuple]:
        with self.connect(database) as connection:
            return connection.execute(statement).fetchall()

    def close(self) -> None:
        try:
            self.stop("immediate")
        finally:
            self._reserved.release()
            shutil.rmtree(self.directory, ignore_errors=True)

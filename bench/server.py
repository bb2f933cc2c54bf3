"""The benchmarks' own PostgreSQL: no fsync, so that the limit is the server's processor and not its disk."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

HERE = Path(__file__).resolve().parent
DATABASE = "bench"
SETTINGS = """
listen_addresses = '127.0.0.1'
wal_level = logical
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 64GB
checkpoint_timeout = 1h
shared_buffers = 512MB
autovacuum = off
max_replication_slots = 80
max_wal_senders = 20
log_min_messages = warning
"""


def binaries() -> Path:
    return Path(os.environ.get("TAILRACE_PG_BIN", f"/usr/lib/postgresql/{os.environ.get('TAILRACE_PG', '15')}/bin"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A cluster in a directory of its own, with the load's tables. The caller closes it; that removes everything."""

    def __init__(self, transport: str):
        self.directory = Path(tempfile.mkdtemp(prefix="tailrace-bench-pg-"))
        self.port = free_port()
        self.host = "127.0.0.1" if transport == "tcp" else str(self.directory)
        self._account = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self._account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self.data = self.directory / "data"
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C.UTF-8",
                  "-E", "UTF8")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as config:
            config.write(SETTINGS + f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n")
        self._run("pg_ctl", "-D", str(self.data), "-l", str(self.directory / "log"), "-w", "start")
        self.sql(f"create database {DATABASE}", database="postgres")
        self.sql((HERE / "load.sql").read_text())
        self.sql("create publication bench for table events, orders")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([binaries() / program, *arguments], cwd="/", stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=False, **self._account)
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")

    def close(self) -> None:
        try:
            self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def conninfo(self, database: str = DATABASE) -> str:
        return f"host={self.host} port={self.port} user=postgres dbname={database} sslmode=disable"

    def connect(self, database: str = DATABASE) -> psycopg.Connection:
        return psycopg.connect(self.conninfo(database), autocommit=True)

    def sql(self, statement: str, database: str = DATABASE) -> None:
        with self.connect(database) as connection:
            connection.execute(statement)

    def value(self, statement: str):
        with self.connect() as connection:
            return connection.execute(statement).fetchone()[0]

    def make_slot(self, name: str) -> None:
        self.value(f"select pg_create_logical_replication_slot('{name}', 'pgoutput')::text")

    def copy_slot(self, source: str, name: str) -> None:
        """A reader that confirms what it got gets a copy, so that the next one finds the whole load again."""
        self.value(f"select pg_copy_logical_replication_slot('{source}', '{name}')::text")

    def sessions_cpu_seconds(self) -> float:
        """Processor time of all sessions that have ended, as the postmaster's reaped children."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def live_cpu_seconds(self) -> float:
        """Processor time so far of Tailrace's sessions, its walsender included."""
        with self.connect() as connection:
            pids = connection.execute("select pid from pg_stat_activity where application_name = 'tailrace'").fetchall()
        found = 0
        for pid, in pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found += int(fields[11]) + int(fields[12])
        return found / os.sysconf("SC_CLK_TCK")

    def wait_for_slots(self) -> None:
        """Until no walsender holds one any more: it lives a little longer than its reader."""
        while self.value("select count(*) from pg_replication_slots where active"):
            time.sleep(0.05)

    def wait_for_sessions(self) -> None:
        """Until the postmaster has reaped every session but the one that asks."""
        while self.value("select count(*) from pg_stat_activity where pid <> pg_backend_pid() "
                         "and backend_type in ('walsender', 'client backend')"):
            time.sleep(0.05)
        time.sleep(0.5)

    def drop_slots(self) -> None:
        self.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")

    def drop_publications(self) -> None:
        """What earlier pipelines made; theirs may have had the same names and other tables."""
        with self.connect() as connection:
            for (name,) in connection.execute("select pubname from pg_publication where pubname <> 'bench'").fetchall():
                connection.execute(f'drop publication "{name}"')

    def empty(self) -> None:
        """No rows, no slots, no WAL to keep."""
        self.wait_for_slots()
        self.drop_slots()
        self.drop_publications()
        self.sql("truncate events, orders")
        self.sql("checkpoint")

    def load(self, table: str, rows: int, per_transaction: int, kind: str = "insert", first: int = 1) -> str:
        """Fills, and answers the LSN that a reader has to reach."""
        self.sql(f"call load_rows('{table}', '{kind}', {first}, {rows}, {per_transaction})")
        return str(self.value("select pg_current_wal_insert_lsn()::text"))

"""The private servers of this example, PostgreSQL and the emulator of Snowflake, and the pipeline between them."""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import private_servers
from e2e import snowflake_server
from private_servers import Server, answers, free_port

HERE = Path(__file__).resolve().parent
WAIT_S = 120
#: Where .env.example points: the emulator.
EMULATED = "TEST-ACCOUNT"


def read_env(file: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in file.read_text().splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


class Settings:
    """What .env says, and ports, which are chosen once and kept in `transactions.json`, since a pipeline knows its source and targets by where
    they are."""

    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "transactions.json"
        if not file.exists():
            file.write_text(json.dumps({name: free_port() for name in ("postgres", "snowflake", "http")}))
        self.ports = json.loads(file.read_text())
        env = read_env(HERE / ".env.example")
        if (HERE / ".env").exists():
            env |= read_env(HERE / ".env")
        self.env = {name: os.environ.get(name, value) for name, value in env.items()}
        self.is_emulated = self.env["SNOWFLAKE_ACCOUNT"] == EMULATED
        if self.is_emulated:
            self.env["SNOWFLAKE_ENDPOINT"] = f"http://127.0.0.1:{self.ports['snowflake']}"
        self.env |= {"TRANSACTIONS_SOURCE": self.source_url, "TRANSACTIONS_DATA": str(directory)}

    @property
    def source_url(self) -> str:
        return private_servers.postgres_url(self.ports["postgres"])

    @property
    def place(self) -> str:
        """Of the tables, as SQL has it."""
        return '"{SNOWFLAKE_DATABASE}"."{SNOWFLAKE_SCHEMA}"'.format(**self.env)

    def runs(self, name: str) -> int:
        """The number of a process that `name`.pid names; 0: it does not run."""
        with contextlib.suppress(OSError, ValueError):
            number = int((self.directory / f"{name}.pid").read_text())
            state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][0]
            words = Path(f"/proc/{number}/cmdline").read_text()
            # One that was started just now has no words yet.
            if state != "Z" and (not words or str(self.directory) in words or "transactions/pipeline.yaml" in words):
                return number
        return 0


def postgres(settings: Settings) -> Server:
    return private_servers.postgres(settings.directory, settings.ports["postgres"], HERE / "schema.sql")


def emulator(settings: Settings) -> Server:
    data = settings.directory / "snowflake"
    data.mkdir(exist_ok=True)
    port = settings.ports["snowflake"]
    return Server(settings.directory, "snowflake", [snowflake_server.python(), snowflake_server.HERE / "snowflake_emulator.py", port, data], {},
                  lambda: answers(port))


class Pipeline:
    """The program under pipeline.yaml, and its commands."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._environment = os.environ | settings.env | {"TAILRACE_STATE": str(settings.directory / "state")}

    def start(self) -> None:
        """It goes on when we end."""
        with open(self._settings.directory / "tailrace.log", "ab") as log:
            started = subprocess.Popen([os.environ["TAILRACE_BIN"], "run", HERE / "pipeline.yaml", "--log-format", "json", "--listen",
                                        f"127.0.0.1:{self._settings.ports['http']}"], env=self._environment, stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        (self._settings.directory / "tailrace.pid").write_text(str(started.pid))

    def command(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([os.environ["TAILRACE_BIN"], *words], env=self._environment, capture_output=True, text=True)

    def ask(self, *words: str) -> str:
        done = self.command(*words)
        if done.returncode != 0:
            raise SystemExit(f"tailrace {words[0]} says: {done.stdout}{done.stderr}")
        return done.stdout

    def wait(self) -> None:
        """Until all that was committed by now is in Snowflake."""
        deadline = time.monotonic() + WAIT_S
        while self._settings.runs("tailrace") and time.monotonic() < deadline:
            if self.command("wait", "transactions", "--timeout", "30s").returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit(f"the pipeline does not come through: see {self._settings.directory}/tailrace.log")

    def end(self, number: int) -> None:
        """By a signal, and waits until it is gone."""
        process = self._settings.runs("tailrace")
        if not process:
            return
        os.kill(process, number)
        deadline = time.monotonic() + WAIT_S
        while self._settings.runs("tailrace"):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, os.WNOHANG)
            if time.monotonic() > deadline:
                raise SystemExit("the pipeline does not stop")
            time.sleep(0.05)
        (self._settings.directory / "tailrace.pid").unlink()

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        self.end(signal.SIGTERM)

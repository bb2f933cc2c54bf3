"""A source and its running mirror, differences between the two, and writers that hammer the source."""

import json
import random
import sys
import threading
import time
from pathlib import Path

from e2e.cluster import Cluster
from e2e.tailrace import Answer, Exit, Process, Tailrace


class Pair:
    """A source and its mirror, which is running."""

    def __init__(self, cluster: Cluster, database: str, tailrace: Tailrace, *options: str,
                 environment: dict[str, str] | None = None, process: Process | None = None):
        """Starts the mirror, or takes the `process` that keeps it."""
        self.cluster, self.database, self.tailrace = cluster, database, tailrace
        self.target = tailrace.directory / "target.duckdb"
        if process:
            self.process = process
            self.wait()
        else:
            self.start(*options, environment=environment)

    def start(self, *options: str, environment: dict[str, str] | None = None) -> None:
        self.process = self.tailrace.mirror(self.cluster.url(self.database), self.target, *options, environment=environment)
        self.wait()

    def wait(self) -> None:
        answer = self.tailrace.wait(60)
        assert answer.code == Exit.DONE, f"{answer}\n{self.process.err()}"

    def verify(self, *options: str) -> tuple[int, dict]:
        answer = self.answer("--json", *options)
        return answer.code, json.loads(answer.out.splitlines()[0])

    def answer(self, *options: str) -> Answer:
        return self.tailrace.command("verify", self.tailrace.name, "--state", self.tailrace.state, *options)

    def table(self, name: str, *options: str) -> dict:
        """The report of one table."""
        _, found = self.verify(*options)
        return next(table for table in found["tables"] if table["table"] == name)

    def plant(self, *statements: str) -> None:
        """Changes the target behind the program's back."""
        script = Path(self.tailrace.directory / "plant.py")
        script.write_text(f"import duckdb\nwith duckdb.connect({str(self.target)!r}) as db:\n"
                          + "".join(f"    db.execute({statement!r})\n" for statement in statements))
        lent = self.tailrace.command("lend", self.tailrace.name, "--state", self.tailrace.state, "--", sys.executable, script)
        assert lent.code == Exit.DONE, str(lent)


def found(table: dict) -> list[tuple[str, dict]]:
    return sorted(((one["what"], one["key"]) for one in table["keys"]), key=str)


class Hammer:
    """Writers on keys of a small space: rows come, change, move and go all the time, also in long transactions."""

    def __init__(self, cluster: Cluster, database: str, writers: int = 3):
        self._stop = threading.Event()
        self.transactions = 0
        self._threads = [threading.Thread(target=self._write, args=(cluster, database, seed)) for seed in range(writers)]
        for thread in self._threads:
            thread.start()

    def _write(self, cluster: Cluster, database: str, seed: int) -> None:
        draw = random.Random(seed)
        with cluster.connect(database) as connection:
            while not self._stop.is_set():
                key = draw.randrange(1, 3000)
                connection.execute("BEGIN")
                for _ in range(draw.choice([1, 1, 1, 20])):
                    statement = draw.choice([
                        f"UPDATE t SET n = n + 1 WHERE id = {key}",
                        f"UPDATE t SET big = repeat('{seed}', 3000) WHERE id = {key}",
                        f"INSERT INTO t VALUES ({key}, 0, 'new', repeat('x', 3000)) ON CONFLICT DO NOTHING",
                        f"DELETE FROM t WHERE id = {key}",
                        f"UPDATE t SET id = id + 3000 WHERE id = {key} AND NOT EXISTS (SELECT FROM t WHERE id = {key} + 3000)",
                        f"UPDATE t SET n = n + 1 WHERE id % 100 = {key % 100} AND id < 10000",
                    ])
                    try:
                        connection.execute("SAVEPOINT s")
                        connection.execute(statement)
                    except Exception:  # two writers met: this statement is void
                        connection.execute("ROLLBACK TO s")
                    key = key % 3000 + 1
                connection.execute("COMMIT")
                self.transactions += 1
                # As fast as a free machine allows, the mirror would never come up to what was just committed.
                time.sleep(0.005)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

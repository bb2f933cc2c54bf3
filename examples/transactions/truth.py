"""The application: it writes transactions, some of them wrong, and keeps its own record of what Snowflake has to show."""

import json
import random
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import psycopg

STATUSES = ("pending", "completed", "failed", "cancelled")
COLUMNS = ("transaction_id", "user_id", "amount", "status", "created_at", "updated_at")
#: What breaks a rule of pipeline.yaml: column and value.
WRONG = (("user_id", 0), ("user_id", None), ("amount", Decimal("-1.00")), ("status", "unknown"))


class Row:
    """A transaction as Snowflake has to show it: text for text."""

    def __init__(self, values: tuple):
        self.user, self.amount, self.status = values[1], Decimal(values[2]), values[3]
        self.created, self.updated = (value if isinstance(value, datetime) else datetime.fromisoformat(value) for value in values[4:6])

    def texts(self) -> list:
        return [self.user, f"{self.amount:.2f}", self.status, self.created.isoformat(), self.updated.isoformat()]


class Application:
    """One connection to the source. `truth.jsonl` has a line for each change that has to arrive, and for each that must not."""

    def __init__(self, url: str, directory: Path):
        self._connection = psycopg.connect(url, autocommit=True)
        self._file = directory / "truth.jsonl"
        self.rows: dict[int, Row] = {}
        #: By row: the column that is wrong.
        self.letters: dict[int, str] = {}
        #: Rows that were there before the pipeline was are copied, and count as no changes.
        self.is_followed = self._file.exists()
        self._streamed: set[int] = set()
        #: The source still has them as they were, so nothing more is done with them.
        self._mended: set[int] = set()
        self.changes = 0
        self._chance = random.Random(4)
        for line in self._file.read_text().splitlines() if self._file.exists() else ():
            self._note(*json.loads(line))

    def close(self) -> None:
        self._connection.close()

    def _note(self, what: str, key: int, values: list | None) -> None:
        self.changes += 1
        if what == "wrong":
            self.letters[key], is_streamed = values
            if is_streamed:
                self._streamed.add(key)
        elif what == "mended":
            self.changes -= 1
            del self.letters[key]
            self._streamed.discard(key)
            self._mended.add(key)
            self.rows[key] = Row(values)
        elif what == "dropped":
            self.changes -= 1
            del self.letters[key]
        elif what == "deleted":
            del self.rows[key]
        else:
            self.rows[key] = Row(values)

    @property
    def rejected(self) -> int:
        """Changes that a rule kept out and nobody mended."""
        return len(self._streamed)

    def note(self, what: str, key: int, values: list | None = None) -> None:
        with open(self._file, "a") as file:
            file.write(json.dumps([what, key, values], default=str) + "\n")
        self._note(what, key, json.loads(json.dumps(values, default=str)))

    def _write(self, sql: str, *values) -> tuple:
        return self._connection.execute(f"{sql} RETURNING {', '.join(COLUMNS)}", values).fetchone()

    def insert(self, **values) -> int:
        row = {"user_id": self._chance.randint(1, 40), "amount": Decimal(self._chance.randint(0, 9_999_999)) / 100,
               "status": self._chance.choice(STATUSES)} | values
        made = self._write("INSERT INTO transactions (user_id, amount, status) VALUES (%s, %s, %s)", *row.values())
        wrong = next(iter(values), None)
        if wrong:
            self.note("wrong", made[0], [wrong, self.is_followed])
        else:
            self.note("there", made[0], list(made))
        return made[0]

    def transact(self) -> None:
        """One change: most insert, some move a status or an amount on, some delete, some are wrong."""
        known = [key for key in self.rows if key not in self._mended]
        drawn = self._chance.random()
        if drawn < 0.06:
            column, value = self._chance.choice(WRONG)
            self.insert(**{column: value})
        elif drawn < 0.60 or len(known) < 20:
            self.insert()
        elif drawn < 0.80:
            key = self._chance.choice(known)
            made = self._write("UPDATE transactions SET status = %s, updated_at = now() WHERE transaction_id = %s", self._chance.choice(STATUSES), key)
            self.note("there", key, list(made))
        elif drawn < 0.90:
            key = self._chance.choice(known)
            made = self._write("UPDATE transactions SET amount = amount + 0.01, updated_at = now() WHERE transaction_id = %s AND amount < 99999999",
                               key)
            self.note("there", key, list(made))
        else:
            key = self._chance.choice(known)
            self._write("DELETE FROM transactions WHERE transaction_id = %s", key)
            self.note("deleted", key)

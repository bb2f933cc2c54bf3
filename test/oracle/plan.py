"""The plan of a run: for each session a list of transactions, drawn from the seed before anything runs.

The server decides how the sessions interleave; the truth is read back from it, never predicted.
"""

import random
from dataclasses import dataclass, field

from oracle.growth import growing_statement
from oracle.tables import Table, ballast, quoted
from oracle.values import Text, literal


@dataclass
class Transaction:
    """Statements of one transaction. `pauses`: seconds slept after the statement with that index, to interleave;
    `prepares_s`: it is prepared, and commits or rolls back that much later; `origin_age_s`: it comes from another server,
    where it was committed that long ago, so that commit times step back."""

    kind: str
    statements: list[str] = field(default_factory=list)
    commits: bool = True
    pauses: dict[int, float] = field(default_factory=dict)
    prepares_s: float | None = None
    origin_age_s: float | None = None


def row_literals(table: Table, values: dict[str, Text]) -> str:
    return ", ".join(literal(values[name]) for name in table.names)


def key_filter(table: Table, key: tuple[Text, ...]) -> str:
    return " AND ".join(f"{quoted(name)} = {literal(value)}" for name, value in zip(table.key, key, strict=True))


class Draw:
    """Draws statements and transactions over the tables. One per session; owns its random stream."""

    def __init__(self, seed: str, tables: list[Table]):
        self._random = random.Random(seed)
        self._tables = [table for table in tables if table.weight]
        self._weights = [table.weight for table in self._tables]
        self._growing = [table for table in tables if table.shapes]
        self._fresh = 1_000_000 + self._random.randrange(1000) * 1_000_000

    def transactions(self, count: int) -> list[Transaction]:
        return [self._transaction() for _ in range(count)]

    def _transaction(self) -> Transaction:
        draw = self._random
        kinds = {"tiny": 62, "medium": 14, "savepoints": 8, "nested": 4, "big": 3, "big_rollback": 1, "big_savepoint": 2,
                 "truncate": 1, "message": 2, "exceptions": 2, "copy": 3, "swap": 2, "wide": 3}
        if self._growing:
            kinds["growing_rows"] = 12
        kind = draw.choices(list(kinds), list(kinds.values()))[0]
        made = Transaction(kind)
        getattr(self, f"_{kind}")(made)
        if kind not in ("big_rollback", "truncate") and draw.random() < 0.1:
            made.commits = False
        if draw.random() < 0.03:
            made.prepares_s = draw.uniform(0.0, 0.1)
        elif draw.random() < 0.05:
            made.origin_age_s = draw.uniform(0.0, 5.0)
        if draw.random() < 0.3:
            for index in range(len(made.statements)):
                if draw.random() < 0.3:
                    made.pauses[index] = draw.uniform(0.001, 0.03)
        return made

    def _table(self) -> Table:
        return self._random.choices(self._tables, self._weights)[0]

    def _keyed(self) -> Table:
        while True:
            table = self._table()
            if table.key:
                return table

    # Kinds of transactions.

    def _tiny(self, made: Transaction) -> None:
        made.statements += [self.statement() for _ in range(self._random.randint(1, 4))]

    def _medium(self, made: Transaction) -> None:
        made.statements += [self.statement() for _ in range(self._random.randint(10, 30))]
        if self._random.random() < 0.3:
            table, key = self._keyed(), None
            key = table.draw_key(self._random)
            made.statements += [self._insert(table, key), self._update(table, key), self._delete(table, key),
                                self._insert(table, key), self._update(table, key)]

    def _savepoints(self, made: Transaction) -> None:
        for number in range(self._random.randint(1, 4)):
            made.statements.append(f"SAVEPOINT s{number}")
            made.statements += [self.statement() for _ in range(self._random.randint(1, 4))]
            ending = self._random.random()
            if ending < 0.4:
                made.statements.append(f"ROLLBACK TO SAVEPOINT s{number}")
            elif ending < 0.7:
                made.statements.append(f"RELEASE SAVEPOINT s{number}")
        made.statements.append(self.statement())

    def _nested(self, made: Transaction) -> None:
        depth = self._random.randint(5, 25)
        for number in range(depth):
            made.statements += [f"SAVEPOINT n{number}", self.statement()]
        made.statements.append(f"ROLLBACK TO SAVEPOINT n{self._random.randrange(depth)}")
        made.statements.append(self.statement())

    def _big(self, made: Transaction) -> None:
        made.statements += [self.statement(), self._flood(), self.statement(), self._flood(), self.statement()]

    def _wide(self, made: Transaction) -> None:
        """Few rows that fill the log: compressible here, but not on their way."""
        table = next(table for table in self._tables if table.name == "by_int")
        count, self._fresh = self._random.randint(10, 40), self._fresh + 50
        made.statements += [
            self.statement(),
            f"INSERT INTO {table.into} SELECT g, repeat('wide ' || g, 1800), g, now() FROM generate_series({self._fresh - 50}, "
            f"{self._fresh - 50 + count - 1}) g",
            self.statement()]

    def _big_rollback(self, made: Transaction) -> None:
        made.statements += [self._flood(), self.statement(), self._flood()]
        made.commits = False

    def _big_savepoint(self, made: Transaction) -> None:
        """A flood that stays, a flood that is rolled back, and changes after it: the abort must take only its own."""
        made.statements += [self._flood(), "SAVEPOINT outer_one", self._flood(), self.statement(), "SAVEPOINT inner_one",
                            self._flood(), self.statement()]
        ending = self._random.choice(["inner", "outer", "release"])
        if ending == "release":
            made.statements.append("RELEASE SAVEPOINT outer_one")
        else:
            made.statements.append(f"ROLLBACK TO SAVEPOINT {ending}_one")
        made.statements += [self.statement(), self._flood() if self._random.random() < 0.3 else self.statement()]

    def _truncate(self, made: Transaction) -> None:
        chosen = self._random.sample(self._tables, self._random.choice([1, 1, 2]))
        made.statements += [self.statement() for _ in range(self._random.randint(0, 2))]
        tail = self._random.choice(["", " RESTART IDENTITY", " CASCADE"])
        made.statements.append(f"TRUNCATE {', '.join(table.sql for table in chosen)}{tail}")
        for table in chosen:
            made.statements += [self._insert(table, table.draw_key(self._random) if table.key else ()) for _ in range(3)]

    def _message(self, made: Transaction) -> None:
        transactional = self._random.random() < 0.7
        made.statements += [self.statement(), self._emit(transactional), self.statement()]

    def _exceptions(self, made: Transaction) -> None:
        """Sub-transactions by the dozen: every second one fails."""
        table = self._keyed()
        body = []
        for number in range(self._random.randint(6, 20)):
            failure = " RAISE EXCEPTION 'planned';" if number % 2 else ""
            body.append(f"BEGIN {self.statement(table)};{failure} EXCEPTION WHEN OTHERS THEN NULL; END;")
        made.statements.append("DO $planned$ BEGIN " + " ".join(body) + " END $planned$")

    def _copy(self, made: Transaction) -> None:
        """Many rows by one statement: they share one WAL position."""
        made.statements.append(self._many(self._random.randint(20, 80)))
        made.statements.append(self.statement())

    def _swap(self, made: Transaction) -> None:
        swapping = [table for table in self._tables if table.swaps]
        if swapping and self._random.random() < 0.6:
            table = self._random.choice(swapping)
            column = quoted(table.key[0])
            if self._random.random() < 0.3:
                made.statements.append(f"UPDATE {table.sql} SET {column} = {column} + 1 WHERE {column} BETWEEN 0 AND 40")
                return
            one, two = table.draw_key(self._random)[0], table.draw_key(self._random)[0]
            made.statements.append(f"UPDATE {table.sql} SET {column} = CASE {column} WHEN {one} THEN {two} ELSE {one} END "
                                   f"WHERE {column} IN ({one}, {two})")
            return
        table = self._keyed()
        one, two = table.draw_key(self._random), table.draw_key(self._random)
        spare = ("987654",) if table.column(table.key[0]).type == "int4" else None
        if spare is None or len(table.key) > 1:
            made.statements.append(self._move(table, one, two))
            return
        made.statements += [self._move(table, one, spare), self._move(table, two, one), self._move(table, spare, two)]

    def _growing_rows(self, made: Transaction) -> None:
        """In a transaction of their own: a giant's later parts cannot follow an alteration."""
        made.statements += [growing_statement(self._random, self._random.choice(self._growing)) for _ in range(self._random.randint(1, 6))]

    # Single statements.

    def statement(self, table: Table | None = None) -> str:
        draw = self._random
        table = table or self._table()
        if table.insert_only:
            return self._insert(table, ())
        if not table.key:
            return self._keyless(table)
        key = table.draw_key(draw)
        kinds = {"insert": 34, "update": 34, "delete": 13, "move": 6, "upsert": 6, "range": 4, "noop": 3}
        kind = draw.choices(list(kinds), list(kinds.values()))[0]
        if kind == "move":
            return self._move(table, key, table.draw_key(draw), draw.random() < 0.5)
        if kind == "range":
            return self._range(table, key)
        if kind == "noop":
            column = quoted(draw.choice(table.names))
            return f"UPDATE {table.sql} SET {column} = {column} WHERE {key_filter(table, key)}"
        return getattr(self, f"_{kind}")(table, key)

    def _values(self, table: Table, key: tuple[Text, ...]) -> dict[str, Text]:
        values = {column.name: column.draw(self._random) for column in table.columns}
        return {**values, **dict(zip(table.key, key, strict=True))}

    def _insert(self, table: Table, key: tuple[Text, ...]) -> str:
        row = row_literals(table, self._values(table, key))
        if not table.key:
            return f"INSERT INTO {table.into} VALUES ({row})"
        if table.swaps:
            return (f"INSERT INTO {table.into} SELECT {row} WHERE NOT EXISTS "
                    f"(SELECT FROM {table.sql} WHERE {key_filter(table, key)})")
        return f"INSERT INTO {table.into} VALUES ({row}) ON CONFLICT DO NOTHING"

    def _upsert(self, table: Table, key: tuple[Text, ...]) -> str:
        if table.swaps:
            return self._update(table, key)
        row = row_literals(table, self._values(table, key))
        others = [name for name in table.names if name not in table.key]
        keep = self._random.sample(others, self._random.randint(1, len(others)))
        assign = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in keep)
        conflict = ", ".join(quoted(name) for name in table.key)
        return f"INSERT INTO {table.into} VALUES ({row}) ON CONFLICT ({conflict}) DO UPDATE SET {assign}"

    def _assignments(self, table: Table) -> str:
        """Half of the updates of a table with large values leave those alone."""
        draw = self._random
        plain = [column for column in table.columns if column.name not in table.key and not column.toast]
        chosen = draw.sample(plain, draw.randint(1, min(len(plain), 5)))
        if table.toast_columns and draw.random() < 0.5:
            chosen += draw.sample(table.toast_columns, draw.randint(1, len(table.toast_columns)))
        return ", ".join(f"{quoted(column.name)} = {literal(column.draw(draw))}" for column in chosen)

    def _update(self, table: Table, key: tuple[Text, ...]) -> str:
        return f"UPDATE {table.sql} SET {self._assignments(table)} WHERE {key_filter(table, key)}"

    def _delete(self, table: Table, key: tuple[Text, ...]) -> str:
        return f"DELETE FROM {table.sql} WHERE {key_filter(table, key)}"

    def _move(self, table: Table, key: tuple[Text, ...], other: tuple[Text, ...], also_values: bool = False) -> str:
        assign = ", ".join(f"{quoted(name)} = {literal(value)}" for name, value in zip(table.key, other, strict=True))
        if also_values:
            assign += ", " + self._assignments(table)
        return (f"UPDATE {table.sql} SET {assign} WHERE {key_filter(table, key)} AND NOT EXISTS "
                f"(SELECT FROM {table.sql} WHERE {key_filter(table, other)})")

    def _range(self, table: Table, key: tuple[Text, ...]) -> str:
        """Several rows by one statement."""
        first = quoted(table.key[0])
        many = f"{first} IN (SELECT {first} FROM {table.sql} ORDER BY {first} LIMIT {self._random.randint(2, 12)})"
        if self._random.random() < 0.3:
            return f"DELETE FROM {table.sql} WHERE {many}"
        return f"UPDATE {table.sql} SET {self._assignments(table)} WHERE {many}"

    def _keyless(self, table: Table) -> str:
        """Duplicates are wanted, and changes that touch one or several of them."""
        draw = self._random
        kind = draw.random()
        few = "0123"
        small = {"a": draw.choice(few), "b": draw.choice(["x", "y", None])}
        values = {column.name: column.draw(draw) for column in table.columns}
        if kind < 0.5:
            if draw.random() < 0.7:
                values.update(small)
            row = row_literals(table, values)
            return f"INSERT INTO {table.into} SELECT {row} FROM generate_series(1, {draw.choice([1, 1, 2, 3])})"
        one = f"ctid = (SELECT ctid FROM {table.sql} WHERE a = {literal(draw.choice(few))} LIMIT 1)"
        several = f"a = {literal(draw.choice(few))} AND f IS NOT DISTINCT FROM {literal(values['f'])}"
        where = one if draw.random() < 0.7 else several
        if kind < 0.8:
            return f"UPDATE {table.sql} SET b = {literal(small['b'])}, f = {literal(values['f'])} WHERE {where}"
        return f"DELETE FROM {table.sql} WHERE {where}"

    def _flood(self) -> str:
        """Enough rows by one statement to pass the decoder's memory, in a key range that nobody else uses."""
        draw = self._random
        name = draw.choice(["by_int", "bag_full", "log_only", "full_with_key"])
        count = draw.randint(150, 700)
        first = self._fresh
        table = next(table for table in self._tables if table.name == name)
        if draw.random() < 0.25 and name == "by_int":
            return f"UPDATE {table.sql} SET a = {literal(ballast(draw))} || id WHERE id > 1000000"
        if draw.random() < 0.15 and table.key:
            return f"DELETE FROM {table.sql} WHERE id BETWEEN 1000000 AND {first - count // 2}"
        self._fresh += count
        text = literal(ballast(draw))
        row = {"by_int": f"g, {text} || g, g, now()", "bag_full": f"g, {text}, g / 3.0, NULL",
               "log_only": f"g, {text}, NULL", "full_with_key": f"g, {text}, NULL"}[name]
        return f"INSERT INTO {table.into} SELECT {row} FROM generate_series({first}, {first + count - 1}) g"

    def _many(self, count: int) -> str:
        table = self._keyed()
        rows = {}
        for _ in range(count):
            key = table.draw_key(self._random)
            rows[key] = f"({row_literals(table, self._values(table, key))})"
        if table.swaps:
            first = quoted(table.key[0])
            return (f"INSERT INTO {table.into} SELECT v.* FROM (VALUES {', '.join(rows.values())}) v(id, a) "
                    f"WHERE v.id::int4 NOT IN (SELECT {first} FROM {table.sql})").replace("v.*", "v.id::int4, v.a")
        return f"INSERT INTO {table.into} VALUES {', '.join(rows.values())} ON CONFLICT DO NOTHING"

    def _emit(self, transactional: bool) -> str:
        prefix = literal(self._random.choice(["app", "outbox", "it's"]))
        content = literal(self._random.choice(["", "hello", "{\"a\": 1}", ballast(self._random)]))
        return f"SELECT oracle.emit({str(transactional).lower()}, {prefix}, {content})"


def alterations(seed: int, tables: list[Table], seconds: float) -> list[Transaction]:
    """Each alteration as a transaction of its own, asked for several times, since locks may be refused."""
    draw = random.Random(f"alterations {seed}")
    turns = [(table, step) for table in tables for step in range(len(table.alterations))]
    # Those of one table stay in their order.
    order = [table for table, _ in turns]
    draw.shuffle(order)
    taken = dict.fromkeys((table.id for table in tables), 0)
    made = []
    pause = seconds / max(1, 3 * len(order))
    for table in order:
        step, taken[table.id] = taken[table.id], taken[table.id] + 1
        statement = (f"SELECT oracle.alter_next({literal(table.schema)}, {literal(table.name)}, {step}, {literal(table.alterations[step])})")
        for _ in range(3):
            made.append(Transaction("alteration", ["SELECT 1", statement], commits=draw.random() < 0.9, pauses={0: draw.uniform(0, 2 * pause)}))
    return made

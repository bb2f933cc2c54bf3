"""The tables of the workload: one shape each, and what their shape allows."""

import random
from dataclasses import dataclass, field, replace

from oracle.values import Text, draw_value, incompressible, toasted

ALL_TYPES = [
    "bool", "int2", "int4", "int8", "float4", "float8", "numeric(20,5)", "numeric(38,10)", "numeric", "text", "varchar",
    "varchar(20)", "char(5)", "\"char\"", "name", "bytea", "date", "time", "timetz", "timestamp", "timestamptz", "interval",
    "uuid", "json", "jsonb", "inet", "cidr", "macaddr", "macaddr8", "bit(3)", "varbit", "int4range", "numrange", "tstzrange",
    "int4multirange", "tsvector", "tsquery", "xml", "money", "point", "box", "path", "circle", "lseg", "polygon", "line", "oid",
    "pg_lsn", "xid8", "jsonpath", "oracle.mood", "oracle.pair", "oracle.positive", "oracle.amount", "int4[]", "text[]",
    "numeric(10,2)[]", "timestamptz[]", "uuid[]", "bool[]", "float8[]", "date[]", "jsonb[]", "bytea[]", "oracle.mood[]",
    "varchar(20)[]",
]
# The first major version of the server that has them.
YOUNG_TYPES = {"int4multirange": 14}
TYPES_DDL = [
    "CREATE TYPE oracle.mood AS ENUM ('sad', 'it''s \"ok\"', '', 'happy, very')",
    "CREATE TYPE oracle.pair AS (number int, word text)",
    "CREATE DOMAIN oracle.positive AS int CHECK (VALUE > 0)",
    "CREATE DOMAIN oracle.amount AS numeric(10,2)",
]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Column:
    """`refers_below`: its values are the first so many keys of another table."""

    name: str
    type: str
    toast: bool = False
    not_null: bool = False
    refers_below: int = 0

    def draw(self, draw: random.Random) -> Text:
        if self.toast:
            return None if draw.random() < 0.05 else toasted(draw)
        if not self.not_null and draw.random() < 0.12:
            return None
        if self.refers_below:
            return key_value(self.type, draw.randrange(self.refers_below))
        return draw_value(draw, self.type)


@dataclass(frozen=True)
class Table:
    """`key`: the columns that name a row for the workload; `identity`: what the server sends of an old row;
    `cascades`: a foreign key takes part, so that the record orders a transaction's changes per table only;
    `preload`: rows that are there before anything else; `definition`: how it is made, when not from its columns;
    `published` is off for a partitioned table: its partitions stand for themselves. A table that is altered has the columns of
    its last shape; `shapes` are all of them, `alterations` what leads from one to the next, `defaults` what rows show that are
    older than a column; one of its shapes is `grown`."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    schema: str = "public"
    identity: str = "default"
    constraints: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    key_space: int = 60
    insert_only: bool = False
    swaps: bool = False
    cascades: bool = False
    weight: int = 4
    preload: str = ""
    definition: str = ""
    published: bool = True
    shapes: tuple[tuple[Column, ...], ...] = ()
    alterations: tuple[str, ...] = ()
    defaults: tuple[Text, ...] = ()
    grown: bool = False
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(column.name for column in self.columns))

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def into(self) -> str:
        """The table with its columns, as INSERT names it."""
        return f"{self.sql} ({', '.join(quoted(name) for name in self.names)})"

    @property
    def id(self) -> tuple[str, str]:
        return (self.schema, self.name)

    @property
    def toast_columns(self) -> list[Column]:
        return [column for column in self.columns if column.toast]

    def positions(self, names: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(self.names.index(name) for name in names)

    def create(self) -> list[str]:
        first = self.shapes[0] if self.shapes else self.columns
        parts = [f"{quoted(c.name)} {c.type}{' NOT NULL' if c.not_null else ''}" for c in first]
        definition = self.definition or f"({', '.join([*parts, *self.constraints])})"
        statements = [f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}", f"CREATE TABLE {self.sql} {definition}"]
        statements += [f"ALTER TABLE {self.sql} ALTER {quoted(c.name)} SET STORAGE EXTERNAL" for c in self.toast_columns]
        statements += [statement.format(table=self.sql) for statement in self.after]
        if self.identity == "full":
            statements.append(f"ALTER TABLE {self.sql} REPLICA IDENTITY FULL")
        return statements

    def at(self, altered: int) -> "Table":
        """The table as it is after so many of its alterations."""
        if not self.shapes:
            return self
        return replace(self, columns=self.shapes[altered], shapes=(), alterations=(), defaults=(), grown=True)

    def completed(self, row: tuple[Text, ...] | None) -> tuple[Text, ...] | None:
        """A row of any shape as one of the last."""
        return row if row is None or len(row) >= len(self.defaults) else (*row, *self.defaults[len(row):])

    def draw_key(self, draw: random.Random) -> tuple[Text, ...]:
        """A key out of a small space, so that deletes, inserts and moves of one key meet."""
        number = draw.randrange(self.key_space)
        return tuple(key_value(self.column(name).type, number, place) for place, name in enumerate(self.key))

    def column(self, name: str) -> Column:
        return self.columns[self.names.index(name)]


KEY_TEXTS = ["a,b", "c", "a", "b,c", "", " ", "'", "\"", "\\", "NULL", "\u00e9", "e\u0301", "x" * 200]


def key_value(type_name: str, number: int, place: int = 0) -> str:
    """The key with this number; a composite key's later columns repeat, so that only all of them together are unique."""
    number = number if place == 0 else number % 7
    if type_name == "uuid":
        return f"{number:08x}-0000-4000-8000-{number * 7919:012x}"
    if type_name == "text":
        return KEY_TEXTS[number] if number < len(KEY_TEXTS) else f"key {number}"
    if type_name == "numeric":
        return str(number) if number % 2 else f"{number}.50"
    if type_name == "timestamptz":
        return f"2024-01-{1 + number % 28:02} 00:00:00+00"
    return str(number if number % 5 else -number)


def _column(name: str, type_name: str) -> Column:
    return Column(name, type_name)


def _key(name: str, type_name: str) -> Column:
    return Column(name, type_name, not_null=True)


def _types(offset: str, server: int) -> tuple[Column, ...]:
    return tuple(_column(f"{offset}{place:02}", name) for place, name in enumerate(ALL_TYPES)
                 if server >= YOUNG_TYPES.get(name, 0))


def barrier_table() -> Table:
    return Table("oracle_barrier", (_key("n", "int8"),), ("n",), constraints=("PRIMARY KEY (n)",), weight=0)


def all_tables(server: int) -> list[Table]:
    """`server`: its major version."""
    parted = (_key("id", "int4"), _column("a", "text"), _column("n", "int8"))
    return [
        Table("by_int", (_key("id", "int4"), _column("a", "text"), _column("n", "int8"), _column("at", "timestamptz")),
              ("id",), constraints=("PRIMARY KEY (id)",), weight=10, key_space=200),
        Table("by_uuid", (_column("v", "numeric(20,5)"), _key("id", "uuid"), _column("j", "jsonb")), ("id",),
              constraints=("PRIMARY KEY (id)",)),
        Table("by_text", (_key("id", "text"), _column("v", "float8"), _column("b", "bytea")), ("id",),
              constraints=("PRIMARY KEY (id)",)),
        Table("by_three", (_column("v", "text"), _key("k3", "numeric"), _key("k1", "int4"), _key("k2", "text")),
              ("k1", "k2", "k3"), constraints=("PRIMARY KEY (k1, k2, k3)",), key_space=80),
        Table("bag_full", (_column("a", "int4"), _column("b", "text"), _column("f", "float8"), _column("i", "interval")),
              identity="full", weight=5),
        Table("log_only", (_column("a", "int4"), _column("b", "text"), _column("at", "timestamp")), insert_only=True, weight=3),
        Table("full_with_key", (_key("id", "int4"), _column("a", "text"), Column("big", "text", toast=True)), ("id",),
              identity="full", constraints=("PRIMARY KEY (id)",)),
        Table("full_deferrable", (_key("id", "int4"), _column("a", "text")), ("id",), identity="full", swaps=True,
              constraints=("PRIMARY KEY (id) DEFERRABLE INITIALLY IMMEDIATE",)),
        Table("by_index", (_key("id", "int4"), _key("code", "text"), _column("a", "text"), Column("big", "text", toast=True)),
              ("code",), identity="index", constraints=("PRIMARY KEY (id, code)", "CONSTRAINT by_index_code UNIQUE (code)"),
              after=("ALTER TABLE {table} REPLICA IDENTITY USING INDEX by_index_code",)),
        Table("toasty", (_key("id", "int4"), Column("big1", "text", toast=True), _column("n", "int4"),
                         Column("big2", "text", toast=True)), ("id",), constraints=("PRIMARY KEY (id)",), weight=6),
        Table("every_type", (_key("id", "int4"), *_types("c", server)), ("id",), constraints=("PRIMARY KEY (id)",), weight=3,
              key_space=30),
        Table("every_type_full", (*_types("f", server), _key("id", "int4")), ("id",), identity="full",
              constraints=("PRIMARY KEY (id)",), weight=2, key_space=20),
        Table("Ünï\"cödé täble.", (_key("select", "int4"), _column("a\"b", "text"), _column("sp ace", "int4"),
                                    _column("\U0001f40d", "text"), _column("back\\slash", "text"), _column("100%", "float4")),
              ("select",), schema="Odd \"Schema\"", constraints=("PRIMARY KEY (\"select\")",)),
        Table("with_generated", (_key("id", "int4"), _column("a", "int4"), _column("b", "text")), ("id",), weight=2,
              definition="(id int4 PRIMARY KEY, a int4, g int8 GENERATED ALWAYS AS (a::int8 * 2) STORED, b text)"),
        Table("parted", parted, ("id",), published=False,
              definition="(id int4 PRIMARY KEY, a text, n int8) PARTITION BY RANGE (id)"),
        Table("parted_low", parted, ("id",), weight=0, definition="PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (20)"),
        Table("parted_high", (parted[2], parted[0], parted[1]), ("id",), weight=0,
              definition="(gone text, n int8, id int4 PRIMARY KEY, a text)",
              after=("ALTER TABLE {table} DROP COLUMN gone", "ALTER TABLE parted ATTACH PARTITION {table} DEFAULT")),
        Table("parent", (_key("id", "int4"), _column("v", "text")), ("id",), constraints=("PRIMARY KEY (id)",), weight=2,
              key_space=12, cascades=True),
        Table("child", (_key("id", "int4"), Column("parent", "int4", refers_below=12), _column("v", "text")), ("id",), weight=3, cascades=True,
              constraints=("PRIMARY KEY (id)",
                           "FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE")),
        Table("long_copy", (_key("id", "int4"), _column("a", "text"), _column("b", "text")), ("id",), weight=3, key_space=10000,
              constraints=("PRIMARY KEY (id)",),
              preload="SELECT g, repeat('row ' || g, 20), NULL FROM generate_series(0, 9999) g WHERE g % 5 <> 0"),
        barrier_table(),
    ]


def ballast(draw: random.Random) -> str:
    """Text that makes a few hundred rows pass logical_decoding_work_mem."""
    return incompressible(draw, draw.randint(100, 300))

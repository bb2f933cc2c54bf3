"""Tables whose columns change while the run lasts: what is altered is drawn from the seed, when it happens the server decides."""

import random
from dataclasses import dataclass

from oracle.tables import Column, Table, quoted
from oracle.values import Text, literal

# Columns that may be added, each with a default or none: all of types whose text is the same in JSON.
YOUNG = [("int4", "7"), ("int8", None), ("text", "it''s \"new\""), ("text", ""), ("text", None), ("varchar(4)", "abcd"), ("numeric(6,2)", "1.50"),
         ("date", "2024-02-29"), ("date", None)]
WIDER = {"varchar(4)": "varchar(40)", "varchar(40)": "text", "numeric(6,2)": "numeric(12,2)"}
# A value that each of those types takes.
WRITABLE = {"int4": "42", "int8": "-42", "text": "some text", "varchar(4)": "ab", "varchar(40)": "ab", "numeric(6,2)": "-3.25",
            "numeric(12,2)": "-3.25", "date": "1999-12-31"}
RECORDER = [
    "CREATE TABLE oracle.alterations (xid xid8 NOT NULL DEFAULT pg_current_xact_id(), schema text, name text, step int)",
    # Alterations come in their order: one whose turn it is not does nothing.
    """CREATE FUNCTION oracle.alter_next(of_schema text, of_name text, turn int, alteration text) RETURNS void LANGUAGE plpgsql AS $$
       BEGIN
         EXECUTE format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', of_schema, of_name);
         IF (SELECT count(*) FROM oracle.alterations WHERE schema = of_schema AND name = of_name) = turn THEN
           EXECUTE alteration;
           INSERT INTO oracle.alterations (schema, name, step) VALUES (of_schema, of_name, turn + 1);
         END IF;
       END $$""",
    # Writes one of the columns that the table has by now, the given share of the way through them.
    """CREATE FUNCTION oracle.write_some(of_table regclass, key int, share float, candidates jsonb) RETURNS void LANGUAGE plpgsql AS $$
       DECLARE chosen record;
       BEGIN
         EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', of_table);
         SELECT attname, format_type(atttypid, atttypmod) AS kind INTO chosen FROM pg_attribute WHERE attrelid = of_table AND attnum > 2
         ORDER BY attnum OFFSET floor(share * (SELECT relnatts - 2 FROM pg_class WHERE oid = of_table)) LIMIT 1;
         EXECUTE format('UPDATE %s SET %I = %L WHERE id = %s', of_table, chosen.attname, candidates->>chosen.kind, key);
       END $$""",
]
SPELLED = {"int4": "integer", "int8": "bigint", "varchar(4)": "character varying(4)", "varchar(40)": "character varying(40)"}


@dataclass(frozen=True)
class Shape:
    """The columns after so many alterations, and the one that led there."""

    columns: tuple[Column, ...]
    alteration: str = ""


def _shapes(draw: random.Random, sql: str, first: tuple[Column, ...], count: int) -> tuple[tuple[Shape, ...], tuple[Text, ...]]:
    """Nothing is dropped, so a column keeps its place. Answers also what each column shows in rows that are older."""
    shapes, defaults = [Shape(first)], [None] * len(first)
    for number in range(count):
        columns = list(shapes[-1].columns)
        kind = draw.choices(["add", "rename", "widen"], [5, 3, 3])[0]
        wide = [place for place in range(2, len(columns)) if columns[place].type in WIDER]
        if kind == "widen" and wide:
            place = draw.choice(wide)
            columns[place] = Column(columns[place].name, WIDER[columns[place].type])
            done = f"ALTER COLUMN {quoted(columns[place].name)} TYPE {columns[place].type}"
        elif kind == "rename":
            place = draw.randrange(2, len(columns))
            done = f"RENAME COLUMN {quoted(columns[place].name)} TO {quoted(f'renamed {number}')}"
            columns[place] = Column(f"renamed {number}", columns[place].type)
        else:
            type_name, default = draw.choice(YOUNG)
            columns.append(Column(f"added {number}", type_name))
            defaults.append(default.replace("''", "'") if default is not None else None)
            done = f"ADD COLUMN {quoted(f'added {number}')} {type_name}" + (f" DEFAULT '{default}'" if default is not None else "")
        shapes.append(Shape(tuple(columns), f"ALTER TABLE {sql} {done}"))
    return tuple(shapes), tuple(defaults)


def growing_tables(seed: int) -> list[Table]:
    """Two of them: one known by its key, one by whole rows."""
    draw = random.Random(f"growth {seed}")
    made = []
    for name, identity in (("grows", "default"), ("grows whole", "full")):
        first = (Column("id", "int4", not_null=True), Column("a", "text"), Column("v", "varchar(4)"), Column("n", "numeric(6,2)"))
        shapes, defaults = _shapes(draw, f"public.{quoted(name)}", first, draw.randint(4, 8))
        made.append(Table(name, shapes[-1].columns, ("id",), identity=identity, constraints=("PRIMARY KEY (id)",), weight=0, key_space=30,
                          shapes=tuple(shape.columns for shape in shapes), alterations=tuple(shape.alteration for shape in shapes[1:]),
                          defaults=defaults))
    return made


def growing_statement(draw: random.Random, table: Table) -> str:
    """One that holds whatever columns the table has by now."""
    key, other = draw.randrange(table.key_space), draw.randrange(table.key_space)
    text = literal(draw.choice(["x", "y", "", "it's"]))
    kind = draw.random()
    if kind < 0.35:
        return f"INSERT INTO {table.sql} (id, a) VALUES ({key}, {text}) ON CONFLICT DO NOTHING"
    if kind < 0.75:
        candidates = "{" + ", ".join(f'"{SPELLED.get(name, name)}": "{value}"' for name, value in WRITABLE.items()) + "}"
        return f"SELECT oracle.write_some({literal(table.sql)}::regclass, {key}, {min(draw.random(), 0.999):.3f}, {literal(candidates)})"
    if kind < 0.85:
        return f"UPDATE {table.sql} SET a = {text} WHERE id BETWEEN {key} AND {key + 4}"
    if kind < 0.93:
        return f"UPDATE {table.sql} SET id = {other} WHERE id = {key} AND NOT EXISTS (SELECT FROM {table.sql} WHERE id = {other})"
    return f"DELETE FROM {table.sql} WHERE id = {key}"

"""Records the truth inside the source: triggers write every row change to a table that is not published."""

from e2e.cluster import Cluster
from oracle.growth import RECORDER
from oracle.sessions import origin_of
from oracle.tables import TYPES_DDL, Table, quoted
from oracle.values import literal

# Logical messages are carried from version 14 on: before, pgoutput does not send them, and the truth leaves them out too.
# The canonical text of a value, whatever the session that writes it has set.
PINNED = ("SET DateStyle TO 'ISO, MDY' SET IntervalStyle TO postgres SET TimeZone TO 'UTC' SET extra_float_digits TO 3 "
          "SET bytea_output TO hex SET lc_monetary TO 'C' SET search_path TO pg_catalog")
PINNED_SESSION = ["SET DateStyle TO 'ISO, MDY'", "SET IntervalStyle TO postgres", "SET TimeZone TO 'UTC'",
                  "SET extra_float_digits TO 3", "SET bytea_output TO hex", "SET lc_monetary TO 'C'"]
SLOT = "oracle"
ORIGINS = 8

SCHEMA = [
    "CREATE SCHEMA oracle",
    *TYPES_DDL,
    """CREATE TABLE oracle.h (seq bigserial, xid xid8 NOT NULL DEFAULT pg_current_xact_id(), schema text, name text,
       op text NOT NULL, old text[], new text[])""",
    "CREATE INDEX ON oracle.h (xid)",
    f"""CREATE FUNCTION oracle.truncated() RETURNS trigger LANGUAGE plpgsql {PINNED} AS $$
        BEGIN
          INSERT INTO oracle.h (schema, name, op) VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, 'truncate');
          RETURN NULL;
        END $$""",
    f"""CREATE FUNCTION oracle.emit(transactional boolean, prefix text, content text) RETURNS void LANGUAGE plpgsql {PINNED} AS $$
        BEGIN
          PERFORM pg_logical_emit_message(transactional, prefix, content);
          IF transactional AND current_setting('server_version_num')::int >= 140000 THEN
            INSERT INTO oracle.h (op, new) VALUES ('message', ARRAY[prefix, content]);
          END IF;
        END $$""",
    *RECORDER,
]


def output(row: str, name: str) -> str:
    """The text of one column by its type's output function, and NULL only for NULL."""
    value = f"{row}.{quoted(name)}"
    return f"CASE num_nulls({value}) WHEN 0 THEN format('%s', {value}) END"


def grown_image(row: str) -> str:
    """The columns that the table has by now, in their order; the text that JSON has of them is that of their output functions."""
    return (f"(SELECT array_agg(to_jsonb({row})->>attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = TG_RELID AND attnum > 0)")


def record(table: Table) -> list[str]:
    """The statements that put a table under record. The trigger's name sorts before those of foreign keys."""
    images = {row: grown_image(row) if table.shapes else "ARRAY[" + ", ".join(output(row, name) for name in table.names) + "]::text[]" for row in ("OLD", "NEW")}
    function = f"oracle.{quoted('record ' + table.schema[:20] + ' ' + table.name[:30])}"
    place = f"{literal(table.schema)}, {literal(table.name)}"
    body = "\n".join([
        "BEGIN",
        "  IF TG_OP = 'INSERT' THEN",
        f"    INSERT INTO oracle.h (schema, name, op, new) VALUES ({place}, 'insert', {images['NEW']});",
        "  ELSIF TG_OP = 'UPDATE' THEN",
        f"    INSERT INTO oracle.h (schema, name, op, old, new) VALUES ({place}, 'update', {images['OLD']}, {images['NEW']});",
        "  ELSE",
        f"    INSERT INTO oracle.h (schema, name, op, old) VALUES ({place}, 'delete', {images['OLD']});",
        "  END IF;",
        "  RETURN NULL;",
        "END"])
    return [
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql {PINNED} AS $record$\n{body}\n$record$",
        f"CREATE TRIGGER \"A oracle\" AFTER INSERT OR UPDATE OR DELETE ON {table.sql} FOR EACH ROW EXECUTE FUNCTION {function}()",
        f"CREATE TRIGGER \"A oracle truncate\" BEFORE TRUNCATE ON {table.sql} FOR EACH STATEMENT EXECUTE FUNCTION oracle.truncated()",
        f"ALTER TABLE {table.sql} ENABLE ALWAYS TRIGGER \"A oracle\"",
        f"ALTER TABLE {table.sql} ENABLE ALWAYS TRIGGER \"A oracle truncate\"",
    ]


def select_live(table: Table) -> str:
    """Reads a table as it is now, in the same canonical text as the record."""
    return f"SELECT {', '.join(output('t', name) for name in table.names)} FROM {table.sql} t"


def install(cluster: Cluster, tables: list[Table]) -> None:
    """Makes the oracle's schema and slot, then the tables under record, with the rows that are there from the start."""
    cluster.execute(*SCHEMA)
    cluster.query(f"SELECT pg_create_logical_replication_slot('{SLOT}', 'test_decoding')")
    cluster.execute(*(f"SELECT pg_replication_origin_create('{origin_of(number)}')" for number in range(ORIGINS)))
    for table in tables:
        cluster.execute(*table.create(), *(record(table) if table.published else []))
    for table in tables:
        if table.preload:
            cluster.execute(f"INSERT INTO {table.into} {table.preload}")

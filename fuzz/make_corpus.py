#!/usr/bin/env python3
"""Writes seeds for the pgoutput and COPY fuzzers as a real server sends them.

    fuzz/make_corpus.py "host=/tmp/socket dbname=postgres user=postgres"

The server needs wal_level=logical, logical_decoding_work_mem=64kB and max_prepared_transactions > 0.
"""

import pathlib
import sys

import psycopg

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
SLOT = "corpus"

SCHEMA = """
drop publication if exists corpus; drop schema if exists corpus cascade; create schema corpus;
create type corpus.mood as enum ('sad', 'ok');
create domain corpus.price as numeric(10,2);
create table corpus.types (id bigint primary key, t text, n numeric, p corpus.price, m corpus.mood, b bytea,
  ts timestamptz, j jsonb, a text[], u uuid, r int4range);
create table corpus.full_identity (a int, b text);
alter table corpus.full_identity replica identity full;
create table corpus.big (id int primary key, v text);
create publication corpus for all tables with (publish_via_partition_root = false);
"""

CHANGES = [
    """insert into corpus.types values (1, E'tab\\t nul-free \\\\ text', 1.50, 9.99, 'ok', '\\x00ff', now(),
       '{"a": [1, null]}', '{a,NULL,"q x"}', gen_random_uuid(), '[1,5)'), (2, null, 'NaN', null, null, '', null, null,
       '{}', null, 'empty')""",
    "update corpus.types set id = 3 where id = 1",
    "update corpus.types set t = 'other' where id = 3",
    "delete from corpus.types where id = 2",
    "insert into corpus.full_identity values (1, 'x'), (1, 'x'), (null, null)",
    "update corpus.full_identity set b = 'y' where a = 1",
    "delete from corpus.full_identity where a = 1",
    "insert into corpus.big select 1, string_agg(md5(i::text), '') from generate_series(1, 300) i",
    "update corpus.big set id = 2",
    "truncate corpus.types, corpus.full_identity restart identity",
    "select pg_logical_emit_message(true, 'prefix', 'content')",
    "select pg_logical_emit_message(false, 'prefix', 'content')",
]


def write(kind, name, data):
    folder = CORPUS / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def messages(connection, streaming):
    options = ["proto_version", "3", "publication_names", "corpus", "messages", "true", "two_phase", "true"]
    if streaming:
        options += ["streaming", "true"]
    rows = connection.execute(
        "select data from pg_logical_slot_get_binary_changes(%s, null, null, variadic %s)", (SLOT, options))
    return [bytes(row[0]) for row in rows]


def save_messages(connection, streaming):
    seen = {}
    for data in messages(connection, streaming):
        kind = chr(data[0])
        key = (kind, len(data) // 64)
        if key in seen or len(data) > 4096:
            continue
        seen[key] = True
        name = f"{'streamed_' if streaming else ''}{'upper' if kind.isupper() else 'lower'}_{kind}_{len(seen)}"
        write("pgoutput", name, data)


def main():
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput', false, true)", (SLOT,))
        try:
            for statement in CHANGES:
                connection.execute(statement)
            for name, end in (("one", "commit prepared"), ("two", "rollback prepared")):
                connection.execute("begin")
                connection.execute("insert into corpus.full_identity values (7, 'prepared')")
                connection.execute(f"prepare transaction '{name}'")
                connection.execute(f"{end} '{name}'")
            save_messages(connection, streaming=False)
            connection.execute("begin")
            connection.execute("insert into corpus.big select i + 10, repeat('x', 40) from generate_series(1, 2000) i")
            connection.execute("savepoint a")
            connection.execute("insert into corpus.big select i + 10000, repeat('y', 40) from generate_series(1, 2000) i")
            connection.execute("rollback to a")
            connection.execute("insert into corpus.big select i + 20000, repeat('z', 40) from generate_series(1, 2000) i")
            connection.execute("commit")
            save_messages(connection, streaming=True)
            connection.execute(CHANGES[0])
            for table in ("types", "full_identity"):
                with connection.cursor().copy(f"copy corpus.{table} to stdout") as copy:
                    write("copy", table, b"".join(bytes(part) for part in copy))
        finally:
            connection.execute("select pg_drop_replication_slot(%s)", (SLOT,))


if __name__ == "__main__":
    main()

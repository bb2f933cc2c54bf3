"""One slot for two tables, beside two slots with one table each: is it worth decoding a database twice?"""

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import programs
from figures import Sizes
from server import Server

SLOTS = {"one slot": ["both"], "two slots": ["first", "second"]}
PUBLICATIONS = {"both": "events, events2", "first": "events", "second": "events2"}
PER_TABLE_AND_TRANSACTION = 5000


def _load(server: Server, rows: int) -> str:
    """Half of the rows of every transaction in each table."""
    transactions = rows // (2 * PER_TABLE_AND_TRANSACTION)
    server.sql(f"do $$ declare lo bigint; begin for t in 0..{transactions - 1} loop "
               f"lo := t * {PER_TABLE_AND_TRANSACTION} + 1; "
               f"perform insert_rows('events', lo, lo + {PER_TABLE_AND_TRANSACTION - 1}); "
               f"insert into events2 select * from events where id between lo and lo + {PER_TABLE_AND_TRANSACTION - 1}; "
               f"commit; end loop; end $$")
    return str(server.value("select pg_current_wal_insert_lsn()::text"))


def compare(server: Server, sizes: Sizes) -> None:
    server.empty()
    server.sql("create table events2 (like events including all)")
    for name, tables in PUBLICATIONS.items():
        server.sql(f"create publication slots_{name} for table {tables}")
        server.make_slot(name)
    rows = sizes.stream_rows
    until = _load(server, rows)
    server.wait_for_sessions()
    rates: dict[str, list[float]] = {name: [] for name in SLOTS}
    costs: dict[str, list[float]] = {name: [] for name in SLOTS}
    for _ in range(sizes.repeats):
        for name, slots in SLOTS.items():
            before = server.sessions_cpu_seconds()
            started = time.monotonic()
            with ThreadPoolExecutor() as readers:
                list(readers.map(lambda slot: programs.ceiling(server, slot, until, publication=f"slots_{slot}"), slots))
            rates[name].append(rows / (time.monotonic() - started))
            server.wait_for_sessions()
            costs[name].append(1e6 * (server.sessions_cpu_seconds() - before) / rows)
    server.drop_slots()
    server.sql("drop table events2")
    for name in SLOTS:
        print(f"{name:10} {statistics.median(rates[name]) / 1000:6.0f}k rows/s   walsenders "
              f"{statistics.median(costs[name]):5.2f} us/row", file=sys.stderr, flush=True)

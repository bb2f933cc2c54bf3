"""The targets beside the DuckDB file: one log feeds all of them, and at its end all of them have to be the source."""

import contextlib
from collections import Counter
from dataclasses import replace

from e2e.clickhouse_server import ClickhouseServer
from e2e.redis_server import RedisServer
from oracle import clickhouse_target, redis_target
from oracle.checker import Findings, compare_rows
from oracle.duckdb_target import canonical_source_rows
from oracle.tables import Table
from oracle.truth import Truth, format_lsn


class OtherTargets:
    """Redis always, ClickHouse, which is large, with every third seed. They keep the last state of each row."""

    def __init__(self, seed: int, tables: list[Table], stack: contextlib.ExitStack):
        self.left_out = [table for table in tables if not redis_target.keeps(table)]
        # Its files outlive a killed server, synced or not.
        self.redis = RedisServer("--appendfsync", "no")
        stack.callback(self.redis.close)
        self._clickhouse: ClickhouseServer | None = None
        if seed % 3 == 0:
            self._clickhouse = ClickhouseServer()
            stack.callback(self._clickhouse.close)
            clickhouse_target.make(self._clickhouse, tables)

    def sinks(self) -> str:
        """Their part of the pipeline file."""
        lines = [f'  cache: {{redis: {{url: "{self.redis.url}"}}}}']
        if self._clickhouse is not None:
            lines.append(f'  analytics: {{clickhouse: {{url: "{self._clickhouse.url(clickhouse_target.DATABASE)}", table: "{{schema}}.{{table}}"}}}}')
        return "\n".join(lines) + "\n"

    def compare(self, findings: Findings, truth: Truth, tables: list[Table], lsn: int) -> None:
        """`tables`: in the shape that the stream has shown by then. REQUIRES: the targets have all up to that position."""
        state, where = truth.state_at(lsn), f"at {format_lsn(lsn)}"
        for table in filter(redis_target.keeps, tables):
            expected = canonical_source_rows(table, state.of(table.id))
            compare_rows(findings, "redis", table, expected, redis_target.rows_of(self.redis, table), where)
            if self._clickhouse is None:
                continue
            part = replace(table, columns=clickhouse_target.compared(table))
            places = table.positions(part.names)
            projected: Counter = Counter()
            for row, count in expected.items():
                projected[tuple(row[place] for place in places)] += count
            compare_rows(findings, "clickhouse", part, projected, clickhouse_target.rows_of(self._clickhouse, table), where)

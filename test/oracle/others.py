"""The targets beside the DuckDB file: one log feeds all of them, and at its end all of them have to be the source."""

import contextlib
from collections import Counter
from collections.abc import Callable

from e2e.clickhouse_server import ClickhouseServer
from e2e.redis_server import RedisServer
from oracle import clickhouse_target, redis_target
from oracle.checker import Findings, compare_rows
from oracle.duckdb_target import TargetWrong, canonical_source_rows
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
        """REQUIRES: the targets have all up to that position. Each may have a table in a shape of its own by then."""
        state, where = truth.state_at(lsn), f"at {format_lsn(lsn)}"
        for table in filter(redis_target.keeps, tables):
            shapes = truth.shapes(table, lsn)
            rows = state.of(table.id)
            self._compare(findings, "redis", shapes, rows, lambda shape: redis_target.rows_of(self.redis, shape), where)
            if self._clickhouse is not None:
                self._compare(findings, "clickhouse", shapes, rows, lambda shape: clickhouse_target.rows_of(self._clickhouse, shape), where,
                              clickhouse_target.compared)

    @staticmethod
    def _compare(findings: Findings, target: str, shapes: list[Table], rows: Counter, read: Callable[[Table], Counter], where: str,
                 part_of: Callable[[Table], Table] = lambda shape: shape) -> None:
        """The rows are those of one of the shapes, or of that part of its columns; else they are shown beside the youngest
        that can be read."""
        wrongs, readable = [], []
        for shape in shapes:
            try:
                found = read(shape)
            except TargetWrong as wrong:
                wrongs.append(str(wrong))
                continue
            part = part_of(shape)
            places = shape.positions(part.names)
            expected: Counter = Counter()
            for row, count in canonical_source_rows(shape, rows).items():
                expected[tuple(row[place] for place in places)] += count
            readable.append((part, expected, found))
        if not readable:
            findings.fail(target, wrongs[0])
            return
        chosen = next((one for one in readable if one[1] == one[2]), readable[0])
        compare_rows(findings, target, *chosen, where)

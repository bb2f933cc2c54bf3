"""Our clock is hours off the server's, and is set while we run."""

import time
from pathlib import Path

from e2e.duckdb_file import rows
from e2e.shop import Shop

HOUR = 3600
YEAR_1970 = -int(time.time()) + HOUR


def test_a_clock_that_is_set_bends_neither_lag_nor_history_and_ends_no_wait(mirror: Shop, clock: tuple[dict[str, str], Path]):
    environment, shift = clock
    shift.write_text(str(-2 * HOUR))
    mirror.start("--history", **environment)
    mirror.wait()
    for seconds in (2 * HOUR, YEAR_1970, 24 * HOUR, -HOUR, 0):
        shift.write_text(str(seconds))
        mirror.change()
        began = time.monotonic()
        mirror.wait()
        assert time.monotonic() - began < 20
        mirror.cluster.execute("UPDATE orders SET total = total + 1 WHERE id = 3", database=mirror.database)
        status = mirror.tailrace.status()
        lags = [status["source"]["lag_seconds"], *(sink["lag_seconds"] for sink in status["sinks"])]
        assert all(0 <= lag < 20 for lag in lags), (seconds, lags)
        assert status["problems"] == [] and mirror.process.code is None
    mirror.wait()
    mirror.stop()
    mirror.assert_equal()
    # The times of versions are the server's.
    assert rows(mirror.target, "SELECT count(*) FROM public.orders__history WHERE effective_from > now() + INTERVAL 1 HOUR "
                               "OR effective_from < now() - INTERVAL 1 HOUR OR effective_to < effective_from") == [(0,)]

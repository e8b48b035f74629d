"""The monitor as a whole in a few numbers, for the head of the page and for metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from eddycast.service.monitor.board import Board
from eddycast.service.monitor.follower import Progress
from eddycast.service.monitor.table import Table


def summary(
    board: Board, table: Table, progress: Progress, dead_letters: int, now_ms: int
) -> dict[str, Any]:
    """Counts and states of this moment."""
    silent = table.silent(now_ms, board.settings.silent_after)
    known = table.errors["day"][np.isfinite(table.errors["day"])]
    return {
        "now": now_ms,
        "streams": len(table),
        "silent": int(silent.sum()),
        "states": {
            "cold": int((~table.warm & ~silent).sum()),
            "warm": int((table.warm & ~silent).sum()),
            "silent": int(silent.sum()),
        },
        "anomalies": board.alarms.total,
        "dead_letters": dead_letters,
        "cold": int((~table.warm).sum()),
        "records": board.records,
        "unreadable": board.unreadable,
        "repeated": board.repeats,
        "beyond_max_streams": board.beyond,
        "lag": progress.lag,
        "caught_up": progress.caught_up,
        "trouble": progress.trouble,
        "newest_time": board.newest_time,
        "models": board.models[-8:],
        "bytes_per_stream": board.row_bytes,
        "median_scaled_error": float(np.median(known)) if len(known) else None,
    }

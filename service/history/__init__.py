"""History: files of observations as streams, for `train`, `backtest`, `replay` and `simulate`.

A table is CSV, JSON lines or Parquet, *wide* (one time column, one numeric column per stream) or
*long* (columns for the stream's name, the time, and one or more values). `docs/data.md` lists
everything that is detected, everything that is refused, and the options that settle the rest.
"""

from eddycast.service.history.history import History, is_missing, stream_history
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.reader import read_for_bundle, read_history

__all__ = [
    "History",
    "ReadOptions",
    "is_missing",
    "read_for_bundle",
    "read_history",
    "stream_history",
]

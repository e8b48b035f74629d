"""History: files of observations as streams. What the trainer, the backtest, `replay` and `simulate` read.

A table is CSV, JSON lines or Parquet, *wide* (one time column, one numeric column a stream) or *long* (columns that
name the stream, a time, one or more values). `docs/data.md` has everything that is guessed, refused and can be told.
"""

from service.history.history import History, is_missing, stream_history
from service.history.options import ReadOptions
from service.history.reader import read_history

__all__ = ["History", "ReadOptions", "is_missing", "read_history", "stream_history"]

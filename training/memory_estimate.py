"""The memory that a training will take, estimated before it begins.

Measured with `python -m tests.bench.training`: a fixed part, and a part for each cell of the panel
(a reading of a channel of a stream, missing ones included). A recurrent family holds the unrolled
memory of all streams, the others that of some streams at a time.
"""

from __future__ import annotations

from eddycast.service.errors import DataError
from eddycast.service.state.room import memory_limit
from eddycast.training.data.panel import Panel
from eddycast.training.recipe import Recipe

FIXED = 900_000_000  # bytes: torch, and what is held of some streams at a time
CELL, CELL_RECURRENT = 200, 800  # bytes
POINT_FAMILIES = ("naive", "seasonal_naive", "ar")
NEAR = 0.6  # of the limit: a remark


def estimated_bytes(cells: int, family: str) -> int:
    """The peak of a training on a panel of so many cells."""
    return FIXED + cells * (CELL if family in POINT_FAMILIES else CELL_RECURRENT)


def memory_note(panel: Panel, recipe: Recipe, limit: int | None = None) -> str:
    """A remark if a training comes near the memory that this process may use (`limit` bytes,
    default: `memory_limit()`), else empty. Raises DataError if it will not fit."""
    limit, cells = limit or memory_limit(), panel.values.size
    needed, rows = estimated_bytes(cells, recipe.family), f"{len(panel):,} rows"
    about = (
        f"{len(panel.streams):,} series of {rows} take about {_gigabytes(needed)} to train "
        f"{recipe.family}, this process may use {_gigabytes(limit)}"
    )
    if needed <= limit:
        return about if needed > NEAR * limit else ""
    lighter = estimated_bytes(cells, "ar")
    other = f"--family ar (about {_gigabytes(lighter)}), " if lighter <= limit else ""
    raise DataError(about, f"{other}fewer streams (--columns), a longer --interval, or more memory")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"

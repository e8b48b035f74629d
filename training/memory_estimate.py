"""The memory that a training will take, estimated before it begins.

Measured with `python -m tests.bench.training`: a fixed part, a part for each cell whose memory is
unrolled (a reading of a channel of a stream, missing ones included), and a part for each cell of
the panel. A recurrent family unrolls all streams together, the others some at a time.
"""

from __future__ import annotations

from eddycast.service.errors import DataError
from eddycast.service.state.room import memory_limit
from eddycast.training.data.panel import Panel
from eddycast.training.fitting.memories import CELLS, LEAST
from eddycast.training.recipe import Recipe

FIXED = 650_000_000  # bytes: torch and the other libraries
CELL, UNROLLED = 150, 500  # bytes of a cell
POINT_FAMILIES = ("naive", "seasonal_naive", "ar")
NEAR = 0.6  # of the limit: a remark


def estimated_bytes(panel: Panel, family: str) -> int:
    """The peak of a training of a family on a panel."""
    cells, unrolled = panel.values.size, panel.values.size
    if family in POINT_FAMILIES:
        unrolled = min(cells, max(CELLS, LEAST * panel.width * len(panel)))
    return FIXED + cells * CELL + unrolled * UNROLLED


def memory_note(panel: Panel, recipe: Recipe, limit: int | None = None) -> str:
    """A remark if a training comes near the memory that this process may use (`limit` bytes,
    default: `memory_limit()`), else empty. Raises DataError if it will not fit."""
    limit, needed = limit or memory_limit(), estimated_bytes(panel, recipe.family)
    about = (
        f"{len(panel.streams):,} series of {len(panel):,} rows take about {_gigabytes(needed)} "
        f"to train {recipe.family}, this process may use {_gigabytes(limit)}"
    )
    if needed <= limit:
        return about if needed > NEAR * limit else ""
    lighter = estimated_bytes(panel, "ar")
    other = f"--family ar (about {_gigabytes(lighter)}), " if lighter <= limit else ""
    raise DataError(about, f"{other}fewer streams (--columns), a longer --interval, or more memory")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"

"""Cells that hold several figures, as NOAA's hourly records write them: value, quality and more,
`"+0123,1"`. Imports polars; use it through `eddycast.service.history`."""

from __future__ import annotations

import polars as pl

#: By column: the pattern of its cells; names, divisors and codes for a missing value of its groups,
#: in this order. The last group is the quality.
_FIELDS = {
    "TMP": (r"^([+-]\d{4}),(\w)$", (("TMP", 10, "+9999"),)),
    "DEW": (r"^([+-]\d{4}),(\w)$", (("DEW", 10, "+9999"),)),
    "SLP": (r"^(\d{5}),(\w)$", (("SLP", 10, "99999"),)),
    "WND": (
        r"^(\d{3}),\w,\w,(\d{4}),(\w)$",
        (("WND direction", 1, "999"), ("WND speed", 10, "9999")),
    ),
    "VIS": (r"^(\d{6}),(\w),\w,\w$", (("VIS", 1, "999999"),)),
    "CIG": (r"^(\d{5}),(\w),\w,\w$", (("CIG", 1, "99999"),)),
}
#: Qualities of erroneous values.
_ERRONEOUS = ("3", "7")


def unpacked(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """(the table with a column for each figure of such cells, in its unit; notes)."""
    found = [
        name
        for name, (pattern, _) in _FIELDS.items()
        if name in frame.columns
        and frame[name].dtype == pl.String
        and frame[name].count()
        and frame[name].drop_nulls().str.contains(pattern).all()
    ]
    if not found:
        return frame, []
    columns = [
        series
        for name in frame.columns
        for series in (_figures(frame[name]) if name in found else [frame[name]])
    ]
    note = f"cells of value and quality: read the values of {', '.join(found)}"
    return pl.DataFrame(columns), [f"{note}; erroneous ones are missing values"]


def _figures(cells: pl.Series) -> list[pl.Series]:
    pattern, names = _FIELDS[cells.name]
    groups = cells.str.extract_groups(pattern).struct.unnest().get_columns()
    wrong = groups[-1].is_in(_ERRONEOUS).fill_null(False)
    columns = []
    for figures, (name, divisor, missing) in zip(groups, names, strict=False):
        held = figures.set((figures == missing).fill_null(True) | wrong, None)
        values = held.cast(pl.Float64).to_numpy() / divisor
        columns.append(pl.Series(name, values, nan_to_null=True))
    return columns

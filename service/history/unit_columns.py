"""Units of readings in a column of their own. Imports polars; use it through
`eddycast.service.history`."""

from __future__ import annotations

import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history import column_words
from eddycast.service.history.layout import Layout
from eddycast.service.history.remarks import Cells

#: Maximum share of a stream's readings in another unit than most.
_OTHER = 0.01


def check_units(cells: Cells, layout: Layout, streams: pl.Series | None) -> None:
    """Raises DataError for a stream whose readings are in several units, by a column of units;
    `streams` [rows] are the streams of a long table."""
    for name in cells.frame.columns:
        if not column_words.unit_word(name) or name in layout.ids:
            continue
        units = cells.frame[name]
        if units.dtype != pl.String or units.drop_nulls().n_unique() < 2:
            continue
        alone = pl.Series([cells.table.name]).new_from_index(0, len(units))
        stream = alone if streams is None else streams
        table = pl.select(stream=stream.alias("stream"), unit=units.str.strip_chars()).drop_nulls()
        counts = table.group_by("stream", "unit", maintain_order=True).len()
        for (one,), each in counts.group_by("stream", maintain_order=True):
            known = each.sort("len", descending=True)
            rows = known["len"].to_list()
            if sum(rows[1:]) > _OTHER * sum(rows):
                first, second = known["unit"][:2]
                raise DataError(
                    f"column {name!r}: readings of {one!r} are in {first!r} and {second!r}",
                    f"use --stream-column {','.join((*layout.ids, name))} for a stream of each "
                    "unit, or convert them to one",
                )

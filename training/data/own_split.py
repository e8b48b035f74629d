"""Streams that were recorded at different times, each split by its own length.

A cut in time leaves such streams whole in one part. Here every stream is cut at the same share of
its own length, and moved along the grid so that the cuts of all lie in one row: what was written
for a panel with one cut holds for these as well. A stream moves by whole seasons, since the phase
of a reading is learned; its cut gives way by less than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eddycast.service.errors import DataError
from eddycast.service.records import Float64, Int64
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split

CALENDAR, STREAM = "calendar", "stream"
LEAST = 0.5  # share of the streams that must have readings in all parts of the calendar


def choose_split(text: str | None, by: str | None, panel: Panel) -> tuple[Split, str]:
    """The cut of a panel, and a remark on it where some stream lacks a part of the calendar.

    Shares of the calendar, unless most streams lack a part of it; then of each stream's own length.
    `by` (calendar or stream) is the user's choice. Raises DataError as `Split.parse` does, for
    another `by`, and for rows by stream.
    """
    if by not in (None, CALENDAR, STREAM):
        raise DataError(f"--split-by {by!r} is unknown", f"give {CALENDAR} or {STREAM}")
    split = Split.parse(text, len(panel))
    rows = text is not None and float(text.split(",")[0]) >= 1
    if by == STREAM and rows:
        raise DataError(
            f"--split {text!r} counts rows, --split-by stream needs shares", "for example .7,.1,.2"
        )
    known = [~np.isnan(part).all(axis=1) for part in _parts(panel, split)]
    seen = ~np.isnan(panel.fed).all(axis=1)
    whole, streams = int(np.logical_and.reduce(known).sum()), int(seen.sum())
    if by == STREAM or (by is None and not rows and whole < LEAST * streams):
        longest = int((_ends(panel)[1] - _ends(panel)[0]).max())
        return replace(Split.parse(text, longest), by_stream=True), _remark(whole, streams)
    if whole == streams:
        return split, ""
    cuts = (_day(panel, split.train_end), _day(panel, split.validation_end))
    return split, (
        f"{streams - whole:,} of {streams:,} series lack readings in a part of the split: "
        f"all are cut at the same times, {cuts[0]} and {cuts[1]} (--split-by stream: each by its "
        "own length)"
    )


@dataclass(frozen=True)
class OwnCuts:
    """Rows of a panel, by series: of its first reading, the end of its train part, the end of its
    validation part, and behind its last reading, [streams] each. All of a series without a reading
    are 0."""

    start: Int64
    train_end: Int64
    validation_end: Int64
    end: Int64

    @classmethod
    def of(cls, panel: Panel, split: Split) -> OwnCuts:
        """The cuts of every series at the shares of a split by stream."""
        start, end = _ends(panel)
        train_end, validation_end = (
            start + np.rint((end - start) * (cut / split.end)).astype(np.int64)
            for cut in (split.train_end, split.validation_end)
        )
        return cls(start, train_end, validation_end, end)


def to_fit_on(panel: Panel, split: Split, period: int = 1) -> tuple[Panel, Split]:
    """The train and validation parts of all series, their borders in one row, and its cut; without
    readings of a hold-out. Series move by whole periods of so many rows; a train part loses less
    than one to its validation part. A split of the calendar is returned as it is."""
    if not split.by_stream:
        return panel, split
    cuts = OwnCuts.of(panel, split)
    common = int(cuts.train_end.max())
    moves = -(-(common - cuts.train_end) // period) * period
    placed, base = _moved(panel, cuts.start, cuts.validation_end, moves)
    return placed, Split(common - base, len(placed), len(placed))


def to_score_on(panel: Panel, split: Split, period: int = 1) -> tuple[Panel, Split]:
    """A panel whose hold-outs all begin in one row, and the split at that row. Series move by whole
    periods, so a hold-out loses less than one period to its validation part. A split by calendar
    is returned as it is."""
    if not split.by_stream:
        return panel, split
    cuts = OwnCuts.of(panel, split)
    common = int(cuts.validation_end.max())
    moves = (common - cuts.validation_end) // period * period
    placed, base = _moved(panel, cuts.start, cuts.end, moves)
    validation_end = common - base
    train_end = max(1, validation_end - (split.validation_end - split.train_end))
    return placed, Split(train_end, validation_end, len(placed))


def unmoved(
    mask: NDArray[np.bool_], series: Sequence[int], moved: Panel, panel: Panel
) -> NDArray[np.bool_]:
    """A mask [rows, n] over n `series` of a panel that was `moved` from `panel`, at the rows of
    that one; the mask itself if nothing was moved."""
    if moved is panel:
        return mask
    out = np.zeros((len(panel), mask.shape[1]), np.bool_)
    there, here = _ends(moved)[0][series], _ends(panel)[0][series]
    for place, (first, start) in enumerate(zip(there, here, strict=True)):
        own = mask[first : first + len(panel) - start, place]
        out[start : start + len(own), place] = own
    return out


def times_of(panel: Panel, split: Split) -> tuple[int, int, int]:
    """The last stamp before the hold-out, the first in it and the last in it, in ms. With a split
    by stream these belong to different streams, and the second may precede the first."""
    before, start, end = split.validation_end - 1, split.validation_end, split.end - 1
    if split.by_stream:
        cuts = OwnCuts.of(panel, split)
        used = cuts.end > cuts.start
        ends = cuts.validation_end[used]
        before, start, end = int(ends.max()) - 1, int(ends.min()), int(cuts.end.max()) - 1
    return int(panel.timestamps[before]), int(panel.timestamps[start]), int(panel.timestamps[end])


def _moved(panel: Panel, start: Int64, stop: Int64, moves: Int64) -> tuple[Panel, int]:
    """The rows `start` to `stop` of every series, `moves` rows later, on a grid as long as they
    need, and the row of the panel at which that grid begins."""
    used = stop > start
    base = int((start + moves)[used].min())
    length = int((stop + moves)[used].max()) - base

    def placed(values: Float64) -> Float64:
        out = np.full((len(values), length), np.nan)
        for row, series, first, last, move in zip(out, values, start, stop, moves, strict=True):
            row[first + move - base : last + move - base] = series[first:last]
        return out

    stamps = panel.timestamps[0] + (base + np.arange(length)) * panel.interval_ms
    readings = None if panel.readings is None else placed(panel.readings)
    return replace(panel, timestamps=stamps, values=placed(panel.values), readings=readings), base


def _ends(panel: Panel) -> tuple[Int64, Int64]:
    """The row of the first reading of every series and the one behind its last, [streams] each; the
    channels of a stream have theirs in common."""
    seen = ~np.isnan(panel.fed)
    grouped = seen.reshape(-1, panel.width, len(panel))
    known: NDArray[np.bool_] = np.logical_or.reduce(grouped, axis=1)
    used = np.logical_or.reduce(known, axis=1)
    start = np.where(used, np.argmax(known, axis=1), 0)
    end = np.where(used, len(panel) - np.argmax(known[:, ::-1], axis=1), 0)
    return np.repeat(start, panel.width), np.repeat(end, panel.width)


def _parts(panel: Panel, split: Split) -> list[Float64]:
    return [
        panel.fed[:, first:last]
        for first, last in (
            (0, split.train_end),
            (split.train_end, split.validation_end),
            (split.validation_end, split.end),
        )
    ]


def _remark(whole: int, streams: int) -> str:
    return (
        f"{whole:,} of {streams:,} series have readings in all parts of the calendar: each is "
        "split by its own length (--split-by calendar: all at the same times)"
    )


def _day(panel: Panel, row: int) -> str:
    return str(np.datetime64(int(panel.timestamps[row]), "ms").astype("M8[s]"))

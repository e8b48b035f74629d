"""Readings finer than a model's grid, gathered in its slots as a service with `time.aggregate`
gathers them: by the same code, so that training sees the values that are served."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.durations import format_duration, parse_duration
from eddycast.service.errors import DataError
from eddycast.service.history.history import UNNAMED, History
from eddycast.service.humanize import many
from eddycast.service.processing.counting import with_counts
from eddycast.service.processing.slot_columns import gather
from eddycast.service.processing.slot_rows import Readings, Rows
from eddycast.service.processing.slots import UNSEEN, Grid, nothing_gathered, values_by
from eddycast.service.records import Float64, Int64
from eddycast.service.sealing.manifest_types import Aggregate


def check_aggregate(aggregate: Aggregate | None, kind: str, count: str | None = None) -> None:
    """Raises DataError for an aggregate that makes no sense of a counter's readings, and for a
    channel of counts without an aggregate."""
    if count is not None and aggregate in (None, "first"):
        raise DataError(
            f"{count} is the number of readings of each interval, which are not gathered",
            "name an aggregate, as --aggregate mean",
        )
    if kind == "counter" and aggregate in ("mean", "sum"):
        raise DataError(
            f"--aggregate {aggregate}: readings of a counter are not added", "use --aggregate last"
        )


def as_trained(history: History, manifest: Manifest, aggregate: Aggregate | None) -> History:
    """A history on a bundle's grid: gathered as `aggregate` asks for, or else as that was which the
    bundle was trained on. Raises DataError."""
    trained = manifest.training.aggregate if manifest.training else None
    chosen = aggregate or trained
    check_aggregate(chosen, manifest.kind, manifest.count_channel)
    return aggregated(history, manifest.interval_ms, chosen, manifest.count_channel)


def as_asked(
    history: History, aggregate: Aggregate | None, interval: str | None, count: str | None = None
) -> History:
    """A history gathered in slots of `interval`; without an aggregate as it is. Raises DataError if
    one is given without the other."""
    if aggregate is None and interval is None:
        return history
    if interval is None:
        raise DataError(
            f"--aggregate {aggregate} has no interval", "name it: --aggregate mean --interval 1m"
        )
    if aggregate is None:
        raise DataError(
            f"--interval {interval} is of --aggregate", "name both: --aggregate mean --interval 1m"
        )
    return aggregated(history, parse_duration(interval), aggregate, count)


def aggregated(
    history: History, interval_ms: int, aggregate: Aggregate | None, count: str | None = None
) -> History:
    """A history with one reading for each slot, at its start; None and "first" change nothing. With
    `count` the number of readings of each slot is one more channel, of that name.

    The last slot of a stream is left out unless it is over: by the end of the whole history, or
    because the stream's next reading would be after it.
    """
    if aggregate in (None, "first") or not len(history):
        return history
    value_of, grid = values_by(aggregate, counts=count is not None), Grid(interval_ms, 0)
    history = history if count is None else _with_counts(history, count)
    end_ms, stamps, values, open_slots = history.end_ms, [], [], 0
    for when, what in zip(history.timestamps, history.values, strict=True):
        slots, figures = _slots(when, what, grid)
        if len(slots) and not _is_over(when, int(slots[-1] + 1) * interval_ms, end_ms):
            slots, figures, open_slots = slots[:-1], figures[:-1], open_slots + 1
        stamps.append(slots * interval_ms)
        values.append(value_of(figures).reshape(-1, *what.shape[1:]))
    made = replace(history, timestamps=stamps, values=values)
    if not len(made):
        raise DataError(
            f"no slot of {format_duration(interval_ms)} is over", "give a longer history"
        )
    note = (
        f"readings are gathered ({aggregate}): {many(len(history), 'reading')} become "
        f"{len(made):,} of {format_duration(interval_ms)}"
    )
    if open_slots:
        note += f"; the last slot of {many(open_slots, 'stream')}, which is not over, is left out"
    return replace(made, notes=[*history.notes, note])


def _with_counts(history: History, count: str) -> History:
    """A history with the channel that is added up to the number of readings. Raises DataError."""
    if count in (named := history.channels or UNNAMED):
        raise DataError(f"--count {count}: there is such a channel", "choose another name")
    return replace(
        history,
        values=[with_counts(what.reshape(len(what), -1)) for what in history.values],
        channels=(*named, count),
        codes=(*history.codes, ()) if history.codes else (),
    )


def _is_over(stamps: Int64, slot_ends_ms: int, history_ends_ms: int) -> bool:
    """True if no further reading of a stream is expected in its last slot."""
    usual = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    return history_ends_ms >= slot_ends_ms or int(stamps[-1]) + usual >= slot_ends_ms


def _slots(stamps: Int64, values: Float64, grid: Grid) -> tuple[Int64, Float64]:
    """Slots int64 [n] of one stream and their figures [n, 5, channels], the last one included."""
    count = len(stamps)
    taken = values.reshape(count, -1) + 0.0  # as `Gathering` does: no -0.0
    rows = _unseen(taken.shape[1])
    if not count:
        return rows.slot[:0], rows.figures[:0]
    readings = Readings(np.zeros(count, np.int64), np.arange(count), stamps, taken)
    closed, _, _ = gather(rows, readings, stamps, grid)
    return (
        np.concatenate([closed.slot, rows.slot]),
        np.concatenate([closed.figures, rows.figures]),
    )


def _unseen(channels: int) -> Rows:
    """The row of one stream without a reading."""

    def none(value: int = 0) -> Int64:
        return np.full(1, value)

    figures = nothing_gathered(1, channels)
    return Rows(none(UNSEEN), none(), none(), none(), none(), none(), figures)

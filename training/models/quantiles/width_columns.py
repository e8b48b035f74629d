"""Log-widths over a whole history at once: what `Calibration.learn` gives one value at a time. For
training and for tests; nothing of it is exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.suspect_columns import Judged
from eddycast.training.models.memory.units import Frame, relative
from eddycast.training.models.quantiles.calibration import Calibration
from eddycast.training.models.quantiles.widths import RATES, Learned

Array = NDArray[np.float32]


class Due(NamedTuple):
    """Intervals that are due at a step, in running scales of the step before,
    [T, S, columns] each; 0 where there is none."""

    centre: Array
    below: Array  # from the centre to the low end, not stretched
    above: Array


def unroll_widths(
    calibration: Calibration,
    columns: Columns,
    judged: Judged,
    one: Array,
    anchored: Array | None = None,
) -> Tensor:
    """The log-widths that are applied after every step, [T, S, 1 + anchors]. `one` [T, S, Q] and
    `anchored` [T, S, anchors, Q] are quantiles that are not stretched; without those, one step
    ahead alone."""
    values = judged.taken
    steps, streams = values.shape
    rule = calibration.rule
    anchors = calibration.anchors if anchored is not None else ()
    seen = torch.as_tensor(np.cumsum(~np.isnan(values), 0).astype(np.float32))[..., None]
    due = _all_due(calibration, columns, one, anchored, seen[..., 0].numpy() >= rule.ready)
    means = calibration.block.means(values, columns.timestamps)
    came = np.stack([*[values] * len(RATES), *[means] * len(anchors)], 2)
    y = _relative(came, columns.x, columns.scale)
    apart = torch.as_tensor(y - due.centre)
    below, above, centre = (torch.as_tensor(x) for x in (due.below, due.above, due.centre))
    half = torch.where(apart > 0, above, below)
    counts = (half > 0) & ~torch.isnan(apart)
    raw = (
        torch.as_tensor(judged.in_data_units(columns.x)),
        torch.as_tensor(columns.scale / judged.factor),
    )
    near, size = len(RATES), len(RATES) + len(anchors)
    learned = Learned(*(torch.zeros(streams, n) for n in (size, near, 1, 1 + len(anchors))))
    stretch = torch.zeros(steps, streams, 1 + len(anchors))
    quick = rule.quick[:size]
    for t in range(1, steps):
        factor = torch.exp(learned.stretch[:, :1] * quick)
        if calibration.support == "real":
            learned = rule.move(apart[t].abs(), half[t] * factor, counts[t], seen[t], learned)
        else:
            wide = torch.exp(_by_column(learned.stretch, near))
            support = calibration.support_in(Frame(raw[0][t - 1], raw[1][t - 1]))
            distance, misses = calibration.within(
                apart[t], wide * below[t], wide * above[t], centre[t], support
            )
            learned = rule.move(distance, half[t] * factor, counts[t], seen[t], learned, misses)
        stretch[t] = learned.stretch
    return stretch


def _by_column(stretch: Tensor, near: int) -> Tensor:
    return torch.cat([stretch[:, :1].expand(-1, near), stretch[:, 1:]], 1)


def _relative(
    came: NDArray[np.float64], x: NDArray[np.float64], scale: NDArray[np.float64]
) -> Array:
    """`came` [T, S, columns] in the frame of the step before."""
    y = np.full(came.shape, np.nan, np.float32)
    steps, streams, size = came.shape
    flat = relative(
        torch.as_tensor(came[1:].reshape(-1, size)),
        torch.as_tensor(x[:-1].reshape(-1)),
        torch.as_tensor(scale[:-1].reshape(-1)),
    )
    y[1:] = flat.numpy().reshape(steps - 1, streams, size)
    return y


def _all_due(
    calibration: Calibration,
    columns: Columns,
    one: Array,
    anchored: Array | None,
    ready: NDArray[np.bool_],
) -> Due:
    """The intervals one step ahead, in a column for each rate, then those at the anchors."""
    levels = [calibration.lower, calibration.median, calibration.upper]
    low, median, high = np.moveaxis(one[..., levels], 2, 0)
    started = columns.count > 0
    near = _due(columns, Due(median, median - low, high - median), 1, started)
    found = [near] * len(RATES)
    far: Sequence[Array] = () if anchored is None else [*np.moveaxis(anchored[..., levels], 2, 0)]
    for anchor, units in zip(calibration.anchors, far, strict=False):
        low, _, high = np.moveaxis(units, 2, 0)
        half = np.float32(0.5) * (high - low)
        lead = calibration.block.slots * anchor
        made = Due(np.float32(0.5) * (high + low), half, half)
        found.append(_due(columns, made, lead, ready & started))
    return Due(*(np.stack(parts, 2) for parts in zip(*found, strict=True)))


def _due(columns: Columns, made: Due, lead: int, known: NDArray[np.bool_]) -> Due:
    """The intervals [T, S] that were made `lead` slots ago where it is `known` [T, S], in the frame
    of the step before."""
    due = Due(*(np.zeros_like(part) for part in made))
    if lead >= len(made.centre):
        return due
    issued, unit = columns.scale[:-lead], columns.scale[lead - 1 : -1]
    known = (unit > 0) & known[:-lead]
    ratio = np.where(known, issued / np.where(known, unit, 1.0), 0.0)
    moved = (columns.x[:-lead] - columns.x[lead - 1 : -1]) / np.where(known, unit, 1.0)
    due.centre[lead:] = np.where(known, moved + ratio * made.centre[:-lead], 0.0)
    for part, now in ((made.below, due.below), (made.above, due.above)):
        now[lead:] = ratio * part[:-lead]
    return due

"""Calibration in the row: how much a stream's intervals are to be widened is learned while it is
served.

The one-step forecast and the multi-step forecast at a few anchor leads are remembered until their
target comes. Each has a log-width that moves by RATE * (miss - MISSES): up where the 80 % interval
missed, down a quarter as much where it did not, so that in the long run it misses one time in five
(adaptive conformal inference, Gibbs and Candes, 2021). Gaps between quantiles are stretched around
the median; between anchors the log-width is interpolated over log lead.

What is remembered of a pending interval is its low end and its width, in the running scales of the
present: at every step both are moved to the new anchor and the new scale, so a float32 is enough
for a meter at 48,211,734.25 and no constant has a unit. A width of 0 stands for no forecast, which
is also what a row of zeros says.

Where the support ends (at zero), values pile up. An end of the interval that lies there cannot be
missed, so fewer misses are expected: a night of zeros does not narrow the intervals of a solar
plant's day.

Where the horizon has a coarser grid, a lead's target is the mean of a block of slots. Intervals are
remembered, and compared with what came, at the ends of blocks alone: as many are pending as on a
grid of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from eddycast.training.models.memory.block import Block
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.suspect_columns import Judged
from eddycast.training.models.memory.suspects import placement
from eddycast.training.models.memory.units import Frame, relative, safe
from eddycast.training.models.quantiles.support import Support
from eddycast.training.models.tensor_state import TensorState

#: Leads whose intervals are remembered, unless a family has its own. A pending interval takes 8
#: bytes for every step of its lead, so none is beyond 96 (1,400 bytes in all): further leads are
#: stretched like the last anchor.
ANCHORS = (1, 6, 24, 48, 96)
RATE = 0.005
MISSES = 0.2  # of the interval from .1 to .9
# of a log-width: a stream that was constant for a year must find back within days
LIMIT = math.log(4.0)
#: Raised when this code makes other numbers of the same intervals:
#: widths learned by the other are then not kept.
REVISION = 1
#: In running scales: beyond the interval's end by this much is a miss, by less is part of one, so
#: that rounding (another processor, another batch) moves a log-width by next to nothing.
SOFT = 1e-3


def anchors_of(horizon: int, anchors: Sequence[int] = ANCHORS) -> tuple[int, ...]:
    """Those of `anchors` (rising) that a horizon has,
    its end among them if it is not beyond the last."""
    end = min(horizon, anchors[-1])
    return (*(lead for lead in anchors if lead < end), end)


class Calibration(nn.Module):
    """Log-widths "stretch" [batch, 1 + anchors] (one step ahead first), pending intervals "bounds"
    [batch, 2, N]: low ends and widths, each anchor's oldest first. It has no weights."""

    due: Tensor
    between: Tensor

    def __init__(
        self,
        horizon: int,
        quantiles: tuple[float, ...],
        support: Support = "real",
        anchors: Sequence[int] = ANCHORS,
        *,
        block: Block,
    ) -> None:
        super().__init__()
        self.support, self.block = support, block
        self.anchors = anchors_of(horizon, anchors)
        self.leads = tuple(anchor - 1 for anchor in self.anchors)  # as indices of the horizon
        self.lower, self.median, self.upper = (quantiles.index(level) for level in (0.1, 0.5, 0.9))
        lead, at = np.log(np.arange(1, horizon + 1)), np.log(self.anchors)
        between = np.stack([np.interp(lead, at, row) for row in np.eye(len(at))]).astype(np.float32)
        ends = np.cumsum(self.anchors)
        self.register_buffer("due", torch.as_tensor(ends - self.anchors), persistent=False)
        self.register_buffer("between", torch.as_tensor(between), persistent=False)

    def initial_state(self, batch: int) -> TensorState:
        """Zeros: nothing pending, nothing stretched."""
        return {
            "stretch": torch.zeros(batch, 1 + len(self.anchors)),
            "bounds": torch.zeros(batch, 2, sum(self.anchors)),
            **self.block.initial_state(batch),
        }

    def learn(self, arrived: Tensor, mean: Tensor, state: TensorState, before: Frame) -> Tensor:
        """The log-widths after the value `arrived` and the block's `mean` [batch] f64 (NaN moves
        none), for rows whose units were those of `before`. A support ends at zero in the data's
        unit."""
        came = torch.cat([arrived[:, None], mean[:, None].expand(-1, len(self.anchors))], 1)
        y, pending = relative(came, *before), state["pending"]
        bounds = torch.index_select(state["bounds"], 2, self.due)
        low = torch.cat([pending[:, self.lower, None], bounds[:, 0]], 1)
        width = torch.cat(
            [(pending[:, self.upper] - pending[:, self.lower])[:, None], bounds[:, 1]], 1
        )
        counts = (width > 0) & (before.scale > 0)[:, None] & ~torch.isnan(came)
        return self._move(
            state["stretch"],
            y,
            low,
            low + width,
            self._support_in(placement(state).frame(before)),
            counts,
        )

    def _support_in(self, frame: Frame) -> tuple[Tensor, Tensor]:
        """The lower end of the support and half the distance between its values, in a frame's
        units, [batch, 1] each."""
        zero = relative(torch.zeros_like(frame.anchor)[:, None], *frame)
        return zero, (0.5 / safe(frame.scale)).float()[:, None]

    def _move(
        self,
        stretch: Tensor,
        y: Tensor,
        low: Tensor,
        high: Tensor,
        support: tuple[Tensor, Tensor],
        counts: Tensor,
    ) -> Tensor:
        """Log-widths [n, leads] after `y` [n, leads] came under intervals from `low` to `high` [n,
        leads], where that `counts` [n, leads]; all in running scales."""
        expected: Tensor | float = MISSES
        if self.support != "real":
            low, high = torch.maximum(low, support[0]), torch.maximum(high, support[0])
            above = ((torch.stack([low, high]) - support[0]) / SOFT).clamp(0, 1)
            expected = MISSES * above.mean(0)
        outside = torch.maximum(low - y, y - high)
        if self.support == "integer":  # an end at 2.4 is emitted as 2, one at 2.6 as 3
            outside = outside - support[1]
        moved = (stretch + RATE * ((outside / SOFT).clamp(0, 1) - expected)).clamp(-LIMIT, LIMIT)
        return torch.where(counts, moved, stretch)

    def one_step(self, units: Tensor, stretch: Tensor) -> Tensor:
        """Stretch one-step quantiles [batch, Q]."""
        return self._around_median(units, stretch[..., 0])

    def multi_step(self, units: Tensor, stretch: Tensor) -> Tensor:
        """Stretch the quantiles of the horizon [batch, horizon, Q]."""
        return self._around_median(units, stretch[..., 1:] @ self.between)

    def _around_median(self, units: Tensor, log_width: Tensor) -> Tensor:
        median = units[..., self.median, None]
        return median + (units - median) * torch.exp(log_width)[..., None]

    def push(
        self,
        bounds: Tensor,
        units: Tensor,
        stretch: Tensor,
        before: Frame,
        after: Frame,
        ends: Tensor | None,
    ) -> Tensor:
        """Move what is pending from the units of `before` to those of `after` the step; where a
        block `ends` [batch] (None: everywhere), drop what was due and add the intervals of `units`
        [batch, anchors, Q], stretched; where there is no scale yet, none."""
        known, unit = after.scale > 0, safe(after.scale)
        ratio = (before.scale / unit).float()
        shift = torch.where(known, (before.anchor - after.anchor) / unit, 0.0).float()
        kept = bounds * ratio[:, None, None] + functional.pad(shift[:, None, None], (0, 0, 0, 1))
        low, median, high = (units[..., level] for level in (self.lower, self.median, self.upper))
        factor = torch.exp(stretch[:, 1:])
        new = torch.stack([median + (low - median) * factor, (high - low) * factor], 1)
        new = torch.where(known[:, None, None], new, torch.tensor(0.0))
        queues = zip(torch.split(kept, list(self.anchors), 2), torch.split(new, 1, 2), strict=True)
        pushed = torch.cat([part for queue, last in queues for part in (queue[:, :, 1:], last)], 2)
        return pushed if ends is None else torch.where(ends[:, None, None], pushed, kept)

    def unroll(
        self,
        columns: Columns,
        judged: Judged,
        one: NDArray[np.float32],
        anchored: NDArray[np.float32] | None = None,
    ) -> Tensor:
        """The log-widths after every step, [T, S, 1 + anchors]: what `learn` gives one value at a
        time. `one` [T, S, Q] and `anchored` [T, S, anchors, Q] are quantiles that are not stretched
        yet; without those, one step ahead alone."""
        values = judged.taken
        far = one[:, :, :0, None] if anchored is None else anchored
        far = np.broadcast_to(far, (*far.shape[:3], one.shape[2]))
        units = np.concatenate([one[:, :, None], far], 2)[
            ..., [self.lower, self.median, self.upper]
        ]
        steps, streams = values.shape
        anchors = self.anchors if anchored is not None else ()
        leads = torch.tensor([1, *(self.block.slots * anchor for anchor in anchors)])  # in slots
        which = torch.arange(len(leads))
        stretch = torch.zeros(steps, streams, len(leads))
        median, down, up = (
            torch.as_tensor(part) for part in self._due(columns, units, leads.tolist())
        )
        x, scale = torch.as_tensor(columns.x), torch.as_tensor(columns.scale)
        means = self.block.means(values, columns.timestamps)
        came = torch.as_tensor(np.stack([values, *[means] * len(anchors)], 2))
        raw = (
            torch.as_tensor(judged.in_data_units(columns.x)),
            torch.as_tensor(columns.scale / judged.factor),
        )
        for t in range(1, steps):
            frame = Frame(x[t - 1], scale[t - 1])
            factor = torch.exp(stretch[(t - leads).clamp(min=0), :, which].T)
            y = relative(came[t], *frame) - median[t]
            counts = (down[t] + up[t] > 0) & ~torch.isnan(came[t])
            zero, half = self._support_in(Frame(raw[0][t - 1], raw[1][t - 1]))
            ends = zero - median[t], half
            stretch[t] = self._move(
                stretch[t - 1], y, -factor * down[t], factor * up[t], ends, counts
            )
        return stretch

    def _due(
        self, columns: Columns, units: NDArray[np.float32], leads: list[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Intervals by the time they are due, `leads` slots after they were made, [T, S, leads] in
        the frame before that: the median, and the distances from it down to .1 and up to .9 before
        stretching, 0 where there is no forecast or no scale."""
        median, down, up = (np.zeros(units.shape[:3], np.float32) for _ in range(3))
        scale = columns.scale
        for j, lead in enumerate(lead for lead in leads if lead < len(units)):
            issued, low, middle, high = scale[:-lead], *np.moveaxis(units[:-lead, :, j], 2, 0)
            unit = scale[lead - 1 : -1]
            known = (unit > 0) & (columns.count[:-lead] > 0)
            ratio = np.where(known, issued / np.where(known, unit, 1.0), 0.0)
            moved = (columns.x[:-lead] - columns.x[lead - 1 : -1]) / np.where(known, unit, 1.0)
            median[lead:, :, j] = np.where(known, moved + ratio * middle, 0.0)
            down[lead:, :, j], up[lead:, :, j] = ratio * (middle - low), ratio * (high - middle)
        return median, down, up

"""Calibration in the row: how much a stream's intervals are to be widened is learned while it is
served.

The one-step forecast and the multi-step forecast at a few anchor leads are remembered until their
target comes, which then moves the log-width of that lead (`training/models/quantiles/widths.py`).
Gaps between quantiles are stretched around the median; between anchors the log-width is
interpolated over log lead.

What is remembered of a pending interval is its centre and its half-width, not stretched, in the
running scales of the present: at every step both are moved to the new anchor and the new scale, so
a float32 is enough for a meter at 48,211,734.25 and no constant has a unit. A width of 0 stands for
no forecast, which is also what a row of zeros says. An interval is judged by the width that its
lead has when the target comes: judged by the one that was emitted, a lead of a day would go on
widening for a day after it was wide enough.

Where the support ends (at zero), values pile up. An end of the interval that lies there cannot be
missed, so fewer misses are expected: a night of zeros does not narrow the intervals of a solar
plant's day.

Where the horizon has a coarser grid, a lead's target is the mean of a block of slots. Intervals are
remembered, and compared with what came, at the ends of blocks alone: as many are pending as on a
grid of one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eddycast.training.models.memory.block import Block
from eddycast.training.models.memory.suspect_readings import placement
from eddycast.training.models.memory.units import Frame, relative, safe
from eddycast.training.models.quantiles.support import Support
from eddycast.training.models.quantiles.widths import MISSES, RATES, SOFT, Learned, Widths
from eddycast.training.models.tensor_state import TensorState

#: Leads whose intervals are remembered, unless a family has its own. A pending interval takes 8
#: bytes for every step of its lead, so none is beyond 96 (1,400 bytes in all): further leads are
#: stretched like the last anchor.
ANCHORS = (1, 6, 24, 48, 96)
#: Raised when this code makes other numbers of the same intervals:
#: widths learned by the other are then not kept.
REVISION = 2


def anchors_of(horizon: int, anchors: Sequence[int] = ANCHORS) -> tuple[int, ...]:
    """Those of `anchors` (rising) that a horizon has,
    its end among them if it is not beyond the last."""
    end = min(horizon, anchors[-1])
    return (*(lead for lead in anchors if lead < end), end)


class Calibration(nn.Module):
    """The state of `Widths`, and pending intervals "bounds" [batch, 2, N]: centres and half-widths,
    each anchor's oldest first. It has no weights."""

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
        span: int,
    ) -> None:
        super().__init__()
        self.support, self.block = support, block
        self.anchors = anchors_of(horizon, anchors)
        self.leads = tuple(anchor - 1 for anchor in self.anchors)  # as indices of the horizon
        self.rule = Widths([block.slots * lead for lead in self.anchors], block.slots, span)
        self.lower, self.median, self.upper = (quantiles.index(level) for level in (0.1, 0.5, 0.9))
        lead, at = np.log(np.arange(1, horizon + 1)), np.log(self.anchors)
        between = np.stack([np.interp(lead, at, row) for row in np.eye(len(at))]).astype(np.float32)
        ends = np.cumsum(self.anchors)
        self.register_buffer("due", torch.as_tensor(ends - self.anchors), persistent=False)
        self.register_buffer("between", torch.as_tensor(between), persistent=False)

    def initial_state(self, batch: int) -> TensorState:
        """Zeros: nothing pending, nothing stretched."""
        return {
            **self.rule.initial_state(batch),
            "bounds": torch.zeros(batch, 2, sum(self.anchors)),
            **self.block.initial_state(batch),
        }

    def learn(self, arrived: Tensor, mean: Tensor, state: TensorState, before: Frame) -> Learned:
        """The state of the widths after the value `arrived` and the block's `mean` [batch] f64 (NaN
        moves none), for rows whose units were those of `before`. A support ends at zero in the
        data's unit."""
        came = arrived[:, None]
        if self.block.slots > 1:
            far = mean[:, None].expand(-1, len(self.anchors))
            came = torch.cat([came.expand(-1, len(RATES)), far], 1)
        y, learned = relative(came, *before), Learned(*(state[name] for name in Learned._fields))
        centres, halves = torch.index_select(state["bounds"], 2, self.due).unbind(1)
        pending = state["pending"]
        low, median, high = (
            pending[:, level, None] for level in (self.lower, self.median, self.upper)
        )
        half = torch.where(y[:, :1] > median, high - median, median - low)
        centre = torch.cat([median] * len(RATES) + [centres], 1)
        half = torch.cat([half] * len(RATES) + [halves], 1)
        observed = ~torch.isnan(arrived)[:, None]
        counts = (half > 0) & (~torch.isnan(came) & (before.scale > 0)[:, None])
        judged = learned.judged + observed.float()
        if self.support == "real":
            return self.rule.move((y - centre).abs(), half, counts, judged, learned)
        below, above = (
            torch.cat([end] * len(RATES) + [halves * torch.exp(learned.stretch[:, 1:])], 1)
            for end in (median - low, high - median)
        )
        support = self.support_in(placement(state).frame(before))
        distance, misses = self.within(y - centre, below, above, centre, support)
        return self.rule.move(distance, half, counts, judged, learned, misses)

    def support_in(self, frame: Frame) -> tuple[Tensor, Tensor]:
        """The lower end of the support and half the distance between its values, in a frame's
        units, [batch, 1] each."""
        zero = relative(torch.zeros_like(frame.anchor)[:, None], *frame)
        return zero, (0.5 / safe(frame.scale)).float()[:, None]

    def within(
        self,
        apart: Tensor,
        below: Tensor,
        above: Tensor,
        centre: Tensor,
        support: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Distance of values that lie `apart` from the `centre` of an interval which reaches from
        `below` to `above` it, and the misses to expect there, [n, columns] each, in units of a
        support."""
        zero, rounding = support
        room = centre - zero
        ends = torch.stack([room - below, room + above])
        misses = MISSES * (ends / SOFT).clamp(0, 1).mean(0)
        distance = apart.abs()
        if self.support == "integer":  # an end at 2.4 is emitted as 2, one at 2.6 as 3
            distance = (distance - rounding).clamp(min=0.0)
        # a forecast below the support is emitted at its end, and a value there is no miss
        at_end = torch.minimum(distance, ((apart + room) / SOFT).clamp(min=0.0))
        return torch.where(room < 0, at_end, distance), misses

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
        judged: Tensor,
        before: Frame,
        after: Frame,
        ends: Tensor | None,
    ) -> Tensor:
        """Move what is pending from the units of `before` to those of `after` the step; where a
        block `ends` [batch] (None: everywhere), drop what was due and add the intervals of `units`
        [batch, anchors, Q]; none before the rule is ready for them, after `judged` [batch, 1]
        readings, and where there is no scale yet."""
        known, unit = after.scale > 0, safe(after.scale)
        ratio = (before.scale / unit).float()
        shift = torch.where(known, (before.anchor - after.anchor) / unit, 0.0).float()
        kept = bounds * ratio[:, None, None] + functional.pad(shift[:, None, None], (0, 0, 0, 1))
        new = 0.5 * torch.stack(
            [
                units[..., self.upper] + units[..., self.lower],
                units[..., self.upper] - units[..., self.lower],
            ],
            1,
        )
        ready = known & (judged[:, 0] >= self.rule.ready)
        new = torch.where(ready[:, None, None], new, torch.tensor(0.0))
        queues = zip(torch.split(kept, list(self.anchors), 2), torch.split(new, 1, 2), strict=True)
        pushed = torch.cat([part for queue, last in queues for part in (queue[:, :, 1:], last)], 2)
        return pushed if ends is None else torch.where(ends[:, None, None], pushed, kept)

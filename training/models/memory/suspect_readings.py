"""Suspect readings: a sensor's impossible reading is held back, a new level is accepted,
and the memory moves to it.

A reading is suspect when it lies further from the pending median than WIDTHS times the 80 %
interval, WIDTHS running scales, and REACH times the largest error taken in lately (the reach: rain
comes in bursts, so bursts are no news). It is scored like any other, but memory, calibration and
latent state take it as missing.

ACCEPTED suspects in a row, each within half the jump of the one before, are a new level. A memory
fed with it would take weeks to forget the step, so the memory stays where it is and the readings
are moved instead: the memory holds z = factor * y + offset of a reading y, and both change when a
level is accepted: the factor where the readings' own noise says that the unit changed, else the
offset. The old pair stays at hand for HOME_SEASONS: a reading that lies where the old level would
be goes home at once, as after a code that a sensor repeats for six hours.

All distances are in the memory's coordinates. `training/models/memory/suspect_columns.py` judges a
whole history by the same rule.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eddycast.training.models.memory.units import Frame
from eddycast.training.models.tensor_state import TensorState

#: Incremented when this code takes other readings into the same memory.
REVISION = 2
WIDTHS = 10.0
REACH = 3.0
REACH_SEASONS = 30.0  # half-life
TAUGHT = 10.0  # limits: a held reading beyond teaches no reach
ACCEPTED = 4
READY = 8  # readings before any is suspect
HOME_SEASONS = 7
NEAR_HOME = 0.3  # of the jump
SNAP = 0.1  # of a factor's logarithm to that of a power of ten
ALIKE = 3.0  # logarithms of a level and of its noise that changed by one factor
TINY = 1e-300
# to a level within a running scale of zero: its last digits would be those of the factor
NO_RATIO = -1e40
LARGEST = 1e30  # of a reading that may be one: beyond, float32 and its squares end


class Placement(NamedTuple):
    """The coordinate z = factor * y + offset of a reading y in the memory, [batch, 1] f64 each."""

    factor: Tensor
    offset: Tensor

    def in_data_units(self, z: Tensor) -> Tensor:
        """The values [batch, ...] that stand at `z` in the memory."""
        shape = (-1, *[1] * (z.dim() - 1))
        factor, offset = (
            (self.factor, self.offset) if z.dim() == 2 else (one.reshape(shape) for one in self)
        )
        return (z - offset) / factor

    def frame(self, frame: Frame) -> Frame:
        """The memory's frame, in the data's unit."""
        return Frame(
            self.in_data_units(frame.anchor[:, None])[:, 0],
            (frame.scale[:, None] / self.factor)[:, 0],
        )


def placement(state: TensorState) -> Placement:
    """The placement stored in a row."""
    gain, offset, _ = torch.split(state["moved"], [1, 1, 4], 1)
    return Placement(1.0 + gain, offset)


class Verdict(NamedTuple):
    """The reading as the memory takes it, and the placement before and after it."""

    taken: Tensor  # [batch] f64 as the memory takes it, NaN = missing or held back
    state: TensorState
    before: Placement
    after: Placement


class Moved(NamedTuple):
    """z = (1 + gain) * y + offset; then the pair to go home to, and for how many steps it stays;
    then three times the reach. [batch, 1] f64 each."""

    gain: Tensor
    offset: Tensor
    home_factor: Tensor
    home_offset: Tensor
    left: Tensor
    reach: Tensor


class _Sums(NamedTuple):
    """Sums over the suspects in a row up to this reading, [batch, 1] f64 each: their number, their
    distances from the median, their ratios to it, and the steps from one to the next."""

    suspects: Tensor
    distances: Tensor
    ratios: Tensor
    steps: Tensor


class Suspects(nn.Module):
    """`span`: steps of a season; then the places of the quantiles .1,
    .5 and .9 among the levels."""

    places: Tensor

    def __init__(self, span: int, low: int, median: int, high: int) -> None:
        super().__init__()
        self.decay = 0.5 ** (1.0 / (REACH_SEASONS * span))
        self.stay = float(HOME_SEASONS * span)
        self.register_buffer("places", torch.tensor([low, median, high]), persistent=False)

    def initial_state(self, batch: int) -> TensorState:
        """Zeros: nothing moved, nothing suspect. "moved" holds `Moved`; "episode" how many suspects
        came in a row, the sums of their distances, ratios and steps, three times the largest
        distance, and the last of them."""
        f64 = torch.float64
        return {
            "moved": torch.zeros(batch, 6, dtype=f64),
            "episode": torch.zeros(batch, 6, dtype=f64),
        }

    def judge(self, value: Tensor, frame: Frame, state: TensorState) -> Verdict:
        """Judge value [batch] f64 (NaN = missing) by what is pending in `state`,
        in the memory's `frame`."""
        return self.decide(
            value, frame, torch.index_select(state["pending"], 1, self.places), state
        )

    def decide(self, value: Tensor, frame: Frame, pending: Tensor, state: TensorState) -> Verdict:
        """`judge`, given the pending quantiles .1, .5 and .9 [batch, 3]."""
        y, anchor, scale = value[:, None], frame.anchor[:, None], frame.scale[:, None]
        moved = Moved(*torch.split(state["moved"], 1, 1))
        factor = 1.0 + moved.gain
        z = y * factor + moved.offset
        low, median, high = torch.split(pending.double(), 1, 1)
        middle = anchor + scale * median
        limit, ready = _limit(low, high, scale, moved, state["count"])
        distance = z - middle
        off = distance.abs()

        run, *_, peak, previous = torch.split(state["episode"], 1, 1)
        step = (z - previous).abs()
        close = (2.0 * step <= off) & (run > 0)
        bound = limit * torch.where(close, 0.5, 1.0)
        suspect, plain = off > bound, off <= bound
        jump = off * (NEAR_HOME * moved.home_factor / factor)
        back = (y * moved.home_factor + moved.home_offset - middle).abs() < torch.minimum(
            limit, jump
        )
        back = back & (moved.left > 0)

        level = middle - moved.offset
        ratio = torch.where(level.abs() >= scale, (z - moved.offset) / level, NO_RATIO)
        one = torch.cat([suspect.double(), distance, ratio, torch.where(close, step, 0.0)], 1)
        sums = one + torch.where(close, state["episode"][:, :4], 0.0)
        total = _Sums(*torch.split(sums, 1, 1))
        accepted = suspect & (total.suspects >= ACCEPTED)
        settled = accepted | back
        hold = suspect & ~settled
        off3 = REACH * off
        episode = torch.cat([sums, torch.maximum(peak, off3), z], 1)
        gone = torch.where(suspect | plain, 0.0, state["episode"])

        gain, offset = _new_level(moved, factor, total, accepted, state["spread"])
        gain = torch.where(back, moved.home_factor - 1.0, gain)
        offset = torch.where(back, moved.home_offset, offset)
        home = self._home(moved, factor, accepted, back)
        taught = torch.where(peak <= REACH * TAUGHT * limit, torch.minimum(peak, 2.0 * limit), 0.0)
        grown = torch.where(plain & ready & ~back, torch.maximum(off3, taught), 0.0)
        reach = torch.maximum(moved.reach * self.decay, grown)

        placed = Placement(1.0 + gain, offset)
        taken = torch.where(hold, torch.nan, y * placed.factor + offset)
        after = {
            "moved": torch.cat([gain, offset, *home, reach], 1),
            "episode": torch.where(hold, episode, gone),
        }
        return Verdict(taken[:, 0], after, Placement(factor, moved.offset), placed)

    def _home(
        self, moved: Moved, factor: Tensor, accepted: Tensor, back: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`home_factor`, `home_offset` and `left` after this reading: the pair before a first
        change of level, for as long as it stays at hand."""
        fresh = accepted & (moved.left <= 0)
        left = torch.where(
            fresh, self.stay, torch.where(back, 0.0, (moved.left - 1.0).clamp(min=0.0))
        )
        return (
            torch.where(fresh, factor, moved.home_factor),
            torch.where(fresh, moved.offset, moved.home_offset),
            left,
        )


def _limit(
    low: Tensor, high: Tensor, scale: Tensor, moved: Moved, count: Tensor
) -> tuple[Tensor, Tensor]:
    """The distance beyond which a reading is suspect, and where there is one: it is infinite until
    READY readings came (`count` did) and without a scale. `low` and `high` are the ends of the
    80 % interval, in scales."""
    limit = torch.maximum(WIDTHS * scale * (high - low).clamp(min=1.0), moved.reach)
    ready = (count >= READY) & (scale > 0)
    return torch.where(ready, limit, torch.inf), ready


def _new_level(
    moved: Moved, factor: Tensor, total: _Sums, accepted: Tensor, spread: Tensor
) -> tuple[Tensor, Tensor]:
    """Gain and offset: where a level was accepted, one of them maps it to the old level."""
    log = torch.log(total.ratios.clamp(min=TINY)) - math.log(ACCEPTED)
    unit = _is_unit(log, total.steps, spread[:, :1])
    changed = factor * torch.exp(-_snapped(log)) - 1.0
    return (
        torch.where(accepted & unit, changed, moved.gain),
        torch.where(accepted & ~unit, moved.offset - total.distances / ACCEPTED, moved.offset),
    )


def _is_unit(log: Tensor, jitter: Tensor, spread: Tensor) -> Tensor:
    """True where a new level is the old one in another unit: its ratio is far from 1 and the noise
    changed by the same factor, while a mere shift would have left the noise as it was. A load that
    was off had no noise to compare."""
    noise = torch.log((jitter / ((ACCEPTED - 1) * spread)).clamp(min=1e-9))
    apart = (noise - log).abs()
    return (log.abs() > math.log(2.0)) & (apart < noise.abs()) & (apart < ALIKE)


def _snapped(log: Tensor) -> Tensor:
    """A factor's logarithm, that of a power of ten where it is near one."""
    power = torch.round(log / math.log(10.0)) * math.log(10.0)
    return torch.where((log - power).abs() < SNAP, power, log)


def possible(values: Tensor) -> Tensor:
    """`values` that a sensor may have sent; others are missing."""
    return torch.where(values.abs() <= LARGEST, values, torch.nan)

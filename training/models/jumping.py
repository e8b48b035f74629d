"""A long gap at once: the row that many steps without a value leave, in closed form.

Without a value a memory changes little. Its tables turn, its ring takes what the tables fill in,
the last reading of a counter ages, and forecasts that wait for a target come due. All of this
follows from the number of steps, and equals stepping to the last digit or two (a test shows it for
every family). A hidden state is the exception: a jump leaves it as it is, and the service steps
once more over the last `SETTLING` slots of a gap (`service/bundle.py`), in which it settles.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from eddycast.training.models.contract import Family
from eddycast.training.models.memory.memory import FILL_LEVEL, Memory
from eddycast.training.models.memory.suspect_readings import Moved
from eddycast.training.models.memory.table import SeasonTable, TableSpec
from eddycast.training.models.memory.units import Frame, safe, slot_in_bin
from eddycast.training.models.quantiles.calibration import Calibration
from eddycast.training.models.tensor_state import TensorState


def jump(model: Family, steps: Tensor, timestamp: Tensor, state: TensorState) -> TensorState:
    """The tensors that `steps` [batch] int64 steps without a value change, the last of which is for
    the slot that starts at `timestamp` [batch] int64, ms; all others stay.

    No forecast of the gap is kept: nothing is pending one step ahead, and of the intervals pending
    further ahead those that are not due yet."""
    new = jump_memory(model.memory, steps, timestamp, state)
    new["pending"] = torch.zeros_like(state["pending"])
    new["moved"] = _moved(model.suspects.decay, steps, state["moved"])
    if "counter" in state:
        last, age = state["counter"].unbind(1)
        new["counter"] = torch.stack([last, torch.where(age > 0, age + steps, 0.0)], 1)
    if model.latent:
        new |= model.latent.jump(steps, state)
    if model.calibration:
        frames = model.memory.frame(state), model.memory.frame(state | new)
        new |= _calibration(model.calibration, steps, timestamp, state, *frames)
    return new


def jump_memory(
    memory: Memory, steps: Tensor, timestamp: Tensor, state: TensorState
) -> TensorState:
    """The tables and the ring after `steps` of `Memory.update` without a value."""
    spec, new = memory.spec, TensorState()
    for table in memory.tables:
        new |= _turned(table, _begun(table.spec, timestamp, steps[:, None]), state)
    back = torch.arange(spec.lags - 1, -1, -1)
    since = steps[:, None] - back  # of the gap, up to each place of the ring; < 1: before it
    known = state["ring"].gather(1, (since + (spec.lags - 1)).clamp(max=spec.lags - 1))
    filled = _filled(memory, steps, timestamp, back, state)
    new["ring"] = torch.where(since > 0, filled, known)
    return new


def _begun(spec: TableSpec, timestamp: Tensor, slots: Tensor) -> Tensor:
    """Number of bins of a table that begin in the last `slots` [batch or 1, n] slots, of which the
    last starts at `timestamp` [batch]: [batch or 1, n] int64."""
    if spec.width == 1:
        return slots
    place = slot_in_bin(timestamp, spec.interval_ms, spec.width)[:, None]
    return ((slots - 1 - place).double() / spec.width).floor().long() + 1


def _turned(table: SeasonTable, begun: Tensor, state: TensorState) -> TensorState:
    """A season's tables after `begun` [batch, 1] bins."""
    bins, entries = table.spec.bins, state[table.table]
    at = (torch.arange(bins) + begun).remainder(bins)
    every = at[:, None].expand(-1, entries.shape[1], -1)
    return {table.table: entries.gather(2, every), table.seen: state[table.seen].gather(1, at)}


def _filled(
    memory: Memory, steps: Tensor, timestamp: Tensor, back: Tensor, state: TensorState
) -> Tensor:
    """`Memory.update`'s fills for the slots `back` [lags] slots before the last of the gap:
    [batch, lags]. Arbitrary for slots before the gap."""
    season, last = memory.season, state["last"]
    if not season:
        return last.expand(-1, len(back))
    begun = _begun(season.spec, timestamp, steps[:, None])
    later = _begun(season.spec, timestamp, back[None])
    at = (begun - later - 1).remainder(season.spec.bins)
    moves = bool(memory.spec.half_lives)
    which = memory.spec.fill if moves else 0
    entry, seen = state[season.table][:, which].gather(1, at), state[season.seen].gather(1, at)
    if moves:
        level = state["level"][:, FILL_LEVEL, None]
        entry = entry + level - season.mean(state, which)[:, None]
    return torch.where(seen > 0, entry, last)


def _moved(decay: float, steps: Tensor, moved: Tensor) -> Tensor:
    """`Suspects` without a reading: the way home is open for fewer steps, and the reach decays."""
    parts, many = Moved(*torch.split(moved, 1, 1)), steps[:, None].double()
    left = (parts.left - many).clamp(min=0.0)
    reach = parts.reach * torch.exp(math.log(decay) * many)
    return torch.cat([*parts[:4], left, reach], 1)


def _calibration(
    calibration: Calibration,
    steps: Tensor,
    timestamp: Tensor,
    state: TensorState,
    before: Frame,
    after: Frame,
) -> TensorState:
    """The pending intervals in the units of `after`, each nearer to its target by the blocks that
    ended; the intervals of the gap are not made. A block that had begun before the gap is judged
    where it ends."""
    block, many = calibration.block, steps
    new = TensorState()
    if block.slots > 1:
        place = slot_in_bin(timestamp, block.interval_ms, block.slots) + 1
        passed = ((place - steps).double() / block.slots).floor().long()
        many = (place == block.slots).long() - passed
        new["block"] = torch.where((many > 0)[:, None], 0.0, state["block"])
        mean, count = state["block"].unbind(1)
        mean = torch.where((many > 0) & (count > 0), mean, torch.nan)
        nothing = torch.full_like(mean, torch.nan)
        new |= calibration.learn(nothing, mean, state, before)._asdict()
    unit = safe(after.scale)
    shift = torch.where(after.scale > 0, (before.anchor - after.anchor) / unit, 0.0).float()
    bounds = state["bounds"]
    behind = torch.cat([torch.arange(size - 1, -1, -1) for size in calibration.anchors])
    waiting = behind >= many[:, None]  # of every queue, those that are followed by others enough
    at = (torch.arange(bounds.shape[2]) + many[:, None]).clamp(max=bounds.shape[2] - 1)
    kept = bounds.gather(2, at[:, None].expand(-1, 2, -1))
    moved = torch.stack([kept[:, 0] + shift[:, None], kept[:, 1]], 1)
    new["bounds"] = torch.where(waiting[:, None], moved, torch.tensor(0.0))
    return new

"""What a forecaster remembers without learning: lags, seasonal tables, levels and the running scale.

Nothing here has weights, so the same memory can be computed one observation at a time (`Memory.update`, which
is exported inside the ONNX graph) or over a whole history (`Memory.unroll`); a property test holds them equal.

Values are kept raw in float64 (a meter at 48,211,734.25 does not fit float32). Whatever leaves for a learned
map is first made relative to the anchor (the last value, observed or filled) and divided by the running scale.

A season of `season_steps` slots is held in at most MAX_BINS bins of `width` slots. The table is a queue
ordered by phase: its first entry is the bin that comes next, its last the bin of the present slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

State = dict[str, Tensor]
MAX_BINS = 168
#: Bounds of what a recurrent cell is shown, in running scales: an outlier must not saturate its state for ever.
INPUT_BOUND = 10.0


@dataclass(frozen=True)
class MemorySpec:
    """What is remembered. `rates` smooth the seasonal tables (a share a season); half-lives are in steps."""

    interval_ms: int
    season_steps: int = 0
    lags: int = 1
    rates: tuple[float, ...] = ()
    half_lives: tuple[float, ...] = ()

    @property
    def span(self) -> int:
        """Steps over which "lately" is meant: a season, or 24 steps where there is none."""
        return self.season_steps or 24

    @property
    def width(self) -> int:
        """Slots in one bin of the seasonal table: the smallest divisor of the season that keeps to MAX_BINS."""
        steps = max(self.season_steps, 1)
        return next(w for w in range(1, steps + 1) if steps % w == 0 and steps // w <= MAX_BINS)

    @property
    def bins(self) -> int:
        return self.season_steps // self.width if self.rates else 0

    @property
    def spreads(self) -> tuple[float, ...]:
        """Half-lives of the running mean absolute differences: to the last value, then to the season."""
        short, long = float(self.span), 7.0 * self.span
        return (short, long, short, long) if self.bins else (short, long)

    @property
    def fill(self) -> int:
        """Which table a missing value is filled from: the second fastest, if there is more than one."""
        return min(1, len(self.rates) - 1)

    @property
    def features(self) -> int:
        """Length of the vector that a linear map is given."""
        return self.lags - 1 + len(self.rates) * self.bins + len(self.half_lives)


def rate_of(half_life: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Share of the newest value in an exponential average with this half-life."""
    return np.asarray(1.0 - 0.5 ** (1.0 / np.asarray(half_life, dtype=np.float64)))


@dataclass(frozen=True)
class Glance:
    """What the step just saw, beside the state: [batch] each, raw values in float64."""

    observed: Tensor  # bool
    seasonal: Tensor  # the table's estimate of this value, made before it came


class Memory(nn.Module):
    """The memory of a batch of streams, one observation at a time."""

    rates: Tensor
    level_rates: Tensor
    spread_rates: Tensor

    def __init__(self, spec: MemorySpec) -> None:
        super().__init__()
        self.spec = spec
        per_slot = 1.0 - (1.0 - np.asarray(spec.rates, dtype=np.float64)) ** (1.0 / spec.width)
        self.register_buffer("rates", torch.as_tensor(per_slot))
        self.register_buffer("level_rates", torch.as_tensor(rate_of(np.asarray(spec.half_lives))))
        self.register_buffer("spread_rates", torch.as_tensor(rate_of(np.asarray(spec.spreads))))

    def initial_state(self, batch: int) -> State:
        spec, f64 = self.spec, torch.float64
        state = {
            "count": torch.zeros(batch, 1),
            "last": torch.zeros(batch, 1, dtype=f64),
            "ring": torch.zeros(batch, spec.lags, dtype=f64),
            "spread": torch.zeros(batch, len(spec.spreads), dtype=f64),
        }
        if spec.half_lives:
            state["level"] = torch.zeros(batch, len(spec.half_lives), dtype=f64)
        if spec.bins:
            state["table"] = torch.zeros(batch, len(spec.rates), spec.bins, dtype=f64)
            state["seen"] = torch.zeros(batch, spec.bins)
        return state

    def update(self, value: Tensor, timestamp: Tensor, state: State) -> tuple[State, Glance]:
        """Take one value a row ([batch] float64, NaN = missing). Missing values are filled from memory; tables,
        levels and spreads move on observed values only. Until the first observed value all stays zero."""
        observed = ~torch.isnan(value)
        count, anchor = state["count"][:, 0].double(), state["ring"][:, -1]
        first = observed & (count == 0)
        started = observed | (count > 0)
        entry, seen, rotate = self._entry(timestamp, state)
        seasonal = self._or_last(entry[:, 0], seen, anchor) if self.spec.bins else anchor
        x = torch.where(observed, value, self._fill(entry, seen, state))
        seasonal = torch.where(first, x, seasonal)
        known = torch.where(observed, value, torch.zeros_like(value))

        new: State = {"count": state["count"] + observed[:, None].float()}
        new["last"] = torch.where(observed[:, None], value[:, None], state["last"])
        shifted = torch.cat([state["ring"][:, 1:], x[:, None]], 1)
        ring = torch.where(first[:, None], x[:, None].expand_as(shifted), shifted)
        new["ring"] = torch.where(started[:, None], ring, torch.zeros_like(ring))
        change = torch.where(first, torch.zeros_like(x), (x - anchor).abs())
        drift = torch.where(first, torch.zeros_like(x), (x - seasonal).abs())
        changes = torch.stack([change, change, drift, drift][: len(self.spec.spreads)], 1)
        new["spread"] = _blend(state["spread"], changes, self.spread_rates, count.clamp(min=1), observed)
        if self.spec.half_lives:
            new["level"] = _blend(state["level"], known[:, None], self.level_rates, count + 1, observed)
        if self.spec.bins:
            newest = _blend(entry, known[:, None], self.rates, seen.double() + 1, observed)
            new["table"] = _push(state["table"], newest[:, :, None], rotate[:, None, None])
            new["seen"] = _push(state["seen"], (seen + observed.float())[:, None], rotate[:, None])
        return new, Glance(observed, seasonal)

    def _entry(self, timestamp: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """The present slot's table entry [batch, rates], how often it was seen [batch], and whether a bin begins."""
        slot = torch.div(timestamp, self.spec.interval_ms, rounding_mode="floor")
        rotate = slot.remainder(self.spec.width) == 0
        if not self.spec.bins:
            return state["ring"][:, -1:], state["count"][:, 0], rotate
        table, seen = state["table"], state["seen"]
        entry = torch.where(rotate[:, None], table[:, :, 0], table[:, :, -1])
        return entry, torch.where(rotate, seen[:, 0], seen[:, -1]), rotate

    def _fill(self, entry: Tensor, seen: Tensor, state: State) -> Tensor:
        """The table's value for this phase, moved to the current level; the last value where that is unknown."""
        last = state["last"][:, 0]
        if not self.spec.bins:
            return last
        if not self.spec.half_lives:
            return self._or_last(entry[:, 0], seen, last)
        known = (state["seen"] > 0).double()
        mean = (state["table"][:, self.spec.fill] * known).sum(1) / known.sum(1).clamp(min=1)
        return self._or_last(entry[:, self.spec.fill] + state["level"][:, FILL_LEVEL] - mean, seen, last)

    @staticmethod
    def _or_last(value: Tensor, seen: Tensor, last: Tensor) -> Tensor:
        return torch.where(seen > 0, value, last)

    def read(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """features [batch, features] f32 in running scales, anchor [batch] f64, scale [batch] f64 (0 = unknown)."""
        anchor, scale = state["ring"][:, -1], scale_of(state["spread"])
        parts = [state["ring"][:, :-1]]
        if self.spec.bins:
            table = torch.where((state["seen"] > 0)[:, None], state["table"], anchor[:, None, None])
            parts.append(table.flatten(1))
        if self.spec.half_lives:
            parts.append(state["level"])
        return relative(torch.cat(parts, 1), anchor, scale), anchor, scale

    def unroll(self, values: NDArray[np.float64], timestamps: NDArray[np.int64]) -> Columns:
        """The memory after every step of `values` [T, streams] (NaN = missing) on the grid `timestamps` [T]."""
        return unroll_memory(self, values, timestamps)


#: Which level a missing value is moved to: the one whose half-life is a season.
FILL_LEVEL = 1


def _blend(old: Tensor, new: Tensor, rates: Tensor, count: Tensor, observed: Tensor) -> Tensor:
    """An exponential average that starts as a plain mean: the newest value weighs max(rate, 1 / count)."""
    weight = torch.maximum(rates[None], (1.0 / count)[:, None])
    return torch.where(observed[:, None], old + weight * (new - old), old)


def _push(queue: Tensor, newest: Tensor, rotate: Tensor) -> Tensor:
    """Put `newest` at the end: as a new entry where `rotate`, else in place of the last one."""
    return torch.where(rotate, torch.cat([queue[..., 1:], newest], -1), torch.cat([queue[..., :-1], newest], -1))


def scale_of(spread: Tensor) -> Tensor:
    """The running scale [...] from spreads [..., 2 or 4]: mean absolute change from season to season over a week
    of seasons, but never below half the change from step to step (a clean sine has no seasonal change at all)."""
    if spread.shape[-1] == 2:
        return spread[..., 1]
    return torch.maximum(spread[..., 3], 0.5 * spread[..., 1])


def safe(scale: Tensor) -> Tensor:
    """`scale` where it can divide, else 1."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def relative(values: Tensor, anchor: Tensor, scale: Tensor) -> Tensor:
    """(values - anchor) / scale for [batch, n], subtracted and divided in float64, then cast to float32."""
    return ((values - anchor[:, None]) / safe(scale)[:, None]).float()


def cell_inputs(x: Tensor, seasonal: Tensor, level: Tensor, spread: Tensor, observed: Tensor, phase: Tensor) -> Tensor:
    """What a recurrent cell is shown [..., 8 or 5], from columns of any leading shape: free of level and units.

    level [..., half-lives], spread [..., 2 or 4]; phase in turns of the season [...] f32.
    """
    scale = safe(scale_of(spread))
    near, slow = level[..., 1], level[..., -1]
    columns = [(x - near) / scale, (near - slow) / scale]
    logs = [torch.log(spread[..., 0] / scale + 0.02)]
    if spread.shape[-1] == 4:
        columns.append((seasonal - near) / scale)
        logs.append(torch.log(spread[..., 2] / scale + 0.02))
    bounded = torch.stack(columns, -1).clamp(-INPUT_BOUND, INPUT_BOUND).float()
    turn = phase * (2.0 * torch.pi)
    rest = [log.float() for log in logs] + [torch.sin(turn), torch.cos(turn), observed.float()]
    return torch.cat([bounded, torch.stack(rest, -1)], -1)


def cell_input_size(spec: MemorySpec) -> int:
    return 8 if spec.bins else 6


def phase_of(timestamp: Tensor, spec: MemorySpec) -> Tensor:
    """Where `timestamp` stands in its season (or its day, where there is none), in turns from 0 to 1, f32."""
    period = spec.interval_ms * spec.season_steps if spec.season_steps else 86_400_000
    return (timestamp.remainder(period).double() / period).float()


@dataclass(frozen=True)
class Columns:
    """The unrolled memory: everything after each step, time first. Raw values in float64."""

    spec: MemorySpec
    timestamps: NDArray[np.int64]  # [T]
    x: NDArray[np.float64]  # [T, S] observed or filled; before the first observation, the first value
    last: NDArray[np.float64]  # [T, S] last observed value
    observed: NDArray[np.bool_]  # [T, S]
    count: NDArray[np.int64]  # [T, S] observed so far, this step included
    seasonal: NDArray[np.float64]  # [T, S] the table's estimate before the value came
    entry: NDArray[np.float64]  # [T, S, rates] the present bin's table entries; NaN = not seen yet
    level: NDArray[np.float64]  # [T, S, half-lives]
    spread: NDArray[np.float64]  # [T, S, 2 or 4]

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """[T, S]"""
        return scale_of(torch.as_tensor(self.spread)).numpy()

    def features(self, t: NDArray[np.int64], s: NDArray[np.int64]) -> NDArray[np.float32]:
        """The feature vectors [n, features] of `Memory.read` at times `t` [n] of streams `s` [n]."""
        spec, anchor = self.spec, self.x[t, s]
        back = np.arange(spec.lags - 1, 0, -1)
        parts = [self.x[np.maximum(t[:, None] - back, 0), s[:, None]]]
        if spec.bins:
            visits = self.last_visits(t)
            table = self.entry[np.maximum(visits, 0), s[:, None]]
            table = np.where((visits >= 0)[:, :, None] & ~np.isnan(table), table, anchor[:, None, None])
            parts.append(table.transpose(0, 2, 1).reshape(len(t), -1))
        if spec.half_lives:
            parts.append(self.level[t, s])
        scale = self.scale[t, s]
        difference = np.concatenate(parts, 1) - anchor[:, None]
        return (difference / np.where(scale > 0, scale, 1.0)[:, None]).astype(np.float32)

    def last_visits(self, t: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n, bins]: the step at which each bin, from the next to the present one, was last visited (< 0: never)."""
        spec, first = self.spec, int(self.timestamps[0]) // self.spec.interval_ms
        present = (first + t) // spec.width
        ahead = np.arange(1, spec.bins)
        ends = (present[:, None] + ahead - spec.bins) * spec.width + spec.width - 1 - first
        return np.concatenate([ends, t[:, None]], 1)


def unroll_memory(memory: Memory, values: NDArray[np.float64], timestamps: NDArray[np.int64]) -> Columns:
    """`Memory.update` over a whole history, vectorised over streams; see `Memory.unroll`."""
    spec = memory.spec
    steps, streams = values.shape
    observed = ~np.isnan(values)
    known = np.where(observed, values, 0.0)
    count = np.cumsum(observed, 0)
    level = _averages(known[:, :, None], observed, count, memory.level_rates.numpy())
    entry, seasonal_entry, fill = _tables(memory, known, observed, level, timestamps)
    first = observed & (count == 1)
    newest = np.maximum.accumulate(np.where(observed, np.arange(steps)[:, None], -1), 0)
    last = np.where(newest >= 0, np.take_along_axis(known, np.maximum(newest, 0), 0), 0.0)
    before = np.concatenate([np.zeros((1, streams)), last[:-1]])
    x = np.where(observed, values, np.where(np.isnan(fill), before, fill))
    start = np.argmax(observed, 0)
    x = np.where(count == 0, known[start, np.arange(streams)], x)
    previous = np.concatenate([x[:1], x[:-1]])
    seasonal = np.where(np.isnan(seasonal_entry), previous, seasonal_entry)
    changes = [np.where(first, 0.0, np.abs(x - previous)), np.where(first, 0.0, np.abs(x - seasonal))]
    differences = np.stack([changes[0], changes[0], changes[1], changes[1]][: len(spec.spreads)], -1)
    spread = _averages(differences, observed, np.maximum(count - 1, 1), memory.spread_rates.numpy())
    return Columns(spec, timestamps, x, last, observed, count, seasonal, entry, level, spread)


def _averages(
    new: NDArray[np.float64], observed: NDArray[np.bool_], count: NDArray[np.int64], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`_blend` along time: new [T, S, 1 or J] -> [T, S, J]."""
    steps, streams = observed.shape
    out = np.empty((steps, streams, len(rates)))
    weight = np.where(observed[:, :, None], np.maximum(rates, 1.0 / np.maximum(count, 1)[:, :, None]), 0.0)
    state = np.zeros((streams, len(rates)))
    for t in range(steps):
        state = state + weight[t] * (new[t] - state)
        out[t] = state
    return out


def _tables(
    memory: Memory,
    known: NDArray[np.float64],
    observed: NDArray[np.bool_],
    level: NDArray[np.float64],
    timestamps: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The present bin's entries after each step [T, S, rates]; the first table's estimate and the fill before it
    [T, S]. NaN where the bin was never seen (or there is no season)."""
    spec, rates = memory.spec, memory.rates.numpy()
    steps, streams = known.shape
    entries = np.full((steps, streams, len(rates)), np.nan)
    estimate, fill = np.full((steps, streams), np.nan), np.full((steps, streams), np.nan)
    if not spec.bins:
        return entries, estimate, fill
    table, seen = np.zeros((spec.bins, streams, len(rates))), np.zeros((spec.bins, streams))
    total, levelled = np.zeros(streams), bool(spec.half_lives)
    where = (timestamps // spec.interval_ms // spec.width) % spec.bins
    for t in range(steps):
        b, o = where[t], observed[t]
        entry, visited = table[b], seen[b] > 0
        estimate[t] = np.where(visited, entry[:, 0], np.nan)
        if levelled:
            mean = total / np.maximum((seen > 0).sum(0), 1)
            moved = entry[:, spec.fill] + (level[t - 1, :, FILL_LEVEL] if t else 0.0) - mean
        else:
            moved = entry[:, 0]
        fill[t] = np.where(visited, moved, np.nan)
        weight = np.maximum(rates, 1.0 / (seen[b] + 1.0)[:, None]) * o[:, None]
        table[b] = entry + weight * (known[t][:, None] - entry)
        seen[b] += o
        total = table[:, :, spec.fill].sum(0) if levelled else total
        entries[t] = np.where((seen[b] > 0)[:, None], table[b], np.nan)
    return entries, estimate, fill

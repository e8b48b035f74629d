"""What a forecaster remembers without learning: lags, seasonal tables, levels and the running scale.

Nothing here has weights, so the same memory can be computed one observation at a time (`Memory.update`, which
is exported inside the ONNX graph) or over a whole history (`training/models/columns.py`); a test holds them equal.

Values are kept raw in float64 (a meter at 48,211,734.25 does not fit float32). Whatever leaves for a learned
map is first made relative to the anchor (the last value, observed or filled) and divided by the running scale.

A season of `season_steps` slots is held in at most MAX_BINS bins of `width` slots. The table is a queue
ordered by phase: its first entry is the bin that comes next, its last the bin of the present slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models.units import Frame, relative, scale_of, slot_in_bin

State = dict[str, Tensor]
MAX_BINS = 168


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
    def table_rates(self) -> NDArray[np.float64]:
        """[rates] what one observation weighs in each seasonal table: a bin is met `width` times a season."""
        return np.asarray(1.0 - (1.0 - np.asarray(self.rates, dtype=np.float64)) ** (1.0 / self.width))

    @property
    def level_rates(self) -> NDArray[np.float64]:
        return _rate_of(self.half_lives)

    @property
    def spread_rates(self) -> NDArray[np.float64]:
        return _rate_of(self.spreads)

    @property
    def fill(self) -> int:
        """Which table a missing value is filled from: the second fastest, if there is more than one."""
        return min(1, len(self.rates) - 1)

    @property
    def features(self) -> int:
        """Length of the vector that a linear map is given."""
        return self.lags - 1 + len(self.rates) * self.bins + len(self.half_lives)


def _rate_of(half_lives: tuple[float, ...]) -> NDArray[np.float64]:
    """Share of the newest value in exponential averages with these half-lives, in steps."""
    return np.asarray(1.0 - 0.5 ** (1.0 / np.asarray(half_lives, dtype=np.float64)))


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
        self.register_buffer("rates", torch.as_tensor(spec.table_rates))
        self.register_buffer("level_rates", torch.as_tensor(spec.level_rates))
        self.register_buffer("spread_rates", torch.as_tensor(spec.spread_rates))

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
        rotate = slot_in_bin(timestamp, self.spec.interval_ms, self.spec.width) == 0
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

    def frame(self, state: State) -> Frame:
        """What the row's units refer to."""
        return Frame(state["ring"][:, -1], scale_of(state["spread"]))

    def read(self, state: State) -> Tensor:
        """[batch, features] f32, in the units of the row's frame."""
        frame = self.frame(state)
        anchor = frame.anchor
        parts = [state["ring"][:, :-1]]
        if self.spec.bins:
            table = torch.where((state["seen"] > 0)[:, None], state["table"], anchor[:, None, None])
            parts.append(table.flatten(1))
        if self.spec.half_lives:
            parts.append(state["level"])
        return relative(torch.cat(parts, 1), *frame)


#: Which level a missing value is moved to: the one whose half-life is a season.
FILL_LEVEL = 1


def _blend(old: Tensor, new: Tensor, rates: Tensor, count: Tensor, observed: Tensor) -> Tensor:
    """An exponential average that starts as a plain mean: the newest value weighs max(rate, 1 / count)."""
    weight = torch.maximum(rates[None], (1.0 / count)[:, None])
    return torch.where(observed[:, None], old + weight * (new - old), old)


def _push(queue: Tensor, newest: Tensor, rotate: Tensor) -> Tensor:
    """Put `newest` at the end: as a new entry where `rotate`, else in place of the last one."""
    return torch.where(rotate, torch.cat([queue[..., 1:], newest], -1), torch.cat([queue[..., :-1], newest], -1))

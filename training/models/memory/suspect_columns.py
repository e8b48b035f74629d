"""Suspect readings over a whole history: what `Suspects.judge` decides one reading at a time.

A decision hangs on the forecast pending at that moment, which hangs on all decisions before. Most
readings are good, so a pass supposes that it knows which are not, forecasts every step at once, and
judges; what it finds is the next pass's supposition. The first decision that differs was made on
true forecasts: every pass adds at least one right decision a stream, mostly all, and when a pass
changes nothing the result is that of going step by step.

Within a pass, the readings between two episodes only teach the reach, which is a running maximum:
those are done at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.suspect_readings import (
    NEAR_HOME,
    REACH,
    READY,
    WIDTHS,
    Suspects,
)
from eddycast.training.models.memory.units import Frame

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """After every step, [T, S] each: the reading as the memory takes it (NaN = missing or held
    back), and what that memory's coordinates are then, z = factor * y + offset."""

    taken: Array
    factor: Array
    offset: Array

    def same_as(self, other: Judged) -> bool:
        parts = (
            (self.taken, other.taken),
            (self.factor, other.factor),
            (self.offset, other.offset),
        )
        return all(np.array_equal(own, its, equal_nan=True) for own, its in parts)

    def in_data_units(self, z: Array) -> Array:
        """[T, S, ...] of the memory's coordinates after each step."""
        shape = (*self.factor.shape, *[1] * (z.ndim - 2))
        return np.asarray((z - self.offset.reshape(shape)) / self.factor.reshape(shape))


#: Callable: readings as taken -> their memory, and the quantiles .1, .5 and .9 pending after every
#: step in running scales, [T, S, 3].
Forecasts = Callable[[Judged], tuple[Columns, NDArray[np.float32]]]


def all_good(values: Array) -> Judged:
    """A judgement that holds no reading back."""
    return Judged(values, np.ones_like(values), np.zeros_like(values))


def judge_columns(
    rule: Suspects, values: Array, forecasts: Forecasts, passes: int | None = None
) -> Judged:
    """Judge values [T, S] (NaN = missing); `passes`: give up an exact result after so many."""
    judged, left = all_good(values), passes
    while left is None or left > 0:
        columns, pending = forecasts(judged)
        again = _pass(rule, values, judged, columns, pending)
        if again.same_as(judged):
            return again
        judged, left = again, None if left is None else left - 1
    return judged


def _pass(
    rule: Suspects, values: Array, supposed: Judged, columns: Columns, pending: NDArray[np.float32]
) -> Judged:
    """Every reading judged by the forecasts that were pending when it came,
    if what is `supposed` is so."""
    judged = all_good(values.copy())
    pending = np.concatenate([np.zeros_like(pending[:1]), pending[:-1]])
    x, scale, spread, count = (
        np.concatenate([np.zeros_like(column[:1]), column[:-1]])
        for column in (columns.x, columns.scale, columns.spread[..., 0], columns.count)
    )
    for s in range(values.shape[1]):
        stream = _Stream(
            rule, values[:, s], x[:, s], scale[:, s], spread[:, s], count[:, s], pending[:, s]
        )
        stream.run(supposed.factor[:, s], supposed.offset[:, s])
        judged.taken[:, s], judged.factor[:, s], judged.offset[:, s] = (
            stream.taken,
            stream.factor,
            stream.offset,
        )
    return judged


class _Stream:
    """One stream's way through its history, from episode to episode."""

    def __init__(
        self,
        rule: Suspects,
        y: Array,
        x: Array,
        scale: Array,
        spread: Array,
        count: NDArray[np.int64],
        pending: NDArray[np.float32],
    ) -> None:
        """Readings `y` [T], then what the memory held before each:
        [T], pending quantiles [T, 3]."""
        self.rule, self.y = rule, y
        self.x, self.scale, self.spread, self.count, self.pending = x, scale, spread, count, pending
        self.middle = x + scale * pending[:, 1].astype(np.float64)
        width = np.maximum((pending[:, 2] - pending[:, 0]).astype(np.float64), 1.0)
        self.limit = np.where((count >= READY) & (scale > 0), WIDTHS * scale * width, np.inf)
        self.taken, self.factor, self.offset = y.copy(), np.ones(len(y)), np.zeros(len(y))
        self.state = rule.initial_state(1)

    def run(self, factor: Array, offset: Array) -> None:
        """Judge all. Where the memory moves otherwise than to the `factor` and `offset` [T] that
        were supposed, all forecasts behind are beside the point: the rest is taken as good, till
        the next pass."""
        t = 0
        while (t := self._quiet(t)) < len(self.y):
            while t < len(self.y):
                before = self.state["moved"][0, :2].tolist()
                self._judge(t)
                moved = self.state["moved"][0, :2].tolist() != before
                t += 1
                if moved and (
                    self.factor[t - 1] != factor[t - 1] or self.offset[t - 1] != offset[t - 1]
                ):
                    self._fill(t, len(self.y))
                    return
                if not self.state["episode"].any():
                    break

    def _fill(self, start: int, stop: int) -> None:
        """Take the readings from `start` to `stop` as they are placed now."""
        gain, offset = self.state["moved"][0, :2].tolist()
        self.taken[start:stop] = self.y[start:stop] * (1.0 + gain) + offset
        self.factor[start:stop], self.offset[start:stop] = 1.0 + gain, offset

    def _quiet(self, start: int) -> int:
        """Pass over readings from `start` on of which none is suspect or goes home;
        the first that may be."""
        gain, offset, home_factor, home_offset, left, reach = self.state["moved"][0].tolist()
        y, middle, limit = self.y[start:], self.middle[start:], self.limit[start:]
        ahead = np.arange(len(y))
        off = np.abs(y * (1.0 + gain) + offset - middle)
        known = ~np.isnan(off)
        ready = known & np.isfinite(limit)
        log_decay = np.log(self.rule.decay)
        with np.errstate(divide="ignore"):
            learned = np.where(ready & (off > 0), np.log(REACH * off) - log_decay * ahead, -np.inf)
            learned = np.maximum(
                np.maximum.accumulate(learned), np.log(reach) + log_decay if reach else -np.inf
            )
        reaches = np.exp(learned + log_decay * ahead)
        reach_before = np.concatenate([[reach], reaches[:-1]])
        home = np.abs(y * home_factor + home_offset - middle)
        near = np.minimum(
            np.maximum(limit, reach_before), off * (NEAR_HOME * home_factor / (1.0 + gain))
        )
        event = (off > np.maximum(limit, reach_before)) | ((home < near) & (ahead < left))
        calm = int(np.argmax(event)) if event.any() else len(y)
        stop = start + calm
        self._fill(start, stop)
        if calm:
            kept = (
                gain,
                offset,
                home_factor,
                home_offset,
                max(left - calm, 0.0),
                reaches[calm - 1],
            )
            self.state["moved"] = torch.tensor([kept], dtype=torch.float64)
        return stop

    def _judge(self, t: int) -> None:
        """One reading as the graph has it."""
        row = {
            **self.state,
            "count": torch.tensor([[float(self.count[t])]]),
            "spread": torch.tensor([[self.spread[t]]], dtype=torch.float64),
        }
        frame = Frame(
            *(torch.tensor([column[t]], dtype=torch.float64) for column in (self.x, self.scale))
        )
        value, pending = (
            torch.tensor([self.y[t]], dtype=torch.float64),
            torch.as_tensor(self.pending[t])[None],
        )
        verdict = self.rule.decide(value, frame, pending, row)
        self.state = verdict.state
        gain, offset = self.state["moved"][0, :2].tolist()
        self.taken[t], self.factor[t], self.offset[t] = float(verdict.taken), 1.0 + gain, offset

"""The memory of a forecaster: lags, seasonal tables, levels and the running scale.

Nothing here has weights, so the same memory can be computed one observation at a time
(`Memory.update`, which is exported inside the ONNX graph) or over a whole history
(`training/models/memory/columns.py`); a test holds them equal.

Values are kept raw in float64 (a meter at 48,211,734.25 does not fit float32). Whatever leaves for
a learned map is first made relative to the anchor (the last value, observed or filled) and divided
by the running scale.

Seasons are held in tables (`training/models/memory/table.py`). The first one makes the memory's own
clock: fills, spreads and what "lately" means follow from it. A second, longer one (the week beside
the day) adds a table and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eddycast.training.models.memory.table import SeasonTable, TableSpec, Visit, blend
from eddycast.training.models.memory.units import Frame, relative, scale_of
from eddycast.training.models.tensor_state import TensorState

LEVELS = (0.5, 1.0, 3.0, 7.0)  # half-lives of the levels, in seasons
#: Smoothing rate per season of the second season's table: a week's shape is the mean of about the
#: last five, so that one holiday does not shape the next week, and yet it follows the year.
SECOND_RATE = 0.2
DAY_MS = 86_400_000
#: Revision of the code of a memory (this file, `table.py`, `counter.py`): incremented when the same
#: readings give other numbers, so that no row is read by other code than wrote it.
REVISION = 1


@dataclass(frozen=True)
class MemorySpec:
    """Dimensions of a memory. `rates` smooth the first season's tables (per season); half-lives are
    in steps; `second_steps` is the length of a second season, 0 = none."""

    interval_ms: int
    season_steps: int = 0
    lags: int = 1
    rates: tuple[float, ...] = ()
    half_lives: tuple[float, ...] = ()
    second_steps: int = 0

    @property
    def span(self) -> int:
        """Steps over which "lately" is meant: a season, or 24 steps where there is none."""
        return self.season_steps or 24

    @property
    def season(self) -> TableSpec:
        return TableSpec(self.interval_ms, self.season_steps, self.rates)

    @property
    def second(self) -> TableSpec:
        return TableSpec(self.interval_ms, self.second_steps, (SECOND_RATE,))

    @property
    def periods_ms(self) -> tuple[int, ...]:
        """The lengths whose phases are of interest:
        of the season (a day, where there is none), then of the second."""
        first = self.interval_ms * self.season_steps or DAY_MS
        return (first, self.interval_ms * self.second_steps) if self.second_steps else (first,)

    @property
    def spreads(self) -> tuple[float, ...]:
        """Half-lives of the running mean absolute differences:
        to the last value, then to the season."""
        short, long = float(self.span), 7.0 * self.span
        return (short, long, short, long) if self.season.bins else (short, long)

    @property
    def level_rates(self) -> NDArray[np.float64]:
        return _rate_of(self.half_lives)

    @property
    def spread_rates(self) -> NDArray[np.float64]:
        return _rate_of(self.spreads)

    @property
    def fill(self) -> int:
        """Index of the table that fills a missing value: the second fastest of several."""
        return min(1, len(self.rates) - 1)

    @property
    def features(self) -> int:
        """Length of the vector that a linear map is given."""
        return self.lags - 1 + self.season.features + len(self.half_lives) + self.second.features


def _rate_of(half_lives: tuple[float, ...]) -> NDArray[np.float64]:
    """Share of the newest value in exponential averages with these half-lives, in steps."""
    return np.asarray(1.0 - 0.5 ** (1.0 / np.asarray(half_lives, dtype=np.float64)))


@dataclass(frozen=True)
class Glance:
    """The step's input as seen by a latent state, [batch] each, raw values in float64."""

    observed: Tensor  # bool
    seasonal: Tensor  # the season's estimate of this value, made before it came
    second: Tensor | None = None  # the second season's
    # [batch, features] f32, what stands in the memories of the other channels
    beside: Tensor | None = None


class Memory(nn.Module):
    """The memory of a batch of streams, one observation at a time."""

    level_rates: Tensor
    spread_rates: Tensor

    def __init__(self, spec: MemorySpec) -> None:
        super().__init__()
        self.spec = spec
        self.season = SeasonTable(spec.season) if spec.season.bins else None
        self.second = SeasonTable(spec.second, "second_") if spec.second.bins else None
        self.register_buffer("level_rates", torch.as_tensor(spec.level_rates))
        self.register_buffer("spread_rates", torch.as_tensor(spec.spread_rates))

    def initial_state(self, batch: int) -> TensorState:
        spec, f64 = self.spec, torch.float64
        state = {
            "count": torch.zeros(batch, 1),
            "last": torch.zeros(batch, 1, dtype=f64),
            "ring": torch.zeros(batch, spec.lags, dtype=f64),
            "spread": torch.zeros(batch, len(spec.spreads), dtype=f64),
        }
        if spec.half_lives:
            state["level"] = torch.zeros(batch, len(spec.half_lives), dtype=f64)
        for table in self.tables:
            state |= table.initial_state(batch)
        return state

    @property
    def tables(self) -> list[SeasonTable]:
        """The tables of the seasons, the first season's first."""
        return [table for table in (self.season, self.second) if table]

    def update(
        self, value: Tensor, timestamp: Tensor, state: TensorState
    ) -> tuple[TensorState, Glance]:
        """Take one value a row ([batch] float64, NaN = missing). Missing values are filled from
        memory; tables, levels and spreads move on observed values only. Until the first observed
        value all stays zero."""
        observed = ~torch.isnan(value)
        count, anchor = state["count"][:, 0].double(), state["ring"][:, -1]
        first = observed & (count == 0)
        visits = [table.visit(timestamp, state) for table in self.tables]
        x = torch.where(observed, value, self._fill(visits, state))
        estimates = [torch.where(first, x, visit.estimate(anchor)) for visit in visits] or [anchor]
        known = torch.where(observed, value, 0.0)

        new: TensorState = {"count": state["count"] + observed[:, None].float()}
        new["last"] = torch.where(observed[:, None], value[:, None], state["last"])
        # zeros until the first value, which then fills the ring
        filled = state["ring"][:, 1:] + torch.where(first, x, 0.0)[:, None]
        new["ring"] = torch.cat([filled, x[:, None]], 1)
        change = torch.where(first, 0.0, (x - anchor).abs())
        drift = torch.where(first, 0.0, (x - estimates[0]).abs())
        changes = torch.stack([change, change, drift, drift][: len(self.spec.spreads)], 1)
        new["spread"] = blend(
            state["spread"], changes, self.spread_rates, count.clamp(min=1), observed
        )
        if self.spec.half_lives:
            new["level"] = blend(
                state["level"], known[:, None], self.level_rates, count + 1, observed
            )
        for table, visit in zip(self.tables, visits, strict=True):
            new |= table.update(visit, known, observed, state)
        return new, Glance(observed, *estimates)

    def _fill(self, visits: list[Visit], state: TensorState) -> Tensor:
        """The season's value for this phase, moved to the current level;
        the last value where that is unknown."""
        last = state["last"][:, 0]
        if not self.season:
            return last
        if not self.spec.half_lives:
            return visits[0].estimate(last)
        moved = visits[0].entry[:, self.spec.fill] + state["level"][:, FILL_LEVEL]
        return torch.where(
            visits[0].seen > 0, moved - self.season.mean(state, self.spec.fill), last
        )

    def frame(self, state: TensorState) -> Frame:
        """Anchor and scale of a row."""
        return Frame(state["ring"][:, -1], scale_of(state["spread"]))

    def read(self, state: TensorState) -> Tensor:
        """[batch, features] f32, in the units of the row's frame."""
        frame = self.frame(state)
        parts = [state["ring"][:, :-1]]
        if self.season:
            parts.append(self.season.read(state, frame.anchor))
        if self.spec.half_lives:
            parts.append(state["level"])
        if self.second:
            parts.append(self.second.read(state, frame.anchor))
        return relative(torch.cat(parts, 1), *frame)


#: Index of the level to which a filled value is moved: its half-life is a season.
FILL_LEVEL = 1

"""The contract between a family and the rest of the trainer:
a family reads a `View` and returns quantiles in units.

A class that implements `Family` is all that an author of a family writes. It derives from
`Forecaster`, which adds everything that the families share (`training/models/forecaster.py`), or
from `PointForecaster`, which asks for points alone and takes its quantiles from past errors
(`training/models/naive.py`).

*Units* are distances from the stream's last value (the anchor) divided by the stream's running
scale, both of which the memory keeps; 0 is the last value. A family that reads and returns units
alone works on any stream of any unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eddycast.training.models.anomaly import Anomaly
from eddycast.training.models.latent import Carried
from eddycast.training.models.memory.block import Block
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.counter import Kind
from eddycast.training.models.memory.memory import Memory, MemorySpec
from eddycast.training.models.memory.suspect_columns import Judged
from eddycast.training.models.memory.suspect_readings import Suspects
from eddycast.training.models.quantiles.calibration import ANCHORS, Calibration
from eddycast.training.models.quantiles.support import Support
from eddycast.training.models.tensor_state import TensorState


@dataclass(frozen=True)
class Target:
    """The quantity to forecast; every family is constructed from one."""

    interval_ms: int  # of the grid of values
    horizon: int  # leads of the multi-step forecast
    quantiles: tuple[float, ...]  # rising levels; .1, .5 and .9 are always among them
    season_steps: int = 0  # length of the season in intervals; 0 = no season
    block: int = 1  # intervals per lead: over 1, each lead is the mean of the next `block` values
    calibrated: bool = True  # adapt the widths of the intervals on each stream while it is served
    support: Support = "real"  # the values that a forecast may take
    second_steps: int = 0  # length of a second, longer season; 0 = none
    others: int = 0  # other channels of the stream whose memories the features include
    kind: Kind = "gauge"  # of a counter, values are the increases per interval
    register: float | None = None  # size of the register that counters wrap around at

    @property
    def forecast_interval_ms(self) -> int:
        """Time between two leads of the horizon."""
        return self.block * self.interval_ms

    @property
    def reach(self) -> int:
        """Intervals from the origin to the end of the horizon."""
        return self.block * self.horizon

    @property
    def median(self) -> int:
        """Index of the median among the quantiles."""
        return self.quantiles.index(0.5)

    def lead_means(self, points: Tensor) -> Tensor:
        """Points of the next `reach` intervals, [n, reach], as points of the leads,
        [n, horizon]."""
        return points.reshape(-1, self.horizon, self.block).mean(-1)


@dataclass(frozen=True)
class View:
    """The input of the heads: the memories of `n` streams, each at one moment, in units."""

    #: [n, features] float32, `MemorySpec.features` of them: the lags but the newest, oldest first;
    #: the season's tables, one rate after the other, each ordered from the phase of the next value
    #: on; the running means; the second season's table. The features of the other channels follow.
    features: Tensor
    timestamp: Tensor  # [n] int64, ms: start of the slot of the last value
    hidden: Tensor  # [n, units] float32, the hidden state; 0 units without one
    # [n, horizon] float32, training only: targets a decoder may read; NaN = its own median
    shown: Tensor | None = None


@dataclass(frozen=True)
class StepOutput:
    """The outputs of one step of a batch, shaped as in the bundle's contract
    (`service/bundle.py`)."""

    state: TensorState
    one_step: Tensor  # [batch, targets, quantiles] float64
    surprise: Tensor  # [batch] float32
    scores: Tensor  # [batch, targets, scores] float32
    anomaly: Tensor  # [batch] float32
    expected: Tensor  # [batch, targets, quantiles] float64
    error: Tensor  # [batch, targets] float64


@dataclass(frozen=True)
class Unrolled:
    """The outputs over a whole history, time first, in the unit of the data;
    NaN before a stream's first value."""

    one_step: NDArray[np.float64]  # [T, S, quantiles], the forecast made after step t
    surprise: NDArray[np.float32]  # [T, S], of the value at t
    scores: NDArray[np.float32]  # [T, S, scores]
    anomaly: NDArray[np.float32]  # [T, S], of the value at t
    multi_step: NDArray[np.float64]  # [origins, S, horizon, quantiles]
    scale: NDArray[np.float64]  # [T, S], the running scale
    judged: Judged  # the values that the memory accepted


class Family(nn.Module):
    """A family: its memory, its hidden state (or None), and the quantiles that follow from both.

    Two further attributes of the class control training. `schedule`, a
    `eddycast.training.fitting.recurrent.Schedule`, holds the hyperparameters of the gradient fit. A
    classmethod `fit(problem, schedule)` replaces that fit and returns the fitted forecaster. A
    class with neither parameters nor `fit` is used as constructed.
    """

    family = "forecaster"  # name in manifests; the class name for a custom family
    #: Revision of the family's code. With one, a new version of a model takes over the rows of the
    #: one before part by part (`training/models/parts.py`); raise it when the code moves the hidden
    #: state differently, or makes other forecasts of the same weights. None: rows are understood by
    #: the version that wrote them alone. Leave it out if the class overrides `step` or
    #: `initial_state` in a way that touches the memory.
    revision: int | None = None
    # leads are computed side by side: over long horizons training then draws some of them
    reads_at_once = True

    def __init__(
        self,
        target: Target,
        memory: MemorySpec,
        latent: Carried | None = None,
        anchors: Sequence[int] = ANCHORS,
    ) -> None:
        """`anchors` are the leads whose intervals calibration observes:
        `step` evaluates `units_at` there each time."""
        super().__init__()
        self.target = target
        self.memory = Memory(memory)
        self.latent = latent
        self.anchors = tuple(anchors)
        block = Block(target.interval_ms, target.block)
        emitted: Any = (target.horizon, target.quantiles, target.support, self.anchors)
        self.calibration = (
            Calibration(*emitted, block=block, span=memory.span) if target.calibrated else None
        )
        levels = (target.quantiles.index(level) for level in (0.1, 0.5, 0.9))
        self.suspects = Suspects(memory.span, *levels)
        self.anomaly = Anomaly(target.quantiles)

    def one_step_units(self, view: View) -> Tensor:
        """Quantiles of the next value: [n, quantiles] float32 in units, sorted.
        Implemented by every family.

        Give the median no bias: in units it would be a drift without end.
        The gaps between quantiles may have one.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement one_step_units")

    def multi_step_units(self, view: View) -> Tensor:
        """Quantiles of every lead: [n, horizon, quantiles] float32 in units, sorted.
        Implemented by every family."""
        raise NotImplementedError(f"{type(self).__name__} must implement multi_step_units")

    def units_at(self, view: View, leads: Sequence[int]) -> Tensor:
        """Quantiles of some `leads` [k], 0 = the first: [n, k, quantiles]. Override it if a few
        leads cost less than the whole horizon: `step` needs no more."""
        return self.multi_step_units(view)[:, torch.tensor(leads)]

    def scan(self, columns: Columns) -> Tensor:
        """The hidden state after every step of an unrolled memory: [T, S, units] float32;
        0 units without one."""
        return self.latent.scan(columns) if self.latent else torch.zeros(*columns.x.shape, 0)

    @property
    def span(self) -> int:
        """Steps of one season, or 24 without one: the time scale of running means and warm-up."""
        return self.memory.spec.span

    @property
    def families(self) -> list[str]:
        """Names of the families whose errors the calibration has learned."""
        return [self.family]

"""Truncated back-propagation through time over contiguous pieces of streams (pinball loss, AdamW,
one cycle).

A piece starts at a random position from a zero hidden state. Its first `burn_in` updates only warm
the state and carry no loss (Dive into Deep Learning, "Backpropagation Through Time"). For a phase
bank, a piece holds the updates of one of its states. Over long horizons each batch draws some of
the leads. Half of the batches see a copy of the history with masked runs
(`training/fitting/masking.py`), with the true values as targets. Validation carries the state
through all history.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eddycast.training.fitting.devices import CPU, on_device
from eddycast.training.fitting.masking import with_masked_runs
from eddycast.training.fitting.memories import groups_to_scan
from eddycast.training.fitting.problem import LONG, LONG_STRIDE, Problem
from eddycast.training.models.forecaster import Forecaster
from eddycast.training.models.latent import Carried, Nothing
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.quantiles.density import pinball
from eddycast.training.models.recurrent import DILATED_GRU
from eddycast.training.models.seq2seq import SEQ2SEQ
from eddycast.training.models.unrolling import view_of

ONE_STEP_SHARE = 0.2  # of the loss
FORECASTS = 250_000  # scored at a time


@dataclass(frozen=True)
class Schedule:
    """Hyperparameters of a gradient fit; lengths are in updates of a hidden state."""

    piece: int = 336
    burn_in: int = 144
    batch: int = 16
    epochs: int = 10
    iterations: int = 100  # an epoch
    cells: int = 98_304  # forecasts per batch to learn from: neighbouring moments add little
    learning_rate: float = 4e-3
    weight_decay: float = 1e-4
    patience: int = 3
    clip: float = 1.0
    seed: int = 0
    device: str = CPU  # that the gradients are computed on; a fitted model is on the CPU
    masked: float = 0.5  # share of batches that see the history with masked runs
    # share of training over which teacher forcing fades out, without early stopping
    taught: float = 0.0


#: The states of a bank have few updates each, and every update covers `stride` values.
DILATED = Schedule(piece=50, burn_in=15, learning_rate=2e-3)
#: A decoder takes as long for a lead as the encoder for a value.
DECODED = Schedule(iterations=40, cells=24_576, learning_rate=2e-3, taught=0.5)


def schedule_of(family: str) -> Schedule:
    """The default hyperparameters of a family."""
    return {DILATED_GRU: DILATED, SEQ2SEQ: DECODED}.get(family, Schedule())


#: Callable (iterations done, iterations in total, last loss, best validation loss),
#: called after every iteration.
TrainingProgress = Callable[[int, int, float, float], None]


def no_progress(done: int, total: int, loss: float, best: float) -> None:
    """Ignore the progress."""


def fit_recurrent(
    model: Forecaster,
    problem: Problem,
    columns: Columns,
    schedule: Schedule,
    report: TrainingProgress = no_progress,
) -> float:
    """Train `model` in place, and return the best validation loss (pinball, in the streams' units),
    whose weights are kept.

    ctrl-C ends the training early with the best weights so far. A final fit on everything runs for
    the number of epochs that was best before, and returns NaN.
    """
    torch.manual_seed(schedule.seed)
    schedule = _fitted(schedule, problem, _latent(model).stride)
    with on_device(schedule.device, model):
        descent = _Descent(model, problem, columns, schedule, report)
        key = ("epochs", model.family, columns.spec)
        if problem.final:
            for epoch in range(problem.choices[key]):
                descent.run(epoch, math.nan)
            best = math.nan
        else:
            found = _run_to_the_best(model, problem, columns, schedule, descent)
            best, problem.choices[key] = found
    model.eval()
    return best


def _run_to_the_best(
    model: Forecaster, problem: Problem, columns: Columns, schedule: Schedule, descent: _Descent
) -> tuple[float, int]:
    """Train until validation has not improved for `schedule.patience` epochs, and keep the best
    weights. Returns their loss and the number of epochs that led to them."""
    best, weights, epochs, bad = validation_loss(model, problem, columns), _copy(model), 0, 0
    try:
        for epoch in range(schedule.epochs):
            descent.run(epoch, best)
            judged = validation_loss(model, problem, columns)
            bad = 0 if epoch < schedule.taught * schedule.epochs else bad + 1
            if judged < best:
                best, weights, bad, epochs = judged, _copy(model), 0, epoch + 1
            if bad >= schedule.patience:
                break
    except KeyboardInterrupt:
        descent.report(descent.total, descent.total, float("nan"), best)
    model.load_state_dict(weights)
    return best, epochs


class _Descent:
    """Gradient steps of one fit. `total` is the number of iterations of all its epochs."""

    def __init__(
        self,
        model: Forecaster,
        problem: Problem,
        columns: Columns,
        schedule: Schedule,
        report: TrainingProgress,
    ) -> None:
        self.report, self.total = report, schedule.epochs * schedule.iterations
        self._model, self._schedule = model, schedule
        self._pieces = _Pieces(model, problem, columns, schedule)
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._optimiser = torch.optim.AdamW(
            self._trained, lr=schedule.learning_rate / 2, weight_decay=schedule.weight_decay
        )
        self._cycle = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, schedule.learning_rate, total_steps=self.total + 1, pct_start=0.1
        )

    def run(self, epoch: int, best: float) -> None:
        """One epoch; `best` is the validation loss to report."""
        self._model.train()
        first = epoch * self._schedule.iterations
        for done in range(first, first + self._schedule.iterations):
            loss = self._pieces.loss(done / self.total)
            self._optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self._trained, self._schedule.clip)
            self._optimiser.step()
            self._cycle.step()
            self.report(done + 1, self.total, float(loss.detach()), best)


def _copy(model: Forecaster) -> dict[str, Any]:
    return copy.deepcopy(model.state_dict())


def _latent(model: Forecaster) -> Carried:
    return model.latent or Nothing()


def _fitted(schedule: Schedule, problem: Problem, stride: int) -> Schedule:
    """The schedule with shorter pieces for a short history."""
    room = (problem.train_end - problem.target.reach - problem.warmup) // stride
    piece = max(2, min(schedule.piece, room // 2))
    return replace(schedule, piece=piece, burn_in=min(schedule.burn_in, piece // 2))


class _Pieces:
    """Draws batches of contiguous pieces from the train part and computes their loss."""

    def __init__(
        self, model: Forecaster, problem: Problem, columns: Columns, schedule: Schedule
    ) -> None:
        self.model, self.problem, self.schedule = model, problem, schedule
        self.latent = _latent(model)
        self.random = np.random.default_rng(schedule.seed)
        self.whole = columns, self.latent.inputs(columns)
        self.holed = self.whole
        if schedule.masked:
            twin = with_masked_runs(problem, self.random).columns(columns.spec)
            self.holed = twin, self.latent.inputs(twin)
        self.last = problem.train_end - problem.target.reach - schedule.piece * self.latent.stride
        self.drawn = model.reads_at_once and problem.target.horizon > LONG
        leads = LONG if self.drawn else problem.target.horizon
        self.rows = max(1, schedule.cells // leads)

    def loss(self, done: float) -> Tensor:
        """The loss of one batch, after a share `done` of the training."""
        plan, target = self.schedule, self.problem.target
        columns, inputs = self.holed if self.random.random() < plan.masked else self.whole
        start = self.random.integers(
            self.problem.warmup, max(self.last, self.problem.warmup + 1), plan.batch
        )
        stream = self.random.integers(0, self.problem.values.shape[1], plan.batch)
        times = start[:, None] + self.latent.stride * np.arange(plan.piece)
        hidden = self.latent.run(inputs[torch.as_tensor(times), torch.as_tensor(stream)[:, None]])
        t = times[:, plan.burn_in :].reshape(-1)
        s = np.repeat(stream, plan.piece - plan.burn_in)
        state = hidden[:, plan.burn_in :].flatten(0, 1)
        if self.rows < len(t):
            kept = self.random.permutation(len(t))[: self.rows]
            t, s, state = t[kept], s[kept], state[torch.as_tensor(kept)]
        leads = self.random.permutation(target.horizon)[:LONG] if self.drawn else None
        shown = (
            self.random.random((len(t), target.horizon)) < 1 - done / plan.taught
            if done < plan.taught
            else None
        )
        return _mean(_losses(self.model, self.problem, columns, state, t, s, leads, shown))


def _losses(
    model: Forecaster,
    problem: Problem,
    columns: Columns,
    hidden: Tensor,
    t: NDArray[np.int64],
    s: NDArray[np.int64],
    leads: NDArray[np.int64] | None = None,
    shown: NDArray[np.bool_] | None = None,
) -> Tensor:
    """Pinball losses in the streams' units, summed over observed targets, and the number of
    targets, [2, leads + 1]: of the horizon or of some `leads`, then of one step ahead. `shown` [n,
    horizon] marks the targets that a decoder may read."""
    scale = columns.scale[t, s]
    unit = np.where(scale > 0, scale, 1.0)[:, None]
    drawn = np.arange(model.target.horizon) if leads is None else leads
    after = np.concatenate([problem.windows(t, s, drawn), problem.next(t, s)], 1)
    anchor = columns.x[t, s][:, None]
    came = torch.as_tensor(((after - anchor) / unit).astype(np.float32))
    end = (
        None
        if model.target.support == "real"
        else torch.as_tensor((-anchor / unit).astype(np.float32))
    )
    weight = torch.as_tensor((scale / problem.unit[s]).astype(np.float32))
    view = view_of(columns, t, s, hidden)
    if shown is not None:
        view = replace(
            view, shown=torch.where(torch.as_tensor(shown), came[:, :-1], torch.tensor(torch.nan))
        )
    units = model.multi_step_units(view) if leads is None else model.units_at(view, leads.tolist())
    multi = _pinball(units, came[:, :-1], weight, model.target.quantiles, end)
    one = _pinball(
        model.one_step_units(view)[:, None], came[:, -1:], weight, model.target.quantiles, end
    )
    return torch.cat([multi, one], 1)


def _mean(losses: Tensor) -> Tensor:
    """The scalar loss of `_losses` [2, leads + 1]: the mean over leads of the mean over each lead's
    targets, and ONE_STEP_SHARE for one step ahead. A lead that is seldom observed counts as much as
    any other."""
    total, observed = losses
    mean = total / observed.clamp(min=1)
    multi = mean[:-1].sum() / (observed[:-1] > 0).sum().clamp(min=1)
    loss: Tensor = (1 - ONE_STEP_SHARE) * multi + ONE_STEP_SHARE * mean[-1]
    return loss


def _pinball(
    quantiles: Tensor,
    came: Tensor,
    weight: Tensor,
    levels: tuple[float, ...],
    end: Tensor | None = None,
) -> Tensor:
    """By lead, the sum of losses over observed targets, and the number of these, [2, leads], for
    quantiles [n, leads, Q], targets [n, leads] (NaN = missing) and weights [n].

    `end` [n, 1] is the end of a support, to which lower quantiles are moved when they are emitted:
    a target there is met by all of them (Powell, 1986). For other targets quantiles are not moved,
    since their gradient would be lost.
    """
    if end is not None:
        quantiles = torch.where(
            (came <= end)[:, :, None], quantiles.maximum(end[:, :, None]), quantiles
        )
    observed = ~torch.isnan(came)
    values = torch.where(observed, came, torch.zeros_like(came))
    loss = pinball(values, quantiles, torch.tensor(levels)) * weight[:, None]
    return torch.stack([(loss * observed).sum(0), observed.sum(0).float()])


@torch.no_grad()
def validation_loss(model: Forecaster, problem: Problem, columns: Columns) -> float:
    """The loss on the validation part, with the hidden state carried from the first row. A decoder
    is scored at every LONG_STRIDE-th origin, since it would otherwise take longer than training."""
    model.eval()
    losses = torch.zeros(2, problem.target.horizon + 1)
    for streams in groups_to_scan(problem, _latent(model).units):
        losses += _validation_losses(model, problem.of(streams), columns.of(streams))
    return float(_mean(losses))


def _validation_losses(model: Forecaster, problem: Problem, columns: Columns) -> Tensor:
    """`_losses` of some streams over all validation origins."""
    hidden = model.scan(columns)
    losses = torch.zeros(2, problem.target.horizon + 1)
    origins = problem.validation_origins(problem.target.horizon)
    origins = origins if model.reads_at_once else origins[::LONG_STRIDE]
    for chunk in np.array_split(
        origins, 1 + origins.size * problem.values.shape[1] * problem.target.horizon // FORECASTS
    ):
        if len(chunk):
            t, s = problem.pairs(chunk)
            losses += _losses(
                model, problem, columns, hidden[torch.as_tensor(t), torch.as_tensor(s)], t, s
            )
    return losses

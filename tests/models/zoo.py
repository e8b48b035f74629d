"""One small forecaster of every family, with weights that make every part of it matter,
and streams to feed it."""

from __future__ import annotations

import fcntl
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from eddycast.service.bundle import MANIFEST
from eddycast.training.export.synthetic import sample
from eddycast.training.models import (
    Forecaster,
    Joint,
    LatentAutoregression,
    LinearAutoregression,
    Mixture,
    Naive,
    SeasonalNaive,
    SequenceToSequence,
    Target,
)
from eddycast.training.models.linear import iterated_memory
from eddycast.training.models.memory.memory import MemorySpec
from eddycast.training.models.naive import PointForecaster

HOUR = 3_600_000
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
OFFSETS = torch.tensor([-1.1, -0.3, 0.0, 0.4, 1.0])
DAILY = Target(HOUR, 12, LEVELS, 24)
TWO_DAYS = Target(HOUR, 48, LEVELS, 24)
PLAIN = Target(HOUR, 12, LEVELS)
BINNED = Target(HOUR, 12, LEVELS, 240)  # ten days: two slots to a bin
WEEKLY = Target(HOUR, 12, LEVELS, 24, second_steps=168)
LONG_WEEKS = Target(HOUR, 12, LEVELS, 24, second_steps=504)  # three weeks: three slots to a bin
COUNTER = Target(HOUR, 12, LEVELS, 24, support="nonnegative", kind="counter")
HALF_DAYS = Target(HOUR, 6, LEVELS, 24, block=12)


def linear(target: Target, memory: MemorySpec | None = None) -> LinearAutoregression:
    """Random weights, small enough that forecasts stay within a few scales."""
    model = LinearAutoregression(target, memory)
    generator = torch.Generator().manual_seed(1)
    features = len(model.weights_one)
    for buffer in (model.weights_one, model.weights_multi):
        buffer.copy_(torch.randn(buffer.shape, generator=generator) / features)
    return model


def _with_offsets(model: PointForecaster) -> PointForecaster:
    model.offsets_one.copy_(OFFSETS)
    model.offsets_multi.copy_(OFFSETS * torch.linspace(1, 2, model.target.horizon)[:, None])
    return model


def _recurrent(cell: str, target: Target, path: bool) -> LatentAutoregression:
    torch.manual_seed(2)
    model = LatentAutoregression(target, cell, linear(target) if path else None, units=16)
    for head in (model.one_head, model.multi_head):
        torch.nn.init.normal_(head.weight, 0, 0.2)
    return model


def _seq2seq(target: Target, path: bool) -> SequenceToSequence:
    torch.manual_seed(4)
    model = SequenceToSequence(target, linear(target) if path else None, units=16)
    for head in (model.one_head, model.multi_head):
        torch.nn.init.normal_(head.weight, 0, 0.2)
    torch.nn.init.normal_(model.widths, 0, 0.2)
    return model


def _mixture(target: Target) -> Mixture:
    path = linear(target)
    torch.manual_seed(3)
    members = [
        LatentAutoregression(target, family, path, units=12) for family in ("lstm", "dilated_gru")
    ]
    for member in members:
        for head in (member.one_head, member.multi_head):
            torch.nn.init.normal_(head.weight, 0, 0.2)
    return Mixture([_with_offsets(path), *members])


MAKERS: dict[str, Callable[[], Forecaster]] = {
    "naive": lambda: _with_offsets(Naive(PLAIN)),
    "seasonal_naive": lambda: _with_offsets(SeasonalNaive(DAILY)),
    "seasonal_naive-binned": lambda: _with_offsets(SeasonalNaive(BINNED)),
    "ar": lambda: _with_offsets(linear(DAILY)),
    "ar-plain": lambda: _with_offsets(linear(PLAIN)),
    "ar-binned": lambda: _with_offsets(linear(BINNED)),
    "ar-iterated": lambda: _with_offsets(linear(PLAIN, iterated_memory(PLAIN, 8))),
    "ar-nonnegative": lambda: _with_offsets(linear(replace(DAILY, support="nonnegative"))),
    "rnn": lambda: _recurrent("rnn", DAILY, path=True),
    "gru": lambda: _recurrent("gru", DAILY, path=True),
    "gru-plain": lambda: _recurrent("gru", PLAIN, path=False),
    "lstm": lambda: _recurrent("lstm", DAILY, path=True),
    "dilated_gru": lambda: _recurrent("dilated_gru", DAILY, path=True),
    "dilated_gru-plain": lambda: _recurrent("dilated_gru", PLAIN, path=False),
    "dilated_gru-binned": lambda: _recurrent("dilated_gru", BINNED, path=True),
    "seasonal_naive-blocks": lambda: _with_offsets(SeasonalNaive(HALF_DAYS)),
    "ar-blocks": lambda: _with_offsets(linear(HALF_DAYS)),
    "lstm-blocks": lambda: _recurrent("lstm", HALF_DAYS, path=True),
    "seq2seq": lambda: _seq2seq(DAILY, path=True),
    "seq2seq-plain": lambda: _seq2seq(PLAIN, path=False),
    "seq2seq-long": lambda: _seq2seq(TWO_DAYS, path=True),
    "seq2seq-blocks": lambda: _seq2seq(HALF_DAYS, path=True),
    "mix": lambda: _mixture(DAILY),
    "gru-uncalibrated": lambda: _recurrent("gru", replace(DAILY, calibrated=False), path=True),
    "lstm-integer": lambda: _recurrent("lstm", replace(DAILY, support="integer"), path=True),
    "ar-weekly": lambda: _with_offsets(linear(WEEKLY)),
    "lstm-weekly": lambda: _recurrent("lstm", WEEKLY, path=True),
    "lstm-weekly-binned": lambda: _recurrent("lstm", LONG_WEEKS, path=True),
    "dilated_gru-weekly": lambda: _recurrent("dilated_gru", WEEKLY, path=False),
    "seq2seq-weekly": lambda: _seq2seq(WEEKLY, path=True),
    "ar-counter": lambda: _with_offsets(linear(COUNTER)),
    "lstm-counter": lambda: _recurrent("lstm", COUNTER, path=True),
    "lstm-binned": lambda: _recurrent("lstm", BINNED, path=True),
}


#: The kinds of heavy tests: together every family, cell, head, grid, season, support and kind of
#: reading. What combines these in another way is left to `make exhaustive`.
TYPICAL = frozenset(
    {
        *("naive", "seasonal_naive", "ar", "ar-counter", "gru", "dilated_gru", "mix"),
        *("lstm-blocks", "lstm-integer", "lstm-weekly-binned", "seq2seq"),
    }
)
#: `pytest.mark.parametrize` arguments of a heavy test.
HEAVY_KINDS = [
    pytest.param(kind, marks=() if kind in TYPICAL else pytest.mark.exhaustive)
    for kind in sorted(MAKERS)
]


@functools.cache
def joint(family: str, channels: int, at: tuple[int, ...]) -> Joint:
    """A forecaster of the channels `at`, each of which looks at all `channels`. Shared:
    do not change it."""
    target = replace(DAILY, others=channels - 1)
    parts = [
        _with_offsets(linear(target)) if family == "ar" else _recurrent(family, target, path=True)
        for _ in at
    ]
    return Joint(parts, at, channels).eval()


@functools.cache
def forecaster(kind: str) -> Forecaster:
    """The forecaster of this kind, ready to forecast. Shared: do not change it."""
    return MAKERS[kind]().eval()


def streams(
    kind: str, steps: int, count: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """`eddycast.training.export.synthetic` on the kind's grid."""
    return sample(forecaster(kind).target, steps, count, seed)


def scale_or_one(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(scale > 0, scale, 1.0)


def bundle_of(kind: str, root: Path) -> Path:
    """`forecaster(kind)` exported below `root`, once for all who ask, also at the same time: an
    export takes seconds. Shared: do not change it."""
    from eddycast.training.export.onnx_export import Identity, export_bundle

    directory = root / kind
    with (root / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / MANIFEST).exists():  # the last file of an export
            export_bundle(forecaster(kind), Identity(kind), directory)
    return directory

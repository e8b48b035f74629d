"""The golden sequence of a bundle: a short input, and the outputs of torch for it.
Loading a bundle replays it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddycast.service.bundle import OPTIONAL
from eddycast.training.data.counters import increases
from eddycast.training.models import Joint, Target
from eddycast.training.models.joint import Model
from eddycast.training.models.memory.columns import unroll_memory
from eddycast.training.models.quantiles.support import confine
from eddycast.training.models.tensor_state import TensorState

GOLDEN_STEPS, GOLDEN_BATCH = 96, 3
GOLDEN_JUMPS = (11, 401, 100_003)  # steps that each row jumps over in the end


def golden_sequence(model: Model) -> dict[str, NDArray[Any]]:
    """Inputs with missing values and the outputs of torch for them, as the arrays of `golden.npz`
    (`service/bundle.py`)."""
    values, timestamps = golden_input(model.target, model.span)
    state = model.initial_state(GOLDEN_BATCH)
    names = ("one_step", "surprise", "scores", *OPTIONAL)
    outputs: dict[str, list[NDArray[Any]]] = {name: [] for name in (*names, "multi_step")}
    with torch.no_grad():
        for value, timestamp in zip(values, timestamps, strict=True):
            when = torch.as_tensor(timestamp)
            out = model.step(torch.as_tensor(value), when, state)
            state = out.state
            for name in names:
                outputs[name].append(getattr(out, name).numpy())
            outputs["multi_step"].append(model.forecast(when, state).numpy())
        jumped = _after_jump(model, torch.as_tensor(timestamps[-1]), state)
    stacked = {name: np.stack(column) for name, column in outputs.items()}
    scale = _scale(model, values, timestamps[:, 0])
    return {"value": values, "timestamp": timestamps, "scale": scale, **stacked, **jumped}


def _after_jump(model: Model, stamp: Tensor, state: TensorState) -> dict[str, NDArray[Any]]:
    """The outputs of a step without a value after jumps from the slots `stamp` [batch]."""
    steps, interval = torch.tensor(GOLDEN_JUMPS), model.target.interval_ms
    last = stamp + steps * interval
    row = state | model.jump(steps, last, state)
    nothing = torch.full((len(steps), 1 + model.target.others), torch.nan, dtype=torch.float64)
    out = model.step(nothing, last + interval, row)
    found = {"steps": steps, "one_step": out.one_step}
    found["multi_step"] = model.forecast(last + interval, out.state)
    return {f"jump_{name}": tensor.numpy() for name, tensor in found.items()}


def _scale(
    model: Model, values: NDArray[np.float64], timestamps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The running scale after each step, [steps, batch]; the smallest of several targets."""
    targets = zip(model.parts, model.at, strict=True) if isinstance(model, Joint) else [(model, 0)]
    scales = []
    for part, at in targets:
        channel = values[:, :, at]
        seen = (
            increases(channel, part.target.register) if part.target.kind == "counter" else channel
        )
        scales.append(unroll_memory(part.memory.spec, seen, timestamps).scale)
    return np.asarray(np.min(scales, axis=0))


def golden_input(target: Target, span: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """value [steps, batch, channels] and timestamp [steps, batch];
    each channel has its own noise and missing values."""
    channels = [_golden_channel(target, span, channel) for channel in range(1 + target.others)]
    start = 1_700_000_000_000 // target.interval_ms
    timestamps = np.repeat(
        ((start + np.arange(GOLDEN_STEPS)) * target.interval_ms)[:, None], GOLDEN_BATCH, 1
    )
    return np.stack(channels, 2), timestamps


def _golden_channel(target: Target, span: int, channel: int) -> NDArray[np.float64]:
    """One channel, [steps, batch]: a season with noise, large values far from zero, and a late
    start, with missing values in all. A support makes many values zero; counters add the values up,
    and the first of them resets once."""
    random = np.random.default_rng(7 + channel)
    steps = np.arange(GOLDEN_STEPS)
    season = np.sin(2 * np.pi * steps / span)
    noise = random.normal(0, 0.2, (GOLDEN_STEPS, GOLDEN_BATCH))
    values = season[:, None] * (1.0, 250.0, 0.01) + noise * (1.0, 50.0, 0.002)
    values += (20.0, 48_211_734.25, -3.0) if target.support == "real" else 0.0
    values = confine(torch.as_tensor(values), target.support).numpy()
    if target.kind == "counter":
        values = values.cumsum(0) + np.array([20.0, 48_211_734.25, 0.0])
        values[60:, 0] -= values[60, 0]
    values[random.random(values.shape) < 0.1] = np.nan
    values[40 + 6 * channel : 52 + 6 * channel, 0] = np.nan
    values[: 9 + 5 * channel, 2] = np.nan
    return values

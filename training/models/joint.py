"""Several channels in, several targets out: one forecaster for each target,
which also reads the other channels.

The forecaster of a target has the full memory of its own channel. Beside it are light memories of
the other channels (`training/models/channels.py`), which all targets share.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from eddycast.training.models.channels import light_memory
from eddycast.training.models.contract import StepOutput, Unrolled
from eddycast.training.models.forecaster import Forecaster
from eddycast.training.models.jumping import jump_memory
from eddycast.training.models.memory.columns import unroll_memory
from eddycast.training.models.memory.memory import Memory
from eddycast.training.models.memory.suspect_readings import possible
from eddycast.training.models.parts import StatePart, joined, memory_parts
from eddycast.training.models.tensor_state import TensorState, part_of, prefixed


class Joint(nn.Module):
    """Forecasters `parts` of the channels `at`, one each, of `channels` in all. Raises ValueError
    unless all parts have the same target."""

    def __init__(self, parts: Sequence[Forecaster], at: Sequence[int], channels: int) -> None:
        super().__init__()
        self.target = parts[0].target
        if any(part.target != self.target for part in parts) or self.target.others != channels - 1:
            raise ValueError(
                "the parts of a joint forecaster look at all channels and share what they forecast"
            )
        self.members = nn.ModuleList(parts)
        self.at, self.channels = tuple(at), channels
        self.light = Memory(light_memory(self.target.interval_ms, self.target.season_steps))
        self.looked_at = [channel for channel in range(channels) if set(self.at) != {channel}]

    @property
    def parts(self) -> list[Forecaster]:
        """The forecasters, in the order of the targets."""
        return [part for part in self.members if isinstance(part, Forecaster)]

    @property
    def family(self) -> str:
        """The family of the parts, joined by + where `auto` chose several."""
        return "+".join(dict.fromkeys(part.family for part in self.parts))

    @property
    def span(self) -> int:
        """Steps of one season, or 24 without one."""
        return self.parts[0].span

    def initial_state(self, batch: int) -> TensorState:
        """The state of streams never seen: zeros, [batch, ...] each."""
        lights = {_light(channel): self.light.initial_state(batch) for channel in self.looked_at}
        parts = {_part(place): part.initial_state(batch) for place, part in enumerate(self.parts)}
        return prefixed(lights | parts)

    def state_parts(self) -> list[StatePart]:
        """The parts of all targets, joined by name;
        the memories of the other channels belong to the core."""
        targets = {_part(place): part.state_parts() for place, part in enumerate(self.parts)}
        if not all(targets.values()):
            return []
        lights = {_light(channel): memory_parts(self.light, "gauge") for channel in self.looked_at}
        return joined(lights | targets)

    def step(self, value: Tensor, timestamp: Tensor, state: TensorState) -> StepOutput:
        """Consume value [batch, channels] float64 (NaN = missing) of the slot that starts at
        timestamp [batch] int64, ms."""
        value = possible(value)
        lights = {
            channel: self.light.update(
                value[:, channel], timestamp, part_of(_light(channel), state)
            )[0]
            for channel in self.looked_at
        }
        features = {channel: self.light.read(light) for channel, light in lights.items()}
        outs = [
            part.step(
                value[:, at : at + 1],
                timestamp,
                part_of(_part(place), state),
                _beside(features, at),
            )
            for place, (part, at) in enumerate(zip(self.parts, self.at, strict=True))
        ]
        row = {_light(channel): light for channel, light in lights.items()}
        row |= {_part(place): out.state for place, out in enumerate(outs)}
        one_step, scores, expected, error = (
            torch.cat([getattr(out, name) for out in outs], 1)
            for name in ("one_step", "scores", "expected", "error")
        )
        surprise, anomaly = (
            _summed([out.surprise for out in outs]),
            largest([out.anomaly for out in outs]),
        )
        return StepOutput(prefixed(row), one_step, surprise, scores, anomaly, expected, error)

    def forecast(self, timestamp: Tensor, state: TensorState) -> Tensor:
        """Quantiles [batch, horizon, targets, quantiles] float64 for timestamp + (1 .. horizon)
        forecast intervals."""
        features = {
            channel: self.light.read(part_of(_light(channel), state)) for channel in self.looked_at
        }
        forecasts = [
            part.forecast(timestamp, part_of(_part(place), state), _beside(features, at))
            for place, (part, at) in enumerate(zip(self.parts, self.at, strict=True))
        ]
        return torch.cat(forecasts, 2)

    def jump(self, steps: Tensor, timestamp: Tensor, state: TensorState) -> TensorState:
        """The tensors that `steps` [batch] steps without values change, at once; see
        `eddycast.training.models.jumping.jump`."""
        lights = {
            _light(channel): jump_memory(
                self.light, steps, timestamp, part_of(_light(channel), state)
            )
            for channel in self.looked_at
        }
        parts = {
            _part(place): part.jump(steps, timestamp, part_of(_part(place), state))
            for place, part in enumerate(self.parts)
        }
        return prefixed(lights | parts)

    def unroll(
        self,
        values: NDArray[np.float64],
        timestamps: NDArray[np.int64],
        origins: Sequence[int] | None = None,
    ) -> list[Unrolled]:
        """`step` and `forecast` over values [T, S, channels] on the grid timestamps [T], an
        `Unrolled` for each target; its surprise is that of its own values alone."""
        values = possible(torch.as_tensor(values)).numpy()
        lights = [
            unroll_memory(self.light.spec, values[..., channel], timestamps)
            for channel in range(self.channels)
        ]
        return [
            part.unroll(values[..., at], timestamps, origins, lights[:at] + lights[at + 1 :])
            for part, at in zip(self.parts, self.at, strict=True)
        ]


#: A forecaster that can be exported: of one target, or of several together.
Model = Forecaster | Joint


def _light(channel: int) -> str:
    return f"channel{channel}"


def _part(place: int) -> str:
    return f"target{place}"


def _beside(features: dict[int, Tensor], at: int) -> Tensor:
    """Features [batch, features] of all channels but `at`, in their order."""
    return torch.cat([read for channel, read in features.items() if channel != at], 1)


def largest(anomalies: list[Tensor]) -> Tensor:
    """[batch] the largest anomaly of the targets that have one, its tail probability times their
    number, because one of several is large more often than one; NaN where none has."""
    missing = [torch.isnan(anomaly) for anomaly in anomalies]
    ranks = [
        torch.where(gone, 0.0, anomaly) for anomaly, gone in zip(anomalies, missing, strict=True)
    ]
    targets = torch.stack([(~gone).float() for gone in missing], 1).sum(1)
    ranked = (1.0 - targets * (1.0 - reduce(torch.maximum, ranks))).clamp(min=0.0)
    return torch.where(targets > 0, ranked, torch.nan)


def _summed(surprises: list[Tensor]) -> Tensor:
    """Sum of the surprises over the targets that have one, [batch]; NaN where none has."""
    stacked = torch.stack(surprises, 1)
    missing = torch.isnan(stacked)
    total = torch.where(missing, 0.0, stacked).sum(1)
    return torch.where(missing.all(1), torch.nan, total)

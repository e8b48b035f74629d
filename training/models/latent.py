"""The hidden state of a stream beside its memory, and the inputs that a recurrent cell gets from
the memory. A forecaster has one or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eddycast.training.models.cells import CELLS, Cell
from eddycast.training.models.channels import SHOWN, shown_in, shown_of
from eddycast.training.models.memory.columns import Columns
from eddycast.training.models.memory.memory import Glance, MemorySpec
from eddycast.training.models.memory.units import safe, scale_of
from eddycast.training.models.tensor_state import TensorState

#: Limit of a recurrent cell's inputs, in running scales:
#: an outlier must not saturate its state for ever.
INPUT_BOUND = 10.0


class Carried(nn.Module):
    """A hidden state that is carried from step to step beside the memory, zeros for a stream never
    seen. With a `stride` over 1 it consists of that many states, which are updated in turn."""

    stride = 1

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def weights(self) -> dict[str, Tensor]:
        """The weights that `advance` uses; another model takes the state over only if they are the
        same to the bit."""
        return dict(self.state_dict())

    def initial_state(self, batch: int) -> TensorState:
        """Zeros, [batch, ...] a tensor."""
        raise NotImplementedError(f"{type(self).__name__} must implement initial_state")

    def advance(
        self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState
    ) -> TensorState:
        """The state after one step: `memory` is the memory after that step,
        `state` contains the own tensors before it."""
        raise NotImplementedError(f"{type(self).__name__} must implement advance")

    def jump(self, steps: Tensor, state: TensorState) -> TensorState:  # noqa: ARG002
        """The tensors that change by the mere passing of `steps` [batch] int64 steps without a
        value (`training/models/jumping.py`): none, unless states take turns."""
        return {}

    def read(self, state: TensorState) -> Tensor:
        """The hidden state that heads see, [batch, units] float32."""
        raise NotImplementedError(f"{type(self).__name__} must implement read")

    def inputs(self, columns: Columns) -> Tensor:
        """The inputs of every step of an unrolled memory, [T, S, inputs] float32, for training."""
        raise NotImplementedError(f"{type(self).__name__} must implement inputs")

    def run(self, inputs: Tensor) -> Tensor:
        """Hidden states [batch, updates, units] for inputs [batch, updates, inputs],
        from a zero state: `advance` step by step."""
        raise NotImplementedError(f"{type(self).__name__} must implement run")

    def carry(self, inputs: Tensor) -> Tensor:
        """Hidden states [batch, T, units] for inputs [batch, T, inputs], from zero states;
        `stride` states take turns."""
        batch, steps, size = inputs.shape
        rounds = -(-steps // self.stride)
        padded = functional.pad(inputs, (0, 0, 0, rounds * self.stride - steps))
        turns = padded.reshape(batch, rounds, self.stride, size).transpose(1, 2).flatten(0, 1)
        hidden = self.run(turns).reshape(batch, self.stride, rounds, self.units).transpose(1, 2)
        return hidden.reshape(batch, rounds * self.stride, self.units)[:, :steps]

    def scan(self, columns: Columns) -> Tensor:
        """Hidden states after every step of an unrolled memory, [T, S, units] float32; zero until a
        stream's first observed value, wherever in the history that is."""
        steps = len(columns.timestamps)
        start = np.argmax(columns.count > 0, 0)
        forward = np.minimum(np.arange(steps)[:, None] + start, steps - 1)
        streams = np.arange(len(start))
        hidden = self.carry(self.inputs(columns)[forward, streams].transpose(0, 1)).transpose(0, 1)
        back = np.arange(steps)[:, None] - start
        aligned = hidden[np.maximum(back, 0), streams]
        return torch.where(
            torch.as_tensor(columns.count > 0)[:, :, None], aligned, torch.zeros_like(aligned)
        )


class Nothing(Carried):
    """An empty hidden state, so that forecasters with and without one are trained alike."""

    def __init__(self) -> None:
        super().__init__(0)

    def inputs(self, columns: Columns) -> Tensor:
        return torch.zeros(*columns.x.shape, 0)

    def run(self, inputs: Tensor) -> Tensor:
        return inputs


class Latent(Carried):
    """A recurrent hidden state h_t = g(h_{t-stride}, x_t),
    where x_t describes the memory after step t, in units.

    `cell` is a name in CELLS or a `Cell` of your own. `others` is the number of further channels,
    of which x_t has a few features each. Raises ValueError for a memory with fewer than two
    half-lives.
    """

    def __init__(
        self,
        cell: str | Cell,
        memory: MemorySpec,
        units: int,
        inputs: int | None = None,
        others: int = 0,
    ) -> None:
        super().__init__(units)
        if len(memory.half_lives) < 2:
            raise ValueError(
                "a latent state reads a near and a slow "
                "level: give the memory two half_lives or more"
            )
        self.spec = memory
        self.others = others
        self.embed = nn.Linear((inputs or cell_input_size(memory)) + others * len(SHOWN), units)
        self.cell = CELLS[cell](units) if isinstance(cell, str) else cell

    def initial_state(self, batch: int) -> TensorState:
        """Zeros, [batch, units] a tensor of the cell."""
        return {name: torch.zeros(batch, self.units) for name in self.cell.tensors}

    def advance(
        self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState
    ) -> TensorState:
        inputs = self.show(memory, glance, timestamp)
        advanced = self.cell.advance(functional.relu(self.embed(inputs)), state)
        started = memory["count"] > 0
        return {name: torch.where(started, tensor, 0.0) for name, tensor in advanced.items()}

    def read(self, state: TensorState) -> Tensor:
        return state["hidden"]

    def show(self, memory: TensorState, glance: Glance, timestamp: Tensor) -> Tensor:
        """The inputs of the cell after one step, [batch, inputs] float32."""
        x, level, spread = memory["ring"][:, -1], memory["level"], memory["spread"]
        estimates = [glance.seasonal] if glance.second is None else [glance.seasonal, glance.second]
        phases = [phase_of(timestamp, period) for period in self.spec.periods_ms]
        own = cell_inputs(x, estimates, level, spread, glance.observed, phases)
        return own if glance.beside is None else _with_others(own, shown_of(glance.beside))

    def inputs(self, columns: Columns) -> Tensor:
        """The inputs of the cell after every step of an unrolled memory, [T, S, inputs] float32."""
        x, estimates = (
            torch.as_tensor(columns.x),
            [torch.as_tensor(estimate) for estimate in columns.estimates],
        )
        stamps = torch.as_tensor(columns.timestamps)
        phases = [phase_of(stamps, period)[:, None].expand_as(x) for period in self.spec.periods_ms]
        level, spread = torch.as_tensor(columns.level), torch.as_tensor(columns.spread)
        own = cell_inputs(x, estimates, level, spread, torch.as_tensor(columns.observed), phases)
        return _with_others(own, shown_in(columns)) if columns.beside else own

    def run(self, inputs: Tensor) -> Tensor:
        """Hidden states [batch, updates, units] of one of the states,
        for inputs [batch, updates, inputs], from zero."""
        return self.cell.scan(functional.relu(self.embed(inputs)))


def cell_inputs(
    x: Tensor,
    estimates: Sequence[Tensor],
    level: Tensor,
    spread: Tensor,
    observed: Tensor,
    phases: Sequence[Tensor],
) -> Tensor:
    """Inputs of a recurrent cell [..., 6, 8 or 11] float32, from columns of any leading shape;
    free of level and unit.

    level is [..., half-lives], spread [..., 2 or 4]. `estimates` and `phases` have one entry [...]
    for every season: its estimate of x in the unit of the data, and its phase in turns.
    """
    scale = safe(scale_of(spread))
    near, slow = level[..., 1], level[..., -1]
    columns = [(x - near) / scale, (near - slow) / scale]
    logs = [torch.log(spread[..., 0] / scale + 0.02)]
    if spread.shape[-1] == 4:
        columns.append((estimates[0] - near) / scale)
        logs.append(torch.log(spread[..., 2] / scale + 0.02))
    rest = [log.float() for log in logs] + [*circled(phases[0]), observed.float()]
    shown = [bounded(columns), torch.stack(rest, -1)]
    for estimate, phase in zip(estimates[1:], phases[1:], strict=True):
        shown += [bounded([(estimate - near) / scale]), torch.stack(circled(phase), -1)]
    return torch.cat(shown, -1)


def _with_others(own: Tensor, others: Tensor) -> Tensor:
    return torch.cat([own, others.clamp(-INPUT_BOUND, INPUT_BOUND)], -1)


def cell_input_size(spec: MemorySpec) -> int:
    """Length of `cell_inputs` for a memory."""
    return 6 + 2 * bool(spec.season.bins) + 3 * bool(spec.second.bins)


def bounded(columns: Sequence[Tensor]) -> Tensor:
    """Columns [...] in units, stacked and clipped to INPUT_BOUND: [..., columns] float32."""
    return torch.stack(list(columns), -1).clamp(-INPUT_BOUND, INPUT_BOUND).float()


def circled(phase: Tensor) -> list[Tensor]:
    """A phase in turns [...] as a point on the circle: its sine and cosine."""
    turn = phase * (2.0 * torch.pi)
    return [torch.sin(turn), torch.cos(turn)]


def phase_of(timestamp: Tensor, period_ms: int) -> Tensor:
    """Position of timestamps [...] in a period, in turns from 0 to 1, float32."""
    return (timestamp.remainder(period_ms).double() / period_ms).float()

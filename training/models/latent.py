"""The latent state of a stream: what its memory shows a recurrent cell, step by step.

A class of its own so that a forecaster either has one or has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.models.cells import CELLS, Cell
from training.models.channels import SHOWN, shown_in, shown_of
from training.models.memory.columns import Columns
from training.models.memory.memory import Glance, MemorySpec
from training.models.memory.units import safe, scale_of
from training.models.tensor_state import TensorState

#: Bounds of what a recurrent cell is shown, in running scales: an outlier must not saturate its state for ever.
INPUT_BOUND = 10.0


class Carried(nn.Module):
    """A hidden state beside the memory, carried from step to step: zeros for a stream never seen. With a `stride`
    over 1, states take turns."""

    stride = 1

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def weights(self) -> dict[str, Tensor]:
        """All that `advance` has learned: a state goes on under the same weights only."""
        return dict(self.state_dict())

    def initial_state(self, batch: int) -> TensorState:
        """Zeros, [batch, ...] each."""
        raise NotImplementedError(f"{type(self).__name__} must say what it carries")

    def advance(self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState) -> TensorState:
        """The state after one step: `memory` is the memory after it, `state` holds the own tensors before it."""
        raise NotImplementedError(f"{type(self).__name__} must advance by one step")

    def read(self, state: TensorState) -> Tensor:
        """What the heads read of the state, [batch, units]."""
        raise NotImplementedError(f"{type(self).__name__} must be read")

    def inputs(self, columns: Columns) -> Tensor:
        """What each step of an unrolled memory shows the state, [T, S, inputs]: to train on."""
        raise NotImplementedError(f"{type(self).__name__} must say what it is shown")

    def run(self, inputs: Tensor) -> Tensor:
        """inputs [batch, updates, inputs] from a zero state -> what the heads read, [batch, updates, units]: as
        `advance` step by step."""
        raise NotImplementedError(f"{type(self).__name__} must run through a piece of history")

    def carry(self, inputs: Tensor) -> Tensor:
        """inputs [batch, T, inputs] from zero states -> hidden [batch, T, units]: `stride` states that take turns."""
        batch, steps, size = inputs.shape
        rounds = -(-steps // self.stride)
        padded = functional.pad(inputs, (0, 0, 0, rounds * self.stride - steps))
        turns = padded.reshape(batch, rounds, self.stride, size).transpose(1, 2).flatten(0, 1)
        hidden = self.run(turns).reshape(batch, self.stride, rounds, self.units).transpose(1, 2)
        return hidden.reshape(batch, rounds * self.stride, self.units)[:, :steps]

    def scan(self, columns: Columns) -> Tensor:
        """Hidden after every step; a stream starts from zero at its first observed value, wherever
        in the history that is, and is zero before."""
        steps = len(columns.timestamps)
        start = np.argmax(columns.count > 0, 0)
        forward = np.minimum(np.arange(steps)[:, None] + start, steps - 1)
        streams = np.arange(len(start))
        hidden = self.carry(self.inputs(columns)[forward, streams].transpose(0, 1)).transpose(0, 1)
        back = np.arange(steps)[:, None] - start
        aligned = hidden[np.maximum(back, 0), streams]
        return torch.where(torch.as_tensor(columns.count > 0)[:, :, None], aligned, torch.zeros_like(aligned))


class Nothing(Carried):
    """No hidden state: for what trains forecasters with one and without one alike."""

    def __init__(self) -> None:
        super().__init__(0)

    def inputs(self, columns: Columns) -> Tensor:
        return torch.zeros(*columns.x.shape, 0)

    def run(self, inputs: Tensor) -> Tensor:
        return inputs


class Latent(Carried):
    """h_t = g(h_{t-stride}, x_t), with x_t the memory's columns in running scales, and a few of `others` channels. The
    cell is one of CELLS by name, or one's own. Raises ValueError for a memory of fewer than two levels."""

    def __init__(
        self, cell: str | Cell, memory: MemorySpec, units: int, inputs: int | None = None, others: int = 0
    ) -> None:
        super().__init__(units)
        if len(memory.half_lives) < 2:
            raise ValueError("a latent state is shown a near and a slow level: give the memory two half_lives or more")
        self.spec = memory
        self.others = others
        self.embed = nn.Linear((inputs or cell_input_size(memory)) + others * len(SHOWN), units)
        self.cell = CELLS[cell](units) if isinstance(cell, str) else cell

    def initial_state(self, batch: int) -> TensorState:
        """Zeros for every tensor of the cell, [batch, units]."""
        return {name: torch.zeros(batch, self.units) for name in self.cell.tensors}

    def advance(self, memory: TensorState, glance: Glance, timestamp: Tensor, state: TensorState) -> TensorState:
        inputs = self.show(memory, glance, timestamp)
        advanced = self.cell.advance(functional.relu(self.embed(inputs)), state)
        started = memory["count"] > 0
        return {name: torch.where(started, tensor, 0.0) for name, tensor in advanced.items()}

    def read(self, state: TensorState) -> Tensor:
        return state["hidden"]

    def show(self, memory: TensorState, glance: Glance, timestamp: Tensor) -> Tensor:
        """What the cell is shown of the memory after a step, [batch, inputs]."""
        x, level, spread = memory["ring"][:, -1], memory["level"], memory["spread"]
        estimates = [glance.seasonal] if glance.second is None else [glance.seasonal, glance.second]
        phases = [phase_of(timestamp, period) for period in self.spec.periods_ms]
        own = cell_inputs(x, estimates, level, spread, glance.observed, phases)
        return own if glance.beside is None else _with_others(own, shown_of(glance.beside))

    def inputs(self, columns: Columns) -> Tensor:
        """What the cell is shown after every step of an unrolled memory, [T, S, inputs]."""
        x, estimates = torch.as_tensor(columns.x), [torch.as_tensor(estimate) for estimate in columns.estimates]
        stamps = torch.as_tensor(columns.timestamps)
        phases = [phase_of(stamps, period)[:, None].expand_as(x) for period in self.spec.periods_ms]
        level, spread = torch.as_tensor(columns.level), torch.as_tensor(columns.spread)
        own = cell_inputs(x, estimates, level, spread, torch.as_tensor(columns.observed), phases)
        return _with_others(own, shown_in(columns)) if columns.beside else own

    def run(self, inputs: Tensor) -> Tensor:
        """One state's updates, inputs [batch, updates, inputs] from a zero state -> hidden [batch, updates, units]."""
        return self.cell.scan(functional.relu(self.embed(inputs)))


def cell_inputs(
    x: Tensor,
    estimates: Sequence[Tensor],
    level: Tensor,
    spread: Tensor,
    observed: Tensor,
    phases: Sequence[Tensor],
) -> Tensor:
    """What a recurrent cell is shown [..., 6, 8 or 11], from columns of any leading shape: free of level and units.

    level [..., half-lives], spread [..., 2 or 4]; of every season its estimate of x and the phase in turns, [...] each.
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
    return 6 + 2 * bool(spec.season.bins) + 3 * bool(spec.second.bins)


def bounded(columns: Sequence[Tensor]) -> Tensor:
    """Columns [...] in running scales, side by side and within what a cell is shown: [..., columns] f32."""
    return torch.stack(list(columns), -1).clamp(-INPUT_BOUND, INPUT_BOUND).float()


def circled(phase: Tensor) -> list[Tensor]:
    """A phase in turns as a point on the circle: sine and cosine."""
    turn = phase * (2.0 * torch.pi)
    return [torch.sin(turn), torch.cos(turn)]


def phase_of(timestamp: Tensor, period_ms: int) -> Tensor:
    """Where `timestamp` stands in a period, in turns from 0 to 1, f32."""
    return (timestamp.remainder(period_ms).double() / period_ms).float()

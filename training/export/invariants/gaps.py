"""The invariant of a long gap: a jump over it leaves the row that its steps leave."""

from __future__ import annotations

import torch

from eddycast.training.export.invariants.checking import FEW, InvariantBroken, carried
from eddycast.training.export.synthetic import sample
from eddycast.training.models import Forecaster
from eddycast.training.models.tensor_state import TensorState

GAPS = (1, 7, 130)  # steps of each row
#: Largest difference, relative to the largest number of a tensor: the order of sums.
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}


def a_jump_is_its_steps(model: Forecaster) -> None:
    """A gap at once moves every tensor as its steps do, but for a hidden state, which the service
    lets settle, and what is pending. Broken by a `step` that adds tensors which move without a
    value: override `jump`, too."""
    values, timestamps = sample(model.target, 2 * FEW, len(GAPS), seed=9)
    state, _ = carried(model, model.initial_state(len(GAPS)), values, timestamps)
    steps = torch.tensor(GAPS)
    first = torch.full_like(steps, int(timestamps[-1]) + model.target.interval_ms)
    with torch.no_grad():
        last = first + (steps - 1) * model.target.interval_ms
        at_once = state | model.jump(steps, last, state)
        stepped = _stepped(model, state, first, steps)
    latent = model.latent.initial_state(1) if model.latent else {}
    for name in stepped.keys() - latent.keys() - {"pending", "bounds"}:
        apart = (at_once[name] - stepped[name]).abs().double()
        most = float(stepped[name].abs().max().clamp(min=1e-12))
        if not apart.max() <= ROUNDING.get(stepped[name].dtype, 0.0) * most:
            raise InvariantBroken(
                "a jump is its steps", f"{name!r} after a gap", f"differs by {apart.max():.2g}"
            )


def _stepped(
    model: Forecaster, state: TensorState, first: torch.Tensor, steps: torch.Tensor
) -> TensorState:
    """The rows after `steps` [batch] slots without a value, from the slots `first` [batch] on."""
    nothing = torch.full((len(steps), 1), torch.nan, dtype=torch.float64)
    for i in range(int(steps.max())):
        moved = model.step(nothing, first + i * model.target.interval_ms, state).state
        goes = i < steps
        state = {
            name: torch.where(goes.reshape(-1, *[1] * (row.dim() - 1)), moved[name], row)
            for name, row in state.items()
        }
    return state

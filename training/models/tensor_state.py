"""The state of a batch of streams: named tensors, [batch, ...] each.
Several states share one row under prefixes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

TensorState = dict[str, Tensor]


def prefixed(states: Mapping[str, TensorState]) -> TensorState:
    """One state of all tensors, named `PART_TENSOR` after the part that each belongs to."""
    return {
        f"{part}_{name}": tensor for part, state in states.items() for name, tensor in state.items()
    }


def part_of(part: str, state: TensorState) -> TensorState:
    """The tensors of one part, without their prefix: the inverse of `prefixed`."""
    return {
        name.removeprefix(f"{part}_"): tensor
        for name, tensor in state.items()
        if name.startswith(f"{part}_")
    }

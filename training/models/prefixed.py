"""The states of several parts in one row: every tensor carries the name of its part in front."""

from __future__ import annotations

from collections.abc import Mapping

from training.models.memory.memory import State


def prefixed(states: Mapping[str, State]) -> State:
    """All tensors in one state, `PART_NAME` each."""
    return {f"{part}_{name}": tensor for part, state in states.items() for name, tensor in state.items()}


def part_of(part: str, state: State) -> State:
    """The tensors of one part, without their prefix."""
    return {name.removeprefix(f"{part}_"): tensor for name, tensor in state.items() if name.startswith(f"{part}_")}

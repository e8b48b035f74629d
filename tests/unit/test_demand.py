"""Graph steps of a poll are estimated from stamps and rows alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.bundle import TensorSpec
from eddycast.service.processing.demand import (
    JUMPED_STEPS,
    Demand,
    StepEstimator,
    cost,
    split_by_cost,
)
from eddycast.service.records import Observations
from eddycast.service.state.arena import Arena
from eddycast.training.data.slots import assign_slots

MINUTE, MAX_GAP = 60_000, 8
SPECS = (TensorSpec(name="value", dtype="float32", shape=(1,)),)
jumps = st.lists(
    st.sampled_from([-400_000, -61_000, 0, 20_000, 59_000, 61_000, 130_000, 470_000, 540_000]),
    max_size=40,
)


def observations(stamps: list[int]) -> Observations:
    column = np.array(stamps, np.int64)
    return Observations(0, [b"s"] * len(stamps), column, np.zeros((len(stamps), 1)), column, column)


@given(jumps=jumps, held=st.integers(0, 40))
def test_never_more_than_one_step_too_few(jumps: list[int], held: int) -> None:
    """Compared with verdicts; duplicates, late readings and clocks set back make it uncertain."""
    stamps = (1_000 * MINUTE + np.cumsum([0, *jumps])).tolist()
    slots, verdicts = assign_slots(np.array(stamps, np.int64), MINUTE, MAX_GAP)
    arena, held = Arena(SPECS), min(held, len(stamps) - 1)
    if held:
        row = arena.slots(0, [b"s"])
        accepted = np.flatnonzero(~np.isin(verdicts[:held], [4, 5, 6]))
        arena.prefix["last_timestamp"][row] = stamps[accepted[-1]]
    foreseen = StepEstimator(arena, MINUTE, MAX_GAP)(observations(stamps[held:])).steps
    apart = np.diff(slots, prepend=slots[0])
    needed = np.where(verdicts == 2, apart, 1)[held:]
    assert (
        (foreseen >= needed - 1).all() and (foreseen <= MAX_GAP + 1).all() and (foreseen >= 1).all()
    )


@given(jumps=jumps, stepped=st.just(100), longest=st.sampled_from([100, 150, 1_000]))
def test_a_long_gap_costs_a_jump(jumps: list[int], stepped: int, longest: int) -> None:
    stamps = (1_000 * MINUTE + np.cumsum([0, *(20 * jump for jump in jumps)])).tolist()
    slots, verdicts = assign_slots(np.array(stamps, np.int64), MINUTE, longest)
    estimator = StepEstimator(Arena(SPECS), MINUTE, longest, stepped)
    foreseen = estimator(observations(stamps)).steps
    apart = np.diff(slots, prepend=slots[0])
    needed = np.where(verdicts == 2, np.where(apart > stepped, JUMPED_STEPS, apart), 1)
    assert (foreseen >= needed - 1).all() and (foreseen <= stepped + 1).all()


demands = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=40)


@given(asked=demands, at_most=st.floats(1.5, 60.0))
def test_parts_cost_no_more_than_they_may(asked: list[tuple[int, int]], at_most: float) -> None:
    streams, steps = (np.array(column, np.int64) for column in zip(*asked, strict=True))
    rank = np.array([int((streams[:i] == stream).sum()) for i, stream in enumerate(streams)])
    numbers = split_by_cost([Demand(steps, streams, rank)], np.arange(len(steps)), at_most)
    assert (np.diff(numbers, prepend=0) >= 0).all() and (np.diff(numbers) <= 1).all()
    for number in range(int(numbers[-1]) + 1):
        here = np.flatnonzero(numbers == number)
        assert _cost(streams[here].tolist(), steps[here].tolist()) <= at_most or len(here) == 1


def _cost(streams: list[int], steps: list[int]) -> float:
    """Cost as run, wave by wave."""
    waves: dict[int, list[int]] = {}
    for i, stream in enumerate(streams):
        waves.setdefault(streams[:i].count(stream), []).append(steps[i])
    return cost(sum(map(max, waves.values())), sum(steps))

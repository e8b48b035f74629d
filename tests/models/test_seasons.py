"""The seasons of the memory: computed over a whole history they are what repeated updates give; one
season is held as it always was, a second one adds a table."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from eddycast.training.models import Target
from eddycast.training.models.latent import Latent
from eddycast.training.models.linear import linear_memory
from eddycast.training.models.memory.columns import Columns, unroll_memory
from eddycast.training.models.memory.memory import Memory, MemorySpec
from tests.models.zoo import DAILY, HOUR, LEVELS, forecaster

#: The interval, the first and the second season.
LENGTHS = [
    (HOUR, 4, 12),
    (HOUR, 24, 168),
    (HOUR // 4, 96, 672),  # a week in bins of four slots
    (HOUR, 6, 340),  # bins of four slots, seen a few times only
    (HOUR, 340, 680),  # both in bins
    (HOUR, 24, 500),  # longer than the history: most phases stay unseen
]


def with_masked_runs(seed: int, steps: int) -> NDArray[np.float64]:
    """[steps, 3]: a walk with single holes, an outage,
    a late start and a stream that never speaks."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(steps, 3)).cumsum(0) + 1e6
    values[random.random(values.shape) < 0.15] = np.nan
    start, length = random.integers(0, steps, 2)
    values[start : start + length // 3, 0] = np.nan
    values[: int(random.integers(1, steps // 2)), 1] = np.nan
    values[:, 2] = np.nan
    return values


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(LENGTHS), st.integers(0, 10_000), st.integers(0, 700), st.integers(20, 420))
def test_a_whole_history_at_once_is_repeated_updates(
    lengths: tuple[int, int, int], seed: int, offset: int, steps: int
) -> None:
    interval, season, second = lengths
    spec = MemorySpec(
        interval, season, 5, (0.5, 0.1), (season / 2, float(season), 7.0 * season), second
    )
    values = with_masked_runs(seed, steps)
    timestamps = (1_700_000_000_000 // interval + offset + np.arange(steps)) * interval
    columns, memory, cell = (
        unroll_memory(spec, values, timestamps),
        Memory(spec),
        Latent("gru", spec, 4),
    )
    state, shown = memory.initial_state(3), cell.inputs(columns)
    for t in range(steps):
        when = torch.full((3,), int(timestamps[t]))
        state, glance = memory.update(torch.as_tensor(values[t]), when, state)
        started = columns.count[t] > 0
        features = columns.features(np.full(3, t), np.arange(3))
        assert np.allclose(memory.read(state).numpy()[started], features[started], atol=1e-4)
        assert torch.allclose(cell.show(state, glance, when)[started], shown[t][started], atol=1e-4)
        if glance.second is not None:
            assert np.allclose(glance.second.numpy()[started], columns.estimates[1][t][started])


def test_one_season_is_held_as_before() -> None:
    memory = forecaster("ar").memory
    assert list(memory.initial_state(1)) == [
        "count",
        "last",
        "ring",
        "spread",
        "level",
        "table",
        "seen",
    ]


def test_a_second_season_adds_its_table_to_the_row_and_changes_nothing_of_the_first() -> None:
    one, two = linear_memory(DAILY), linear_memory(Target(HOUR, 12, LEVELS, 24, second_steps=168))
    state, more = Memory(one).initial_state(1), Memory(two).initial_state(1)
    added = {name: tensor for name, tensor in more.items() if name not in state}
    assert {name: tuple(tensor.shape) for name, tensor in added.items()} == {
        "second_table": (1, 1, 168),
        "second_seen": (1, 168),
    }
    assert sum(tensor.nbytes for tensor in added.values()) == 168 * 12
    values = with_masked_runs(3, 400)
    timestamps = (1_700_000_000_000 // HOUR + np.arange(400)) * HOUR
    a, b = unroll_memory(one, values, timestamps), unroll_memory(two, values, timestamps)
    for name in ("x", "last", "level", "spread"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert np.array_equal(_features(a), _features(b)[:, : one.features])


def _features(columns: Columns) -> NDArray[np.float32]:
    return columns.features(np.arange(400), np.zeros(400, np.int64))


@pytest.mark.parametrize("interval", [HOUR, HOUR // 2, HOUR // 4, HOUR // 12])
def test_a_week_takes_no_more_than_its_bins(interval: int) -> None:
    day, week = 24 * HOUR // interval, 7 * 24 * HOUR // interval
    spec = MemorySpec(interval, day, rates=(0.5,), second_steps=week)
    assert spec.second.bins == 168
    assert spec.second.bins * spec.second.width == week

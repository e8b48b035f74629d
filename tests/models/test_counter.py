"""Counters: the graph takes the differences, and all that it says is of increases."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from eddycast.service.records import Float64
from eddycast.training.data.counters import increases
from eddycast.training.export.invariants.checking import close, stepped
from eddycast.training.models.memory.counter import increase, initial_counter
from tests.models.zoo import forecaster, scale_or_one, streams

KINDS = ("ar-counter", "lstm-counter")


def in_the_graph(
    readings: NDArray[np.float64], register: float | None = None
) -> NDArray[np.float64]:
    """`increase` of readings [T, S], one at a time."""
    state, added = initial_counter(readings.shape[1]), []
    for reading in readings:
        one, state = increase(torch.as_tensor(reading), state, register)
        added.append(one.numpy())
    return np.stack(added)


def test_increases_by_hand() -> None:
    """A late start, a hole of two, a reset, a reset in a hole, a stand-still."""
    nan = np.nan
    readings = np.array([[nan, nan, 100.0, 103.0, nan, nan, 112.0, 2.0, nan, 1.0, 1.0]]).T
    expected = [nan, nan, nan, 3.0, nan, nan, 3.0, 2.0, nan, 0.5, 0.0]
    assert increases(readings)[:, 0].tolist() == pytest.approx(expected, nan_ok=True)


def test_a_register_that_starts_again_by_hand() -> None:
    """Full, full in a hole, a reset far from its end."""
    readings = np.array([[65_000.0, 400.0, np.nan, 65_300.0, 100.0, 30_000.0, 10.0]]).T
    increased = [np.nan, 936.0, np.nan, 32_450.0, 336.0, 29_900.0, 10.0]
    assert increases(readings, 65_536.0)[:, 0].tolist() == pytest.approx(increased, nan_ok=True)
    assert np.array_equal(
        in_the_graph(readings, 65_536.0), increases(readings, 65_536.0), equal_nan=True
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0, 1))
def test_the_graph_and_numpy_give_the_same_bits(seed: int, steps: int, holes: float) -> None:
    """Any holes, resets and late starts."""
    random = np.random.default_rng(seed)
    readings = random.exponential(10.0 ** random.integers(-3, 9, 3), (steps, 3)).cumsum(0)
    readings = np.where(
        random.random(readings.shape) < 0.2, random.integers(0, 5, readings.shape), readings
    )
    readings[random.random(readings.shape) < holes] = np.nan
    for register in (None, 1000.0):
        assert np.array_equal(
            in_the_graph(readings, register), increases(readings, register), equal_nan=True
        )


def test_small_steps_of_a_large_meter_are_not_lost() -> None:
    readings: Float64 = (48_211_734.25 + 0.01 * np.arange(500.0))[:, None]
    readings[100:110] = np.nan
    added = increases(readings)
    assert np.array_equal(in_the_graph(readings), added, equal_nan=True)
    assert np.nanmax(np.abs(added[1:] - 0.01)) < 1e-8
    assert np.isnan(added[100:110]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("a", "b"), [(1e-3, 7.0), (1e3, 5e5), (1.0, 48_211_734.25)])
def test_scale_passes_through_and_shift_vanishes(kind: str, a: float, b: float) -> None:
    """f(a*y + b) = a*f(y), without a reset."""
    model = forecaster(kind)
    values, timestamps = streams(kind, 240, 4)
    values = values[80:]  # after the reset
    timestamps = timestamps[80:]
    plain, moved = model.unroll(values, timestamps), model.unroll(a * values + b, timestamps)
    unit = scale_or_one(a * plain.scale)
    close("scale", "one_step", moved.one_step, a * plain.one_step, 1e-4, unit[:, :, None])
    close(
        "scale", "multi_step", moved.multi_step, a * plain.multi_step, 1e-4, unit[:, :, None, None]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_forecast_before_the_second_reading(kind: str) -> None:
    model = forecaster(kind)
    readings = np.array([np.nan, 5.0, np.nan, 9.0, 12.0, 15.0])[:, None]
    out = stepped(model, readings, np.arange(6) * model.target.interval_ms)
    assert np.isnan(out["one_step"][:3]).all()
    assert np.isnan(out["multi_step"][:3]).all()
    assert np.isfinite(out["one_step"][3:]).all()
    assert np.isfinite(out["multi_step"][3:]).all()
    assert np.isnan(out["surprise"][:4]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.0, 1e9, 1e-12])
def test_a_meter_that_stands_still_stays_finite(kind: str, level: float) -> None:
    model = forecaster(kind)
    _, timestamps = streams(kind, 100, 1)
    out = model.unroll(np.full((100, 1), level), timestamps)
    assert np.array_equal(out.multi_step[1:], np.zeros_like(out.multi_step[1:]))
    assert np.isfinite(out.surprise[2:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_huge_readings_and_a_swapped_meter_stay_finite(kind: str) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, 240, 2)
    values[:, 0] *= 1e9
    values[150:, 1] += 1e12
    out = stepped(model, values, timestamps)
    assert np.isfinite(out["multi_step"][40:]).all()
    assert (out["multi_step"][40:] >= 0).all()

"""Forecasts are written in the digits that their interval gives a meaning to."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.formats.rounding import rounded

sizes = st.floats(-12, 12).map(lambda exponent: 10.0**exponent)


def forecasts(level: float, width: float, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """one_step [rows, 1, 3] and multi_step [rows, 4, 1, 3] about `level`, sorted."""
    random = np.random.default_rng(5)
    one_step = np.sort(level + width * random.normal(size=(rows, 1, 3)), -1)
    return one_step, np.sort(level + width * random.normal(size=(rows, 4, 1, 3)), -1)


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e6, 1e6), sizes)
def test_it_moves_by_less_than_a_millionth_of_the_width_and_keeps_the_order(
    level: float, width: float
) -> None:
    one_step, multi_step = forecasts(level, width)
    unit = one_step[:, :, -1] - one_step[:, :, 0]
    one, multi = rounded(one_step, multi_step, 6)
    noise = 4 * np.finfo(float).eps * (abs(level) + 10 * width)
    assert np.all(np.abs(one - one_step) <= 1e-6 * unit[:, :, None] + noise)
    assert multi is not None
    assert np.all(np.abs(multi - multi_step) <= 1e-6 * unit[:, None, :, None] + noise)
    assert np.all(np.diff(one) >= 0)
    assert np.all(np.diff(multi) >= 0)


@settings(max_examples=50, deadline=None)
@given(st.floats(-100, 100), st.floats(0.5, 5))
def test_it_is_short_in_json(level: float, width: float) -> None:
    """Three digits before the point and seven after it, instead of 17 for an exact float64."""
    one, _ = rounded(*forecasts(level, width), 6)
    digits = [
        len(text.strip(b"-").replace(b".", b""))
        for text in orjson.dumps(one.ravel().tolist())[1:-1].split(b",")
    ]
    assert max(digits) <= 10


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    small, large = forecasts(20.0, 0.01), forecasts(4e7, 1e4)
    together = rounded(
        np.concatenate([small[0], large[0]]), np.concatenate([small[1], large[1]]), 6
    )
    for k, alone in enumerate((rounded(*small, 6), rounded(*large, 6))):
        for found, expected in zip(together, alone, strict=True):
            assert found is not None
            assert expected is not None
            assert found[3 * k : 3 * k + 3].tobytes() == expected.tobytes()


@pytest.mark.parametrize("width", [0.0, np.nan, 1e-300, 1e300])
def test_a_row_without_a_usable_width_is_left_alone(width: float) -> None:
    one_step = np.array([[[1 / 3, 1 / 3, 1 / 3 + width]]])
    one, multi = rounded(one_step, None, 3)
    assert np.array_equal(one, one_step, equal_nan=True)
    assert multi is None


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-3, 3).map(lambda exponent: 10.0**exponent))
def test_float32_is_rounded_to_a_thousandth_of_the_width_within_what_it_holds(
    level: float, width: float
) -> None:
    one_step, multi_step = (part.astype(np.float32) for part in forecasts(level, width))
    unit = (one_step[:, :, -1] - one_step[:, :, 0])[:, :, None]
    one, multi = rounded(one_step, multi_step, 3)
    assert one.dtype == np.float32
    assert multi is not None
    noise = 4 * np.finfo(np.float32).eps * (abs(level) + 10 * width)
    assert np.all(np.abs(one - one_step) <= 1e-3 * unit + noise)
    assert np.all(np.abs(multi - multi_step) <= 1e-3 * unit[:, None] + noise)
    assert np.all(np.diff(one) >= 0)
    assert np.all(np.diff(multi) >= 0)


def test_a_number_too_large_for_the_steps_of_its_row_is_kept() -> None:
    one_step = np.array([[[16_777_215.0, 16_777_216.0, 16_777_218.0]]], np.float32)
    assert np.array_equal(rounded(one_step, None, 3)[0], one_step)

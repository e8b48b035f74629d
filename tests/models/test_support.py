"""Forecasts keep to the values that there are, and stay honest where those pile up at zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from eddycast.service.errors import DataError
from eddycast.training.models import Naive, Target
from eddycast.training.models.quantiles.support import confine, parse_support, support_of
from tests.models.zoo import DAILY, LEVELS, OFFSETS, forecaster, streams

NAN = np.nan


def stepped_naive(
    support: str, values: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """one_step [T, S, Q], surprise and scores of the last value with wide intervals."""
    model = Naive(Target(DAILY.interval_ms, 12, LEVELS, support=parse_support(support)))
    model.offsets_one.copy_(OFFSETS)
    model.offsets_multi.copy_(OFFSETS)
    out = model.unroll(values, np.arange(len(values)) * DAILY.interval_ms)
    return out.one_step, out.surprise, out.scores


@pytest.mark.parametrize(("kind", "whole"), [("ar-nonnegative", False), ("lstm-integer", True)])
def test_no_forecast_leaves_its_support(kind: str, whole: bool) -> None:
    values, timestamps = streams(kind, 240, 4)
    assert (values == 0).any(), "the test is about zeros"
    out = forecaster(kind).unroll(values, timestamps)
    for forecast in (out.one_step, out.multi_step):
        known = forecast[~np.isnan(forecast)]
        assert (known >= 0).all()
        assert (known == 0).any()
        assert not whole or (known == np.rint(known)).all()
    assert np.isfinite(out.surprise[~np.isnan(out.surprise)]).all()
    assert np.isfinite(out.surprise[100:][~np.isnan(values[100:])]).all()
    assert np.nanmax(out.surprise[100:]) < 100, (
        "the first value after a night of zeros is no miracle"
    )


def test_confined_quantiles_by_hand() -> None:
    raw = torch.tensor([-3.0, -0.2, 0.4, 1.7])
    assert confine(raw, "real") is raw
    assert confine(raw, "nonnegative").tolist() == pytest.approx([0, 0, 0.4, 1.7])
    assert confine(raw, "integer").tolist() == [0, 0, 0, 2]


def test_scores_are_of_what_was_emitted() -> None:
    values = np.random.default_rng(1).poisson(2.0, (300, 3)).astype(np.float64)
    one_step, _, scores = stepped_naive("integer", values)
    error = np.abs(values[1:] - one_step[:-1, :, 2])
    inside = (values[1:] >= one_step[:-1, :, 0]) & (values[1:] <= one_step[:-1, :, -1])
    assert np.allclose(scores[1:, :, 0], error, atol=1e-4)
    assert np.array_equal(scores[1:, :, 3] == 1, inside)


def test_an_end_that_lies_at_zero_is_not_expected_to_be_missed() -> None:
    """Half of the time the value is 0, which [0, high] cannot miss from below:
    fewer than one in five are due."""
    random = np.random.default_rng(2)
    values = random.exponential(3.0, (6000, 6)) * (random.random((6000, 6)) < 0.5)
    one_step, _, _ = stepped_naive("nonnegative", values)
    low, high, now = one_step[2000:-1, :, 0], one_step[2000:-1, :, -1], values[2001:]
    due = 0.1 * np.mean(low > 0) + 0.1 * np.mean(high > 0)
    assert due < 0.16
    assert np.mean((now < low) | (now > high)) == pytest.approx(due, abs=0.01)


def test_a_zero_is_as_surprising_as_the_mass_below_zero_is_small() -> None:
    """After a 1 the median is 1, and at a scale of 2 the .1 quantile lies under zero."""
    values = np.tile([3.0, 1.0], 40)[:, None]
    values[78:] = [[1.0], [0.0]]
    _, surprise, scores = stepped_naive("nonnegative", values)
    assert surprise[79, 0] == pytest.approx(-np.log(scores[79, 0, 4]), abs=1e-4)
    assert 0.1 < scores[79, 0, 4] < 0.5


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([[0, 1.5, 0, 3]], "nonnegative"),
        ([[0, 1, 0, 3]], "nonnegative"),
        ([[1, 2, 3, 4]], "real"),
        ([[0, 1, -1, 0]], "real"),
        ([[0, 1, 0, 3], [1, 2, 3, 4]], "real"),
        ([[0, NAN, 2, 0], [NAN, NAN, NAN, NAN]], "nonnegative"),
        ([[NAN, NAN]], "real"),
    ],
)
def test_zero_is_an_end_only_where_values_pile_up_there(
    columns: list[list[float]], expected: str
) -> None:
    assert support_of(np.array(columns, dtype=np.float64).T) == expected


def test_a_support_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DataError, match="no support 'positive'"):
        parse_support("positive")
    assert replace(DAILY, support=parse_support("integer")).support == "integer"

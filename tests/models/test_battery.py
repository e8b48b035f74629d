"""The laws of a forecaster, each a test that every family passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.models.zoo import MAKERS, forecaster, scale_or_one, streams
from training.models import Forecaster
from training.models.columns import unroll_memory
from training.models.support import confine

KINDS = sorted(MAKERS)
#: A support is a constant in data units: the law of scale is for those that have none.
FREE = [kind for kind in KINDS if forecaster(kind).target.support == "real"]
STEPS = 240


def stepped(model: Forecaster, values: NDArray[np.float64], timestamps: NDArray[np.int64]) -> dict[str, NDArray]:
    """One observation at a time: one_step and multi_step [T, S, ...], surprise, scores."""
    count = values.shape[1]
    state, rows = model.initial_state(count), []
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((count,), int(stamp))
            out = model.step(torch.as_tensor(value)[:, None], when, state)
            state = out.state
            multi = model.forecast(when, state)
            rows.append((out.one_step[:, 0], out.surprise, out.scores[:, 0], multi[:, :, 0]))
    columns = [np.stack([tensor.numpy() for tensor in column]) for column in zip(*rows, strict=True)]
    return dict(zip(("one_step", "surprise", "scores", "multi_step"), columns, strict=True))


def assert_close(found: NDArray, expected: NDArray, tolerance: float, unit: NDArray | float = 1.0) -> None:
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    with np.errstate(invalid="ignore"):
        difference = np.abs(found - expected) / unit
    assert not np.any(difference > tolerance), f"largest difference {np.nanmax(difference):.2e}"


@pytest.mark.parametrize("kind", KINDS)
def test_unroll_is_repeated_step(kind: str) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, STEPS, 5)
    values[:, 4] = np.nan
    at_once, one_by_one = model.unroll(values, timestamps), stepped(model, values, timestamps)
    scale = scale_or_one(at_once.scale)
    assert_close(at_once.one_step, one_by_one["one_step"], 1e-4, scale[:, :, None])
    assert_close(at_once.multi_step, one_by_one["multi_step"], 1e-4, scale[:, :, None, None])
    assert_close(at_once.surprise, one_by_one["surprise"], 1e-2)
    assert_close(at_once.scores[..., :3], one_by_one["scores"][..., :3], 1e-4, scale[:, :, None])
    assert_close(at_once.scores[..., 4], one_by_one["scores"][..., 4], 1e-2)
    assert np.isfinite(at_once.multi_step[-1, :4]).all(), "every stream with a value is forecast"


@pytest.mark.parametrize("kind", FREE)
@pytest.mark.parametrize(("a", "b"), [(1e-3, 7.0), (1e3, -5e5), (1.0, 48_211_734.25)])
def test_shift_and_scale_pass_through(kind: str, a: float, b: float) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, STEPS, 4)
    plain, moved = model.unroll(values, timestamps), model.unroll(a * values + b, timestamps)
    unit = scale_or_one(a * plain.scale)
    assert_close(moved.one_step, a * plain.one_step + b, 1e-4, unit[:, :, None])
    assert_close(moved.multi_step, a * plain.multi_step + b, 1e-4, unit[:, :, None, None])
    assert_close(moved.surprise, plain.surprise, 1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_future_changes_no_past_output(kind: str) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, STEPS, 3)
    changed = values.copy()
    cut = 150
    changed[cut:] = np.random.default_rng(9).normal(1000, 50, changed[cut:].shape)
    one, other = model.unroll(values, timestamps), model.unroll(changed, timestamps)
    for name in ("one_step", "surprise", "scores", "multi_step"):
        assert np.array_equal(getattr(one, name)[:cut], getattr(other, name)[:cut], equal_nan=True), name
    assert not np.array_equal(one.one_step[cut:], other.one_step[cut:], equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_neighbours(kind: str) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, 60, 6)
    together = stepped(model, values, timestamps)
    reversed_ = stepped(model, values[:, ::-1].copy(), timestamps)
    scale = scale_or_one(model.unroll(values, timestamps).scale)
    assert_close(reversed_["multi_step"][:, ::-1], together["multi_step"], 1e-5, scale[:, :, None, None])
    assert_close(reversed_["one_step"][:, ::-1], together["one_step"], 1e-5, scale[:, :, None])


@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_never_cross(kind: str) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, STEPS, 4)
    out = model.unroll(values, timestamps)
    slack = 1e-6 * scale_or_one(out.scale)
    assert not np.any(np.diff(out.one_step, axis=-1) < -slack[:, :, None])
    assert not np.any(np.diff(out.multi_step, axis=-1) < -slack[:, :, None, None])


@pytest.mark.parametrize("kind", KINDS)
def test_all_missing_gives_nan_and_a_zero_state(kind: str) -> None:
    model = forecaster(kind)
    _, timestamps = streams(kind, 30, 2)
    state = model.initial_state(2)
    with torch.no_grad():
        for stamp in timestamps:
            when = torch.full((2,), int(stamp))
            out = model.step(torch.full((2, 1), torch.nan, dtype=torch.float64), when, state)
            state = out.state
            assert torch.isnan(out.one_step).all()
            assert torch.isnan(out.surprise).all()
            assert torch.isnan(out.scores).all()
            assert torch.isnan(model.forecast(when, state)).all()
    assert all((tensor == 0).all() for tensor in state.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_leading_silence_leaves_no_trace(kind: str) -> None:
    """A stream that starts late forecasts what it would have forecast without the silence before."""
    model = forecaster(kind)
    values, timestamps = streams(kind, 120, 1)
    padded = np.concatenate([np.full((48, 1), np.nan), values])
    interval = model.target.interval_ms
    before = timestamps[0] - interval * np.arange(48, 0, -1)
    late = model.unroll(padded, np.concatenate([before, timestamps]))
    alone = model.unroll(values, timestamps)
    scale = scale_or_one(alone.scale)
    assert_close(late.one_step[48:], alone.one_step, 1e-4, scale[:, :, None])
    assert_close(late.multi_step[48:], alone.multi_step, 1e-4, scale[:, :, None, None])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.0, 1e9, -3.5, 1e-12])
def test_a_constant_series_stays_finite(kind: str, level: float) -> None:
    model = forecaster(kind)
    _, timestamps = streams(kind, 100, 1)
    values = np.full((100, 1), level)
    out = model.unroll(values, timestamps)
    expected = confine(torch.tensor(level, dtype=torch.float64), model.target.support).item()
    assert np.array_equal(out.multi_step, np.full_like(out.multi_step, expected))
    assert np.isfinite(out.surprise[1:]).all()
    assert np.isfinite(out.scores[1:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_scale_only_an_exact_hit_has_a_surprise(kind: str) -> None:
    """There is no unit to be surprised in yet, and any made-up one would break the law of scale."""
    model = forecaster(kind)
    _, timestamps = streams(kind, 20, 1)
    values = np.full((20, 1), 5.0)
    values[10] = 6.0
    surprise = model.unroll(values, timestamps).surprise
    assert np.isfinite(surprise[1:10]).all()
    assert np.isnan(surprise[10])
    assert np.isfinite(surprise[11:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_huge_values_and_jumps_stay_finite(kind: str) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, STEPS, 3)
    values[:, 0] *= 1e9
    values[100, 1] = 1e9  # an outlier
    values[150:, 2] = 1e6  # stuck, far away
    holes = np.isnan(values)
    values[holes] = np.random.default_rng(4).normal(20, 1, holes.sum())
    out = model.unroll(values, timestamps)
    for name in ("one_step", "multi_step"):
        assert np.isfinite(getattr(out, name)).all(), name
    assert np.isfinite(out.surprise[2:]).all()
    by_step = stepped(model, values, timestamps)
    assert np.isfinite(by_step["multi_step"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_value_is_neither_scored_nor_remembered(kind: str) -> None:
    model = forecaster(kind)
    values, timestamps = streams(kind, 100, 3)
    out = model.unroll(values, timestamps)
    assert np.isnan(out.surprise[np.isnan(values)]).all()
    columns = unroll_memory(model.memory.spec, values, timestamps)
    for name in ("level", "spread", "last", "count"):
        column = getattr(columns, name)
        missing = np.isnan(values[1:])
        assert np.array_equal(column[1:][missing], column[:-1][missing]), name

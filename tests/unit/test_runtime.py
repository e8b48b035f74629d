"""The runtime handles any number of rows and is stateless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from tests.support.bundles import DAY_MS, OFFSETS, RECURRENT, START_MS, Walk, write_bundle

Array = NDArray[Any]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle")
    write_bundle(path, RECURRENT)
    return path


def zeros(runtime: Runtime, rows: int) -> dict[str, Array]:
    return {spec.name: np.zeros((rows, *spec.shape), spec.dtype) for spec in runtime.manifest.state}


def test_step_and_forecast_are_the_walk_s(tmp_path: Path) -> None:
    write_bundle(tmp_path, Walk())
    runtime = load_runtime(tmp_path)
    time = np.array([START_MS, START_MS + 60_000])
    first = runtime.step(np.array([[21.5], [np.nan]]), time, zeros(runtime, 2))
    assert np.allclose(first.one_step[0, 0], 21.5 + OFFSETS) and np.isnan(first.one_step[1]).all()
    assert np.isnan(first.surprise).all() and np.isnan(first.scores).all()
    assert first.next_state["time"][:, 0].tolist() == time.tolist()
    second = runtime.step(np.array([[23.5], [4.0]]), time, first.next_state)
    assert second.surprise[0] == 2.0 and np.isnan(second.surprise[1])
    assert second.scores[0, 0, :2].tolist() == [2.0, 2.0]
    multi_step = runtime.forecast(time, second.next_state)
    leads = np.sqrt(np.arange(1, 4))[:, None] * OFFSETS
    assert np.allclose(
        multi_step[:, :, 0],
        np.array([23.5, 4.0])[:, None, None] + leads + (time % DAY_MS / DAY_MS)[:, None, None],
    )


@pytest.mark.parametrize("rows", [1, 200])
def test_an_anomaly_is_given_where_the_graph_has_one(tmp_path: Path, rows: int) -> None:
    for ranks in (True, False):
        write_bundle(tmp_path, Walk(ranks=ranks))
        runtime = load_runtime(tmp_path, max_batch=64)
        time = np.full(rows, START_MS)
        first = runtime.step(np.full((rows, 1), 21.5), time, zeros(runtime, rows))
        second = runtime.step(np.full((rows, 1), 23.5), time, first.next_state)
        assert ("anomaly" in runtime.optional) == ranks and first.anomaly.dtype == np.float32
        assert np.isnan(first.anomaly).all() and first.anomaly.shape == (rows,)
        expected = 1 - np.exp(-2.0) if ranks else np.nan
        assert second.anomaly == pytest.approx(np.full(rows, expected), nan_ok=True)


@pytest.mark.parametrize("rows", [1, 200])
def test_what_was_expected_is_the_one_step_before(tmp_path: Path, rows: int) -> None:
    for expects in (True, False):
        write_bundle(tmp_path, Walk(hidden=24, expects=expects))
        runtime = load_runtime(tmp_path, max_batch=64)
        time = np.full(rows, START_MS)
        first = runtime.step(np.full((rows, 1), 21.5), time, zeros(runtime, rows))
        second = runtime.step(np.full((rows, 1), 23.5), time, first.next_state)
        assert first.expected.shape == (rows, 1, 3) and first.error.shape == (rows, 1)
        assert np.isnan(first.expected).all() and np.isnan(first.error).all()
        expected = first.one_step if expects else np.full_like(first.one_step, np.nan)
        np.testing.assert_array_equal(second.expected, expected)
        np.testing.assert_array_equal(second.error, 23.5 - expected[..., 1])


def test_the_forecast_takes_only_what_it_names(directory: Path) -> None:
    runtime = load_runtime(directory)
    assert runtime.forecast_inputs == ("last", "count", "hidden")
    state = zeros(runtime, 3)
    del state["time"]
    assert runtime.forecast(np.zeros(3, np.int64), state).shape == (3, 3, 1, 3)


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 64, 65, 200])
def test_any_number_of_rows_may_be_given(directory: Path, rows: int) -> None:
    runtime = load_runtime(directory, max_batch=64)
    state = zeros(runtime, rows)
    result = runtime.step(np.ones((rows, 1)), np.zeros(rows, np.int64), state)
    given = {name: tensor.copy() for name, tensor in state.items()}
    assert result.one_step.shape == (rows, 1, 3) and result.surprise.shape == (rows,)
    assert result.scores.shape == (rows, 1, 5)
    assert all(result.next_state[name].shape == tensor.shape for name, tensor in state.items())
    assert runtime.forecast(np.zeros(rows, np.int64), result.next_state).shape == (rows, 3, 1, 3)
    assert all(np.array_equal(state[name], tensor) for name, tensor in given.items()), (
        "what is given is not changed"
    )


def test_a_call_too_small_for_the_lanes_is_refused(directory: Path) -> None:
    with pytest.raises(ValueError, match="at least 16"):
        load_runtime(directory, max_batch=8)
    assert load_runtime(directory, max_batch=100).max_batch == 96


def carry(runtime: Runtime, values: Array, order: Array, cuts: list[int]) -> list[Array]:
    """Step `values` [steps, rows] with the rows in `order`, cut at `cuts`;
    outputs back in the rows' own order."""
    state = zeros(runtime, values.shape[1])
    outputs: list[Array] = []
    for step, value in enumerate(values):
        now = np.full(len(value), START_MS + step * 60_000)
        made: dict[str, Array] = {}
        for piece in np.split(order, cuts):
            rows = {name: tensor[piece] for name, tensor in state.items()}
            result = runtime.step(value[piece, None], now[piece], rows)
            multi_step = runtime.forecast(now[piece], result.next_state)
            for name, tensor in result.next_state.items():
                state[name][piece] = tensor
            columns = {
                "one": result.one_step,
                "surprise": result.surprise,
                "scores": result.scores,
                "multi": multi_step,
            }
            for name, column in columns.items():
                made.setdefault(name, np.zeros((len(order), *column.shape[1:]), column.dtype))[
                    piece
                ] = column
        outputs += made.values()
    return outputs + list(state.values())


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_bits_do_not_depend_on_how_rows_are_grouped(
    directory: Path, data: st.DataObject
) -> None:
    rows = data.draw(st.integers(1, 90))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = np.round(20 + rng.normal(0, 3, (12, rows)), 2)
    values[rng.random(values.shape) < 0.1] = np.nan
    order = rng.permutation(rows)
    cuts = sorted(data.draw(st.lists(st.integers(1, rows), max_size=6, unique=True)))
    largest = data.draw(st.sampled_from([16, 32, 48, 512]))
    together = carry(load_runtime(directory), values, np.arange(rows), [])
    apart = carry(load_runtime(directory, max_batch=largest), values, order, cuts)
    for one, other in zip(together, apart, strict=True):
        assert one.tobytes() == other.tobytes()

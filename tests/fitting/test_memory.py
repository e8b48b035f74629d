"""The memory of a fit does not grow with the number of streams, and its result does not depend on
how many of them it holds at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from eddycast.training.data import seasons
from eddycast.training.data.seasons import find_seasons
from eddycast.training.fitting import memories, residuals
from eddycast.training.fitting import problem as problems
from eddycast.training.fitting.families import Plan, fit_ar, fit_family
from eddycast.training.fitting.memories import Memories
from eddycast.training.fitting.problem import Problem
from eddycast.training.fitting.recurrent import validation_loss
from eddycast.training.fitting.validation import validation_score
from eddycast.training.fitting.without_suspects import screened
from eddycast.training.models import LatentAutoregression
from eddycast.training.models.memory.columns import Columns, unroll_memory
from eddycast.training.models.memory.memory import MemorySpec
from tests.fitting.problems import daily, problem

STEPS, CELLS, ROWS = 400, 1_200, 6_000


def history(streams: int) -> Problem:
    """Hours of `streams` streams: some have holes, one has a reading that is impossible."""
    values = daily(3, STEPS, streams)
    values[120:130, ::3] = np.nan
    values[200, 1] = 65_535.0
    return problem(values, horizon=6, season=24)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three streams of STEPS rows at a time, and few of their features."""
    monkeypatch.setattr(memories, "CELLS", CELLS)
    monkeypatch.setattr(memories, "LEAST", 1)
    monkeypatch.setattr(memories, "ROW_CELLS", ROWS)
    monkeypatch.setattr(residuals, "ERRORS", 1_000)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[int]]]:
    """Cells unrolled at a time, and numbers read from them at a time."""
    found: dict[str, list[int]] = {"unrolled": [], "read": []}
    features = Columns.features

    def unrolled(
        spec: MemorySpec, values: NDArray[np.float64], stamps: NDArray[np.int64]
    ) -> Columns:
        found["unrolled"].append(values.size)
        return unroll_memory(spec, values, stamps)

    def read(self: Columns, t: NDArray[np.int64], s: NDArray[np.int64]) -> NDArray[np.float32]:
        found["read"].append(features(self, t, s).size)
        return features(self, t, s)

    monkeypatch.setattr(problems, "unroll_memory", unrolled)
    monkeypatch.setattr(Columns, "features", read)
    yield found


@pytest.mark.usefixtures("small")
def test_no_more_is_held_at_a_time_for_more_streams(sizes: dict[str, list[int]]) -> None:
    whole = history(10)
    model = fit_ar(whole, 12, (0.3,))
    fit_family("ar", whole, Plan(lags=12, iterated=True))
    validation_score(model, whole)
    assert max(sizes["unrolled"]) == CELLS < whole.values.size
    assert ROWS / 2 < max(sizes["read"]) <= ROWS


def test_groups_of_streams_find_what_all_together_find(request: pytest.FixtureRequest) -> None:
    whole, apart = history(10), history(10)
    together = fit_ar(whole, 12, (0.3,))
    light, held = screened(whole)
    score = validation_score(together, whole)
    request.getfixturevalue("small")
    by_group = fit_ar(apart, 12, (0.3,))
    assert by_group.weights_multi.numpy() == pytest.approx(together.weights_multi.numpy(), abs=2e-4)
    assert by_group.offsets_multi.numpy() == pytest.approx(together.offsets_multi.numpy(), abs=2e-4)
    assert validation_score(together, apart).wql == pytest.approx(score.wql, rel=1e-6)
    again, also_held = screened(apart)
    assert held[200, 1]
    np.testing.assert_array_equal(held, also_held)
    np.testing.assert_array_equal(light.values, again.values)


def test_a_group_holds_whole_streams_and_a_few_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "CELLS", 1)
    monkeypatch.setattr(memories, "LEAST", 2)
    whole = history(5)
    parts = list(Memories(whole, MemorySpec(whole.target.interval_ms)).parts(whole))
    assert [part.values.shape for part, _ in parts] == [(STEPS, 2)] * 2 + [(STEPS, 1)]
    for s, (part, columns) in zip((0, 2, 4), parts, strict=True):
        np.testing.assert_array_equal(part.values[:, 0], whole.values[:, s])
        np.testing.assert_array_equal(columns.observed[:, 0], ~np.isnan(whole.values[:, s]))


@pytest.mark.usefixtures("small")
def test_the_peak_grows_with_the_history_alone() -> None:
    """Twelve more streams take a few times the room of their readings; unrolled, they would
    take dozens of times that."""
    fit_ar(history(4), 12, (0.3,))
    few, many = (peak_of(history(streams)) for streams in (6, 18))
    assert many - few < 8 * 12 * STEPS * 8


def peak_of(whole: Problem) -> int:
    """Bytes at the peak of a fit."""
    tracemalloc.start()
    try:
        fit_ar(whole, 12, (0.3,))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_hidden_states_are_carried_for_a_few_streams_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = history(7)
    torch.manual_seed(0)
    model = LatentAutoregression(whole.target, "lstm", None, units=8).eval()
    columns, carried = whole.columns(model.memory.spec), []
    loss, score = validation_loss(model, whole, columns), validation_score(model, whole)
    scan = LatentAutoregression.scan

    def counted(self: LatentAutoregression, columns: Columns) -> torch.Tensor:
        hidden = scan(self, columns)
        carried.append(hidden.numel())
        return hidden

    monkeypatch.setattr(LatentAutoregression, "scan", counted)
    monkeypatch.setattr(memories, "HIDDEN", 2 * 8 * STEPS)
    monkeypatch.setattr(memories, "LEAST", 1)
    assert validation_loss(model, whole, columns) == pytest.approx(loss, rel=1e-5)
    assert validation_score(model, whole).wql == pytest.approx(score.wql, rel=1e-5)
    assert carried == [2 * 8 * STEPS] * 3 + [8 * STEPS] + [2 * 8 * STEPS] * 3 + [8 * STEPS]


@pytest.mark.parametrize("most", [1, 7, 100])
def test_chunks_are_all_pairs_in_order(most: int) -> None:
    whole, origins = history(5), np.arange(50, 60)
    chunks = list(whole.pair_chunks(origins, most, least=2))
    assert all(0 < len(t) <= most for t, _ in chunks)
    assert len(chunks) >= 2
    for found, all_of in zip(zip(*chunks, strict=True), whole.pairs(origins), strict=True):
        np.testing.assert_array_equal(np.concatenate(found), all_of)
    assert not list(whole.pair_chunks(origins[:0], most))


def test_seasons_are_found_a_few_streams_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = daily(4, 600, 7)
    values[:, 2] = 5.0
    found = find_seasons(values)
    monkeypatch.setattr(seasons, "FFT_CELLS", 1_200)
    assert find_seasons(values) == found == (24,)

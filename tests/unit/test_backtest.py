from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.errors import DataError
from eddycast.service.model.loading import load_runtime
from eddycast.training.data.panel import Panel
from eddycast.training.data.slot_means import trailing_means
from eddycast.training.data.split import Split
from eddycast.training.evaluation import baselines as baselines
from eddycast.training.evaluation.backtest import backtest
from eddycast.training.evaluation.driving import drive
from eddycast.training.evaluation.metrics import Figure, Scores, mase_scales
from eddycast.training.evaluation.protocols.every_origin import rolling_tasks
from eddycast.training.evaluation.protocols.scoring import Scorer
from eddycast.training.evaluation.protocols.task import TaskOptions
from tests.support.bundles import OFFSETS, TWO_CHANNELS, Walk, write_bundle

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
LEVELS = (0.1, 0.5, 0.9)


def noisy_days(rows: int = 240, streams: int = 3, holes: float = 0.0, seed: int = 3) -> Panel:
    rng = np.random.default_rng(seed)
    values = 5 * np.sin(np.arange(rows) * 2 * np.pi / 24) + np.cumsum(
        rng.normal(0, 1, (streams, rows)), axis=1
    )
    values *= 10.0 ** np.arange(streams)[:, None]
    values[rng.random(values.shape) < holes] = np.nan
    return Panel([f"s{i}" for i in range(streams)], START + np.arange(rows) * HOUR, values, HOUR)


def named(figures: list[Figure], model: str, horizon: int, stream: str | None = None) -> Figure:
    (found,) = [f for f in figures if (f.model, f.horizon, f.stream) == (model, horizon, stream)]
    return found


class TestScores:
    def test_definitions_by_hand(self) -> None:
        scores = Scores(LEVELS, (2, 2))
        target = np.array([[1.0, 4.0], [np.nan, -2.0]])
        forecast = np.array(
            [[[0.0, 2.0, 3.0], [0.0, 1.0, 2.0]], [[0.0, 0.0, 0.0], [-3.0, -2.0, -1.0]]]
        )
        scores.add(np.array([0, 1]), np.array([1, 0]), target, forecast, np.array([2.0, 4.0]))
        figure = scores.figure("m", 2, 2)
        assert figure.mse == pytest.approx((1 + 9 + 0) / 3)
        assert figure.mae == pytest.approx((1 + 3 + 0) / 3)
        losses = [[0.1 * 1, 0.5 * 1, 0.1 * 2], [0.1 * 4, 0.5 * 3, 0.9 * 2], [0.1 * 1, 0, 0.1 * 1]]
        assert figure.wql == pytest.approx(np.mean(2 * np.sum(losses, axis=0) / (1 + 4 + 2)))
        assert figure.mase == pytest.approx((1 / 2 + 3 / 2 + 0) / 3)
        assert figure.coverage_80 == pytest.approx(2 / 3)
        assert scores.stream_figure("m", 2, 1, 1, "b").mae == 0.0
        assert scores.by_origin["mse"].tolist() == [0, 10]

    def test_by_stream_each_stream_weighs_the_same(self) -> None:
        """Two streams a thousand times apart, one of which misses by half of its values, and one
        that has no denominator; what origins add to the measure follows the same weights."""
        target = np.array([[2.0, 2.0], [1000.0, 1000.0], [1000.0, 1000.0], [5.0, 5.0]])
        forecast = np.stack([target - [[1.0], [0.0], [100.0], [1.0]]], axis=2)
        stream, origin, scale = (
            np.array([0, 1, 1, 2]),
            np.array([0, 0, 1, 1]),
            np.array([4.0, 50.0, 50.0, 0.0]),
        )
        apart, pooled = Scores((0.5,), (4, 2), by_stream=True), Scores((0.5,), (4, 2))
        for scores in (apart, pooled):
            scores.add(stream, origin, target, forecast, scale)
        one, other = apart.figure("m", 2, 2), pooled.figure("m", 2, 2)
        assert one.wql == pytest.approx((1 / 2 + 100 / 2000 + 1 / 5) / 3)
        assert one.mase == pytest.approx((1 / 4 + 1.0) / 2)
        assert other.wql == pytest.approx((2 + 200 + 2) / (4 + 4000 + 10))
        assert other.mase == pytest.approx((2 / 4 + 200 / 50) / 6)
        assert (one.mse, one.mae, one.coverage_80) == (other.mse, other.mae, other.coverage_80)
        assert apart.by_origin["wql"] / 3 == pytest.approx([1 / 2 / 3, (100 / 2000 + 1 / 5) / 3])
        assert apart.stream_figure("m", 2, 2, 1, "b").wql == pytest.approx(100 / 2000)

    def test_a_point_forecast_has_no_interval_and_its_loss_is_its_absolute_error(self) -> None:
        scores = Scores((0.5,), (1, 1))
        scores.add(
            np.array([0]),
            np.array([0]),
            np.array([[2.0, -4.0]]),
            np.array([[[1.0], [0.0]]]),
            np.array([np.nan]),
        )
        figure = scores.figure("naive", 2, 1)
        assert figure.wql == pytest.approx(5 / 6)
        assert figure.coverage_80 is None
        assert figure.mase is None

    def test_nothing_counted_is_none(self) -> None:
        figure = Scores(LEVELS, (1, 1)).figure("m", 1, 0)
        assert (figure.mse, figure.mae, figure.wql, figure.mase, figure.coverage_80) == (None,) * 5

    @given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.booleans())
    def test_chunks_add_up_to_the_whole(self, seed: int, size: int, by_stream: bool) -> None:
        rng = np.random.default_rng(seed)
        stream, origin, target = (
            rng.integers(0, 3, 12),
            rng.integers(0, 5, 12),
            rng.normal(size=(12, 4)),
        )
        scale = rng.integers(0, 3, 12) / 2
        target[rng.random(target.shape) < 0.3] = np.nan
        forecast = np.sort(rng.normal(size=(12, 4, 3)), axis=2)
        whole, parts = (Scores(LEVELS, (3, 5), by_stream=by_stream) for _ in range(2))
        whole.add(stream, origin, target, forecast, scale)
        for start in range(0, 12, size):
            cut = slice(start, start + size)
            parts.add(stream[cut], origin[cut], target[cut], forecast[cut], scale[cut])
        for name, value in whole.figure("m", 4, 12).model_dump().items():
            assert getattr(parts.figure("m", 4, 12), name) == pytest.approx(value)
        for name, sums in whole.by_origin.items():
            assert parts.by_origin[name] == pytest.approx(sums)
            assert sums.sum() > 0

    def test_mase_scale_is_the_mean_seasonal_step_of_what_was_observed(self) -> None:
        values = np.array([[1.0, 2.0, 4.0, np.nan, 9.0], [np.nan] * 5])
        np.testing.assert_allclose(mase_scales(values, 2), [(3 + 5) / 2, np.nan])


class TestYardsticks:
    values = np.array([[np.nan, 1.0, 2.0, 3.0, np.nan, 5.0, 6.0, 7.0, 8.0]])

    def test_naive_repeats_the_last_value_observed(self) -> None:
        forecast = baselines.naive(self.values)(
            np.array([0, 0, 0]), np.array([0, 4, 5]), np.array([1, 2])
        )
        np.testing.assert_array_equal(forecast, [[np.nan, np.nan], [3.0, 3.0], [5.0, 5.0]])

    def test_seasonal_naive_reads_whole_seasons_back_and_never_ahead(self) -> None:
        forecast = baselines.seasonal_naive(self.values, 3)(
            np.array([0]), np.array([5]), np.array([1, 2, 3, 4, 7])
        )
        # rows 3, 4 (missing: row 1 stands for it), 5, and the same again a season later
        np.testing.assert_array_equal(forecast, [[3.0, 1.0, 5.0, 3.0, 3.0]])

    def test_a_phase_never_seen_reads_the_last_value(self) -> None:
        forecast = baselines.seasonal_naive(self.values, 8)(
            np.array([0]), np.array([2]), np.array([1, 6])
        )
        np.testing.assert_array_equal(forecast, [[2.0, 2.0]])

    @given(st.integers(0, 2**32 - 1), st.integers(2, 6))
    def test_the_future_changes_no_forecast(self, seed: int, season: int) -> None:
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(2, 40))
        values[rng.random(values.shape) < 0.3] = np.nan
        changed = values.copy()
        changed[:, 21:] = rng.normal(size=(2, 19))
        stream, origin, ahead = np.array([0, 1]), np.array([20, 20]), np.arange(1, 15)
        for make in (baselines.naive, lambda v: baselines.seasonal_naive(v, season)):
            np.testing.assert_array_equal(
                make(values)(stream, origin, ahead), make(changed)(stream, origin, ahead)
            )


class TestBacktest:
    """The random walk of the test bundles forecasts last value + time of day,
    so plain numpy can repeat it."""

    split = Split(120, 160, 230)

    def bundle(self, folder: Path) -> Path:
        write_bundle(folder / "walk", Walk(interval_ms=HOUR, horizon=6, max_gap=48))
        return folder / "walk"

    def expected(self, panel: Panel, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Medians and targets [origins, streams, horizon] of the walk at every origin of the
        hold-out."""
        filled = np.stack(
            [
                baselines.naive(panel.values)(
                    np.array([s] * len(panel)), np.arange(len(panel)), np.array([1])
                )[:, 0]
                for s in range(len(panel.streams))
            ]
        )
        origins = np.arange(self.split.validation_end - 1, self.split.end - horizon)
        day = panel.timestamps % DAY / DAY
        medians = (filled + day)[:, origins].T[:, :, None] + np.zeros(horizon)
        targets = np.stack([panel.values[:, o + 1 : o + 1 + horizon] for o in origins])
        return medians, targets

    @pytest.mark.parametrize("holes", [0.0, 0.2])
    def test_every_origin_of_the_hold_out_is_judged_on_raw_values(
        self, tmp_path: Path, holes: float
    ) -> None:
        panel = noisy_days(holes=holes)
        # a stream's readings reach to the end of the hold-out
        panel.values[:, self.split.end - 1] = 1.0
        figures = backtest(self.bundle(tmp_path), panel, "rolling", self.split, season_ms=DAY)
        medians, targets = self.expected(panel, 6)
        error = targets - medians
        figure = figures[0]
        assert figure.origins == 65
        assert figure.horizon == 6
        assert figure.mse == pytest.approx(np.nanmean(error**2))
        assert figure.mae == pytest.approx(np.nanmean(np.abs(error)))
        quantiles = medians[..., None] + np.sqrt(np.arange(1.0, 7))[:, None] * OFFSETS
        away = targets[..., None] - quantiles
        loss = 2 * np.maximum(np.array(LEVELS) * away, (np.array(LEVELS) - 1) * away)
        by_stream = np.nansum(loss, axis=(0, 2, 3)) / 3 / np.nansum(np.abs(targets), axis=(0, 2))
        assert figure.wql == pytest.approx(by_stream.mean())
        inside = (away[..., 0] >= 0) & (away[..., 2] <= 0)
        assert figure.coverage_80 == pytest.approx(
            inside.sum() / np.count_nonzero(~np.isnan(targets))
        )
        scale = mase_scales(panel.values[:, :160], 24)
        assert figure.mase == pytest.approx(
            np.mean(np.nanmean(np.abs(error) / scale[:, None], axis=(0, 2)))
        )

    def test_one_step_ahead_has_rows_of_its_own(self, tmp_path: Path) -> None:
        panel = noisy_days()
        figures = backtest(self.bundle(tmp_path), panel, "rolling", self.split, season_ms=DAY)
        rows = [(f.model, f.horizon, f.origins) for f in figures]
        names = [figures[0].model, "naive", "seasonal_naive"]
        assert rows == [(name, 6, 65) for name in names] + [(name, 1, 70) for name in names]
        # the walk's one-step median is the last value
        assert named(figures, names[0], 1).mae == pytest.approx(named(figures, "naive", 1).mae)
        step = np.diff(panel.values[:, 159:230], axis=1)
        assert named(figures, "naive", 1).mse == pytest.approx(np.mean(step**2))

    def test_ltsf_judges_on_the_scale_of_the_train_part(self, tmp_path: Path) -> None:
        panel = noisy_days()
        figures = backtest(self.bundle(tmp_path), panel, "ltsf", self.split, per_stream=True)
        medians, targets = self.expected(panel, 6)
        spread = panel.values[:, :120].std(axis=1)
        error = (targets - medians) / spread[:, None]
        model = figures[0].model
        assert figures[0].mse == pytest.approx(np.mean(error**2))
        for i, name in enumerate(panel.streams):
            assert named(figures, model, 6, name).mse == pytest.approx(np.mean(error[:, i] ** 2))
        scale = mase_scales(panel.values[:, :160], 1) / spread
        assert figures[0].mase == pytest.approx(np.mean(np.abs(error) / scale[:, None])), (
            "pooled, as the literature"
        )
        assert all(f.model != "seasonal_naive" for f in figures), "no season, no seasonal naive"

    def test_several_horizons_each_with_all_its_origins(self, tmp_path: Path) -> None:
        figures = backtest(
            self.bundle(tmp_path), noisy_days(), "rolling", self.split, horizons=(2, 6)
        )
        assert [(f.horizon, f.origins) for f in figures if f.model == "naive"] == [
            (2, 69),
            (6, 65),
            (1, 70),
        ]
        with pytest.raises(DataError, match="6 steps ahead"):
            backtest(self.bundle(tmp_path), noisy_days(), "rolling", self.split, horizons=(7,))

    def test_a_history_is_put_on_the_bundles_grid(self, tmp_path: Path) -> None:
        panel = noisy_days()
        bundle = self.bundle(tmp_path)
        assert backtest(bundle, panel.history(), "ltsf", self.split) == backtest(
            bundle, panel, "ltsf", self.split
        )

    def test_chunks_do_not_matter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle, panel, split = self.bundle(tmp_path), noisy_days(1200), Split(600, 650, 1200)
        whole = backtest(bundle, panel, "rolling", split)
        monkeypatch.setattr("eddycast.service.processing.replay.CHUNK_BYTES", 1)
        assert len(list(drive(load_runtime(bundle), panel, np.arange(1200)))) > 1
        for figure, same in zip(backtest(bundle, panel, "rolling", split), whole, strict=True):
            assert figure.mse == pytest.approx(same.mse)
            assert figure.origins == same.origins

    def test_a_coarser_forecast_is_judged_by_means(self, tmp_path: Path) -> None:
        panel = noisy_days()
        task, _ = rolling_tasks(panel, TaskOptions(2, 3, self.split, DAY))
        scorer = Scorer(task, "m", LEVELS)
        origins = np.arange(self.split.validation_end - 1, self.split.end)
        means = np.stack(
            [
                panel.values[1, origins[0] + 1 + 3 * i : origins[0] + 4 + 3 * i].mean()
                for i in range(2)
            ]
        )
        scorer.add(np.array([1]), origins[:1], np.repeat(means[None, :, None], 3, axis=2))
        assert next(iter(scorer.figures())).mse == pytest.approx(0, abs=1e-9)

    def test_what_does_not_fit_is_said(self, tmp_path: Path) -> None:
        bundle, panel = self.bundle(tmp_path), noisy_days()
        with pytest.raises(DataError, match="no protocol 'nab'"):
            backtest(bundle, panel, "nab", self.split)
        with pytest.raises(DataError, match="no origin for horizon 6"):
            backtest(bundle, panel, "rolling", Split(100, 120, 125))
        with pytest.raises(DataError, match="the data has 240"):
            backtest(bundle, panel, "rolling", Split(100, 120, 250))
        with pytest.raises(DataError, match="interval is 1h"):
            backtest(
                bundle,
                Panel(panel.streams, panel.timestamps, panel.values, DAY),
                "rolling",
                self.split,
            )
        with pytest.raises(DataError, match="flow, level, the data one a stream"):
            write_bundle(tmp_path / "two", TWO_CHANNELS)
            backtest(
                tmp_path / "two",
                Panel(panel.streams, panel.timestamps, panel.values, 60_000),
                "rolling",
                self.split,
            )
        with pytest.raises(DataError, match="no value in the train part"):
            panel.values[1, :120] = np.nan
            backtest(bundle, panel, "ltsf", self.split)


def test_trailing_means() -> None:
    values = np.array([[1.0, 3.0, np.nan, 7.0]])
    np.testing.assert_array_equal(trailing_means(values, 1), values)
    np.testing.assert_array_equal(trailing_means(values, 2), [[1.0, 2.0, 3.0, 7.0]])

"""Protocols beside their published definitions, and none of them leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.history import History
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.data.panel import Panel, make_panel
from eddycast.training.data.slot_means import slot_means
from eddycast.training.data.split import Split
from eddycast.training.evaluation.backtest import backtest, score_tasks
from eddycast.training.evaluation.driving import drive
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.protocols.gift import geometric_means, relative, window_origins
from eddycast.training.evaluation.protocols.scoring import ScoredBatch
from eddycast.training.evaluation.protocols.table import PROTOCOLS
from eddycast.training.evaluation.protocols.task import TaskOptions
from eddycast.training.evaluation.report import remarks
from tests.accuracy.book import book_history, book_values
from tests.accuracy.sets import training_rows
from tests.support.bundles import Walk, write_bundle

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
SPLIT = Split(300, 400, 600)
#: A grid, a horizon and a number of rows that suit each protocol.
SHAPES = {
    "rolling": (HOUR, 6, 600),
    "ltsf": (HOUR, 6, 600),
    "online": (HOUR // 4, 48, 600),
    "gift": (HOUR, 48, 900),
    "book": (60_000, 64, 600),
}


def walks(rows: int, interval_ms: int, streams: int, seed: int = 0) -> Panel:
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(size=(streams, rows)), axis=1) + 3 * np.sin(
        np.arange(rows) / 24 * 2 * np.pi
    )
    return Panel(
        [f"s{i}" for i in range(streams)],
        START + np.arange(rows) * interval_ms,
        values,
        interval_ms,
    )


def judged(
    bundle: Path, protocol: str, panel: Panel, first: int, last: int
) -> dict[str, np.ndarray]:
    """All that a protocol yields at origins `first` to `last`:
    forecasts of all models, and denominators."""
    runtime = load_runtime(bundle)
    tasks = PROTOCOLS[protocol].tasks(
        panel, TaskOptions.of(runtime.manifest, SPLIT, DAY if protocol != "book" else None)
    )
    said: dict[str, np.ndarray] = {}

    def keep(task: int) -> Callable[[ScoredBatch], None]:
        def observe(batch: ScoredBatch) -> None:
            for i in np.flatnonzero((batch.row >= first) & (batch.row <= last)).tolist():
                key = f"{task} {batch.stream[i]} {batch.row[i]}"
                said[f"{key} scale"] = batch.mase_scale[i]
                for model, forecast in batch.forecasts.items():
                    said[f"{key} {model}"] = forecast[i]

        return observe

    score_tasks(runtime, tasks, panel, observers={i: [keep(i)] for i in range(len(tasks))})
    return said


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scrambling_what_comes_after_an_origin_changes_nothing_that_was_said_before(
    tmp_path: Path, protocol: str
) -> None:
    interval_ms, horizon, rows = SHAPES[protocol]
    write_bundle(tmp_path, Walk(interval_ms=interval_ms, horizon=horizon))
    panel = walks(rows, interval_ms, 1 if protocol == "book" else 2)
    origin = {"gift": rows - 1 - 2 * 48, "book": 399}.get(protocol, 480)
    before = judged(tmp_path, protocol, panel, 0, origin)
    scrambled = panel.values.copy()
    scrambled[:, origin + 1 :] = np.random.default_rng(1).normal(
        1e3, 1e3, scrambled[:, origin + 1 :].shape
    )
    other = Panel(panel.streams, panel.timestamps, scrambled, interval_ms)
    after = judged(tmp_path, protocol, other, 0, origin)
    assert before.keys() == after.keys()
    assert any(key.endswith("naive") for key in before)
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value, key)
    if protocol != "book":  # an origin that the noise lies before sees it: the check can fail
        calm, shaken = (judged(tmp_path, protocol, one, origin + 1, rows) for one in (panel, other))
        assert any(
            (shaken[key] != value).any() for key, value in calm.items() if key.endswith("walk")
        )


class TestGift:
    def test_windows_lie_end_to_end_at_the_end(self) -> None:
        assert window_origins(17_420, 48).tolist() == [
            17_420 - 1 - 48 * i for i in range(20, 0, -1)
        ]
        assert len(window_origins(17_420, 480)) == 4
        assert window_origins(100, 48).tolist() == [51]
        assert training_rows(17_420) == 17_420 - 3 * 720

    def test_denominators_grow_with_the_history(self, tmp_path: Path) -> None:
        panel = walks(900, HOUR, 2)
        panel.values[0, 100:130] = np.nan
        (task,) = PROTOCOLS["gift"].tasks(panel, TaskOptions(48))
        for i, origin in enumerate(task.origins.tolist()):
            known = panel.values[:, : origin + 1]
            expected = np.nanmean(np.abs(known[:, 24:] - known[:, :-24]), axis=1)
            np.testing.assert_allclose(task.mase_scale[:, i], expected)

    def test_hours_are_means_of_what_was_observed(self) -> None:
        stamps = START + np.arange(6) * HOUR // 2
        history = slot_means(
            History(["a"], [stamps], [np.array([1.0, 3.0, np.nan, 5.0, np.nan, np.nan])], []), HOUR
        )
        assert history.timestamps[0].tolist() == [START, START + HOUR]
        assert history.values[0].tolist() == [2.0, 5.0]

    def test_relative_only_to_the_published_set(self) -> None:
        def figure(model: str, mase: float, wql: float) -> Figure:
            return Figure(
                model=model, task="H short", horizon=48, origins=20,
                mse=1, mae=1, wql=wql, mase=mase, coverage_80=None,
            )  # fmt: skip

        ours, naive = relative([figure("m", 0.8793, 0.12), figure("seasonal_naive", 0.9771, 0.3)])
        assert ours.relative_mase == pytest.approx(0.9)
        assert ours.relative_wql == pytest.approx(0.5)
        assert geometric_means([ours, ours], "m") == pytest.approx((0.9, 0.5))
        assert "relative to the published seasonal naive: m MASE 0.900, WQL 0.500" in remarks(
            [ours, naive], "gift"
        )
        other, _ = relative([figure("m", 0.8793, 0.12), figure("seasonal_naive", 0.95, 0.3)])
        assert other.relative_mase is None


class TestBook:
    def test_the_k_th_step_alone_after_the_examples(self, tmp_path: Path) -> None:
        """The test bundle's median is the last value plus the time of day."""
        write_bundle(tmp_path, Walk(interval_ms=60_000, horizon=64))
        figures = backtest(tmp_path, book_history(3), "book")
        x = book_values(3)
        day = np.arange(1, 1001) * 60_000 / DAY
        for k in (1, 4, 16, 64):
            (figure,) = [f for f in figures if f.task == f"k = {k}" and f.model == "walk"]
            assert figure.origins == 336
            origins = np.arange(664 - k, 1000 - k)
            assert figure.mse == pytest.approx(
                np.mean((x[origins + k] - x[origins] - day[origins]) ** 2)
            )

    def test_a_free_run_reads_its_own_forecasts(self, tmp_path: Path) -> None:
        write_bundle(tmp_path, Walk(interval_ms=60_000, horizon=64))
        figures = backtest(tmp_path, book_history(3), "book")
        (run,) = [f for f in figures if f.task == "free run" and f.model == "walk"]
        x = book_values(3)  # the bundle's next value is the last one, so it stays where it was
        assert run.mse == pytest.approx(np.mean((x[664:] - x[663]) ** 2))
        assert run.horizon == 336


def test_streams_without_a_denominator_are_said_and_not_averaged(tmp_path: Path) -> None:
    write_bundle(tmp_path, Walk(interval_ms=HOUR, horizon=6))
    panel = walks(600, HOUR, 2)
    panel.values[1, :400] = 7.0
    figures = backtest(tmp_path, panel, "rolling", SPLIT, season_ms=DAY, per_stream=True)
    pooled, alone = figures[0], next(f for f in figures if f.stream == "s0" and f.model == "walk")
    assert pooled.unscaled == ("s1",)
    assert pooled.mase == alone.mase
    assert any("s1" in line for line in remarks(figures, "rolling"))


def test_a_coarser_bundle_reads_means_by_gift(tmp_path: Path) -> None:
    write_bundle(tmp_path, Walk(interval_ms=HOUR, horizon=48))
    fine = walks(3600, HOUR // 4, 1).history()
    panel = PROTOCOLS["gift"].panel(fine, read_manifest(tmp_path))
    np.testing.assert_allclose(panel.values[0], fine.values[0].reshape(-1, 4).mean(axis=1))
    assert make_panel(fine, HOUR // 4).values.shape == (1, 3600)
    assert next(drive(load_runtime(tmp_path), panel, np.array([800]))).row.tolist() == [800]

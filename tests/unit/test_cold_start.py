"""Figures of streams that a service has never seen."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.model.loading import load_runtime
from eddycast.training.data.split import Split
from eddycast.training.evaluation.cold_start import STREAMS, cold_start, describe
from eddycast.training.export.onnx_export import add_figures
from tests.support.bundles import TWO_CHANNELS, Walk, write_bundle
from tests.unit.test_backtest import HOUR, noisy_days


def walk(tmp_path: Path) -> Path:
    """A bundle that forecasts its last value, and a band of 1.28 on either side."""
    write_bundle(tmp_path, Walk(interval_ms=HOUR))
    return tmp_path


def test_the_last_value_is_as_good_as_the_last_value_from_the_first_reading_on(
    tmp_path: Path,
) -> None:
    panel, split = noisy_days(rows=900, streams=3), Split(100, 200, 900)
    bundle = walk(tmp_path)
    runtime = load_runtime(bundle)
    figures = cold_start(runtime, panel, split)
    ahead = [figure for figure in figures if figure.lead == 1]
    assert [(figure.readings_from, figure.readings_until) for figure in ahead] == [
        (2, 12),
        (12, 24),
        (24, 48),
        (48, 96),
        (96, 200),
        (200, 500),
    ]
    assert [figure.relative_mae for figure in ahead] == pytest.approx([1.0] * 6)
    assert ahead[0].scored == 3 * 10 and ahead[4].scored == 3 * 104
    assert {figure.lead for figure in figures} == {1, runtime.manifest.horizon}
    kept = add_figures(bundle, (), figures).cold_start
    assert load_runtime(bundle).manifest.cold_start == kept == figures
    assert "of readings 2 to 11 (error 1.00 x last value)" in describe(figures)


def test_coverage_is_counted_by_the_number_of_readings_seen(tmp_path: Path) -> None:
    """Streams whose steps become ten times as large after their 96th reading."""
    panel, split = noisy_days(rows=400, streams=2), Split(50, 100, 400)
    steps = np.full((2, 400), 1.0)
    steps[:, 196:] = 10.0
    panel.values[:] = np.cumsum(steps * np.where(np.arange(400) % 2, 1.0, -1.0), axis=1)
    figures = cold_start(load_runtime(walk(tmp_path)), panel, split)
    covered = {f.readings_from: f.coverage_80 for f in figures if f.lead == 1}
    assert covered == {2: 1.0, 12: 1.0, 24: 1.0, 48: 1.0, 96: 0.0, 200: 0.0}


def test_at_most_some_streams_are_started(tmp_path: Path) -> None:
    panel = noisy_days(rows=80, streams=STREAMS + 40)
    figures = cold_start(load_runtime(walk(tmp_path)), panel, Split(10, 20, 80))
    assert figures[0].scored == STREAMS * 10


def test_without_readings_there_is_no_figure(tmp_path: Path) -> None:
    panel, split = noisy_days(rows=100, streams=2), Split(40, 60, 100)
    panel.values[:, 60:] = np.nan
    runtime = load_runtime(walk(tmp_path))
    assert cold_start(runtime, panel, split) == ()
    assert describe(()) == ""
    short = noisy_days(rows=62, streams=2)
    assert cold_start(runtime, short, Split(40, 60, 62)) == ()


def test_channels_of_a_stream_stay_together(tmp_path: Path) -> None:
    write_bundle(tmp_path, replace(TWO_CHANNELS, interval_ms=HOUR))
    runtime = load_runtime(tmp_path)
    panel = noisy_days(rows=200, streams=4)
    names = tuple(runtime.manifest.channels)
    streams = [f"{stream}/{name}" for stream in ("a", "b") for name in names]
    both = type(panel)(streams, panel.timestamps, panel.values, HOUR, channels=names)
    figures = cold_start(runtime, both, Split(50, 100, 200))
    targets = len(runtime.manifest.targets)
    assert figures[0].scored == 2 * targets * 10


def test_a_stream_without_readings_in_the_hold_out_counts_nowhere(tmp_path: Path) -> None:
    panel, split = noisy_days(rows=300, streams=3), Split(50, 100, 300)
    panel.values[1, 90:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = cold_start(load_runtime(walk(tmp_path)), panel, split)
    assert figures[0].scored == 2 * 10

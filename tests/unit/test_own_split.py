"""Streams recorded at different times are split by their own length, and keep the phases of their
seasons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eddycast.service.errors import DataError
from eddycast.training.data.own_split import (
    OwnCuts,
    choose_split,
    times_of,
    to_fit_on,
    to_score_on,
    unmoved,
)
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.report import weights_remark
from eddycast.training.recipe import Recipe
from eddycast.training.train import train_bundle

HOUR, START = 3_600_000, 1_700_000_000_000 // 3_600_000


def panel_of(*spans: tuple[int, int], width: int = 1) -> Panel:
    """One stream from row `first` to row `last` for each of `spans`; values name stream and row, so
    that a value shows where it came from."""
    rows = max(last for _, last in spans)
    values = np.full((len(spans) * width, rows), np.nan)
    for stream, (first, last) in enumerate(spans):
        for channel in range(width):
            own = 100_000 * (stream + 1) + np.arange(first, last) + 0.1 * channel
            values[stream * width + channel, first:last] = own
    names = [f"s{i}" for i in range(len(values))]
    channels = tuple("ab"[:width]) if width > 1 else ()
    return Panel(names, (START + np.arange(rows)) * HOUR, values, HOUR, channels=channels)


APART = ((0, 200), (300, 400), (500, 1000), (1200, 1500))


@pytest.mark.parametrize(
    ("spans", "text", "by", "by_stream"),
    [
        (APART, None, None, True),
        (APART, ".6,.2,.2", None, True),
        (APART, None, "calendar", False),
        (APART, "700,300,400", None, False),  # rows are rows of the calendar
        (((0, 500), (0, 500)), None, None, False),
        (((0, 500), (0, 500)), None, "stream", True),
        (((0, 500), (0, 500), (0, 100)), None, None, False),  # most have all parts
    ],
)
def test_which_split_is_taken(
    spans: tuple[tuple[int, int], ...], text: str | None, by: str | None, by_stream: bool
) -> None:
    split, remark = choose_split(text, by, panel_of(*spans))
    assert split.by_stream is by_stream
    assert ("by its own length (" in remark) is by_stream
    lacking = any(last - first < 500 for first, last in spans)
    assert bool(remark) is (by_stream or lacking)


def test_the_remark_names_the_other_choice() -> None:
    _, remark = choose_split(None, None, panel_of(*APART))
    assert remark.startswith("0 of 4 series have readings in all parts")
    assert "--split-by calendar" in remark
    _, remark = choose_split(None, "calendar", panel_of(*APART))
    assert remark.startswith("4 of 4 series lack readings") and "--split-by stream" in remark


@pytest.mark.parametrize(("text", "by"), [(None, "series"), ("700,300,400", "stream")])
def test_a_choice_that_makes_no_sense_is_refused(text: str | None, by: str) -> None:
    with pytest.raises(DataError, match="split-by"):
        choose_split(text, by, panel_of(*APART))


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("period", [1, 24])
def test_a_fit_sees_the_first_parts_of_every_stream_and_nothing_more(
    period: int, width: int
) -> None:
    panel = panel_of(*APART, width=width)
    split, _ = choose_split(None, None, panel)
    moved, cut = to_fit_on(panel, split, period)
    assert cut.validation_end == len(moved)
    for series in range(len(panel.streams)):
        first, last = APART[series // width]
        ends = [first + round((last - first) * share) for share in (0.7, 0.8)]
        train = rows_of(moved.values[series, : cut.train_end], series, width)
        validation = rows_of(moved.values[series, cut.train_end :], series, width)
        assert [*train, *validation] == list(range(first, ends[1]))
        assert ends[0] - period < len(train) + first <= ends[0]
        check_phases(panel, moved, series, period)


@pytest.mark.parametrize("period", [1, 24])
def test_a_hold_out_holds_the_last_part_of_every_stream_and_nothing_more(period: int) -> None:
    panel = panel_of(*APART)
    split, _ = choose_split(None, None, panel)
    moved, cut = to_score_on(panel, split, period)
    assert cut.end == len(moved)
    for series, (first, last) in enumerate(APART):
        hold_out = rows_of(moved.values[series, cut.validation_end :], series, 1)
        seen = first + round((last - first) * 0.8)
        assert hold_out == list(range(last - len(hold_out), last))
        assert last - seen - period < len(hold_out) <= last - seen
        assert np.count_nonzero(~np.isnan(moved.values[series])) == last - first
        check_phases(panel, moved, series, period)


def rows_of(values: np.ndarray, series: int, width: int) -> list[int]:
    """The rows of the panel at which the observed values stood."""
    own = values[~np.isnan(values)] - 100_000 * (series // width + 1)
    return [int(row) for row in own]


def check_phases(panel: Panel, moved: Panel, series: int, period: int) -> None:
    """Every reading has moved by whole periods."""
    there = np.flatnonzero(~np.isnan(moved.values[series]))
    here = np.flatnonzero(np.isin(panel.values[series], moved.values[series, there]))
    apart = (moved.timestamps[there] - panel.timestamps[here]) // HOUR
    assert len(set(apart.tolist())) == 1 and apart[0] % period == 0


def test_what_was_held_back_is_named_by_its_own_time() -> None:
    panel = panel_of(*APART)
    split, _ = choose_split(None, None, panel)
    moved, _ = to_fit_on(panel, split, 24)
    mask = moved.values.T == 300_000 + 555
    assert np.argwhere(unmoved(mask, range(4), moved, panel)).tolist() == [[555, 2]]
    mask = moved.values[[2]].T == 300_000 + 555
    assert np.argwhere(unmoved(mask, [2], moved, panel)).tolist() == [[555, 0]]


def test_a_split_of_the_calendar_moves_nothing() -> None:
    panel, split = panel_of((0, 500), (100, 500)), Split(350, 400, 500)
    assert to_fit_on(panel, split, 24) == to_score_on(panel, split, 24) == (panel, split)
    stamps = panel.timestamps
    assert times_of(panel, split) == (stamps[399], stamps[400], stamps[499])


def test_raw_readings_of_counters_move_with_their_increases() -> None:
    panel = panel_of(*APART)
    counters = replace(panel, values=panel.values + 0.5, readings=panel.values)
    split, _ = choose_split(None, None, counters)
    for moved, _ in (to_fit_on(counters, split, 24), to_score_on(counters, split, 24)):
        assert moved.readings is not None
        np.testing.assert_array_equal(moved.values, moved.readings + 0.5)
        assert np.count_nonzero(~np.isnan(moved.readings)) >= 880


def test_a_stream_without_a_reading_stays_without() -> None:
    panel = panel_of(*APART)
    panel.values[1] = np.nan
    split, _ = choose_split(None, None, panel)
    for moved, _ in (to_fit_on(panel, split, 24), to_score_on(panel, split, 24)):
        assert np.isnan(moved.values[1]).all()
    cuts = OwnCuts.of(panel, split)
    assert cuts.end[1] == cuts.start[1] == cuts.validation_end[1] == 0


@pytest.mark.trains
def test_streams_recorded_at_different_times_train_together(tmp_path: Path) -> None:
    """Eight weeks each, one after the other: a cut in time leaves no stream in all parts."""
    random, weeks = np.random.default_rng(5), 8 * 168
    values = np.full((4, 4 * weeks), np.nan)
    hours = np.arange(weeks)
    for s in range(4):
        wave = np.sin(2 * np.pi * (hours + s * weeks) / 24)
        values[s, s * weeks : (s + 1) * weeks] = 20 + wave + random.normal(0, 0.1, weeks)
    stamps = (START + np.arange(values.shape[1])) * HOUR
    panel = Panel([f"s{s}" for s in range(4)], stamps, values, HOUR)
    recipe = Recipe("ar", 6, seasons_ms=(24 * HOUR,))
    with pytest.raises(DataError, match="has 0 values"):
        train_bundle(panel, recipe, Split.parse(None, len(panel)), tmp_path / "calendar")
    split, _ = choose_split(None, None, panel)
    manifest, figures = train_bundle(panel, recipe, split, tmp_path / "own")
    errors = {figure.model: figure.mase for figure in figures if figure.horizon == 6}
    assert errors["ar"] is not None and errors["ar"] < 0.9 * (errors["seasonal_naive"] or 0)
    assert "end of its own length" in weights_remark(manifest)

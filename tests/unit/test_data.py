from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.durations import format_duration, parse_duration
from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.training.data.durations import check_season, parse_season, parse_seasons
from eddycast.training.data.panel import MAX_GAP, Panel, fingerprint, make_panel
from eddycast.training.data.split import Split

MINUTE, HOUR = 60_000, 3_600_000


def history(**streams: list[tuple[int, float]]) -> History:
    return History(
        list(streams),
        [np.array([stamp for stamp, _ in readings], np.int64) for readings in streams.values()],
        [np.array([value for _, value in readings], np.float64) for readings in streams.values()],
        [],
    )


class TestPanel:
    def test_streams_share_one_grid_from_the_first_slot_to_the_last(self) -> None:
        panel = make_panel(
            history(
                a=[(10 * HOUR, 1.0), (12 * HOUR, 3.0)], b=[(11 * HOUR, 5.0), (14 * HOUR, np.nan)]
            ),
            HOUR,
        )
        assert panel.timestamps.tolist() == [10 * HOUR, 11 * HOUR, 12 * HOUR, 13 * HOUR, 14 * HOUR]
        np.testing.assert_array_equal(panel.values[0], [1.0, np.nan, 3.0, np.nan, np.nan])
        np.testing.assert_array_equal(panel.values[1], [np.nan, 5.0, np.nan, np.nan, np.nan])
        assert panel.observations == 3
        assert len(panel) == 5

    def test_a_sensor_with_a_phase_of_its_own_fills_every_slot(self) -> None:
        stamps = [i * MINUTE + 29_900 + 150 * (-1) ** i for i in range(100)]
        panel = make_panel(history(a=[(stamp, float(i)) for i, stamp in enumerate(stamps)]), MINUTE)
        assert not np.isnan(panel.values).any()
        assert len(panel) == 100

    def test_second_readings_are_dropped_like_the_service_does(self) -> None:
        readings = [(i * 20_000, float(i)) for i in range(6)]
        panel = make_panel(history(a=readings), MINUTE)
        assert panel.values[0].tolist() == [0.0, 2.0, 5.0]
        assert any("second in their 1min slot" in note for note in panel.notes)

    def test_a_stamp_far_from_the_others_is_refused(self) -> None:
        with pytest.raises(DataError, match="--interval"):
            make_panel(history(a=[(0, 1.0), (1_700_000_000_000, 2.0)]), 1000)
        with pytest.raises(DataError, match="no readings"):
            make_panel(history(a=[]), 1000)

    def test_as_history_missing_cells_are_readings_but_outages_are_not(self) -> None:
        values = np.full((2, 1000), np.nan)
        values[0, [5, 8, 8 + MAX_GAP + 1, 900]] = 1.0
        panel = Panel(["a", "b"], np.arange(1000) * HOUR, values, HOUR)
        back = panel.history()
        assert back.streams == ["a"]
        rows = back.timestamps[0] // HOUR
        assert rows[:5].tolist() == [5, 6, 7, 8, 8 + MAX_GAP + 1]
        assert rows[-1] == 900
        assert np.count_nonzero(~np.isnan(back.values[0])) == 4

    def test_panel_to_history_and_back(self) -> None:
        values = np.arange(20.0).reshape(2, 10)
        values[0, 3] = np.nan
        panel = Panel(["a", "b"], (np.arange(10) + 77) * HOUR, values, HOUR)
        again = make_panel(panel.history(), HOUR)
        np.testing.assert_array_equal(again.values, panel.values)
        np.testing.assert_array_equal(again.timestamps, panel.timestamps)
        assert panel.rows(2, 5).timestamps.tolist() == [79 * HOUR, 80 * HOUR, 81 * HOUR]


class TestSplit:
    def test_rows_and_fractions(self) -> None:
        assert Split.parse("8640,2880,2880", 17420) == Split(8640, 11520, 14400)
        assert Split.parse(".7,.1,.2", 1000) == Split(700, 800, 1000)
        assert Split.parse(None, 10) == Split(7, 8, 10)

    @pytest.mark.parametrize(
        "text",
        [
            "1,2",
            "a,b,c",
            "0,5,5",
            ".7,.3,.2",
            "100,100,900",
            ".5,100,100",
            ".01,.01,.01",
            "nan,1,1",
            "inf,1,1",
        ],
    )
    def test_what_does_not_cut(self, text: str) -> None:
        with pytest.raises(DataError, match="--split"):
            Split.parse(text, 50)


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("24h", 24 * HOUR),
            ("30m", 30 * MINUTE),
            ("15min", 15 * MINUTE),
            ("7d", 168 * HOUR),
            ("90s", 90_000),
            ("250ms", 250),
            ("1h30m", 90 * MINUTE),
            ("0.5h", 30 * MINUTE),
            ("2w", 336 * HOUR),
        ],
    )
    def test_spellings(self, text: str, expected: int) -> None:
        assert parse_duration(text) == expected

    @pytest.mark.parametrize("text", ["", "h", "10", "1x", "1h+", "0h", "-1h", "one hour"])
    def test_not_durations(self, text: str) -> None:
        with pytest.raises(DataError, match="duration"):
            parse_duration(text)

    @given(st.integers(1, 10**10))
    def test_formatted_and_parsed_again(self, milliseconds: int) -> None:
        assert parse_duration(format_duration(milliseconds)) == milliseconds

    def test_seasons(self) -> None:
        assert parse_season("24h", HOUR) == 24 * HOUR
        assert parse_season("none", HOUR) is None
        assert parse_season(None, HOUR) is None
        with pytest.raises(DataError, match="whole number"):
            parse_season("90min", HOUR)
        with pytest.raises(DataError, match="whole number"):
            parse_season("1h", HOUR)

    def test_one_or_two_seasons(self) -> None:
        assert parse_seasons("auto") is None
        assert parse_seasons("none") == parse_seasons("") == ()
        assert parse_seasons("24h") == (24 * HOUR,)
        assert parse_seasons("24h, 7d") == (24 * HOUR, 168 * HOUR)
        with pytest.raises(DataError, match="whole number"):
            check_season(90 * 60_000, HOUR)


def test_the_fingerprint_follows_the_data_and_nothing_else() -> None:
    values = np.arange(6.0).reshape(2, 3)
    values[1, 1] = np.nan
    panel = Panel(["a", "b"], np.arange(3) * HOUR, values, HOUR)
    same = Panel(["a", "b"], panel.timestamps.copy(), values.copy(), HOUR, ["a note"])
    assert fingerprint(panel) == fingerprint(same)
    for other in (
        Panel(["a", "c"], panel.timestamps, values, HOUR),
        Panel(["a", "b"], panel.timestamps + HOUR, values, HOUR),
        Panel(["a", "b"], panel.timestamps, np.where(values == 5, 5.001, values), HOUR),
        Panel(["a", "b"], panel.timestamps, np.nan_to_num(values), HOUR),
    ):
        assert fingerprint(panel) != fingerprint(other)

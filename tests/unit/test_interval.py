from __future__ import annotations

import numpy as np
import pytest

from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.training.data.interval import choose_interval, infer_interval

MINUTE, HOUR = 60_000, 3_600_000


def history(*streams: list[int] | np.ndarray) -> History:
    names = [f"s{i}" for i in range(len(streams))]
    return History(
        names,
        [np.array(each, np.int64) for each in streams],
        [np.ones(len(each)) for each in streams],
        [],
    )


def test_the_commonest_distance_of_all_streams() -> None:
    assert infer_interval(history([0, HOUR, 2 * HOUR, 5 * HOUR, 6 * HOUR], [7])) == HOUR


def test_readings_without_a_value_do_not_count() -> None:
    found = history(np.arange(12) * 10 * MINUTE)
    found.values[0][np.arange(12) % 6 > 0] = np.nan
    assert infer_interval(found) == HOUR


def test_a_sensor_that_jitters_is_regular() -> None:
    jitter = np.random.default_rng(0).integers(-2000, 2000, 500)
    assert infer_interval(history(np.arange(500) * MINUTE + jitter)) == MINUTE


def test_irregular_readings_need_a_grid() -> None:
    irregular = history(np.arange(100) ** 2 * 40_000)
    with pytest.raises(DataError, match=r"irregular distances.*--interval"):
        infer_interval(irregular)
    assert choose_interval(irregular, "1h") == (HOUR, [])


@pytest.mark.parametrize("streams", [[[7]], [[7], [9]], []])
def test_without_two_readings_there_is_none(streams: list[list[int]]) -> None:
    with pytest.raises(DataError, match="no stream has two readings"):
        infer_interval(history(*streams))


def test_a_second_common_distance_is_said() -> None:
    mixed = history([*range(0, 30 * HOUR, HOUR), *range(30 * HOUR, 50 * HOUR, 20 * MINUTE)])
    interval, notes = choose_interval(mixed, None)
    assert interval == 20 * MINUTE
    assert notes == [
        "the interval is 20min, the commonest distance between readings; 34% are 1h apart"
    ]
    assert choose_interval(history(np.arange(0, 50 * HOUR, HOUR)), None) == (HOUR, [])


def test_an_interval_finer_than_most_readings_is_refused() -> None:
    hourly = history(np.arange(0, 50 * HOUR, HOUR))
    assert choose_interval(hourly, "2h") == (2 * HOUR, [])
    with pytest.raises(DataError, match="readings are 1h apart, --interval 5min is finer"):
        choose_interval(hourly, "5min")


@pytest.mark.parametrize(
    ("part", "months", "shift"),
    [("month", 1, 0), ("month", 1, 9 * HOUR), ("quarter", 3, 0), ("year", 12, 0)],
)
def test_parts_of_a_calendar_are_refused_by_name(part: str, months: int, shift: int) -> None:
    first = np.arange("2005-01", "2020-01", months, dtype="M8[M]").astype("M8[ms]").astype(np.int64)
    monthly = history(first + shift)
    with pytest.raises(
        DataError, match=rf"once a {part}, and {part}s are of no fixed length.*--interval 30d"
    ):
        infer_interval(monthly)
    assert choose_interval(monthly, "366d")[0] == 366 * 24 * HOUR


def test_thirty_days_are_an_interval() -> None:
    assert infer_interval(history(np.arange(50) * 30 * 24 * HOUR)) == 30 * 24 * HOUR

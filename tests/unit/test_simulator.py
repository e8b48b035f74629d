"""The simulator sends every reading once, in order, as input records, and no faster than asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.history.merging import merge
from eddycast.service.records import Headers
from eddycast.service.simulation import CHUNK, Sensors, paced, shifted_to_end_at

HOUR = 3_600_000


def history() -> History:
    return History(
        ["a", "b"],
        [np.array([0, 2 * HOUR, 4 * HOUR]), np.array([HOUR, 2 * HOUR])],
        [np.array([1.0, np.nan, 3.0]), np.array([10.0, 20.0])],
        [],
    )


class Recorder:
    """A producer that remembers what it was given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, int, bytes | None, bytes | None]] = []
        self.flushed = 0

    def produce(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None = None,
    ) -> None:
        self.records += [
            (topic, partition, key, value) for key, value in zip(keys, values, strict=True)
        ]

    def flush(self, timeout_s: float) -> None:
        self.flushed = len(self.records)


def sent(readings_of: History, partitions: int = 3) -> Recorder:
    readings, recorder = merge(readings_of), Recorder()
    Sensors(recorder, "t", partitions, readings).send(slice(0, len(readings)), 1.0)  # type: ignore[arg-type]
    return recorder


def test_all_streams_are_merged_by_stamp() -> None:
    readings = merge(history())
    assert readings.timestamps.tolist() == [0, HOUR, 2 * HOUR, 2 * HOUR, 4 * HOUR]
    assert readings.stream.tolist() == [0, 1, 0, 1, 0]


def test_streams_and_limit_choose() -> None:
    readings = merge(history(), streams=["b"], limit=1)
    assert (readings.streams, readings.timestamps.tolist(), readings.values.tolist()) == (
        ["b"],
        [HOUR],
        [[10.0]],
    )
    with pytest.raises(DataError, match="no stream 'c'"):
        merge(history(), streams=["c"])


def test_records_are_what_the_service_reads() -> None:
    recorder = sent(history())
    assert recorder.flushed == 5
    by_stream: dict[bytes | None, list[object]] = {}
    for _topic, _partition, key, value in recorder.records:
        by_stream.setdefault(key, []).append(json.loads(value or b""))
    assert by_stream[b"a"] == [
        {"timestamp": "1970-01-01T00:00:00+00:00", "value": 1.0},
        {"timestamp": "1970-01-01T02:00:00+00:00", "value": None},
        {"timestamp": "1970-01-01T04:00:00+00:00", "value": 3.0},
    ]
    assert len({partition for _, partition, key, _ in recorder.records if key == b"a"}) == 1


def test_a_shift_keeps_the_distances() -> None:
    moved = shifted_to_end_at(merge(history()), 10 * HOUR)
    assert moved.timestamps.tolist() == [6 * HOUR, 7 * HOUR, 8 * HOUR, 8 * HOUR, 10 * HOUR]


class Clock(Event):
    """Time passes only where it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return self.is_set()


@given(
    gaps=st.lists(st.integers(0, 10 * HOUR), min_size=1, max_size=30),
    speed=st.sampled_from([0.0, 1.0, 60.0, 3600.0, 1e9]),
)
def test_every_reading_is_sent_once_and_none_before_its_time(gaps: list[int], speed: float) -> None:
    stamps = np.cumsum(np.array(gaps, np.int64))
    clock, done = Clock(), 0
    for which in paced(stamps, speed, clock, clock):
        assert which.start == done
        done = which.stop
        if speed:
            assert stamps[which.stop - 1] <= stamps[0] + (clock.now - 100.0) * 1000 * speed + 1e-3
    assert done == len(stamps)


def test_as_fast_as_possible_still_comes_in_pieces_and_stops() -> None:
    stamps, stop = np.arange(3 * CHUNK), Event()
    pieces = []
    for which in paced(stamps, 0.0, stop):
        pieces.append(which)
        if len(pieces) == 2:
            stop.set()
    assert [piece.stop - piece.start for piece in pieces] == [CHUNK, CHUNK]


def test_a_partitioner_may_be_chosen() -> None:
    readings, recorder = merge(history()), Recorder()
    Sensors(recorder, "t", 3, readings, lambda key: key[0]).send(slice(0, 5), 1.0)  # type: ignore[arg-type]
    assert {(key, partition) for _, partition, key, _ in recorder.records} == {(b"a", 1), (b"b", 2)}

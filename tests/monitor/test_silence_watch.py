"""Silence of streams and its end, looked for on a board."""

from __future__ import annotations

import numpy as np

from eddycast.service.monitor.decode import Decoder, by_position
from eddycast.service.monitor.silence_watch import SilenceWatch
from tests.monitor.records import MINUTE, START, batch, board, forecast


def test_a_stream_of_several_targets_is_silent_once() -> None:
    rng = np.random.default_rng(1)
    base = forecast("a", 0, 1.0, rng)
    both = {name: {"x": base[name], "y": base[name]} for name in ("one_step", "multi_step")}
    filled = board([base | both | {"value": [1.0, 2.0]}])
    watch = SilenceWatch(filled, {})
    assert watch.look(START + MINUTE) == []
    (event,) = watch.look(START + 10 * MINUTE)
    assert (event.stream, event.content["event"]) == ("a", "silent")
    assert watch.look(START + 20 * MINUTE) == []
    (event,) = watch.look(START + MINUTE)
    assert event.content == {"event": "back", "timestamp": START}


def test_a_target_that_a_stream_no_longer_has_does_not_make_it_silent() -> None:
    rng = np.random.default_rng(1)
    records = [forecast("a", step, 1.0, rng) for step in range(3)]
    records += [
        record | {name: {"new": record[name]} for name in ("one_step", "multi_step")}
        for record in (forecast("a", step, 1.0, rng) for step in range(3, 20))
    ]
    filled = board(records)
    assert sorted(filled.targets("a")) == ["", "new"]
    watch = SilenceWatch(filled, {})
    assert [watch.look(START + 20 * MINUTE) for _ in range(2)] == [[], []]
    (event,) = watch.look(START + 30 * MINUTE)
    assert (event.content["event"], event.content["timestamp"]) == ("silent", START + 19 * MINUTE)


def test_a_silent_stream_is_remembered_until_it_is_forgotten() -> None:
    rng = np.random.default_rng(1)
    day, remembered = 86_400_000, {"not read back": START}
    filled = board([forecast("a", 0, 1.0, rng), forecast("b", 0, 1.0, rng)])
    watch = SilenceWatch(filled, remembered)
    assert len(watch.look(START + day)) == 2
    assert set(remembered) == {"a", "b", "not read back"}
    filled.add(Decoder(by_position).decode([batch([forecast("b", 9 * 1_440, 1.0, rng)])]))
    (event,) = watch.look(START + 9 * day)
    assert (event.stream, event.content["event"]) == ("b", "back")
    assert remembered == {}

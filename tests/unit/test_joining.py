"""Channels of one stream that come in different records, or fields, are joined in a step."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from eddycast.service.bridges.line_feed import LineFeed, Lines
from eddycast.service.bridges.messages import MessageMapper
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.diagnosis.examine import look_at_mapping
from eddycast.service.errors import DataError, SettingsError
from eddycast.service.formats.mapped_decoder import MappedDecoder
from eddycast.service.history import ReadOptions
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import Decoding, PartitionBatch
from eddycast.service.settings.input import InputSettings
from eddycast.service.settings.load import load_settings
from eddycast.training.retraining.sources import read_sources
from tests.support.bundles import START_MS, TWO_CHANNELS, write_bundle
from tests.support.crashing import Fleet, outputs, stored
from tests.support.faulty_broker import FaultyBroker
from tests.support.feeding import settings as feeding
from tests.support.running import AT_ONCE, INPUT, documents, made, memory_broker, send, worker

MINUTE = 60_000
BY_RECORD = {
    "channel": "{/what}", "channels": "flow, level", "value": "/v", "timestamp": "/at",
}  # fmt: skip
BY_FIELD = {
    "fields": "/flow, /level, /battery", "channel": "{field}", "channels": "flow,level",
    "timestamp": "/at",
}  # fmt: skip
MEAN = replace(AT_ONCE, aggregate="mean", close_after_ms=0, input=BY_RECORD)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("two")
    write_bundle(path, TWO_CHANNELS)
    return load_runtime(path)


def number(second: int, what: str, value: float | None) -> dict[str, Any]:
    return {"at": START_MS + second * 1000, "what": what, "v": value}


SENT = [
    number(0, "flow", 1.0), number(0, "level", 7.0), number(20, "flow", 2.0),
    number(30, "battery", 3.3), number(70, "level", 8.0), number(80, "flow", None),
    number(120, "flow", 5.0), number(130, "level", 9.0), number(180, "flow", 0.0),
]  # fmt: skip
JOINED = [[1.5, 7.0], [None, 8.0], [5.0, 9.0]]


def test_records_of_one_channel_each_become_one_step(two: Runtime) -> None:
    """Others are filtered; a channel that did not come is missing."""
    broker = memory_broker()
    send(broker, [(0, b"plant", one) for one in SENT])
    subject = worker(broker, two, MEAN)
    subject.turn()
    assert [one["value"] for one in documents(broker)] == JOINED
    assert {record.key for record in made(broker)} == {b"plant"}
    assert subject.value("filtered_total") == 1
    assert subject.value("readings_total", verdict="gathered") == 4


@pytest.mark.parametrize("place", ["commit.3", "commit.5", "restoring"])
def test_a_step_is_joined_whatever_dies_meanwhile(two: Runtime, place: str) -> None:
    def written(place: str | None) -> tuple[object, object]:
        fleet = Fleet(memory_broker(), two, MEAN)
        fleet.start()
        for one in SENT:
            send(fleet.broker, [(0, b"plant", one)])
            if place is not None:
                fleet.start(place)
            fleet.turn()
            if place is not None and fleet.alive:
                fleet.kill(fleet.alive[0])
        fleet.settle()
        return outputs(fleet.broker), stored(fleet.broker)

    assert written(place) == written(None)


def test_fields_of_one_record_are_joined_too(two: Runtime) -> None:
    broker = memory_broker()
    records = [
        {"at": START_MS, "flow": 1.0, "level": 2.0, "battery": 3.0},
        {"at": START_MS + MINUTE, "level": 4.0},
        {"at": START_MS + 2 * MINUTE, "flow": 5.0},
    ]
    send(broker, [(0, b"plant", one) for one in records])
    subject = worker(broker, two, replace(MEAN, input=BY_FIELD))
    subject.turn()
    assert [one["value"] for one in documents(broker)] == [[1.0, 2.0], [None, 4.0]]
    assert subject.value("filtered_total") == 1


def decoded(mapping: dict[str, Any], values: list[bytes], columns: bool) -> tuple[Any, ...]:
    decoder = MappedDecoder(InputSettings.model_validate(mapping), 2)
    assert decoder._columns is not None
    if not columns:
        decoder._columns = None
    count = len(values)
    batch = PartitionBatch(
        "t", 0, [b"plant"] * count, list(values), np.full(count, START_MS), np.arange(count)
    )
    found: Decoding = decoder.decode(batch)
    seen = found.observations
    return (
        seen.streams, seen.timestamps.tolist(), seen.values.tobytes(), seen.offsets.tolist(),
        seen.places, [(letter.offset, letter.error) for letter in found.letters],
        found.filtered.tolist(),
    )  # fmt: skip


@pytest.mark.parametrize("mapping", [BY_RECORD, BY_FIELD, BY_RECORD | {"streams": "plant"}])
def test_columns_are_what_records_are_one_by_one(mapping: dict[str, Any]) -> None:
    odd = [b"{", b"null", json.dumps(number(1, "flow", 1e31)).encode(), b'{"what": "flow"}']
    odd += [b'{"what": 7, "v": 1, "at": 1700000000000}', b'{"flow": 1, "at": 1700000000000}']
    values = [json.dumps(one).encode() for one in SENT] + odd
    assert decoded(mapping, values, columns=True) == decoded(mapping, values, columns=False)


def test_streams_are_selected_by_their_own_names() -> None:
    values = [json.dumps(one).encode() for one in SENT[:2]]
    assert decoded(BY_RECORD | {"streams": "plant"}, values, columns=True)[0] == [b"plant"] * 2
    assert decoded(BY_RECORD | {"streams": "plant?*"}, values, columns=True)[0] == []


def test_a_bridge_writes_readings_with_what_they_have() -> None:
    reading, writing = os.pipe()
    lines = [b"plant\t" + json.dumps(one).encode() for one in SENT[:2]]
    os.write(writing, b"\n".join(lines))
    os.close(writing)
    broker, chosen = FaultyBroker(), feeding(BY_RECORD)
    mapper = MessageMapper(chosen, chosen.input.width)
    LineFeed(Lines(reading), broker, chosen, mapper, CrashPoint()).run(Event())
    os.close(reading)
    values = [json.loads(record.value or b"")["value"] for record in broker.read(INPUT)]
    assert values == [[1.0, None], [None, 7.0]]


@pytest.mark.parametrize("aggregate", ["first", "last"])
def test_without_a_mean_nothing_is_joined(two: Runtime, aggregate: str) -> None:
    options = replace(MEAN, aggregate=aggregate)
    with pytest.raises(SettingsError, match=f"time.aggregate is {aggregate}"):
        worker(memory_broker(), two, options)
    finding, _ = look_at_mapping(options.settings(), 2)
    assert not finding.well and "mean" in finding.action


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--input.channel={/what}"], "belong together"),
        (["--input.channels=a,b"], "belong together"),
        (["--input.channel={/what}", "--input.channels=a"], "two or more different names"),
        (["--input.channel=what", "--input.channels=a,b"], "{/measurement}"),
        (["--input.channel={/w}", "--input.channels=a,b", "--input.value=/a,/b"], "has no use"),
    ],
)
def test_settings_that_do_not_fit_together(flags: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, {})
    assert said in caught.value.what


def test_as_many_names_as_the_model_has_channels() -> None:
    with pytest.raises(SettingsError, match="names 2 channels; the model has 3"):
        MappedDecoder(InputSettings.model_validate(BY_RECORD), 3)


def test_a_topic_of_single_channels_is_not_trained_on() -> None:
    chosen = MEAN.settings()
    with pytest.raises(DataError, match=r"input\.channel"):
        read_sources(["kafka"], chosen, ReadOptions(), None)

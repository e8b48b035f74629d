"""The records of gateways have the readings of the plain ones, but for those that are off; they
survive crashes in-process, as they have to on a real Kafka."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.outcomes import Filtered, Outcome, Reading, Record, Refused
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.records import LAST_TIMESTAMP
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import PREFIX
from tests.chaos.feed import minutes
from tests.chaos.shapes import MAPPED, PLAIN, SCHEMA, Shape, avro
from tests.support.bundles import RECURRENT, write_bundle
from tests.support.crashing import Fleet, outputs, stored
from tests.support.running import AT_ONCE, INPUT, memory_broker


def read(shape: Shape, gathered: list[tuple[bytes, bytes]]) -> list[Outcome]:
    variables = {PREFIX + name: value for name, value in shape.settings.items()}
    mapping = Mapping(load_settings((), variables).input, 1, schema_of=lambda _: SCHEMA)
    return [
        outcome
        for key, value in gathered
        for outcome in mapping.read(Record("t", key, value, (), 0, LAST_TIMESTAMP))
    ]


def of_one_partition() -> list[tuple[bytes, bytes]]:
    return [
        (key, value)
        for readings in islice(minutes(5, 4, 24), 200)
        for partition, key, value in readings
        if partition == 1
    ]


AVRO = avro("http://localhost:8081", 7)


@pytest.mark.parametrize(
    ("shape", "errors"), [(MAPPED, {"not_json", "not_a_number"}), (AVRO, {"not_avro"})]
)
def test_other_shapes_send_what_the_sensors_would(shape: Shape, errors: set[str]) -> None:
    sent = of_one_partition()
    plain, mapped = (read(own, own.gathered(sent)) for own in (PLAIN, shape))
    kinds = [{type(one) for one in found} for found in (plain, mapped)]
    assert kinds == [{Reading, Refused}, {Reading, Refused, Filtered}]
    alone = {
        (one.stream, one.timestamp, str(one.values)) for one in plain if isinstance(one, Reading)
    }
    taken = [one for one in mapped if isinstance(one, Reading)]
    assert {(one.stream, one.timestamp, str(one.values)) for one in taken} <= alone
    assert {one.why.error for one in mapped if isinstance(one, Refused)} == errors
    assert 0.7 < len(taken) / len(alone) < 0.95


def test_a_gateway_sends_several_at_once() -> None:
    sent = of_one_partition()
    assert len(MAPPED.gathered(sent)) < len(sent) / 7


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    path: Path = tmp_path_factory.mktemp("recurrent")
    write_bundle(path, RECURRENT)
    return load_runtime(path)


def served(runtime: Runtime, places: tuple[str | None, ...]) -> Fleet:
    """Thirty minutes of a run, with a worker that dies at each of the places."""
    mapping = {
        name.removeprefix("INPUT__").lower(): value for name, value in MAPPED.settings.items()
    }
    options = replace(AT_ONCE, input=mapping, late="dead_letter", max_steps=20)
    fleet = Fleet(memory_broker(2), runtime, options)
    feed, producer = minutes(9, 2, 12), fleet.broker.producer()
    for place in places:
        fleet.start(place)
        for readings in islice(feed, 10):
            for p in range(2):
                here = MAPPED.gathered([one[1:] for one in readings if one[0] == p])
                keys, values = [key for key, _ in here], [value for _, value in here]
                producer.produce(INPUT, p, keys, values)
        producer.flush(1.0)
        fleet.settle()
    return fleet


def test_gateways_survive_crashes(recurrent: Runtime) -> None:
    crashed = served(recurrent, ("commit.3", "commit.5", "assigned"))
    expected = served(recurrent, (None, None, None))
    assert crashed.started > expected.started
    assert all(outputs(expected.broker).values()), "forecasts and dead letters"
    assert {topic: sorted(map(str, found)) for topic, found in outputs(crashed.broker).items()} == {
        topic: sorted(map(str, found)) for topic, found in outputs(expected.broker).items()
    }
    assert stored(crashed.broker) == stored(expected.broker)

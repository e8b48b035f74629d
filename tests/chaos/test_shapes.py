"""The records of gateways have the readings of the plain ones, but for those that are off."""

from __future__ import annotations

from itertools import islice

from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.outcomes import Filtered, Outcome, Reading, Record, Refused
from eddycast.service.records import LAST_TIMESTAMP
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import PREFIX
from tests.chaos.feed import minutes
from tests.chaos.shapes import MAPPED, PLAIN, Shape


def read(shape: Shape, gathered: list[tuple[bytes, bytes]]) -> list[Outcome]:
    variables = {PREFIX + name: value for name, value in shape.settings.items()}
    mapping = Mapping(load_settings((), variables).input, 1)
    return [
        outcome
        for key, value in gathered
        for outcome in mapping.read(Record("t", key, value, (), 0, LAST_TIMESTAMP))
    ]


def test_a_gateway_sends_what_its_sensors_would() -> None:
    sent = [
        (key, value)
        for readings in islice(minutes(5, 4, 24), 200)
        for partition, key, value in readings
        if partition == 1
    ]
    plain, mapped = (read(shape, shape.gathered(sent)) for shape in (PLAIN, MAPPED))
    kinds = [{type(one) for one in found} for found in (plain, mapped)]
    assert kinds == [{Reading, Refused}, {Reading, Refused, Filtered}]
    alone = {
        (one.stream, one.timestamp, str(one.values)) for one in plain if isinstance(one, Reading)
    }
    taken = [one for one in mapped if isinstance(one, Reading)]
    assert {(one.stream, one.timestamp, str(one.values)) for one in taken} <= alone
    errors = {one.why.error for one in mapped if isinstance(one, Refused)}
    assert errors == {"not_json", "not_a_number"}
    assert 0.7 < len(taken) / len(alone) < 0.95
    assert len(MAPPED.gathered(sent)) < len(sent) / 7

"""What bridges and the simulator write is what the service reads."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.bridges.target import Target
from eddycast.service.formats.json_decoder import Decoder
from eddycast.service.records import LARGEST, LAST_TIMESTAMP
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import INPUT

STREAMS = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
NUMBERS = st.floats(-LARGEST, LARGEST) | st.just(float("nan")) | st.integers(-9, 9).map(float)
TIMES = st.integers(0, LAST_TIMESTAMP)


@given(st.integers(1, 3), st.data())
def test_every_reading_is_read_back(channels: int, data: st.DataObject) -> None:
    values = st.lists(NUMBERS, min_size=channels, max_size=channels)
    readings = data.draw(st.lists(st.tuples(STREAMS, TIMES, values), min_size=1, max_size=8))
    broker = FaultyBroker(clock=lambda: LAST_TIMESTAMP / 1000)
    broker.admin().create_topic(INPUT, 1)
    outgoing = Outgoing(Target(INPUT, 1, "dead", 1, 1000, zlib.crc32))
    for stream, timestamp, numbers in readings:
        outgoing.add_reading(stream.encode(), timestamp, numbers, [])
    with broker.producer() as producer, broker.reader(INPUT) as reader:
        outgoing.produce(producer)
        producer.flush(1.0)
        reader.start({0: 0})
        (batch,) = reader.poll(1.0, 100)
    found, letters, _ = Decoder(channels).decode(batch)
    assert not letters
    assert found.streams == [stream.encode() for stream, _, _ in readings]
    assert found.timestamps.tolist() == [timestamp for _, timestamp, _ in readings]
    np.testing.assert_array_equal(found.values, [numbers for _, _, numbers in readings])

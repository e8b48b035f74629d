"""Fill a changelog as commits would, but at once:
the service's own rows, through its own producer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eddycast.service.broker.kafka.broker import KafkaBroker
from eddycast.service.bundle import TensorSpec
from eddycast.service.records import ROW_PREFIX
from eddycast.service.settings.kafka import KafkaSettings
from eddycast.service.state.arena import Spec
from eddycast.service.state.changelog import MARKER_KEY, MODEL_KEY, Marker, RowCodec
from eddycast.service.state.model_record import KeptPart, ModelRecord
from eddycast.service.state.stream_time import Clock

PARTITIONS = 4
COMMITTED = 1  # the offset that the markers name
_CHUNK, _UNCHECKED = 10_000, 100_000


def codec(specs: Sequence[Spec]) -> RowCodec:
    """The codec of rows with these tensors."""
    return RowCodec(tensors(specs))


def tensors(specs: Sequence[Spec]) -> tuple[TensorSpec, ...]:
    """The tensors as listed in a manifest."""
    return tuple(
        TensorSpec.model_validate({"name": s.name, "dtype": s.dtype, "shape": s.shape})
        for s in specs
    )


def model(specs: Sequence[Spec]) -> ModelRecord:
    """The model record of the rows."""
    return ModelRecord(
        version="0" * 64,
        model="bench",
        layout=codec(specs).layout,
        interval_ms=60_000,
        kind="gauge",
        channels=("value",),
        parts=(KeptPart(name="core", tensors=tensors(specs), meaning="0" * 16),),
    )


def fill_changelog(
    address: str, topic: str, specs: Sequence[Spec], streams: int, versions: int
) -> None:
    """Create `topic` and write the rows of `streams` streams, each `versions` times over,
    then a marker a partition.

    Its segments are not compacted while it is read: what is counted is what was written.
    """
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=address))
    admin = broker.admin()
    admin.create_topic(
        topic, PARTITIONS, config={"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000"}
    )
    admin.close()
    rows, producer, unchecked = codec(specs), broker.producer(), 0
    prefix = np.zeros(_CHUNK, ROW_PREFIX)
    ones = {spec.name: np.ones((_CHUNK, *spec.shape), spec.dtype) for spec in specs}
    for version in range(versions):
        prefix["observations"], prefix["last_timestamp"] = (
            version + 1,
            1_700_000_000_000 + version * 60_000,
        )
        values = rows.encode(prefix, ones)
        for partition in range(PARTITIONS):
            for start in range(partition, streams, PARTITIONS * _CHUNK):
                numbers = range(start, min(start + PARTITIONS * _CHUNK, streams), PARTITIONS)
                producer.produce(
                    topic, partition, [b"sensor-%07d" % n for n in numbers], values[: len(numbers)]
                )
                unchecked += len(numbers)
                if unchecked >= _UNCHECKED:
                    producer.flush(60.0)
                    unchecked = 0
    for partition in range(PARTITIONS):
        held = len(range(partition, streams, PARTITIONS))
        marker = rows.encode_marker(
            Marker(COMMITTED, held, Clock(int(prefix["last_timestamp"][0]), 1))
        )
        producer.produce(
            topic, partition, [MODEL_KEY, MARKER_KEY], [rows.encode_model(model(specs)), marker]
        )
    producer.flush(60.0)
    producer.close(10.0)

"""The checks of the mapping, and of a sample of the input topic."""

from __future__ import annotations

from collections.abc import Iterator

from eddycast.service.broker.port import Broker
from eddycast.service.bundle import Manifest
from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.diagnosis.finding import Finding
from eddycast.service.diagnosis.records import coded, placed, readable
from eddycast.service.diagnosis.sample import Sample, latest_batches
from eddycast.service.diagnosis.times import clocked, spaced
from eddycast.service.errors import EddycastError
from eddycast.service.processing.decoding import RecordDecoder, decoder_for
from eddycast.service.processing.grid_check import check_joined
from eddycast.service.settings.settings import Settings

#: Maximum number of records in a sample.
RECORDS = 5_000


def look_at_mapping(settings: Settings, channels: int) -> tuple[Finding, RecordDecoder | None]:
    """Check that the mapping of records fits the model; its decoder if it does."""
    try:
        check_joined(settings)
        schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
        decoder = decoder_for(settings, channels, schemas)
    except EddycastError as error:
        return Finding.wrong("input", error), None
    plain = settings.input.is_plain
    found = "the plain shape" if plain else "a mapping that fits the model"
    return Finding("input", found), decoder


def look_at_records(
    broker: Broker,
    settings: Settings,
    manifest: Manifest,
    decoder: RecordDecoder,
    partitions: int,
) -> Iterator[Finding]:
    """Check the latest records of the input, which has so many partitions.
    Raises BrokerError, SchemaRegistryError."""
    each = max(1, RECORDS // partitions)
    channels = len(manifest.read_channels)
    batches = latest_batches(broker, settings.topics.input, each)
    sample = Sample.of(batches, decoder, channels)
    yield readable(sample)
    if sample.streams:
        known = settings.input.chosen_codes(manifest.codes[:channels], channels)
        yield placed(sample)
        yield clocked(sample)
        yield spaced(sample, manifest, settings.time)
        yield coded(sample, known, settings.input)

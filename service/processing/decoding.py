"""The decoder that the settings ask for, and records that are not decoded at all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np

from eddycast.service.formats.json_decoder import Decoder
from eddycast.service.formats.mapped_decoder import MappedDecoder
from eddycast.service.formats.schemas import NO_SCHEMAS, Schemas
from eddycast.service.processing.chunks import Decoded
from eddycast.service.records import DeadLetter, Decoding, Int64, PartitionBatch, Tombstones
from eddycast.service.settings.settings import Settings
from eddycast.service.state.stream_time import Clock

_FAILED = "processing failed repeatedly, also when the record was alone in its batch"


class RecordDecoder(Protocol):
    """Decodes the records of a partition: `json_decoder.Decoder` or
    `mapped_decoder.MappedDecoder`."""

    def latest(self, batch: PartitionBatch, clock: Clock) -> Int64:
        """Return the largest timestamp that each record may have, int64 [n], ms."""

    def decode(self, batch: PartitionBatch, latest: Int64 | None = None) -> Decoding:
        """Decode the records of a batch without tombstones."""


def decoder_for(settings: Settings, channels: int, schemas: Schemas = NO_SCHEMAS) -> RecordDecoder:
    """The decoder that the settings ask for; `schemas` has those of Avro records.
    Raises SettingsError."""
    limits = settings.time.far_future_ms, settings.time.earliest_ms
    if settings.input.is_plain:
        return Decoder(channels, *limits)
    return MappedDecoder(settings.input, channels, *limits, schemas.schema_of)


def decode_without(
    decoder: RecordDecoder,
    batch: PartitionBatch,
    skip: Collection[int],
    latest: Int64,
    removals: Tombstones,
) -> Decoded:
    """Decode a batch except for tombstones and for records that become dead letters without being
    decoded.

    `skip` are the offsets of damaged or quarantined records, `removals` the tombstones, and
    `latest` [n] the largest timestamps allowed.
    """
    quarantined = np.isin(batch.offsets, list(skip))
    kept = np.flatnonzero(~quarantined & ~np.isin(batch.offsets, removals.offsets)).tolist()
    rest = PartitionBatch(
        batch.topic,
        batch.partition,
        [batch.keys[i] for i in kept],
        [batch.values[i] for i in kept],
        batch.timestamps[kept],
        batch.offsets[kept],
        headers=None if batch.headers is None else [batch.headers[i] for i in kept],
    )
    letters = [_skipped(batch, i) for i in np.flatnonzero(quarantined).tolist()]
    observations, unreadable, filtered = decoder.decode(rest, latest[kept])
    still = np.flatnonzero(~np.isin(removals.offsets, list(skip))).tolist()
    removals = Tombstones([removals.streams[i] for i in still], removals.offsets[still])
    return Decoded(
        batch,
        observations,
        sorted(letters + unreadable, key=lambda letter: letter.offset),
        filtered,
        removals,
    )


def _skipped(batch: PartitionBatch, i: int) -> DeadLetter:
    damage = batch.damaged.get(int(batch.offsets[i]))
    if damage is None:
        return DeadLetter.of(batch, i, "failed", _FAILED)
    return DeadLetter.of(batch, i, damage.error, damage.reason)

"""Conversion of kafka-python's `poll` result to `PartitionBatch`,
from columns of the bulk path or from records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kafka import TopicPartition

from eddycast.service.broker.kafka.fetched import DamagedValue
from eddycast.service.broker.kafka.record_decoder import NO_HEADERS, Columns, EncodedHeaders
from eddycast.service.records import Headers, PartitionBatch


def batches(
    polled: Mapping[TopicPartition, Sequence[Any]], positions: Mapping[int, int] | None = None
) -> list[PartitionBatch]:
    """One batch for each partition that returned records.
    `positions` are those after the poll, by partition."""
    ends = positions or {}
    return [
        _batch(where, found, ends.get(where.partition)) for where, found in polled.items() if found
    ]


def _batch(where: TopicPartition, found: Sequence[Any], end: int | None) -> PartitionBatch:
    if isinstance(found[0], Columns):
        columns, damaged = (
            _joined(found),
            [part.damage for part in found if part.damage is not None],
        )
    else:
        columns = _of_records(found)
        damaged = [
            record.value.damage for record in found if isinstance(record.value, DamagedValue)
        ]
    return PartitionBatch(
        where.topic,
        where.partition,
        columns.keys,
        columns.values,
        columns.timestamps,
        columns.offsets,
        {damage.first: damage for damage in damaged},
        end,
        columns.headers,
    )


def _joined(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return Columns(
        [key for part in parts for key in part.keys],
        [value for part in parts for value in part.values],
        np.concatenate([part.timestamps for part in parts]),
        np.concatenate([part.offsets for part in parts]),
        headers=_joined_headers(parts),
    )


def _joined_headers(parts: Sequence[Columns]) -> Sequence[Headers] | None:
    if all(part.headers is None for part in parts):
        return None
    return EncodedHeaders(
        [
            own
            for part in parts
            for own in (
                part.headers.encoded
                if isinstance(part.headers, EncodedHeaders)
                else [NO_HEADERS] * len(part)
            )
        ]
    )


def _of_records(records: Sequence[Any]) -> Columns:
    return Columns(
        [record.key for record in records],
        [record.value for record in records],
        np.array([record.timestamp for record in records], np.int64),
        np.array([_offset(record) for record in records], np.int64),
        headers=[[(name, value or b"") for name, value in record.headers] for record in records]
        if any(record.headers for record in records)
        else None,
    )


def _offset(record: Any) -> int:
    """Offset of a record; a placeholder for an unreadable batch is at the last offset of the batch
    in the client."""
    value = record.value
    return value.damage.first if isinstance(value, DamagedValue) else int(record.offset)

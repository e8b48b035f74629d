"""From what kafka-python's `poll` returns to `PartitionBatch`: columns of the bulk path, or records one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from kafka import TopicPartition

from service.broker.record_format import Columns
from service.records import PartitionBatch


def batches(polled: Mapping[TopicPartition, Sequence[Any]]) -> list[PartitionBatch]:
    """One batch for each partition that brought something."""
    return [_batch(where, found) for where, found in polled.items() if found]


def _batch(where: TopicPartition, found: Sequence[Any]) -> PartitionBatch:
    columns = _joined(found) if isinstance(found[0], Columns) else _of_records(found)
    return PartitionBatch(
        where.topic, where.partition, columns.keys, columns.values, columns.timestamps, columns.offsets
    )


def _joined(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return Columns(
        [key for part in parts for key in part.keys],
        [value for part in parts for value in part.values],
        np.concatenate([part.timestamps for part in parts]),
        np.concatenate([part.offsets for part in parts]),
    )


def _of_records(records: Sequence[Any]) -> Columns:
    return Columns(
        [record.key for record in records],
        [record.value for record in records],
        np.array([record.timestamp for record in records], np.int64),
        np.array([record.offset for record in records], np.int64),
    )

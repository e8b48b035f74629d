"""Columns queued in kafka-python's producer record by record, by its public calls,
and the check of record sizes.

`bulk_writing.append` queues whole batches instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from kafka import KafkaProducer
from kafka.producer.future import FutureRecordMetadata

from eddycast.service.broker.port import RECORD_OVERHEAD
from eddycast.service.errors import RecordTooLarge
from eddycast.service.records import Headers, headers_bytes


class Result(Protocol):
    """Outcome of one queued record, or of records queued together."""

    @property
    def is_done(self) -> bool:
        """True once the outcome is known."""

    @property
    def exception(self) -> BaseException | None:
        """The error of a record that was not acknowledged;
        None while the outcome is unknown, and after success."""

    @property
    def place(self) -> tuple[str, int]:
        """Topic and partition."""


class _Sent:
    """Outcome of one record."""

    __slots__ = ("_future", "place")

    def __init__(self, future: FutureRecordMetadata, place: tuple[str, int]) -> None:
        self._future, self.place = future, place

    @property
    def is_done(self) -> bool:
        return bool(self._future.is_done)

    @property
    def exception(self) -> BaseException | None:
        return self._future.exception  # type: ignore[no-any-return]


def send(
    client: KafkaProducer,
    topic: str,
    partition: int,
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers] | None,
    limit: int,  # noqa: ARG001 - the client limits batches by its own setting, which has the same value
) -> Iterator[Result]:
    """Queue a column record by record. Raises ValueError if there is no such partition,
    KafkaError."""
    for row, (key, value) in enumerate(zip(keys, values, strict=True)):
        own = headers[row] if headers is not None else None
        yield _Sent(client.send(topic, value, key, own, partition), (topic, partition))


def check_sizes(
    limit: int,
    topic: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    headers: Sequence[Headers] | None,
) -> None:
    """Raise RecordTooLarge for the first record beyond `limit` bytes, before any is sent."""
    room = limit - RECORD_OVERHEAD
    if headers is None and _longest(keys) + _longest(values) <= room:
        return
    for index, (key, value) in enumerate(zip(keys, values, strict=True)):
        own = headers[index] if headers is not None else []
        size = len(key or b"") + len(value or b"") + headers_bytes(own)
        if size > room:
            what = (
                f"a record of {size + RECORD_OVERHEAD} bytes "
                f"for {topic} exceeds the limit of {limit}"
            )
            raise RecordTooLarge(
                what, "raise it and the topic's max.message.bytes, or shorten the horizon"
            )


def _longest(column: Sequence[bytes | None]) -> int:
    return max(map(len, filter(None, column)), default=0)

"""Storage of the in-process broker: partitions as columns,
and the transactions that their records belong to.

As in Kafka, a transaction leaves a marker in every partition that it wrote to, which takes an
offset that no reader sees, and readers of committed records stop at the first record of an open
transaction.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from operator import add
from typing import Self

import numpy as np

from eddycast.service.broker.port import RECORD_OVERHEAD
from eddycast.service.records import Headers, PartitionBatch


class TransactionState(Enum):
    """OPEN -> COMMITTED or ABORTED, once."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False, slots=True)
class Transaction:
    """Transaction of one producer, with the offset of its first record in each partition."""

    state: TransactionState = TransactionState.OPEN
    started: dict[Log, int] = field(default_factory=dict)

    def end(self, state: TransactionState) -> None:
        """Commit or abort: the records become visible, or never will."""
        self.state = state
        for log in self.started:
            log.mark(self)


#: Owner of all markers. Not committed, so that a marker is never visible as a record.
MARKER = Transaction(TransactionState.ABORTED)


@dataclass(frozen=True, slots=True)
class Record:
    """One record with its place."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


@dataclass(frozen=True, slots=True)
class Column:
    """Records of one `produce` call."""

    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers]

    @classmethod
    def of(
        cls,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
    ) -> Self:
        """A record with neither key nor value gets an empty value.
        Raises ValueError for unequal lengths."""
        if len(keys) != len(values) or (headers is not None and len(headers) != len(keys)):
            raise ValueError("a column has as many keys as values and headers")
        filled = [
            b"" if key is None and value is None else value
            for key, value in zip(keys, values, strict=True)
        ]
        return cls(
            list(keys),
            filled,
            [list(own) for own in headers] if headers is not None else [[]] * len(keys),
        )

    @property
    def largest(self) -> int:
        """Upper bound on the bytes that the largest record takes on a real broker."""
        plain = [
            len(key or b"") + len(value or b"")
            for key, value in zip(self.keys, self.values, strict=True)
        ]
        extra = [
            sum(len(name.encode()) + len(held) + 8 for name, held in own) for own in self.headers
        ]
        return RECORD_OVERHEAD + max(map(add, plain, extra), default=0)


class Log:
    """One partition. A record's offset is its index in the columns."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self._keys: list[bytes | None] = []
        self._values: list[bytes | None] = []
        self._headers: list[Headers] = []
        self._timestamps: list[int] = []
        self._owners: list[Transaction | None] = []
        self._open: dict[Transaction, int] = {}
        #: Offset of the first record that is still there.
        self.first = 0

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return len(self._keys)

    @property
    def stable_end(self) -> int:
        """Offset before which every transaction has ended."""
        return min(self._open.values(), default=self.end)

    def since(self, time_ms: int) -> int:
        """Offset of the first record that is stamped `time_ms` or later; the end if none is."""
        stamps = self._timestamps
        return next((i for i in range(self.first, self.end) if stamps[i] >= time_ms), self.end)

    def append(self, column: Column, timestamp: int, owner: Transaction | None) -> None:
        """Add a column of records, all stamped `timestamp`."""
        if owner is not None and owner not in self._open:
            self._open[owner] = owner.started[self] = self.end
        count = len(column.keys)
        self._keys += column.keys
        self._values += column.values
        self._headers += column.headers
        self._timestamps += [timestamp] * count
        self._owners += [owner] * count

    def mark(self, transaction: Transaction) -> None:
        """Append the marker that ends `transaction`."""
        del self._open[transaction]
        self.append(Column([None], [None], [[]]), self._timestamps[-1], None)
        self._owners[-1] = MARKER

    def fetch(self, position: int, limit: int) -> tuple[PartitionBatch | None, int]:
        """(records, next position): at most `limit` committed records from `position` on,
        None if there are none."""
        stop = self.stable_end
        found: list[int] = []
        while position < stop and len(found) < limit:
            upto = min(stop, position + limit - len(found))
            found += [i for i in range(position, upto) if self._visible(i)]
            position = upto
        if not found:
            return None, position
        whole = slice(found[0], found[-1] + 1)
        pick = None if whole.stop - whole.start == len(found) else found
        batch = PartitionBatch(
            self.topic,
            self.partition,
            self._keys[whole] if pick is None else [self._keys[i] for i in pick],
            self._values[whole] if pick is None else [self._values[i] for i in pick],
            np.array(
                self._timestamps[whole] if pick is None else [self._timestamps[i] for i in pick],
                np.int64,
            ),
            np.array(found, np.int64),
            end=position,
            headers=self._headers[whole] if pick is None else [self._headers[i] for i in pick],
        )
        return batch, position

    def records(self, isolation: str) -> list[Record]:
        """All records, with `read_uncommitted` also those of open and aborted transactions."""
        everything = isolation == "read_uncommitted"
        shown = range(self.first, self.end if everything else self.stable_end)
        return [
            Record(
                self.partition,
                i,
                self._keys[i],
                self._values[i],
                self._headers[i],
                self._timestamps[i],
            )
            for i in shown
            if (self._owners[i] is not MARKER if everything else self._visible(i))
        ]

    def _visible(self, index: int) -> bool:
        owner = self._owners[index]
        return owner is None or owner.state is TransactionState.COMMITTED


#: Default configuration of a topic, as in Kafka.
DEFAULTS = {
    "cleanup.policy": "delete",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
    "retention.ms": "604800000",
}


@dataclass(slots=True)
class Topic:
    """Partitions and configuration of a topic; only `max.message.bytes` has an effect here."""

    logs: list[Log]
    config: dict[str, str]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def max_message_bytes(self) -> int:
        """Largest record that the topic accepts."""
        return int(self.config["max.message.bytes"])

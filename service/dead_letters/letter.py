"""A dead letter as it is read back from its topic: the inverse of `headers.dead_letter`.

A record whose letter was replayed is noted in the topic of the dead letters itself, by a mark: a
record without a key, whose header `__eddycast.replayed` is the number of the lines in its value.
Each line is the identity of a record: topic, partition, offset and broker time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Self

from eddycast.service.dead_letters.headers import OWN
from eddycast.service.records import LAST_TIMESTAMP, Headers, PartitionBatch

#: Header of a mark.
MARK = "__eddycast.replayed"
#: Numbers in headers are shorter than this.
_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: its place in the topic, the rejected record, the reason. -1 = not known."""

    partition: int
    offset: int
    written: int  # time of the letter, ms
    key: bytes | None
    value: bytes | None
    headers: Headers  # of the record
    error: str
    reason: str
    topic: str  # of the record
    record_partition: int
    record_offset: int
    record_time: int  # broker time of the record, ms
    readings: int  # rejected readings, 0 = the record as a whole
    places: str  # of the first of them
    is_truncated: bool
    is_batch: bool  # stands for a record batch that cannot be read

    @classmethod
    def of(cls, batch: PartitionBatch, row: int) -> Self | None:
        """The letter in a record of the topic of dead letters; None if it is none."""
        headers = batch.headers[row] if batch.headers is not None else []
        facts = {name.removeprefix(OWN): v for name, v in headers if name.startswith(OWN)}
        if "error" not in facts:
            return None
        return cls(
            batch.partition,
            int(batch.offsets[row]),
            _time(int(batch.timestamps[row])),
            batch.keys[row],
            batch.values[row],
            list(takewhile(lambda header: not header[0].startswith(OWN), headers)),
            _text(facts["error"]),
            _text(facts.get("reason", b"")),
            _text(facts.get("topic", b"")),
            _number(facts.get("partition", b"-1")),
            _number(facts.get("offset", b"-1")),
            _time(_number(facts.get("timestamp", b"-1"))),
            _number(facts.get("readings", b"0")),
            _text(facts.get("reading", b"")),
            "truncated" in facts,
            "last_offset" in facts,
        )

    @property
    def identity(self) -> str:
        """Identity of the record, which several letters may share. The time tells a topic from
        another of the same name that was created later."""
        return f"{self.topic}/{self.record_partition}/{self.record_offset}/{self.record_time}"

    @property
    def place(self) -> str:
        """Partition and offset of the letter, as text."""
        return f"{self.partition}:{self.offset}"


def is_mark(headers: Sequence[tuple[str, bytes]]) -> bool:
    """True for the headers of a mark, which has this one alone: a letter has its record's own,
    whatever these are, and ours."""
    return len(headers) == 1 and headers[0][0] == MARK


def mark_of(identities: Sequence[str]) -> tuple[bytes, Headers]:
    """Value and headers of the mark of these records."""
    return "\n".join(identities).encode(), [(MARK, b"%d" % len(identities))]


def identities_in(value: bytes | None) -> list[str]:
    """The records that a mark with this value names."""
    return (value or b"").decode(errors="replace").split("\n")


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _number(value: bytes) -> int:
    """Anyone may write to the topic: text that is no number is -1."""
    return int(value) if value.isdigit() and len(value) < _DIGITS else -1


def _time(milliseconds: int) -> int:
    return milliseconds if milliseconds <= LAST_TIMESTAMP else -1

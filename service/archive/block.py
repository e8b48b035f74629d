"""Blocks: a partition's offsets in pieces of a fixed size, a file each.

    DIRECTORY/TOPIC/ID/day=2026-03-01/00003-0000000000000200000.parquet

Below the topic's id, the day is that of the block's first record, by the broker's time, and the
name is the partition and the block's first offset. Both follow from the records, so a file that
is written again has the same name. The topic's id is another one after the topic was deleted and
created again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from pydantic import BaseModel, ConfigDict

from eddycast.service.archive.rows import Rows
from eddycast.service.state.stream_time import Clock

_NAME: Final = re.compile(r"^(\d{5,})-(\d{19})\.parquet$")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Covered(BaseModel):
    """The metadata of a file: the offsets that were read for it, and what became of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: int = 1
    topic: str
    topic_id: str
    partition: int
    first_offset: int  # of its first record
    next_offset: int  # after the last offset that was read or found deleted
    records: int  # that were read; other offsets in between hold control or aborted records
    unreadable: int = 0  # records or readings that are dead letters of the service
    passed_over: int = 0  # readings that input.where or input.streams leave out
    tombstones: int = 0
    gone: tuple[tuple[int, int], ...] = ()  # ranges that were deleted before they were read
    first_time: int  # broker time of the first record, ms
    record_time: int  # of the last record with one
    record_offset: int


@dataclass(slots=True)
class Block:
    """A block in memory: rows as they would be in its file, and its metadata."""

    covered: Covered
    frames: list[pl.DataFrame] = field(default_factory=list)
    is_dirty: bool = False  # its file lacks some of the rows

    def add(self, rows: Rows, next_offset: int) -> None:
        """Add the rows of further records, up to an offset."""
        old = self.covered
        self.frames.append(rows.frame)
        self.covered = old.model_copy(
            update={
                "next_offset": next_offset,
                "records": old.records + rows.records,
                "unreadable": old.unreadable + rows.unreadable,
                "passed_over": old.passed_over + rows.passed_over,
                "tombstones": old.tombstones + rows.tombstones,
                "record_time": rows.clock.record_time,
                "record_offset": rows.clock.record_offset,
            }
        )
        self.is_dirty = True

    def skip(self, until: int) -> None:
        """Note that the offsets up to `until` were deleted before they were read."""
        old = self.covered
        gone = (*old.gone, (old.next_offset, until))
        self.covered = old.model_copy(update={"gone": gone, "next_offset": until})
        self.is_dirty = True

    @property
    def frame(self) -> pl.DataFrame:
        """All rows."""
        self.frames = [pl.concat(self.frames)]
        return self.frames[0]

    @property
    def clock(self) -> Clock:
        """The partition's clock after the last record."""
        return Clock(record_time=self.covered.record_time, record_offset=self.covered.record_offset)


def file_name(covered: Covered, size: int) -> str:
    """The path of a block's file below the topic's folder; `size` is that of blocks, in offsets."""
    start = covered.first_offset // size * size
    day = _EPOCH + timedelta(milliseconds=max(covered.first_time, 0))
    return f"{covered.topic_id}/day={day:%Y-%m-%d}/{covered.partition:05}-{start:019}.parquet"


def place_of(name: str) -> tuple[int, int] | None:
    """Partition and first offset in the name of a block's file; None for other names."""
    found = _NAME.match(name)
    return (int(found[1]), int(found[2])) if found else None

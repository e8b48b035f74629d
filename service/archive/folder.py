"""The files of one topic in an archive. A file is written beside its place, flushed to disk and
renamed, so that each is whole at any time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError
from pydantic import ValidationError

from eddycast.service.archive.block import Block, Covered, file_name, place_of
from eddycast.service.errors import DataError
from eddycast.service.output_files import flush_to_disk, written_to

_KEY = "eddycast.archive"


class TopicFolder:
    """Blocks of `size` offsets in DIRECTORY/TOPIC."""

    def __init__(self, directory: Path, topic: str, size: int) -> None:
        self._root, self._size = directory / topic, size

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Exclude other archivers of this topic. Raises DataError if there is one, or if nothing
        can be written. Unfinished files of an earlier one are deleted."""
        with written_to(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = (self._root / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{self._root} is written by another process", "stop it, or wait for its end"
                ) from None
            with written_to(self._root):
                for unfinished in self._root.rglob(".*.part"):
                    unfinished.unlink()
            yield

    def newest(self, topic_id: str) -> dict[int, Block]:
        """The last block of each partition, as its file has it. Raises DataError for a damaged
        file."""
        last: dict[int, tuple[int, Path]] = {}
        for path in (self._root / topic_id).glob("day=*/*.parquet"):
            if (place := place_of(path.name)) is not None:
                last[place[0]] = max(last.get(place[0], (-1, path)), (place[1], path))
        return {partition: _read(path) for partition, (_, path) in last.items()}

    def write(self, block: Block) -> None:
        """Write a block's file, in place of the one that it had. Raises DataError."""
        path = self._root / file_name(block.covered, self._size)
        part = path.with_name(f".{path.name}.part")
        with written_to(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            block.frame.write_parquet(part, metadata={_KEY: block.covered.model_dump_json()})
            flush_to_disk(part)
            part.replace(path)
            flush_to_disk(path.parent)
        block.is_dirty = False


def covered_by(path: Path) -> Covered:
    """The metadata of a block's file. Raises DataError for a damaged file."""
    try:
        return Covered.model_validate_json(pl.read_parquet_metadata(path).get(_KEY, ""))
    except (OSError, PolarsError, ValidationError) as error:
        raise _damaged(path, error) from error


def _read(path: Path) -> Block:
    try:
        return Block(covered_by(path), [pl.read_parquet(path, hive_partitioning=False)])
    except (OSError, PolarsError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} is no file of an archive: {str(error).splitlines()[0]}",
        "delete it: its records are read again if the topic still has them",
    )

"""Rows of a new group from history, as a service that had read all of it would hold them:
`eddycast state seed`.

    1  fix the end of each partition of the input
    2  place the streams of the files: where the input has records of them, or by the partitioner
    3  step the readings of the files, in the order of their stamps
    4  if asked to, step the records of the input from the first one to the end, except those whose
       readings are in the files
    5  write rows, markers, and the ends as the group's offsets (`new_group.py`)

Readings are decoded, aligned, evicted and stepped by the service's own code, without forecasts, so
the rows are the same bit for bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from eddycast.service.broker.port import Admin, Broker, Reader
from eddycast.service.delivery.topic_checks import prepare_topics
from eddycast.service.history import History
from eddycast.service.migration.new_group import (
    check_empty_changelog,
    check_no_members,
    check_no_offsets,
    write_group,
)
from eddycast.service.migration.placement import place_streams
from eddycast.service.migration.seed_files import SeedFiles
from eddycast.service.migration.seed_input import Overlap, records_until
from eddycast.service.migration.seed_rows import SeedRows
from eddycast.service.model.runtime import Runtime
from eddycast.service.processing.replay import chunk_rows
from eddycast.service.records import PartitionBatch
from eddycast.service.settings.settings import Settings
from eddycast.service.state.changelog import is_stream, row_bytes

#: Advice for a group that has rows or offsets.
_REPLACE = "replace them with --replace"
#: Maximum records of one poll of the changelog.
_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class SeedOptions:
    """Sources to read beside files, and checks to override."""

    from_topic: bool = False
    partitioner: str | None = None  # of the producers, for streams that the input does not hold
    replace: bool = False  # replace rows and offsets that the group has


@dataclass(frozen=True, slots=True)
class Seeded:
    """Result of a seed; readings are counted by where they are from."""

    offsets: dict[int, int]
    streams: int  # that have a row
    from_files: int
    from_topic: int
    in_both: int  # readings of the input that the files hold as well
    unreadable: int  # records of the input that a service would write to the dead letters


def seed(
    broker: Broker,
    settings: Settings,
    runtime: Runtime,
    history: History | None,
    options: SeedOptions,
    progress: Callable[[int], None] = lambda _: None,
) -> Seeded:
    """Write the rows of a history for the stopped group of `settings`. `progress` is called with
    the number of readings read so far.

    Raises StateError, before anything is written, if the group has members, or rows or offsets
    that it is not told to replace, or if streams cannot be placed; DataError, TopicMissing,
    BrokerError.
    """
    files = None if history is None else SeedFiles(history, settings)
    with broker.admin() as admin:
        gone = _check_group(broker, admin, settings, options.replace)
        count = prepare_topics(
            admin, settings, row_bytes(runtime.manifest, settings.time)
        ).partitions
        rows = SeedRows(runtime, settings)
        with broker.reader(settings.topics.input) as reader:
            work = _Seeding(rows, reader, reader.end(range(count)), settings, progress)
            if files is not None:
                seen = work.seen(files) if count > 1 else {}
                homes = place_streams(files.streams, seen, count, options.partitioner)
                work.read_files(files, homes, chunk_rows(runtime))
            if options.from_topic:
                work.read_topic(Overlap({} if files is None else files.until))
        check_no_members(admin, settings)
        markers = {partition: rows.marker(partition, end) for partition, end in work.ends.items()}
        write_group(broker, admin, settings, rows, markers, rows.without_row(gone))
    return work.result()


class _Seeding:
    """Steps 2 to 4, and what they count."""

    def __init__(
        self,
        rows: SeedRows,
        reader: Reader,
        ends: dict[int, int],
        settings: Settings,
        progress: Callable[[int], None],
    ) -> None:
        """`reader` reads the input, whose partitions are read up to `ends`."""
        self._rows, self._reader, self._progress = rows, reader, progress
        self._topic, self._patience_s = settings.topics.input, settings.waits.transactions_s
        self._size = settings.kafka.max_poll_records
        #: End of each partition of the input.
        self.ends = ends
        self._from_files = self._from_topic = self._in_both = self._unreadable = 0

    def seen(self, files: SeedFiles) -> dict[bytes, int]:
        """The partitions of the streams of the input, read until all streams of the files are
        found, or to its end."""
        found, wanted = dict[bytes, int](), set(files.streams)
        for batches in self._records():
            for one in self._rows.decode(batches):
                for stream in one.observations.streams:
                    found.setdefault(stream, one.batch.partition)
            if wanted <= found.keys():
                break
        return found

    def read_files(self, files: SeedFiles, homes: Mapping[bytes, int], size: int) -> None:
        """Step all readings of the files."""
        for decoded in files.chunks(homes, size):
            self._rows.step(decoded)
            self._from_files += sum(len(one.observations) for one in decoded)
            self._progress(self._from_files)

    def read_topic(self, overlap: Overlap) -> None:
        """Step all records of the input, except for the overlap with the files."""
        for batches in self._records():
            decoded = [overlap.removed(one) for one in self._rows.decode(batches)]
            self._rows.step(decoded)
            self._from_topic += sum(len(one.observations) for one in decoded)
            self._unreadable += sum(len(one.letters) for one in decoded)
            self._progress(self._from_files + self._from_topic)
        self._in_both = overlap.left_out

    def result(self) -> Seeded:
        """Counts of everything read so far."""
        counts = self._from_files, self._from_topic, self._in_both, self._unreadable
        return Seeded(self.ends, len(self._rows), *counts)

    def _records(self) -> Iterator[list[PartitionBatch]]:
        return records_until(self._reader, self._topic, self.ends, self._size, self._patience_s)


def _check_group(
    broker: Broker, admin: Admin, settings: Settings, replace: bool
) -> dict[int, list[bytes]]:
    """The streams that the changelog has ever held, by partition. Raises StateError if the group
    has members, or is not new and not to be replaced."""
    check_no_members(admin, settings)
    if not replace:
        check_no_offsets(admin, settings, _REPLACE)
        check_empty_changelog(broker, admin, settings, _REPLACE)
        return {}
    name, patience_s = settings.changelog, settings.waits.transactions_s
    found = defaultdict[int, set[bytes]](set)
    if (count := admin.partitions(name)) is not None:
        with broker.reader(name) as reader:
            ends = reader.end(range(count))
            for batches in records_until(reader, name, ends, _RECORDS, patience_s):
                for batch in batches:
                    found[batch.partition].update(filter(is_stream, map(_named, batch.keys)))
    return {partition: sorted(streams) for partition, streams in found.items()}


def _named(key: bytes | None) -> bytes:
    return key or b""

"""Archived observations, or those of a topic, as history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from eddycast.service.archive.beginning import Beginning
from eddycast.service.archive.folder import covered_by
from eddycast.service.archive.rows import ObservationRows
from eddycast.service.broker.port import Broker
from eddycast.service.delivery.schema_registry import SchemaRegistry
from eddycast.service.errors import BrokerUnavailable, DataError, TopicMissing
from eddycast.service.history import History, ReadOptions, stream_history
from eddycast.service.history.clearing import without_codes
from eddycast.service.humanize import many
from eddycast.service.records import Float64, Int64
from eddycast.service.settings.settings import Settings
from eddycast.service.state.stream_time import Clock

_COLUMNS = ("stream", "timestamp", "channel", "value")
#: Records of one poll and its timeout, s; time without an answer after which reading fails, s.
_RECORDS, _POLL_S, _PATIENCE_S = 50_000, 0.5, 60.0
_Series = dict[str, tuple[Int64, Float64]]


def read_archive(
    directory: Path, topic: str, channels: Sequence[str], options: ReadOptions
) -> History:
    """All archived observations of a topic; `channels` are empty for one value a reading.
    Raises DataError."""
    files = sorted(
        (path for path in (directory / topic).glob("*/day=*/*.parquet")), key=lambda p: p.name
    )
    if not files:
        raise DataError(
            f"{directory} holds no archive of {topic}",
            "write one with `eddycast archive`, or correct archive.directory and topics.input",
        )
    gone = sum(until - at for path in files for at, until in covered_by(path).gone)
    frame = pl.scan_parquet(files, hive_partitioning=False).select(_COLUMNS).collect()
    notes = [f"archive of {topic}: {many(len(files), 'file')}"]
    notes += [f"{gone:,} offsets were deleted before they were archived"] if gone else []
    return _history(f"the archive of {topic}", frame, channels, options, notes)


def read_topic(
    broker: Broker,
    settings: Settings,
    topic: str,
    channels: Sequence[str],
    options: ReadOptions,
    begin: str = "",
) -> History:
    """The observations of a topic up to its present end, read by the service's own decoder.
    `begin` is as `Beginning.parse` reads it, empty for all. Raises TopicMissing, BrokerError,
    DataError."""
    beginning = Beginning.parse(begin, int(time.time() * 1000))
    schemas = SchemaRegistry(settings.schema_registry, settings.topics.output)
    rows = ObservationRows(settings, max(len(channels), 1), schemas)
    with broker.admin() as admin:
        count = admin.partitions(topic)
    if count is None:
        raise TopicMissing(f"there is no topic {topic}", "name another one")
    frames, unreadable = [rows.empty.select(_COLUMNS)], 0
    with broker.reader(topic) as reader:
        ends = reader.end(range(count))
        first = beginning.places(reader, ends)
        clocks = dict.fromkeys(first, Clock())
        reader.start(first)
        answered = time.monotonic()
        while any(reader.position(p) < end for p, end in ends.items()):
            for batch in reader.poll(_POLL_S, _RECORDS):
                found = rows.rows(batch, clocks[batch.partition])
                clocks[batch.partition] = found.clock
                unreadable += found.unreadable
                frames.append(found.frame.select(_COLUMNS))
                answered = time.monotonic()
            if time.monotonic() - answered > _PATIENCE_S:
                raise BrokerUnavailable(f"{topic} cannot be read to its end", "try again")
    notes = [f"topic {topic}: {many(count, 'partition')}"]
    notes += [beginning.remark] if beginning.remark else []
    notes += [f"{many(unreadable, 'reading')} cannot be read"] if unreadable else []
    return _history(f"topic {topic}", pl.concat(frames), channels, options, notes)


def _history(
    place: str, frame: pl.DataFrame, channels: Sequence[str], options: ReadOptions, notes: list[str]
) -> History:
    """Rows of observations as streams, in the order of their names."""
    width = max(len(channels), 1)
    if not len(frame):
        raise DataError(f"{place} holds no observations", "read another one")
    found = frame["channel"].n_unique()
    if found != width:
        raise DataError(
            f"{place} holds observations of {many(found, 'channel')}, not {width}",
            "name as many with --channels",
        )
    streams = {
        str(name): _columns(part, width)
        for (name,), part in frame.group_by("stream", maintain_order=True)
    }
    cleared, said, codes = _cleared(streams, channels, replace(options, channels=tuple(channels)))
    parts = [stream_history(name, *cleared[name])[0] for name in sorted(cleared)]
    return History(
        [part.streams[0] for part in parts],
        [part.timestamps[0] for part in parts],
        [part.values[0] for part in parts],
        [f"{', '.join(notes)}, {many(len(parts), 'stream')}", *said],
        tuple(channels),
        codes,
    )


def _columns(rows: pl.DataFrame, width: int) -> tuple[Int64, Float64]:
    """Stamps [n] and values [n, width] of one stream; one channel is [n]."""
    stamps = rows["timestamp"].to_physical().to_numpy()[::width]
    values = rows["value"].fill_null(np.nan).to_numpy()
    return stamps, values if width == 1 else values.reshape(-1, width)


def _cleared(
    streams: _Series, channels: Sequence[str], options: ReadOptions
) -> tuple[_Series, list[str], tuple[tuple[float, ...], ...]]:
    """The streams without codes for a missing value, as files are read."""
    if not channels:
        return without_codes(streams, options)
    apart = {
        (name, channel): (stamps, values[:, i])
        for name, (stamps, values) in streams.items()
        for i, channel in enumerate(channels)
    }
    cleared, notes, codes = without_codes(apart, options, [channel for _, channel in apart])
    whole = {
        name: (stamps, np.stack([cleared[name, channel][1] for channel in channels], axis=1))
        for name, (stamps, _) in streams.items()
    }
    return whole, notes, codes

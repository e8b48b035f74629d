"""Readings of files as decoded records of the partitions that their streams are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from eddycast.service.dead_letters.unreadable import Unreadable
from eddycast.service.errors import DataError
from eddycast.service.formats.json_observation import check_key
from eddycast.service.history import History
from eddycast.service.history.merging import merge
from eddycast.service.mapping.conditions import StreamFilter
from eddycast.service.processing.chunks import Decoded
from eddycast.service.records import Int64, Observations, PartitionBatch, Tombstones
from eddycast.service.settings.cli_option import listed
from eddycast.service.settings.settings import Settings

_NONE = np.empty(0, np.int64)


class SeedFiles:
    """The readings of files that a service with these settings would accept."""

    def __init__(self, history: History, settings: Settings) -> None:
        """Raises DataError if no stream is left, and for a name that no record could carry."""
        serves = StreamFilter(listed(settings.input.streams or ""))
        history = history.between(settings.time.earliest_ms)
        served = [name for name in history.streams if serves(name)]
        if not served:
            raise DataError(
                "the files hold no reading that the service would take",
                "see input.streams and time.earliest, or name other files",
            )
        self._topic, self._readings = settings.topics.input, merge(history, streams=served)
        #: The names of the streams.
        self.streams = [_checked(name) for name in served]
        last = dict(zip(history.streams, history.timestamps, strict=True))
        #: Last stamp of each stream, ms.
        self.until = {name.encode(): int(last[name][-1]) for name in served}

    def __len__(self) -> int:
        return len(self._readings)

    def chunks(self, homes: Mapping[bytes, int], size: int) -> Iterator[list[Decoded]]:
        """Yield all readings in the order of their stamps, about `size` at a time, each in the
        partition that `homes` gives its stream."""
        readings, home = self._readings, np.array([homes[name] for name in self.streams], np.int64)
        for start in range(0, len(readings), size):
            which = np.arange(start, min(start + size, len(readings)))
            partitions = home[readings.stream[which]]
            yield [
                self._decoded(partition, which[partitions == partition])
                for partition in np.unique(partitions).tolist()
            ]

    def _decoded(self, partition: int, which: Int64) -> Decoded:
        """Some readings as records without a broker's time, which leave the partition's clock of
        records as it is."""
        names = [self.streams[i] for i in self._readings.stream[which].tolist()]
        offsets, times = np.arange(len(which)), np.full(len(which), -1)
        stamps, values = self._readings.timestamps[which], self._readings.values[which]
        batch = PartitionBatch(self._topic, partition, names, [b""] * len(which), times, offsets)
        observations = Observations(partition, names, stamps, values, times, offsets)
        return Decoded(batch, observations, [], _NONE, Tombstones([], _NONE))


def _checked(name: str) -> bytes:
    key = name.encode()
    try:
        check_key(key)
    except Unreadable as why:
        raise DataError(
            f"{name!r} cannot name a stream: {why.reason}", "give it another name in the files"
        ) from why
    return key

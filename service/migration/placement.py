"""Placement of rows when the number of the input's partitions changes.

A row stored in a partition that its stream does not write to would be lost silently. The
partitioner of the producers is therefore inferred from the partitions that the rows are in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eddycast.service.broker.kafka.partitioning import PARTITIONERS
from eddycast.service.errors import StateError
from eddycast.service.records import Int64


class Homes:
    """Placement of streams over `partitions`; with `partitioner` None they keep their
    partitions."""

    def __init__(self, partitioner: str | None, partitions: int) -> None:
        self.partitioner, self._partitions = partitioner, partitions

    def of(self, streams: Sequence[bytes], now: Int64) -> Int64:
        """Return the partition of each stream, int64 [n]; `now` int64 [n] are the current ones."""
        return (
            now if self.partitioner is None else _homes(self.partitioner, streams, self._partitions)
        )


def find_homes(
    streams: Sequence[bytes],
    now: Int64,
    partitions: int,
    wanted: int,
    named: str | None,
    force: bool,
) -> Homes:
    """Return the placement of `streams` over `wanted` partitions;
    now they are in `now` [n] of `partitions`.

    `named` is the producers' partitioner, if the user knows it; it must be consistent with `now`
    unless `force`. Raises StateError if no partitioner is consistent, or if several are and
    disagree.
    """
    if partitions == wanted:
        return Homes(None, wanted)
    fits = [name for name in PARTITIONERS if (_homes(name, streams, partitions) == now).all()]
    if named is not None:
        if named not in fits and not force:
            raise StateError(
                f"{named} would put the streams into other "
                f"partitions of the {partitions} than they are in",
                _known(fits) + "--force if their producers have switched to it",
            )
        return Homes(named, wanted)
    if not fits:
        raise StateError(
            f"neither {' nor '.join(PARTITIONERS)} puts the "
            "streams into the partitions that they are in",
            "their producers use a custom partitioner: if they will use a known one from now on, "
            "name it with --partitioner and --force",
        )
    spread = [_homes(name, streams, wanted) for name in fits]
    if any((spread[0] != other).any() for other in spread[1:]):
        raise StateError(
            f"{' and '.join(fits)} both put the streams into the partitions that they are in",
            "name the producers' one with --partitioner: "
            "murmur2 (Java, kafka-python) or crc32 (librdkafka)",
        )
    return Homes(fits[0], wanted)


def home_of(
    stream: bytes, streams: Sequence[bytes], now: Int64, partitions: int, named: str | None
) -> int:
    """Return the partition of a stream that has no row yet.

    Uses the partitioner `named`, or the one consistent with the partitions `now` [n] of all
    `streams`. Raises StateError if none is, or if several are and disagree.
    """
    fits = (
        [named]
        if named
        else [name for name in PARTITIONERS if (_homes(name, streams, partitions) == now).all()]
    )
    places = {int(_homes(name, [stream], partitions)[0]) for name in fits}
    if len(places) == 1:
        return places.pop()
    why = "several partitioners are" if places else "no partitioner is"
    what = (
        f"the partition of {stream.decode()!r} is unknown: "
        f"{why} consistent with the partitions of other streams"
    )
    raise StateError(
        what, "name the one that the producers use with --partitioner: murmur2 or crc32"
    )


def _known(fits: Sequence[str]) -> str:
    return f"{fits[0]} does: --partitioner {fits[0]}; " if fits else ""


def _homes(partitioner: str, streams: Sequence[bytes], partitions: int) -> Int64:
    place = PARTITIONERS[partitioner]
    return np.fromiter((place(stream) % partitions for stream in streams), np.int64, len(streams))


def place_streams(
    streams: Sequence[bytes], seen: Mapping[bytes, int], partitions: int, named: str | None
) -> dict[bytes, int]:
    """Return the partition of each of `streams`, that of its records in the input where they were
    `seen` there.

    Others are placed by the partitioner `named`, or by the one consistent with all of `seen`.
    Raises StateError if none is, or if several are and disagree.
    """
    if partitions == 1:
        return dict.fromkeys(streams, 0)
    found = {stream: seen[stream] for stream in streams if stream in seen}
    missing = [stream for stream in streams if stream not in found]
    if not missing:
        return found
    known, now = list(seen), np.fromiter(seen.values(), np.int64, len(seen))
    fits = [name for name in PARTITIONERS if (_homes(name, known, partitions) == now).all()]
    if named is not None:
        if named not in fits:
            raise StateError(
                f"{named} would put streams of the input into other partitions than they are in",
                f"{_known(fits)}send a reading of each stream of the files first",
            )
        fits = [named]
    spread = [_homes(name, missing, partitions) for name in fits]
    if not fits or any((spread[0] != other).any() for other in spread[1:]):
        why = "several partitioners are" if fits else "no partitioner is"
        raise StateError(
            f"the partition of {missing[0].decode()!r} is unknown: the input has no record of it, "
            f"and {why} consistent with the partitions of other streams",
            "name the producers' one with --partitioner: murmur2 (Java, kafka-python) or crc32 "
            "(librdkafka)",
        )
    return found | dict(zip(missing, spread[0].tolist(), strict=True))

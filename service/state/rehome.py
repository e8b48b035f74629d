"""Which partition a stream's row belongs to when the input has another number of partitions.

A row that is stored where its stream does not speak is lost without a word. So nobody has to know how the producers
choose a partition: the rows show it, by where they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from service.broker.kafka_partitioning import PARTITIONERS
from service.errors import StateError
from service.records import Int64


class Homes:
    """Where streams belong among `partitions`. `partitioner` is None where they stay where they were."""

    def __init__(self, partitioner: str | None, partitions: int) -> None:
        self.partitioner, self._partitions = partitioner, partitions

    def of(self, streams: Sequence[bytes], now: Int64) -> Int64:
        """The partition of each stream, int64 [n]; `now` is the one that each is in."""
        return now if self.partitioner is None else _homes(self.partitioner, streams, self._partitions)


def find_homes(
    streams: Sequence[bytes], now: Int64, partitions: int, wanted: int, named: str | None, force: bool
) -> Homes:
    """How `streams`, which are in the partitions `now` [n] of `partitions`, are spread over `wanted` partitions.

    `named` is the producers' partitioner, if the user knows it; it must explain `now` unless `force`. Raises StateError
    where no partitioner does, or where two do and put a stream into different partitions.
    """
    if partitions == wanted:
        return Homes(None, wanted)
    fits = [name for name in PARTITIONERS if (_homes(name, streams, partitions) == now).all()]
    if named is not None:
        if named not in fits and not force:
            raise StateError(
                f"streams are in other partitions of the {partitions} than {named} puts them into",
                _known(fits) + "--force if their producers have changed to it",
            )
        return Homes(named, wanted)
    if not fits:
        raise StateError(
            f"neither {' nor '.join(PARTITIONERS)} puts the streams into the partitions that they are in",
            "their producers choose partitions in a way of their own: name one with --partitioner and --force if they "
            "will use it from now on",
        )
    spread = [_homes(name, streams, wanted) for name in fits]
    if any((spread[0] != other).any() for other in spread[1:]):
        raise StateError(
            f"{' and '.join(fits)} both put the streams into the partitions that they are in",
            "say by --partitioner which one the producers use: murmur2 (Java, kafka-python) or crc32 (librdkafka)",
        )
    return Homes(fits[0], wanted)


def home_of(stream: bytes, streams: Sequence[bytes], now: Int64, partitions: int, named: str | None) -> int:
    """The partition of a stream that has no row yet, by the partitioner that explains where all others are, or by the
    one that is `named`. Raises StateError where none does, or where two do and disagree."""
    fits = [named] if named else [name for name in PARTITIONERS if (_homes(name, streams, partitions) == now).all()]
    places = {int(_homes(name, [stream], partitions)[0]) for name in fits}
    if len(places) == 1:
        return places.pop()
    why = "two partitioners explain" if places else "no partitioner explains"
    what = f"{why} where the streams are, so that it is not known where {stream.decode()!r} belongs"
    raise StateError(what, "say by --partitioner which one the producers use: murmur2 or crc32")


def _known(fits: Sequence[str]) -> str:
    return f"{fits[0]} does: --partitioner {fits[0]}; " if fits else ""


def _homes(partitioner: str, streams: Sequence[bytes], partitions: int) -> Int64:
    place = PARTITIONERS[partitioner]
    return np.fromiter((place(stream) % partitions for stream in streams), np.int64, len(streams))

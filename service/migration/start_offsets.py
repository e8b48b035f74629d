"""Start offsets of a group that imports rows, and checks that the input continues where the rows
end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from eddycast.service.broker.port import Admin, Reader
from eddycast.service.errors import StateError
from eddycast.service.migration.export import Header
from eddycast.service.migration.placement import Homes

#: `export` = where the export ends, or the first record in partitions that it does not contain.
Begin = Literal["export", "earliest", "latest"]
_RECORDS, _POLL_S = 5_000, 0.5


def find_starts(
    reader: Reader, header: Header, topic: str, partitions: int, begin: Begin
) -> dict[int, int]:
    """Return the start offset of each partition of the input, which `reader` reads.

    Raises StateError if the export ends beyond the end of a partition.
    """
    known = (
        {part.partition: part.next_offset for part in header.parts} if header.topic == topic else {}
    )
    first, end = reader.first(range(partitions)), reader.end(range(partitions))
    if begin == "latest":
        return end
    if begin == "earliest":
        return first
    for partition, offset in known.items():
        if (ends := end.get(partition, 0)) < offset:
            what = f"{topic} partition {partition} ends at offset {ends}, the export at {offset}"
            raise StateError(
                what, "it is another topic of that name: use --from earliest or --from latest"
            )
    return first | known


def check_not_gone_on(admin: Admin, header: Header, topic: str, begin: Begin) -> None:
    """Raise StateError if the exported group continued:
    records that it read since would be forecast twice."""
    if header.topic != topic or begin != "export":
        return
    if members := admin.members(header.group):
        what = (
            f"the exported group {header.group} still has {members} "
            f"member{'s' if members > 1 else ''}"
        )
        raise StateError(
            what, "stop its services, export again, then import; with --force both groups forecast"
        )
    now = admin.group_offsets(header.group, topic)
    for part in header.parts:
        if now.get(part.partition, 0) > part.next_offset:
            what = (
                f"partition {part.partition}: since the export, the "
                f"group {header.group} has continued from offset"
            )
            raise StateError(
                f"{what} {part.next_offset} to {now[part.partition]}",
                "export again; with --force those records are forecast twice",
            )


def check_nothing_waits(
    reader: Reader, topic: str, starts: Mapping[int, int], before: int, homes: Homes
) -> None:
    """Raise StateError if unread records are in partitions that their streams have left.

    Such records would find a stream without a row, and would be out of order. `reader` reads the
    input, which had `before` partitions.
    """
    if homes.partitioner is None:
        return
    old = [partition for partition in starts if partition < before]
    first, end = reader.first(old), reader.end(old)
    for partition in old:
        reader.start({partition: max(starts[partition], first[partition])})
        strays = _strays(reader, partition, end[partition], homes)
        reader.stop([partition])
        if strays:
            raise StateError(
                f"{topic} partition {partition} holds {strays} "
                "unread records of streams that now belong elsewhere",
                "next time, pause producers and let everything be read before adding partitions; "
                "with --force these records are forecast as if their streams had never been seen",
            )


def _strays(reader: Reader, partition: int, end: int, homes: Homes) -> int:
    """Count committed records, from the reader's start to `end`,
    whose streams belong to another partition."""
    strays = 0
    while reader.position(partition) < end:
        for batch in reader.poll(_POLL_S, _RECORDS):
            keys = [key for key in batch.keys if key]
            strays += int(
                np.count_nonzero(homes.of(keys, np.full(len(keys), partition)) != partition)
            )
    return strays

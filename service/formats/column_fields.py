"""The numbers of entries whose every field is a reading."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eddycast.service.formats.avro_entries import Objects
from eddycast.service.formats.columns import listed
from eddycast.service.formats.mapping import Mapping
from eddycast.service.formats.mapping_layout import Layout
from eddycast.service.mapping.pointers import ABSENT, escaped
from eddycast.service.records import Int64


class Fields(NamedTuple):
    """Fields of entries, in their order."""

    values: list[Any]
    names: list[str]
    paths: list[str]  # pointer to each inside its entry
    at: Int64  # index of the entry of each
    without: NDArray[np.bool_]  # which entries have none

    def select(self, which: Int64) -> Fields:
        """The fields at the indexes `which`."""
        at = which.tolist()
        return Fields(
            [self.values[i] for i in at],
            [self.names[i] for i in at],
            [self.paths[i] for i in at],
            self.at[which],
            self.without,
        )


def named_fields(mapping: Mapping, layout: Layout, entries: Objects) -> Fields:
    """The fields that the settings name, those that exist."""
    columns = [listed(layout.columns[pointer.tokens](entries)) for pointer in mapping.fields]
    values = list(chain.from_iterable(zip(*columns, strict=True)))
    count, width = len(entries), len(columns)
    names = mapping.number_fields.names * count
    paths = [str(pointer) for pointer in mapping.fields] * count
    at = np.repeat(np.arange(count), width)
    if ABSENT not in values:
        return Fields(values, names, paths, at, np.zeros(count, np.bool_))
    present = np.fromiter((value is not ABSENT for value in values), np.bool_, len(values))
    without = np.logical_not(present.reshape(count, width).any(axis=1))
    return Fields(values, names, paths, at, without).select(np.flatnonzero(present))


def all_fields(mapping: Mapping, layout: Layout, entries: Any) -> Fields:
    """All fields of an object, but for those that hold the time."""
    column, prefix = layout.entries or (list, "")
    objects: list[dict[str, Any]] = [
        found if isinstance(found, dict) else {} for found in column(entries)
    ]
    times = mapping.time_paths
    if not prefix and times:
        objects = [
            {name: value for name, value in found.items() if f"/{escaped(name)}" not in times}
            for found in objects
        ]
    counts = np.array(list(map(len, objects)), np.int64)
    names = list(chain.from_iterable(objects))
    paths = {name: f"{prefix}/{escaped(name)}" for name in set(names)}
    return Fields(
        list(chain.from_iterable(map(dict.values, objects))),
        names,
        [paths[name] for name in names],
        np.repeat(np.arange(len(objects)), counts),
        counts == 0,
    )

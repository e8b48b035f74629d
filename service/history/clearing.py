"""Replacement of codes for a missing value in a table's columns,
and the codes that a bundle should know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from eddycast.service.history.code_detection import find_codes
from eddycast.service.history.numbers import codes
from eddycast.service.history.options import ReadOptions
from eddycast.service.humanize import many
from eddycast.service.processing.missing_codes import Codes
from eddycast.service.records import Float64, Int64

_Name = TypeVar("_Name")
Readings = tuple[Int64, Float64]


def without_codes(
    read: Mapping[_Name, Readings], options: ReadOptions, channels: Sequence[str] | None = None
) -> tuple[dict[_Name, Readings], list[str], Codes]:
    """The columns `read` with codes replaced by NaN, a note for each code,
    and the codes by channel.

    `channels` names the channel of each column, in order; None = all columns have the same one. The
    returned codes are valid for every stream of a channel: a number that is a code in one stream
    and a reading in another is left out.
    """
    kept = tuple(codes(options.not_missing, options.decimal or "."))
    given = tuple(codes(options.missing, options.decimal or "."))
    cleared: dict[_Name, Readings] = {}
    found: list[dict[float, int]] = []
    likely: set[float] = set()
    places = [options.channels.index(name) for name in channels] if channels else [0] * len(read)
    for place, (name, (times, values)) in zip(places, read.items(), strict=True):
        here = find_codes(values, kept)
        if options.codes is not None:
            told = [code for code in options.codes[place] if code not in kept]
            likely |= here.keys() - told
            here = {
                code: count for code in told if (count := int(np.count_nonzero(values == code)))
            }
        found.append(here)
        cleared[name] = (
            (times, np.where(np.isin(values, list(here)), np.nan, values))
            if here
            else (times, values)
        )
    by_channel = tuple(
        tuple(sorted({*given, *_of_all(place, places, found, list(cleared.values()))}))
        for place in range(max(len(options.channels), 1))
    )
    notes = _notes(found, len(read), known=options.codes is not None) + [
        f"{code:g} looks like a code for a missing value, but is not in the bundle: read as a "
        "value, as the service does without input.codes"
        for code in sorted(likely)
    ]
    return cleared, notes, by_channel if any(by_channel) else ()


def merged(parts: Sequence[Codes]) -> Codes:
    """The codes of several tables, merged by channel."""
    full = [part for part in parts if part]
    return tuple(
        tuple(sorted({code for codes in each for code in codes}))
        for each in zip(*full, strict=True)
    )


def _of_all(
    place: int,
    places: Sequence[int],
    found: Sequence[dict[float, int]],
    columns: Sequence[Readings],
) -> set[float]:
    """Codes of a channel that are a reading in none of its streams."""
    mine = [i for i, other in enumerate(places) if other == place]
    every = {code for i in mine for code in found[i]}
    return {code for code in every if not any((columns[i][1] == code).any() for i in mine)}


def _notes(found: Sequence[dict[float, int]], streams: int, known: bool) -> list[str]:
    counts: dict[float, list[int]] = {}
    for here in found:
        for code, count in here.items():
            counts.setdefault(code, []).append(count)
    why = "as the bundle has it" if known else ""
    return [
        f"{code:g} stands for a missing value {many(sum(each), 'time')} in {len(each)} of "
        f"{many(streams, 'stream')}: taken as "
        f"missing{', ' + why if why else f'; --not-missing {code:g} keeps it'}"
        for code, each in counts.items()
    ]

"""Time zones that a table states beside its stamps: in the name of their column, `Time (CET/CEST)`,
or in a column of zones, `tz_cd`: EST, EDT.

Imports polars; use it through `eddycast.service.history`.
"""

from __future__ import annotations

import re
from dataclasses import replace

import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history import column_words
from eddycast.service.history.options import ReadOptions
from eddycast.service.history.times import Times
from eddycast.service.history.zones import AMBIGUOUS, PAIRS, is_zone, offset_ms

#: Names of several zones, with their offsets in the United States.
_UNITED_STATES = {"cst": "-06:00", "cdt": "-05:00"}
_ONLY_THERE = {"est", "edt", "mst", "mdt", "pst", "pdt", "akst", "akdt", "hst"}
_OFFSET = r"(?:UTC|GMT)?[+-]\d\d?(?::?\d\d)?"
_IN_NAME = re.compile(rf"[(\[]\s*([A-Za-z]{{2,4}}(?:/[A-Za-z]{{3,4}})?|{_OFFSET})\s*[)\]]")
_REGION = re.compile(r"^(Etc|Africa|America|Asia|Atlantic|Australia|Europe|Indian|Pacific)/\S+$")
DEFAULT = "UTC"


def with_zone(
    times: Times, frame: pl.DataFrame, time: tuple[str, ...], options: ReadOptions
) -> tuple[Times, str, list[str]]:
    """(times, the zone of those that are local, notes). `--timezone` precedes what the table
    states. Raises DataError for a column of zones that are ambiguous."""
    if options.timezone or times.zoned:
        return times, options.timezone or DEFAULT, []
    if times.zone:
        return times, times.zone, []
    for name in time:
        match = _IN_NAME.search(name)
        word = re.sub(r"([+-])(\d)(?=$|:)", r"\g<1>0\2", match[1].lower()) if match else ""
        if word in PAIRS:
            return times, PAIRS[word], []
        if is_zone(word):
            zones = pl.Series(name, [word]).new_from_index(0, len(frame))
            return _shifted(times, zones), DEFAULT, [f"the name of column {name!r} has the zone"]
    if any("utc" in name.lower() or "gmt" in name.lower() for name in time):
        return times, DEFAULT, []
    column = next((name for name in frame.columns if holds_zones(frame[name])), None)
    return (times, DEFAULT, []) if column is None else _by_column(times, frame[column])


def holds_zones(cells: pl.Series) -> bool:
    """True for a column of time zones, by its name and its cells."""
    if not column_words.zone_word(cells.name) or cells.dtype != pl.String or cells.null_count():
        return False
    words = cells.str.strip_chars().unique()
    return all(
        _REGION.match(word) or is_zone(word.lower()) or word.lower() in AMBIGUOUS for word in words
    )


def _by_column(times: Times, cells: pl.Series) -> tuple[Times, str, list[str]]:
    words = cells.str.strip_chars()
    known = words.unique(maintain_order=True).to_list()
    if len(known) == 1 and _REGION.match(known[0]):
        return times, known[0], [f"the zone is in column {cells.name!r}"]
    words = words.str.to_lowercase()
    plain = {word.lower() for word in known}
    there = plain & _ONLY_THERE or plain >= _UNITED_STATES.keys() or cells.name == "tz_cd"
    zones = words.replace(_UNITED_STATES) if there else words
    if all(map(is_zone, zones.unique())):
        note = f"zones are in column {cells.name!r}: {', '.join(known[:4])}"
        return _shifted(times, zones), DEFAULT, [note]
    raise DataError(
        f"column {cells.name!r}, row 1: {known[0]} means several zones, or is not the only one",
        "name the zone of all stamps, for example --timezone America/Chicago",
    )


def _shifted(times: Times, zones: pl.Series) -> Times:
    """The times in UTC, given the zone of each row."""
    return replace(times, milliseconds=times.milliseconds - offset_ms(zones), zoned=True)

"""Several files with the same columns: pieces of the same series, or a series each.

Pieces follow each other, or repeat what others have. Files of several sensors have other values for
the same stamps, or take turns in time. Where both are possible, the files are refused. Imports
polars; use it through `eddycast.service.history`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from eddycast.service.errors import DataError
from eddycast.service.history.history import Mask
from eddycast.service.history.layout import Layout
from eddycast.service.history.remarks import Cells
from eddycast.service.humanize import span
from eddycast.service.records import Float64, Int64

#: Name of the column of file names, which can be named with --stream-column.
FILE = "file"
#: Maximum share of readings between readings of another file, where files follow each other.
_TURNS = 0.01
#: Shares of the most frequent step: of a regular series, and of one with parts elsewhere.
_REGULAR, _TORN = 0.8, 0.5
#: Minimum number of steps of a file whose interval is compared.
_STEPS = 10
#: Minimum share of a sensor's stamps that other sensors have too; maximum share of equal values,
#: and minimum distance in standard deviations, of values of different sensors.
_SHARED, _EQUAL, _APART = 0.5, 0.1, 0.02


@dataclass(frozen=True, slots=True)
class Pieces:
    """Readings of several files: `groups` [rows] number the streams apart from the file, `files`
    [rows] are places in `names`, in the order in which the files are read."""

    stamps: Int64
    values: Float64
    groups: Int64
    files: Int64
    names: list[str]

    def check_one_series(self, ids: tuple[str, ...]) -> list[str]:
        """Notes on files that are read as pieces of the same streams, which `ids` identify.
        Raises DataError if they may be of several sensors."""
        order = np.lexsort((self.files, self.stamps, self.groups))
        stamps, groups, files = self.stamps[order], self.groups[order], self.files[order]
        same = (np.diff(groups) == 0) & (np.diff(stamps) == 0)
        shared = np.zeros(len(order), dtype=bool)
        shared[1:] |= same
        shared[:-1] |= same
        stamps, groups, files = stamps[~shared], groups[~shared], files[~shared]
        turns = (np.diff(groups) == 0) & (np.diff(files) != 0)
        pairs = np.unique(groups * len(self.names) + files)
        if not ids:  # a stream that has a name may change its interval
            self._check_intervals(stamps, files)
        in_order = len(pairs) - len(np.unique(groups))
        if np.count_nonzero(turns) - in_order <= max(_TURNS * len(files), 1):
            return []
        within = np.lexsort((stamps, files, groups))
        alone = _regularity(stamps[within], groups[within] * len(self.names) + files[within])
        if _regularity(stamps, groups) > _REGULAR and alone < _TORN:
            return ["readings of the same streams are spread over the files"]
        at = int(np.argmax(turns))
        one, other = (self.names[files[place]] for place in (at, at + 1))
        raise DataError(
            f"readings of {one!r} and {other!r} take turns in time: several sensors, or one "
            "whose readings are spread over files",
            f"use --stream-column {','.join((*ids, FILE))} for a stream of each file, or "
            "--duplicates first to read them as one",
        )

    def _check_intervals(self, stamps: Int64, files: Int64) -> None:
        """Raises DataError if files of one series are regular at different intervals."""
        intervals = {}
        for place in np.unique(files):
            steps = np.diff(np.sort(stamps[files == place]))
            usual = float(np.median(steps)) if len(steps) >= _STEPS else 0.0
            if usual and (steps == usual).mean() > _REGULAR:
                intervals[int(place)] = int(usual)
        if not intervals or max(intervals.values()) < 2 * min(intervals.values()):
            return
        by_length = sorted(intervals, key=lambda place: intervals[place])
        one, other = (
            f"{self.names[place]!r} every {span(intervals[place])}"
            for place in (by_length[0], by_length[-1])
        )
        raise DataError(
            f"readings of {one}, of {other}: several sensors, or one whose interval changed",
            f"use --stream-column {FILE} for a stream of each file, or --duplicates first to read "
            "them as one",
        )

    def check_a_series_each(self, ids: tuple[str, ...]) -> list[str]:
        """Notes on files that are read as different streams, identified by `ids`, because they have
        other values for the same stamps. Raises DataError if they may be revisions."""
        order = np.lexsort((self.files, self.stamps, self.groups))
        order = order[~np.isnan(self.values[order])]
        stamps, files, values = self.stamps[order], self.files[order], self.values[order]
        same = (np.diff(self.groups[order]) == 0) & (np.diff(stamps) == 0) & (np.diff(files) != 0)
        apart = np.abs(np.diff(values))[same]
        spread = float(np.std(values)) if len(values) else 0.0
        if (
            self._shared(files, same) >= _SHARED
            and (apart == 0).mean() <= _EQUAL
            and np.median(apart) > _APART * spread
        ):
            return ["the files have other values for the same stamps: a stream of each file"]
        differ = np.flatnonzero(same)[apart > 0]
        at = int(differ[0]) if len(differ) else int(np.argmax(same))
        moment = str(np.datetime64(int(stamps[at]), "ms").astype("M8[s]"))
        one, other = (f"{values[i]:g} in {self.names[files[i]]!r}" for i in (at, at + 1))
        raise DataError(
            f"the reading of {moment} is {one} and {other}: several sensors, or values that "
            "were revised",
            f"use --stream-column {','.join(ids)} for a stream of each file, or --duplicates "
            "first (or last) to keep the value of the first (or last) file",
        )

    def _shared(self, files: Int64, same: Mask) -> float:
        """The median share of a file's stamps that other files have too."""
        shared = np.zeros(len(files), dtype=bool)
        shared[1:] |= same
        shared[:-1] |= same
        return float(np.median([shared[files == place].mean() for place in np.unique(files)]))


def file_notes(cells: Cells, layout: Layout) -> list[str]:
    """Notes on the files that the rows come from. Raises DataError where they may be pieces of the
    same streams or streams of their own, unless `--duplicates` or `--stream-column` settle it."""
    options = cells.options
    if cells.origin is None or cells.origin.n_unique() < 2:
        return []
    _check_decimals(cells.frame, cells.origin, layout.values)
    if options.duplicates:
        return []
    others = [name for name in layout.ids if name != FILE]
    groups = np.zeros(len(cells.rows), np.int64)
    if others:
        groups = cells.frame.select(pl.struct(others).rank("dense")).to_series().to_numpy()
    names = cells.origin.unique(maintain_order=True).to_list()
    files = cells.origin.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
    values = cells.numbers[layout.values[0]].values
    pieces = Pieces(cells.timestamps, values, groups.astype(np.int64), files, names)
    if FILE not in layout.ids:
        return pieces.check_one_series(layout.ids)
    return [] if options.stream_column else pieces.check_a_series_each(layout.ids)


def _check_decimals(frame: pl.DataFrame, origin: pl.Series, names: Sequence[str]) -> None:
    """Raises DataError for a column with commas alone in one file and points alone in another: one
    of them would be taken for the mark of thousands."""
    for name in names:
        if name not in frame.columns or frame[name].dtype != pl.String:
            continue
        marks = pl.select(
            file=origin,
            comma=frame[name].str.contains(",", literal=True),
            point=frame[name].str.contains(".", literal=True),
        )
        held = marks.group_by("file", maintain_order=True).agg(pl.col("comma", "point").any())
        commas = held.filter(pl.col("comma") & ~pl.col("point"))["file"]
        points = held.filter(pl.col("point") & ~pl.col("comma"))["file"]
        if len(commas) and len(points):
            raise DataError(
                f"column {name!r} has commas in {commas[0]!r} and points in {points[0]!r}",
                "read the files one by one, or write all of them with the same decimal mark",
            )


def labels(paths: list[tuple[str, ...]]) -> list[str]:
    """A different name for each file, given the parts of its path: the name without suffixes,
    with as many folders as are needed."""
    plain = [(*path[:-1], path[-1].split(".")[0]) for path in paths]
    for depth in range(1, max(map(len, plain)) + 1):
        names = ["/".join(path[-depth:]) for path in plain]
        if len(set(names)) == len(names):
            return names
    return ["/".join(path) for path in paths]


def _regularity(stamps: Int64, series: Int64) -> float:
    """The share of the most frequent step between neighbours of one series."""
    steps = np.diff(stamps)[np.diff(series) == 0]
    return float(np.unique(steps, return_counts=True)[1].max() / len(steps)) if len(steps) else 0.0

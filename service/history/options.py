"""How a file is to be read where what it holds does not say enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.errors import DataError

DUPLICATES = ("first", "last")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`time_column` and `stream_column` may name several columns, comma-separated (`year,month,day,hour`,
    `device,metric`). `columns` are the columns to take of a wide table, the streams or value columns of a long one.
    Stamps without a zone are read in `timezone`, in `time_format` (strptime) if given; `day_first` tells 1/2 from 2/1.
    `decimal` is the decimal mark; `missing` are further spellings of a missing value, for example `-200`. Codes for one
    that are found by themselves (`service.history.missing_codes`) become missing and are noted, unless `not_missing`
    names them; `codes`, a list for each channel, are those to be taken as missing in place of what would be found.
    `channels` are the columns that make the values of one stream, which is named `stream` (the file's name
    unless given), or of every stream of a long table. `duplicates` is the reading that is kept of several with one
    stamp: `first` or `last`; None = the first, if no more than one in a hundred goes by that.
    """

    time_column: str | None = None
    stream_column: str | None = None
    value_column: str | None = None
    columns: Sequence[str] | None = None
    timezone: str = "UTC"
    delimiter: str | None = None
    decimal: str | None = None
    missing: Sequence[str] = ()
    codes: Sequence[Sequence[float]] | None = None
    not_missing: Sequence[str] = ()
    channels: Sequence[str] = ()
    stream: str | None = None
    time_format: str | None = None
    day_first: bool | None = None
    skip_rows: int = 0
    encoding: str | None = None
    duplicates: str | None = None

    def checked(self) -> ReadOptions:
        """These options. Raises DataError for those that no file can follow."""
        channels = list(self.channels)
        if channels and len(set(channels)) < max(2, len(channels)):
            raise DataError(
                f"--channels {','.join(channels)} are not two or more columns", "for one value a reading use --columns"
            )
        if self.duplicates not in (None, *DUPLICATES):
            raise DataError(f"--duplicates {self.duplicates!r} is none of them", f"choose {' or '.join(DUPLICATES)}")
        return self

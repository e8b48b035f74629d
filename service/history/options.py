"""Options for reading a file whose content leaves something open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, get_args

from eddycast.service.errors import DataError
from eddycast.service.processing.missing_codes import Codes
from eddycast.service.sealing.manifest_types import Aggregate
from eddycast.service.settings.cli_option import Option

DUPLICATES = ("first", "last")


def parse_aggregate(text: str) -> Aggregate:
    """An aggregate from its word. Raises DataError."""
    known: dict[str, Aggregate] = {word: word for word in get_args(Aggregate)}
    if (word := text.strip()) not in known:
        raise DataError(f"--aggregate {text!r} is not known", f"choose {', '.join(known)}")
    return known[word]


@dataclass(frozen=True, slots=True)
class SlotOptions:
    """Slots in which readings are gathered before they are sent."""

    aggregate: Annotated[
        Aggregate | None,
        Option(
            "Send one reading for each --interval: last, mean, sum, min or max of its readings.",
            parse=parse_aggregate, shown_default="readings as they are",
        ),
    ] = None  # fmt: skip
    interval: Annotated[
        str | None,
        Option("Length of the slots of --aggregate, for example 1m.", shown_default="none"),
    ] = None


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of the reader and, field by field, of every command that reads DATA.
    Raises DataError for a contradiction.

    `codes`, which no command line sets, lists for each channel the numbers that stand for a missing
    value in place of those that would be found (`eddycast.service.history.code_detection`).
    """

    time_column: Annotated[
        str | None, Option("Read time stamps from this column; several: year,month,day,hour.")
    ] = None
    stream_column: Annotated[
        str | None,
        Option("Read stream names from this column (long files); several: device,metric."),
    ] = None
    value_column: Annotated[str | None, Option("Read values from this column (long files).")] = None
    columns: Annotated[
        tuple[str, ...],
        Option("Read only these columns or (long files) streams; separate them by commas."),
    ] = ()
    channels: Annotated[
        tuple[str, ...],
        Option(
            "Combine these columns into one value with several channels; separate them by commas."
        ),
    ] = ()
    stream: Annotated[
        str | None,
        Option("Name the stream of a wide file with --channels.", shown_default="the file's name"),
    ] = None
    timezone: Annotated[
        str | None,
        Option(
            "Time zone of stamps that name none.", shown_default="that of the file, or else UTC"
        ),
    ] = None
    delimiter: Annotated[
        str | None, Option("Delimiter of CSV cells.", shown_default="detected")
    ] = None
    decimal: Annotated[str | None, Option("Decimal mark.", shown_default="detected")] = None
    missing: Annotated[
        tuple[str, ...],
        Option("Treat these as missing values too; separate them by commas: -200,n/a."),
    ] = ()
    not_missing: Annotated[
        tuple[str, ...],
        Option("Keep these numbers although they look like codes for a missing value: -200."),
    ] = ()
    time_format: Annotated[
        str | None,
        Option("Format of stamps, as for strptime: '%d.%m.%y %H:%M'.", shown_default="detected"),
    ] = None
    day_first: Annotated[
        bool | None,
        Option(
            "Read 1/2/2024 as 1 February or as January 2.",
            ("--day-first/--month-first",),
            shown_default="detected",
        ),
    ] = None
    grid: Annotated[
        bool | None,
        Option(
            "Read a row a day with a column for each hour as one series.",
            ("--grid/--no-grid",),
            shown_default="detected",
        ),
    ] = None
    sheet: Annotated[
        str | None, Option("Read this sheet of a workbook.", shown_default="the only one")
    ] = None
    skip_rows: Annotated[int, Option("Skip this many lines above the header.", min=0)] = 0
    encoding: Annotated[
        str | None, Option("Encoding of the text: cp1252, utf-16.", shown_default="detected")
    ] = None
    duplicates: Annotated[
        str | None,
        Option(
            "Keep the first or the last of several readings with one stamp.",
            shown_default="first, if at most one reading in a hundred is dropped",
        ),
    ] = None
    codes: Codes | None = None

    def __post_init__(self) -> None:
        if self.channels and len(set(self.channels)) < max(2, len(self.channels)):
            raise DataError(
                f"--channels {','.join(self.channels)} must name two or more different columns",
                "for one value a reading use --columns",
            )
        if self.duplicates not in (None, *DUPLICATES):
            raise DataError(
                f"--duplicates {self.duplicates!r} is not known",
                f"choose {' or '.join(DUPLICATES)}",
            )

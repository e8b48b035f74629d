"""How a command is told to read DATA: the same argument and options everywhere, with one meaning each.

A command takes `source: Source` and is decorated with `reads_data`; the command line then has DATA and the options of
`Source.read` in its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.errors import DataError
from service.wording import many

if TYPE_CHECKING:
    from service.bundle import Manifest
    from service.history import History
    from service.missing_codes import Codes


def _option(meaning: str) -> Any:
    return typer.Option(help=meaning)


#: What a graph may be made of, for commands that run a bundle.
Operators = Annotated[
    str | None, _option("ONNX operators that graphs may use beside the usual ones, comma between: only what you trust.")
]
#: Options that are lists, with commas between.
_LISTS = ("columns", "missing", "not_missing", "channels")


@dataclass(frozen=True)
class Source:
    """DATA and how to read it, as given. Fields are the command line's argument and options, in this order."""

    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA", help="CSV, JSON lines or Parquet: files, folders or globs, wide or long; or sample:NAME."
        ),
    ]
    time_column: Annotated[str | None, _option("The column of stamps; several: year,month,day,hour.")] = None
    stream_column: Annotated[str | None, _option("The column of streams (long files); several: device,metric.")] = None
    value_column: Annotated[str | None, _option("The column of values (long files).")] = None
    columns: Annotated[str | None, _option("Only these columns or (long files) streams, comma between.")] = None
    channels: Annotated[str | None, _option("Columns that together are one value of a stream, comma between.")] = None
    stream: Annotated[str | None, _option("Names the stream of a wide file with --channels, else its file does.")] = (
        None
    )
    timezone: Annotated[str, _option("Of stamps that name none.")] = "UTC"
    delimiter: Annotated[str | None, _option("Between the cells of a CSV, if it is not found by itself.")] = None
    decimal: Annotated[str | None, _option("The decimal mark, where a column leaves it open.")] = None
    missing: Annotated[str | None, _option("More spellings of a missing value, comma between: -200,n/a.")] = None
    not_missing: Annotated[str | None, _option("Numbers that look like a code for missing and are none: -200.")] = None
    time_format: Annotated[str | None, _option("Of stamps, as strptime has it: '%d.%m.%y %H:%M'.")] = None
    day_first: Annotated[
        bool | None,
        typer.Option("--day-first/--month-first", help="What 1/2/2024 is, where the column leaves it open."),
    ] = None
    skip_rows: Annotated[int, typer.Option(min=0, help="Lines above the header that are no part of the table.")] = 0
    encoding: Annotated[str | None, _option("Of a text that is not UTF-8: cp1252, utf-16.")] = None
    duplicates: Annotated[
        str | None, _option("Keep the first or the last of several readings with one stamp, however many there are.")
    ] = None

    @property
    def label(self) -> str:
        """The data as given."""
        return " ".join(self.data)

    def read_for(self, manifest: Manifest) -> History:
        """The history as readings for a bundle: with its channels, unless others are named, and its
        codes for a missing value, as the service reads them. Raises DataError."""
        own = manifest.channels if len(manifest.channels) > 1 else ()
        source = self if self.channels or not own else replace(self, channels=",".join(own))
        history = source.read(codes=manifest.channel_codes if manifest.contract > 1 else None)
        if len(history.channels) != len(own):
            raise DataError(
                f"{manifest.label} takes {many(len(manifest.channels), 'channel')}, "
                f"--channels names {len(history.channels)}",
                f"its channels are {', '.join(manifest.channels)}",
            )
        return history

    def read(self, codes: Codes | None = None) -> History:
        """The history, with `codes` as missing in place of what would be found. Raises DataError
        (`service.history.read_history`)."""
        from service.history import read_history  # polars is slow to import, and not needed for --help

        options = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "data"}
        listed_options = {name: listed(options[name]) for name in _LISTS}
        return read_history(self.data, **(options | listed_options), codes=codes)


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """The command with DATA where it takes `source`, and the options of reading it behind its own."""
    asked = inspect.signature(Source, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters

    @wraps(command)
    def told(**given: Any) -> None:
        source = Source(**{field.name: given.pop(field.name) for field in fields(Source)})
        command(source=source, **given)

    shown = [asked["data"] if name == "source" else parameter for name, parameter in own.items()]
    shown += [parameter for name, parameter in asked.items() if name != "data"]
    told.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown]
    )
    told.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return told


def listed(text: str | None) -> list[str] | None:
    """A comma-separated option as a list; None if it was not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]

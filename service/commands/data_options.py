"""How commands are told to read DATA: the same options everywhere, with one meaning each (`service.history`)."""

from __future__ import annotations

from typing import Annotated

import typer

Data = Annotated[str, typer.Argument(metavar="DATA", help="A CSV or Parquet file, wide or long, or sample:NAME.")]
TimeColumn = Annotated[str | None, typer.Option(help="The column of stamps; several with commas: year,month,day,hour.")]
StreamColumn = Annotated[str | None, typer.Option(help="The column of streams (long files).")]
ValueColumn = Annotated[str | None, typer.Option(help="The column of values (long files).")]
Columns = Annotated[str | None, typer.Option(help="Only these columns (wide) or streams (long), comma between.")]
Timezone = Annotated[str, typer.Option(help="Of stamps that name none.")]
Delimiter = Annotated[str | None, typer.Option(help="Between the cells of a CSV, if it is not found by itself.")]
Decimal = Annotated[str | None, typer.Option(help="The decimal mark of a CSV.")]
Missing = Annotated[str | None, typer.Option(help="Further spellings of a missing value, comma between: -200,n/a.")]


def listed(text: str | None) -> list[str] | None:
    """A comma-separated option as a list; None if it was not given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]

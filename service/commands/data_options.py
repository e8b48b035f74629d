"""Arguments and options that several commands share, so that each has one meaning everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from eddycast.service.history.options import ReadOptions

#: DATA, for a command that reads history.
Data = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        help="CSV, JSON lines or Parquet: files, folders or globs, wide or long; or sample:NAME.",
    ),
]
#: The options for reading DATA; the command is decorated with
#: `eddycast.service.commands.expand.expand_options`.
Reading = Annotated[ReadOptions, "Reading DATA"]
#: Aggregate of the readings of one slot, for a command that reads history for a bundle.
AsTrained = Annotated[
    str | None,
    typer.Option(
        help=(
            "Gather the readings of each interval, as time.aggregate does: first, last, mean, sum, "
            "min or max."
        ),
        show_default="as for the bundle's training",
    ),
]
#: ONNX operators, for a command that runs a bundle.
Operators = Annotated[
    str | None,
    typer.Option(
        help=(
            "Allow these ONNX operators beside the usual ones, "
            "separated by commas: only if you trust them."
        )
    ),
]

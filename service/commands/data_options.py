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

"""Options that the trainer's commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: A bundle, for a command that scores it.
Bundle = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Directory that `eddycast train` wrote.")
]

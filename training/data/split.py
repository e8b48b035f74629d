"""The cut of a panel by time: train part, validation part, hold-out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eddycast.service.errors import DataError


@dataclass(frozen=True, slots=True)
class Split:
    """A cut of a panel: train part [0, train_end), validation part [train_end, validation_end),
    hold-out [validation_end, end). `by_stream`: these are rows of the longest stream, and every
    stream is cut at the same shares of its own length (`training/data/own_split.py`)."""

    train_end: int
    validation_end: int
    end: int
    by_stream: bool = False

    @classmethod
    def parse(cls, text: str | None, rows: int) -> Split:
        """The cut of a grid of `rows` rows by `8640,2880,2880` (rows) or `.7,.1,.2` (shares):
        train, validation and hold-out part, from the first row on. None = `.7,.1,.2`. Raises
        DataError."""
        text = text or ".7,.1,.2"
        try:
            parts = [float(part) for part in text.split(",")]
        except ValueError:
            parts = []
        if len(parts) != 3 or not all(0 < part < math.inf for part in parts):
            raise DataError(
                f"--split {text!r} is not three positive numbers",
                "for example 8640,2880,2880 or .7,.1,.2",
            )
        if all(part < 1 for part in parts):
            if sum(parts) > 1 + 1e-9:
                raise DataError(
                    f"--split {text!r}: the fractions are {sum(parts):g} together",
                    "they must not exceed 1",
                )
            cuts = [round(rows * cut) for cut in np.cumsum(parts).tolist()]
        elif any(part != int(part) for part in parts):
            raise DataError(
                f"--split {text!r} mixes rows and fractions",
                "give three numbers of rows or three fractions",
            )
        else:
            cuts = [int(cut) for cut in np.cumsum(parts).tolist()]
        if cuts[2] > rows:
            raise DataError(
                f"--split {text!r} needs {cuts[2]:,} rows, the grid has {rows:,}",
                "give smaller parts",
            )
        if not 0 < cuts[0] < cuts[1] < cuts[2]:
            raise DataError(
                f"--split {text!r} leaves a part of {rows:,} rows empty",
                "give larger parts or more data",
            )
        return cls(*cuts)

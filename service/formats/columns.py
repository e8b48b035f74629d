"""Columns of what records have at one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Place of a field in a document.
Tokens = tuple[str, ...]
#: An array where each record has a number there, else a list.
Contents = Sequence[Any] | NDArray[Any]


def listed(found: Contents) -> Sequence[Any]:
    """The same as Python's own numbers and texts."""
    if isinstance(found, np.ndarray):
        values: list[Any] = found.tolist()
        return values
    return found

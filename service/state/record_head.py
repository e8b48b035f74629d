"""The head of every value in the changelog: a mark,
the contract version and the layout of its writer."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: First bytes of a row or a marker, and of a record of JSON.
MARK: Final = b"EDDY"
JSON_MARK: Final = b"EDDJ"
HEAD: Final = np.dtype([("mark", "S4"), ("contract", "<u2"), ("layout", "S16")])


def head_of(contract: int, layout: str, mark: bytes = MARK) -> NDArray[np.void]:
    """The head of records of a contract version and a layout id."""
    return np.array((mark, contract, layout.encode()), HEAD)


def contract_of(value: bytes) -> int:
    """The contract version in the head of `value`."""
    return int.from_bytes(value[4:6], "little")


def layout_in(value: bytes) -> str:
    """The layout id in the head of `value`."""
    found: Any = np.frombuffer(value[: HEAD.itemsize], HEAD)[0]
    layout: bytes = found["layout"]
    return layout.decode("ascii", "replace")

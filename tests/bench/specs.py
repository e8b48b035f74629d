"""The tensors of a stream's row, as one process of the benchmark sends them to another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from eddycast.service.records import ROW_PREFIX


@dataclass(frozen=True)
class Spec:
    """A copy of `eddycast.service.state.arena.Spec`."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def read_specs(stream: TextIO) -> list[Spec]:
    """Read a JSON list of name, dtype and shape."""
    return [Spec(name, dtype, tuple(shape)) for name, dtype, shape in json.load(stream)]


def row_bytes(specs: list[Spec]) -> int:
    """Bytes of one stream's row in memory: prefix and tensors."""
    return ROW_PREFIX.itemsize + sum(
        np.dtype(s.dtype).itemsize * int(np.prod(s.shape)) for s in specs
    )

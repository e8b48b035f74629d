"""Facts about the rows of one partition: stream time, model, and copies as of the last commit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Int64
from eddycast.service.state.adoption import Adopted
from eddycast.service.state.stream_time import Clock

_NEVER = Clock()


@dataclass(frozen=True, slots=True)
class Touched:
    """Rows of one partition as they were before they were first touched, in columns."""

    streams: list[bytes]
    slots: Int64
    prefix: NDArray[np.void]
    tensors: dict[str, NDArray[Any]]  # empty where the streams are new
    is_new: bool  # the streams had no row before


@dataclass(slots=True)
class PartitionRows:
    """Shared by the store, its journal and its eviction:
    one object is dropped when the partition is closed."""

    clock: Clock = _NEVER  # stream time after all records processed
    committed_clock: Clock = _NEVER  # stream time as of the last commit
    # model that serves the partition; None until its rows are restored
    adopted: Adopted | None = None
    is_declared: bool = False  # the model record is part of the open transaction
    # since the last commit, as are the evicted
    touched: list[Touched] = field(default_factory=list)
    evicted: list[tuple[list[bytes], Int64]] = field(default_factory=list)
    # no open slot is due before this stream time, ms (`processing/gathering.py`); None = not known
    earliest_due: int | None = None


RowsByPartition = defaultdict[int, PartitionRows]

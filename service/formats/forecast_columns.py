"""The columns of the forecasts of one partition, the input of every encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.records import Float64, Int64

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ForecastColumns:
    """The fields of n records of one model; NaN = does not exist."""

    streams: Sequence[bytes]
    timestamps: Int64  # ms
    values: Float64  # [n, channels]
    one_step: Floats  # [n, targets, quantiles]
    multi_step: Floats | None  # [n, horizon, targets, quantiles]; None = no row has one
    has_multi: NDArray[np.bool_]  # [n]
    expected: Floats  # [n, targets, quantiles], the one_step before
    error: Floats  # [n, targets]
    surprise: NDArray[np.float32]  # [n]
    anomaly: NDArray[np.float32]  # [n]
    warm: NDArray[np.bool_]  # [n]

    def __len__(self) -> int:
        return len(self.streams)

    def take(self, which: Int64) -> ForecastColumns:
        """The records with these indexes."""
        multi_step = self.multi_step
        return ForecastColumns(
            [self.streams[i] for i in which.tolist()],
            self.timestamps[which],
            self.values[which],
            self.one_step[which],
            None if multi_step is None else multi_step[which],
            self.has_multi[which],
            self.expected[which],
            self.error[which],
            self.surprise[which],
            self.anomaly[which],
            self.warm[which],
        )

    @property
    def has_expected(self) -> NDArray[np.bool_]:
        """[n] bool: a forecast was pending for some target of the row."""
        return np.asarray(~np.isnan(self.expected[..., 0]).all(axis=1))

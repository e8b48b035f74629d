"""Codes: numbers that stand for a missing value,
from the manifest (found by training) and the settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eddycast.service.records import Float64, Observations

Codes = tuple[tuple[float, ...], ...]  # one tuple per channel


class MissingCodes:
    """Replaces readings that equal a code by NaN, a column at a time."""

    def __init__(self, codes: Codes) -> None:
        self._codes = [(channel, np.array(each)) for channel, each in enumerate(codes) if each]

    def clear(self, observations: list[Observations]) -> tuple[list[Observations], int]:
        """Return the observations with codes replaced by NaN, and their number;
        arguments are not modified."""
        if not self._codes:
            return observations, 0
        cleared, count = [], 0
        for one in observations:
            values, found = self._cleared(one.values)
            cleared.append(replace(one, values=values) if found else one)
            count += found
        return cleared, count

    def _cleared(self, values: Float64) -> tuple[Float64, int]:
        found = np.zeros(values.shape, np.bool_)
        for channel, codes in self._codes:
            found[:, channel] = np.isin(values[:, channel], codes)
        count = int(np.count_nonzero(found))
        return (np.where(found, np.nan, values), count) if count else (values, 0)

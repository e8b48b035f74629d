"""Codes: numbers that stand for a missing value, from the manifest (found by training) and the settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.records import Float64, Observations

Codes = tuple[tuple[float, ...], ...]  # one tuple per channel
#: Words of the setting `input.codes`: use the bundle's codes, or ignore them.
OF_BUNDLE, NONE = "bundle", "none"


def chosen_codes(setting: str, bundle: Codes, channels: int) -> Codes:
    """Return the codes in effect.

    `setting` is a comma-separated list of codes for every channel, in addition to those of the bundle, which
    the word `none` drops. Raises ValueError for a word that is not a number.
    """
    words = [word.strip() for word in setting.split(",") if word.strip()]
    further = {float(word) for word in words if word not in (OF_BUNDLE, NONE)}
    if not all(np.isfinite(list(further))):
        raise ValueError("a code must be a finite number")
    own = ((),) * channels if NONE in words or not bundle else bundle
    return tuple(tuple(sorted(further.union(codes))) for codes in own)


class MissingCodes:
    """Replaces readings that equal a code by NaN, a column at a time."""

    def __init__(self, codes: Codes) -> None:
        self._codes = [(channel, np.array(each)) for channel, each in enumerate(codes) if each]

    def clear(self, observations: list[Observations]) -> tuple[list[Observations], int]:
        """Return the observations with codes replaced by NaN, and their number; arguments are not modified."""
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

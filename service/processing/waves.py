"""Cut observations into waves with at most one reading per stream, in order of arrival.

Two readings of one stream in one batch would start from the same hidden state, so the second has to
wait for the row that the first one produces.
"""

from __future__ import annotations

import numpy as np

from eddycast.service.records import Int64


def cut(ids: Int64) -> list[Int64]:
    """Return waves: wave w holds the indexes of the w-th record of every id, ascending.

    `ids` is int64 [n], for example the arena slot of each record. Together the waves are a
    permutation of 0..n-1; an id occurs at most once per wave, and its records keep their order
    across waves.
    """
    n = len(ids)
    if n == 0:
        return []
    order = np.argsort(ids, kind="stable")
    rank = _rank_within_id(ids[order])
    if not rank.any():
        return [np.arange(n)]
    wave = np.empty(n, np.int64)
    wave[order] = rank
    records = np.argsort(wave, kind="stable")
    ends = np.cumsum(np.bincount(wave)).tolist()
    return [records[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _rank_within_id(grouped: Int64) -> Int64:
    """Return the number of equal ids before each entry of the sorted column `grouped`."""
    position = np.arange(len(grouped))
    starts = np.zeros(len(grouped), np.int64)
    starts[1:] = np.where(grouped[1:] != grouped[:-1], position[1:], 0)
    return position - np.maximum.accumulate(starts)

"""Cutting a poll into waves: at most one reading a stream in each, in arrival order.

Two readings of one stream in one batch would both start from the same hidden state, so the second has
to wait for the row that the first leaves behind.
"""

from __future__ import annotations

import numpy as np

from service.records import Int64


def cut(ids: Int64) -> list[Int64]:
    """Wave w holds, in ascending record order, the index of the w-th record of every id.

    `ids` is int64 [n], for example the arena slot of each record. The waves together are a permutation of
    0..n-1, an id stands at most once in a wave, and a later wave never holds an earlier record of the same id.
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
    """How many equal ids stand before each entry of the sorted column `grouped`."""
    position = np.arange(len(grouped))
    starts = np.zeros(len(grouped), np.int64)
    starts[1:] = np.where(grouped[1:] != grouped[:-1], position[1:], 0)
    return position - np.maximum.accumulate(starts)

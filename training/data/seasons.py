"""Detection of seasons: the lag at which differenced values are most alike.

Differences, so that a slow drift is no season. A lag counts by the lesser of its own
autocorrelation (the mean over streams) and that of twice the lag. Of the peaks, the shortest that
comes near the highest is taken, since two days are as alike as one. Lags before the first zero of
the autocorrelation do not count: a smooth series is alike there.

A second season (the week beside the day) is a multiple of the first at which values are clearly
more alike than at the multiples beside it, and also at twice and three times its length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST = 2048  # steps
REPEATS = 4  # whole seasons that a history must have
CLEAR = 0.1  # least autocorrelation of a season
NEAR = 0.75  # of the highest peak: the shortest such lag is the season
FFT_CELLS = 2_000_000  # readings that are transformed at a time
EXPLAINED = 0.03  # least share of the remaining unlikeness that a second season must explain


def find_season(values: NDArray[np.float64]) -> int:
    """The season of values [T, S] (NaN = missing) in steps; 0 without one.
    Pass the train part only."""
    steps = len(values)
    most = min(LONGEST, steps // REPEATS)
    if most < 3:
        return 0
    correlation = _autocorrelation(values, 2 * most + 2)
    gone = np.flatnonzero(correlation <= 0)
    resemblance = np.minimum(correlation[: most + 2], correlation[: 2 * most + 3 : 2])
    inner = correlation[1 : most + 1]
    peaks = 1 + np.flatnonzero((inner >= correlation[:most]) & (inner > correlation[2 : most + 2]))
    peaks = peaks[peaks > (gone[0] if len(gone) else most)]
    if not len(peaks) or resemblance[peaks].max() < max(
        CLEAR, 4.0 / np.sqrt(steps * values.shape[1])
    ):
        return 0
    return _sharpened(
        correlation, int(peaks[np.argmax(resemblance[peaks] >= NEAR * resemblance[peaks].max())])
    )


def find_seasons(values: NDArray[np.float64]) -> tuple[int, ...]:
    """The season of values [T, S] (NaN = missing) in steps, and a second, longer one if it is
    clear; empty without a season. Pass the train part only."""
    first = find_season(values)
    if not first:
        return ()
    most = len(values) // REPEATS // first  # multiples of the first
    alike = _autocorrelation(values, (3 * most + 1) * first)[::first]
    gains = [_gain(alike, multiple, 4.0 / np.sqrt(values.size)) for multiple in range(2, most + 1)]
    if max(gains, default=0.0) <= 0:
        return (first,)
    return first, (2 + int(np.argmax(np.array(gains) >= NEAR * max(gains)))) * first


def _gain(alike: NDArray[np.float64], multiple: int, noise: float) -> float:
    """Least gain in likeness at one, two and three times a `multiple` of the first season over the
    multiples beside these; 0 if it is within the `noise`, or too small to matter. `alike` [n] is
    the autocorrelation at 0, 1, 2 ... first seasons."""
    apart = multiple * np.arange(1, 4)
    beside = np.maximum(alike[apart - 1], alike[apart + 1])
    gain = alike[apart] - beside
    return (
        float(gain.min()) if (gain > np.maximum(noise, EXPLAINED * (1.0 - beside))).all() else 0.0
    )


def _sharpened(correlation: NDArray[np.float64], lag: int) -> int:
    """The lag within a fifth of `lag` that does best over all its multiples: noise moves a flat
    peak, but the tenth multiple of a lag that is off by one is off by ten."""
    near = np.arange(max(2, lag - lag // 5), lag + lag // 5 + 1)
    multiples = np.arange(1, max(1, (len(correlation) - 1) // int(near[-1])) + 1)
    return int(near[np.argmax(correlation[near[:, None] * multiples].mean(1))])


def _autocorrelation(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """[most + 1] mean over streams of the autocorrelation of differences,
    over pairs that were both observed."""
    at_once = max(1, FFT_CELLS // len(values))
    total, used = np.zeros(most + 1), 0
    for first in range(0, values.shape[1], at_once):
        own = _autocorrelations(values[:, first : first + at_once], most)
        total, used = total + own.sum(1), used + own.shape[1]
    return np.asarray(total / max(used, 1))


def _autocorrelations(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """[most + 1, streams] of the streams that change."""
    change = np.diff(values, axis=0)
    seen = ~np.isnan(change)
    count = seen.sum(0)
    change = np.where(seen, change - np.where(seen, change, 0).sum(0) / np.maximum(count, 1), 0.0)
    size = 1 << int(2 * len(change)).bit_length()
    product = np.fft.irfft(np.abs(np.fft.rfft(change, size, axis=0)) ** 2, size, axis=0)[: most + 1]
    pairs = np.fft.irfft(np.abs(np.fft.rfft(seen.astype(float), size, axis=0)) ** 2, size, axis=0)[
        : most + 1
    ]
    covariance = product / np.maximum(np.round(pairs), 1)
    usable = covariance[0] > 0
    return np.asarray(covariance[:, usable] / covariance[0, usable])

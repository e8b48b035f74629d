"""The scorer gives the figures that the benchmark's authors published of their own detectors,
file by file."""

from __future__ import annotations

import numpy as np
import pytest

from eddycast.service.records import Float64
from tests.accuracy.nab import Best, Scored, best, probation, raw_score

ROWS = 4032  # of an artificial file; probation ends after 604


def detected(*rows: int) -> Float64:
    scores = np.zeros(ROWS)
    scores[list(rows)] = 1.0
    return scores


@pytest.mark.parametrize(
    ("window", "false", "place", "published"),
    [
        ((2734, 3136), 15, 116, -0.6924446095227346),  # windowed Gaussian, art_load_balancer_spikes
        ((2787, 3189), 1, 202, 0.748908670438),  # HTM, art_daily_jumpsup and art_daily_jumpsdown
        ((1805, 2207), 2, 201, 0.64067182427),  # HTM, art_increase_spike_density
    ],
)
def test_published_scores_of_files(
    window: tuple[int, int], false: int, place: int, published: float
) -> None:
    """The cases take the published number of false detections before the window, and the row of the
    first true one at which the published score comes out to its last digit. HTM's two lie one row
    apart, where the anomaly itself begins."""
    first = window[0] + place
    scored = Scored(detected(*range(650, 650 + false), first, first + 7), [window])
    assert raw_score(scored, 1.0) == pytest.approx(published, abs=1e-12)


def test_nothing_scores_zero_and_the_first_row_of_every_window_a_hundred() -> None:
    windows = [(1000, 1399), (2000, 2399)]
    assert raw_score(Scored(detected(), windows), 1.0) == -2.0
    assert best([Scored(np.full(ROWS, np.nan), windows)]) == Best(0.0, np.inf)
    found = best([Scored(detected(1000, 2000), windows)])
    assert found.score == pytest.approx(100.0) and found.threshold == 1.0


def test_a_detection_right_after_its_window_costs_little() -> None:
    late, far = (raw_score(Scored(detected(row), [(1000, 1399)]), 1.0) for row in (1405, 2700))
    assert far == -1.11
    assert -1.01 < late < -1.0


def test_the_first_rows_count_for_nothing() -> None:
    assert (probation(ROWS), probation(22_695)) == (604, 750)
    scored = Scored(detected(603), [(1000, 1399)])
    assert raw_score(scored, 1.0) == -1.0
    assert raw_score(Scored(detected(604), [(1000, 1399)]), 1.0) == -1.11


def test_one_threshold_for_all_files() -> None:
    good, noisy = detected(1000), detected(700)
    good[1000], noisy[700] = 0.9, 0.95
    windows = [(1000, 1399)]
    found = best([Scored(good, windows), Scored(noisy, [])])
    assert found.score == pytest.approx(100 * (2 - 0.11) / 2) and found.threshold == 0.9

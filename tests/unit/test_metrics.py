"""Metrics: columns are observed like single values, and the table is complete."""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from eddycast.service.observability.histogram import Distribution
from eddycast.service.observability.metric_kinds import METRIC_PREFIX, SECOND_BUCKETS
from eddycast.service.observability.metric_list import STAGES, VERDICTS
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.recorder import (
    SCORE_LIMIT,
    Stopwatch,
    count_anomalies,
    count_scores,
    count_surprise,
    scaled,
)
from eddycast.service.processing.alignment import Verdict


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(METRIC_PREFIX + name, labels)


@given(
    columns=st.lists(
        st.lists(st.floats(0, 100) | st.sampled_from(SECOND_BUCKETS), max_size=20), max_size=4
    )
)
def test_a_column_counts_like_its_values_one_by_one(columns: list[list[float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution(ours, "d", "a meaning", SECOND_BUCKETS)
    histogram = Histogram("d", "a meaning", buckets=SECOND_BUCKETS, registry=theirs)
    for column in columns:
        distribution.observe_many(np.array(column))
        for value in column:
            histogram.observe(value)
    for edge in [f"{edge:g}" for edge in SECOND_BUCKETS] + ["+Inf"]:
        expected = theirs.get_sample_value(
            "d_bucket", {"le": edge if edge == "+Inf" else str(float(edge))}
        )
        assert ours.get_sample_value("d_bucket", {"le": edge}) == expected, edge
    assert ours.get_sample_value("d_count") == theirs.get_sample_value("d_count")
    assert math.isclose(
        ours.get_sample_value("d_sum") or 0.0, theirs.get_sample_value("d_sum") or 0.0
    )


def test_nan_is_not_a_value(metrics: Metrics) -> None:
    metrics.service_seconds.observe_many(np.array([[0.1, np.nan], [np.nan, 0.2]]))
    assert sample(metrics, "service_seconds_count") == 2
    assert sample(metrics, "service_seconds_sum") == pytest.approx(0.3)


def test_buckets_reach_from_100_us_to_60_s() -> None:
    assert (min(SECOND_BUCKETS), max(SECOND_BUCKETS)) == (1e-4, 60.0)
    assert list(SECOND_BUCKETS) == sorted(SECOND_BUCKETS)


def test_a_stage_is_timed_even_when_it_raises(metrics: Metrics) -> None:
    stopwatch = Stopwatch()
    with pytest.raises(ZeroDivisionError), stopwatch("decode"):
        _ = 1 / 0
    stopwatch.report(metrics)
    assert sample(metrics, "stage_seconds_count", stage="decode") == 1
    assert sample(metrics, "stage_seconds_count", stage="step") is None


def test_scores_are_summed_by_target_where_there_was_a_forecast(metrics: Metrics) -> None:
    # [n, targets, scores]
    scores = np.array([[[1.0, 0.5], [4.0, 0.1]], [[np.nan, np.nan], [2.0, 0.3]]])
    count_scores(metrics, ["flow", "heat"], ["absolute_error", "pit"], scores, warm=True)
    count_scores(metrics, ["flow", "heat"], ["absolute_error", "pit"], scores[:1], warm=False)
    count_scores(metrics, ["flow", "heat"], ["absolute_error", "pit"], scores[:0], warm=False)
    assert sample(metrics, "scored_total", target="flow", warm="true") == 1
    assert sample(metrics, "scored_total", target="heat", warm="true") == 2
    assert sample(metrics, "score_total", target="heat", score="absolute_error", warm="true") == 6
    assert sample(metrics, "score_total", target="heat", score="absolute_error", warm="false") == 4
    assert sample(metrics, "score_total", target="flow", score="pit", warm="true") == 0.5


def test_surprises_are_counted_where_there_is_one(metrics: Metrics) -> None:
    count_surprise(metrics, np.array([-1.5, np.nan]))
    count_surprise(metrics, np.array([]))
    assert sample(metrics, "surprise_mean") == -1.5
    assert sample(metrics, "surprise_bucket", le="-1") == 1


def test_a_histogram_of_negative_values_has_a_sum_and_a_count(metrics: Metrics) -> None:
    metrics.surprise.observe_many(np.array([-5.0, -1.5, 30.0]))
    assert sample(metrics, "surprise_count") == 3 and sample(metrics, "surprise_sum") == 23.5
    exposed = set(re.split(r"[\s{]+", generate_latest(metrics.registry).decode()))
    plain = [line.name for line in metrics.table if line.kind == "histogram" and not line.labels]
    assert {f"{name}_{part}" for name in plain for part in ("sum", "count")} <= exposed


def test_one_reading_in_a_thousand_is_an_anomaly(metrics: Metrics) -> None:
    count_anomalies(metrics, np.array([0.5, 0.9990001, np.nan, 1.0, 0.998], np.float32))
    assert sample(metrics, "anomalies_total") == 2


NAMES = ("absolute_error", "last_value_absolute_error", "pinball", "covered_80", "pit")


@given(
    scores=npst.arrays(np.float64, (3, 2, 5), elements=st.floats(0, width=32) | st.just(math.nan)),
    widths=npst.arrays(np.float64, (3, 2), elements=st.floats(0, width=32)),
)
def test_scaled_scores_are_bounded_whatever_came(scores: np.ndarray, widths: np.ndarray) -> None:
    found = scaled(scores, NAMES, widths)
    assert np.isnan(found[..., :3]).tolist() == np.isnan(scores[..., :3]).tolist()
    assert np.nanmin(found, initial=0) >= 0 and np.nanmax(found[..., :3], initial=0) <= SCORE_LIMIT
    assert np.array_equal(found[..., 3:], scores[..., 3:], equal_nan=True), "shares have no unit"


def test_a_change_of_unit_changes_no_scaled_score() -> None:
    scores, widths = np.array([[[0.3, 0.4, 0.1, 1.0, 0.6]]]), np.array([[1.2]])
    in_thousands = scores * [1000, 1000, 1000, 1, 1]
    assert np.allclose(scaled(in_thousands, NAMES, widths * 1000), scaled(scores, NAMES, widths))
    assert scaled(scores, NAMES, widths).tolist() == [
        [pytest.approx([0.25, 1 / 3, 1 / 12, 1.0, 0.6])]
    ]


def test_a_constant_stream_that_is_hit_scores_nothing() -> None:
    assert scaled(np.array([[[0.0, 2.0, 0.0, 1.0, 0.5]]]), NAMES, np.array([[0.0]])).tolist() == [
        [[0, 10, 0, 1, 0.5]]
    ]


def test_no_surprise_spoils_the_mean(metrics: Metrics) -> None:
    count_surprise(metrics, np.array([np.inf, -np.inf, 3.0]))
    assert sample(metrics, "surprise_mean") == 1.0 and sample(metrics, "surprise_sum") == 3.0


def test_the_lag_of_a_partition_that_left_disappears(metrics: Metrics) -> None:
    metrics.hold([0, 1], {0: 5, 1: 7}, {0: 1.5})
    assert sample(metrics, "consumer_lag_seconds", partition="0") == 1.5
    metrics.hold([1], {1: 3}, {})
    assert sample(metrics, "consumer_lag", partition="0") is None
    assert sample(metrics, "consumer_lag_seconds", partition="0") is None
    assert sample(metrics, "consumer_lag", partition="1") == 3
    assert sample(metrics, "partitions") == 1


def test_the_table_matches_the_exposed_metrics(metrics: Metrics) -> None:
    for stage in STAGES:
        metrics.stage_seconds.observe(0.1, stage)
    exposed = dict(re.findall(r"# TYPE (\S+) (\S+)", generate_latest(metrics.registry).decode()))
    exposed = {name: kind for name, kind in exposed.items() if not name.endswith("_created")}
    assert exposed == {line.name: line.kind for line in metrics.table}
    assert all(
        line.meaning.endswith(".") and line.rises.endswith(".") and line.unit
        for line in metrics.table
    )


def test_no_metric_is_labelled_by_stream(metrics: Metrics) -> None:
    assert not {"stream", "key"} & {label for line in metrics.table for label in line.labels}


def test_metrics_are_defined_in_one_file_only() -> None:
    elsewhere = [
        path
        for path in (Path(__file__).parents[2] / "service").rglob("*.py")
        if path.name not in {"metric_kinds.py", "metrics.py"}
    ]
    for path in elsewhere:
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
            for alias in node.names
        }
        assert not names & {"Counter", "Gauge", "Histogram", "Summary", "Info"}, path


def test_every_verdict_has_its_word() -> None:
    assert tuple(verdict.name.lower() for verdict in Verdict) == VERDICTS


def test_the_age_of_a_model_is_that_of_its_training_data_at_the_newest_reading(
    metrics: Metrics,
) -> None:
    metrics.show_model("walk@1", "1", "walk", 0, 1_000_000)
    assert sample(metrics, "model_training_end_timestamp_seconds") == 1_000
    metrics.show_time(-1)
    assert math.isnan(sample(metrics, "model_age_seconds") or 0.0)
    metrics.show_time(4_600_000)
    assert sample(metrics, "model_age_seconds") == 3_600
    metrics.show_model("walk@2", "2", "walk", 0, None)
    metrics.show_time(4_600_000)
    assert math.isnan(sample(metrics, "model_age_seconds") or 0.0)
    assert math.isnan(sample(metrics, "model_training_end_timestamp_seconds") or 0.0)

"""Accuracy by model, for metrics: sums of what all streams have, each counted once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eddycast.service.monitor.accuracy import of_all
from eddycast.service.monitor.models import MODELS, by_model
from tests.monitor.records import LEVELS, board, forecast, walks

STREAMS = ["a", "b", "c"]


def named(records: list[dict[str, Any]], models: dict[str, str]) -> list[dict[str, Any]]:
    return [record | {"model": models[record["stream"]]} for record in records]


def test_one_model_has_the_accuracy_of_all() -> None:
    filled = board(walks(STREAMS, 200))
    (shape,) = of_all(filled)
    lines = by_model(filled)
    assert lines
    for line in lines:
        (found,) = [w for w in shape["windows"][line["window"]] if w["lead"] == line["lead"]]
        assert line["model"] == "walk@123456"
        assert line["scored"] == found["scored"]
        assert line["scaled_error"] == pytest.approx(found["mae"])
        assert line["error_of_last_value"] == pytest.approx(found["of_last_value"])
        assert line["coverage"] == pytest.approx(found["coverage"])
        assert line["nominal_coverage"] == pytest.approx(LEVELS[-1] - LEVELS[0])


def test_each_stream_counts_for_the_model_of_its_latest_forecast() -> None:
    records = walks(STREAMS, 100)
    later = named(records, {"a": "new@1", "b": "old@1", "c": "old@1"})
    filled = board(records[:150] + later[150:])
    alone = board([record for record in later if record["stream"] == "a"])
    found = {(one["model"], one["window"], one["lead"]): one for one in by_model(filled)}
    assert {model for model, _, _ in found} == {"new@1", "old@1"}
    for line in by_model(alone):
        own = found["new@1", line["window"], line["lead"]]
        assert own == {key: pytest.approx(value) for key, value in line.items()}


def test_shapes_of_one_model_are_put_together() -> None:
    """One with fewer quantiles has another nominal coverage."""
    rng = np.random.default_rng(0)
    wide = [forecast("a", step, float(step % 7), rng) for step in range(40)]
    narrow = [
        forecast("b", step, float(step % 5), rng)
        | {"quantiles": [0.25, 0.5, 0.75], "multi_step": None}
        for step in range(40)
    ]
    lines = [one for one in by_model(board(wide + narrow)) if one["window"] == "week"]
    (first,) = [one for one in lines if one["lead"] == 1]
    assert first["scored"] == 78
    assert first["nominal_coverage"] == pytest.approx((0.8 + 0.5) / 2)
    assert len({(one["model"], one["lead"]) for one in lines}) == len(lines)


def test_a_hundred_models_do_not_make_a_hundred_metrics() -> None:
    streams = [f"s{i}" for i in range(3 * MODELS)]
    records = named(walks(streams, 20), {name: f"{name}@1" for name in streams})
    assert len({line["model"] for line in by_model(board(records))}) == MODELS


def test_nothing_was_scored() -> None:
    assert by_model(board([])) == []

"""A plant that sends a reading a minute by day and nothing at night, as the service sees it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.bundle import GOLDEN, JUMP, Manifest
from eddycast.service.model.golden_file import JUMPED
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import write_manifest
from eddycast.training.data.gap_limit import night_share
from eddycast.training.data.panel import MAX_GAP
from eddycast.training.export.onnx_export import Identity, export_bundle
from eddycast.training.models import Target
from tests.models.zoo import LEVELS, OFFSETS, linear
from tests.support.bundles import START_MS
from tests.support.running import documents, memory_broker, send, worker

pytestmark = pytest.mark.slow

MINUTE, DAY = 60_000, 1440
DAWN, DUSK, DAYS = 300, 1150, 3
TARGET = Target(MINUTE, 12, LEVELS, DAY, support="nonnegative")


def power(minute: int) -> float:
    """Sun and clouds."""
    height = np.sin(np.pi * (minute % DAY - DAWN) / (DUSK - DAWN))
    return round(float(4000 * height * (1 + 0.3 * np.sin(minute / 11))), 1)


def sunny(days: int) -> list[int]:
    """The minutes with a reading."""
    return [minute for minute in range(days * DAY) if DAWN <= minute % DAY < DUSK]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    history = np.full((1, 9 * DAY), np.nan)
    history[0, sunny(9)] = 1.0
    directory = tmp_path_factory.mktemp("plant")
    model = linear(TARGET).eval()
    for offsets in (model.offsets_one, model.offsets_multi):
        offsets.copy_(OFFSETS)
    export_bundle(model, Identity("plant", night=night_share(history, DAY)), directory)
    return directory


def served(directory: Path) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Forecasts of DAYS and a bit, and the readings by verdict."""
    broker = memory_broker()
    subject = worker(broker, load_runtime(directory))
    for day in range(DAYS):
        minutes = [minute for minute in sunny(DAYS) if minute // DAY == day]
        minutes = minutes[:60] if day == DAYS - 1 else minutes
        values = [
            {"timestamp": START_MS + minute * MINUTE, "value": power(minute)} for minute in minutes
        ]
        send(broker, [(0, b"roof", value) for value in values])
        while subject.turn():
            pass
    verdicts = ("first", "next", "gap", "reset")
    return documents(broker), {
        name: subject.value("readings_total", verdict=name) for name in verdicts
    }


def test_it_is_warm_on_the_third_day(bundle: Path) -> None:
    forecasts, verdicts = served(bundle)
    assert verdicts == {"first": 1, "next": len(forecasts) - DAYS, "gap": DAYS - 1, "reset": 0}
    third = START_MS + (DAYS - 1) * DAY * MINUTE
    cold = [record for record in forecasts if record["timestamp"] < third]
    warm = [record["warm"] for record in forecasts if record["timestamp"] >= third]
    assert len(warm) == 60 and all(warm)
    assert not any(record["warm"] for record in cold[:-1])


def test_a_morning_is_forecast_from_the_evening_before(bundle: Path) -> None:
    """Nothing is pending from before a night, but the row makes a forecast of its last slot."""
    forecasts, _ = served(bundle)
    sunrises = [
        record
        for record in forecasts
        if record["timestamp"] // MINUTE % DAY == (START_MS // MINUTE + DAWN) % DAY
    ]
    assert len(sunrises) == DAYS and sunrises[0]["expected"] is None
    for sunrise in sunrises[1:]:
        assert sunrise["expected"] is not None and sunrise["anomaly"] is not None


def test_a_bundle_without_the_graph_begins_anew_every_morning(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path, dirs_exist_ok=True)
    (tmp_path / JUMP).unlink()
    arrays = dict(np.load(tmp_path / GOLDEN))
    np.savez(tmp_path / GOLDEN, **{name: arrays[name] for name in arrays if name not in JUMPED})
    manifest = load_runtime(bundle).manifest
    fields = manifest.model_dump(exclude={"contract", "version", "files", "max_gap"})
    without: Manifest = write_manifest(tmp_path, **fields, max_gap=MAX_GAP)
    assert not without.jumps
    forecasts, verdicts = served(tmp_path)
    assert verdicts["reset"] == DAYS - 1 and verdicts["gap"] == 0
    assert not any(record["warm"] for record in forecasts)

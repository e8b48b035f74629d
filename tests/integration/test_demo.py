"""The demo from end to end, small: a cheap family on a short history,
in this process and over a real Kafka."""

from __future__ import annotations

import io
import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console

from deploy.kafka import KafkaServer
from eddycast.service.errors import AddressInUse, DataError
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.observability.health import Health
from eddycast.service.observability.http_port import HealthServer
from eddycast.training.demo.options import DemoOptions
from eddycast.training.demo.run import run_demo
from eddycast.training.evaluation.metrics import Figure

DAYS = 60


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """Two sensors with a daily rhythm, hourly, one of them with an outage."""
    hours = np.arange(DAYS * 24)
    rng = np.random.default_rng(2)
    boiler = 60 + 8 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 1, len(hours))
    pump = 300 + 40 * np.cos(hours * 2 * np.pi / 24) + rng.normal(0, 5, len(hours))
    lines = ["timestamp,boiler,pump"]
    for hour, (a, b) in enumerate(zip(boiler, pump, strict=True)):
        missing = 1250 <= hour < 1262
        lines.append(f"{1704067200 + hour * 3600},{a},{'' if missing else b}")
    path = tmp_path / "plant.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(source: Path | str, out: Path, **options: Any) -> tuple[list[Figure], str]:
    console = Console(file=io.StringIO(), width=120)
    figures = run_demo(
        DemoOptions(data=str(source), out=out, family="ar", seconds=4.0, **options), console
    )
    return figures, console.file.getvalue()  # type: ignore[attr-defined]


def check(figures: list[Figure], text: str, out: Path) -> None:
    by_model = {
        figure.model: figure for figure in figures if figure.stream is None and figure.horizon == 24
    }
    assert set(by_model) == {"ar", "naive", "seasonal_naive"}
    assert by_model["ar"].origins == by_model["naive"].origins == round(DAYS * 24 * 0.15) - 23
    assert by_model["ar"].mse is not None
    assert by_model["naive"].mse is not None
    assert by_model["ar"].mse < 0.5 * by_model["naive"].mse
    assert by_model["ar"].coverage_80 == pytest.approx(0.8, abs=0.1)
    assert read_manifest(out / "bundle").horizon == 24
    assert json.loads((out / "demo.json").read_text())["protocol"] == "ltsf"
    assert (out / "forecasts.png").stat().st_size > 20_000
    for words in (
        "1. Learn",
        "2. Publish",
        "3. Stream",
        "4. Accuracy and speed",
        "p99",
        "readings at",
        "of last value",
    ):
        assert words in text
    assert "\x1b" not in text


def test_in_one_process(plant: Path, tmp_path: Path) -> None:
    before = threading.active_count()
    figures, text = run(plant, tmp_path / "demo")
    check(figures, text, tmp_path / "demo")
    assert threading.active_count() == before, "nothing is left running"
    url = re.search(r"metrics at (http\S+)", text)
    assert url
    with pytest.raises(OSError, match=r"."):
        urlopen(url[1], timeout=1)


@pytest.mark.kafka
def test_over_kafka_through_processes(plant: Path, tmp_path: Path, kafka: KafkaServer) -> None:
    figures, text = run(plant, tmp_path / "demo", kafka=kafka.bootstrap_servers)
    check(figures, text, tmp_path / "demo")
    served = (tmp_path / "demo" / "serve.log").read_text()
    assert "stopped" in served, "the service left in order"


def test_what_goes_wrong_is_one_clear_error(plant: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        run(tmp_path / "nope.csv", tmp_path / "demo")
    taken = HealthServer("127.0.0.1", 0, CollectorRegistry(), Health(60))
    try:
        with pytest.raises(AddressInUse):
            run(plant, tmp_path / "demo", port=taken.port)
    finally:
        taken.close()

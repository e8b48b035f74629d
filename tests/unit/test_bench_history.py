"""The benchmark's memory of past runs."""

from __future__ import annotations

from pathlib import Path

from tests.bench.history import remember
from tests.bench.report import Result


def _run(path: Path, rate: float, pause: float, extent: str = "full") -> list[str]:
    results = [
        Result("service", rate, "records/s"),
        Result("pause", pause, "s"),
        Result("ratio", pause, "times"),
    ]
    return remember(results, extent, path)


def test_a_slowdown_against_the_last_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert _run(path, 1000.0, 1.0) == []
    assert _run(path, 950.0, 1.05) == []
    assert _run(path, 500.0, 1.0, "quick") == [], "runs of another extent are not compared"
    (rate,) = _run(path, 800.0, 1.0)
    assert "service is 800.0 records/s, 950.0 in the run of" in rate
    (pause,) = _run(path, 800.0, 2.0)
    assert "pause" in pause
    assert len(path.read_text().splitlines()) == 5


def test_a_run_of_other_parts_keeps_the_figures_before_it(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    _run(path, 1000.0, 1.0)
    remember([Result("other", 1.0, "s")], "full", path)
    assert len(_run(path, 500.0, 1.0)) == 1

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from eddycast.training.evaluation.metrics import Figure
from eddycast.training.evaluation.report import figures_table, manifest_figures, results, write_json


def figure(
    model: str,
    mse: float,
    coverage: float | None = None,
    stream: str | None = None,
    horizon: int = 96,
) -> Figure:
    return Figure(
        model=model,
        horizon=horizon,
        origins=2785,
        mse=mse,
        mae=0.4,
        wql=0.5,
        mase=None,
        coverage_80=coverage,
        stream=stream,
    )


FIGURES = [
    figure("gru", 0.352, 0.79),
    figure("naive", 1.294),
    figure("gru", 0.2, 0.8, "OT"),
    figure("gru", 0.05, horizon=1),
]


def drawn(figures: list[Figure]) -> str:
    console = Console(width=160, file=io.StringIO(), force_terminal=True, record=True)
    console.print(figures_table(figures, "ltsf"))
    return console.export_text(styles=True)


def test_json_is_the_shape_that_other_programs_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "figures.json"
    write_json(path, results("ltsf", "/some/where/ETTh1.csv", FIGURES))
    read = json.loads(path.read_text())
    assert read["protocol"] == "ltsf"
    assert read["data"] == "ETTh1.csv"
    assert read["results"][1] == {
        "model": "naive",
        "horizon": 96,
        "origins": 2785,
        "mse": 1.294,
        "mae": 0.4,
        "wql": 0.5,
        "mase": None,
        "coverage_80": None,
    }
    assert [record.get("stream") for record in read["results"]] == [None, None, "OT", None]


def test_a_sample_is_named_as_it_was_given() -> None:
    assert results("rolling", "sample:sensors", [])["data"] == "sample:sensors"


def test_the_manifest_keeps_pooled_figures_only() -> None:
    kept = manifest_figures(FIGURES)
    assert [(one.model, one.horizon) for one in kept] == [("gru", 96), ("naive", 96), ("gru", 1)]
    assert not hasattr(kept[0], "stream")


def test_the_table_marks_the_best_of_each_horizon_and_what_does_not_apply() -> None:
    text = drawn(FIGURES[:2])
    assert "z-scored" in text
    assert "\x1b[1m0.352\x1b[0m" in text
    assert "\x1b[1m1.294" not in text
    naive = next(line for line in text.splitlines() if "naive" in line)
    assert naive.count(" - ") == 2
    assert "stream" not in text.splitlines()[2]


def test_streams_have_a_column_of_their_own_where_there_are_any() -> None:
    text = drawn(FIGURES)
    assert "OT" in text
    assert "all" in text


def test_names_of_streams_are_no_markup() -> None:
    """`Leistung [kW]` keeps its unit, and `[/b]` closes nothing."""
    for name in ("Leistung [kW]", "[/b]", "[red]x"):
        console = Console(width=200, record=True, file=io.StringIO())
        console.print(figures_table([figure("ar", 1.0, stream=name)], "rolling", title=name))
        assert console.export_text().count(name) == 2

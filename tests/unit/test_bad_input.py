"""`eddycast train` and `eddycast backtest` on files as they come:
a model with sound weights, or one clear line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.history import ReadOptions, read_history
from eddycast.service.model.loading import load_runtime
from eddycast.training.export.golden import golden_sequence
from eddycast.training.fitting.problem import Problem
from eddycast.training.models import Forecaster, Naive
from tests.support.bundles import Parts, Walk, write_bundle

ROWS = 300
HOUR = timedelta(hours=1)
HOURLY = Walk(interval_ms=3_600_000)
START = datetime(2024, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def hours(rows: int = ROWS, start: datetime = START, step: timedelta = HOUR) -> list[str]:
    return [f"{start + i * step:%Y-%m-%d %H:%M:%S}" for i in range(rows)]


def daily(rows: int = ROWS, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    noise = np.random.default_rng(seed).normal(0, 0.2, rows)
    return 10 + np.sin(np.arange(rows) * 2 * np.pi / 24) + noise


def table(times: Sequence[object], **columns: Sequence[object] | np.ndarray[Any, Any]) -> str:
    rows = zip(times, *columns.values(), strict=True)
    return (
        "\n".join([",".join(["time", *columns]), *(",".join(map(str, row)) for row in rows)]) + "\n"
    )


def holes(start: int, stop: int) -> list[object]:
    """A daily season that is missing from row `start` to `stop`."""
    return ["" if start <= i < stop else value for i, value in enumerate(daily())]


def coded(code: float) -> list[object]:
    return [code if i in (3, 50, 51, 52, 200) else value for i, value in enumerate(daily())]


def walls(rows: int) -> list[str]:
    """The clock on a wall in Berlin, where one hour comes twice."""
    return [
        f"{(datetime(2024, 10, 20, tzinfo=UTC) + i * HOUR).astimezone(BERLIN):%Y-%m-%d %H:%M}"
        for i in range(rows)
    ]


def two_zones() -> list[str]:
    return [
        (datetime(2024, 3, 25, tzinfo=UTC) + i * HOUR).astimezone(BERLIN).isoformat()
        for i in range(ROWS)
    ]


def long_table(**streams: tuple[timedelta, int]) -> str:
    rows = (
        (name, START + i * step, value)
        for name, (step, n) in streams.items()
        for i, value in enumerate(daily(n))
    )
    return "stream,time,value\n" + "".join(f"{name},{time},{value}\n" for name, time, value in rows)


#: A file, further arguments, and the expected output beside a sound model.
GOOD: dict[str, tuple[Callable[[], str], list[str], str]] = {
    "a constant beside another": (
        lambda: table(hours(), a=[5] * ROWS, b=daily()),
        ["--season", "24h"],
        "",
    ),
    "constant at the end": (lambda: table(hours(), a=[*daily(200), *[5] * 100]), [], ""),
    "an empty column": (
        lambda: table(hours(), a=[""] * ROWS, b=daily()),
        [],
        "columns left out (empty): a",
    ),
    "columns without a name": (
        lambda: (
            "time,a,,\n"
            + "".join(f"{time},{value},,\n" for time, value in zip(hours(), daily(), strict=True))
        ),
        [],
        "columns left out (empty): column 3, column 4",
    ),
    "names that come twice": (
        lambda: (
            "time,a,a\n" + "".join(f"{t},{v},{v}\n" for t, v in zip(hours(), daily(), strict=True))
        ),
        [],
        "2 streams",
    ),
    "a stream that begins late": (
        lambda: table(hours(), a=holes(0, 285), b=daily()),
        [],
        "285 missing cells",
    ),
    "rows out of order": (lambda: table(hours()[::-1], a=daily()), [], "299 rows earlier"),
    "every stamp twice": (
        lambda: table(sorted(hours() * 2), a=np.repeat(daily(), 2)),
        [],
        "300 duplicate stamps",
    ),
    "local time": (
        lambda: table(walls(ROWS), a=daily()),
        ["--season", "24h", "--timezone", "Europe/Berlin"],
        "up to 300 readings",
    ),
    "two zones": (lambda: table(two_zones(), a=daily()), [], "stamps with a time zone"),
    "intervals that change": (
        lambda: table([*hours(150), *hours(150, START + 150 * HOUR, HOUR / 6)], a=daily()),
        [],
        "second in their 1h slot",
    ),
    "intervals by stream": (lambda: long_table(a=(HOUR, 200), b=(HOUR / 4, 800)), [], "2 streams"),
    "-200": (
        lambda: table(hours(), a=coded(-200)),
        [],
        "-200 stands for a missing value 5 times in 1 of 1 stream",
    ),
    "-9999": (lambda: table(hours(), a=coded(-9999)), [], "--not-missing -9999 keeps it"),
    "1e12 and 1e-12": (
        lambda: table(hours(), a=daily() * 1e12, b=daily() * 1e-12),
        ["--season", "24h"],
        "",
    ),
    "1e12 after 1e-12": (lambda: table(hours(), a=[1e-12, 1e12] * (ROWS // 2)), [], ""),
    "cells of text": (
        lambda: table(
            hours(), a=["off" if i % 9 == 4 else value for i, value in enumerate(daily())]
        ),
        [],
        "33 cells not a number: read as missing; the first is column 'a', row 5: 'off'",
    ),
    "long ago": (lambda: table(hours(start=datetime(1900, 1, 1, tzinfo=UTC)), a=daily()), [], ""),
    "ten rows": (
        lambda: table(hours(10), a=range(10)),
        ["--horizon", "1", "--split", ".4,.3,.3"],
        "",
    ),
    "ten rows, recurrent": (
        lambda: table(hours(10), a=range(10)),
        ["--family", "lstm", "--epochs", "1", "--horizon", "1", "--split", ".4,.3,.3"],
        "",
    ),
    "holes and a constant, recurrent": (
        lambda: table(hours(), a=holes(60, 180), b=[5] * ROWS, c=daily() * 1e12),
        ["--family", "lstm", "--epochs", "1", "--season", "24h"],
        "",
    ),
}

#: A file, further words, and the line that the command ends with.
BAD: dict[str, tuple[Callable[[], str], list[str], str]] = {
    "constant": (lambda: table(hours(), a=[5] * ROWS), [], "no stream changes in the train part"),
    "constant, then not": (
        lambda: table(hours(), a=[*[5] * 250, *daily(50)]),
        [],
        "no stream changes in the train",
    ),
    "one value": (
        lambda: table(hours(), a=["", 1, *[""] * 298]),
        ["--split-by", "calendar"],
        "no stream changes in the train part",
    ),
    "no value in train": (
        lambda: table(hours(), a=holes(0, 250)),
        ["--split-by", "calendar"],
        "no stream has a value in the train part",
    ),
    "no value in validation": (
        lambda: table(hours(), a=holes(210, 240)),
        [],
        "validation part has 0 values",
    ),
    "no value in hold-out": (
        lambda: table(hours(), a=holes(240, 300)),
        ["--split-by", "calendar"],
        "the hold-out has 0 values",
    ),
    "empty column": (lambda: table(hours(), a=[""] * ROWS), [], "(a: empty)"),
    "text": (lambda: table(hours(), a=["on"] * ROWS), [], "(a: not numbers)"),
    "text that is asked for": (
        lambda: table(hours(), a=["on"] * ROWS, b=daily()),
        ["--columns", "a"],
        "column 'a' cannot be a stream: not numbers",
    ),
    "squares that overflow": (
        lambda: table(hours(), a=daily() * 1e300),
        [],
        "no column of numbers",
    ),
    "season longer than the data": (
        lambda: table(hours(), a=daily()),
        ["--season", "30d"],
        "a season of 30d is longer than the train part of 210h",
    ),
    "season longer than any": (
        lambda: table(hours(), a=daily()),
        ["--season", "9" * 20 + "w"],
        "is not a duration",
    ),
    "horizon longer than the data": (
        lambda: table(hours(), a=daily()),
        ["--horizon", "1000"],
        "the train part has 210 values, a horizon of 1000 needs 2000",
    ),
    "horizon longer than the hold-out": (
        lambda: table(hours(), a=daily()),
        ["--horizon", "20", "--split", ".6,.35,.05"],
        "the hold-out has 15 values, a horizon of 20 needs 20",
    ),
    "one row": (lambda: table(hours(1), a=[1]), [], "no stream has two readings"),
    "one stamp": (
        lambda: table(hours(1) * ROWS, a=daily()),
        [],
        "repeat a stamp with another value",
    ),
    "two rows": (lambda: table(hours(2), a=[1, 2]), [], "leaves a part of 2 rows empty"),
    "readings at any distance": (
        lambda: table([START + timedelta(seconds=40 * i * i) for i in range(ROWS)], a=daily()),
        [],
        "readings come at irregular distances: half are over",
    ),
    "split that is no number": (
        lambda: table(hours(), a=daily()),
        ["--split", "nan,1,1"],
        "three positive numbers",
    ),
    "endless split": (
        lambda: table(hours(), a=daily()),
        ["--split", "inf,1,1"],
        "three positive numbers",
    ),
    "lags longer than the data": (
        lambda: table(hours(), a=daily()),
        ["--lags", "100000"],
        "--lags 100000 are more than the 210 rows of the train part",
    ),
    "nothing but a code": (
        lambda: table(hours(), a=[-9999] * ROWS),
        [],
        "no stream has a value in the train part",
    ),
    "interval longer than any": (
        lambda: table(hours(), a=daily()),
        ["--interval", "9" * 20 + "w"],
        "not a duration",
    ),
    "times beyond 64 bits": (
        lambda: table([*range(1_700_000_000, 1_700_000_299), 10**30], a=daily()),
        [],
        "column 'time', row 300: 1e+30 is no time of this era in seconds since the epoch",
    ),
    "times beyond nanoseconds": (
        lambda: table([10**22 + i for i in range(ROWS)], a=daily()),
        [],
        "row 1: 1e+22 is no time of this era in nanoseconds",
    ),
    "a stamp far ahead": (
        lambda: table([*hours(299), "9999-01-01 00:00:00"], a=daily()),
        [],
        "with a gap from 2024-01-13T10:00:00 to 9999-01-01T00:00:00",
    ),
    "a stamp far behind": (
        lambda: table(["0001-01-01 00:00:00", *hours(299)], a=daily()),
        [],
        "gap from 0001-01-01",
    ),
    "an unknown zone": (
        lambda: table(hours(), a=daily()),
        ["--timezone", "Mars/Base"],
        "unknown time zone 'Mars/Base'",
    ),
}


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of hourly data, written by hand."""
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, HOURLY)
    return folder


class Trained(Exception):
    """Training came to its end, with this forecaster."""

    def __init__(self, model: Forecaster) -> None:
        super().__init__()
        self.model = model


def words(file: Path, out: Path, more: Sequence[str]) -> list[str]:
    """The command line; what stands in `more` counts before the defaults of these tests."""
    defaults = {"--family": "ar", "--horizon": "4", "--lags": "6"}
    plain = [
        word for option, value in defaults.items() if option not in more for word in (option, value)
    ]
    return ["train", str(file), "--out", str(out), *more, *plain]


def written(folder: Path, text: str) -> Path:
    file = folder / "data.csv"
    file.write_text(text)
    return file


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("case", GOOD)
def test_a_model_with_sound_weights(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to the export, which takes longer than all before it and sees nothing of the file."""

    def stop(model: Forecaster, *_: object, **__: object) -> None:
        raise Trained(model)

    monkeypatch.setattr("eddycast.training.train.export_bundle", stop)
    text, more, said = GOOD[case]
    with pytest.raises(Trained) as trained:
        run(words(written(tmp_path, text()), tmp_path / "bundle", more))
    assert said in " ".join(capsys.readouterr().out.split())
    model = trained.value.model.eval()
    for name, tensor in model.state_dict().items():
        assert (tensor.abs() < 100).all(), (
            f"{name}: float32 would not carry such a weight through the graph"
        )
    golden = golden_sequence(model)
    assert np.isfinite(golden["multi_step"][golden["timestamp"] > golden["timestamp"][20]]).all()
    assert list(tmp_path.iterdir()) == [tmp_path / "data.csv"]


@pytest.mark.parametrize("case", BAD)
def test_one_clear_line(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, more, said = BAD[case]
    assert run(words(written(tmp_path, text()), tmp_path / "bundle", more)) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert line.rstrip().endswith(")"), "it says what to do"
    assert list(tmp_path.iterdir()) == [tmp_path / "data.csv"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("case", [*GOOD, *BAD])
def test_a_backtest_gives_figures_or_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], hourly: Path
) -> None:
    file = written(tmp_path, (GOOD | BAD)[case][0]())
    figures = tmp_path / "figures.json"
    code = run(
        ["backtest", str(hourly), str(file), "--protocol", "rolling,ltsf", "--json", str(figures)]
    )
    told = capsys.readouterr()
    assert (code, told.err.count("\n")) in ((0, 0), (2, 1)), told.err
    assert figures.is_file() == (code == 0)
    assert code == 0 or told.err.rstrip().endswith(")"), "it says what to do"


def test_a_family_that_there_is_not_is_refused_before_the_file_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["train", str(tmp_path / "nope.csv"), "--family", "gruu", "--out", str(tmp_path / "b")])
        == 2
    )
    assert "no family 'gruu'" in capsys.readouterr().err


def test_a_bundle_that_fails_its_golden_replay_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle before it stays; the graphs of the new one are wrong on purpose."""
    before = write_bundle(tmp_path / "bundle").version

    def wrong(parts: Parts) -> None:
        parts.golden["one_step"] = parts.golden["one_step"] + 1

    def damaged(model: Forecaster, identity: object, directory: Path, **_: object) -> None:
        write_bundle(directory, HOURLY, wrong)

    monkeypatch.setattr("eddycast.training.train.export_bundle", damaged)
    assert run(words(written(tmp_path, table(hours(), a=daily())), tmp_path / "bundle", [])) == 3
    assert "golden.npz" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "data.csv"]
    assert load_runtime(tmp_path / "bundle").manifest.version == before


def test_weights_that_are_no_numbers_are_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoilt(family: str, problem: Problem, plan: object) -> Naive:
        model = Naive(problem.target)
        model.offsets_one.fill_(np.nan)
        return model

    monkeypatch.setattr("eddycast.training.train.fit_family", spoilt)
    assert run(words(written(tmp_path, table(hours(), a=daily())), tmp_path / "bundle", [])) == 2
    assert "(offsets_one)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "data.csv"]


@pytest.mark.parametrize("horizons", ["x", "0", "4,-1"])
def test_horizons_that_are_none(
    horizons: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], hourly: Path
) -> None:
    file = written(tmp_path, table(hours(), a=daily()))
    assert run(["backtest", str(hourly), str(file), "--horizons", horizons]) == 2
    assert "are not numbers of intervals (for example 24,96)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_bundle_learned_from_bad_data_is_published_and_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole command, once: codes, holes, a constant, 1e12, a season of bins,
    then `backtest` on the same file."""
    file = written(
        tmp_path, table(hours(), a=coded(-200), b=[5] * ROWS, c=daily() * 1e12, d=holes(60, 90))
    )
    out = tmp_path / "bundle"
    assert run(words(file, out, ["--season", "172h"])) == 0
    assert load_runtime(out).manifest.backtest
    assert run(["backtest", str(out), str(file), "--per-stream"]) == 0
    assert "nan" not in capsys.readouterr().out


def test_codes_are_told_by_their_distance(tmp_path: Path) -> None:
    def values(column: Sequence[object], *options: str) -> list[float]:
        file = written(tmp_path, table(hours(len(column)), a=column))
        found: list[float] = read_history(file, ReadOptions(not_missing=options)).values[0].tolist()
        return found

    assert np.isnan(values([1, 2, -9999, 3])[2])
    assert np.isnan(values([100, 900, *[-200] * 3])[2:]).all(), (
        "the only negative number, again and again"
    )
    assert values([100, 900, -200]) == [100, 900, -200]
    assert values([-150, 40, *[-200] * 3]) == [-150, 40, -200, -200, -200]
    assert np.isnan(values([5, 5, -999])[2]), "a constant with a code"
    assert values([-200, -201]) == [-200, -201]
    assert values([0, *[999] * 3]) == [0, 999, 999, 999], "a switch"
    assert values([980, 1010, 999]) == [980, 1010, 999]
    assert values([1, 2, -9999, 3], "-9999") == [1, 2, -9999, 3]

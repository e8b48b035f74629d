"""Verdicts on candidates and findings in the data, without a training."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.bundle import TrainingRecord
from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.records import Float64
from eddycast.service.registry.candidates import Candidacy
from eddycast.service.registry.registry import Registry
from eddycast.training.data.options import PanelOptions
from eddycast.training.data.panel import Panel
from eddycast.training.retraining.findings import findings
from eddycast.training.retraining.judging import Author
from eddycast.training.retraining.options import JobOptions, Wishes
from eddycast.training.retraining.run import Job, Report, run
from tests.support.bundles import START_MS, Walk, listed, write_bundle
from tests.support.registry import NOON, MemoryFolder, promoted

MINUTE, TRAINED, ROWS = 60_000, 100, 1_000
#: Spread of a forecast one step ahead that fits the readings, and of one that is far too wide.
FITS, WIDE = 1.0, 20.0


def bundle(directory: Path, spread: float, rows: int, seed: int = 7) -> Path:
    """A bundle that was trained on so many rows of the history."""
    record = TrainingRecord(
        fingerprint="f", streams=2, observations=rows, seconds=1.0,
        end_time_ms=START_MS + rows * MINUTE,
    )  # fmt: skip
    walk = Walk(spread=spread, hidden=4, seed=seed, fields={"training": record})
    write_bundle(directory, listed(walk, latent=f"{seed:016}"))
    return directory


@pytest.fixture
def registry() -> Registry:
    return Registry(MemoryFolder(), "load")


def candidate(registry: Registry, directory: Path) -> str:
    terms = Candidacy(decide_after_ms=100 * MINUTE, asked={}, recipe={})
    return registry.publish(directory, "alice@host", NOON.isoformat(), terms)[0].version


def retrained(registry: Registry, rows: int = ROWS, **options: Any) -> Report:
    """A run on readings of two random walks, with nothing to train."""
    random = np.random.default_rng(0)
    stamps = START_MS + np.arange(rows) * MINUTE
    values = [random.normal(0, 1, rows).cumsum() for _ in range(2)]
    history = History(["a", "b"], [stamps, stamps], values, [])
    return run(
        Job(
            registry, history, JobOptions(train_every_ms=10**12, **options), Wishes(),
            PanelOptions(), Author("alice@host", NOON), lambda note: None,
            lambda title: nullcontext(),  # type: ignore[arg-type, return-value]
        )
    )  # fmt: skip


def against(registry: Registry, folder: Path, champion: float, other: float) -> tuple[str, str]:
    """A champion and a candidate with these spreads."""
    first = candidate(registry, bundle(folder / "first", champion, TRAINED))
    promoted(registry, first)
    return first, candidate(registry, bundle(folder / "second", other, TRAINED + 1, seed=8))


def champion(registry: Registry) -> str:
    newest = registry.newest()
    assert newest is not None
    return newest.change.champion


def test_one_that_proves_better_takes_over_and_is_not_judged_again(
    registry: Registry, tmp_path: Path
) -> None:
    _, second = against(registry, tmp_path, WIDE, FITS)
    report = retrained(registry)
    assert [one.verdict for one in report.judged] == ["promoted"]
    assert champion(registry) == second and report.meets("promoted")
    newest = registry.newest()
    assert newest is not None and newest.change.evidence["horizon"][0] < -0.5
    assert retrained(registry).judged == []


def test_one_that_is_worse_is_turned_down_once_with_the_evidence(
    registry: Registry, tmp_path: Path
) -> None:
    first, second = against(registry, tmp_path, FITS, WIDE)
    report = retrained(registry)
    assert [one.verdict for one in report.judged] == ["turned down"]
    assert champion(registry) == first and not report.meets("promoted")
    verdict = registry.verdict(second)
    assert verdict is not None and verdict.champion == first
    assert verdict.evidence["horizon"][0] > 0.5 and verdict.evidence["blocks"] >= 10
    assert retrained(registry).judged == []


@pytest.mark.parametrize(
    ("spreads", "verdict"), [((WIDE, FITS), "better"), ((FITS, WIDE), "not better")]
)
def test_never_reports_and_changes_nothing(
    spreads: tuple[float, float], verdict: str, registry: Registry, tmp_path: Path
) -> None:
    first, second = against(registry, tmp_path, *spreads)
    for _ in range(2):
        assert [one.verdict for one in retrained(registry, promote="never").judged] == [verdict]
    assert champion(registry) == first and registry.verdict(second) is None


def test_its_day_has_not_come_before_both_are_tried_on_new_readings(
    registry: Registry, tmp_path: Path
) -> None:
    first, _ = against(registry, tmp_path, WIDE, FITS)
    report = retrained(registry, rows=TRAINED + 101)
    assert [one.verdict for one in report.judged] == ["too early"]
    assert champion(registry) == first


def test_always_promotes_without_proof_also_what_a_killed_run_has_published(
    registry: Registry, tmp_path: Path
) -> None:
    first, second = against(registry, tmp_path, FITS, WIDE)
    report = retrained(registry, promote="always")
    assert report.published is None and champion(registry) == second
    newest = registry.newest()
    assert newest is not None
    assert newest.change.evidence == {"proven": False, "against": first}
    assert retrained(registry, promote="always").promoted == []


def test_the_first_model_is_promoted_also_that_of_a_killed_run(
    registry: Registry, tmp_path: Path
) -> None:
    version = candidate(registry, bundle(tmp_path / "first", FITS, TRAINED))
    report = retrained(registry)
    assert champion(registry) == version and len(report.promoted) == 1
    assert report.meets(None) and not report.meets("published")


DAY = 24
HOURS = 60 * DAY


def series() -> Float64:
    noise = np.random.default_rng(1).normal(0, 1, HOURS)
    return 20 + 5 * np.sin(2 * np.pi * np.arange(HOURS) / DAY) + noise


def found(values: Float64, window: int = HOURS, since: int | None = None) -> set[str]:
    """The checks that find something in one stream of hourly readings."""
    hour = 3_600_000
    panel = Panel(["a"], START_MS + np.arange(HOURS) * hour, values[None], hour)
    until = None if since is None else START_MS + since * hour
    return {each.check for each in findings(panel, DAY, window * hour, until)}


def test_nothing_is_said_of_good_data() -> None:
    assert found(series(), since=HOURS // 2) == set()


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("empty", lambda values: values * np.nan),
        ("dead", lambda values: np.where(np.arange(HOURS) < 50 * DAY, values, np.nan)),
        ("gaps", lambda values: np.where(np.arange(HOURS) % 4 > 0, values, np.nan)),
        ("unit", lambda values: np.where(np.arange(HOURS) < 53 * DAY, values, values * 1000)),
        ("drift", lambda values: np.where(np.arange(HOURS) < 40 * DAY, values, values + 60)),
    ],
)
def test_bad_data_is_named(check: str, change: Any) -> None:
    assert check in found(change(series()), since=40 * DAY)
    assert check not in found(series(), since=40 * DAY)


def test_a_short_history_is_named() -> None:
    assert found(series(), window=3 * HOURS) == {"too little"}
    assert found(series(), window=HOURS) == set()


def test_strict_refuses_what_is_found(registry: Registry, tmp_path: Path) -> None:
    stamps = START_MS + np.arange(HOURS) * 3_600_000
    history = History(["a"], [stamps], [series()], [])
    said: list[str] = []
    job = Job(
        registry, history, JobOptions(window_ms=10 * HOURS * 3_600_000, strict=True),
        Wishes(family="naive"), PanelOptions(), Author("alice@host", NOON), said.append,
        lambda title: nullcontext(),  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    with pytest.raises(DataError, match=r"too little: the history 60.0 days"):
        run(job)
    assert registry.versions() == [] and any(note.startswith("too little") for note in said)

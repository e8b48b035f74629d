"""`eddycast retrain` is killed anywhere and run again: the registry is that of a run which was left
alone. Most runs publish a bundle that is made at once, because the registry does not care."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.bundle import Manifest, TrainingRecord
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.registry import Registry
from eddycast.training.data.panel import Panel
from eddycast.training.evaluation.metrics import Figure
from eddycast.training.retraining import run as retraining
from tests.support.bundles import Walk, listed, write_bundle
from tests.support.killing import Kill, run_command

DAY, HOUR_MS = 24, 3_600_000
START = np.datetime64("2026-01-01T00:00")
#: Files that a run creates: three of the bundle, publication, candidacy, manifest, change.
FILES = 7
CHANGES = "models/load/changes"


def history(path: Path, days: int) -> str:
    """Hourly readings of one stream."""
    random, lines = np.random.default_rng(0), ["time,a"]
    for hour in range(days * DAY):
        value = 20 + 5 * np.sin(2 * np.pi * hour / DAY) + random.normal(0, 1)
        stamp = START + np.timedelta64(hour, "h")
        lines.append(f"{stamp},{value:.3f}")
    path.write_text("\n".join(lines))
    return str(path)


def instant_training() -> None:
    """Replace the training in this process; later ends of a history give other weights."""

    def train(
        panel: Panel, _recipe: object, _split: object, out: Path, *_: object, **__: object
    ) -> tuple[Manifest, list[Figure]]:
        record = TrainingRecord(
            fingerprint="f", streams=1, observations=len(panel), seconds=1.0,
            end_time_ms=int(panel.timestamps[-1]),
        )  # fmt: skip
        walk = Walk(interval_ms=HOUR_MS, horizon=4, hidden=4, fields={"training": record})
        return write_bundle(out, listed(walk, latent=f"{len(panel):016}")), []

    retraining.train_bundle = train  # type: ignore[attr-defined, assignment]


class Nights:
    """A first model, then the next one, which is promoted without a comparison."""

    def __init__(self, folder: Path, before: Callable[[], None] | None) -> None:
        self._folder, self._before, root = folder, before, folder / "models"
        self._folder.mkdir(exist_ok=True)
        self._files, self.registry = LocalFolder(root), Registry(LocalFolder(root), "load")
        self._words = [
            *("retrain", "--registry.url", str(root), "--registry.model", "load"),
            *("--window", "30d", "--families", "naive", "--horizon", "4", "--promote", "always"),
        ]

    def run(self, days: int, kill: Kill | None = None) -> int:
        data = history(self._folder / f"{days}.csv", days)
        return run_command([*self._words, "--history", data], kill, self._before)

    @property
    def outcome(self) -> dict[str, Any]:
        """The registry without moments and nonces."""
        changes = [stored.change for stored in self.registry.changes()]
        versions = self._files.names("models/load/versions")
        return {
            "changes": [(one.number, one.champion, one.expected, one.evidence) for one in changes],
            "versions": {
                version: [
                    self._files.names(f"models/load/versions/{version}"),
                    self.registry.load(version).manifest.label,
                    self.registry.candidacy(version),
                ]
                for version in versions
            },
        }


def outcomes(nights: Nights) -> dict[int, dict[str, Any]]:
    """The registry after each night that nothing disturbs."""
    found = {}
    for days in (30, 60):
        assert nights.run(days) == 0
        found[days] = nights.outcome
    assert [len(one["changes"]) for one in found.values()] == [1, 2]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    return outcomes(Nights(tmp_path_factory.mktemp("undisturbed"), instant_training))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, FILES + 1))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_run_that_was_killed_is_completed_by_the_next(
    undisturbed: dict[int, dict[str, Any]], tmp_path: Path, number: int, after: bool
) -> None:
    nights = Nights(tmp_path, instant_training)
    for days, expected in undisturbed.items():
        assert nights.run(days, Kill(number, after)) == -9
        assert nights.run(days) == 0
        assert nights.outcome == expected


@pytest.mark.trains
@pytest.mark.slow
def test_a_training_that_is_repeated_gives_the_version_that_was_half_published(
    tmp_path: Path,
) -> None:
    expected = outcomes(Nights(tmp_path / "undisturbed", None))
    nights = Nights(tmp_path / "killed", None)
    assert nights.run(30, Kill(FILES - 1, after=False)) == -9
    assert nights.run(30) == 0 and nights.outcome == expected[30]

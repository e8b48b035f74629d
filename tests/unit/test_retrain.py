"""`eddycast retrain`: a first model, nothing to do, a candidate, and its judgement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddycast.service.__main__ import run
from eddycast.service.comparison.significance import Difference
from eddycast.service.errors import BundleError, RegistryError
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.registry import LoadOptions, Registry
from eddycast.service.sealing.signatures import new_key
from eddycast.training.retraining.judging import decided
from eddycast.training.retraining.options import parse_gain
from eddycast.training.retraining.trial import Outcome

DAY = 24


def history(path: Path, days: int) -> str:
    """Hourly readings of two streams whose noise persists from day 30 on."""
    random, noise, lines = np.random.default_rng(0), np.zeros(2), ["time,a,b"]
    for hour in range(days * DAY):
        noise = (0.1 if hour < 30 * DAY else 0.95) * noise + random.normal(0, 1, 2)
        values = 20 + 5 * np.sin(2 * np.pi * hour / DAY + np.arange(2)) + noise
        stamp = np.datetime64("2026-01-01T00:00") + np.timedelta64(hour, "h")
        lines.append(f"{stamp},{values[0]:.3f},{values[1]:.3f}")
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.trains
@pytest.mark.slow
def test_a_candidate_that_proves_better_is_promoted_at_its_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def retrain(days: int, *words: str) -> dict[str, Any]:
        plain = ["--registry.url", str(tmp_path / "models"), "--registry.model", "load"]
        plain += ["--window", "30d", "--families", "ar", "--horizon", "12"]
        data = history(tmp_path / f"{days}.csv", days)
        assert run(["retrain", "--history", data, *plain, *words]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    first = retrain(30)
    assert first["promoted"] == [first["published"]["version"]]
    second = retrain(60)
    assert second["promoted"] == [] and second["champion"] == first["champion"]
    again = retrain(60)
    assert again["published"] is None and "--train-every" in again["not_trained"]
    assert [one["verdict"] for one in again["judged"]] == ["too early"]
    third = retrain(95, "--train-every", "1000d", "--textfile", str(tmp_path / "load.prom"))
    assert third["promoted"] == [second["published"]["version"]]
    assert third["judged"][0]["evidence"]["horizon"][2] < 0
    assert 'eddycast_retrain_generation{model="load"} 2' in (tmp_path / "load.prom").read_text()
    assert retrain(95, "--train-every", "1000d")["judged"] == []


@pytest.mark.trains
@pytest.mark.slow
def test_a_key_signs_the_bundle_and_the_change_that_makes_it_champion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public, models = new_key(tmp_path / "key"), tmp_path / "models"
    words = ["--registry.url", str(models), "--registry.model", "load", "--families", "naive"]
    words += ["--horizon", "4", "--window", "30d", "--key", str(tmp_path / "key")]
    assert run(["retrain", "--history", history(tmp_path / "a.csv", 30), *words]) == 0
    (version,) = json.loads(capsys.readouterr().out.splitlines()[-1])["promoted"]

    def trusting(key: str) -> Registry:
        return Registry(LocalFolder(models), "load", LoadOptions(keys=(key,)))

    trusted = trusting(public)
    newest = trusted.newest()
    assert newest is not None and newest.change.champion == version
    assert newest.change.signature is not None and newest.change.signature.key == public
    assert trusted.load(version).manifest.version == version
    stranger = trusting(new_key(tmp_path / "other"))
    with pytest.raises(RegistryError, match="signature"):
        stranger.newest()
    with pytest.raises(BundleError, match="signature"):
        stranger.load(version)


@pytest.mark.parametrize(
    ("horizon", "one_step", "is_better"),
    [
        ((-0.05, -0.08, -0.02), (-0.05, -0.08, -0.02), True),
        ((-0.05, -0.11, 0.01), (-0.05, -0.08, -0.02), False),
        ((-0.005, -0.008, -0.002), (0.0, -0.01, 0.01), False),
        ((-0.05, -0.08, -0.02), (0.03, 0.01, 0.05), False),
        ((-0.05, None, None), (0.0, None, None), False),
    ],
)
def test_a_candidate_must_be_better_beyond_chance(
    horizon: Any, one_step: Any, is_better: bool
) -> None:
    outcome = Outcome(Difference(*horizon), Difference(*one_step), 12, 2)
    assert decided(outcome, parse_gain("1%"))[0] is is_better

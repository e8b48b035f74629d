"""Alerts fire when they should and not otherwise, and each has its place in the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alert_cases import CASES, Case, Series
from tests.tools.pages import every_metric

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "deploy" / "prometheus" / name for name in ("recording.yml", "alerts.yml")]
RULES: list[dict[str, Any]] = [
    rule
    for path in FILES
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in RULES if "record" in rule}
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (apt install prometheus)"
)


def promtool(*arguments: str) -> str:
    """Output of a run that succeeds."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def scenario(case: Case, series: Series, does_fire: bool) -> dict[str, Any]:
    """A test of promtool: how many alerts of this name fire."""
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}})'
    test: dict[str, Any] = {
        "expr": f"clamp_max({firing}, 1)",
        "eval_time": case.at,
        "exp_samples": [{"labels": "{}", "value": 1}] if does_fire else [],
    }
    return {
        "interval": "1m",
        "name": f"{case.alert} {'fires' if does_fire else 'does not fire'}",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [test],
    }


@NEEDS_PROMTOOL
@pytest.mark.parametrize("does_fire", [True, False], ids=["fires", "does not fire"])
@pytest.mark.parametrize("case", CASES, ids=[case.alert for case in CASES])
def test_an_alert(case: Case, does_fire: bool, tmp_path: Path) -> None:
    series = case.fires if does_fire else case.quiet
    tests = {
        "rule_files": [str(path) for path in FILES],
        "evaluation_interval": "1m",
        "tests": [scenario(case, series, does_fire)],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))
    promtool("test", "rules", str(tmp_path / "test.yml"))


def test_every_alert_is_tested() -> None:
    assert {case.alert for case in CASES} == set(ALERTS)


@NEEDS_PROMTOOL
def test_the_rules_are_valid() -> None:
    promtool("check", "rules", *map(str, FILES))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    page, _, place = rule["annotations"]["runbook"].partition("#")
    assert place == name.lower()
    assert f"\n## {name}\n" in (ROOT / page).read_text()


def test_the_runbook_has_a_place_for_nothing_else() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    assert re.findall(r"^## (Eddycast\w+)$", text, re.M) == list(ALERTS)
    for section in text.split("\n## ")[1:]:
        if section.startswith("Eddycast"):
            assert all(f"**{part}.**" in section for part in ("Means", "Look", "Do")), section[:40]


def test_rules_use_metrics_and_records_that_exist() -> None:
    known = {line.name for line in every_metric()}
    known |= {f"{line.name}_bucket" for line in every_metric() if line.kind == "histogram"}
    for rule in RULES:
        used = set(re.findall(r"\b(?:job:)?eddycast_\w+(?::\w+)?", rule["expr"]))
        assert used - known - set(RECORDED) == set(), rule

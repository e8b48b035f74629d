"""The report of a retraining: one JSON line, and metrics for the textfile collector of Prometheus'
node exporter."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from eddycast.service.bundle import Manifest
from eddycast.service.output_files import written_to
from eddycast.training.retraining.run import Report

#: Name -> type and meaning.
METRICS: Final = {
    "eddycast_retrain_time_seconds": "End of the last run of eddycast retrain, Unix time",
    "eddycast_retrain_generation": "Number of the newest change of champion",
    "eddycast_retrain_published": "1 if the last run published a candidate",
    "eddycast_retrain_promoted": "Changes of champion that the last run made",
    "eddycast_retrain_findings": "Findings of the last run in the data",
    "eddycast_retrain_judged": "Candidates that the last run looked at, by verdict",
}


def as_json(report: Report, model: str, seconds: float) -> str:
    """The report as one line."""
    champion = report.champion
    content = {
        "model": model,
        "champion": champion and {
            "version": champion.champion,
            "label": champion.label,
            "change": champion.number,
        },
        "promoted": [change.champion for change in report.promoted],
        "published": report.published and _published(report.published),
        "not_trained": report.not_trained or None,
        "judged": [
            {
                "version": one.manifest.version,
                "label": one.manifest.label,
                "verdict": one.verdict,
                "why": one.why,
                "evidence": one.evidence,
            }
            for one in report.judged
        ],
        "findings": [each._asdict() for each in report.findings],
        "seconds": round(seconds, 1),
    }  # fmt: skip
    return orjson.dumps(content).decode()


def _published(manifest: Manifest) -> dict[str, Any]:
    record = manifest.training
    return {
        "version": manifest.version,
        "label": manifest.label,
        "family": manifest.family,
        "trained_until_ms": record.end_time_ms if record else None,
        "backtest": [figure.model_dump(mode="json") for figure in manifest.backtest],
    }


def write_metrics(path: Path, report: Report, model: str, now: datetime) -> None:
    """Write the metrics of a run in Prometheus' text format, whole. Raises DataError."""
    values: dict[str, dict[str, float]] = {
        "eddycast_retrain_time_seconds": {"": now.timestamp()},
        "eddycast_retrain_generation": {"": report.champion.number if report.champion else 0},
        "eddycast_retrain_published": {"": int(report.published is not None)},
        "eddycast_retrain_promoted": {"": len(report.promoted)},
        "eddycast_retrain_findings": {"": len(report.findings)},
        "eddycast_retrain_judged": {
            f',verdict="{verdict}"': count
            for verdict, count in Counter(one.verdict for one in report.judged).items()
        },
    }
    lines = []
    for name, meaning in METRICS.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        lines += [
            f'{name}{{model="{model}"{rest}}} {value}' for rest, value in values[name].items()
        ]
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with written_to(path):
        part.write_text("\n".join(lines) + "\n")
        part.replace(path)

"""Past runs of the benchmark on this machine, so that a slowdown is named."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.report import Result

#: A figure worse by this share than in the last run is named.
NOTED = 0.1
_MORE_IS_BETTER = {"records/s", "rows/s"}
_LESS_IS_BETTER = {"us/record", "us/row", "ms", "s", "bytes/stream", "bytes/record"}


def remember(results: Sequence[Result], extent: str, path: Path) -> list[str]:
    """Append this run to the history; lines about figures that are worse than the last of the same
    extent on the same machine. Ratios are not compared: some should rise, others fall."""
    runs = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    machine = f"{platform.node()} {platform.machine()}"
    last: dict[str, tuple[float, str]] = {}
    for run in runs:
        if run["machine"] == machine and run["extent"] == extent:
            last |= {name: (value, run["when"]) for name, value in run["figures"].items()}
    now = datetime.now(UTC).isoformat(timespec="minutes")
    figures = {result.name: round(result.value, 3) for result in results}
    entry: dict[str, Any] = {"when": now, "machine": machine, "extent": extent, "figures": figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    return [
        f"slower: {result.name} is {result.value:,.1f} {result.unit}, {last[result.name][0]:,.1f} "
        f"in the run of {last[result.name][1]}"
        for result in results
        if result.name in last and _worse(result, last[result.name][0])
    ]


def _worse(result: Result, before: float) -> bool:
    if result.unit in _MORE_IS_BETTER:
        return result.value < before * (1 - NOTED)
    return result.unit in _LESS_IS_BETTER and result.value > before * (1 + NOTED)

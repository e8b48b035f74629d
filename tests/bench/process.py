"""One part of the benchmark in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.bench.model import ROOT


def run(command: Sequence[str], given: str = "") -> dict[str, Any]:
    """`python -m` of these words, `given` as input; the JSON of its last line.
    Raises SystemExit if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result

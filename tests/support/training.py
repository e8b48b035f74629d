"""The command line of the cheapest training: last values, without a season or calibration, which
are most of a graph and of the time to export it."""

from __future__ import annotations

from pathlib import Path


def train_naive(history: Path, out: Path, *words: str) -> list[str]:
    """Arguments that train the family `naive` on `history`; `words` are further options."""
    plain = ["--family", "naive", "--horizon", "4", "--season", "none", "--no-calibration"]
    return ["train", str(history), *plain, "--out", str(out), *words]

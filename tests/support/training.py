"""The command line of the cheapest training: last values, without a season."""

from __future__ import annotations

from pathlib import Path


def train_naive(history: Path, out: Path, *words: str) -> list[str]:
    """Arguments that train the family `naive` on `history`; `words` are further options."""
    plain = ["--family", "naive", "--horizon", "4", "--season", "none"]
    return ["train", str(history), *plain, "--out", str(out), *words]

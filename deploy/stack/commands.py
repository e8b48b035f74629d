"""Command lines of `eddycast` that the stack runs; docker-compose.yml runs the same."""

from __future__ import annotations

import sys
from pathlib import Path

#: Prefix of variables that are settings.
PREFIX = "EDDYCAST_"
TRAIN = (
    *("train", "sample:sensors", "--family", "lstm"),
    *("--interval", "30m", "--horizon", "48", "--season", "24h"),
)
SERVE = ("serve",)
#: The sensors that the model learned from as three dozen streams, an hour of readings each second.
SIMULATE = ("simulate", "sample:fleet", "--speed", "3600")
MONITOR = ("monitor",)
#: Workers in the consumer group.
SERVICES = 2


def program(words: tuple[str, ...]) -> list[str]:
    """Return the whole command line, run by this interpreter."""
    return [sys.executable, "-m", "eddycast.service", *words]


def settings(servers: str, bundle: Path, **further: str) -> dict[str, str]:
    """Return the variables of a process: those that all have, and `further` ones."""
    common = {
        "BUNDLE__DIRECTORY": str(bundle),
        "KAFKA__BOOTSTRAP_SERVERS": servers,
        "TOPICS__CREATE_INPUT": "true",
        "LOG__FORMAT": "console",  # its last lines are for people
    }
    return {PREFIX + name: value for name, value in (common | further).items()}

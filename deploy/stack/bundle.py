"""The stack's trained bundle, kept for the next run of the same versions."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from deploy.stack.commands import TRAIN

_ROOT = Path(__file__).parents[2]
DIRECTORY = _ROOT / "build" / "stack" / "bundle"
#: Packages that decide on what is trained and exported.
_PACKAGES = ("bokeh-sampledata", "numpy", "onnx", "onnxscript", "polars", "torch")


class TrainedBundle:
    """A bundle in `directory`, with a file that names what made it, written last."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._stamp = directory / "made-by.json"
        self._directory = directory
        self.model = directory / "model"

    def is_current(self) -> bool:
        """True if the bundle is complete and was made by the installed versions."""
        try:
            return bool(json.loads(self._stamp.read_text()) == _makers())
        except (FileNotFoundError, json.JSONDecodeError):
            return False

    def clear(self) -> None:
        """Remove the bundle of other versions, or of a run that was cut short."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)

    def keep(self) -> None:
        """Mark the bundle as complete."""
        self._stamp.write_text(json.dumps(_makers(), indent=1) + "\n")


def _makers() -> dict[str, str]:
    """Return what the bundle depends on: the command, versions, and the sources of the trainer."""
    sources = hashlib.sha256()
    for path in sorted((_ROOT / "training").rglob("*.py")):
        sources.update(path.read_bytes())
    return {
        "command": " ".join(TRAIN),
        "python": sys.version.split()[0],
        "training": sources.hexdigest(),
        **{name: version(name) for name in _PACKAGES},
    }

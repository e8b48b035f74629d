"""Trained bundles, kept by what went into them: the data, the recipe, the code that trains. What
did not change is not trained again."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch

from eddycast.service.bundle import MANIFEST
from eddycast.training.data.panel import Panel, fingerprint
from eddycast.training.data.split import Split
from eddycast.training.recipe import Recipe
from eddycast.training.train import fit_bundle

ROOT = Path(__file__).parents[2]
#: Source files that determine a bundle, and those that determine its score.
TRAINS = (
    "training/models",
    "training/fitting",
    "training/data",
    "training/export",
    "training/train.py",
    "training/problems.py",
    "training/recipe.py",
)
JUDGES = (
    "training/evaluation",
    "service/*.py",
    "service/model",
    "service/processing",
    "service/state",
    "tests/accuracy",
)


def trained(panel: Panel, recipe: Recipe, split: Split, store: Path) -> Path:
    """The folder of the bundle, trained now if it is not in `store`."""
    key = digest(
        fingerprint(panel.rows(0, split.validation_end)),
        asdict(recipe),
        asdict_split(split),
        sources(TRAINS),
    )
    folder = store / key
    if (folder / MANIFEST).is_file():
        return folder
    store.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(dir=store, prefix="draft-"))
    fit_bundle(panel, recipe, split, draft)
    if folder.exists():
        shutil.rmtree(draft)
    else:
        draft.rename(folder)
    return folder


def asdict_split(split: Split) -> tuple[int, int, int]:
    """A split as plain numbers."""
    return split.train_end, split.validation_end, split.end


def digest(*parts: object) -> str:
    """A short name that follows from the parts' printed form."""
    return hashlib.sha256(repr((parts, torch.__version__)).encode()).hexdigest()[:20]


@cache
def sources(patterns: tuple[str, ...]) -> str:
    """sha256 over the source files that the patterns (files, or folders with all below) name."""
    found = {file for pattern in patterns for path in ROOT.glob(pattern) for file in _files(path)}
    whole = hashlib.sha256()
    for file in sorted(found):
        whole.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return whole.hexdigest()


def _files(path: Path) -> list[Path]:
    return list(path.rglob("*.py")) if path.is_dir() else [path]

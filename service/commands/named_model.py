"""Models as commands name them: by a bundle's directory, by a version, or as the champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from eddycast.service.bundle import MANIFEST
from eddycast.service.errors import SettingsError
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.model.runtime import Runtime

#: In place of a name: the model that the registry's newest change names.
CHAMPION = "champion"


def named_model(name: str, settings: Settings) -> Runtime:
    """The model in a bundle's directory, of a version in `registry.url` (six or more digits), or
    the `champion` there. Raises SettingsError, BundleError, RegistryError."""
    # slow to import (onnxruntime)
    from eddycast.service.registry.registry import open_champion, open_registry

    if name == CHAMPION:
        registry, change = open_champion(settings)
        return registry.load(change.champion)
    if (Path(name) / MANIFEST).is_file():
        return _loaded(Path(name), settings)
    if settings.registry.url is None:
        raise SettingsError(
            f"{name} is no bundle's directory",
            "name one, or set registry.url and registry.model for a version",
        )
    registry = open_registry(settings)
    return registry.load(registry.resolve(name))


def served_model(settings: Settings) -> Runtime:
    """The model that a service with these settings would serve. Raises as `named_model`."""
    if settings.registry.url is not None:
        return named_model(CHAMPION, settings)
    return _loaded(settings.bundle.directory, settings)


def without_pin(settings: Settings) -> Settings:
    """`settings` that accept another bundle than that of `bundle.version`."""
    bundle = settings.bundle.model_copy(update={"version": None})
    return settings.model_copy(update={"bundle": bundle})


def _loaded(directory: Path, settings: Settings) -> Runtime:
    from eddycast.service.model.loading import load_runtime

    return load_runtime(
        directory,
        intra_op_threads=settings.engine.intra_op_threads,
        max_batch=settings.engine.max_batch,
        trust=settings.bundle.trust,
    )

"""The model of a registry with which a worker starts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from eddycast.service.errors import RegistryUnavailable
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import Throttle
from eddycast.service.registry.change import StoredChange
from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.local_copy import LocalCopy
from eddycast.service.registry.registry import (
    LoadOptions,
    Registry,
    no_champion,
    open_registry,
)
from eddycast.service.settings.settings import Settings

#: While waiting for a first champion: interval of the looks, and of the log lines, s.
_WAIT_S, _WAIT_LOG_S = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class Started:
    """The first model of a worker, and where newer ones come from."""

    runtime: Runtime
    change: StoredChange
    registry: Registry
    copy: LocalCopy | None  # keeps what is loaded, if the settings ask for it


def start_with_champion(
    settings: Settings, stop: threading.Event, waiting: Callable[[str], None]
) -> Started | None:
    """Load the champion, or its local copy if the registry does not answer; None if `stop` is set
    before there is one. Calls `waiting(what)` while it waits. Raises RegistryError, BundleError."""
    registry, copy = open_registry(settings), _copy_of(settings, LoadOptions.of(settings))
    try:
        change = await_champion(registry, settings.bundle.wait_s, stop, waiting)
    except RegistryUnavailable as error:
        change = None if copy is None else copy.newest()
        if copy is None or change is None:
            raise
        get_log().warning(
            "started from the local copy: the registry does not answer",
            model=change.change.label,
            generation=change.change.number,
            reason=error.what,
        )
        return Started(copy.registry.load(change.change.champion), change, registry, copy)
    if change is None:
        return None
    runtime = registry.load(change.change.champion)
    if copy is not None:
        copy.keep(registry, change)
    return Started(runtime, change, registry, copy)


def await_champion(
    registry: Registry, wait_s: float, stop: threading.Event, waiting: Callable[[str], None]
) -> StoredChange | None:
    """The registry's state, once a champion exists; None if `stop` is set before. Calls
    `waiting(what)` while it waits. Raises RegistryError if there is none after `wait_s`."""
    patience, throttle = time.monotonic() + wait_s, Throttle(_WAIT_LOG_S)
    while True:
        try:
            if (found := registry.newest()) is not None:
                return found
            error = no_champion(registry.model)
        except RegistryUnavailable as unavailable:
            error = unavailable
        if time.monotonic() >= patience:
            raise error
        waiting(f"a champion of {registry.model}")
        if throttle.is_due():
            get_log().info("waiting for a champion", model=registry.model, reason=error.what)
        if stop.wait(_WAIT_S):
            return None


def _copy_of(settings: Settings, options: LoadOptions) -> LocalCopy | None:
    directory, model = settings.registry.directory, settings.registry.model
    if directory is None or model is None:
        return None
    return LocalCopy(LocalFolder(directory), model, options)

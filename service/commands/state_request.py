"""Settings, model and broker shared by the commands of `eddycast state`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rich.console import Console

from eddycast.service.commands.settings_help import TAKES_SETTINGS
from eddycast.service.errors import MissingExtra, SettingsError
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.observability.log import configure_log
from eddycast.service.settings.load import load_settings
from eddycast.service.settings.settings import Settings

if TYPE_CHECKING:
    from eddycast.service.broker.port import Broker
    from eddycast.service.bundle import Manifest

COMMAND: dict[str, Any] = {"context_settings": TAKES_SETTINGS, "add_help_option": False}


class Partitioner(StrEnum):
    """Partitioner of the producers of the input topic."""

    murmur2 = "murmur2"
    crc32 = "crc32"


def settings_after(first: str, flags: Sequence[str]) -> Settings:
    """Settings from the flags that follow the argument `first`. Raises SettingsError."""
    if first.startswith("--"):
        raise SettingsError(
            f"{first} is in place of an argument", "write settings after all arguments"
        )
    settings = load_settings(flags)
    configure_log(settings.log.format, settings.log.level)
    return settings


def manifest_of(settings: Settings) -> Manifest:
    """The manifest of the model that a service with these settings would serve."""
    if settings.registry.url is None:
        return read_manifest(settings.bundle.directory, settings.bundle.trust)
    # slow to import (onnxruntime)
    from eddycast.service.registry.registry import open_champion

    registry, change = open_champion(settings)
    return registry.manifest(change.champion)


def broker_of(settings: Settings) -> Broker:
    """The broker of the settings; nothing is connected yet."""
    # slow to import: after the flags are checked
    from eddycast.service.delivery.connect import kafka_broker

    return kafka_broker(settings.kafka)


def needs_polars(what: str) -> None:
    """Raise MissingExtra unless polars is installed; `what` needs it."""
    if find_spec("polars") is None:
        raise MissingExtra(
            f"{what} needs polars, which is not installed", "pip install 'eddycast[data]'"
        )


def say(line: str) -> None:
    """Print a line as it is."""
    Console(highlight=False, soft_wrap=True, markup=False).print(line)


def listed(pairs: Iterable[tuple[int, int]]) -> str:
    """Offsets by partition."""
    return ", ".join(f"{partition}: {offset}" for partition, offset in pairs)

"""Facts of the bundle's manifest that records lack: the season, and the channel of each target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from eddycast.service.bundle import MANIFEST, Manifest
from eddycast.service.monitor.decode import ChannelOf, by_position
from eddycast.service.observability.log import get_log


class BundleFacts(NamedTuple):
    """Facts that no record holds."""

    season_ms: int | None = None
    channel_of: ChannelOf = by_position
    counter: bool = False  # readings are of meters, forecasts of their increase


NO_FACTS = BundleFacts()


def bundle_facts(directory: Path) -> BundleFacts:
    """Facts of the bundle in `directory`; none without a readable manifest."""
    try:
        manifest = Manifest.model_validate_json((directory / MANIFEST).read_bytes())
    except FileNotFoundError:
        return NO_FACTS
    except (OSError, ValidationError) as error:
        get_log().warning("the bundle's manifest is not used", reason=str(error)[:200])
        return NO_FACTS
    channels, known = manifest.channels, manifest.targets

    def channel_of(targets: Sequence[str], width: int, index: int) -> int | None:
        fits = width == len(channels) and (list(targets) == list(known) or len(known) == 1)
        return channels.index(known[index]) if fits else by_position(targets, width, index)

    season_ms = min(manifest.seasons_ms, default=None)
    return BundleFacts(season_ms, channel_of, manifest.kind == "counter")

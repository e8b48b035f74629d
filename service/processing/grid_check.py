"""Settings of time that a model cannot be served with."""

from __future__ import annotations

from eddycast.service.bundle import Manifest
from eddycast.service.errors import SettingsError
from eddycast.service.humanize import span
from eddycast.service.sealing.manifest_types import LONGEST_GAP
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.time import TimeSettings


def trained_otherwise(manifest: Manifest, time: TimeSettings) -> tuple[str, str] | None:
    """(problem, action) for a model that was trained on readings gathered in another way; None for
    any other, also if its history had one reading for each step."""
    trained = manifest.training.aggregate if manifest.training else None
    if trained in (None, time.aggregate):
        return None
    found = f"{manifest.label} was trained on the {trained} of the readings of each step"
    return (
        f"{found}, and time.aggregate is {time.aggregate}",
        f"set time.aggregate = {trained}, or train with --aggregate {time.aggregate}",
    )


def check_joined(settings: Settings) -> None:
    """Raises SettingsError if channels come in different readings that no step joins."""
    aggregate = settings.time.aggregate
    if settings.input.channel is not None and aggregate in ("first", "last"):
        raise SettingsError(
            f"input.channel: the channels of a step come in several readings, and time.aggregate "
            f"is {aggregate}",
            "set time.aggregate = mean, sum, min or max",
        )


def check_time(manifest: Manifest, time: TimeSettings) -> None:
    """Raises SettingsError for an aggregate that makes no sense of a counter's readings, for a
    model that counts readings if they are not gathered, and for a reading that holds shorter than a
    step, or for more steps than a gap may have."""
    if manifest.kind == "counter" and time.aggregate in ("mean", "sum"):
        raise SettingsError(
            f"time.aggregate = {time.aggregate}: readings of a counter are not added, and "
            f"{manifest.label} is a model of counters",
            "set time.aggregate = last",
        )
    if manifest.count_channel is not None and not time.is_gathered:
        raise SettingsError(
            f"{manifest.count_channel} of {manifest.label} is the number of readings of each step, "
            "and time.aggregate is first",
            "set time.aggregate, as mean",
        )
    if time.hold_s is None:
        return
    held = time.held_steps(manifest.interval_ms)
    if held == 0:
        raise SettingsError(
            f"time.hold_s = {time.hold_s} is shorter than a step of {manifest.label}, "
            f"{span(manifest.interval_ms)}",
            "raise it, or leave it out",
        )
    if time.longest_gap(manifest.max_gap, manifest.interval_ms) > LONGEST_GAP:
        raise SettingsError(
            f"time.hold_s = {time.hold_s} is {held:,} steps of {manifest.label}; with its longest "
            f"gap, {time.max_gap or manifest.max_gap:,}, these are more than {LONGEST_GAP:,}",
            "lower time.hold_s or time.max_gap",
        )

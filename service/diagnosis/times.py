"""Checks of a sample: clocks of the senders, and their intervals against the model's."""

from __future__ import annotations

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.diagnosis.finding import Finding
from eddycast.service.diagnosis.records import named
from eddycast.service.diagnosis.sample import Sample
from eddycast.service.humanize import many, span
from eddycast.service.records import Int64
from eddycast.service.settings.time import TimeSettings

_MINUTE, _HOUR = 60_000, 3_600_000
#: Largest distance from whole hours that is still a zone, and largest difference of hours.
_NEAR, _ZONES = 3 * _MINUTE, 14
#: Largest spread of half of a stream's stamps against record times for a clock that is off.
_STEADY = 10 * _MINUTE
#: A stream whose stamps are further ahead than this has a wrong clock.
_AHEAD = _MINUTE
#: Intervals that differ from the model's by up to this ratio are equal to it.
_ALIKE = 0.1


def clocked(sample: Sample) -> Finding:
    """The check of stamps against record times."""
    zones: dict[int, list[str]] = {}
    ahead: dict[str, int] = {}
    behind: dict[str, int] = {}
    for stream, rows in sample.by_stream():
        rows = rows[sample.record_times[rows] >= 0]
        if not len(rows):
            continue
        low, middle, high = _quartiles(sample.timestamps[rows] - sample.record_times[rows])
        hours = round(middle / _HOUR)
        is_zone = abs(middle - hours * _HOUR) <= _NEAR and 0 < abs(hours) <= _ZONES
        if is_zone and high - low <= _STEADY:
            zones.setdefault(hours, []).append(stream)
        elif middle > _AHEAD:
            ahead[stream] = middle
        elif middle < -_HOUR:
            behind[stream] = -middle
    if zones:
        return _of_zones(zones)
    if ahead:
        found = f"up to {span(max(ahead.values()))} ahead of the records: {named([*ahead])}"
        return Finding("clocks", found, "set the clocks of the senders")
    if behind:
        found = f"up to {span(max(behind.values()))} behind the records: {named([*behind])}"
        return Finding("clocks", f"{found}, as of an archive or a backlog")
    return Finding("clocks", "stamps agree with the times of the records")


def _of_zones(zones: dict[int, list[str]]) -> Finding:
    found = "; ".join(
        f"{many(len(streams), 'stream')} {many(abs(hours), 'hour')} "
        f"{'ahead of' if hours > 0 else 'behind'} the records: {named(streams)}"
        for hours, streams in sorted(zones.items(), key=lambda one: -len(one[1]))
    )
    action = (
        "if these are local times, set input.zone, as Europe/Berlin (of text without a zone), or "
        "send UTC"
    )
    return Finding("clocks", found, action)


def spaced(sample: Sample, manifest: Manifest, settings: TimeSettings) -> Finding:
    """The check of intervals against the model's."""
    interval = manifest.interval_ms
    kinds: dict[str, dict[str, int]] = {"as": {}, "faster": {}, "slower": {}}
    for stream, rows in sample.by_stream():
        steps = np.diff(np.unique(sample.timestamps[rows])).astype(np.int64)
        if len(steps) > 1:
            step = _quartiles(steps)[1]
            kind = "faster" if step < interval * (1 - _ALIKE) else "slower"
            kinds["as" if abs(step - interval) <= interval * _ALIKE else kind][stream] = step
    if not any(kinds.values()):
        return Finding("intervals", "too few readings of a stream to tell")
    parts = [f"{many(len(kinds['as']), 'stream')} every {span(interval)}, as the model"]
    for kind in ("faster", "slower"):
        if found := kinds[kind]:
            between = sorted({span(min(found.values())), span(max(found.values()))})
            each = " to ".join(dict.fromkeys(between))
            parts.append(f"{many(len(found), 'stream')} {kind}, every {each}: {named([*found])}")
    return Finding("intervals", "; ".join(parts), _mend(kinds, manifest, settings))


def _mend(kinds: dict[str, dict[str, int]], manifest: Manifest, settings: TimeSettings) -> str:
    advice = []
    if (faster := kinds["faster"]) and not settings.is_gathered:
        advice.append(
            "further readings of a step are dropped: set time.aggregate (mean, last, max, …), or "
            f"train a model with --interval {_flag(min(faster.values()))}"
        )
    if slower := kinds["slower"]:
        longest = max(slower.values())
        gap = -(-longest // manifest.interval_ms)
        if gap - 1 <= settings.held_steps(manifest.interval_ms):
            return "; ".join(advice)
        bridged = manifest.longest_gap(settings.state_ttl_ms)
        allowed = settings.longest_gap(bridged, manifest.interval_ms)
        hold = f"if these sensors report changes, set time.hold_s = {-(-longest // 1000)}; else "
        train = f"{hold}train a model with --interval {_flag(longest)}"
        advice.append(
            f"steps between readings are imputed: {train}"
            if gap <= allowed
            else f"each reading begins the stream anew: {train}, or set time.max_gap = {gap}"
        )
    return "; ".join(advice)


def _flag(milliseconds: int) -> str:
    """An interval as an option of `eddycast train`."""
    return f"{milliseconds / 1000:g}s"


def _quartiles(values: Int64) -> tuple[int, int, int]:
    low, middle, high = np.percentile(values, (25, 50, 75)).round().astype(np.int64).tolist()
    return low, middle, high

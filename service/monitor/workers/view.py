"""Answers about the workers: a line for each, totals, latencies, dead letters by kind of error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from eddycast.service.monitor.letters import KINDS
from eddycast.service.monitor.workers.history import EVERY_S, WINDOW_S
from eddycast.service.monitor.workers.quantiles import Buckets, summed
from eddycast.service.monitor.workers.scrape import HISTOGRAMS, RECORDS, Scrape
from eddycast.service.monitor.workers.seen import Seen
from eddycast.service.observability.metric_list import STAGES

#: The histogram that a worker's own latency is from.
_END_TO_END = HISTOGRAMS[0], ""
#: Histograms, and stages of the last of them, in the order in which they are shown.
_ORDER = [
    *((name, "") for name in HISTOGRAMS[:-1]),
    *((HISTOGRAMS[-1], stage) for stage in STAGES),
]
_DEAD_LETTERS = "dead_letters_total"
_PARTITION = re.compile("[0-9]{1,9}")


def workers_view(seen: Sequence[Seen], looked_ms: int | None) -> dict[str, Any]:
    """Everything about the workers that was seen at the last look. Figures of a worker that does
    not answer are unknown, and not in the totals."""
    lines = [_line(one) for one in seen]
    up = [one for one in seen if one.up]
    return {
        "looked": looked_ms,
        "every_s": EVERY_S,
        "window_s": WINDOW_S,
        "total": _total(lines),
        "workers": lines,
        "latency": _latency(up),
        "dead_letters": _dead_letters(up),
    }


def _line(seen: Seen) -> dict[str, Any]:
    given, address, _ = seen.worker
    line = {
        "worker": str(address or given),
        "name": str(given),
        "up": seen.up,
        "ready": seen.ready,
        "reason": seen.trouble,
        "answered": seen.answered_ms,
    }
    scrape = seen.history.last if seen.up else None
    whole = seen.history.latencies().get(_END_TO_END) if seen.up else None
    rates = {
        f"{name}_per_s": seen.history.rate(counter) if seen.up else None
        for name, counter in (("records", RECORDS), ("forecasts", "forecasts_total"))
    }
    return line | rates | _quantiles(whole) | _work(scrape) | _model(scrape)


def _work(scrape: Scrape | None) -> dict[str, Any]:
    """Partitions and streams of a worker, and its lag."""
    if scrape is None:
        names = "lag", "lag_s", "restoring", "streams", "cold", "warm", "dead_letters"
        return {"partitions": []} | dict.fromkeys(names)
    lags, waits = (scrape.by_label.get(f"consumer_lag{s}", {}) for s in ("", "_seconds"))
    streams, cold = (_count(scrape, name) for name in ("streams", "cold_streams"))
    known = streams is not None and cold is not None
    return {
        "partitions": sorted(int(label) for label in lags if _PARTITION.fullmatch(label)),
        "lag": _capped(sum(lags.values())),
        "lag_s": max(waits.values(), default=None),
        "restoring": _count(scrape, "restoring"),
        "streams": streams,
        "cold": cold,
        "warm": max(0, (streams or 0) - (cold or 0)) if known else None,
        "dead_letters": _capped(sum(scrape.by_label.get(_DEAD_LETTERS, {}).values())),
    }


def _model(scrape: Scrape | None) -> dict[str, Any]:
    """The model that a worker serves."""
    numbers, model = (scrape.numbers, scrape.model) if scrape else ({}, {})
    until_s = numbers.get("model_training_end_timestamp_seconds")
    return {
        "model": model.get("model"),
        "version": model.get("version"),
        "family": model.get("family"),
        "generation": None if scrape is None else _count(scrape, "model_generation"),
        "model_age_s": numbers.get("model_age_seconds"),
        "trained_until": None if until_s is None else int(until_s * 1000),
    }


def _count(scrape: Scrape, name: str) -> int | None:
    value = scrape.numbers.get(name)
    return None if value is None else _capped(value)


def _capped(value: float) -> int:
    """A count as JSON can hold it, whatever a port has answered."""
    return int(min(value, 1 << 53))


def _total(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the workers that answer; the lag in seconds is the largest."""
    waits = [line["lag_s"] for line in lines if line["lag_s"] is not None]
    summands = "records_per_s", "forecasts_per_s", "lag", "streams", "cold", "warm", "dead_letters"
    return {
        "workers": len(lines),
        "up": sum(line["up"] for line in lines),
        "ready": sum(line["ready"] for line in lines),
        "partitions": len({p for line in lines for p in line["partitions"]}),
        "lag_s": max(waits, default=None),
    } | {name: _sum(line[name] for line in lines) for name in summands}


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum of those that are known; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _latency(up: Sequence[Seen]) -> list[dict[str, Any]]:
    """Latencies of all workers together, by histogram, and by stage in the order of the path."""
    windows = [one.history.latencies() for one in up]
    lines = []
    for name, stage in _ORDER:
        found = [window[name, stage] for window in windows if (name, stage) in window]
        buckets = summed(found)
        if buckets is not None:
            line = {"of": name.removesuffix("_seconds"), "stage": stage, "count": buckets.total}
            lines.append(line | _quantiles(buckets))
    return lines


def _quantiles(buckets: Buckets | None) -> dict[str, float | None]:
    return {
        f"p{round(100 * level)}_s": buckets.quantile(level) if buckets else None
        for level in (0.5, 0.99)
    }


def _dead_letters(up: Sequence[Seen]) -> list[dict[str, Any]]:
    """Dead letters since the start of each worker, by kind of error, most first."""
    counts: dict[str, int] = {}
    for scrape in (one.history.last for one in up):
        for error, count in scrape.by_label.get(_DEAD_LETTERS, {}).items() if scrape else ():
            counts[error] = counts.get(error, 0) + _capped(count)
    most = sorted(counts.items(), key=lambda line: -line[1])
    return [{"error": error, "count": count} for error, count in most[:KINDS]]

"""The judgement of candidates: each once, at the day that was fixed when it was published, against
the champion of that moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.comparison.significance import VERDICT_BLOCKS
from eddycast.service.durations import format_duration
from eddycast.service.errors import RegistryError
from eddycast.service.history import History
from eddycast.service.history.aggregation import as_trained
from eddycast.service.registry.candidates import Candidacy, Verdict
from eddycast.service.registry.change import StoredChange
from eddycast.service.registry.compatibility import check_core, check_shape
from eddycast.service.registry.promotion import Request, promote
from eddycast.service.registry.registry import Registry
from eddycast.service.sealing.manifest_types import Aggregate
from eddycast.training.data.panel import Panel
from eddycast.training.evaluation.backtest import target_streams
from eddycast.training.evaluation.protocols.table import protocol_for
from eddycast.training.retraining.options import JobOptions
from eddycast.training.retraining.trial import (
    Outcome,
    block_rows,
    last_row,
    tried,
)


@dataclass(frozen=True, slots=True)
class Author:
    """Who acts in the registry, when, and with which key."""

    who: str
    when: datetime
    key: Path | None = None

    def request(self, why: str, evidence: dict[str, Any], expected: str | None) -> Request:
        """The request of a promotion; `expected` is the champion that it replaces."""
        return Request(self.who, self.when, why, expected, key=self.key, evidence=evidence)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that waits for its judgement."""

    manifest: Manifest
    candidacy: Candidacy

    @property
    def trained_until_ms(self) -> int:
        """The last stamp that its training has seen."""
        return trained_until(self.manifest)


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate, what became of it ("promoted", "better", "turned down", "too early",
    "not comparable"), and why."""

    manifest: Manifest
    verdict: str
    why: str
    evidence: dict[str, Any]


def trained_until(manifest: Manifest) -> int:
    """The last stamp that a model's training has seen, ms; -1 if the manifest does not tell."""
    return manifest.training.end_time_ms if manifest.training else -1


def candidates(registry: Registry) -> list[Candidate]:
    """Versions to be judged: published to be, never champion, not turned down; those trained on the
    oldest readings first."""
    champions = {stored.change.champion for stored in registry.changes()}
    found = [
        Candidate(registry.manifest(version), candidacy)
        for version in registry.versions()
        if version not in champions
        and (candidacy := registry.candidacy(version)) is not None
        and registry.verdict(version) is None
    ]
    return sorted(found, key=lambda one: (one.trained_until_ms, one.manifest.version))


def judge(
    registry: Registry,
    history: History,
    options: JobOptions,
    author: Author,
    aggregate: Aggregate | None = None,
) -> list[Judged]:
    """Judge every candidate whose day has come, and promote those that prove better. Readings of a
    slot are gathered as `aggregate` asks for, or else as for the champion's training.

    Raises RegistryError, also if another process changes the champion meanwhile.
    """
    return [
        _judged(registry, one, newest, history, options, author, aggregate)
        for one in candidates(registry)
        if (newest := registry.newest()) is not None
    ]


def _judged(
    registry: Registry,
    candidate: Candidate,
    newest: StoredChange,
    history: History,
    options: JobOptions,
    author: Author,
    aggregate: Aggregate | None,
) -> Judged:
    champion, manifest = registry.manifest(newest.change.champion), candidate.manifest
    try:
        check_core(champion, manifest)
        check_shape(champion, manifest)
    except RegistryError as error:
        return Judged(manifest, "not comparable", error.what, {})
    gathered = as_trained(history, champion, aggregate)
    panel = protocol_for("rolling", champion).panel(gathered, champion)
    span = _span(panel, champion, candidate)
    if isinstance(span, str):
        return Judged(manifest, "too early", span, {})
    runtimes = registry.load(champion.version), registry.load(manifest.version)
    outcome = tried(*runtimes, panel, *span)
    evidence = _evidence(outcome, newest, panel, span, champion)
    if outcome.blocks < VERDICT_BLOCKS:
        why = f"{outcome.blocks} blocks of time could be scored, {VERDICT_BLOCKS} are needed"
        return Judged(manifest, "too early", why, evidence)
    is_better, why = decided(outcome, options.min_gain)
    if options.promote == "never":
        return Judged(manifest, "better" if is_better else "not better", why, evidence)
    if is_better:
        promote(registry, manifest.version, author.request(why, evidence, champion.version))
        return Judged(manifest, "promoted", why, evidence)
    verdict = Verdict(
        version=manifest.version,
        label=manifest.label,
        champion=champion.version,
        change=newest.change.number,
        who=author.who,
        when=author.when,
        why=why,
        evidence=evidence,
    )
    return Judged(manifest, "turned down", registry.turn_down(verdict).why, evidence)


def decided(outcome: Outcome, min_gain: float) -> tuple[bool, str]:
    """True if a candidate has proven better over the whole horizon, and the reason."""
    horizon, one_step = outcome.horizon, outcome.one_step
    gain = -horizon.relative
    said = f"its loss is {horizon.text} over the horizon, {one_step.text} one step ahead"
    if horizon.high is None or horizon.high >= 0:
        return False, f"{said}: not beyond chance"
    if gain < min_gain:
        return False, f"{said}: less than {min_gain:.2%}"
    if one_step.low is not None and one_step.low > 0:
        return False, f"{said}: worse one step ahead"
    return True, said


def _span(panel: Panel, champion: Manifest, candidate: Candidate) -> tuple[int, int] | str:
    """The rows of the trial; or the reason why it is too early."""
    after = max(trained_until(champion), candidate.trained_until_ms)
    interval = champion.interval_ms
    start = int(np.searchsorted(panel.timestamps, after, side="right"))
    warm_up = min(champion.warmup_steps, 2 * block_rows(champion))
    if start < warm_up:
        return f"the history has {start} rows before the trial, {warm_up} are needed"
    least = -(-candidate.candidacy.decide_after_ms // interval)
    end = last_row(target_streams(panel, champion), start, least, champion)
    if end is None:
        there = format_duration(max(len(panel) - start, 0) * interval)
        needed = format_duration(candidate.candidacy.decide_after_ms)
        return f"{there} of readings since the training of both, {needed} without gaps are needed"
    return start, end


def _evidence(
    outcome: Outcome, newest: StoredChange, panel: Panel, span: tuple[int, int], model: Manifest
) -> dict[str, Any]:
    """The facts of a trial, as they are stored."""
    start, end = (datetime.fromtimestamp(panel.timestamps[i] / 1000, UTC) for i in _ends(span))
    return {
        "against": newest.change.champion,
        "change": newest.change.number,
        "from": start.isoformat(),
        "until": end.isoformat(),
        "streams": outcome.streams,
        "blocks": outcome.blocks,
        "block_ms": block_rows(model) * model.interval_ms,
        "measure": "scaled quantile loss, candidate / champion - 1, with its 95 % interval",
        "horizon": list(outcome.horizon),
        "one_step": list(outcome.one_step),
    }


def _ends(span: tuple[int, int]) -> Sequence[int]:
    return span[0], span[1] - 1

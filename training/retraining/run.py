"""One retraining: judge, then train. Every step that changes the registry is a single file that is
created once, so the command may be killed anywhere and be started again, and a second start finds
nothing left to do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from eddycast.service.bundle import MANIFEST, Manifest
from eddycast.service.errors import DataError
from eddycast.service.history import History
from eddycast.service.registry.candidates import Candidacy
from eddycast.service.registry.change import Change
from eddycast.service.registry.compatibility import check_core, check_shape
from eddycast.service.registry.promotion import promote
from eddycast.service.registry.registry import Registry
from eddycast.service.sealing.signatures import sign
from eddycast.training.data.options import PanelOptions
from eddycast.training.data.preparation import Prepared, prepare
from eddycast.training.fitting.recurrent import TrainingProgress
from eddycast.training.memory_estimate import memory_note
from eddycast.training.problems import with_seasons
from eddycast.training.recipe import Recipe
from eddycast.training.recipe_checks import check_family, check_name
from eddycast.training.retraining.findings import Finding, findings
from eddycast.training.retraining.judging import (
    Author,
    Judged,
    candidates,
    judge,
    trained_until,
)
from eddycast.training.retraining.options import (
    JobOptions,
    Wishes,
    grid_of,
    recipe_of,
    resolved,
    told,
)
from eddycast.training.retraining.trial import least_rows
from eddycast.training.train import train_bundle

_UNPROVEN = "promoted without a comparison with the champion (--promote always)"
#: Callable with the title of a training; the context of its progress.
Progress = Callable[[str], AbstractContextManager[TrainingProgress]]


@dataclass(frozen=True)
class Job:
    """Everything that a retraining needs."""

    registry: Registry
    history: History
    options: JobOptions
    wishes: Wishes
    grid: PanelOptions
    author: Author
    say: Callable[[str], None]
    progress: Progress


@dataclass
class Report:
    """The outcome of a retraining."""

    judged: list[Judged] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    published: Manifest | None = None
    not_trained: str = ""  # why nothing was
    promoted: list[Change] = field(default_factory=list)  # by this run
    champion: Change | None = None  # at the end

    def meets(self, require: str | None) -> bool:
        """True unless what is required ("published" or "promoted") was not done."""
        match require:
            case "published":
                return self.published is not None
            case "promoted":
                return bool(self.promoted)
            case _:
                return True


def run(job: Job) -> Report:
    """Judge, then train. Raises DataError, FamilyError, RegistryError, BundleError."""
    report, before = Report(), _changes(job.registry)
    _promote_first(job)
    if job.options.promote != "always":
        report.judged = judge(
            job.registry, job.history, job.options, job.author, job.grid.aggregate
        )
    champion = champion_of(job.registry)
    window = job.history.between(job.history.end_ms + 1 - job.options.window_ms)
    report.not_trained = _too_soon(job, window)
    if not report.not_trained:
        report.published = _train(job, window, champion, report)
    if champion is None:
        _promote_first(job)
    elif job.options.promote == "always":
        _promote_unproven(job, champion)
    after = _changes(job.registry)
    report.promoted = after[len(before) :]
    report.champion = after[-1] if after else None
    return report


def _changes(registry: Registry) -> list[Change]:
    return [stored.change for stored in registry.changes()]


def champion_of(registry: Registry) -> Manifest | None:
    """The manifest of the champion, if there is one."""
    newest = registry.newest()
    return None if newest is None else registry.manifest(newest.change.champion)


def _promote_first(job: Job) -> None:
    """Promote the newest candidate of a model that never had a champion: also one of a run that
    was killed before it did."""
    found = candidates(job.registry) if job.registry.newest() is None else []
    if found:
        request = job.author.request("first model", {}, None)
        promote(job.registry, found[-1].manifest.version, request)


def _promote_unproven(job: Job, champion: Manifest) -> None:
    """Promote the newest candidate that has seen more than the champion: also one of a run that
    was killed before it did."""
    newer = [
        one for one in candidates(job.registry) if one.trained_until_ms > trained_until(champion)
    ]
    if newer:
        evidence = {"proven": False, "against": champion.version}
        request = job.author.request(_UNPROVEN, evidence, champion.version)
        promote(job.registry, newer[-1].manifest.version, request)


def _too_soon(job: Job, window: History) -> str:
    """The reason not to train now; empty if there is none. A model that was asked for with the same
    choices and that has seen nearly the same readings need not be trained again."""
    asked = told(job.wishes)
    ends = [-1]
    for version in job.registry.versions():
        candidacy = job.registry.candidacy(version)
        if _plain(asked) == (_plain(candidacy.asked) if candidacy else {}):
            ends.append(trained_until(job.registry.manifest(version)))
    newest = max(ends)
    if newest >= 0 and window.end_ms - newest < job.options.train_every_ms:
        return "the history has hardly grown since the last training (--train-every)"
    return ""


def _train(job: Job, window: History, champion: Manifest | None, report: Report) -> Manifest:
    """Train and publish a candidate."""
    recipe, prepared = _planned(job, window, champion)
    report.findings = _looked_at(job, prepared, recipe, champion)
    with tempfile.TemporaryDirectory(prefix="eddycast-retrain-") as folder:
        out = Path(folder) / "bundle"
        with job.progress(f"training {recipe.family}") as progress:
            manifest, _ = train_bundle(
                prepared.panel, recipe, prepared.split, out, progress, refit=True
            )
        if champion is not None:
            check_core(champion, manifest)
            check_shape(champion, manifest)
        if job.author.key is not None:
            sign(out / MANIFEST, job.author.key)
        least_ms = least_rows(manifest) * manifest.interval_ms
        candidacy = Candidacy(
            decide_after_ms=max(job.options.decide_after_ms, least_ms),
            asked=told(job.wishes),
            recipe=asdict(resolved(recipe, manifest)),
            findings=tuple(f"{each.stream} {each.text}".strip() for each in report.findings),
        )
        author = job.author
        job.registry.publish(out, author.who, author.when.isoformat(), candidacy)
    return manifest


def _planned(job: Job, window: History, champion: Manifest | None) -> tuple[Recipe, Prepared]:
    """The recipe and the panel of the next model."""
    candidacy = None if champion is None else job.registry.candidacy(champion.version)
    recipe = recipe_of(champion, candidacy.recipe if candidacy else None, job.wishes)
    check_family(recipe.family)
    check_name(recipe.name)
    prepared = prepare(window, grid_of(champion, job.grid))
    for note in filter(None, [*prepared.notes, memory_note(prepared.panel, recipe)]):
        job.say(note)
    return with_seasons(recipe, prepared.panel, prepared.split), prepared


def _looked_at(
    job: Job, prepared: Prepared, recipe: Recipe, champion: Manifest | None
) -> list[Finding]:
    """The findings in the data. Raises DataError if there are any and `strict` is set."""
    panel = prepared.panel
    season = (recipe.season_ms or 24 * panel.interval_ms) // panel.interval_ms
    since = None if champion is None else trained_until(champion)
    found = findings(panel, season, job.options.window_ms, since)
    for each in found:
        job.say(f"{each.check}: {each.stream} {each.text}")
    if found and job.options.strict:
        first = found[0]
        what = f"{first.check}: {first.stream or 'the history'} {first.text}"
        raise DataError(
            f"{what}, and {len(found) - 1} more findings" if len(found) > 1 else what,
            "repair the history, leave the stream out, or train without --strict",
        )
    return found


def _plain(asked: object) -> object:
    """Choices as they come back from JSON."""
    if isinstance(asked, dict):
        return {name: _plain(value) for name, value in asked.items()}
    return list(asked) if isinstance(asked, tuple) else asked

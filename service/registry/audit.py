"""The latest history of a model: changes of its champion, and verdicts on candidates that did not
become champion. No bundle is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from eddycast.service.registry.candidates import Verdict, parse_verdict, verdicts_folder
from eddycast.service.registry.change import Change
from eddycast.service.registry.change_log import ChangeLog
from eddycast.service.registry.folder import Folder


class Happening(NamedTuple):
    """A change or a verdict."""

    when: datetime
    kind: str  # "promote", "rollback", or "turned down"
    number: int | None  # of the change
    version: str
    label: str
    who: str
    why: str
    evidence: Mapping[str, Any]


class Audit:
    """Reads the folder of a model. Verdicts are remembered, because their files never change."""

    def __init__(self, folder: Folder, model: str) -> None:
        self._folder, self._log = folder, ChangeLog(folder, model, ())
        self._place = verdicts_folder(model)
        self._verdicts: dict[str, Happening] = {}

    def latest(self, count: int) -> list[Happening]:
        """At most `count` changes and verdicts, newest first. Raises RegistryError for a damaged
        file, RegistryUnavailable."""
        for name in self._folder.names(self._place):
            if name not in self._verdicts:
                path = f"{self._place}/{name}"
                self._verdicts[name] = _turned_down(parse_verdict(path, self._folder.read(path)))
        changes = [_changed(stored.change) for stored in self._log.latest(count)]
        found = sorted([*changes, *self._verdicts.values()], key=_moment, reverse=True)
        return found[:count]


def _moment(happening: Happening) -> tuple[datetime, int]:
    return happening.when, happening.number or 0


def _utc(when: datetime) -> datetime:
    """A time without a zone is of UTC."""
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _changed(change: Change) -> Happening:
    return Happening(
        _utc(change.when), change.kind, change.number, change.champion, change.label, change.who,
        change.why, change.evidence,
    )  # fmt: skip


def _turned_down(verdict: Verdict) -> Happening:
    return Happening(
        _utc(verdict.when), "turned down", None, verdict.version, verdict.label, verdict.who,
        verdict.why, verdict.evidence,
    )  # fmt: skip

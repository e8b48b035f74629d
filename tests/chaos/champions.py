"""The registry of a chaos run: two versions that compute the same bits, so that whichever answers a
record, a reference run with one of them gives the same but for the version and the generation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from eddycast.service.registry.folder import LocalFolder
from eddycast.service.registry.promotion import Request, former_champion, promote
from eddycast.service.registry.registry import Registry
from tests.chaos.checker import Record
from tests.support.bundles import RECURRENT, listed, write_bundle

#: Place of the generation in rows and markers, and the key of a model record.
_GENERATION, _MODEL = slice(22, 26), b"\xffmodel"
_OTHER = replace(listed(RECURRENT), fields=listed(RECURRENT).fields | {"tools": {"twin": "1"}})


class Champions:
    """Two versions of one model in a registry below `root`; the first one is also the bundle of a
    reference run."""

    def __init__(self, root: Path) -> None:
        self._root, self.bundle = root / "registry", root / "bundle"
        self._registry = Registry(LocalFolder(self._root), "walk")
        self._versions = [
            write_bundle(self.bundle, listed(RECURRENT)).version,
            write_bundle(root / "twin", _OTHER).version,
        ]
        for directory in (self.bundle, root / "twin"):
            self._registry.publish(directory, "chaos", _now().isoformat())
        self._promote(self._versions[0])

    @property
    def settings(self) -> dict[str, str]:
        """Settings of the workers that follow it."""
        return {
            "REGISTRY__URL": str(self._root),
            "REGISTRY__MODEL": "walk",
            "REGISTRY__POLL_S": "0.2",
        }

    def promote(self) -> int:
        """Make the other version the champion; returns the number of the change."""
        newest = self._registry.newest()
        others = [v for v in self._versions if newest is None or v != newest.change.champion]
        return self._promote(others[0])

    def roll_back(self) -> int:
        """Make the former champion the champion again, after a promotion if there was none."""
        if len(self._registry.changes()) < 2:
            self.promote()
        version, request = former_champion(self._registry), Request("chaos", _now())
        return promote(self._registry, version, request, "rollback").change.number

    def unsigned(self, records: Iterable[Record]) -> list[Record]:
        """Forecasts as if the first version had made all of them."""
        first, twin = (b"walk@" + version[:6].encode() for version in self._versions)
        return [r._replace(value=r.value and r.value.replace(twin, first)) for r in records]

    def _promote(self, version: str) -> int:
        return promote(self._registry, version, Request("chaos", _now())).change.number


def undated(records: Iterable[Record]) -> list[Record]:
    """Rows and markers of a changelog without the generation that wrote them, and without model
    records."""
    return [_undated(record) for record in records if record.key != _MODEL]


def _undated(record: Record) -> Record:
    value = record.value
    if value is None:
        return record
    return record._replace(value=value[: _GENERATION.start] + value[_GENERATION.stop :])


def _now() -> datetime:
    return datetime.now(UTC)

"""Promotions and rollbacks: checks of a new champion, and the change that makes it so."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from eddycast.service.errors import RegistryError
from eddycast.service.registry.change import MOST, Change, StoredChange
from eddycast.service.registry.compatibility import check_core, check_shape, prove_core
from eddycast.service.registry.registry import Registry
from eddycast.service.sealing.signatures import sign_change


@dataclass(frozen=True, slots=True)
class Request:
    """A wish for another champion: its author, moment, reason and conditions."""

    who: str
    when: datetime
    why: str = ""
    expected: str | None = None  # first digits of the champion to be replaced; None = any
    above: int = 0  # the change's number is larger than this
    allow_output_change: bool = False
    key: Path | None = None  # file of the private key that signs the change
    evidence: dict[str, Any] = field(default_factory=dict)


def promote(
    registry: Registry,
    version: str,
    request: Request,
    kind: Literal["promote", "rollback"] = "promote",
) -> StoredChange:
    """Make `version` the champion. Raises RegistryError if it is the champion already, cannot take
    over the champion's rows, changes the shape of forecasts without permission, or if another
    process was first; BundleError if it does not load."""
    newest = registry.newest()
    champion = newest.change.champion if newest else None
    if request.expected and not (champion or "").startswith(request.expected):
        found = f"{newest.change.label}, by {newest.change.who}" if newest else "none"
        raise RegistryError(
            f"the champion of {registry.model} is {found}, not {request.expected[:12]}",
            "compare with the present champion, and expect that one",
        )
    if version == champion and newest and request.above <= newest.change.number:
        raise RegistryError(
            f"{newest.change.label} is the champion of {registry.model} already, by change "
            f"{newest.change.number}",
            "nothing to do",
        )
    candidate = registry.load(version)
    if champion is not None and champion != version:
        old = registry.load(champion)
        check_core(old.manifest, candidate.manifest)
        if not request.allow_output_change:
            check_shape(old.manifest, candidate.manifest)
        prove_core(old, candidate)
    number = max(newest.change.number if newest else 0, request.above) + 1
    if number > MOST:
        raise RegistryError(f"{number} is larger than any generation", "name a smaller --above")
    change = Change(
        model=registry.model,
        number=number,
        champion=version,
        label=candidate.manifest.label,
        predecessor=newest.digest if newest else None,
        expected=champion,
        kind=kind,
        who=request.who,
        when=request.when,
        why=request.why,
        evidence=request.evidence,
        allows_output_change=request.allow_output_change,
        nonce=secrets.token_hex(8),
    )
    if request.key is not None:
        change = change.model_copy(update={"signature": sign_change(change.sealed, request.key)})
    return registry.append(change, newest)


def former_champion(registry: Registry) -> str:
    """The version that was champion before the present one. Raises RegistryError if there is
    none."""
    changes = [stored.change for stored in registry.changes()]
    before = [c.champion for c in changes if c.champion != changes[-1].champion]
    if not before:
        raise RegistryError(
            f"{registry.model} has had one champion at most", "promote another version"
        )
    return before[-1]


def prunable(registry: Registry, keep: int, candidates: bool) -> list[str]:
    """Versions that are champion in none of the last `keep` changes. Those that never were champion
    are left out unless `candidates`."""
    champions = [stored.change.champion for stored in registry.changes()]
    kept = set(champions[-max(1, keep) :])
    return [
        version
        for version in registry.versions()
        if version not in kept and (candidates or version in champions)
    ]

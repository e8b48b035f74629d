"""Promotions and rollbacks: the change that makes a version the champion."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from eddycast.service.errors import RegistryError
from eddycast.service.registry.change import MOST, Change, StoredChange
from eddycast.service.registry.promotion_rules import check_promotion
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
    """Make `version` the champion by a change after the newest one. Raises RegistryError if the
    rules forbid it (promotion_rules.py), or if another process was first; BundleError if it does
    not load."""
    newest = registry.newest()
    candidate = check_promotion(
        registry,
        version,
        newest,
        expected=request.expected,
        above=request.above,
        allow_output_change=request.allow_output_change,
    )
    number = max(newest.change.number if newest else 0, request.above) + 1
    if number > MOST:
        raise RegistryError(f"{number} is larger than any generation", "name a smaller --above")
    change = Change(
        model=registry.model,
        number=number,
        champion=version,
        label=candidate.manifest.label,
        predecessor=newest.digest if newest else None,
        expected=newest.change.champion if newest else None,
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

"""The rules that decide whether a version may become the champion.

expected    the present champion is the one that the author compared with, if one was named
different   the version is not the champion already
loads       its bundle is complete, signed if keys are given, and passes its golden replay
core        it takes over the rows of the champion; shown by stepping both (compatibility.py)
shape       readers of forecasts see no other shape, unless the author allows it
"""

from __future__ import annotations

from eddycast.service.errors import RegistryError
from eddycast.service.model.runtime import Runtime
from eddycast.service.registry.change import StoredChange
from eddycast.service.registry.compatibility import check_core, check_shape, prove_core
from eddycast.service.registry.registry import Registry


def check_promotion(
    registry: Registry,
    version: str,
    newest: StoredChange | None,
    *,
    expected: str | None,
    above: int,
    allow_output_change: bool,
) -> Runtime:
    """Check a version that is to be the champion after the change `newest`; returns its runtime.

    `expected` are the first digits of the present champion, None = any; a champion may be promoted
    again only for a number `above` that of its change. Raises RegistryError, BundleError.
    """
    _check_expected(registry.model, newest, expected)
    _check_different(registry.model, version, newest, above)
    candidate = registry.load(version)
    if newest is not None and newest.change.champion != version:
        champion = registry.load(newest.change.champion)
        check_core(champion.manifest, candidate.manifest)
        if not allow_output_change:
            check_shape(champion.manifest, candidate.manifest)
        prove_core(champion, candidate)
    return candidate


def _check_expected(model: str, newest: StoredChange | None, expected: str | None) -> None:
    champion = newest.change.champion if newest else ""
    if expected and not champion.startswith(expected):
        found = f"{newest.change.label}, by {newest.change.who}" if newest else "none"
        raise RegistryError(
            f"the champion of {model} is {found}, not {expected[:12]}",
            "compare with the present champion, and expect that one",
        )


def _check_different(model: str, version: str, newest: StoredChange | None, above: int) -> None:
    if newest and version == newest.change.champion and above <= newest.change.number:
        raise RegistryError(
            f"{newest.change.label} is the champion of {model} already, by change "
            f"{newest.change.number}",
            "nothing to do",
        )

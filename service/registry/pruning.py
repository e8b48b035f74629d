"""Old versions that may be deleted."""

from __future__ import annotations

from eddycast.service.registry.registry import Registry


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

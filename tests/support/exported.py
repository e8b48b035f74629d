"""Bundles of the forecasters in `tests/models/zoo.py`, exported once for the whole run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

#: The bundle of a kind. Shared by all tests and workers of the run: do not change it.
Exported = Callable[[str], Path]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Exported:
    """Bundles of the zoo, each exported on first use."""
    from tests.models.zoo import bundle_of

    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "exported"
    root.mkdir(exist_ok=True)
    return lambda kind: bundle_of(kind, root)

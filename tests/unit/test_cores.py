"""A training takes the cores that its process may use, and no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from eddycast.training import cores as module
from eddycast.training.cores import cores


@pytest.mark.parametrize(("told", "found"), [("", 8), ("3", 3), ("16", 8), ("0", 1), ("4,2", 8)])
def test_cores_are_those_of_the_affinity_unless_fewer_are_told(
    told: str, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(module, "_quotas", lambda: iter(()))
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert cores() == found


@pytest.mark.parametrize(
    ("text", "found"), [("150000 100000", [2]), ("10000 100000", [1]), ("max 100000", []), ("", [])]
)
def test_a_container_grants_its_share(text: str, found: list[int], tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert list(module._quotas(tmp_path)) == found
    assert list(module._quotas(tmp_path / "absent")) == []

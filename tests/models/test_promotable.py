"""Which families can follow which as champions: the proof at a promotion, on exported graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from eddycast.service.errors import RegistryError
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.runtime import Runtime
from eddycast.service.registry.compatibility import check_core, check_shape, prove_core
from tests.support.exported import Exported

pytestmark = pytest.mark.slow

Load = Callable[[str], Runtime]


@pytest.fixture(scope="module")
def load(exported: Exported) -> Load:
    """The runtime of a kind, loaded once."""
    return cache(lambda kind: load_runtime(exported(kind)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ar", "gru"),
        ("gru", "ar"),
        pytest.param("gru-uncalibrated", "gru", marks=pytest.mark.exhaustive),
        pytest.param("gru", "lstm", marks=pytest.mark.exhaustive),
        pytest.param("lstm", "mix", marks=pytest.mark.exhaustive),
        pytest.param("ar-counter", "lstm-counter", marks=pytest.mark.exhaustive),
    ],
)
def test_families_on_one_memory_can_follow_each_other(old: str, new: str, load: Load) -> None:
    """The largest recent error, which each keeps in its core, may differ."""
    before, after = load(old), load(new)
    check_core(before.manifest, after.manifest)
    check_shape(before.manifest, after.manifest)
    assert prove_core(before, after) > 48


@pytest.mark.parametrize(("old", "new"), [("ar", "ar-counter"), ("ar-counter", "gru")])
def test_a_gauge_and_a_counter_cannot(old: str, new: str, load: Load) -> None:
    with pytest.raises(RegistryError, match=r"gauge.*counter|counter.*gauge"):
        check_core(load(old).manifest, load(new).manifest)

"""A trace that is used again gives the same bytes as a trace of its own, and is used for the same
architecture alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from eddycast.service.bundle import FORECAST, JUMP, STEP
from eddycast.training.export import tracing
from eddycast.training.export.onnx_export import Identity, export_bundle
from eddycast.training.export.tracing import Signature, graph_of
from tests.models.zoo import MAKERS

pytestmark = pytest.mark.slow

SIGNATURE = Signature(["value"], ["level"], ["out"])
EXAMPLE = (torch.zeros(2, 3), torch.zeros(2, 3))


class Weighted(nn.Module):
    """A product and a sum: what torch folds of `bias` and `twice` is another number for other
    weights."""

    def __init__(self, seed: int, power: int = 2, shared: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.dense = nn.Linear(3, 3)
        self.twice = self.dense if shared else nn.Linear(3, 3)
        self.bias: Tensor
        self.register_buffer("bias", torch.randn(3), persistent=False)
        self.power = power

    def forward(self, value: Tensor, *state: Tensor) -> Tensor:
        (level,) = state
        product: Tensor = self.twice(self.dense(value))
        return product + level + (self.bias * 3) ** self.power


@pytest.fixture(autouse=True)
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[nn.Module]]:
    """The modules that were traced, from none on."""
    traced, real = list[nn.Module](), tracing._traced

    def spy(module: nn.Module, *words: Any) -> Any:
        traced.append(module)
        return real(module, *words)

    monkeypatch.setattr(tracing, "_traced", spy)
    monkeypatch.setattr(tracing, "_traces", type(tracing._traces)())
    yield traced


def written(module: nn.Module) -> bytes:
    return bytes(graph_of(module, EXAMPLE, SIGNATURE).SerializeToString(deterministic=True))


def test_other_weights_need_no_other_trace(
    traces: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = written(Weighted(1)), written(Weighted(2))
    assert len(traces) == 1
    assert first != second
    assert written(Weighted(1)) == first
    monkeypatch.setattr(tracing, "_traces", type(tracing._traces)())
    assert written(Weighted(2)) == second
    assert len(traces) == 2


def test_another_architecture_has_a_trace_of_its_own(traces: list[nn.Module]) -> None:
    class Other(Weighted):
        pass

    first_of_its_name = Other

    class Other(Weighted):  # type: ignore[no-redef]
        def forward(self, value: Tensor, *state: Tensor) -> Tensor:
            return -super().forward(value, *state)

    modules = [
        Weighted(1),
        Weighted(1, power=3),
        Weighted(1, shared=True),
        first_of_its_name(1),
        Other(1),
    ]
    found = [written(module) for module in modules]
    assert traces == modules
    assert len(set(found)) == 4, "a subclass that changes nothing computes the same"


def test_a_module_that_cannot_be_told_apart_is_traced_each_time(
    traces: list[nn.Module], tmp_path: Path
) -> None:
    module = Weighted(1)
    with (tmp_path / "open").open("w") as file:
        module.file = file  # type: ignore[assignment]
        assert written(module) == written(module)
    assert len(traces) == 2


def test_a_module_that_holds_itself_is_traced_each_time(traces: list[nn.Module]) -> None:
    module = Weighted(1)
    module.owner = [module]  # type: ignore[assignment]
    assert written(module) == written(module)
    assert len(traces) == 2


@dataclass(frozen=True, slots=True)
class Slotted:
    """Has no `__dict__`."""

    power: int


def test_what_a_dataclass_with_slots_says_is_part_of_the_architecture(
    traces: list[nn.Module],
) -> None:
    for power in (2, 2, 3):
        module = Weighted(1)
        module.spec = Slotted(power)  # type: ignore[assignment]
        written(module)
    assert len(traces) == 2


def test_the_last_few_traces_are_kept(
    traces: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "KEPT", 2)
    for power in (0, 1, 2, 1, 0):
        written(Weighted(1, power))
    assert len(traces) == 4, "the first was dropped, the second was not"


def test_a_forecaster_with_other_weights_has_the_bytes_of_a_fresh_export(
    traces: list[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constants that are folded into others, like the weights of a season, are included."""
    model, other = MAKERS["ar"](), MAKERS["ar"]()
    for name in ("weights_one", "weights_multi", "offsets_one"):
        other.get_buffer(name).mul_(1.5)
    export_bundle(model, Identity("ar"), tmp_path / "first")
    export_bundle(other, Identity("ar"), tmp_path / "second")
    assert len(traces) == 3
    monkeypatch.setattr(tracing, "_traces", type(tracing._traces)())
    export_bundle(other, Identity("ar"), tmp_path / "alone")
    for name in (STEP, FORECAST, JUMP):
        second = (tmp_path / "second" / name).read_bytes()
        assert second == (tmp_path / "alone" / name).read_bytes()
    assert (tmp_path / "first" / STEP).read_bytes() != (tmp_path / "second" / STEP).read_bytes()

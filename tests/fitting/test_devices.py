"""Gradients are computed on the device that is asked for, and no tensor stays behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from eddycast.service.errors import DataError
from eddycast.training.fitting.devices import device_of, on_device
from eddycast.training.fitting.recurrent import _fitted, _Pieces, schedule_of, validation_loss
from eddycast.training.models import LatentAutoregression, LinearAutoregression, SequenceToSequence
from tests.fitting.problems import daily, problem


@pytest.mark.parametrize(
    ("asked", "seen", "found"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_auto_is_cuda_where_torch_sees_it(
    asked: str, seen: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    assert str(device_of(asked)) == found


@pytest.mark.parametrize(("asked", "problem"), [("cuda", "torch sees none"), ("gpu", "is unknown")])
def test_a_device_that_is_not_there_is_refused(
    asked: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match=problem):
        device_of(asked)


@pytest.mark.parametrize("family", ["lstm", "gru", "dilated_gru", "seq2seq"])
def test_every_tensor_of_a_loss_is_on_the_device_of_the_model(family: str) -> None:
    """The device without numbers stands for a GPU: it refuses a tensor of the CPU as CUDA does."""
    whole = problem(daily(1, 800), horizon=12, season=24)
    linear = LinearAutoregression(whole.target)
    model = (
        SequenceToSequence(whole.target, linear)
        if family == "seq2seq"
        else LatentAutoregression(whole.target, family, linear)
    )
    columns = whole.columns(model.memory.spec)
    schedule = _fitted(replace(schedule_of(family), batch=2), whole, model.latent.stride)
    model.to("meta")
    with torch.device("meta"):
        loss = _Pieces(model, whole, columns, schedule).loss(0.1)
        torch.autograd.backward(loss)
        assert loss.is_meta
        assert all(p.grad is not None and p.grad.is_meta for p in model.parameters())
        with pytest.raises(RuntimeError, match="item"):  # the number of a loss is all that leaves
            validation_loss(model, whole, columns)


def test_a_model_comes_back_to_the_cpu() -> None:
    model = torch.nn.Linear(2, 2).double()
    with on_device("cpu", model):
        assert torch.zeros(1).device.type == "cpu"
    with pytest.raises(NotImplementedError, match="meta"), on_device("meta", model):
        assert torch.zeros(1).is_meta and model.weight.is_meta

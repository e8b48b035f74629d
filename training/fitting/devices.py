"""The device that gradients are computed on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from eddycast.service.errors import DataError

CPU, CUDA, AUTO = "cpu", "cuda", "auto"


def device_of(name: str) -> torch.device:
    """The device that gradients are computed on: `cpu`, `cuda`, or `auto`, CUDA where torch sees
    it. Raises DataError for another name, and for `cuda` where there is none."""
    there = torch.cuda.is_available()
    if name not in (AUTO, CPU, CUDA) or (name == CUDA and not there):
        problem = "is not there: torch sees none" if name == CUDA else "is unknown"
        raise DataError(f"--device {name} {problem}", f"give {AUTO} or {CPU}")
    return torch.device(CUDA if name != CPU and there else CPU)


@contextmanager
def on_device(device: str, model: nn.Module) -> Iterator[None]:
    """The model, and every tensor made meanwhile, on a device; afterwards the model is on the CPU
    again."""
    if device == CPU:  # a default device costs time at every call of torch
        yield
        return
    model.to(device)
    try:
        with torch.device(device):
            yield
    finally:
        model.to(CPU)

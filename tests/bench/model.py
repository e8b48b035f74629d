"""The bundle that is benchmarked: a plain GRU-64 with 12 steps x 3 quantiles, its weights drawn at
random; without calibration, which the contenders' hidden state does not have either.

Speed does not depend on the weights. Exporting takes a while,
so a bundle is kept until the code that made it changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from eddycast.service.bundle import MANIFEST

if TYPE_CHECKING:
    from eddycast.training.models import Forecaster

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
INTERVAL_MS = 60_000
HORIZON, QUANTILES, UNITS = 12, (0.1, 0.5, 0.9), 64


def gru_bundle(build: Path) -> Path:
    """The directory of the plain bundle, exported if need be."""
    return _kept(build, "gru_64")


def default_bundle(build: Path) -> Path:
    """The directory of a bundle of the trainer's default, exported if need be."""
    return _kept(build, "default_lstm_64")


def _kept(build: Path, name: str) -> Path:
    rooms = [ROOT / "training" / "models", ROOT / "training" / "export"]
    sources = [*sorted(path for room in rooms for path in room.rglob("*.py")), Path(__file__)]
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    directory = build / "bench" / f"{name}-{content}"
    if not (directory / MANIFEST).is_file():
        from eddycast.training.export.onnx_export import Identity, export_bundle

        model = _models()[name]
        export_bundle(model, Identity(model.family), directory)
    return directory


def state_rows() -> dict[str, list[tuple[str, str, tuple[int, ...]]]]:
    """Name, dtype and shape of each tensor in a stream's row,
    of the benchmarked model and of the trainer's default."""
    return {name: _tensors(model) for name, model in _models().items()}


def _tensors(model: Forecaster) -> list[tuple[str, str, tuple[int, ...]]]:
    rows = model.initial_state(1).items()
    return [
        (name, str(row.dtype).removeprefix("torch."), tuple(row.shape[1:])) for name, row in rows
    ]


def _models() -> dict[str, Forecaster]:
    """The two, with weights drawn at random."""
    import torch

    from eddycast.training.models import LatentAutoregression, LinearAutoregression, Target

    torch.manual_seed(1)
    plain = Target(INTERVAL_MS, HORIZON, QUANTILES, calibrated=False)
    deciles = tuple(level / 10 for level in range(1, 10))
    # a row and the work of hourly readings, on the grid of the load
    day = Target(INTERVAL_MS, 96, deciles, 24)
    return {
        "gru_64": LatentAutoregression(plain, "gru", None, UNITS),
        "default_lstm_64": LatentAutoregression(day, "lstm", LinearAutoregression(day), UNITS),
    }

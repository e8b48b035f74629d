"""The bundle that is benchmarked: a plain GRU-64 with 12 steps x 3 quantiles, its weights drawn at random; without
calibration, which the contenders' hidden state does not have either.

Speed does not depend on the weights. Exporting takes a while, so a bundle is kept until the code that made it changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from service.bundle import MANIFEST

ROOT = Path(__file__).parents[2]
INTERVAL_MS = 60_000
HORIZON, QUANTILES, UNITS = 12, (0.1, 0.5, 0.9), 64


def gru_bundle(build: Path) -> Path:
    """The directory of the bundle, exported if need be."""
    sources = [*sorted((ROOT / "training" / "models").glob("*.py")), ROOT / "training" / "export.py", Path(__file__)]
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    directory = build / f"gru-64-{content}"
    if not (directory / MANIFEST).is_file():
        _export(directory)
    return directory


def state_rows() -> dict[str, list[tuple[str, str, tuple[int, ...]]]]:
    """Name, dtype and shape of each tensor in a stream's row, of the benchmarked model and of the trainer's default."""
    from training.models import LatentAutoregression, LinearAutoregression, Target

    plain = Target(INTERVAL_MS, HORIZON, QUANTILES, calibrated=False)
    deciles = tuple(level / 10 for level in range(1, 10))
    day = Target(3_600_000, 96, deciles, 24)
    models = {
        "gru_64": LatentAutoregression(plain, "gru", None, UNITS),
        "default_lstm_64": LatentAutoregression(day, "lstm", LinearAutoregression(day), UNITS),
    }
    return {
        name: [
            (tensor, str(row.dtype).removeprefix("torch."), tuple(row.shape[1:]))
            for tensor, row in model.initial_state(1).items()
        ]
        for name, model in models.items()
    }


def _export(directory: Path) -> None:
    import torch

    from training.export import Identity, export_bundle
    from training.models import LatentAutoregression, Target

    torch.manual_seed(1)
    model = LatentAutoregression(Target(INTERVAL_MS, HORIZON, QUANTILES, calibrated=False), "gru", None, UNITS)
    export_bundle(model, Identity("gru"), directory)

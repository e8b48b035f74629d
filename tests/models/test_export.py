"""The exported graph is the model: torch and onnxruntime agree over many carried steps,
at odd batch sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from eddycast.service.bundle import FORECAST, GOLDEN, JUMP, STEP
from eddycast.service.errors import BundleError, DataError
from eddycast.service.model.graph import nodes_of
from eddycast.service.model.graph_limits import EMITTED
from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest, write_manifest
from eddycast.training.export.onnx_export import Identity, export_bundle
from eddycast.training.export.parity import onnx_is_torch
from eddycast.training.models import LinearAutoregression
from eddycast.training.models.quantiles.support import Support
from tests.models.zoo import (
    DAILY,
    HEAVY_KINDS,
    MAKERS,
    OFFSETS,
    forecaster,
    joint,
    streams,
)
from tests.support.exported import Exported

pytestmark = pytest.mark.slow

#: Rows, and for how many steps they are carried.
STEPS = {1: 200, 7: 1000, 256: 50}


@pytest.mark.parametrize("kind", HEAVY_KINDS)
def test_torch_and_onnx_agree_over_a_thousand_steps(kind: str, exported: Exported) -> None:
    onnx_is_torch(forecaster(kind), exported(kind), STEPS)


@pytest.mark.parametrize("kind", HEAVY_KINDS)
def test_the_service_accepts_the_bundle(kind: str, exported: Exported) -> None:
    runtime = load_runtime(exported(kind))
    manifest, model = runtime.manifest, forecaster(kind)
    assert manifest.family == model.family
    assert manifest.horizon == model.target.horizon
    assert manifest.forecast_interval_ms == model.target.forecast_interval_ms
    assert manifest.row_bytes < 16_384
    assert not any(np.count_nonzero(tensor) for tensor in model.initial_state(1).values())


@pytest.mark.parametrize("kind", ["gru", "lstm-weekly-binned", "seq2seq"])
def test_bits_do_not_depend_on_the_company(kind: str, exported: Exported) -> None:
    """A row's bits are the same alone, among 7 and among 300, in any place."""
    runtime = load_runtime(exported(kind), max_batch=64)
    values, timestamps = streams(kind, 40, 300)
    manifest = runtime.manifest

    def run(rows: np.ndarray) -> list[np.ndarray]:
        state = {
            spec.name: np.zeros((len(rows), *spec.shape), spec.dtype) for spec in manifest.state
        }
        outputs = []
        for value, stamp in zip(values, timestamps, strict=True):
            when = np.full(len(rows), stamp)
            result = runtime.step(value[rows][:, None], when, state)
            state = result.next_state
            outputs.append(
                (result.one_step, result.surprise, result.anomaly, runtime.forecast(when, state))
            )
        return [np.stack(column) for column in zip(*outputs, strict=True)]

    everyone = run(np.arange(300))
    for rows in (np.array([17]), np.array([17, 3, 250, 4, 99, 0, 299]), np.arange(300)[::-1]):
        for found, expected in zip(run(rows), everyone, strict=True):
            assert found.tobytes() == np.ascontiguousarray(expected[:, rows]).tobytes()


def test_a_bundle_says_nothing_of_the_machine_and_has_the_same_hash_again(
    exported: Exported, tmp_path: Path
) -> None:
    again = export_bundle(forecaster("ar"), Identity("ar"), tmp_path / "again")
    assert again.version == read_manifest(exported("ar")).version
    root = str(Path(__file__).parents[2]).encode()
    for name in (STEP, FORECAST, JUMP):
        assert root not in (exported("ar") / name).read_bytes()


@pytest.mark.exhaustive
def test_the_list_of_operators_is_that_of_all_families(exported: Exported, tmp_path: Path) -> None:
    """A bundle may use what the exporter writes;
    were the list longer, it would allow what nothing needs."""
    folders = [exported(kind) for kind in MAKERS]
    for family in ("ar", "lstm"):
        names = ("a", "b", "c")
        export_bundle(
            joint(family, 3, (0, 2)), Identity(family, names, ("a", "c")), tmp_path / family
        )
        load_runtime(tmp_path / family)
        folders.append(tmp_path / family)
    models = [onnx.load(folder / name) for folder in folders for name in (STEP, FORECAST, JUMP)]
    assert {node.op_type for model in models for node in nodes_of(model)} == EMITTED


def test_the_forecast_takes_only_what_it_reads(exported: Exported) -> None:
    runtime = load_runtime(exported("gru-plain"))
    assert "level" not in runtime.forecast_inputs
    assert "hidden" in runtime.forecast_inputs


def test_a_row_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="over the limit of 64"):
        export_bundle(forecaster("ar"), Identity("ar"), tmp_path / "ar", row_limit=64)


def test_a_graph_of_another_model_is_refused(exported: Exported, tmp_path: Path) -> None:
    """The golden sequence notices weights that are not the trainer's,
    even where every hash is in order."""
    import shutil

    directory = tmp_path / "mixed"
    shutil.copytree(exported("ar"), directory)
    altered: Any = type(forecaster("ar"))(forecaster("ar").target)  # type: ignore[call-arg]
    altered.load_state_dict(forecaster("ar").state_dict())
    with torch.no_grad():
        altered.weights_one[0] += 0.01
    bundle_from = export_bundle(altered.eval(), Identity("ar"), tmp_path / "other")
    shutil.copy(tmp_path / "other" / STEP, directory / STEP)
    fields = bundle_from.model_dump(exclude={"contract", "version", "files"})
    write_manifest(directory, **fields)
    with pytest.raises(BundleError, match=r"one_step within .* of the scale"):
        load_runtime(directory)


# at 1.0 forecasts lie a thousand scales away, beyond float32
@pytest.mark.parametrize(
    ("weight", "support"),
    [
        (0.3, "real"),
        (0.6, "nonnegative"),
        pytest.param(0.6, "real", marks=pytest.mark.exhaustive),
        pytest.param(0.3, "nonnegative", marks=pytest.mark.exhaustive),
    ],
)
def test_quantiles_that_all_but_touch_are_no_reason_to_refuse_a_bundle(
    weight: float, support: Support, tmp_path: Path
) -> None:
    """A few zeros in a meter's readings make a scale beside which its errors vanish: surprises of
    hundreds of nats then differ by more than rounding differs in the quantiles. A surprise that is
    wrong is still noticed."""
    model = LinearAutoregression(replace(DAILY, support=support))
    generator = torch.Generator().manual_seed(5)
    for buffer in (model.weights_one, model.weights_multi):
        buffer.copy_(weight * torch.randn(buffer.shape, generator=generator))
    for offsets in (model.offsets_one, model.offsets_multi):
        offsets.copy_(1e-5 * OFFSETS)
    fields = export_bundle(model.eval(), Identity("narrow"), tmp_path).model_dump(
        exclude={"contract", "version", "files"}
    )
    load_runtime(tmp_path)
    golden = dict(np.load(tmp_path / GOLDEN))
    assert np.nanmax(golden["surprise"]) > 50
    golden["surprise"] = golden["surprise"] + np.float32(2.0)
    np.savez(tmp_path / GOLDEN, **golden)
    write_manifest(tmp_path, **fields)
    with pytest.raises(BundleError, match="surprise within"):
        load_runtime(tmp_path)

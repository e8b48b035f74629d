"""Several channels in, several targets out: the laws of a forecaster hold for each channel by
itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from eddycast.service.model.loading import load_runtime
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.export.onnx_export import Identity, export_bundle
from eddycast.training.models import Joint
from tests.models.zoo import joint, scale_or_one

pytestmark = pytest.mark.slow

HOUR = 3_600_000
NAMES = ("a", "b", "c")
#: Family, channels, and which of them are targets.
KINDS = [("ar", 2, (1,)), ("lstm", 2, (0,)), ("ar", 3, (0, 2)), ("lstm", 3, (2, 1))]
OUTPUTS = ("one_step", "scores", "multi_step")
Outputs = dict[str, NDArray[Any]]


def streams(channels: int, steps: int = 240, count: int = 4) -> tuple[NDArray[Any], NDArray[Any]]:
    """values [steps, count, channels]: days at different heights, holes in single channels, late
    starts, an outage of one channel, and a channel of the last stream that never comes."""
    random = np.random.default_rng(3)
    t = np.arange(steps)
    season = np.sin(2 * np.pi * t / 24)[:, None, None] * random.uniform(0.5, 5, (count, channels))
    noise = random.normal(0, 0.3, (steps, count, channels)) + random.normal(
        0, 0.1, (steps, count, channels)
    ).cumsum(0)
    values = 20 + season + noise
    values[random.random(values.shape) < 0.1] = np.nan
    values[:9, 1, 0], values[:20, 1, 1:] = np.nan, np.nan
    values[100:140, 2, 0] = np.nan
    values[:, 3, -1] = np.nan
    return values, (1_700_000_000_000 // HOUR + t) * HOUR


def stepped(model: Joint, values: NDArray[Any], timestamps: NDArray[Any]) -> Outputs:
    """One observation at a time: one_step, scores and multi_step [T, S, ...] and surprise."""
    count, rows = values.shape[1], []
    state = model.initial_state(count)
    with torch.no_grad():
        for value, stamp in zip(values, timestamps, strict=True):
            when = torch.full((count,), int(stamp))
            out = model.step(torch.as_tensor(value), when, state)
            state = out.state
            rows.append(
                (out.one_step, out.surprise, out.anomaly, out.scores, model.forecast(when, state))
            )
    columns = [
        np.stack([tensor.numpy() for tensor in column]) for column in zip(*rows, strict=True)
    ]
    return dict(
        zip(("one_step", "surprise", "anomaly", "scores", "multi_step"), columns, strict=True)
    )


def close(
    found: NDArray[Any], expected: NDArray[Any], tolerance: float, unit: NDArray[Any] | float = 1.0
) -> None:
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    with np.errstate(invalid="ignore"):
        difference = np.abs(found - expected) / unit
    assert not np.any(difference > tolerance), f"largest difference {np.nanmax(difference):.2e}"


@pytest.mark.parametrize(
    "kind",
    [*(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in KINDS[:3]), KINDS[3]],
)
def test_unroll_is_step_is_onnx(kind: tuple[str, int, tuple[int, ...]], tmp_path: Path) -> None:
    """Over every step, with holes in single channels;
    the service accepts the bundle by its golden sequence."""
    family, channels, at = kind
    model = joint(family, channels, at)
    names = NAMES[:channels]
    export_bundle(model, Identity("joint", names, tuple(names[place] for place in at)), tmp_path)
    runtime = load_runtime(tmp_path)
    manifest = read_manifest(tmp_path)
    assert (manifest.channels, manifest.target_channels) == (names, at)
    assert manifest.row_bytes < 16_384 * len(at)
    values, timestamps = streams(channels)
    at_once, one_by_one = model.unroll(values, timestamps), stepped(model, values, timestamps)
    state = {
        spec.name: np.zeros((values.shape[1], *spec.shape), spec.dtype) for spec in manifest.state
    }
    exported = []
    for value, stamp in zip(values, timestamps, strict=True):
        when = np.full(len(value), stamp)
        result = runtime.step(value, when, state)
        state = result.next_state
        exported.append((result.one_step, result.scores, runtime.forecast(when, state)))
    by_onnx = dict(
        zip(OUTPUTS, (np.stack(column) for column in zip(*exported, strict=True)), strict=True)
    )
    for place, part in enumerate(at_once):
        unit = scale_or_one(part.scale)[:, :, None]
        for other in (one_by_one, by_onnx):
            close(other["one_step"][:, :, place], part.one_step, 1e-4, unit)
            close(other["multi_step"][:, :, :, place], part.multi_step, 1e-4, unit[..., None])
            close(other["scores"][:, :, place, :3], part.scores[..., :3], 1e-4, unit)
    own = np.stack([part.surprise for part in at_once])
    total = np.where(np.isnan(own).all(0), np.nan, np.nansum(own, 0))
    close(one_by_one["surprise"], total.astype(np.float32), 2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_channel_has_its_own_shift_and_scale(kind: tuple[str, int, tuple[int, ...]]) -> None:
    family, channels, at = kind
    model = joint(family, channels, at)
    values, timestamps = streams(channels)
    a, b = np.array([1e-3, 1e3, 7.0])[:channels], np.array([48_211.5, -5e5, 3.0])[:channels]
    plain, moved = model.unroll(values, timestamps), model.unroll(a * values + b, timestamps)
    for channel, one, other in zip(at, plain, moved, strict=True):
        unit = scale_or_one(a[channel] * one.scale)[:, :, None]
        close(other.one_step, a[channel] * one.one_step + b[channel], 1e-4, unit)
        close(other.multi_step, a[channel] * one.multi_step + b[channel], 1e-4, unit[..., None])


@pytest.mark.parametrize("kind", KINDS)
def test_the_future_of_no_channel_changes_a_past_output(
    kind: tuple[str, int, tuple[int, ...]],
) -> None:
    family, channels, at = kind
    model = joint(family, channels, at)
    values, timestamps = streams(channels)
    for channel in range(channels):
        changed = values.copy()
        changed[150:, :, channel] = np.random.default_rng(9).normal(
            1000, 50, changed[150:, :, channel].shape
        )
        for one, other in zip(
            model.unroll(values, timestamps), model.unroll(changed, timestamps), strict=True
        ):
            for name in ("one_step", "multi_step"):
                past, there = getattr(one, name), getattr(other, name)
                assert np.array_equal(past[:150], there[:150], equal_nan=True)
                assert not np.array_equal(past[150:, 0], there[150:, 0]), (
                    "a forecast looks at every channel"
                )


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_channel_leaves_the_others_as_they_are(
    kind: tuple[str, int, tuple[int, ...]],
) -> None:
    """A channel that never comes: its own target has no forecast, all others have,
    from their first value on."""
    family, channels, at = kind
    model = joint(family, channels, at)
    values, timestamps = streams(channels)
    silent = values.copy()
    silent[:, :, 0] = np.nan
    out = stepped(model, silent, timestamps)
    for place, channel in enumerate(at):
        known = (~np.isnan(silent[:, :, channel])).cumsum(0) > 0
        assert np.array_equal(np.isfinite(out["multi_step"][:, :, :, place]).all((2, 3)), known)
    none = stepped(model, np.full_like(values, np.nan), timestamps)
    assert all(np.isnan(column).all() for column in none.values())


@pytest.mark.parametrize("kind", KINDS)
def test_all_missing_leaves_a_zero_state(kind: tuple[str, int, tuple[int, ...]]) -> None:
    family, channels, at = kind
    model = joint(family, channels, at)
    state = model.initial_state(2)
    assert not any(np.count_nonzero(tensor) for tensor in state.values())
    with torch.no_grad():
        for step in range(30):
            when = torch.full((2,), step * HOUR)
            state = model.step(
                torch.full((2, channels), torch.nan, dtype=torch.float64), when, state
            ).state
    assert not any(np.count_nonzero(tensor) for tensor in state.values())

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eddycast.service.errors import MissingExtra
from eddycast.service.model.manifest_file import read_manifest
from eddycast.training.data.panel import Panel
from eddycast.training.data.split import Split
from eddycast.training.evaluation.plot import STREAMS, WINDOWS, Gallery, plot_forecasts
from eddycast.training.evaluation.protocols.scoring import Chunk
from tests.support.bundles import Walk, write_bundle

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
ROWS, HORIZON = 200, 6
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, Walk(interval_ms=HOUR, horizon=HORIZON))
    return folder


def panel(streams: int = 2) -> Panel:
    values = np.cumsum(np.random.default_rng(5).normal(size=(streams, ROWS)), axis=1)
    return Panel([f"s{i}" for i in range(streams)], START + np.arange(ROWS) * HOUR, values, HOUR)


def test_the_last_forecasts_whose_targets_are_known_are_kept(bundle: Path) -> None:
    data = panel()
    data.values[1, 150:] = np.nan  # this sensor stopped earlier: its last forecasts are earlier
    gallery = Gallery(data, read_manifest(bundle), 180)
    level = np.arange(180.0)
    rows = np.tile(np.arange(180), 2)
    chunk = Chunk(
        np.repeat([0, 1], 180),
        rows,
        np.zeros((360, 3)),
        np.tile(level[rows, None, None], (1, HORIZON, 3)),
    )
    gallery.add(chunk)
    kept = gallery._forecasts[:, :, 0, 0]
    assert kept.shape == (2, WINDOWS)
    assert kept[0].tolist() == [179 - HORIZON * i for i in range(WINDOWS, 0, -1)]
    assert kept[1].tolist() == [149 - HORIZON * i for i in range(WINDOWS, 0, -1)]
    assert gallery.origins.tolist() == sorted(
        {*kept[0].astype(int).tolist(), *kept[1].astype(int).tolist()}
    )


def test_chunks_may_cut_a_stream_anywhere(bundle: Path) -> None:
    data = panel()
    whole, parts = (Gallery(data, read_manifest(bundle), ROWS) for _ in range(2))
    rng = np.random.default_rng(1)
    stream, row = np.repeat([0, 1], ROWS), np.tile(np.arange(ROWS), 2)
    multi = rng.normal(size=(2 * ROWS, HORIZON, 3))
    whole.add(Chunk(stream, row, multi[:, 0], multi))
    for cut in np.array_split(rng.permutation(2 * ROWS), 17):
        parts.add(Chunk(stream[cut], row[cut], multi[cut, 0], multi[cut]))
    np.testing.assert_array_equal(whole._forecasts, parts._forecasts)
    assert not np.isnan(whole._forecasts).any()


def test_a_picture_of_a_backtest(bundle: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = tmp_path / "new" / "forecasts.png"
    data = panel(STREAMS + 1)
    plot_forecasts(path, bundle, data, Split(100, 140, ROWS), units={"s0": "°C"})
    assert path.read_bytes().startswith(PNG)
    image = imread(path)
    assert image.shape[0] > 800
    assert image.shape[1] > 1200
    blue = (image[..., 2] - image[..., 0]) > 0.3  # the medians
    assert blue.mean() > 1e-3


def test_without_matplotlib_the_extra_is_named(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eddycast.training.evaluation.plot.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"eddycast\[demo\]"):
        Gallery(panel(), read_manifest(bundle), ROWS)


def test_streams_without_forecasts_leave_their_row_empty(bundle: Path, tmp_path: Path) -> None:
    data = panel()
    data.values[1] = np.nan
    gallery = Gallery(data, read_manifest(bundle), ROWS, ["s1"])
    gallery.draw(tmp_path / "empty.png", "nothing")
    assert (tmp_path / "empty.png").read_bytes().startswith(PNG)

"""Encode columns of forecasts as JSON records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from eddycast.service.bundle import Manifest
from eddycast.service.formats.forecast_selection import Selection
from eddycast.service.records import Float64, Int64
from eddycast.service.settings.output import OutputSettings


class Encoder:
    """Encodes forecasts of one model as JSON.

    Numbers are formatted a column at a time and split again, twice as fast as document by document.
    Levels, leads and digits of the forecasts are chosen by `output` (`formats/selection.py`).
    """

    def __init__(self, manifest: Manifest, output: OutputSettings | None = None) -> None:
        """Raises SettingsError for levels or leads that the bundle does not forecast."""
        self._selected = Selection(manifest, output or OutputSettings())
        names = [_constant(target) for target in manifest.targets]
        model, quantiles = _constant(manifest.label), _constant(self._selected.quantiles)
        interval = b',"interval_ms":' + _constant(manifest.interval_ms)
        if manifest.forecast_interval_ms != manifest.interval_ms:
            interval += b',"forecast_interval_ms":' + _constant(manifest.forecast_interval_ms)
        leads = (
            b"" if self._selected.leads is None else b',"leads":' + _constant(self._selected.leads)
        )
        self._record = b"".join(
            [
                b'{"stream":%b,"timestamp":%b,"value":',
                b"%b" if len(manifest.channels) == 1 else b"[%b]",
                b',"model":' + model + interval,
                b',"quantiles":' + quantiles + b',"one_step":' + _by_target(names, b"[%b]"),
                leads + b',"multi_step":%b,"surprise":%b,"anomaly":%b,"warm":%b}',
            ]
        )
        self._multi_step = _by_target(names, b"[[%b]]")

    def encode(
        self,
        streams: Sequence[bytes],
        timestamps: Int64,
        values: Float64,
        one_step: NDArray[np.floating[Any]],
        multi_step: NDArray[np.floating[Any]] | None,
        has_multi: NDArray[np.bool_],
        surprise: NDArray[np.float32],
        anomaly: NDArray[np.float32],
        warm: NDArray[np.bool_],
    ) -> list[bytes]:
        """Return one JSON object per row; NaN and infinities become null.

        `timestamps` i64 [n], ms; `values` [n, channels]; `one_step` [n, targets, quantiles];
        `multi_step` [n, horizon, targets, quantiles] or None; `has_multi`, `surprise`, `anomaly`
        and `warm` [n]. "multi_step" is null where `has_multi` is False.
        """
        if not len(streams):
            return []
        one_step, multi_step = self._selected(one_step, multi_step)
        columns = [
            _texts(streams),
            _rows(timestamps),
            _rows(values[:, 0] if values.shape[1] == 1 else values),
            *(_rows(one_step[:, target]) for target in range(one_step.shape[1])),
            self._multi_steps(multi_step, has_multi),
            _rows(surprise),
            _rows(anomaly),
            _rows(warm),
        ]
        return [self._record % row for row in zip(*columns, strict=True)]

    def _multi_steps(
        self, multi_step: NDArray[np.floating[Any]] | None, has_multi: NDArray[np.bool_]
    ) -> list[bytes]:
        if multi_step is None or not has_multi.any():
            return [b"null"] * len(has_multi)
        present = multi_step if has_multi.all() else multi_step[has_multi]
        columns = [_rows(present[:, :, target]) for target in range(present.shape[2])]
        texts: Iterator[bytes] = (self._multi_step % row for row in zip(*columns, strict=True))
        return [next(texts) if has else b"null" for has in has_multi.tolist()]


def _rows(column: NDArray[Any]) -> list[bytes]:
    """Return the JSON of each row of [n, ...], without outer brackets; n > 0."""
    depth = column.ndim - 1
    text = orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[depth + 1 : -depth - 1].split(b"]" * depth + b"," + b"[" * depth)


def _texts(names: Sequence[bytes]) -> list[bytes]:
    """Return the JSON of each name; n > 0. Split at line feeds,
    which JSON strings never contain unescaped."""
    return orjson.dumps([name.decode() for name in names], option=orjson.OPT_INDENT_2)[4:-2].split(
        b",\n  "
    )


def _by_target(names: list[bytes], slot: bytes) -> bytes:
    """Return `slot` for a single target, else an object with a slot per name."""
    return (
        slot if len(names) == 1 else b"{" + b",".join(name + b":" + slot for name in names) + b"}"
    )


def _constant(value: object) -> bytes:
    """Return JSON escaped for a `%` template."""
    return orjson.dumps(value).replace(b"%", b"%%")

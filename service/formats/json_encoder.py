"""Encode columns of forecasts as JSON records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from eddycast.service.bundle import Manifest
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.forecast_selection import Selection
from eddycast.service.settings.output import OutputSettings

_NOTHING_EXPECTED = b'null,"error":null'


class Encoder:
    """Encodes forecasts of one model as JSON.

    Numbers are formatted a column at a time and split again, twice as fast as document by document.
    Levels, leads and digits of the forecasts are chosen by `output`
    (`formats/forecast_selection.py`).
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
                b',"expected":%b,"model":' + model + interval,
                b',"quantiles":' + quantiles + b',"one_step":' + _by_target(names, b"[%b]"),
                leads + b',"multi_step":%b,"surprise":%b,"anomaly":%b,"warm":%b}',
            ]
        )
        self._multi_step = _by_target(names, b"[[%b]]")
        self._expected = _by_target(names, b"[%b]") + b',"error":' + _by_target(names, b"%b")

    def encode(self, columns: ForecastColumns) -> list[bytes]:
        """Return one JSON object per row; NaN and infinities become null, and so does "multi_step"
        where there is none, "expected" and "error" where nothing was pending."""
        if not len(columns):
            return []
        columns = self._selected(columns)
        values, one_step = columns.values, columns.one_step
        written = [
            _texts(columns.streams),
            _rows(columns.timestamps),
            _rows(values[:, 0] if values.shape[1] == 1 else values),
            self._expected_texts(columns),
            *(_rows(one_step[:, target]) for target in range(one_step.shape[1])),
            self._multi_step_texts(columns),
            _rows(columns.surprise),
            _rows(columns.anomaly),
            _rows(columns.warm),
        ]
        return [self._record % row for row in zip(*written, strict=True)]

    def _multi_step_texts(self, columns: ForecastColumns) -> list[bytes]:
        if (multi_step := columns.multi_step) is None:
            return [b"null"] * len(columns)
        targets = [multi_step[:, :, target] for target in range(multi_step.shape[2])]
        return _texts_or(b"null", columns.has_multi, self._multi_step, targets)

    def _expected_texts(self, columns: ForecastColumns) -> list[bytes]:
        """Texts of "expected" and "error"."""
        targets = [
            column[:, target]
            for column in (columns.expected, columns.error)
            for target in range(column.shape[1])
        ]
        return _texts_or(_NOTHING_EXPECTED, columns.has_expected, self._expected, targets)


def _texts_or(
    nothing: bytes, has: NDArray[np.bool_], template: bytes, columns: Sequence[NDArray[Any]]
) -> list[bytes]:
    """Fill a template with each row of the columns [n, ...]; `nothing` where not `has` [n]."""
    if not has.any():
        return [nothing] * len(has)
    present = columns if has.all() else [column[has] for column in columns]
    texts: Iterator[bytes] = (
        template % row for row in zip(*(_rows(column) for column in present), strict=True)
    )
    return [next(texts) if there else nothing for there in has.tolist()]


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

"""Encode columns of forecasts as Avro records behind the id of their schema.

    0 (1 byte), id of the schema (4 bytes, big-endian), record (`avro_schema.py`)

as the serializers of Confluent frame them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from eddycast.service.bundle import Manifest
from eddycast.service.formats import avro_layout as layout
from eddycast.service.formats.avro_frame import FRAME
from eddycast.service.formats.avro_layout import Piece, Rows, Varints
from eddycast.service.formats.forecast_columns import ForecastColumns
from eddycast.service.formats.forecast_selection import Selection
from eddycast.service.settings.output import OutputSettings
from eddycast.service.varint import varint

_F4, _F8 = np.dtype(np.float32), np.dtype(np.float64)


class AvroEncoder:
    """Encodes forecasts of one model as Avro, a column of numbers at a time."""

    def __init__(
        self, manifest: Manifest, output: OutputSettings, number: np.dtype[Any], schema_id: int
    ) -> None:
        """`number` is the dtype of `avro_schema`, registered as `schema_id`.
        Raises SettingsError for levels or leads that the bundle does not forecast."""
        self._selected = Selection(manifest, output)
        self._manifest, self._number = manifest, number
        self._frame = FRAME.pack(0, schema_id)
        # by the size of timestamps, and with multi_step or without
        self._pieces: dict[tuple[int, bool], Piece] = {}

    def encode(self, columns: ForecastColumns) -> list[bytes]:
        """Return one record per row; NaN and infinities become null, and so does "multi_step" where
        there is none, "expected" and "error" where nothing was pending."""
        if not len(columns):
            return []
        columns = self._selected(columns)
        has_multi = columns.has_multi
        if columns.multi_step is None or not has_multi.any():
            return self._encode(columns, has_multi=False)
        if has_multi.all():
            return self._encode(columns, has_multi=True)
        records = [b""] * len(columns)
        for has in (True, False):
            which = np.flatnonzero(has_multi == has)
            for row, record in zip(
                which.tolist(), self._encode(columns.take(which), has), strict=True
            ):
                records[row] = record
        return records

    def _encode(self, columns: ForecastColumns, has_multi: bool) -> list[bytes]:
        """Encode rows that all have a multi-step forecast, or none."""
        stamps = Varints.of(columns.timestamps)
        shape = stamps.raw.shape[1], has_multi
        if (piece := self._pieces.get(shape)) is None:
            piece = self._pieces[shape] = self._laid_out(*shape)
        rows = Rows(piece, len(columns))
        rows.put_varints(stamps)
        self._put_numbers(rows, columns)
        if has_multi and columns.multi_step is not None:
            for path, target in self._targets("multi_step", "some"):
                rows.put([*path, "items", "items"], columns.multi_step[:, :, target])
        heads = {size: self._frame + varint(size) for size in set(map(len, columns.streams))}
        return [
            b"%b%b%b" % (heads[len(stream)], stream, body)
            for stream, body in zip(columns.streams, rows.cut(), strict=True)
        ]

    def _put_numbers(self, rows: Rows, columns: ForecastColumns) -> None:
        one_channel, one_target = columns.values.shape[1] == 1, columns.error.shape[1] == 1
        pending = columns.has_expected
        if one_channel:
            rows.put(["value"], columns.values[:, 0])
        else:
            rows.put(["value", "items"], columns.values)
        error = np.where(pending[:, None], columns.error, np.nan)
        for path, target in self._targets("one_step"):
            rows.put([*path, "items"], columns.one_step[:, target])
        for path, target in self._targets("expected", "some"):
            rows.put([*path, "items"], columns.expected[:, target])
        for path, target in self._targets("error", *([] if one_target else ["some"])):
            rows.put(path, error[:, target])
        rows.leave_out("expected", pending)
        if not one_target:
            rows.leave_out("error", pending)
        rows.put(["surprise"], columns.surprise)
        rows.put(["anomaly"], columns.anomaly)
        rows.put_flags("warm", columns.warm)

    def _targets(self, *path: str) -> Iterator[tuple[Sequence[str], int]]:
        """The path to each target's part of a field, and its index."""
        count = len(self._manifest.targets)
        for target in range(count):
            yield (path if count == 1 else (*path, str(target))), target

    def _laid_out(self, stamp_bytes: int, has_multi: bool) -> Piece:
        """All that follows the stream's name, with timestamps of so many bytes."""
        manifest, selected = self._manifest, self._selected
        quantiles = layout.array(layout.number(self._number), len(selected.quantiles))
        horizon = len(selected.leads or range(manifest.horizon))
        multi_step = layout.optional(self._by_target(layout.array(quantiles, horizon)))
        reading, rank = layout.number(_F8), layout.number(_F4)
        one_target = len(manifest.targets) == 1
        channels = len(manifest.channels)
        fields = {
            "timestamp": layout.constant(bytes(stamp_bytes)),
            "value": reading if channels == 1 else layout.array(reading, channels),
            "expected": layout.optional(self._by_target(quantiles)),
            "error": reading if one_target else layout.optional(self._by_target(reading)),
            "model to quantiles": layout.constant(self._constants()),
            "one_step": self._by_target(quantiles),
            "leads": layout.constant(self._leads()),
            "multi_step": multi_step if has_multi else layout.constant(b"\0"),
            "surprise": rank,
            "anomaly": rank,
            "warm": layout.flag(),
        }
        return layout.sequence(fields)

    def _by_target(self, piece: Piece) -> Piece:
        targets = self._manifest.targets
        return piece if len(targets) == 1 else layout.by_name(piece, targets)

    def _constants(self) -> bytes:
        """The fields from "model" to "quantiles"."""
        manifest, levels = self._manifest, np.array(self._selected.quantiles, "<f8")
        coarse = manifest.forecast_interval_ms
        return b"".join(
            [
                layout.text(manifest.label),
                varint(manifest.interval_ms),
                b"\0" if coarse == manifest.interval_ms else b"\2" + varint(coarse),
                varint(len(levels)) + levels.tobytes() + b"\0",
            ]
        )

    def _leads(self) -> bytes:
        if (leads := self._selected.leads) is None:
            return b"\0"
        return b"\2" + varint(len(leads)) + b"".join(map(varint, leads)) + b"\0"

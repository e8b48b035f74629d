"""Encode state rows as changelog records and decode them, in columns. No broker, clock or log.

The changelog is a compacted topic with one partition per partition of the input. Its records:

    key                value
    stream name        row: HEAD, generation, `records.ROW_PREFIX`, the model's tensors
    stream name        none: the stream was forgotten
    MARKER_KEY         marker: HEAD, generation, next offset of the input, streams, clock
    MODEL_KEY          model record (`model_record.py`): HEAD, JSON
    LAYOUT_KEY + id    layout record: HEAD, JSON with names, dtypes and shapes of a row's tensors

Rows have a fixed width, so a million of them are decoded by one call. HEAD (`record_head.py`)
identifies the writer's contract version and layout. Rows of contract version 1 have no generation
and count as generation 0. Rows of another layout are decoded tensor by tensor, given the layout
record that precedes them. A record that does not fit raises an error and is never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from eddycast.service.bundle import CONTRACT, Manifest, TensorSpec, layout_id_of
from eddycast.service.records import ROW_PREFIX, PartitionBatch
from eddycast.service.settings.time import TimeSettings
from eddycast.service.state.adoption import Generations
from eddycast.service.state.changelog_errors import (
    check_readable,
    foreign,
    not_restorable,
    open_slots,
    other_contract,
)
from eddycast.service.state.model_record import ModelRecord, Recorded
from eddycast.service.state.own_tensors import SLOT, row_specs
from eddycast.service.state.record_head import HEAD, JSON_MARK, contract_of, head_of
from eddycast.service.state.stream_time import Clock

#: First byte of keys that are not stream names: those are UTF-8, in which this byte does not occur.
_OWN: Final = b"\xff"
MARKER_KEY: Final = b"\xffmarker"
MODEL_KEY: Final = b"\xffmodel"
LAYOUT_KEY: Final = b"\xfflayout-"
#: Next offset in the marker of a partition whose rows are still being imported or seeded; no group
#: has committed it, so the partition cannot be served.
UNFINISHED: Final = -1
_GENERATION: Final = ("generation", "<u4")
_PLACE: Final = [("next_offset", "<i8"), ("streams", "<i8")]
#: Marker formats by contract version. Version 1 stored only the clock's newest stamp, 0 for none.
_MARKERS: Final = {
    1: np.dtype([("head", HEAD), *_PLACE, ("newest", "<i8")]),
    2: np.dtype([("head", HEAD), _GENERATION, *_PLACE, *((name, "<i8") for name in Clock._fields)]),
}
_SPECS, _MODEL = TypeAdapter(tuple[TensorSpec, ...]), TypeAdapter(ModelRecord)


@dataclass(frozen=True, slots=True)
class Marker:
    """The state of a partition at the commit that wrote the marker."""

    next_offset: int  # of the input
    streams: int  # number of streams that had a row
    clock: Clock
    generation: int | None = 0  # None in markers of contract version 1, which has no generations


@dataclass(frozen=True, slots=True)
class Rows:
    """The last record of each key in a batch of the changelog, in columns."""

    streams: list[bytes]
    prefix: NDArray[np.void]  # records.ROW_PREFIX [n]
    # [n, ...]; zeros where a row of another layout has no such tensor
    tensors: dict[str, NDArray[Any]]
    generations: Generations  # [n], in which each row was written
    gone: list[bytes]  # streams whose last record is a tombstone
    marker: Marker | None
    recorded: Recorded = field(default_factory=Recorded)


def is_stream(key: bytes | None) -> bool:
    """True if `key` is a stream's name, not that of a marker, model record or layout record."""
    return bool(key) and not (key or b"").startswith(_OWN)


def layout_of(model: str) -> str:
    """Return the id of a row's layout: the model's tensors (`bundle.layout_id_of`) after the
    prefix."""
    return hashlib.sha256(f"{model} {ROW_PREFIX.descr}".encode()).hexdigest()[:16]


def row_bytes(manifest: Manifest, time: TimeSettings) -> int:
    """Return the size of one stream's record in bytes, without its key."""
    return RowCodec(row_specs(manifest, time)).row_bytes


class RowCodec:
    """Encodes rows of one layout; decodes rows of every layout whose layout record it has
    decoded."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._specs = tuple(specs)
        #: Id of the layout that is written.
        self.layout = layout_of(layout_id_of(specs))
        self._row, self._head = _row_dtype(specs, CONTRACT), head_of(CONTRACT, self.layout)
        self._names = [f"state.{spec.name}" for spec in specs]
        #: Row dtypes by the head of the row.
        self._forms = {head_of(c, self.layout).tobytes(): _row_dtype(specs, c) for c in _MARKERS}

    @property
    def row_bytes(self) -> int:
        """Size of one stream's record in bytes, without its key."""
        return self._row.itemsize

    def encode(
        self, prefix: NDArray[np.void], tensors: Mapping[str, NDArray[Any]], generation: int = 0
    ) -> list[bytes]:
        """Return one value per row: `prefix` is ROW_PREFIX [n], `tensors` name -> [n, ...]."""
        rows = np.empty(len(prefix), self._row)
        rows["head"], rows["generation"], rows["prefix"] = self._head, generation, prefix
        for name in self._names:
            rows[name] = tensors[name.removeprefix("state.")]
        size, joined = self._row.itemsize, rows.tobytes()
        return [joined[start : start + size] for start in range(0, len(joined), size)]

    def encode_marker(self, marker: Marker) -> bytes:
        """Return the value of a marker record."""
        place = marker.next_offset, marker.streams
        # edits keep a changelog of contract version 1, without model records
        if marker.generation is None:
            head = head_of(1, self.layout)
            return np.array((head, *place, max(marker.clock.newest, 0)), _MARKERS[1]).tobytes()
        return np.array(
            (self._head, marker.generation, *place, *marker.clock), _MARKERS[CONTRACT]
        ).tobytes()

    def encode_model(self, model: ModelRecord) -> bytes:
        """Return the value of a model record."""
        return (
            head_of(CONTRACT, self.layout, JSON_MARK).tobytes() + model.model_dump_json().encode()
        )

    def layout_record(self) -> tuple[bytes, bytes]:
        """Return key and value of the record that describes the layout that is written."""
        text = _SPECS.dump_json(self._specs)
        return LAYOUT_KEY + self.layout.encode(), head_of(
            CONTRACT, self.layout, JSON_MARK
        ).tobytes() + text

    def decode(self, batch: PartitionBatch) -> Rows:
        """Decode the last record of each key.

        Raises StateError with the position of the first record that is damaged or of an unknown
        layout.
        """
        check_readable(batch)
        last: dict[bytes | None, int] = dict(zip(batch.keys, range(len(batch)), strict=True))
        marker, model = last.pop(MARKER_KEY, None), last.pop(MODEL_KEY, None)
        for nothing in (None, b""):
            if nothing in last:
                raise foreign(batch, last[nothing], "a record without a key")
        keys = cast(list[bytes], list(last))
        values = [batch.values[i] for i in last.values()]
        gone = (
            [key for key, value in zip(keys, values, strict=True) if value is None]
            if None in values
            else []
        )
        if gone:
            last = {key: i for key, i in last.items() if batch.values[i] is not None}
            keys, values = (
                cast(list[bytes], list(last)),
                [value for value in values if value is not None],
            )
        layouts = frozenset[str]()
        columns = self._plain(cast(list[bytes], values))
        if columns is None:
            layouts = self._describe(batch, last)
            keys, columns = cast(list[bytes], list(last)), self._mixed(batch, last)
        recorded = Recorded(layouts=layouts)
        if model is not None:
            recorded = Recorded(
                self._json(batch, model, _MODEL), int(batch.offsets[model]), layouts
            )
        return Rows(
            keys, *columns, gone, None if marker is None else self._marker(batch, marker), recorded
        )

    def _plain(self, values: list[bytes]) -> _Columns | None:
        """Decode all rows at once; None unless all are of the layout and contract that are
        written."""
        if not set(map(len, values)) <= {self._row.itemsize}:
            return None
        rows = np.frombuffer(b"".join(values), self._row)
        if not (rows["head"] == self._head).all():
            return None
        return (
            rows["prefix"],
            {name.removeprefix("state."): rows[name] for name in self._names},
            rows["generation"],
        )

    def _mixed(self, batch: PartitionBatch, last: Mapping[bytes | None, int]) -> _Columns:
        """Decode rows of several layouts or contracts, grouped by head."""
        forms: dict[bytes, list[int]] = {}
        values = cast(list[bytes], [batch.values[i] for i in last.values()])
        for n, (i, value) in enumerate(zip(last.values(), values, strict=True)):
            form = self._forms.get(value[: HEAD.itemsize])
            if form is None or len(value) != form.itemsize:
                raise not_restorable(batch, i, None if form is None else form.itemsize, self.layout)
            forms.setdefault(value[: HEAD.itemsize], []).append(n)
        prefix, generations = np.zeros(len(values), ROW_PREFIX), np.zeros(len(values), np.uint32)
        tensors = {s.name: np.zeros((len(values), *s.shape), s.dtype) for s in self._specs}
        for begins, places in forms.items():
            form = self._forms[begins]
            rows = np.frombuffer(b"".join([values[n] for n in places]), form)
            prefix[places] = rows["prefix"]
            if "generation" in _names(form):
                generations[places] = rows["generation"]
            for name, tensor in tensors.items():
                own = f"state.{name}"
                if own in _names(form) and form[own] == self._row[own]:
                    tensor[places] = rows[own]
        return prefix, tensors, generations

    def _describe(self, batch: PartitionBatch, last: dict[bytes | None, int]) -> frozenset[str]:
        """Take the layout records out of `last`, remember their layouts and return their ids."""
        own = [key for key in last if key is not None and key.startswith(_OWN)]
        places = {key: last.pop(key) for key in own}
        for key, i in places.items():
            layout = key.removeprefix(LAYOUT_KEY).decode("ascii", "replace")
            if not key.startswith(LAYOUT_KEY):
                raise foreign(batch, i, "a kind of record that this version does not support")
            specs = self._json(batch, i, _SPECS)
            # rows with another prefix are refused later
            if layout_of(layout_id_of(specs)) == layout:
                self._forms[head_of(CONTRACT, layout).tobytes()] = _row_dtype(specs, CONTRACT)
        return frozenset(key.removeprefix(LAYOUT_KEY).decode("ascii", "replace") for key in places)

    def _json(self, batch: PartitionBatch, i: int, kind: TypeAdapter[Any]) -> Any:
        value = batch.values[i] or b""
        if not value.startswith(JSON_MARK) or len(value) < HEAD.itemsize:
            raise foreign(batch, i, f"{len(value)} bytes that Eddycast did not write")
        if (contract := contract_of(value)) != CONTRACT:
            raise other_contract(batch, i, contract)
        try:
            return kind.validate_json(value[HEAD.itemsize :])
        except ValidationError as error:
            raise foreign(batch, i, f"a damaged record: {error.errors()[0]['msg']}") from error

    def _marker(self, batch: PartitionBatch, i: int) -> Marker:
        value = batch.values[i] or b""
        form = _MARKERS.get(contract_of(value)) if value[: HEAD.itemsize] in self._forms else None
        if form is None or len(value) != form.itemsize:
            raise not_restorable(batch, i, None if form is None else form.itemsize, self.layout)
        if self._loses_slots(value):
            raise open_slots(batch)
        found = np.frombuffer(value, form)[0]
        next_offset, streams = int(found["next_offset"]), int(found["streams"])
        if "generation" not in _names(form):
            newest = int(found["newest"])
            return Marker(next_offset, streams, Clock(newest, 1) if newest else Clock(), None)
        clock = Clock(*(int(found[name]) for name in Clock._fields))
        return Marker(next_offset, streams, clock, int(found["generation"]))

    def _loses_slots(self, value: bytes) -> bool:
        """True if the writer of a marker gathered readings, and this codec drops them."""
        own = f"state.{SLOT}"
        return own in _names(self._forms[value[: HEAD.itemsize]]) and own not in _names(self._row)


#: Prefix [n], tensors and generations of rows.
_Columns = tuple[NDArray[np.void], dict[str, NDArray[Any]], Generations]


def _row_dtype(specs: Sequence[TensorSpec], contract: int) -> np.dtype[Any]:
    tensors = [(f"state.{spec.name}", spec.dtype, tuple(spec.shape)) for spec in specs]
    generation = [] if contract == 1 else [_GENERATION]
    return np.dtype([("head", HEAD), *generation, ("prefix", ROW_PREFIX), *tensors])


def _names(form: np.dtype[Any]) -> tuple[str, ...]:
    return form.names or ()

"""A stream's row as a record of the changelog, and back. Whole columns both ways; no broker, clock or log.

The changelog is a compacted topic with a partition for each of the input's. Its records are

    key a stream's name      value a row: HEAD, the generation, then `records.PREFIX`, then the model's tensors
    key a stream's name      no value: the stream was forgotten
    key MARKER_KEY           value a marker: HEAD, the generation, then how far the input was done when it was written
    key MODEL_KEY            value a model record (`service/state/adoption.py`): HEAD, then JSON
    key LAYOUT_KEY, an id    value a layout record: HEAD, then JSON: names, types and shapes of all that rows of it hold

A row is of fixed width, so a million of them are read by one call. HEAD says whose bytes they are: a mark, the
contract's version, and the layout that wrote them. Rows of contract version 1 have no generation: they are of
generation 0. Rows of another layout are read tensor by tensor, once its layout record was seen, which stands before
them. What does not fit is named and never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from service.bundle import CONTRACT, Manifest, TensorSpec, layout_id_of
from service.errors import StateError
from service.records import PREFIX, PartitionBatch
from service.state.adoption import Generations, ModelRecord, Recorded
from service.stream_time import Clock

#: Begins the keys of records that are no rows. Names of streams are UTF-8, in which this byte does not occur.
_OWN: Final = b"\xff"
MARKER_KEY: Final = b"\xffmarker"
MODEL_KEY: Final = b"\xffmodel"
LAYOUT_KEY: Final = b"\xfflayout-"
#: Begins a row or a marker; a record of JSON.
MARK: Final = b"EDDY"
JSON_MARK: Final = b"EDDJ"
HEAD: Final = np.dtype([("mark", "S4"), ("contract", "<u2"), ("layout", "S16")])
_GENERATION: Final = ("generation", "<u4")
_PLACE: Final = [("next_offset", "<i8"), ("streams", "<i8")]
#: By the contract's version. Version 1 knew of a partition's clock its newest stamp alone, 0 where there was none.
_MARKERS: Final = {
    1: np.dtype([("head", HEAD), *_PLACE, ("newest", "<i8")]),
    2: np.dtype([("head", HEAD), _GENERATION, *_PLACE, *((name, "<i8") for name in Clock._fields)]),
}
_ANEW = "begin anew with another changelog topic and group"
_SPECS, _MODEL = TypeAdapter(tuple[TensorSpec, ...]), TypeAdapter(ModelRecord)


@dataclass(frozen=True, slots=True)
class Marker:
    """What the commit that wrote a partition's rows says of it."""

    next_offset: int  # of the input
    streams: int  # that had a row then
    clock: Clock  # the partition's time
    generation: int | None = 0  # under which it was written; None = before there were any


@dataclass(frozen=True, slots=True)
class Rows:
    """The last word on each stream in a batch of the changelog, in columns; and on the partition."""

    streams: list[bytes]
    prefix: NDArray[np.void]  # records.PREFIX [n]
    tensors: dict[str, NDArray[Any]]  # [n, ...]; zeros where a row of another layout has no such tensor
    generations: Generations  # [n], under which each was written
    gone: list[bytes]
    marker: Marker | None
    recorded: Recorded = field(default_factory=Recorded)


def is_stream(key: bytes | None) -> bool:
    """Whether a record of this key is about a stream, and not about the partition."""
    return bool(key) and not (key or b"").startswith(_OWN)


def layout_of(model: str) -> str:
    """Names the shape of a stored row: the layout of the model's part (`layout_id_of`) and our own prefix."""
    return hashlib.sha256(f"{model} {PREFIX.descr}".encode()).hexdigest()[:16]


def row_bytes(manifest: Manifest) -> int:
    """Bytes of one stream's record, without its key."""
    return RowCodec(manifest.state).row_bytes


class RowCodec:
    """Writes rows of one layout; reads those of every layout whose record it has seen."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._specs = tuple(specs)
        #: Names the shape of a row.
        self.layout = layout_of(layout_id_of(specs))
        self._row, self._head = _row_dtype(specs, CONTRACT), _head(CONTRACT, self.layout)
        self._names = [f"state.{spec.name}" for spec in specs]
        #: The form of rows by the bytes that they begin with.
        self._forms = {_head(c, self.layout).tobytes(): _row_dtype(specs, c) for c in _MARKERS}

    @property
    def row_bytes(self) -> int:
        """Bytes of one stream's record, without its key."""
        return self._row.itemsize

    def encode(self, prefix: NDArray[np.void], tensors: Mapping[str, NDArray[Any]], generation: int = 0) -> list[bytes]:
        """A value for each row: `prefix` PREFIX [n], `tensors` name -> [n, ...]."""
        rows = np.empty(len(prefix), self._row)
        rows["head"], rows["generation"], rows["prefix"] = self._head, generation, prefix
        for name in self._names:
            rows[name] = tensors[name.removeprefix("state.")]
        size, joined = self._row.itemsize, rows.tobytes()
        return [joined[start : start + size] for start in range(0, len(joined), size)]

    def encode_marker(self, marker: Marker) -> bytes:
        """The marker's value."""
        place = marker.next_offset, marker.streams
        if marker.generation is None:  # an edit of a changelog of version 1, which goes on without a model record
            head = _head(1, self.layout)
            return np.array((head, *place, max(marker.clock.newest, 0)), _MARKERS[1]).tobytes()
        return np.array((self._head, marker.generation, *place, *marker.clock), _MARKERS[CONTRACT]).tobytes()

    def encode_model(self, model: ModelRecord) -> bytes:
        """A model record's value."""
        return _head(CONTRACT, self.layout, JSON_MARK).tobytes() + model.model_dump_json().encode()

    def layout_record(self) -> tuple[bytes, bytes]:
        """Key and value of the record that describes the layout written."""
        text = _SPECS.dump_json(self._specs)
        return LAYOUT_KEY + self.layout.encode(), _head(CONTRACT, self.layout, JSON_MARK).tobytes() + text

    def decode(self, batch: PartitionBatch) -> Rows:
        """The last record of each key. Raises StateError naming the first that neither this layout wrote nor one that
        was described."""
        check_readable(batch)
        last: dict[bytes | None, int] = dict(zip(batch.keys, range(len(batch)), strict=True))
        marker, model = last.pop(MARKER_KEY, None), last.pop(MODEL_KEY, None)
        for nothing in (None, b""):
            if nothing in last:
                raise _foreign(batch, last[nothing], "a record without a key")
        keys = cast(list[bytes], list(last))
        said = [batch.values[i] for i in last.values()]
        gone = [key for key, value in zip(keys, said, strict=True) if value is None] if None in said else []
        if gone:
            last = {key: i for key, i in last.items() if batch.values[i] is not None}
            keys, said = cast(list[bytes], list(last)), [value for value in said if value is not None]
        layouts = frozenset[str]()
        columns = self._plain(cast(list[bytes], said))
        if columns is None:
            layouts = self._describe(batch, last)
            keys, columns = cast(list[bytes], list(last)), self._mixed(batch, last)
        recorded = Recorded(layouts=layouts)
        if model is not None:
            recorded = Recorded(self._json(batch, model, _MODEL), int(batch.offsets[model]), layouts)
        return Rows(keys, *columns, gone, None if marker is None else self._marker(batch, marker), recorded)

    def _plain(self, values: list[bytes]) -> _Columns | None:
        """All rows at once, if all are of the layout and contract that are written."""
        if not set(map(len, values)) <= {self._row.itemsize}:
            return None
        rows = np.frombuffer(b"".join(values), self._row)
        if not (rows["head"] == self._head).all():
            return None
        return rows["prefix"], {name.removeprefix("state."): rows[name] for name in self._names}, rows["generation"]

    def _mixed(self, batch: PartitionBatch, last: Mapping[bytes | None, int]) -> _Columns:
        """Rows of several layouts or contracts, those of one form together."""
        forms: dict[bytes, list[int]] = {}
        values = cast(list[bytes], [batch.values[i] for i in last.values()])
        for n, (i, value) in enumerate(zip(last.values(), values, strict=True)):
            form = self._forms.get(value[: HEAD.itemsize])
            if form is None or len(value) != form.itemsize:
                raise self._refusal(batch, i, value, None if form is None else form.itemsize)
            forms.setdefault(value[: HEAD.itemsize], []).append(n)
        prefix, generations = np.zeros(len(values), PREFIX), np.zeros(len(values), np.uint32)
        tensors = {s.name: np.zeros((len(values), *s.shape), s.dtype) for s in self._specs}
        for head, where in forms.items():
            form = self._forms[head]
            rows = np.frombuffer(b"".join([values[n] for n in where]), form)
            prefix[where] = rows["prefix"]
            if "generation" in _names(form):
                generations[where] = rows["generation"]
            for name, tensor in tensors.items():
                own = f"state.{name}"
                if own in _names(form) and form[own] == self._row[own]:
                    tensor[where] = rows[own]
        return prefix, tensors, generations

    def _describe(self, batch: PartitionBatch, last: dict[bytes | None, int]) -> frozenset[str]:
        """Take layout records out of `last` and learn what they describe; their ids."""
        own = [key for key in last if key is not None and key.startswith(_OWN)]
        places = {key: last.pop(key) for key in own}
        for key, i in places.items():
            layout = key.removeprefix(LAYOUT_KEY).decode("ascii", "replace")
            if not key.startswith(LAYOUT_KEY):
                raise _foreign(batch, i, "a record of a kind that this version does not know")
            specs = self._json(batch, i, _SPECS)
            if layout_of(layout_id_of(specs)) == layout:  # of another prefix: its rows will be refused
                self._forms[_head(CONTRACT, layout).tobytes()] = _row_dtype(specs, CONTRACT)
        return frozenset(key.removeprefix(LAYOUT_KEY).decode("ascii", "replace") for key in places)

    def _json(self, batch: PartitionBatch, i: int, kind: TypeAdapter[Any]) -> Any:
        value = batch.values[i] or b""
        if not value.startswith(JSON_MARK) or len(value) < HEAD.itemsize:
            raise _foreign(batch, i, f"{len(value)} bytes that Eddycast did not write")
        if (contract := _contract(value)) != CONTRACT:
            raise _other_contract(batch, i, contract)
        try:
            return kind.validate_json(value[HEAD.itemsize :])
        except ValidationError as error:
            raise _foreign(batch, i, f"a damaged record: {error.errors()[0]['msg']}") from error

    def _marker(self, batch: PartitionBatch, i: int) -> Marker:
        value = batch.values[i] or b""
        form = _MARKERS.get(_contract(value)) if value[: HEAD.itemsize] in self._forms else None
        if form is None or len(value) != form.itemsize:
            raise self._refusal(batch, i, value, None if form is None else form.itemsize)
        found = np.frombuffer(value, form)[0]
        next_offset, streams = int(found["next_offset"]), int(found["streams"])
        if "generation" not in _names(form):
            newest = int(found["newest"])
            return Marker(next_offset, streams, Clock(newest, 1) if newest else Clock(), None)
        clock = Clock(*(int(found[name]) for name in Clock._fields))
        return Marker(next_offset, streams, clock, int(found["generation"]))

    def _refusal(self, batch: PartitionBatch, i: int, value: bytes, size: int | None) -> StateError:
        """Why this is no row or marker that can be read; `size` is what it should have."""
        if len(value) < HEAD.itemsize or not value.startswith(MARK):
            return _foreign(batch, i, f"{len(value)} bytes that Eddycast did not write")
        if (contract := _contract(value)) not in _MARKERS:
            return _other_contract(batch, i, contract)
        if size is None:
            layout = np.frombuffer(value[: HEAD.itemsize], HEAD)[0]["layout"].decode("ascii", "replace")
            what = f"rows of layout {layout}, and the bundle's rows have layout {self.layout}"
            return StateError(f"{_where(batch, i)}: {what}", f"serve the bundle that wrote them; or {_ANEW}")
        return _foreign(batch, i, f"a torn record: {len(value)} bytes of {size}")


#: Prefix [n], tensors and generations of rows.
_Columns = tuple[NDArray[np.void], dict[str, NDArray[Any]], Generations]


def _row_dtype(specs: Sequence[TensorSpec], contract: int) -> np.dtype[Any]:
    tensors = [(f"state.{spec.name}", spec.dtype, tuple(spec.shape)) for spec in specs]
    generation = [] if contract == 1 else [_GENERATION]
    return np.dtype([("head", HEAD), *generation, ("prefix", PREFIX), *tensors])


def _names(form: np.dtype[Any]) -> tuple[str, ...]:
    return form.names or ()


def _head(contract: int, layout: str, mark: bytes = MARK) -> NDArray[np.void]:
    return np.array((mark, contract, layout.encode()), HEAD)


def _contract(value: bytes) -> int:
    return int.from_bytes(value[4:6], "little")


def _other_contract(batch: PartitionBatch, i: int, contract: int) -> StateError:
    what = f"contract version {contract}, and this service knows {CONTRACT}"
    return StateError(f"{_where(batch, i)}: {what}", "serve it with the version of Eddycast that wrote it")


def _foreign(batch: PartitionBatch, i: int, what: str) -> StateError:
    return StateError(f"{_where(batch, i)}: {what}", _ANEW)


def check_readable(batch: PartitionBatch) -> None:
    """Raise StateError if a record batch of the changelog cannot be read: rows are in it, or their removal."""
    for damage in batch.damaged.values():
        what = f"{batch.topic} partition {batch.partition}: {damage.reason}"
        raise StateError(what, f"raise kafka.unpacked_bytes if that is why; else {_ANEW}")


def _where(batch: PartitionBatch, i: int) -> str:
    return f"{batch.topic} partition {batch.partition} offset {int(batch.offsets[i])} key {batch.keys[i]!r}"

"""Records of the forecasts topic as columns, by shape. No clock and no broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from eddycast.service.formats.avro_frame import FRAMED
from eddycast.service.formats.avro_reader import AvroReader
from eddycast.service.formats.schemas import NO_SCHEMAS, SchemaOf
from eddycast.service.monitor.shape import Shape, checked
from eddycast.service.records import LAST_TIMESTAMP, Float64, Int64, PartitionBatch

#: Fields of a record that are objects by target where there are several.
_OF_A_TARGET = ("expected", "error", "one_step", "multi_step")
#: (targets, channels, index of the target) -> index of its channel in the record, None = unknown.
ChannelOf = Callable[[Sequence[str], int, int], int | None]


class Series(NamedTuple):
    """One target of one stream; `target` is "" where the model has a single one."""

    stream: str
    target: str


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Forecasts of one shape, in topic order by partition."""

    series: list[Series]
    stamps: Int64  # of the readings that made the forecasts, ms
    values: Float64  # those readings; NaN = missing, or not known to belong to the target
    expected: Float64  # [n, quantiles], of those readings; NaN where the record has nothing
    errors: Float64  # the readings minus the median of `expected`
    one_step: Float64  # [n, quantiles]
    fans: Float64  # [n, leads, quantiles]; NaN where the record has no multi-step forecast
    surprise: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    warm: NDArray[np.bool_]
    models: list[str]
    times: Int64  # broker time of each record, ms

    def __len__(self) -> int:
        return len(self.series)

    def take(self, which: NDArray[np.intp]) -> Forecasts:
        """The forecasts with these indexes."""
        indexes = which.tolist()
        return Forecasts(
            [self.series[i] for i in indexes],
            self.stamps[which],
            self.values[which],
            self.expected[which],
            self.errors[which],
            self.one_step[which],
            self.fans[which],
            self.surprise[which],
            self.anomaly[which],
            self.warm[which],
            [self.models[i] for i in indexes],
            self.times[which],
        )


@dataclass(slots=True)
class Decoded:
    """Contents of one poll."""

    groups: dict[Shape, Forecasts] = field(default_factory=dict)
    records: int = 0
    unreadable: int = 0  # records that are no forecasts


class _Row(NamedTuple):
    """One target of one record, not converted yet."""

    series: Series
    stamp: int
    value: float | None
    expected: list[float | None] | None
    error: float | None
    one_step: list[float | None]
    fan: list[list[float | None]] | None
    surprise: float | None
    anomaly: float | None
    warm: bool
    model: str
    time: int


class Decoder:
    """Decodes records; remembers the leads of a model for records without multi-step forecast."""

    def __init__(self, channel_of: ChannelOf, schema_of: SchemaOf = NO_SCHEMAS.schema_of) -> None:
        """`schema_of` returns schemas of Avro records by their ids."""
        self._channel_of, self._avro = channel_of, AvroReader(schema_of)
        self._leads: dict[tuple[object, ...], tuple[int, ...]] = {}

    def decode(self, batches: Iterable[PartitionBatch]) -> Decoded:
        """Columns of all forecasts in `batches`. Tombstones are passed over. Raises what the
        schema registry raises, SettingsError if there is none, MissingExtra."""
        done, rows = Decoded(), dict[Shape, list[_Row]]()
        for batch in batches:
            done.records += len(batch)
            for value, time in zip(batch.values, batch.timestamps.tolist(), strict=True):
                if value is None:
                    continue
                try:
                    shape, found = self._read(self._document(value), time)
                except (KeyError, TypeError, ValueError, IndexError):
                    done.unreadable += 1
                    continue
                rows.setdefault(shape, []).extend(found)
        for shape, found in rows.items():
            columns, refused = _columns(shape, found)
            done.unreadable += refused
            if columns is not None:
                done.groups[shape] = columns
        return done

    def _document(self, value: bytes) -> Any:
        """Raises ValueError for bytes that are neither JSON nor Avro."""
        return self._avro.read(value) if value.startswith(FRAMED) else orjson.loads(value)

    def _read(self, record: dict[str, Any], time: int) -> tuple[Shape, list[_Row]]:
        """Raises KeyError, TypeError or ValueError for a record that is no forecast."""
        if type(record["timestamp"]) is not int or not 0 <= record["timestamp"] <= LAST_TIMESTAMP:
            raise ValueError("a timestamp is ms since the epoch")
        shape = self._shape(record, record["multi_step"])
        found = []
        for target, value in self._readings(record["one_step"], record["value"]):
            own: list[Any] = [
                field[target] if target and field is not None else field
                for field in map(record.get, _OF_A_TARGET)
            ]
            expected, error, one_step, fan = own
            found.append(
                _Row(
                    Series(record["stream"], target), record["timestamp"], value, expected, error,
                    one_step, fan, record["surprise"], record["anomaly"], record["warm"] is True,
                    record["model"], time,
                )
            )  # fmt: skip
        return shape, found

    def _shape(self, record: dict[str, Any], fan: Any) -> Shape:
        interval = record["interval_ms"]
        between_leads = record.get("forecast_interval_ms")
        head = (
            interval,
            interval if between_leads is None else between_leads,
            tuple(record["quantiles"]),
        )
        if fan is None:
            return checked(Shape(*head, self._leads.get(head, ())))
        rows = next(iter(fan.values())) if isinstance(fan, dict) else fan
        named = record.get("leads")
        leads = tuple(range(1, len(rows) + 1)) if named is None else tuple(named)
        if self._leads.get(head) != leads:
            if not leads:
                raise ValueError("a multi-step forecast has a lead")
            checked(Shape(*head, leads))
            self._leads[head] = leads
        return Shape(*head, leads)

    def _readings(self, one_step: Any, value: Any) -> Iterator[tuple[str, float | None]]:
        """Name and reading of each target."""
        if isinstance(one_step, list) and not isinstance(value, list):
            yield "", value
            return
        channels = value if isinstance(value, list) else [value]
        targets = list(one_step) if isinstance(one_step, dict) else [""]
        for index, target in enumerate(targets):
            channel = self._channel_of(targets, len(channels), index)
            yield target, None if channel is None else channels[channel]


def _columns(shape: Shape, rows: list[_Row]) -> tuple[Forecasts | None, int]:
    """Rows as columns, and the number of rows that cannot be converted."""
    try:
        return _converted(shape, rows), 0
    except (ValueError, TypeError, OverflowError):
        if len(rows) == 1:
            return None, 1
    good = [row for row in rows if _columns(shape, [row])[1] == 0]
    return (_converted(shape, good) if good else None), len(rows) - len(good)


def _converted(shape: Shape, rows: list[_Row]) -> Forecasts:
    columns: Any = _Row._make(zip(*rows, strict=True))
    texts = [text for pair in columns.series for text in pair]
    if not all(isinstance(text, str) for text in [*texts, *columns.model]):
        raise TypeError("the names of a stream and of a model are texts")
    n, levels = len(rows), len(shape.quantiles)
    none = [None] * levels
    return Forecasts(
        list(columns.series),
        np.array(columns.stamp, np.int64),
        np.array(columns.value, np.float64),
        _array(_filled(columns.expected, none), (n, levels)),
        np.array(columns.error, np.float64),
        _array(columns.one_step, (n, levels)),
        _array(_filled(columns.fan, [none] * len(shape.leads)), (n, len(shape.leads), levels)),
        np.array(columns.surprise, np.float32),
        np.array(columns.anomaly, np.float32),
        np.array(columns.warm, np.bool_),
        list(columns.model),
        np.array(columns.time, np.int64),
    )


def _filled(column: Sequence[Any], empty: list[Any]) -> list[Any]:
    return [empty if entry is None else entry for entry in column]


def _array(numbers: Sequence[Any], shape: tuple[int, ...]) -> Float64:
    """Nested lists as an array. Raises ValueError unless they have this shape."""
    array = np.array(numbers, np.float64)
    if array.shape != shape and array.size:
        raise ValueError("as many numbers as quantile levels and leads")
    return array.reshape(shape)


def by_position(targets: Sequence[str], channels: int, index: int) -> int | None:
    """Channel of a target where each channel is a target, else None; implements ChannelOf."""
    return index if len(targets) == channels else None

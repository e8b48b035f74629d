"""Records of a topic as rows of the archive, whole batches at a time: the port, and the rows of
observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from eddycast.service.formats.json_decoder import tombstones
from eddycast.service.formats.schemas import NO_SCHEMAS, Schemas
from eddycast.service.processing.decoding import decode_without, decoder_for
from eddycast.service.records import Observations, PartitionBatch
from eddycast.service.settings.settings import Settings
from eddycast.service.state.stream_time import Clock, with_record_time

STAMP: Final = pl.Datetime("ms", "UTC")
#: A row for each channel of each reading, the channels of a reading one after the other.
OBSERVATIONS: Final = pl.Schema(
    {
        "stream": pl.String(),
        "timestamp": STAMP,
        "channel": pl.UInt16(),
        "value": pl.Float64(),  # null = missing
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "record_time": STAMP,
    }
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of some records, and the number of records and readings that have none."""

    frame: pl.DataFrame
    records: int
    unreadable: int
    passed_over: int
    tombstones: int
    clock: Clock  # after the records


class Reading(Protocol):
    """Converts the records of a topic; a file covers `block` offsets."""

    @property
    def block(self) -> int: ...
    @property
    def empty(self) -> pl.DataFrame:
        """A frame of the columns of `rows`, without rows."""

    def rows(self, batch: PartitionBatch, clock: Clock) -> Rows:
        """The rows of a batch; `clock` is the partition's clock before it."""


class ObservationRows:
    """Rows of the input topic, read as `eddycast serve` reads it: by the same decoder and
    mapping. Codes for a missing value stay, because they belong to a bundle."""

    block = 100_000

    def __init__(self, settings: Settings, channels: int, schemas: Schemas = NO_SCHEMAS) -> None:
        """`schemas` has those of Avro records.
        Raises SettingsError if the mapping does not fit the number of channels."""
        self._decoder = decoder_for(settings, channels, schemas)
        self.channels = channels

    @property
    def empty(self) -> pl.DataFrame:
        """See `Reading`."""
        return pl.DataFrame(schema=OBSERVATIONS)

    def rows(self, batch: PartitionBatch, clock: Clock) -> Rows:
        """See `Reading`."""
        removals = tombstones(batch)
        latest = self._decoder.latest(batch, clock)
        decoded = decode_without(self._decoder, batch, batch.damaged, latest, removals)
        return Rows(
            frame_of(decoded.observations),
            len(batch),
            len(decoded.letters),
            len(decoded.filtered),
            len(removals),
            with_record_time(clock, batch),
        )


def frame_of(observations: Observations) -> pl.DataFrame:
    """Observations as rows of OBSERVATIONS."""
    readings, channels = observations.values.shape
    return pl.DataFrame(
        {
            "stream": pl.Series(observations.streams, dtype=pl.Binary)
            .cast(pl.String)
            .gather(np.repeat(np.arange(readings), channels)),
            "timestamp": _repeated(observations.timestamps, channels).cast(STAMP),
            "channel": pl.Series(np.tile(np.arange(channels, dtype=np.uint16), readings)),
            "value": pl.Series(observations.values.reshape(-1)).fill_nan(None),
            "partition": pl.Series(np.full(readings * channels, observations.partition, np.int32)),
            "offset": _repeated(observations.offsets, channels),
            "record_time": _repeated(observations.record_times, channels).cast(STAMP),
        },
        schema=OBSERVATIONS,
    )


def _repeated(column: np.ndarray[tuple[int], np.dtype[np.int64]], times: int) -> pl.Series:
    return pl.Series(np.repeat(column, times))

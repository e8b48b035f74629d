"""Describe one stream's row for people: `eddycast state show`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddycast.service.broker.port import Broker
from eddycast.service.bundle import Manifest, TensorSpec
from eddycast.service.errors import StateError
from eddycast.service.migration.export import no_changelog
from eddycast.service.migration.snapshot import Snapshot, snapshots
from eddycast.service.settings.settings import Settings
from eddycast.service.state.adoption import Adoption
from eddycast.service.state.changelog import RowCodec
from eddycast.service.state.model_record import initial_record
from eddycast.service.state.own_tensors import row_specs

#: Maximum number of names compared with a misspelt one, because comparing is slow.
_COMPARED = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def describe(broker: Broker, settings: Settings, manifest: Manifest, stream: str) -> dict[str, Any]:
    """Return a stream's row as of the last commit, in plain types.

    Raises StateError for a stream without a row, suggesting similar names, and for a row that the
    bundle cannot use; TopicMissing, BrokerUnavailable.
    """
    name, key = settings.changelog, stream.encode()
    with broker.admin() as admin:
        count = admin.partitions(name)
    if count is None:
        raise no_changelog(name)
    known: list[bytes] = []
    with broker.reader(name) as reader:
        for snapshot in snapshots(reader, name, range(count), settings.waits.transactions_s):
            streams = snapshot.streams
            if key in streams:
                return _described(snapshot, key, manifest, row_specs(manifest, settings.time))
            known += streams
    raise unknown_stream(name, stream, known, count)


def unknown_stream(name: str, stream: str, known: Sequence[bytes], partitions: int) -> StateError:
    """Return the error for a stream without a row, with similar names."""
    compared = [other.decode() for other in islice(known, _COMPARED)]
    near = difflib.get_close_matches(stream, compared, n=3)
    what = (
        f"{name} has no row of {stream!r}; it has {len(known)} streams in {partitions} partitions"
    )
    return StateError(
        what, f"did you mean {' or '.join(near)}?" if near else "silent streams are removed"
    )


def _described(
    snapshot: Snapshot, key: bytes, manifest: Manifest, specs: Sequence[TensorSpec]
) -> dict[str, Any]:
    codec = RowCodec(specs)
    adoption = Adoption(initial_record(manifest, codec.layout), bool(manifest.parts))
    rows = snapshot.one(key, codec)
    prefix, marker, generation = rows.prefix[0], rows.marker, int(rows.generations[0])
    adopted = adoption.adopt(f"partition {snapshot.partition}", rows.recorded, marker).model
    slot_ms = int(prefix["last_slot"]) * manifest.interval_ms
    return {
        "stream": key.decode(),
        "changelog": snapshot.records.topic,
        "partition": snapshot.partition,
        "offset": snapshot.offset(key),
        "model": manifest.label if rows.recorded.model is None else rows.recorded.model.model,
        "generation": generation,
        "bundle": manifest.label,
        "kept": [part.name for part in adopted.parts if generation >= part.since],
        "from_zeros": [part.name for part in adopted.parts if generation < part.since],
        "observations": int(prefix["observations"]),
        "last_slot": int(prefix["last_slot"]),
        "last_slot_time": _iso(slot_ms),
        "last_timestamp": int(prefix["last_timestamp"]),
        "last_time": _iso(int(prefix["last_timestamp"])),
        "phase_ms": float(prefix["phase"]),
        "late_run": int(prefix["late_run"]),
        "tensors": [_tensor(spec.name, rows.tensors[spec.name][0]) for spec in specs],
        "marker": None
        if marker is None
        else {
            "generation": marker.generation,
            "next_offset": marker.next_offset,
            "streams": marker.streams,
            "newest": marker.clock.newest,
            "newest_time": _iso(marker.clock.newest),
        },
    }


def _tensor(name: str, values: NDArray[Any]) -> dict[str, Any]:
    """Describe a tensor; `norm` is that of its finite entries."""
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    return {
        "name": name,
        "dtype": str(values.dtype),
        "shape": list(values.shape),
        "norm": float(np.linalg.norm(numbers[finite])),
        "nonfinite": int((~finite).sum()),
    }


def _iso(stamp_ms: int) -> str | None:
    """Format ms since the epoch as ISO 8601; None for stamps outside the calendar's range."""
    try:
        return (
            (_EPOCH + timedelta(milliseconds=stamp_ms))
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z")
        )
    except OverflowError:
        return None

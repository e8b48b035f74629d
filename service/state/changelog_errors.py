"""Errors about records of the changelog that cannot be restored."""

from __future__ import annotations

from eddycast.service.bundle import CONTRACT
from eddycast.service.errors import StateError
from eddycast.service.records import PartitionBatch
from eddycast.service.state.record_head import HEAD, MARK, contract_of, layout_in

_START_OVER = "start over with another changelog topic and group"


def check_readable(batch: PartitionBatch) -> None:
    """Raise StateError if a record batch of the changelog cannot be read:
    rows or tombstones would be lost with it."""
    for damage in batch.damaged.values():
        what = f"{batch.topic} partition {batch.partition}: {damage.reason}"
        raise StateError(
            what, f"raise kafka.unpacked_bytes if that is the reason; otherwise {_START_OVER}"
        )


def not_restorable(batch: PartitionBatch, i: int, size: int | None, layout: str) -> StateError:
    """The error for record `i`, which is neither a row nor a marker of the bundle's `layout`.

    `size` is the length in bytes that its layout calls for; None where the layout is unknown.
    """
    value = batch.values[i] or b""
    if len(value) < HEAD.itemsize or not value.startswith(MARK):
        return foreign(batch, i, f"{len(value)} bytes that Eddycast did not write")
    if not 1 <= (contract := contract_of(value)) <= CONTRACT:
        return other_contract(batch, i, contract)
    if size is None:
        what = f"a row of layout {layout_in(value)}; rows of this bundle have layout {layout}"
        return StateError(
            f"{_where(batch, i)}: {what}", f"serve the bundle that wrote it; or {_START_OVER}"
        )
    return foreign(batch, i, f"a truncated record: {len(value)} of {size} bytes")


def open_slots(batch: PartitionBatch) -> StateError:
    """The error for rows that hold open slots where the settings have no place for them."""
    what = f"{batch.topic} partition {batch.partition}: rows hold slots that are open"
    return StateError(
        f"{what}, and time.aggregate is first",
        "set time.aggregate as before; without it, the group has to be a new one "
        "(eddycast state export and import leave open slots behind)",
    )


def other_contract(batch: PartitionBatch, i: int, contract: int) -> StateError:
    """The error for record `i`, written under a contract version that this service does not
    support."""
    what = f"contract version {contract}; this service supports versions up to {CONTRACT}"
    return StateError(
        f"{_where(batch, i)}: {what}", "serve it with the version of Eddycast that wrote it"
    )


def foreign(batch: PartitionBatch, i: int, what: str) -> StateError:
    """The error for record `i`, which cannot be used whatever bundle is served."""
    return StateError(f"{_where(batch, i)}: {what}", _START_OVER)


def _where(batch: PartitionBatch, i: int) -> str:
    return (
        f"{batch.topic} partition {batch.partition} offset "
        f"{int(batch.offsets[i])} key {batch.keys[i]!r}"
    )

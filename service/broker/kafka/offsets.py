"""Committed offsets of a group: one request for all partitions, with an answer for each.

The client's own call fails for all partitions while a transaction holds the offset of one of them,
and may later return an outdated answer to a repeated call (kafka-python 3.0,
`fetch_committed_offsets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka import errors as vendor
from kafka.protocol.consumer import OffsetFetchRequest
from kafka.util import Timer

#: First version that reports offsets held by a transaction, and first one for several groups.
_STABLE, _GROUPS = 7, 8


async def stored_offsets(
    coordinator: Any, topic: str, partitions: Sequence[int], timeout_ms: int
) -> dict[int, int | None]:
    """Next offset of each partition, None where none is stored;
    without those held by an open transaction.

    Runs on the client's event loop. Raises the client's errors,
    KafkaTimeoutError without an answer in time.
    """
    timer = Timer(timeout_ms)
    if not await coordinator.ensure_coordinator_ready_async(timeout_ms=timeout_ms):
        raise vendor.KafkaTimeoutError(f"the group's coordinator was not found in {timeout_ms} ms")
    node, request = (
        coordinator.coordinator(),
        _request(coordinator.group_id, topic, list(partitions)),
    )
    try:
        sent = coordinator._manager.send(request, node_id=node)
        response = await coordinator._manager.wait_for(sent, timer.timeout_ms)
    except vendor.KafkaTimeoutError:
        raise
    except vendor.KafkaError as error:
        coordinator._failed_request(node, request, error)
        raise
    answer = response.groups[0] if response.API_VERSION >= _GROUPS else response
    _check(coordinator, answer.error_code)
    return _decided(coordinator, [found for one in answer.topics for found in one.partitions])


def _request(group: str, topic: str, partitions: list[int]) -> Any:
    """A request filled in for both forms, with and without several groups."""
    form = OffsetFetchRequest.OffsetFetchRequestGroup
    return OffsetFetchRequest(
        group_id=group,
        topics=[
            OffsetFetchRequest.OffsetFetchRequestTopic(name=topic, partition_indexes=partitions)
        ],
        groups=[
            form(
                group_id=group,
                topics=[form.OffsetFetchRequestTopics(name=topic, partition_indexes=partitions)],
            )
        ],
        require_stable=True,
        min_version=_STABLE,
        max_version=_GROUPS,
    )


def _decided(coordinator: Any, answers: Sequence[Any]) -> dict[int, int | None]:
    offsets: dict[int, int | None] = {}
    for found in answers:
        if found.error_code != vendor.UnstableOffsetCommitError.errno:
            _check(coordinator, found.error_code)
            offsets[found.partition_index] = (
                found.committed_offset if found.committed_offset >= 0 else None
            )
    return offsets


def _check(coordinator: Any, code: int) -> None:
    """Raise the error of a code; the coordinator is looked up again if the node is not the group's
    coordinator."""
    kind = vendor.for_code(code)
    if kind is vendor.NotCoordinatorError:
        coordinator.coordinator_dead(kind())
    if kind is not vendor.NoError:
        raise kind()

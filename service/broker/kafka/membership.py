"""Confirmation of a membership by one heartbeat to the group's coordinator."""

from __future__ import annotations

import math
import time
from typing import Any

from kafka import errors as vendor
from kafka.protocol.consumer import HeartbeatRequest
from kafka.structs import ConsumerGroupMetadata

#: The coordinator checks member and generation before it answers that a rebalance is in progress.
_CONFIRMS = (vendor.NoError.errno, vendor.RebalanceInProgressError.errno)


async def is_confirmed(
    coordinator: Any, membership: ConsumerGroupMetadata, timeout_ms: int
) -> bool:
    """True if the coordinator knows this member and generation. Runs on the client's event loop.

    Raises the client's errors, KafkaTimeoutError without an answer in time.
    """
    if not await coordinator.ensure_coordinator_ready_async(timeout_ms=timeout_ms):
        raise vendor.KafkaTimeoutError(f"the group's coordinator was not found in {timeout_ms} ms")
    request = HeartbeatRequest(
        group_id=membership.group_id,
        generation_id=membership.generation_id,
        member_id=membership.member_id,
        group_instance_id=membership.group_instance_id,
    )
    sent = coordinator._manager.send(request, node_id=coordinator.coordinator())
    response = await coordinator._manager.wait_for(sent, timeout_ms)
    return response.error_code in _CONFIRMS


def silence_s(coordinator: Any) -> float:
    """Seconds since the coordinator answered a heartbeat or a join; 0 before the first request."""
    heartbeat = coordinator.heartbeat
    heard = max(heartbeat.last_receive, heartbeat.last_reset)
    return 0.0 if math.isinf(heard) else time.monotonic() - heard

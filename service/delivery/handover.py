"""Reactions to the group: it assigns partitions, takes them back, or gives them to others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from eddycast.service.delivery.assignment import Assignment, check_not_grown
from eddycast.service.delivery.crash_points import CrashPoint
from eddycast.service.errors import BrokerError, MembershipLost
from eddycast.service.observability.log import get_log


class Work(Protocol):
    """Records processed since the last commit."""

    @property
    def assignment(self) -> Assignment:
        """The partitions held."""

    @property
    def has_uncommitted(self) -> bool:
        """True if there is something to commit or to take back."""

    def commit(self, within_s: float) -> None:
        """Commit all of it. Raises BrokerError."""

    def take_back(self, error: Exception) -> None:
        """Roll all of it back, to be read again."""


class Handover:
    """The listener of the consumer, which calls it inside `poll` only. See
    `port.RebalanceListener`."""

    def __init__(
        self, work: Work, topic: str, count: int, within_s: float, reached: CrashPoint
    ) -> None:
        """`topic` is the input, which had `count` partitions at start; a commit before partitions
        are handed over takes `within_s` seconds at most."""
        self._work, self._topic, self._count = work, topic, count
        self._within_s, self._reached = within_s, reached

    def assigned(self, partitions: Collection[int]) -> None:
        """Begin to restore them. Raises StateError for partitions that the topic did not have at
        start."""
        self._reached("assigned")
        check_not_grown(self._topic, partitions, self._count)
        self._work.assignment.begin(partitions)
        get_log().info("partitions assigned", partitions=sorted(partitions))

    def revoked(self, partitions: Collection[int]) -> None:
        """Commit inside the callback: the next owner begins when it returns."""
        self._reached("revoked")
        try:
            self._work.commit(self._within_s)
        except BrokerError as error:
            get_log().warning(
                "handed over without a commit: the last records are read again", reason=error.what
            )
            self._work.take_back(error)
        self._work.assignment.close(partitions)
        get_log().info("partitions handed over", partitions=sorted(partitions))

    def lost(self, partitions: Collection[int]) -> None:
        """Take back what was processed: the new owner begins at the last commit."""
        self._reached("lost")
        if self._work.has_uncommitted:
            self._work.take_back(
                MembershipLost("the group assigned the partitions to another member")
            )
        self._work.assignment.close(partitions)
        get_log().warning(
            "partitions lost: what was not committed is read again", partitions=sorted(partitions)
        )

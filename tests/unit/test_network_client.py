"""The reason of a failed connection, among several."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaTimeoutError,
    RequestTimedOutError,
)
from kafka.net.selector import NetworkSelector

from eddycast.service.broker.kafka.network_client import ConnectionManager
from eddycast.service.errors import BrokerUnavailable

WHERE = "127.0.0.1:1"
CUT_SHORT = (
    RequestTimedOutError("Request timed out after 153 ms"),
    KafkaTimeoutError("too late"),
    KafkaConnectionError("Connection timed out"),
)


@pytest.fixture
def manager() -> Iterator[ConnectionManager]:
    net = NetworkSelector()
    yield ConnectionManager(net, bootstrap_servers=[WHERE])
    net.close()


@pytest.mark.parametrize("last", CUT_SHORT, ids=lambda error: type(error).__name__)
def test_an_attempt_that_is_cut_short_hides_no_reason(
    manager: ConnectionManager, last: Exception
) -> None:
    manager._note(WHERE, BrokerUnavailable("the token has expired"))
    manager._note(WHERE, last)
    assert "the token has expired" in manager.reasons()
    manager._note(WHERE, KafkaConnectionError("111 refused"))
    assert "connection refused" in manager.reasons(), "a newer reason counts"


@pytest.mark.parametrize("last", CUT_SHORT, ids=lambda error: type(error).__name__)
def test_nor_that_of_the_broker_that_answered_before(
    manager: ConnectionManager, last: Exception
) -> None:
    manager._unanswered = IncompatibleBrokerVersion("not a broker")
    manager._note(WHERE, last)
    error = manager._explained(KafkaTimeoutError("unable to bootstrap"))
    assert "not a controller" in error.action


def test_without_any_other_a_time_out_is_the_reason(manager: ConnectionManager) -> None:
    manager._note(WHERE, CUT_SHORT[0])
    error = manager._explained(KafkaTimeoutError("unable to bootstrap"))
    assert WHERE in error.what and "timed out" in error.what

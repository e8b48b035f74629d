"""Every error that kafka-python can raise means something in our words."""

from __future__ import annotations

import inspect
import ssl
from typing import Any

import pytest
from kafka import TopicPartition
from kafka import errors as vendor

from eddycast.service.broker.kafka.errors import (
    MEANING,
    during_commit,
    in_transaction,
    translate,
    translate_record,
    translated,
)
from eddycast.service.errors import (
    AuthenticationFailed,
    BrokerError,
    BrokerUnavailable,
    CommitUnknown,
    EddycastError,
    InstanceFenced,
    MembershipLost,
    NotAuthorized,
    OffsetGone,
    ProduceFailed,
    ProducerFenced,
    RecordRefused,
    RecordTooLarge,
    TlsFailed,
    TopicMissing,
    TransactionFailed,
)


def _vendor_errors() -> list[type[Exception]]:
    found = [
        kind
        for _, kind in inspect.getmembers(vendor, inspect.isclass)
        if issubclass(kind, Exception)
    ]
    return [kind for kind in found if kind.__module__ == vendor.__name__]


def _make(kind: type[Exception]) -> Exception:
    parameters: list[Any] = [{}] if kind is vendor.LogTruncationError else []
    return kind(*parameters)


def _alert() -> ssl.SSLError:
    """The error that the library raises when the peer has sent an alert."""
    alert = ssl.SSLError(1, "x")
    alert.reason = "TLSV1_ALERT_UNKNOWN_CA"
    return alert


def test_the_walk_finds_the_vendor_s_errors() -> None:
    assert len(_vendor_errors()) > 100


@pytest.mark.parametrize("kind", _vendor_errors(), ids=lambda kind: kind.__name__)
def test_every_vendor_error_is_mapped(kind: type[Exception]) -> None:
    ours = translate(_make(kind), "cannot do it")
    assert isinstance(ours, BrokerError)
    assert ours.what.startswith("cannot do it: ")
    if issubclass(kind, vendor.RetriableError) and type(ours) is not TopicMissing:
        assert ours.retriable, f"{kind.__name__} heals by itself, {type(ours).__name__} does not"


def test_no_meaning_is_shadowed_by_a_base() -> None:
    """An entry equal to that of its base class would be redundant."""
    for kind, meaning in MEANING.items():
        above = [MEANING[base] for base in kind.__mro__[1:] if base in MEANING]
        assert not above or above[0] is not meaning, kind


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (vendor.KafkaTimeoutError("late"), BrokerUnavailable),
        (vendor.KafkaConnectionError(), BrokerUnavailable),
        (ConnectionRefusedError(), BrokerUnavailable),
        (vendor.CommitFailedError(), MembershipLost),
        (vendor.UnknownMemberIdError(), MembershipLost),
        (vendor.UnknownTopicOrPartitionError(), TopicMissing),
        (vendor.MessageSizeTooLargeError(), RecordTooLarge),
        (vendor.ProducerFencedError(), ProducerFenced),
        (vendor.InvalidProducerEpochError(), ProducerFenced),
        (vendor.InvalidTxnStateError(), TransactionFailed),
        (vendor.TopicAuthorizationFailedError(), NotAuthorized),
        (vendor.GroupAuthorizationFailedError(), NotAuthorized),
        (vendor.TransactionalIdAuthorizationFailedError(), NotAuthorized),
        (vendor.UnsupportedSaslMechanismError(), AuthenticationFailed),
        (vendor.KafkaConnectionError(_alert()), TlsFailed),
        (vendor.KafkaConnectionError(ssl.SSLEOFError(8, "x")), BrokerUnavailable),
        (vendor.FencedInstanceIdError(), InstanceFenced),
        (vendor.OffsetOutOfRangeError({TopicPartition("t", 3): 7}), OffsetGone),
        (vendor.NoOffsetForPartitionError({TopicPartition("t", 3)}), OffsetGone),
        (vendor.SaslAuthenticationFailedError(), AuthenticationFailed),
    ],
)
def test_what_the_common_errors_mean(error: Exception, ours: type[BrokerError]) -> None:
    assert type(translate(error, "x")) is ours


@pytest.mark.parametrize(
    ("error", "outside", "inside"),
    [
        (vendor.MessageSizeTooLargeError(), RecordTooLarge, RecordRefused),
        (vendor.InvalidRecordError(), ProduceFailed, RecordRefused),
        (vendor.InvalidTimestampError(), ProduceFailed, RecordRefused),
        (vendor.KafkaTimeoutError("late"), ProduceFailed, TransactionFailed),
        (vendor.NotEnoughReplicasError(), ProduceFailed, TransactionFailed),
        (vendor.CommitFailedError(), ProduceFailed, TransactionFailed),
        (vendor.KafkaError("unheard of"), ProduceFailed, TransactionFailed),
        (vendor.ProducerFencedError(), ProduceFailed, ProducerFenced),
        (vendor.FencedInstanceIdError(), ProduceFailed, InstanceFenced),
        (vendor.TopicAuthorizationFailedError(), NotAuthorized, NotAuthorized),
        (vendor.SaslAuthenticationFailedError(), AuthenticationFailed, AuthenticationFailed),
    ],
    ids=lambda part: part.__name__ if isinstance(part, type) else type(part).__name__,
)
def test_the_same_error_outside_inside_and_at_the_end_of_a_transaction(
    error: Exception, outside: type[BrokerError], inside: type[BrokerError]
) -> None:
    assert type(translate_record(error, "x")) is outside
    assert type(in_transaction(error, "x")) is inside
    assert type(during_commit(error, "x")) is CommitUnknown


def test_a_position_that_is_gone_is_named() -> None:
    gone = translate(vendor.OffsetOutOfRangeError({TopicPartition("t", 3): 7}), "x")
    assert "t partition 3 has no record at 7" in gone.what


def test_a_person_is_told_what_to_do() -> None:
    assert "instance id" in translate(vendor.FencedInstanceIdError(), "x").action
    forbidden = translate(vendor.TopicAuthorizationFailedError({"b", "a"}), "x")
    assert forbidden.what == "x: the broker's access control forbids this user to use the topic a b"
    assert "grant" in forbidden.action
    assert (
        "the transactional id"
        in translate(vendor.TransactionalIdAuthorizationFailedError(), "x").what
    )


def test_our_own_and_programming_errors_pass_unchanged() -> None:
    ours = MembershipLost("gone")
    assert translate(ours, "x") is ours
    with pytest.raises(MembershipLost, match="gone"), translated("x"):
        raise ours
    with pytest.raises(TypeError), translated("x"):
        raise TypeError("a mistake")
    with pytest.raises(EddycastError) as caught, translated("x"):
        raise vendor.KafkaTimeoutError("late")
    assert isinstance(caught.value.__cause__, vendor.KafkaTimeoutError)

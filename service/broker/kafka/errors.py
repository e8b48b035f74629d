"""Every error of kafka-python, in the words of `service.errors`. The only place that knows both vocabularies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as vendor

from service.broker.kafka.refusals import refusal
from service.errors import (
    AccessRefused,
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
    TopicMissing,
    TransactionFailed,
)

#: The nearest class in an error's line of descent decides; below stand the families, then the exceptions to them.
MEANING: dict[type[BaseException], type[BrokerError]] = {
    vendor.KafkaError: BrokerError,
    vendor.RetriableError: BrokerUnavailable,
    vendor.BrokerNotAvailableError: BrokerUnavailable,
    OSError: BrokerUnavailable,
    # no waiting cures it; what else it does not cure stands in `kafka_refusals`
    vendor.AuthorizationError: NotAuthorized,
    # the group went on without us
    vendor.CommitFailedError: MembershipLost,
    vendor.IllegalGenerationError: MembershipLost,
    vendor.UnknownMemberIdError: MembershipLost,
    vendor.FencedMemberEpochError: MembershipLost,
    vendor.StaleMemberEpochError: MembershipLost,
    # the group is still deciding: our membership stands, the same commit may succeed after the next poll
    vendor.RebalanceInProgressError: BrokerUnavailable,
    # another process has our static instance id
    vendor.FencedInstanceIdError: InstanceFenced,
    vendor.UnreleasedInstanceIdError: InstanceFenced,
    # positions
    vendor.OffsetOutOfRangeError: OffsetGone,
    vendor.NoOffsetForPartitionError: OffsetGone,
    # topics
    vendor.UnknownTopicOrPartitionError: TopicMissing,
    vendor.UnknownTopicIdError: TopicMissing,
    vendor.InvalidTopicError: TopicMissing,
    # records
    vendor.MessageSizeTooLargeError: RecordTooLarge,
    vendor.RecordListTooLargeError: RecordTooLarge,
    vendor.CorruptRecordError: ProduceFailed,
    vendor.InvalidRecordError: ProduceFailed,
    vendor.InvalidTimestampError: ProduceFailed,
    vendor.NotEnoughReplicasError: ProduceFailed,
    vendor.NotEnoughReplicasAfterAppendError: ProduceFailed,
    # the producer's own standing with the broker: a new producer is needed
    vendor.ProducerFencedError: ProducerFenced,
    vendor.InvalidProducerEpochError: ProducerFenced,
    vendor.InvalidProducerIdMappingError: TransactionFailed,
    vendor.InvalidTxnStateError: TransactionFailed,
    vendor.ConcurrentTransactionsError: TransactionFailed,
    vendor.TransactionCoordinatorFencedError: TransactionFailed,
    vendor.TransactionalIdNotFoundError: TransactionFailed,
    vendor.TransactionAbortedError: TransactionFailed,
    vendor.TransactionAbortableError: TransactionFailed,
    vendor.OutOfOrderSequenceNumberError: TransactionFailed,
    vendor.DuplicateSequenceNumberError: TransactionFailed,
    vendor.UnknownProducerIdError: TransactionFailed,
}

#: The record is to blame for what it is.
_REFUSED = (
    vendor.MessageSizeTooLargeError,
    vendor.RecordListTooLargeError,
    vendor.InvalidRecordError,
    vendor.InvalidTimestampError,
)

#: What a person can do, for errors that do not heal by themselves.
ACTION: dict[type[BaseException], str] = {
    vendor.FencedInstanceIdError: "another process runs with the same static instance id: give each its own",
    vendor.UnreleasedInstanceIdError: "another process runs with the same static instance id: give each its own",
    vendor.AuthorizationError: "grant the right to the service's user: docs/security.md lists all that it needs",
    vendor.InvalidSessionTimeoutError: "choose one within the broker's group.min/max.session.timeout.ms",
    vendor.InvalidTransactionTimeoutError: "choose one below the broker's transaction.max.timeout.ms",
    vendor.InvalidReplicationFactorError: "choose a replication factor no larger than the number of brokers",
    vendor.UnsupportedVersionError: "use Apache Kafka 2.5 or later",
    vendor.IncompatibleBrokerVersion: "name a broker's port, not a controller's, of Apache Kafka 2.5 or later",
    vendor.UnknownTopicOrPartitionError: "create the topic",
    vendor.OffsetOutOfRangeError: "decide where to go on: the records in between are gone",
    vendor.NoOffsetForPartitionError: "decide where to begin",
    vendor.MessageSizeTooLargeError: "raise the topic's max.message.bytes or shorten the horizon",
}


def translate(error: BaseException, doing: str) -> EddycastError:
    """The error of ours that `error` means; `doing` says what was being tried. Ours pass unchanged."""
    if isinstance(error, EddycastError):
        return error
    if (refused := refusal(error)) is not None:
        return type(refused)(f"{doing}: {refused.what}", refused.action)
    kind = next((MEANING[c] for c in type(error).__mro__ if c in MEANING), BrokerError)
    action = next((ACTION[c] for c in type(error).__mro__ if c in ACTION), "")
    detail = _places(error) or _forbidden(error) or str(error) or type(error).__name__
    return kind(f"{doing}: {detail}", action)


def _forbidden(error: BaseException) -> str:
    """What the user may not use, in words: the client gives a set of topics, a name, or nothing."""
    if not isinstance(error, vendor.AuthorizationError):
        return ""
    kind = type(error).__name__.removesuffix("AuthorizationFailedError")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    names = error.args[0] if error.args and isinstance(error.args[0], set | frozenset | list) else ()
    listed = "".join(f" {name}" for name in sorted(names))
    return f"the broker's access control forbids this user to use the {words}{listed}"


def _places(error: BaseException) -> str:
    """Where no record is at the position, in words: the client gives a dictionary, or a set."""
    if not isinstance(error, vendor.OffsetOutOfRangeError | vendor.NoOffsetForPartitionError) or not error.args:
        return ""
    found = error.args[0]
    positions = found if isinstance(found, dict) else dict.fromkeys(found, "any position")
    return ", ".join(f"{topic} partition {p} has no record at {at}" for (topic, p), at in positions.items())


def translate_record(error: BaseException, doing: str) -> ProduceFailed | RecordTooLarge | AccessRefused:
    """Why a record was not acknowledged, outside a transaction."""
    reason = translate(error, doing)
    return reason if isinstance(reason, RecordTooLarge | AccessRefused) else ProduceFailed(reason.what, reason.action)


def in_transaction(error: BaseException, doing: str) -> BrokerError:
    """What `error` means inside a transaction: that it failed, unless a person has to change something first."""
    reason = translate(error, doing)
    if isinstance(reason, TransactionFailed | InstanceFenced | AccessRefused) or (
        type(reason) is BrokerError and reason.action
    ):
        return reason
    return (RecordRefused if isinstance(error, _REFUSED) else TransactionFailed)(reason.what, reason.action)


def during_commit(error: BaseException, doing: str) -> CommitUnknown:
    """What `error` means once the commit was asked for. Not even a refusal says much: the client repeats a request
    whose answer was lost, and a successor may have fenced it in between."""
    reason = translate(error, doing)
    return CommitUnknown(reason.what, reason.action)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what happens inside in our words. Programming errors (TypeError and the like) pass unchanged."""
    try:
        yield
    except (vendor.KafkaError, OSError) as error:
        raise translate(error, doing) from error

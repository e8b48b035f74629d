"""Translation of every error of kafka-python into `eddycast.service.errors`.
The only file that knows both hierarchies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as vendor

from eddycast.service.broker.kafka.refusals import refusal
from eddycast.service.errors import (
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

#: The first class in an error's MRO that is listed here decides;
#: base classes first, then exceptions to them.
MEANING: dict[type[BaseException], type[BrokerError]] = {
    vendor.KafkaError: BrokerError,
    vendor.RetriableError: BrokerUnavailable,
    vendor.BrokerNotAvailableError: BrokerUnavailable,
    vendor.UnknownBrokerIdError: BrokerUnavailable,  # a node that has not registered yet
    OSError: BrokerUnavailable,
    # not cured by waiting; so are the errors in `refusals.py`
    vendor.AuthorizationError: NotAuthorized,
    # the group has continued without this member
    vendor.CommitFailedError: MembershipLost,
    vendor.IllegalGenerationError: MembershipLost,
    vendor.UnknownMemberIdError: MembershipLost,
    vendor.FencedMemberEpochError: MembershipLost,
    vendor.StaleMemberEpochError: MembershipLost,
    # a rebalance is in progress: the membership is valid,
    # the same commit may succeed after the next poll
    vendor.RebalanceInProgressError: BrokerUnavailable,
    # another process uses the same static instance id
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
    # the broker no longer accepts the producer: a new one is needed
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

#: Errors caused by the record itself.
_REFUSED = (
    vendor.MessageSizeTooLargeError,
    vendor.RecordListTooLargeError,
    vendor.InvalidRecordError,
    vendor.InvalidTimestampError,
)

#: Actions of an operator, for errors that do not pass by themselves.
ACTION: dict[type[BaseException], str] = {
    vendor.FencedInstanceIdError: (
        "another process runs with the same static instance id: give each its own"
    ),
    vendor.UnreleasedInstanceIdError: (
        "another process runs with the same static instance id: give each its own"
    ),
    vendor.AuthorizationError: (
        "grant the right to the service's user: docs/security.md lists all that it needs"
    ),
    vendor.InvalidSessionTimeoutError: (
        "choose one within the broker's group.min/max.session.timeout.ms"
    ),
    vendor.InvalidTransactionTimeoutError: (
        "choose one below the broker's transaction.max.timeout.ms"
    ),
    vendor.InvalidReplicationFactorError: (
        "choose a replication factor no larger than the number of brokers"
    ),
    vendor.UnsupportedVersionError: "use Apache Kafka 2.5 or later",
    vendor.IncompatibleBrokerVersion: (
        "connect to a broker, not a controller, of Apache Kafka 2.5 or later"
    ),
    vendor.UnknownTopicOrPartitionError: "create the topic",
    vendor.OffsetOutOfRangeError: (
        "records were deleted unread: set kafka.when_deleted to continue without them"
    ),
    vendor.NoOffsetForPartitionError: "set kafka.start_at to choose where to begin",
    vendor.MessageSizeTooLargeError: "raise the topic's max.message.bytes or shorten the horizon",
}


def translate(error: BaseException, doing: str) -> EddycastError:
    """The error of `eddycast.service.errors` for `error`, with `doing` before its text. Errors of
    `eddycast.service.errors` are returned unchanged."""
    if isinstance(error, EddycastError):
        return error
    if (refused := refusal(error)) is not None:
        return type(refused)(f"{doing}: {refused.what}", refused.action)
    kind = next((MEANING[c] for c in type(error).__mro__ if c in MEANING), BrokerError)
    action = next((ACTION[c] for c in type(error).__mro__ if c in ACTION), "")
    detail = _places(error) or _forbidden(error) or str(error) or type(error).__name__
    return kind(f"{doing}: {detail}", action)


def _forbidden(error: BaseException) -> str:
    """Text of an authorization error: the client gives a set of topics, a name, or nothing."""
    if not isinstance(error, vendor.AuthorizationError):
        return ""
    kind = type(error).__name__.removesuffix("AuthorizationFailedError")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower()
    names = (
        error.args[0] if error.args and isinstance(error.args[0], set | frozenset | list) else ()
    )
    listed = "".join(f" {name}" for name in sorted(names))
    return f"the broker's access control forbids this user to use the {words}{listed}"


def _places(error: BaseException) -> str:
    """Text of an offset error with topic, partition and position:
    the client gives a dictionary, or a set."""
    if (
        not isinstance(error, vendor.OffsetOutOfRangeError | vendor.NoOffsetForPartitionError)
        or not error.args
    ):
        return ""
    found = error.args[0]
    positions = found if isinstance(found, dict) else dict.fromkeys(found, "any position")
    return ", ".join(
        f"{topic} partition {p} has no record at {at}" for (topic, p), at in positions.items()
    )


def translate_record(
    error: BaseException, doing: str
) -> ProduceFailed | RecordTooLarge | AccessRefused:
    """The error for a record that was not acknowledged outside a transaction."""
    reason = translate(error, doing)
    return (
        reason
        if isinstance(reason, RecordTooLarge | AccessRefused)
        else ProduceFailed(reason.what, reason.action)
    )


def in_transaction(error: BaseException, doing: str) -> BrokerError:
    """The error for a failure inside a transaction:
    TransactionFailed, unless an operator must change something."""
    reason = translate(error, doing)
    if isinstance(reason, TransactionFailed | InstanceFenced | AccessRefused) or (
        type(reason) is BrokerError and reason.action
    ):
        return reason
    return (RecordRefused if isinstance(error, _REFUSED) else TransactionFailed)(
        reason.what, reason.action
    )


def during_commit(error: BaseException, doing: str) -> CommitUnknown:
    """The error for a failure after the request to commit. Even a refusal leaves the outcome
    unknown: the client repeats a request whose response was lost, and a newer producer may have
    fenced it in between."""
    reason = translate(error, doing)
    return CommitUnknown(reason.what, reason.action)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate errors raised in the block. Programming errors such as TypeError pass unchanged."""
    try:
        yield
    except (vendor.KafkaError, OSError) as error:
        raise translate(error, doing) from error

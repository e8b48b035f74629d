"""Every error of kafka-python, in the words of `service.errors`. The only place that knows both vocabularies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as vendor

from service.errors import (
    BrokerError,
    BrokerUnavailable,
    EddycastError,
    MembershipLost,
    ProduceFailed,
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
    # the group went on without us
    vendor.CommitFailedError: MembershipLost,
    vendor.IllegalGenerationError: MembershipLost,
    vendor.UnknownMemberIdError: MembershipLost,
    vendor.FencedMemberEpochError: MembershipLost,
    vendor.StaleMemberEpochError: MembershipLost,
    # the group is still deciding: our membership stands, the same commit may succeed after the next poll
    vendor.RebalanceInProgressError: BrokerUnavailable,
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
    vendor.ProducerFencedError: TransactionFailed,
    vendor.InvalidProducerEpochError: TransactionFailed,
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

#: What a person can do, for errors that do not heal by themselves.
ACTION: dict[type[BaseException], str] = {
    vendor.FencedInstanceIdError: "another process runs with the same static instance id: give each its own",
    vendor.UnreleasedInstanceIdError: "another process runs with the same static instance id: give each its own",
    vendor.AuthorizationError: "grant the service's user access on the broker",
    vendor.SaslAuthenticationFailedError: "check the broker's user and password",
    vendor.UnsupportedSaslMechanismError: "choose a SASL mechanism that the broker offers",
    vendor.InvalidSessionTimeoutError: "choose one within the broker's group.min/max.session.timeout.ms",
    vendor.InvalidTransactionTimeoutError: "choose one below the broker's transaction.max.timeout.ms",
    vendor.InvalidReplicationFactorError: "choose a replication factor no larger than the number of brokers",
    vendor.UnsupportedVersionError: "use Apache Kafka 2.5 or later",
    vendor.UnknownTopicOrPartitionError: "create the topic",
    vendor.MessageSizeTooLargeError: "raise the topic's max.message.bytes or shorten the horizon",
}


def translate(error: BaseException, doing: str) -> EddycastError:
    """The error of ours that `error` means; `doing` says what was being tried. Ours pass unchanged."""
    if isinstance(error, EddycastError):
        return error
    kind = next((MEANING[c] for c in type(error).__mro__ if c in MEANING), BrokerError)
    action = next((ACTION[c] for c in type(error).__mro__ if c in ACTION), "")
    detail = str(error) or type(error).__name__
    return kind(f"{doing}: {detail}", action)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what happens inside in our words. Programming errors (TypeError and the like) pass unchanged."""
    try:
        yield
    except (vendor.KafkaError, OSError) as error:
        raise translate(error, doing) from error

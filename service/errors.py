"""The tree of errors that Eddycast raises.

    EddycastError
    ├── SettingsError        a setting is unknown, missing or contradicts another
    ├── MissingExtra         a command needs packages that are not installed
    ├── DataError            a file of history cannot be read as streams of observations
    ├── FamilyError          a custom family does not load, fails, or breaks an invariant
    ├── BundleError          a bundle is missing, damaged or breaks the contract
    ├── AddressInUse         the metrics port is taken
    ├── StateError           stored rows are damaged, foreign, or disagree with the offsets
    │   └── WorkerBehind         rows were written under a newer change of model (switch to it)
    ├── RegistryError        a registry of models refuses a change, or holds a damaged file
    │   └── RegistryUnavailable  its storage does not answer (retry)
    ├── SchemaRegistryError  a schema registry refuses the schema of the forecasts, or the user
    │   └── SchemaRegistryUnavailable  it does not answer (retry)
    ├── MqttRefused          the MQTT broker of a bridge refuses the login or a subscription
    └── BrokerError          a call to the broker failed or was refused
        ├── BrokerUnavailable    no broker answers (retry)
        ├── AccessRefused        broker and service do not accept each other (exit)
        │   ├── TlsFailed            a certificate, a host name, or TLS against a plaintext listener
        │   ├── AuthenticationFailed a password, token or mechanism was refused
        │   └── NotAuthorized        the broker's access control lacks a right
        ├── TopicMissing         a topic does not exist and may not be created
        ├── MembershipLost       the group has reassigned the partitions (rejoin)
        ├── InstanceFenced       another process uses the same static instance id (exit)
        ├── ProduceFailed        a record was not acknowledged (retry from the committed offset)
        ├── TransactionFailed    a transaction failed (new producer, retry from the last commit)
        │   ├── ProducerFenced       a newer producer uses the same id, or the transaction timed out
        │   ├── RecordRefused        one record was refused (retry with fewer records)
        │   └── CommitUnknown        the outcome of a commit is unknown (check before retrying)
        ├── OffsetGone           the position to read from is not in the topic (see the settings)
        └── RecordTooLarge       a record exceeds the limit of the topic

A record that cannot be read is not an exception: the decoder returns it as a `DeadLetter` with a
reason, because one bad record must not fail the batch.
"""

from __future__ import annotations


class EddycastError(Exception):
    """Base class. `what` states what went wrong and where, `action` what to do about it.

    `retriable` is True if the same call may succeed later without intervention; `exit_code` is that
    of the process if the error ends it.
    """

    retriable = False
    exit_code = 1

    def __init__(self, what: str, action: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.action = action

    def __str__(self) -> str:
        return f"{self.what} ({self.action})" if self.action else self.what


class SettingsError(EddycastError):
    """Raised at start. The operator corrects the named setting."""

    exit_code = 2


class MissingExtra(EddycastError):
    """Raised by commands. The user installs the named extra."""

    exit_code = 2


class DataError(EddycastError):
    """Raised while reading history. The user names the columns or repairs the file."""

    exit_code = 2


class FamilyError(EddycastError):
    """Raised while training a custom family (`docs/forecasters.md`). Its author fixes it.

    `trace` is the traceback within the author's code, if the error arose there.
    """

    exit_code = 2

    def __init__(self, what: str, action: str = "", trace: str = "") -> None:
        super().__init__(what, action)
        self.trace = trace


class BundleError(EddycastError):
    """Raised while loading a bundle. Names the file, what was expected and what was found."""

    exit_code = 3

    def __init__(
        self, file: str, expected: str, found: str, action: str = "export the bundle again"
    ) -> None:
        super().__init__(f"{file}: expected {expected}, found {found}", action)
        self.file = file
        self.expected = expected
        self.found = found


class AddressInUse(EddycastError):
    """Raised at start. The operator chooses another port or stops the other process."""

    exit_code = 4


class StateError(EddycastError):
    """Raised while restoring or moving state: the changelog does not match bundle,
    offsets or itself.

    Nothing is forecast from such state. The operator brings back the bundle or topic that belongs
    to it, or starts over with a new changelog.
    """

    exit_code = 6


class WorkerBehind(StateError):
    """Raised while restoring: the rows were written under a `generation` of the registry that is
    newer than the served one.

    The worker switches to it, and ends if it cannot.
    """

    def __init__(self, what: str, action: str, generation: int) -> None:
        super().__init__(what, action)
        self.generation = generation


class RegistryError(EddycastError):
    """Raised by `registry/`: a version or change is missing, damaged or not acceptable.

    Services keep the model that they serve. The operator repairs the registry or the request.
    """

    exit_code = 7


class RegistryUnavailable(RegistryError):
    """Raised by `registry/`: its storage does not answer. Retried at the next look."""

    retriable = True


class SchemaRegistryError(EddycastError):
    """Raised where Avro records are written or read: the schema registry refuses the schema, the
    user or the request. The operator corrects the settings or the registry."""

    exit_code = 8


class SchemaRegistryUnavailable(SchemaRegistryError):
    """The schema registry does not answer. Retried, and logged at each attempt."""

    retriable = True


class MqttRefused(EddycastError):
    """Raised by `eddycast feed mqtt`: the MQTT broker refuses the login, a subscription or the
    certificate. The operator corrects the settings or the rights there."""

    exit_code = 9


class BrokerError(EddycastError):
    """Raised by `broker/` only, which translates the errors of the Kafka client."""

    exit_code = 5


class BrokerUnavailable(BrokerError):
    """No broker answers. Retried, and logged every few seconds."""

    retriable = True


class AccessRefused(BrokerError):
    """Raised by any call. Retrying does not help, so the process ends; the operator corrects
    settings, certificates or rights."""


class TlsFailed(AccessRefused):
    """Raised while connecting: the TLS handshake failed."""


class AuthenticationFailed(AccessRefused):
    """Raised while connecting: the broker refused the user, its secret or the SASL mechanism."""


class NotAuthorized(AccessRefused):
    """Raised by any call: the user lacks a right. The operator grants the named right."""


class TopicMissing(BrokerError):
    """Raised at start: a topic is missing and creation is off. The operator creates it."""


class MembershipLost(BrokerError):
    """Raised while committing: the partitions went to another member.
    Their state is dropped and the service rejoins the group."""

    retriable = True


class InstanceFenced(BrokerError):
    """Raised by any call of a static member: another process took over its instance id and its
    partitions.

    The process ends. The operator gives each process its own instance id.
    """


class ProduceFailed(BrokerError):
    """Raised while flushing: a record was not acknowledged. Nothing is committed;
    the turn is retried."""

    retriable = True


class TransactionFailed(BrokerError):
    """Raised inside a transaction, which was not committed (except maybe for `CommitUnknown`).

    The producer is discarded and a new one created.
    """

    retriable = True


class ProducerFenced(TransactionFailed):
    """Raised inside a transaction that the broker aborted: a newer producer uses the same
    transactional id, or the transaction timed out.

    If it recurs, two processes share an id; the operator stops one of them.
    """


class CommitUnknown(TransactionFailed):
    """Raised while committing: no answer came, so the transaction is committed or not.

    The committed offsets decide, once a new producer with the same id has been initialized. Until
    then the undo journal must not be applied.
    """


class RecordRefused(TransactionFailed):
    """Raised inside a transaction: a record was refused for its size, stamp or content,
    and will be again.

    The batch is retried with fewer records at a time until that record is found.
    """


class OffsetGone(BrokerError):
    """Raised while reading: retention deleted the position, or the topic was recreated.

    The operator decides what happens to the records in between.
    """


class RecordTooLarge(BrokerError):
    """A record exceeds the topic's or client's limit.
    The operator raises it or shortens the horizon."""

"""Every error that Eddycast raises on purpose, drawn once.

    EddycastError
    ├── SettingsError        a setting is unknown, missing or contradicts another
    ├── MissingExtra         a command needs packages that are not installed
    ├── DataError            a file of history cannot be read as streams of observations
    ├── FamilyError          a family of one's own does not load, fails, or breaks a law of forecasters
    ├── BundleError          a bundle is missing, damaged or breaks the contract
    ├── AddressInUse         the metrics port is taken
    ├── StateError           stored rows are damaged, foreign, of another layout, or disagree with the offsets
    └── BrokerError          anything the broker, or the way to it, refused
        ├── BrokerUnavailable    no broker answers (retry)
        ├── AccessRefused        broker and service do not accept each other (end)
        │   ├── TlsFailed            a certificate, a host name, or TLS where the other side speaks none
        │   ├── AuthenticationFailed a password, a token or a mechanism is refused
        │   └── NotAuthorized        the broker's access control lacks a right
        ├── TopicMissing         a topic is not there and may not be created
        ├── MembershipLost       the group has moved on without us (rejoin)
        ├── InstanceFenced       another process has our static instance id (end)
        ├── ProduceFailed        a record was not acknowledged (retry from the committed offset)
        ├── TransactionFailed    a transaction was refused (a new producer, everything since the last commit again)
        │   ├── ProducerFenced       a newer producer has our id, or the transaction outlived its time-out
        │   ├── RecordRefused        one of its records was refused for what it is (fewer records at a time)
        │   └── CommitUnknown        nobody said whether the commit happened (look before doing it again)
        ├── OffsetGone           the position to read from is not in the topic (settings say where to go on)
        └── RecordTooLarge       a record exceeds what the topic takes

A record that cannot be read is not an exception: the codec returns it as a `DeadLetter` with its
reason, because one bad record must never end the turn of the good ones.
"""

from __future__ import annotations


class EddycastError(Exception):
    """Something a person can act on. `what` went wrong and where; `action` is what to do about it.

    `retriable` says whether the same call may succeed later without a change by a person.
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
    """Raised once, at start. The operator corrects the named setting."""

    exit_code = 2


class MissingExtra(EddycastError):
    """Raised by the command line. The user installs the named extra."""

    exit_code = 2


class DataError(EddycastError):
    """Raised while reading history. The user names the columns or repairs the file."""

    exit_code = 2


class FamilyError(EddycastError):
    """Raised while training a family of one's own (`docs/forecasters.md`). Its author mends it; `trace` is the way
    through their own code, where the error arose there."""

    exit_code = 2

    def __init__(self, what: str, action: str = "", trace: str = "") -> None:
        super().__init__(what, action)
        self.trace = trace


class BundleError(EddycastError):
    """Raised while loading a bundle. Names the file, what was expected and what was found."""

    exit_code = 3

    def __init__(self, file: str, expected: str, found: str, action: str = "export the bundle again") -> None:
        super().__init__(f"{file}: expected {expected}, found {found}", action)
        self.file = file
        self.expected = expected
        self.found = found


class AddressInUse(EddycastError):
    """Raised at start. The operator chooses another port or stops the other process."""

    exit_code = 4


class StateError(EddycastError):
    """Raised while restoring: the changelog is not what this service left there. Nothing is forecast from it. The
    operator puts back the bundle or the topic it belongs to, or begins anew on purpose."""

    exit_code = 6


class BrokerError(EddycastError):
    """Raised by `broker/` only, already translated from the client's own errors."""

    exit_code = 5


class BrokerUnavailable(BrokerError):
    """No broker answers: retried, and said every few seconds."""

    retriable = True


class AccessRefused(BrokerError):
    """At any call: one of those below. Waiting does not cure it, so the process ends. The operator corrects settings,
    certificates or rights."""


class TlsFailed(AccessRefused):
    """While connecting: no TLS connection that both sides trust."""


class AuthenticationFailed(AccessRefused):
    """While connecting: the broker does not know this user, its secret, or the way it is shown."""


class NotAuthorized(AccessRefused):
    """At any call: the user is known and may not do this. The operator grants the named right."""


class TopicMissing(BrokerError):
    """At start: a topic is missing and creation is off. The operator creates it."""


class MembershipLost(BrokerError):
    """While committing: the group gave our partitions to another member. Drop their state and rejoin."""

    retriable = True


class InstanceFenced(BrokerError):
    """At any call of a static member: another process took its instance id. The process ends, for the other one has
    its partitions. The operator gives each process an instance id of its own."""


class ProduceFailed(BrokerError):
    """While flushing: a record was not acknowledged. Nothing is committed; the turn is done again."""

    retriable = True


class TransactionFailed(BrokerError):
    """Inside a transaction, which was not committed (one exception stands below). The producer is thrown away and a
    new one built."""

    retriable = True


class ProducerFenced(TransactionFailed):
    """Inside a transaction: the broker has aborted it, for a newer producer with the same transactional id or because
    it took longer than its time-out. If it comes back, two processes share an id: the operator looks for the other."""


class CommitUnknown(TransactionFailed):
    """While committing: no answer came. It was committed or it was not, and the committed offsets say which, once a
    new producer with the same id is there. What was kept to undo the transaction is of no use until then."""


class RecordRefused(TransactionFailed):
    """Inside a transaction: a record was refused for its size, stamp or content, and will be again. Fewer records are
    tried at a time, until it is known which one."""


class OffsetGone(BrokerError):
    """While reading: retention has deleted the position, or the topic was made anew. The operator decides what to do
    about the records in between."""


class RecordTooLarge(BrokerError):
    """A record exceeds the topic's or the client's limit. The operator raises it or shortens the horizon."""

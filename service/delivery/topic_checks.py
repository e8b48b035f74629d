"""The topics of a service: their requirements, checks and creation.

`look_at_topics` checks everything and changes nothing. At start `prepare_topics` creates missing
topics if allowed and raises the first problem; `eddycast doctor` shows all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from eddycast.service.broker.port import RECORD_OVERHEAD, Admin
from eddycast.service.dead_letters.headers import LETTER_BYTES, LETTER_HEADERS_BYTES
from eddycast.service.delivery.rights import granting, listed, may_create, needed_rights
from eddycast.service.errors import BrokerError, NotAuthorized, TopicMissing
from eddycast.service.formats.json_observation import KEY_LIMIT_BYTES
from eddycast.service.observability.log import get_log
from eddycast.service.processing.outputs import OutputLimits
from eddycast.service.settings.settings import Settings

#: With the defaults (segments of 1 GB, compaction once half is stale) the newest records would
#: never be compacted.
CHANGELOG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 << 20),
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": "600000",
}
#: Action when the number of partitions of the input differs from that of the changelog.
MOVE = (
    "move the rows with `eddycast state export` and `eddycast "
    "state import`: docs/durability.md, Moving state"
)


@dataclass(frozen=True, slots=True)
class Topology:
    """Number of partitions of the input, and limits on what is written."""

    partitions: int
    limits: OutputLimits


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """Result of a check of a topic; `found` continues the topic's name. With an `error` the service
    does not start; with only an `action` it starts, at a risk."""

    topic: str
    found: str
    action: str = ""
    error: type[BrokerError] | None = None

    def raised(self) -> None:
        """Raise an error, log a risk."""
        if self.error is not None:
            raise self.error(f"topic {self.topic} {self.found}", self.action)
        if self.action:
            get_log().warning(f"topic {self.topic} {self.found}", action=self.action)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Requirements of one topic. `more`: may have more partitions than the input. `written`: the
    service writes to it. `committed`: its records are part of commits."""

    name: str
    more: bool = False
    written: bool = True
    committed: bool = False
    config: Mapping[str, str] = field(default_factory=dict)


def prepare_topics(admin: Admin, settings: Settings, row_bytes: int) -> Topology:
    """Check all topics and create missing ones if allowed. `row_bytes` is the size of a stored row.

    Outputs and rows of a record go to the partition with the record's number, so output and
    changelog have as many partitions as the input, and the dead letters at least as many. Raises
    TopicMissing, and BrokerError with the problem and the command that repairs it.
    """
    topics, partitions = settings.topics, settings.topics.partitions
    for wanted in _wanted(settings):
        for finding in _rights(admin, settings, wanted.name):
            finding.raised()
        if (found := admin.partitions(wanted.name)) is None:
            _missing(admin, settings, wanted, partitions).raised()
            found = create_topic(admin, wanted.name, partitions, topics.replication, wanted.config)
        partitions = found if wanted.name == topics.input else partitions
    for finding in look_at_topics(admin, settings, row_bytes):
        finding.raised()
    limits = OutputLimits(_largest(admin, settings, topics.output), letter_bytes(admin, settings))
    return Topology(partitions, limits)


def look_at_topics(
    admin: Admin, settings: Settings, row_bytes: int | None = None
) -> Iterator[TopicFinding]:
    """Findings about each topic, at least one per topic; changes nothing. Without `row_bytes` the
    size of rows is not checked. Raises BrokerUnavailable, BrokerError."""
    topics = settings.topics
    input_partitions: int | None = None
    for wanted in _wanted(settings):
        if forbidden := list(_rights(admin, settings, wanted.name)):
            yield from forbidden
            continue
        count = admin.partitions(wanted.name)
        input_partitions = count if wanted.name == topics.input else input_partitions
        if count is None:
            yield _missing(admin, settings, wanted, input_partitions or topics.partitions)
            continue
        problems = [*_partitions(wanted, count, topics.input, input_partitions)]
        problems += _replicas(admin, wanted) if wanted.written else []
        if wanted.name == settings.changelog:
            problems += _changelog(admin.config(wanted.name), wanted.name, row_bytes)
        yield from problems or [
            TopicFinding(wanted.name, _as_it_is(admin, settings, wanted.name, count, row_bytes))
        ]


def create_topic(
    admin: Admin,
    name: str,
    partitions: int,
    replication: int,
    config: Mapping[str, str] | None = None,
) -> int:
    """Create a topic; returns its number of partitions,
    which differs if another process created it first."""
    admin.create_topic(name, partitions, replication, config)
    return admin.partitions(name) or partitions


def _wanted(settings: Settings) -> list[_Wanted]:
    """Requirements of all topics; the input first, since the others depend on it."""
    topics = settings.topics
    return [
        _Wanted(topics.input, written=False),
        _Wanted(topics.output, committed=True),
        _Wanted(topics.dead_letters, more=True),
        _Wanted(settings.changelog, committed=True, config=CHANGELOG),
    ]


def _missing(admin: Admin, settings: Settings, wanted: _Wanted, partitions: int) -> TopicFinding:
    topics, name = settings.topics, wanted.name
    if may_create(topics, name):
        return TopicFinding(name, "does not exist yet, is created at start")
    with_config = "".join(f" --config {key}={value}" for key, value in wanted.config.items())
    command = f"kafka-topics.sh --create --topic {name} --partitions {partitions}{with_config}"
    option = "topics.create_input" if name == topics.input else "topics.create"
    own = {topics.output, topics.dead_letters, settings.changelog}
    near = difflib.get_close_matches(name, sorted(set(admin.topics()) - own), n=3)
    meant = f"did you mean {' or '.join(near)}? Else " if near else ""
    return TopicFinding(name, "does not exist", f"{meant}{command}; or set {option}", TopicMissing)


def _rights(admin: Admin, settings: Settings, name: str) -> Iterator[TopicFinding]:
    """Findings about missing rights, which would fail only at the first record or the first
    commit."""
    allowed = admin.operations(name)
    if allowed is None:
        return
    seen = "describe" in allowed
    needed = needed_rights(settings, name, exists=not seen or admin.partitions(name) is not None)
    if lacking := [right for right in needed if right not in allowed]:
        found = f"does not allow this user {listed(lacking)}" + (
            "" if seen else ", or does not exist"
        )
        yield TopicFinding(name, found, granting(settings, name, lacking), NotAuthorized)


def _partitions(
    wanted: _Wanted, count: int, input_name: str, input_count: int | None
) -> Iterator[TopicFinding]:
    """A finding if the number of partitions does not match the input."""
    if input_count is None or count == input_count or (wanted.more and count > input_count):
        return
    found = f"has {count} partitions, {input_name} has {input_count}"
    if wanted.config:
        yield TopicFinding(
            wanted.name, f"{found}: streams have moved between partitions", MOVE, BrokerError
        )
        return
    grow = f"kafka-topics.sh --alter --topic {wanted.name} --partitions {input_count}"
    action = grow if count < input_count else f"give it {input_count}"
    yield TopicFinding(wanted.name, found, f"{action}; or name another topic", BrokerError)


def _changelog(
    config: Mapping[str, str], name: str, row_bytes: int | None
) -> Iterator[TopicFinding]:
    """Findings about the changelog's cleanup policy and the size of rows."""
    if (policy := config["cleanup.policy"]) != "compact":
        found = f"has cleanup.policy {policy}: rows of state would be deleted"
        yield TopicFinding(name, found, _alter(name, "cleanup.policy=compact"), BrokerError)
    needed, limit = (
        (row_bytes or 0) + KEY_LIMIT_BYTES + RECORD_OVERHEAD,
        int(config["max.message.bytes"]),
    )
    if row_bytes is not None and limit < needed:
        found = (
            f"accepts records of {limit} bytes, and a row with its key takes up to {needed} bytes"
        )
        yield TopicFinding(name, found, _alter(name, f"max.message.bytes={needed}"), BrokerError)


def _replicas(admin: Admin, wanted: _Wanted) -> Iterator[TopicFinding]:
    """Findings about a topic that cannot be written to,
    or where one lost disk could lose committed records."""
    name, replicas = wanted.name, admin.replication(wanted.name)
    in_sync = int(admin.config(name)["min.insync.replicas"])
    if in_sync > replicas:
        found = f"has {replicas} replicas and requires {in_sync} in sync: nothing can be written"
        yield TopicFinding(
            name, found, _alter(name, f"min.insync.replicas={replicas}"), BrokerError
        )
    elif replicas > 1 and in_sync == 1 and wanted.committed:
        found = (
            f"has {replicas} replicas, and one acknowledges "
            "for all: the loss of one broker can undo commits"
        )
        yield TopicFinding(name, found, _alter(name, "min.insync.replicas=2"))


def _as_it_is(
    admin: Admin, settings: Settings, name: str, count: int, row_bytes: int | None
) -> str:
    """Description of a topic without problems."""
    found = f"has {count} partition{'s' if count > 1 else ''}"
    if name == settings.topics.output:
        return f"{found}, accepts forecasts of up to {_largest(admin, settings, name)} bytes"
    if name == settings.changelog and row_bytes is not None:
        return f"{found}, accepts rows: a row has {row_bytes} bytes"
    return found


def _largest(admin: Admin, settings: Settings, name: str) -> int:
    """Maximum bytes of key, value and headers together in a topic."""
    limit = int(admin.config(name)["max.message.bytes"])
    return min(limit, settings.kafka.max_request_bytes) - RECORD_OVERHEAD


def letter_bytes(admin: Admin, settings: Settings) -> int:
    """Bytes of a key, of a value and of the record's own headers in a dead letter, so that it never
    exceeds the limit of its topic."""
    room = _largest(admin, settings, settings.topics.dead_letters) - LETTER_HEADERS_BYTES
    return max(0, min(LETTER_BYTES, room // 3))


def _alter(name: str, config: str) -> str:
    return (
        f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {config}"
    )

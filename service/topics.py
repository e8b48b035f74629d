"""The topics of a service: created where they are missing and may be, checked against each other in any case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.broker.port import Admin
from service.errors import BrokerError, TopicMissing
from service.log import get_log
from service.observation import KEY_LIMIT_BYTES
from service.setting_groups import TopicSettings
from service.settings import Settings

#: With the default segments of 1 GB, and compaction of what is half stale, the tail would never be compacted.
CHANGELOG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(64 << 20),
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": "600000",
}
#: What to do when the input has another number of partitions than the rows.
MOVE = "take the rows along by `eddycast state export` and `eddycast state import`: docs/durability.md, Moving state"
#: Bytes of a record beyond its key and value, at most.
_OVERHEAD = 98


@dataclass(frozen=True, slots=True)
class Topology:
    """What the topics say: partitions of the input, and how large key and value of a forecast may be together."""

    partitions: int
    max_output_bytes: int


def prepare_topics(admin: Admin, settings: Settings, row_bytes: int) -> Topology:
    """Make sure of the input and of what is written for it. `row_bytes` is the size of a stored row.

    A record's outputs and rows go to the partition of the same number, so output and changelog have as many partitions
    as the input, and the dead letters at least as many. Raises TopicMissing, and BrokerError naming what does not fit
    and the command that repairs it.
    """
    topics = settings.topics
    partitions = ensure_topic(admin, topics.input, topics.partitions, topics)
    if (found := ensure_topic(admin, topics.output, partitions, topics)) != partitions:
        raise _misfit(topics.output, found, topics.input, partitions)
    if (found := ensure_topic(admin, topics.dead_letters, partitions, topics)) < partitions:
        raise _misfit(topics.dead_letters, found, topics.input, partitions)
    if (found := ensure_topic(admin, settings.changelog, partitions, topics, CHANGELOG)) != partitions:
        raise _grown(settings.changelog, found, topics.input, partitions)
    _check_changelog(admin, settings.changelog, row_bytes)
    _warn_of_replicas(admin, (topics.output, settings.changelog))
    limit = int(admin.config(topics.output)["max.message.bytes"])
    return Topology(partitions, min(limit, settings.kafka.max_request_bytes) - _OVERHEAD)


def ensure_topic(
    admin: Admin, name: str, partitions: int, topics: TopicSettings, config: Mapping[str, str] | None = None
) -> int:
    """The number of partitions of `name`, which is created with `partitions` if it is missing and may be created.

    Raises TopicMissing where it may not.
    """
    found = admin.partitions(name)
    if found is not None:
        return found
    if not topics.create:
        with_config = "".join(f" --config {key}={value}" for key, value in (config or {}).items())
        command = f"kafka-topics.sh --create --topic {name} --partitions {partitions}{with_config}"
        raise TopicMissing(f"there is no topic {name}", f"{command}; or set topics.create")
    admin.create_topic(name, partitions, topics.replication, config)
    return admin.partitions(name) or partitions


def _check_changelog(admin: Admin, name: str, row_bytes: int) -> None:
    """Rows are kept for as long as their stream lives, and fit. Raises BrokerError."""
    config = admin.config(name)
    if config["cleanup.policy"] != "compact":
        what = f"topic {name} has cleanup.policy {config['cleanup.policy']}: rows of state would be deleted"
        raise BrokerError(what, _alter(name, "cleanup.policy=compact"))
    needed = row_bytes + KEY_LIMIT_BYTES + _OVERHEAD
    if (limit := int(config["max.message.bytes"])) < needed:
        what = f"a row with its key takes up to {needed} bytes, topic {name} takes {limit}"
        raise BrokerError(what, _alter(name, f"max.message.bytes={needed}"))


def _warn_of_replicas(admin: Admin, names: tuple[str, ...]) -> None:
    """Say which topics one lost disk may take something from that was committed."""
    for name in names:
        replicas, in_sync = admin.replication(name), int(admin.config(name)["min.insync.replicas"])
        if replicas > 1 and in_sync == 1:
            get_log().warning(
                "one replica acknowledges for all: the loss of one broker may take back commits",
                topic=name,
                replicas=replicas,
                action=_alter(name, "min.insync.replicas=2"),
            )
        if in_sync > replicas:
            what = f"topic {name} has {replicas} replicas and asks for {in_sync} in sync: nothing can be written"
            raise BrokerError(what, _alter(name, f"min.insync.replicas={replicas}"))


def _alter(name: str, config: str) -> str:
    return f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {config}"


def _misfit(name: str, found: int, input_name: str, wanted: int) -> BrokerError:
    what = f"topic {name} has {found} partitions, {input_name} has {wanted}"
    grow = f"kafka-topics.sh --alter --topic {name} --partitions {wanted}"
    return BrokerError(what, f"{grow if found < wanted else f'give it {wanted}'}; or name another topic")


def _grown(name: str, found: int, input_name: str, wanted: int) -> BrokerError:
    what = f"topic {name} has {found} partitions, {input_name} has {wanted}: streams have moved between partitions"
    return BrokerError(what, MOVE)

"""The topics of a service: created where they are missing and may be, checked against each other in any case."""

from __future__ import annotations

from service.broker.port import Admin
from service.errors import BrokerError, TopicMissing
from service.settings import TopicSettings


def prepare_topics(admin: Admin, topics: TopicSettings) -> int:
    """Make sure of the input and of what is written for it; returns the input's number of partitions.

    A record's outputs go to the partition of the same number, so the output topic has as many partitions as the input
    and the dead letters have at least as many. Raises TopicMissing, and BrokerError where the numbers do not fit.
    """
    partitions = ensure_topic(admin, topics.input, topics.partitions, topics)
    if (found := ensure_topic(admin, topics.output, partitions, topics)) != partitions:
        raise _misfit(topics.output, found, topics.input, partitions)
    if (found := ensure_topic(admin, topics.dead_letters, partitions, topics)) < partitions:
        raise _misfit(topics.dead_letters, found, topics.input, partitions)
    return partitions


def ensure_topic(admin: Admin, name: str, partitions: int, topics: TopicSettings) -> int:
    """The number of partitions of `name`, which is created with `partitions` if it is missing and may be created.

    Raises TopicMissing where it may not.
    """
    found = admin.partitions(name)
    if found is not None:
        return found
    if not topics.create:
        raise TopicMissing(f"there is no topic {name}", f"create it with {partitions} partitions, or set topics.create")
    admin.create_topic(name, partitions, topics.replication)
    return admin.partitions(name) or partitions


def _misfit(name: str, found: int, input_name: str, wanted: int) -> BrokerError:
    what = f"topic {name} has {found} partitions, {input_name} has {wanted}"
    return BrokerError(what, f"give {name} {wanted} partitions, or name another topic")

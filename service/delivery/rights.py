"""Rights that the service's user needs on each topic, and the command that grants them."""

from __future__ import annotations

from collections.abc import Collection

from eddycast.service.settings.settings import Settings
from eddycast.service.settings.topics import TopicSettings

_READ, _WRITE, _CREATE, _SETTINGS = "read", "write", "create", "describe_configs"
_WORDS = {_READ: "Read", _WRITE: "Write", _CREATE: "Create", _SETTINGS: "DescribeConfigs"}


def needed_rights(settings: Settings, topic: str, exists: bool) -> list[str]:
    """Operations that the service needs on a topic, by Kafka's names;
    including Create where it does not exist yet."""
    topics = settings.topics
    if topic == topics.input:
        rights = [_READ]
    elif topic == settings.changelog:
        rights = [_READ, _WRITE, _SETTINGS]
    else:
        rights = [_WRITE, _SETTINGS]
    return rights if exists or not may_create(topics, topic) else [_CREATE, *rights]


def may_create(topics: TopicSettings, topic: str) -> bool:
    """True if the service creates this topic when it is missing."""
    return topics.create and (topics.create_input or topic != topics.input)


def granting(settings: Settings, topic: str, rights: Collection[str]) -> str:
    """The command that grants these rights."""
    user = settings.kafka.sasl_username or "NAME"
    operations = " ".join(f"--operation {_WORDS[right]}" for right in rights)
    return f"kafka-acls.sh --add --allow-principal User:{user} {operations} --topic {topic}"


def listed(rights: Collection[str]) -> str:
    """Rights as text."""
    return ", ".join(_WORDS[right] for right in rights)

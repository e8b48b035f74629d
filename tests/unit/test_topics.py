"""Topics are created as they must be, and named with the repairing command where they are not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from eddycast.service.broker.memory.admin import MemoryAdmin
from eddycast.service.broker.port import RECORD_OVERHEAD
from eddycast.service.delivery.topic_checks import CHANGELOG, look_at_topics, prepare_topics
from eddycast.service.errors import BrokerError, NotAuthorized, TopicMissing
from eddycast.service.settings.settings import Settings
from eddycast.service.settings.topics import TopicSettings
from tests.support.faulty_broker import FaultyBroker

NAMES = ("observations", "forecasts", "dead-letters", "eddycast-changelog")
ROW = 400


def test_what_is_missing_is_created_as_wide_as_the_input() -> None:
    admin = FaultyBroker().admin()
    admin.create_topic("observations", 7)
    assert prepare_topics(admin, Settings(), ROW).partitions == 7
    assert [admin.partitions(name) for name in NAMES] == [7, 7, 7, 7]
    config = admin.config("eddycast-changelog")
    assert {name: config[name] for name in CHANGELOG} == CHANGELOG
    assert admin.config("forecasts")["cleanup.policy"] == "delete"


def test_an_input_that_is_created_has_the_partitions_of_the_settings() -> None:
    settings = Settings(topics=TopicSettings(partitions=3, changelog="rows", create_input=True))
    admin = FaultyBroker().admin()
    assert prepare_topics(admin, settings, ROW).partitions == 3
    assert admin.partitions("rows") == 3


def test_a_mistyped_input_is_never_created_and_those_of_near_names_are_named() -> None:
    admin = FaultyBroker().admin()
    for name in ("observation", "observations-raw", "forecasts", "invoices"):
        admin.create_topic(name, 2)
    with pytest.raises(TopicMissing, match="topic observations does not exist") as caught:
        prepare_topics(admin, Settings(), ROW)
    assert caught.value.action.startswith(
        "did you mean observation or observations-raw? Else kafka-topics.sh --create"
    )
    assert "invoices" not in caught.value.action and caught.value.action.endswith(
        "; or set topics.create_input"
    )
    assert set(admin.topics()) == {"observation", "observations-raw", "forecasts", "invoices"}
    (found, *_) = look_at_topics(admin, Settings(), ROW)
    assert (found.found, found.error, found.action) == (
        "does not exist",
        TopicMissing,
        caught.value.action,
    )


class Guarded(MemoryAdmin):
    """A broker with access control: what may be done with each topic;
    a topic without Describe cannot be seen."""

    allowed: Mapping[str, set[str]] = {}

    def operations(self, topic: str) -> frozenset[str] | None:
        allowed = frozenset(self.allowed.get(topic, set()))
        return allowed | {"describe"} if allowed & {"read", "write"} else frozenset()

    def partitions(self, topic: str) -> int | None:
        if not self.operations(topic):
            raise NotAuthorized(f"cannot describe {topic}")
        return super().partitions(topic)


RIGHTS = {
    "observations": {"read"},
    "forecasts": {"write", "describe_configs"},
    "dead-letters": {"write", "describe_configs"},
    "eddycast-changelog": {"read", "write", "describe_configs"},
}


def guarded(rights: Mapping[str, set[str]], *topics: str) -> Guarded:
    admin = Guarded(FaultyBroker())
    admin.allowed = rights
    for name in topics:
        admin.create_topic(name, 2, config=CHANGELOG if name == NAMES[3] else None)
    return admin


@pytest.mark.parametrize(
    ("topic", "right"), [(topic, right) for topic in RIGHTS for right in sorted(RIGHTS[topic])]
)
def test_a_right_that_is_missing_is_named_at_start(topic: str, right: str) -> None:
    settings = Settings()
    assert prepare_topics(guarded(RIGHTS, *NAMES), settings, ROW).partitions == 2
    admin = guarded(RIGHTS | {topic: RIGHTS[topic] - {right}}, *NAMES)
    with pytest.raises(NotAuthorized, match=f"topic {topic} does not allow this user") as caught:
        prepare_topics(admin, settings, ROW)
    word = {"describe_configs": "DescribeConfigs"}.get(right, right.capitalize())
    assert f"--operation {word} " in caught.value.action and caught.value.action.endswith(
        f" --topic {topic}"
    )
    assert [f.topic for f in look_at_topics(admin, settings, ROW) if f.error is NotAuthorized] == [
        topic
    ]


def test_a_topic_that_is_to_be_created_needs_the_right_to() -> None:
    missing, *others = reversed(NAMES)
    with pytest.raises(NotAuthorized, match="does not allow this user Create") as caught:
        prepare_topics(guarded(RIGHTS, *others), Settings(), ROW)
    assert caught.value.action.endswith(f"--operation Create --topic {missing}")
    rights = RIGHTS | {missing: RIGHTS[missing] | {"create"}}
    assert prepare_topics(guarded(rights, *others), Settings(), ROW).partitions == 2


def test_an_output_may_be_as_large_as_topic_and_client_take() -> None:
    admin = FaultyBroker().admin()
    admin.create_topic("observations", 1)
    admin.create_topic("forecasts", 1, config={"max.message.bytes": "5000"})
    assert prepare_topics(admin, Settings(), ROW).limits.output_bytes == 5000 - RECORD_OVERHEAD


@pytest.mark.parametrize(
    ("takes", "expected"),
    [("1048588", 65_536), ("5000", (5000 - RECORD_OVERHEAD - 4096) // 3), ("1000", 0)],
)
def test_a_dead_letter_is_cut_to_what_its_topic_takes(takes: str, expected: int) -> None:
    admin = FaultyBroker().admin()
    admin.create_topic("observations", 1)
    admin.create_topic("dead-letters", 1, config={"max.message.bytes": takes})
    assert prepare_topics(admin, Settings(), ROW).limits.letter_bytes == expected


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_topic_is_named_where_it_may_not_be_created(missing: str) -> None:
    admin = FaultyBroker().admin()
    for name in NAMES:
        if name != missing:
            admin.create_topic(name, 2, config=CHANGELOG if name == NAMES[3] else None)
    with pytest.raises(TopicMissing, match=missing) as caught:
        prepare_topics(admin, Settings(topics=TopicSettings(create=False)), ROW)
    assert f"--create --topic {missing}" in caught.value.action
    assert ("cleanup.policy=compact" in caught.value.action) == (missing == NAMES[3])


@pytest.mark.parametrize(
    ("output", "letters", "changelog", "wrong"),
    [
        (2, 2, 2, ""),
        (2, 5, 2, ""),
        (3, 2, 2, "forecasts has 3"),
        (2, 1, 2, "dead-letters has 1"),
        (2, 2, 1, "eddycast-changelog has 1 partitions, observations has 2: streams have moved"),
        (2, 2, 3, "eddycast-changelog has 3"),
    ],
)
def test_numbers_of_partitions_must_fit(
    output: int, letters: int, changelog: int, wrong: str
) -> None:
    admin = FaultyBroker().admin()
    for name, partitions in zip(NAMES, (2, output, letters, changelog), strict=True):
        admin.create_topic(name, partitions, config=CHANGELOG if name == NAMES[3] else None)
    if not wrong:
        assert prepare_topics(admin, Settings(), ROW).partitions == 2
        return
    with pytest.raises(BrokerError, match=wrong):
        prepare_topics(admin, Settings(), ROW)


@pytest.mark.parametrize(
    ("name", "config", "wrong", "repair"),
    [
        (
            NAMES[3],
            {"cleanup.policy": "delete"},
            "rows of state would be deleted",
            "cleanup.policy=compact",
        ),
        (
            NAMES[3],
            {"cleanup.policy": "compact,delete"},
            "rows of state would be",
            "cleanup.policy=compact",
        ),
        (
            NAMES[3],
            CHANGELOG | {"max.message.bytes": "1000"},
            "takes up to 1522 bytes",
            "max.message.bytes=1522",
        ),
        (NAMES[1], {"min.insync.replicas": "2"}, "nothing can be written", "min.insync.replicas=1"),
    ],
)
def test_what_would_lose_rows_or_stop_writing_is_refused(
    name: str, config: dict[str, str], wrong: str, repair: str
) -> None:
    admin = FaultyBroker().admin()
    admin.create_topic("observations", 2)
    admin.create_topic(name, 2, config=config)
    with pytest.raises(BrokerError, match=wrong) as caught:
        prepare_topics(admin, Settings(), ROW)
    assert f"--entity-name {name} --add-config {repair}" in caught.value.action


def test_one_replica_that_acknowledges_for_all_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = FaultyBroker().admin()
    admin.create_topic("observations", 4)
    monkeypatch.setattr(
        "eddycast.service.broker.memory.admin.MemoryAdmin.replication", lambda *_: 3
    )
    prepare_topics(admin, Settings(), ROW)
    assert capsys.readouterr().out.count("min.insync.replicas=2") == 2


def test_everything_that_is_wrong_is_found_at_once_and_nothing_is_created() -> None:
    admin = FaultyBroker().admin()
    admin.create_topic("observations", 2)
    admin.create_topic("forecasts", 3)
    admin.create_topic("eddycast-changelog", 1, config={"max.message.bytes": "1000"})
    found = {
        (f.topic, f.found.split(":")[0]): f.error for f in look_at_topics(admin, Settings(), ROW)
    }
    assert found == {
        ("observations", "has 2 partitions"): None,
        ("forecasts", "has 3 partitions, observations has 2"): BrokerError,
        ("dead-letters", "does not exist yet, is created at start"): None,
        ("eddycast-changelog", "has 1 partitions, observations has 2"): BrokerError,
        ("eddycast-changelog", "has cleanup.policy delete"): BrokerError,
        (
            "eddycast-changelog",
            "accepts records of 1000 bytes, and a row with its key takes up to 1522 bytes",
        ): BrokerError,
    }
    assert admin.partitions("dead-letters") is None


def test_what_is_well_says_what_fits() -> None:
    admin = FaultyBroker().admin()
    admin.create_topic("observations", 4)
    prepare_topics(admin, Settings(), ROW)
    found = {finding.topic: finding for finding in look_at_topics(admin, Settings(), ROW)}
    assert list(found) == list(NAMES) and not any(finding.action for finding in found.values())
    assert (
        found["forecasts"].found
        == f"has 4 partitions, accepts forecasts of up to {(1 << 20) - RECORD_OVERHEAD} bytes"
    )
    assert (
        found["eddycast-changelog"].found == "has 4 partitions, accepts rows: a row has 400 bytes"
    )

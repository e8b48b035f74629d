"""Topics: created where they may be, named where they may not, and never of numbers that do not fit."""

from __future__ import annotations

import pytest

from service.broker.memory import MemoryBroker
from service.errors import BrokerError, TopicMissing
from service.settings import TopicSettings
from service.topics import prepare_topics


def test_what_is_missing_is_created_as_wide_as_the_input() -> None:
    admin = MemoryBroker().admin()
    admin.create_topic("observations", 7)
    assert prepare_topics(admin, TopicSettings()) == 7
    assert [admin.partitions(name) for name in ("forecasts", "dead-letters")] == [7, 7]


def test_an_input_that_is_created_has_the_partitions_of_the_settings() -> None:
    admin = MemoryBroker().admin()
    assert prepare_topics(admin, TopicSettings(partitions=3)) == 3
    assert [admin.partitions(name) for name in ("observations", "forecasts", "dead-letters")] == [3, 3, 3]


@pytest.mark.parametrize("missing", ["observations", "forecasts", "dead-letters"])
def test_a_missing_topic_is_named_where_it_may_not_be_created(missing: str) -> None:
    admin = MemoryBroker().admin()
    for name in {"observations", "forecasts", "dead-letters"} - {missing}:
        admin.create_topic(name, 2)
    with pytest.raises(TopicMissing, match=f"no topic {missing}.*topics.create"):
        prepare_topics(admin, TopicSettings(create=False))
    assert admin.partitions(missing) is None


@pytest.mark.parametrize(("output", "dead_letters", "fits"), [(2, 2, True), (2, 5, True), (3, 2, False), (2, 1, False)])
def test_numbers_of_partitions_must_fit(output: int, dead_letters: int, fits: bool) -> None:
    admin = MemoryBroker().admin()
    for name, partitions in (("observations", 2), ("forecasts", output), ("dead-letters", dead_letters)):
        admin.create_topic(name, partitions)
    if fits:
        assert prepare_topics(admin, TopicSettings()) == 2
    else:
        with pytest.raises(BrokerError, match="observations has 2"):
            prepare_topics(admin, TopicSettings())

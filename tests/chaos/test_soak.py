"""The soak's own judgement, and a short one of all that it does."""

from __future__ import annotations

import pytest

from tests.chaos.proxy import site
from tests.chaos.soak import Sample, growth, soak
from tests.chaos.table import is_clean, table

MB = 1 << 20


def samples(memory: list[int], threads: int = 8, files: int = 40) -> list[Sample]:
    return [Sample(float(i), mb * MB, threads, files) for i, mb in enumerate(memory)]


def test_what_does_not_grow_is_let_pass() -> None:
    assert growth(samples([50, 100, 200, 210, 190, 205, 195, 200])) == []


def test_what_grows_is_named() -> None:
    rising = [200 + 10 * i for i in range(40)]
    (said,) = growth(samples(rising))
    assert said.startswith("memory: ")
    more = samples([200] * 20) + samples([200] * 20, threads=30, files=90)
    assert [said.split(":")[0] for said in growth(more)] == ["threads", "files"]


def test_a_run_that_was_too_short_proves_nothing() -> None:
    assert growth(samples([100] * 3)) == ["too few samples to say anything"]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_half_a_minute_of_it() -> None:
    with site() as place:
        result, steady = soak(
            place, 1, seconds=30.0, seed=5, kinds=("garbage", "packed", "add", "kill", "revoked")
        )
    assert is_clean([result]), "\n".join([result.stuck or "", *result.failed, table([result])])
    assert steady.ended == 0 and len(steady.samples) > 20
    assert not [said for said in growth(steady.samples) if not said.startswith("memory")]

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from eddycast.service.processing.waves import cut
from eddycast.service.records import Int64

ids = st.lists(st.integers(0, 6), max_size=40).map(lambda column: np.array(column, np.int64))


def test_no_records_make_no_waves() -> None:
    assert cut(np.empty(0, np.int64)) == []


def test_the_wth_record_of_every_id_is_in_wave_w() -> None:
    waves = cut(np.array([7, 3, 7, 7, 3, 9]))
    assert [wave.tolist() for wave in waves] == [[0, 1, 5], [2, 4], [3]]


def test_distinct_ids_are_one_wave_in_arrival_order() -> None:
    assert [wave.tolist() for wave in cut(np.array([5, 1, 4]))] == [[0, 1, 2]]


@settings(max_examples=100, deadline=None)
@given(ids)
def test_waves_are_a_permutation_with_an_id_at_most_once_each(column: Int64) -> None:
    waves = cut(column)
    assert sorted(np.concatenate([np.empty(0, np.int64), *waves]).tolist()) == list(
        range(len(column))
    )
    for wave in waves:
        assert len(wave) > 0
        assert wave.tolist() == sorted(wave.tolist())
        assert len(set(column[wave].tolist())) == len(wave)


@settings(max_examples=100, deadline=None)
@given(ids)
def test_an_id_keeps_its_arrival_order_across_waves(column: Int64) -> None:
    waves = cut(column)
    for one in set(column.tolist()):
        records = [i for wave in waves for i in wave.tolist() if column[i] == one]
        assert records == np.flatnonzero(column == one).tolist()
        assert all(one in column[wave] for wave in waves[: len(records)]), "no wave is skipped"

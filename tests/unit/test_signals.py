"""A first signal asks, a second insists, and the handlers from before come back."""

from __future__ import annotations

import signal

import pytest

from service.signals import SIGNALS, StopSignals


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_sets_the_flag_and_the_second_insists(number: signal.Signals) -> None:
    insisted: list[bool] = []
    with StopSignals(insist=lambda: insisted.append(True)) as signals:
        assert not signals.stop.is_set()
        signal.raise_signal(number)
        assert signals.stop.is_set()
        assert not insisted
        signal.raise_signal(number)
        assert insisted == [True]


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopSignals(insist=lambda: None):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before

"""A first signal requests a stop, a second one forces it,
and the previous handlers are restored."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eddycast.service.signals import SIGNALS, StopSignals


@contextmanager
def terminal() -> Iterator[None]:
    """SIGHUP ends a process, as in a terminal: also where nohup started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_only_sets_the_flag_and_the_second_insists(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([10.0, 10.1, 10.5])
    monkeypatch.setattr("eddycast.service.signals.time.monotonic", lambda: next(seconds))
    insisted: list[str] = []
    with terminal(), StopSignals(insisted.append) as signals:
        assert not signals.stop.is_set()
        signal.raise_signal(number)
        assert signals.stop.is_set()
        assert not insisted
        signal.raise_signal(signal.SIGHUP)  # of a terminal that closes meanwhile
        assert not insisted
        again = signal.SIGTERM if number == signal.SIGHUP else number
        signal.raise_signal(again)  # of a process group that was signalled as a whole
        assert not insisted
        signal.raise_signal(again)
        assert insisted == ["a second signal"]


def test_what_nohup_started_outlives_its_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals(insist=lambda why: None) as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.stop.is_set()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_countdown_begins_with_the_first_signal_and_ends_with_the_work() -> None:
    expired = threading.Event()
    with StopSignals(lambda why: expired.set(), within_s=0.05):
        assert not expired.wait(0.2)
        signal.raise_signal(signal.SIGTERM)
        assert expired.wait(60)
    expired.clear()
    with StopSignals(lambda why: expired.set(), within_s=1.0):
        signal.raise_signal(signal.SIGTERM)
    assert not expired.wait(1.3)


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopSignals(insist=lambda why: None):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before

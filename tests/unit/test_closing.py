"""Commands and services close everything they opened, whichever call fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from eddycast.service.commands.doctor import look_at_state
from eddycast.service.delivery.connections import Connections
from eddycast.service.errors import BrokerUnavailable, EddycastError
from eddycast.service.migration.describe import describe
from eddycast.service.migration.export import take_export
from eddycast.service.model.manifest_file import read_manifest
from eddycast.service.settings.settings import Settings
from tests.broker.tools import Listener
from tests.support.bundles import Walk, write_bundle
from tests.support.faulty_broker import FaultyBroker
from tests.support.running import INPUT, memory_broker


class Counted:
    """A broker whose `failing`-th call fails, including calls on its clients;
    it tracks open clients."""

    def __init__(self, broker: FaultyBroker, failing: int) -> None:
        self._broker, self._failing, self.calls = broker, failing, 0
        self.open: list[str] = []

    def ask(self, name: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self.calls += name != "close"
        if self.calls == self._failing and name != "close":
            raise BrokerUnavailable("nobody answers")
        return call(*args, **named)

    def __getattr__(self, kind: str) -> Any:
        def opened(*args: Any, **named: Any) -> Any:
            thing = self.ask(kind, getattr(self._broker, kind), *args, **named)
            self.open.append(kind)
            return _Open(self, kind, thing)

        return opened


class _Open:
    def __init__(self, counted: Counted, kind: str, thing: Any) -> None:
        self._counted, self._kind, self._thing = counted, kind, thing

    def __enter__(self) -> _Open:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._thing.close()
        self._counted.open.remove(self._kind)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        return (
            (lambda *a, **n: self._counted.ask(name, value, *a, **n)) if callable(value) else value
        )


def connect(broker: Any, settings: Settings) -> None:
    Connections(broker, Settings(), Listener()).close()


def examine(broker: Any, settings: Settings) -> None:
    with broker.admin() as admin:
        list(look_at_state(broker, admin, settings, None))


USES: dict[str, Callable[[Any, Settings], Any]] = {
    "describe": lambda broker, settings: describe(
        broker, settings, read_manifest(settings.bundle.directory), "s"
    ),
    "export": lambda broker, settings: take_export(
        broker, settings, read_manifest(settings.bundle.directory)
    ),
    "doctor": examine,
    "service": connect,
}


@pytest.mark.parametrize("use", USES)
def test_nothing_stays_open_whichever_call_fails(use: str, tmp_path: Path) -> None:
    write_bundle(tmp_path, Walk())
    settings = Settings.model_validate(
        {"bundle": {"directory": tmp_path}, "topics": {"input": INPUT}}
    )
    failing, calls = 0, 1
    while failing <= calls:
        broker = memory_broker(2)
        broker.admin().set_group_offsets("eddycast", INPUT, {0: 0})
        counted = Counted(broker, failing)
        with suppress(EddycastError):
            USES[use](counted, settings)
        assert counted.open == [], f"call {failing} failed"
        calls, failing = max(calls, counted.calls), failing + 1
    assert failing > 3

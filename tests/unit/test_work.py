"""What follows from a portion does not show where it was cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from service.model.runtime import Runtime
from tests.support.bundles import START_MS, Walk, write_bundle
from tests.support.running import AT_ONCE, DEAD, made, memory_broker, send, worker

MINUTE = 60_000


def test_dead_letters_stand_in_the_order_of_their_records(tmp_path: Path) -> None:
    """Late readings are known only after unreadable ones, however they came."""
    write_bundle(tmp_path, Walk())
    broker = memory_broker()
    late, torn = {"timestamp": START_MS, "value": 1.0}, b"{"
    first = {"timestamp": START_MS + 9 * MINUTE, "value": 1.0}
    send(broker, [(0, b"s", value) for value in (torn, first, late, torn, late, torn)])
    subject = worker(broker, Runtime.load(tmp_path), replace(AT_ONCE, late_to_dead_letters=True))
    subject.turn(3)
    subject.finish()
    offsets = [dict(record.headers)["offset"] for record in made(broker, DEAD)]
    assert offsets == [b"0", b"2", b"3", b"4", b"5"]

"""Dead letters by kind of error, as the service writes them."""

from __future__ import annotations

import numpy as np

from eddycast.service.dead_letters.headers import dead_letter
from eddycast.service.monitor.letters import CHARACTERS, EXAMPLES, KINDS, Letters
from eddycast.service.records import DeadLetter, Headers, PartitionBatch
from tests.monitor.records import board
from tests.monitor.serving import client


def written(letters: list[DeadLetter]) -> PartitionBatch:
    """Records as the service writes them."""
    records = [dead_letter(letter) for letter in letters]
    headers: list[Headers] = [record[2] for record in records]
    count = len(records)
    return PartitionBatch(
        "dead-letters", 0, [record[0] for record in records], [record[1] for record in records],
        np.arange(count) + 1_000, np.arange(count), headers=headers,
    )  # fmt: skip


def letter(error: str, offset: int, key: bytes | None = b"a", reason: str = "why") -> DeadLetter:
    return DeadLetter("observations", 3, offset, key, b"{", error, reason)


def test_letters_are_counted_by_error_and_the_latest_are_shown() -> None:
    letters = Letters()
    letters.add([written([letter("not_json", i) for i in range(EXAMPLES + 5)])])
    letters.add([written([letter("no_key", 7, None, "x" * 5_000)])])
    api = client(board([]), letters=letters)
    shown = api.get("/api/dead_letters").json()
    assert shown["total"] == EXAMPLES + 6
    assert [(kind["error"], kind["count"]) for kind in shown["errors"]] == [
        ("not_json", EXAMPLES + 5),
        ("no_key", 1),
    ]
    latest = shown["errors"][0]["latest"]
    assert [each["offset"] for each in latest] == [str(i) for i in range(EXAMPLES + 4, 4, -1)]
    assert latest[0] | {"time": 0} == {
        "time": 0, "key": "a", "reason": "why", "topic": "observations", "partition": "3",
        "offset": str(EXAMPLES + 4),
    }  # fmt: skip
    (other,) = shown["errors"][1]["latest"]
    assert other["key"] is None and len(other["reason"]) == CHARACTERS
    assert api.get("/api/summary").json()["dead_letters"] == EXAMPLES + 6
    assert len(api.get("/api/dead_letters?format=csv").text.splitlines()) == 3


def test_what_anybody_may_write_to_the_topic_takes_bounded_memory() -> None:
    letters = Letters()
    letters.add([written([letter(f"error-{i}", i) for i in range(3 * KINDS)])])
    letters.add([PartitionBatch("d", 0, [b"\xff"], [None], np.zeros(1, np.int64), np.arange(1))])
    shown = letters.view()
    assert shown["total"] == 3 * KINDS + 1
    assert len(shown["errors"]) == KINDS + 1
    assert shown["errors"][0]["error"] == "other"

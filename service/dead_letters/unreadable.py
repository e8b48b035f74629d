"""The reason why a record, or a reading inside one, cannot be read."""

from __future__ import annotations


class Unreadable(Exception):
    """Raised for a record that is not an observation; `error` is a code of `codes.py`,
    `reason` a sentence for people."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason

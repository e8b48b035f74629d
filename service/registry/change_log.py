"""The changes of a model's champion: appended, linked by hash, never replaced.

    models/NAME/changes/NNNNNNNN.json     a change (change.py); the newest one is the state

A change is created exclusively under the number after its predecessor's, so of two processes that
append at once one succeeds; it contains the sha256 of its predecessor's file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from eddycast.service.errors import RegistryError
from eddycast.service.registry.change import Change, StoredChange, parse_change
from eddycast.service.registry.folder import Folder

_NAME = re.compile(r"^[0-9]{8,10}\.json$")


class ChangeLog:
    """Holds no state, so every call sees what is stored now. All methods raise RegistryUnavailable
    if the storage does not answer."""

    def __init__(self, folder: Folder, model: str, keys: tuple[str, ...]) -> None:
        """The newest change must be signed by one of `keys`, unless there are none."""
        self._folder, self._model, self._keys = folder, model, keys
        self._place = f"models/{model}/changes"

    def all(self) -> list[StoredChange]:
        """All changes, oldest first, whoever signed them. Raises RegistryError if one is damaged,
        or if one does not follow from the one before it."""
        return self._linked(self._names(), None)

    def latest(self, count: int) -> list[StoredChange]:
        """The newest changes, at most `count`, oldest first, whoever signed them. Raises
        RegistryError like `all`."""
        names = self._names()
        start = max(0, len(names) - count)
        before = _digest(self._folder.read(names[start - 1])) if start else None
        return self._linked(names[start:], before)

    def newest(self) -> StoredChange | None:
        """The state; None if nothing was ever promoted. Raises RegistryError if it is damaged or
        was not signed by a trusted key."""
        names = self._names()
        if not names:
            return None
        newest = parse_change(names[-1], self._folder.read(names[-1]), self._keys)
        before = _digest(self._folder.read(names[-2])) if len(names) > 1 else None
        _check_link(newest, before)
        return newest

    def append(self, change: Change, before: StoredChange | None) -> StoredChange:
        """Store a change that follows `before`. Raises RegistryError, naming the winner, if another
        process was first."""
        number = before.change.number + 1 if before else 1
        name, content = f"{self._place}/{number:08}.json", change.content
        self._folder.create(name, content)
        # read back in any case: a storage may report a failure of what succeeded
        stored = parse_change(name, self._folder.read(name), ())
        if stored.digest != _digest(content):
            winner = stored.change
            what = (
                f"{winner.who} was first: {winner.label} became the champion of {self._model} as "
                f"change {winner.number} at {winner.when:%Y-%m-%d %H:%M:%S}"
            )
            raise RegistryError(what, "look at it; if yours is still right, promote it again")
        return stored

    def _linked(self, names: Sequence[str], before: str | None) -> list[StoredChange]:
        """Changes in order, the first of which follows that with the digest `before`."""
        found = list[StoredChange]()
        for name in names:
            change = parse_change(name, self._folder.read(name), ())
            _check_link(change, found[-1].digest if found else before)
            found.append(change)
        return found

    def _names(self) -> list[str]:
        names = [name for name in self._folder.names(self._place) if _NAME.match(name)]
        return [f"{self._place}/{name}" for name in sorted(names, key=lambda n: (len(n), n))]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_link(change: StoredChange, before: str | None) -> None:
    """Raise RegistryError unless a change was made after that with the digest `before`."""
    if change.change.predecessor != before:
        raise RegistryError(
            f"{change.name} does not follow from the change before it: one was replaced or deleted",
            "bring the files back from a backup",
        )

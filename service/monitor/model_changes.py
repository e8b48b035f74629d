"""The latest changes of the model in the registry, read on a thread of their own because a shared
folder may take long."""

from __future__ import annotations

import json
import threading
from itertools import islice
from typing import Any

from eddycast.service.errors import RegistryError
from eddycast.service.registry.audit import Audit, Happening
from eddycast.service.registry.folder import folder_at
from eddycast.service.settings.registry import RegistrySettings

#: Interval of looking, s, the number of changes that are shown, of facts in the evidence of each,
#: and the characters of such a fact.
_EVERY_S, SHOWN, FACTS, CHARACTERS = 10.0, 10, 24, 300


class ModelChanges:
    """Changes and verdicts, newest first. Raises RegistryError if registry.url is neither a folder
    nor a bucket."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._audit: Audit | None = None
        if settings.url is not None and settings.model is not None:
            self._audit = Audit(folder_at(settings.url, settings.endpoint_url), settings.model)
        self._found: list[Happening] = []
        self._trouble = "" if self._audit is None else "the registry was not read yet"

    def start(self, stop: threading.Event) -> None:
        """Look until `stop`, on a thread that is not waited for, because it only reads."""
        if self._audit is not None:
            threading.Thread(target=self._run, args=(stop,), name="registry", daemon=True).start()

    def look(self) -> None:
        """Read the registry once; what was read before stays if that fails."""
        if self._audit is None:
            return
        try:
            self._found, self._trouble = self._audit.latest(SHOWN), ""
        except RegistryError as error:
            self._trouble = error.what

    def view(self) -> dict[str, Any]:
        """Lines for people and programs; None without a registry."""
        return {
            "changes": None if self._audit is None else [_line(one) for one in self._found],
            "registry_trouble": self._trouble,
        }

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.look()
            stop.wait(_EVERY_S)


def _line(happening: Happening) -> dict[str, Any]:
    facts = islice(happening.evidence.items(), FACTS)
    return happening._asdict() | {
        "when": round(happening.when.timestamp() * 1000),
        "version": happening.version[:12],
        "evidence": {name[:CHARACTERS]: _fact(value) for name, value in facts},
    }


def _fact(value: Any) -> str | float:
    """A number as it is, anything else as a short text."""
    if isinstance(value, int | float) and abs(value) < 1 << 53:
        return value
    return (value if isinstance(value, str) else json.dumps(value))[:CHARACTERS]

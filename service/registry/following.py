"""Follow a registry: load newer champions beside the one that is served.

A thread looks at the registry now and then. A newer champion is loaded and verified there; the
polling thread takes it when it has come to the end of a turn. Whatever does not load, or does not
fit, refuses this change: it is logged and counted, and the former model is served on.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Self

from eddycast.service.errors import (
    BrokerUnavailable,
    RegistryError,
    RegistryUnavailable,
    SchemaRegistryUnavailable,
    StateError,
    WorkerBehind,
)
from eddycast.service.humanize import in_words
from eddycast.service.model.runtime import Runtime
from eddycast.service.observability.log import get_log
from eddycast.service.observability.metrics import Metrics
from eddycast.service.observability.throttle import Throttle
from eddycast.service.registry.change import StoredChange
from eddycast.service.registry.compatibility import check_core
from eddycast.service.registry.rehearsal import rehearse
from eddycast.service.registry.starting import Started
from eddycast.service.state.store import Store

#: Interval of log lines about a registry that cannot be read, s.
_LOG_S = 60.0
#: A look comes up to this share of `poll_s` later, so that processes do not look together.
_JITTER = 0.2
#: Wait for the thread at the end, s.
_CLOSE_S = 1.0
#: End of the patience with a registry that does not answer while partitions wait for it, s.
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Champion:
    """A model of the registry, verified."""

    runtime: Runtime
    generation: int
    max_streams: int | None = None  # number of its rows that fit into memory


class Follower:
    """Everything but `look` is called by the polling thread. A context: the thread runs inside."""

    def __init__(
        self,
        started: Started,
        accept: Callable[[Runtime], int | None],
        metrics: Metrics,
        poll_s: float,
    ) -> None:
        """`started` is what is served now. `accept` returns how many rows of a model fit, and
        raises an EddycastError if it cannot be served here."""
        self._registry, self._copy = started.registry, started.copy
        self._served, self._newest = started.runtime, started.change
        self._accept, self._metrics, self._poll_s = accept, metrics, poll_s
        #: Number of the change whose champion is served.
        self.generation = started.change.change.number
        #: A newer champion, ready to be served.
        self.loaded: Champion | None = None
        self._refusal = ""
        self._throttle = Throttle(_LOG_S)
        self._wake, self._stopping = threading.Event(), False
        self._begun = self._ended = 0
        # error that demands a look; looks begun, and monotonic s, at that time
        self._demanded: tuple[WorkerBehind, int, float] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="registry", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join(_CLOSE_S)  # a storage that hangs must not delay the shutdown

    def rehearse(self, champion: Champion, store: Store, partitions: Collection[int]) -> bool:
        """True if a champion copes with live rows (`rehearsal.py`); otherwise it is refused."""
        try:
            rehearse(self._served, champion.runtime, store, partitions)
        except Exception as error:  # noqa: BLE001 - a graph may raise anything
            self._drop(champion)
            self._refuse(champion.runtime.manifest.label, champion.generation, error)
            return False
        return True

    def serve(self, champion: Champion) -> None:
        """Note that a champion is served from now on."""
        self._served, self.generation, self._demanded = champion.runtime, champion.generation, None
        self._drop(champion)
        get_log().info(
            "another champion is served",
            model=champion.runtime.manifest.label,
            generation=champion.generation,
        )

    def demand(self, error: WorkerBehind) -> None:
        """Look at once, because rows of `error.generation` must be served. Raises StateError if a
        look that began later did not find a model for them."""
        if self._demanded is None or self._demanded[0] is not error:
            self._demanded = error, self._begun, time.monotonic()
            self._wake.set()
        _, begun, since = self._demanded
        # read before `loaded`, which is set earlier
        is_over = self._ended > begun or time.monotonic() - since > _PATIENCE_S
        if self.loaded is not None and self.loaded.generation >= error.generation:
            return
        if is_over:
            why = self._refusal or f"the registry's newest change is {self._newest.change.number}"
            raise StateError(f"{error.what}; {why}", error.action) from error

    def look(self) -> None:
        """Read the state of the registry and load its champion if it is newer."""
        self._begun += 1
        try:
            newest = self._registry.newest()
            if self._is_older(newest):
                number = newest.change.number if newest else "none"
                self._fail("restored", f"its newest change is {number}, or another of that number")
            elif newest is not None and newest.digest != self._newest.digest:
                self._load(newest)
        except RegistryUnavailable as error:
            self._fail("unavailable", error.what)
            return  # as if there had been no look
        except RegistryError as error:
            self._fail("damaged", error.what)
        self._ended = self._begun

    def _run(self) -> None:
        while True:
            self._wake.wait(self._poll_s * (1 + _JITTER * random.random()))  # noqa: S311
            self._wake.clear()
            if self._stopping:
                return
            self.look()

    def _is_older(self, newest: StoredChange | None) -> bool:
        """True if the registry has gone back behind what this process has seen."""
        seen = self._newest
        if newest is None or newest.change.number < seen.change.number:
            return True
        return newest.change.number == seen.change.number and newest.digest != seen.digest

    def _load(self, newest: StoredChange) -> None:
        """Load the champion of a change, or refuse it. Raises RegistryUnavailable to try again."""
        try:
            runtime = self._registry.load(newest.change.champion)
            check_core(self._served.manifest, runtime.manifest)
            champion = Champion(runtime, newest.change.number, self._accept(runtime))
        except (BrokerUnavailable, SchemaRegistryUnavailable) as error:
            raise RegistryUnavailable(error.what, error.action) from error
        except RegistryUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a bundle may break any library; it must not end the service
            self._newest = newest
            self._refuse(newest.change.label, newest.change.number, error)
        else:
            with self._lock:
                self._newest, self._refusal, self.loaded = newest, "", champion
            if self._copy is not None:
                self._copy.keep(self._registry, newest)

    def _drop(self, champion: Champion) -> None:
        """Forget a loaded champion, but not one that was loaded since."""
        with self._lock:
            self.loaded = None if self.loaded is champion else self.loaded

    def _refuse(self, label: str, generation: int, error: Exception) -> None:
        self._refusal = f"change {generation}: {in_words(error)}"
        self._metrics.model_refused.inc()
        get_log().error(
            "a champion is refused: the former model is served on",
            model=label,
            generation=generation,
            reason=in_words(error),
        )

    def _fail(self, problem: str, reason: str) -> None:
        self._metrics.registry_failures.labels(problem).inc()
        if self._throttle.is_due(problem):
            get_log().error(
                f"the registry is {problem}: the present model is served on",
                generation=self.generation,
                reason=reason,
            )

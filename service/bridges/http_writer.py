"""Requests that wait for Kafka: those that have come meanwhile are written together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from eddycast.service.bridges.outgoing import Outgoing
from eddycast.service.bridges.rates import Rates
from eddycast.service.bridges.target import Target
from eddycast.service.broker.port import Broker, Producer
from eddycast.service.errors import BrokerError, ProduceFailed
from eddycast.service.observability.log import get_log
from eddycast.service.observability.throttle import OUTAGE_S, Throttle

#: Approximate maximum bytes that are written together.
_TOGETHER = 8_388_608


class _Request(NamedTuple):
    outgoing: Outgoing
    size: int
    records: int
    filtered: int
    done: Future[None]


class HttpWriter:
    """`submit` is called by the server's thread, everything else by the thread that writes."""

    def __init__(
        self,
        broker: Broker,
        target: Target,
        rates: Rates,
        within_s: float,
        at: Callable[[str], None],
    ) -> None:
        """Requests are acknowledged `within_s`, or fail."""
        self.target, self.is_well = target, True
        self._broker, self._rates, self._at = broker, rates, at
        self._within_s = within_s
        self._producer: Producer | None = None
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._outage = Throttle(OUTAGE_S)

    def submit(self, outgoing: Outgoing, size: int, records: int, filtered: int) -> Future[None]:
        """Queue the readings of a request; the result is there once they are acknowledged. It may
        be a BrokerError."""
        request = _Request(outgoing, size, records, filtered, Future())
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()
        return request.done

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return len(self._waiting)

    def turn(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for requests and write them. Raises BrokerErrors that a retry does
        not cure, after the requests have got them."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            taken, size = list[_Request](), 0
            while self._waiting and size < _TOGETHER:
                taken.append(self._waiting.popleft())
                size += taken[-1].size
        if taken:
            self._write(taken)

    def close(self) -> None:
        """Fail the requests that still wait, and close the connection."""
        while self._waiting:
            self._waiting.popleft().done.set_exception(ProduceFailed("the bridge has stopped"))
        if self._producer is not None:
            self._producer.close()

    def _write(self, requests: list[_Request]) -> None:
        try:
            self._producer = self._producer or self._broker.producer()
            for request in requests:
                request.outgoing.produce(self._producer)
            self._at("feed.1")
            self._producer.flush(self._within_s)
        except BrokerError as error:
            self.is_well = False
            for request in requests:
                request.done.set_exception(error)
            if not error.retriable:
                raise
            if self._outage.is_due():
                get_log().warning("requests were not written", reason=error.what)
            return
        self._at("feed.2")
        self.is_well = True
        for request in requests:
            self._rates.written(request.records, request.filtered, request.outgoing)
            request.done.set_result(None)

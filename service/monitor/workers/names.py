"""The addresses behind the names of workers, looked up on a thread of its own because a resolver
may take long."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import NamedTuple

from eddycast.service.settings.host_port import HostPort

#: Interval of looking up, s.
_EVERY_S = 5.0
#: Most workers that are watched.
MOST = 256


class Worker(NamedTuple):
    """A port to look at. `address` is None while the name of the setting has none."""

    given: HostPort
    address: HostPort | None
    trouble: str = ""


class Names:
    """Looks up the names again and again, as workers come and go."""

    def __init__(self, given: Sequence[HostPort]) -> None:
        self._given = given
        self._found: dict[HostPort, list[HostPort]] = {}
        self._trouble: dict[HostPort, str] = {}
        #: Set once all names were looked up.
        self.looked = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Look up until `stop`."""
        while not stop.is_set():
            self.look()
            stop.wait(_EVERY_S)

    def look(self) -> None:
        """Look up all names. Where that fails the addresses of before are kept."""
        for given in self._given:
            try:
                self._found[given] = _addresses(given)
            except (OSError, UnicodeError) as error:  # no such name, or none that can be one
                why = getattr(error, "strerror", None) or error
                self._trouble[given] = f"the name cannot be resolved: {why}"
        self.looked.set()

    def workers(self) -> list[Worker]:
        """Every address once, and the names that have none, in the order of the setting."""
        workers: dict[HostPort, Worker] = {}
        for given in self._given:
            for address in self._found.get(given, []):
                workers.setdefault(address, Worker(given, address))
            if given not in self._found:
                trouble = self._trouble.get(given, "the name is being looked up")
                workers.setdefault(given, Worker(given, None, trouble))
        return [*workers.values()][:MOST]


def _addresses(given: HostPort) -> list[HostPort]:
    """Addresses of one family, because a worker may have one of each: IPv4 if there is any. Raises
    OSError, UnicodeError."""
    found = socket.getaddrinfo(given.host, given.port, type=socket.SOCK_STREAM)
    families = {family for family, *_ in found}
    family = socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
    hosts = {str(address[0]) for own, *_, address in found if own == family}
    return [HostPort(host, given.port) for host in sorted(hosts)]

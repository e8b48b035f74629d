"""The HTTP server for `/metrics`, `/live` and `/ready`, GET and HEAD.

Connections are limited in number and time. Beyond the limit the oldest is closed, so a probe is
answered even next to a thousand idle connections.
"""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from eddycast.service.errors import AddressInUse
from eddycast.service.observability.health import Health
from eddycast.service.observability.log import get_log

#: Maximum number of connections, and seconds that each may last.
CONNECTIONS, SECONDS = 32, 10.0


class HealthServer:
    """Serves from its own threads until closed. Port 0 takes a free port. Raises AddressInUse."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Health,
        seconds: float = SECONDS,
        *,
        setting: str = "http.port",
    ) -> None:
        """`setting` is the one that names the port."""
        try:
            self._server = _Server((host, port), _handler(registry, health), seconds)
        except OSError as error:
            raise _cannot_listen(error, host, port, setting) from error
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and release the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, TCPServer):  # not HTTPServer, which resolves the host's own name
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], seconds: float
    ) -> None:
        self._seconds = seconds
        self._open: dict[socket.socket, float] = {}  # in order of arrival -> deadline, s
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make room, then handle the request on a new thread. Runs on the server's thread."""
        with self._lock:
            if len(self._open) >= CONNECTIONS:
                self._cut(next(iter(self._open)))
            self._open[request] = time.monotonic() + self._seconds
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Close expired connections; called a few times per second."""
        now = time.monotonic()
        with self._lock:
            for request in [request for request, end in self._open.items() if end <= now]:
                self._cut(request)

    def shutdown_request(self, request: Any) -> None:
        """Called at the end of every connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log an error of a connection's thread; clients may disconnect at any time."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            get_log().debug("a client of the metrics port disconnected", reason=str(error))
        else:
            get_log().error("a request to the metrics port failed", exc_info=error)

    def _cut(self, request: socket.socket) -> None:
        """Shut a connection down, which unblocks its thread, which then closes it."""
        self._open.pop(request, None)
        try:
            request.shutdown(socket.SHUT_RDWR)
        except OSError as error:  # closed by the client in the meantime
            get_log().debug(
                "a connection of the metrics port was closed already", reason=str(error)
            )


def _cannot_listen(error: OSError, host: str, port: int, setting: str) -> AddressInUse:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(
            f"{host}:{port} is in use by another process",
            f"choose another {setting}, or 0 for any",
        )
    return AddressInUse(
        f"cannot listen on {host}:{port}: {error.strerror}", f"set http.host and {setting}"
    )


class _Answers(BaseHTTPRequestHandler):
    """Writes responses; one request per connection."""

    server_version, sys_version = "eddycast", ""

    def state(self, name: str, good: bool, reason: str) -> None:
        """Respond 200 or 503."""
        if good:
            self.json(HTTPStatus.OK, {name: True})
        else:
            self.json(HTTPStatus.SERVICE_UNAVAILABLE, {name: False, "reason": reason})

    def json(self, status: HTTPStatus, content: dict[str, object]) -> None:
        """Respond with a JSON object on one line."""
        self.answer(status, "application/json", json.dumps(content).encode() + b"\n")

    def answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        """Write a response, without the body for HEAD."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        """Do not log requests: scrapes are too frequent."""


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(_Answers):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self.answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
                case "/live":
                    self.state("live", *health.live_answer())
                case "/ready":
                    self.state("ready", *health.ready_answer())
                case _:
                    self.json(HTTPStatus.NOT_FOUND, {"paths": ["/metrics", "/live", "/ready"]})

        do_HEAD = do_GET  # noqa: N815 - name required by the base class

    return Handler

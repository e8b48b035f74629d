"""One HTTP server, one port: `/metrics`, `/live`, `/ready`, for GET and HEAD.

Connections are limited in number and in time: when there are too many, the oldest is closed, so a probe is answered
beside a thousand connections that send nothing.
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

from service.errors import AddressInUse
from service.observability.health import Health
from service.observability.log import get_log

#: Connections at a time, and how long each may take from the first byte of the question to the last of the answer.
CONNECTIONS, SECONDS = 32, 10.0


class HealthServer:
    """Serves until closed, from threads of its own. Raises AddressInUse; port 0 takes a free one."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, health: Health, seconds: float = SECONDS
    ) -> None:
        try:
            self._server = _Server((host, port), _handler(registry, health), seconds)
        except OSError as error:
            raise _explained(error, host, port) from error
        self.port: int = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, TCPServer):  # not HTTPServer, which asks the name service for our own name
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], seconds: float) -> None:
        self._seconds = seconds
        self._open: dict[socket.socket, float] = {}  # in the order of their coming -> when each ends
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """On the server's thread: make room, then answer on a thread of its own."""
        with self._lock:
            if len(self._open) >= CONNECTIONS:
                self._cut(next(iter(self._open)))
            self._open[request] = time.monotonic() + self._seconds
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """A few times a second: end those whose time is over."""
        now = time.monotonic()
        with self._lock:
            for request in [request for request, end in self._open.items() if end <= now]:
                self._cut(request)

    def shutdown_request(self, request: Any) -> None:
        """The end of every connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """On a connection's thread, inside the handler of what it raised. A client may hang up whenever it likes."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            get_log().debug("a client of the metrics port went away", reason=str(error))
        else:
            get_log().error("a request to the metrics port failed", exc_info=error)

    def _cut(self, request: socket.socket) -> None:
        """Whoever waits for this connection, to read or to write, stops waiting; its thread closes it."""
        self._open.pop(request, None)
        try:
            request.shutdown(socket.SHUT_RDWR)
        except OSError as error:  # the client was faster
            get_log().debug("a connection of the metrics port had ended", reason=str(error))


def _explained(error: OSError, host: str, port: int) -> AddressInUse:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"{host}:{port} is taken by another process", "choose another http.port, or 0 for any")
    return AddressInUse(f"{host}:{port} cannot be listened on: {error.strerror}", "set http.host and http.port")


class _Answers(BaseHTTPRequestHandler):
    """Writes answers; one request a connection."""

    server_version, sys_version = "eddycast", ""

    def state(self, name: str, good: bool, reason: str) -> None:
        """200 or 503."""
        if good:
            self.json(HTTPStatus.OK, {name: True})
        else:
            self.json(HTTPStatus.SERVICE_UNAVAILABLE, {name: False, "reason": reason})

    def json(self, status: HTTPStatus, content: dict[str, object]) -> None:
        """One object on a line."""
        self.answer(status, "application/json", json.dumps(content).encode() + b"\n")

    def answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        """The whole answer, without its body for HEAD."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Scrapes are not worth a line each."""


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

        do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    return Handler

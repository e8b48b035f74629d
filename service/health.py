"""One HTTP server, one port: `/metrics`, `/live`, `/ready`.

Live: the polling thread has been heard from lately; a supervisor restarts a service that is not.
Ready: forecasts are being served; the reason stands in the answer while they are not.
"""

from __future__ import annotations

import errno
import json
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from service.errors import AddressInUse


class Health:
    """What the service says of itself. Written by the polling thread, read by the HTTP threads."""

    def __init__(self, stalled_after_s: float) -> None:
        self._stalled_after_s = stalled_after_s
        self._heard = time.monotonic()
        self._waiting_for = "starting"

    def beat(self) -> None:
        """Say that the polling thread is alive; once a turn."""
        self._heard = time.monotonic()

    def ready(self) -> None:
        """Forecasts are being served from now on."""
        self._waiting_for = ""

    def wait_for(self, what: str) -> None:
        """Forecasts are not being served until `what`, for people to read."""
        self._waiting_for = what

    def live_answer(self) -> tuple[bool, str]:
        """Whether to let it live, and why not."""
        silent = time.monotonic() - self._heard
        return silent < self._stalled_after_s, f"no turn for {silent:.1f} s"

    def ready_answer(self) -> tuple[bool, str]:
        """Whether forecasts are being served, and what is waited for if not."""
        return not self._waiting_for, self._waiting_for


class HealthServer:
    """Serves until closed, from threads of its own. Raises AddressInUse; port 0 takes a free one."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        try:
            self._server = _Server((host, port), _handler(registry, health))
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


def _explained(error: OSError, host: str, port: int) -> AddressInUse:
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(f"{host}:{port} is taken by another process", "choose another http.port, or 0 for any")
    return AddressInUse(f"{host}:{port} cannot be listened on: {error.strerror}", "set http.host and http.port")


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry))
                case "/live":
                    self._state("live", *health.live_answer())
                case "/ready":
                    self._state("ready", *health.ready_answer())
                case _:
                    self._json(HTTPStatus.NOT_FOUND, {"paths": ["/metrics", "/live", "/ready"]})

        def _state(self, name: str, good: bool, reason: str) -> None:
            if good:
                self._json(HTTPStatus.OK, {name: True})
            else:
                self._json(HTTPStatus.SERVICE_UNAVAILABLE, {name: False, "reason": reason})

        def _json(self, status: HTTPStatus, content: dict[str, object]) -> None:
            self._answer(status, "application/json", json.dumps(content).encode() + b"\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
            """Scrapes are not worth a line each."""

    return Handler

"""An HTTP server: uvicorn on a thread of its own."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from eddycast.service.errors import AddressInUse

#: Connections at a time.
_CONNECTIONS = 256


def is_loopback(host: str) -> bool:
    """True if an address to listen on is reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class HttpServer:
    """Serves until closed. Port 0 takes a free port. Raises AddressInUse."""

    def __init__(
        self,
        app: Starlette,
        host: str,
        port: int,
        tls: tuple[Path, Path | None] | None = None,
        setting: str = "monitor.port",
        finish_s: int = 1,
    ) -> None:
        """`tls` holds certificate and key, already checked; `setting` is the name of the port's.
        Requests have `finish_s` to finish when it is closed."""
        self._socket = _listening(host, port, setting)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=finish_s,
                ssl_certfile=tls and tls[0],
                ssl_keyfile=tls and tls[1],
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="http", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and release the port."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _listening(host: str, port: int, setting: str) -> socket.socket:
    """A socket that listens. Raises AddressInUse."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(_CONNECTIONS)  # who connects from now on is answered
    except OSError as error:
        found.close()
        raise AddressInUse(
            f"cannot listen on {host}:{port}: {error.strerror}", f"choose another {setting}"
        ) from error
    return found

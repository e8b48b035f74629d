"""Protection of the monitor: headers for browsers, the host that is asked for, and the token."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eddycast.service.web.bearer import BearerToken
from eddycast.service.web.server import is_loopback

#: Scripts come from files of the monitor alone and are never evaluated from text. Style attributes
#: are allowed: the chart library sets them. Nothing is loaded from anywhere else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def middleware(host: str, token: str | None) -> list[Middleware]:
    """Layers around the application, outermost first. On loopback other names of the host are
    refused, so that no web page can reach it by a name of its own. The page itself is free of data
    and needs no token."""
    layers = [Middleware(_Headers), Middleware(GZipMiddleware, minimum_size=2_000)]
    if is_loopback(host):
        hosts = ["localhost", "127.0.0.1", "[::1]", host]
        layers.append(Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False))
    if token is not None:
        layers.append(Middleware(BearerToken, token=token, prefixes=("/api/", "/metrics")))
    return layers


class _Headers:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)

"""Bearer tokens of requests."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class BearerToken:
    """Refuses requests for paths below `prefixes` without the token. `schemes` are the words in
    front of it that are accepted."""

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        prefixes: Sequence[str],
        schemes: Sequence[str] = ("Bearer",),
    ) -> None:
        self._app, self._prefixes = app, tuple(prefixes)
        self._accepted = [f"{scheme} {token}".encode() for scheme in schemes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(self._prefixes):
            given = Headers(scope=scope).get("authorization", "").encode()
            if not any(hmac.compare_digest(given, accepted) for accepted in self._accepted):
                refusal = JSONResponse(
                    {"error": "a bearer token is needed"}, 401, {"WWW-Authenticate": "Bearer"}
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

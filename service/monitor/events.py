"""Server-sent events: the summary a few times a second, however many records arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse

#: Seconds between two events of a client, and the number of clients.
EVERY_S, CLIENTS = 0.5, 64


class Events:
    """Streams of summaries. A client that reads slowly gets fewer events; nothing waits for it."""

    def __init__(self, summary: Callable[[], dict[str, Any]]) -> None:
        self._summary = summary
        self._clients = 0

    async def answer(self, _: Request) -> StreamingResponse:
        """Handle a request for events."""
        if self._clients >= CLIENTS:
            raise HTTPException(503, f"{CLIENTS} clients are served already")
        return StreamingResponse(
            self._stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _stream(self) -> AsyncIterator[bytes]:
        self._clients += 1
        try:
            while True:
                content = await run_in_threadpool(self._summary)
                yield b"event: summary\ndata: " + orjson.dumps(content) + b"\n\n"
                await asyncio.sleep(EVERY_S)
        finally:
            self._clients -= 1

"""The body of a request: read within limits, unpacked, and divided into records."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from starlette.requests import Request

#: Maximum bytes of a body, packed and unpacked.
MAX_BODY_BYTES = 8_388_608
#: Lines of line protocol that become one record, because a record has a maximum of readings.
_LINES = 250
_LINES_OF_JSON = ("application/x-ndjson", "application/jsonl", "application/json-lines")


class BadBody(Exception):
    """A body that is not read; `status` is that of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Room:
    """Bytes of bodies that may be in memory at a time. Used by the server's thread alone."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    def take(self, size: int) -> bool:
        """Reserve room for a body; False if there is none. A body alone always has it."""
        if self._taken and self._taken + size > self._most:
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """Release room."""
        self._taken -= size


def expected_bytes(request: Request) -> int:
    """Bytes that the body will have: as announced, else the most that is read."""
    announced = request.headers.get("content-length", "")
    is_known = announced.isdigit() and len(announced) < 10 and not _packing(request)
    return min(int(announced), MAX_BODY_BYTES) if is_known else MAX_BODY_BYTES


async def body_of(request: Request) -> bytes:
    """Receive a body and unpack it. Raises BadBody."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        _check(len(received))
    packed = _packing(request)
    if not packed:
        return bytes(received)
    if packed != "gzip":
        raise BadBody(415, f"Content-Encoding is {packed}; gzip is read")
    return _unpacked(bytes(received))


def lines_of_json(request: Request, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield records with the number of their first line: one a line if the request says so, else
    the whole body."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _LINES_OF_JSON:
        yield 1, body
        return
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            yield number, line


def lines_of_influx(_: Request, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield parts of line protocol with the number of their first line."""
    lines = body.split(b"\n")
    for start in range(0, len(lines), _LINES):
        part = lines[start : start + _LINES]
        if any(line.strip() and not line.startswith(b"#") for line in part):
            yield start + 1, b"\n".join(part)


def _packing(request: Request) -> str:
    """The codec of the body, "" = none."""
    named = request.headers.get("content-encoding", "").strip().lower()
    return "" if named == "identity" else named


def _unpacked(packed: bytes) -> bytes:
    unpacking = zlib.decompressobj(31)
    try:
        body = unpacking.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise BadBody(400, f"the body is no gzip: {error}") from None
    _check(len(body))
    if not unpacking.eof:
        raise BadBody(400, "the body is no whole gzip: it ends early")
    return body


def _check(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise BadBody(413, f"the body has more than {MAX_BODY_BYTES} bytes: divide it")

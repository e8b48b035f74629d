"""Compression of a record batch, and decompression within a memory limit,
without trusting the sizes that the bytes declare.

1  gzip      one member, or several
2  snappy    one block, or the blocks of snappy-java behind its own head
3  lz4       one frame
4  zstd      one frame, or several
"""

from __future__ import annotations

import gzip
import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import cramjam
import zstandard
from lz4.frame import LZ4FrameDecompressor
from lz4.frame import compress as lz4_compress

#: Bytes unpacked at a time; at most this much is held beyond the limit.
_PIECE: Final = 1 << 20
#: First bytes of a snappy-java stream; its version and the oldest compatible one follow,
#: 4 bytes each.
_SNAPPY_JAVA: Final = b"\x82SNAPPY\0"
_SNAPPY_HEAD: Final = len(_SNAPPY_JAVA) + 8
_BLOCK_SIZE: Final = struct.Struct(">i")
_thread = threading.local()


class Corrupt(Exception):
    """The bytes are not valid for the codec, or the codec is unknown; the message is the reason."""


class TooLarge(Exception):
    """The bytes unpack to more than the limit."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def name(codec: int) -> str:
    """Name of a codec, by its number in the attributes of a batch."""
    return _NAMES.get(codec, f"codec {codec}")


def packed(codec: int, data: bytes) -> bytes:
    """Compress `data`; `codec` is a number from 1 to 4. Snappy is a single block, and blocks of lz4
    are independent, as every client reads them."""
    return _PACK[codec](data)


def unpacked(codec: int, data: bytes, limit: int) -> bytes:
    """Decompress `data`; `codec` is a number from 0 (none) to 7. Raises Corrupt, and TooLarge for a
    result of more than `limit` bytes."""
    if not codec:
        return data
    if codec not in _UNPACK:
        raise Corrupt("Kafka has no such codec")
    try:
        return b"".join(_within(limit, _UNPACK[codec](data, limit)))
    except (
        zlib.error,
        OSError,
        EOFError,
        RuntimeError,
        zstandard.ZstdError,
        cramjam.DecompressionError,
    ) as error:
        raise Corrupt(str(error) or type(error).__name__) from error


def _gzip_packed(data: bytes) -> bytes:
    # higher levels take twenty times as long for a fifth less: figures are hard to match
    member = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=31)
    return member.compress(data) + member.flush()


def _snappy_packed(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


def _lz4_packed(data: bytes) -> bytes:
    return bytes(lz4_compress(data, block_linked=False))


def _zstd_packed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def _within(limit: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > limit:
            raise TooLarge
        yield piece


def _gzip(data: bytes, limit: int) -> Iterator[bytes]:
    """The usual single member by one call, all other forms by the slower module."""
    member = zlib.decompressobj(wbits=31)
    piece = member.decompress(data, limit + 1)
    if len(piece) > limit or (member.eof and not member.unused_data):
        yield piece
    else:
        yield from _pieces(gzip.GzipFile(fileobj=io.BytesIO(data)))


def _snappy(data: bytes, limit: int) -> Iterator[bytes]:
    if not data.startswith(_SNAPPY_JAVA) or len(data) < _SNAPPY_HEAD:
        yield _snappy_block(data, limit)
        return
    at, size = _SNAPPY_HEAD, 0
    while at < len(data):
        if at + _BLOCK_SIZE.size > len(data):
            raise Corrupt("it ends within the size of a block")
        (length,) = _BLOCK_SIZE.unpack_from(data, at)
        begin = at + _BLOCK_SIZE.size
        if not 0 <= length <= len(data) - begin:
            raise Corrupt(f"a block of {length} bytes where {len(data) - begin} are left")
        at = begin + length
        piece = _snappy_block(data[begin:at], limit - size)
        size += len(piece)
        yield piece


def _snappy_block(data: bytes, limit: int) -> bytes:
    """Decompress one block. Its first bytes declare the unpacked size, which the library allocates
    at once, so it is checked before."""
    claimed = 0
    for place, byte in enumerate(data[:5]):
        claimed |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    if claimed > limit:
        raise TooLarge
    return bytes(cramjam.snappy.decompress_raw(data))


def _lz4(data: bytes, _limit: int) -> Iterator[bytes]:
    frame = LZ4FrameDecompressor()
    piece = frame.decompress(data, max_length=_PIECE)
    while not frame.eof:
        if not piece:
            raise Corrupt("it ends within a frame")
        yield piece
        piece = frame.decompress(b"", max_length=_PIECE)
    if frame.unused_data:
        raise Corrupt(f"{len(frame.unused_data)} bytes follow its frame")
    yield piece


def _zstd(data: bytes, _limit: int) -> Iterator[bytes]:
    return _pieces(_zstd_context().stream_reader(data, read_across_frames=True))


def _zstd_context() -> zstandard.ZstdDecompressor:
    """The thread's own context: it is not thread-safe,
    and creating one takes longer than unpacking a small batch."""
    if not hasattr(_thread, "zstd"):
        _thread.zstd = zstandard.ZstdDecompressor()
    context: zstandard.ZstdDecompressor = _thread.zstd
    return context


def _pieces(stream: _Stream) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece


_NAMES: Final = {0: "uncompressed", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_UNPACK: Final[dict[int, Callable[[bytes, int], Iterator[bytes]]]] = {
    1: _gzip,
    2: _snappy,
    3: _lz4,
    4: _zstd,
}
_PACK: Final[dict[int, Callable[[bytes], bytes]]] = {
    1: _gzip_packed,
    2: _snappy_packed,
    3: _lz4_packed,
    4: _zstd_packed,
}

"""What comes in: an answer's body under a cap, unpacked at most once, and what its headers say."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

import anyio

from smm_async._wire import Reply
from smm_async.errors import BadReplyError, SmmError

__all__ = ["Content", "read_response", "retry_after"]

_MAX_HEADERS: Final = 100
# What a library may still have read of a connection that is given up.
_MOST_BUFFERED: Final = 1024 * 1024
# How much of a packed body is unpacked at a time.
_PIECE: Final = 1024 * 1024


async def read_response(response: Any, action: str, limit: int) -> Reply | SmmError:
    """Return the answer, or why it is not usable: for one, more than ``limit`` bytes before or after unpacking."""
    headers: Mapping[str, str] = response.headers
    if len(response.headers.raw) > _MAX_HEADERS:
        return _unusable(response, action, f"it has more than {_MAX_HEADERS} headers")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", ""}:
        return _unusable(response, action, "it is in an encoding that was not asked for")
    content = Content(limit, is_packed="gzip" in encoding)
    stream = aiter(response.stream)
    async for chunk in stream:
        content.take(chunk)
        if content.complaint is not None:
            await _abandon(stream)
            break
    else:
        content.end()
    if content.complaint is not None:
        return _unusable(response, action, content.complaint)
    return Reply(
        response.status_code,
        bytes(content.unpacked),
        retry_after(headers),
        headers.get("location", ""),
    )


class Content:
    """Takes a body piece by piece, and unpacks it; neither it nor what comes out of it may be larger than ``limit``."""

    def __init__(self, limit: int, *, is_packed: bool) -> None:
        self._limit = limit
        self._gzip = zlib.decompressobj(31) if is_packed else None
        self._taken = 0
        self._is_followed = False
        self.unpacked = bytearray()
        self.complaint: str | None = None
        """What is wrong with it; then no more is to be taken."""

    def take(self, chunk: bytes) -> None:
        """Add a piece."""
        self._taken += len(chunk)
        try:
            if self._gzip is None:
                self.unpacked += chunk
            else:
                self._unpack(self._gzip, chunk)
        except zlib.error:
            self.complaint = "it is not the gzip that it claims to be"
        if max(self._taken, len(self.unpacked)) > self._limit:
            self.complaint = f"it is larger than {self._limit} bytes"

    def _unpack(self, gzip: Any, chunk: bytes) -> None:
        if not gzip.eof:
            # A piece at a time: what came out all at once would be in the memory twice.
            piece, most = b"", 0
            while len(piece) == most and not gzip.eof and len(self.unpacked) <= self._limit:
                most = min(_PIECE, self._limit + 1 - len(self.unpacked))
                piece = gzip.decompress(chunk, most)
                self.unpacked += piece
                chunk = gzip.unconsumed_tail
            chunk = gzip.unused_data
        # What follows the end is dropped, where zlib would keep it.
        self._is_followed = self._is_followed or bool(chunk.strip(b"\0"))

    def end(self) -> None:
        """Check that it is complete: a number may be cut in the middle, or go on in a second gzip, and still be one."""
        if self._gzip is not None and self._taken and not self._gzip.eof:
            self.complaint = "its gzip is cut short"
        elif self._is_followed:
            self.complaint = "something follows its gzip"


async def _abandon(stream: AsyncIterator[bytes]) -> None:
    """End a stream before its time: leaving it would leave the library's generators to the garbage collector."""
    left = _MOST_BUFFERED
    with anyio.CancelScope() as scope:
        scope.cancel()
        async for chunk in stream:
            left -= len(chunk) + 1
            if left < 0:
                break


def _unusable(response: Any, action: str, complaint: str) -> BadReplyError:
    code = response.status_code
    return BadReplyError(
        f"The answer to {action!r} is not usable: {complaint}.",
        action=action,
        status_code=code,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a ``Retry-After`` header (RFC 9110, 10.2.3), which may also be a date."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        # Against the server's own clock: this machine's may be wrong, and is nobody's business here.
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, wait.total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None

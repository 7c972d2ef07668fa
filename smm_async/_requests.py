"""What goes out: the headers, the body and an extension of a request, for any library with the classes of httpx.

The key joins the body only while it is read, so that no frame outside ever holds both.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from types import ModuleType
from typing import Any, Final

import anyio

from smm_async._secret import Secret
from smm_async._wire import Question, form_pairs, json_pairs
from smm_async.panels import Panel

__all__ = ["Departure", "HeldBackError", "RequestBody", "body_class", "headers_for", "shield_new_connection"]

_CONNECTED: Final = (
    "connect_tcp.complete",
    "connect_unix_socket.complete",
    "setup_socks5_connection.complete",
    "start_tls.complete",
)


class Departure:
    """How far one write has come. It leaves once, or was stopped before and never leaves."""

    def __init__(self) -> None:
        self.may_have_left = False
        """Whether the panel may have got what it needs to act on the request."""
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether it will never leave, if it has not."""
        return self._is_stopped

    def stop(self) -> None:
        """Keep it from leaving; what has left goes on."""
        self._is_stopped = True

    def leave(self) -> None:
        """Let it go: from here on nobody knows how far it comes.

        Raises:
            HeldBackError: it was stopped, or has left before. There are transports that repeat what they are given.
        """
        if self._is_stopped or self.may_have_left:
            raise HeldBackError
        self.may_have_left = True


class HeldBackError(Exception):
    """A write that must not be sent, or not once more."""


class RequestBody:
    """What is sent."""

    def __init__(self, panel: Panel, key: Secret, question: Question, departure: Departure | None = None) -> None:
        self._panel = panel
        self._key = key
        self._question = question
        self._departure = departure
        self._is_read = False

    @property
    def is_held_back(self) -> bool:
        """Whether it is certain that nobody has got it. Without a body, whoever has the address has got it."""
        return not self._is_read

    def url(self) -> str:
        """Return the address of a request that has no body to hold the fields."""
        question = self._question
        self._leave()
        return f"{question.url}{'&' if '?' in question.url else '?'}{self._fields().decode()}"

    def length(self) -> int:
        """Return how many bytes the body has."""
        return len(self._content())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Reading(self._read)

    def _read(self) -> bytes:
        if self._panel.method != "GET":
            self._leave()
        return self._content()

    def _leave(self) -> None:
        if self._departure is not None:
            self._departure.leave()
        self._is_read = True

    def _content(self) -> bytes:
        return b"" if self._panel.method == "GET" else self._fields()

    def _fields(self) -> bytes:
        panel, content = self._panel, self._question.content
        if panel.body == "json":
            return b"{%s}" % (content if panel.bearer else self._key_pair(json=True) + content)
        return content if panel.bearer else self._key_pair(json=False) + content

    def _key_pair(self, *, json: bool) -> bytes:
        pair = (self._panel.key_field, self._key.reveal())
        return json_pairs([pair]) + b"," if json else form_pairs([pair]) + b"&"


class _Reading:
    """Reads a body, in one piece. Unlike a generator it may be left at any time: not all transports read to the end."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._rest = iter((read,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for read in self._rest:
            return read()
        raise StopAsyncIteration


@functools.cache
def body_class(library: ModuleType) -> type[Any]:
    return type("RequestBody", (RequestBody, library.AsyncByteStream), {})


def headers_for(panel: Panel, host: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that every request to ``host`` has."""
    types = {"form": b"application/x-www-form-urlencoded", "json": b"application/json"}
    fixed = [
        (b"Host", host),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"gzip"),
        (b"User-Agent", panel.user_agent.encode()),
    ]
    if panel.method == "POST":
        fixed.append((b"Content-Type", types[panel.body]))
    return fixed + [(name.encode(), text.encode()) for name, text in panel.headers.items()]


def shield_new_connection(scope: anyio.CancelScope) -> Callable[[str, Any], Coroutine[Any, Any, None]]:
    """Return what httpcore is to tell how far it comes, and shield ``scope`` from a connection's opening to its use.

    Nothing is waited for there but a lock that is free. Yet a request that is cancelled at that lock leaves its new
    connection in the pool of httpcore 1.0.9 and of httpcore2 2.16.2 for ever: neither idle nor closed, in nobody's hands.
    https://www.encode.io/httpcore/extensions/#trace
    """

    async def trace(event: str, _: Any) -> None:
        scope.shield = event.endswith(_CONNECTED)

    return trace

"""The only file that knows an HTTP library: a question goes out, a reply or a typed error comes back.

It stands on `httpx.AsyncBaseTransport`, below cookies, redirects, proxies from the environment and netrc. No exception
of the library leaves it, not even as a cause or a context: their frames and requests hold the key.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import parsedate_to_datetime
from types import ModuleType, TracebackType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx

from smm_async._secret import Secret
from smm_async._wire import Question, Reply, form_pairs, json_pairs
from smm_async.errors import BadReplyError, NoAnswerError, NotSentError, SmmError
from smm_async.panels import Panel

__all__ = ["AsyncTransport", "Departure", "Gate", "Transport"]


class AsyncTransport(Protocol):
    """What carries requests: an `httpx.AsyncBaseTransport`, or that of a library with the same interface."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request of its library, and return that library's response."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


_CONNECT_SECONDS: Final = 10.0
_KEEPALIVE_SECONDS: Final = 15.0
_MAX_HEADERS: Final = 100
# What a library may still have read of a connection that is given up.
_MOST_BUFFERED: Final = 1024 * 1024
# By the name, since several libraries share these classes. Only these prove that the panel has got nothing,
_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "InvalidURL"})
# and only of these libraries: others, pyreqwest among them, say "ConnectError" after the panel has got the request, too.
_EXACT: Final = frozenset({"httpx", "httpx2", "smm_async"})


class Gate:
    """As many places as there are slots, first come, first served; entered before anything is sent."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.reset()

    def reset(self) -> None:
        """Forget who is inside: their event loop has ended."""
        self._semaphore: anyio.Semaphore | None = None

    async def __aenter__(self) -> None:
        if self._semaphore is None:
            self._semaphore = anyio.Semaphore(self._places, fast_acquire=True)
        await self._semaphore.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A task that is thrown away has lost its loop, and its place with it: here may be those of the next loop.
        if exc_type is not GeneratorExit:
            assert self._semaphore is not None  # noqa: S101  it was entered
            self._semaphore.release()


class Departure:
    """How far one write has come. It leaves once, or was stopped before and never leaves."""

    def __init__(self) -> None:
        self.may_have_left = False
        """Whether the panel may have got what it needs to act on the request."""
        self._is_stopped = False

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


class Transport:
    """Sends questions to one panel, with one key.

    Without a transport of the user's, each of the concurrent requests has a one-connection transport to itself: that
    is half the work of a pool, and there are no places in a pool to lose when a request is cancelled.
    """

    def __init__(
        self,
        panel: Panel,
        key: Secret,
        transport: AsyncTransport | None = None,
    ) -> None:
        self._panel = panel
        self._key = key
        self._given = transport
        self._library = httpx if transport is None else _library_of(transport)
        self._free: list[Any] = []
        self._made: list[Any] = []
        urls = {panel.url, *(action.url for action in panel.actions.values() if action.url is not None)}
        self._headers = {url: _headers_for(panel, url) for url in urls}
        self._is_tls = any(urlsplit(url).scheme == "https" for url in urls)

    def forget(self) -> None:
        """Drop connections that belong to an event loop that has ended."""
        # New lists, for a request that its dead loop throws away later still puts its connection back into the old one.
        self._free = []
        self._made = []

    async def aclose(self) -> None:
        """Close all connections, and the transport that was given."""
        transports = [*self._made, *([] if self._given is None else [self._given])]
        self.forget()
        for transport in transports:
            # A connection that cannot say goodbye, for one because its loop has ended, is gone as well.
            with contextlib.suppress(Exception):
                await transport.aclose()

    async def send(self, question: Question, *, limit: int) -> Reply:
        """Send a read, once, and return the answer, of at most ``limit`` bytes before and after unpacking.

        The caller holds a place in the gate and sets a deadline. Cancelling closes the connection.

        Raises:
            NotSentError: it is certain that the panel got nothing.
            NoAnswerError: the panel may have got it.
            BadReplyError: an answer came that is too large, badly packed or in an encoding that was not asked for.
        """
        free = self._free
        transport = self._given or (free.pop() if free else self._make_kept())
        try:
            outcome = await self._exchange(transport, question, limit, None)
        finally:
            if transport is not self._given:
                free.append(transport)
        if isinstance(outcome, SmmError):
            raise outcome
        return outcome

    async def send_write(self, question: Question, departure: Departure, *, limit: int) -> Reply:
        """Send a write, as `send()` does a read, but never on a connection that may have died while it was idle.

        On a connection of its own, a server that hangs up has not got the request before. ``departure`` tells how far
        it came, also when this is cancelled. A transport that was given keeps its own connections.
        """
        # A thread that was waited for does not tell that the time is over, and not every transport looks before it sends.
        await anyio.lowlevel.checkpoint_if_cancelled()
        transport = self._given or self._make(keep=0)
        try:
            outcome = await self._exchange(transport, question, limit, departure)
        finally:
            if transport is not self._given:
                # What has been answered stays answered if the goodbye fails.
                with contextlib.suppress(Exception):
                    await transport.aclose()
        if isinstance(outcome, SmmError):
            raise outcome
        return outcome

    def _make_kept(self) -> Any:
        transport = self._make(keep=1)
        self._made.append(transport)
        return transport

    def _make(self, *, keep: int) -> Any:
        limits = httpx.Limits(
            max_connections=1,
            max_keepalive_connections=keep,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )
        context = _tls_context() if self._is_tls else _no_tls_context()
        return httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)

    async def _exchange(
        self, transport: Any, question: Question, limit: int, departure: Departure | None
    ) -> Reply | SmmError:
        body = _body_class(self._library)(self._panel, self._key, question, departure)
        reply, names, name, number = None, set[str](), "", None
        try:
            response = await transport.handle_async_request(self._request(question, body))
            try:
                reply = await _read(response, question.action, limit)
            finally:
                await response.aclose()
        except Exception as error:  # noqa: BLE001  a transport may raise anything, and all of it may show the key
            names = {cls.__name__ for cls in type(error).__mro__}
            name, number = type(error).__name__, getattr(error, "errno", None)
        # Here, outside the except block, a new error gets no context.
        if reply is not None:
            return reply
        is_proof = body.is_held_back or _library_behind(transport) in _EXACT
        is_proven = is_proof and not names.isdisjoint(_NEVER_SENT)
        # Whatever broke before anybody took the body of a write: the panel had nothing to act upon.
        is_held = departure is not None and not departure.may_have_left
        return _problem(question.action, name, number, is_sent=not (is_held or is_proven))

    def _request(self, question: Question, body: Any) -> Any:
        panel = self._panel
        headers = [*self._headers[question.url], (b"Content-Length", b"%d" % body.length())]
        if panel.bearer:
            headers.append((b"Authorization", b"Bearer " + self._key.reveal().encode()))
        return self._library.Request(
            panel.method,
            body.url(),
            headers=headers,
            stream=body,
            extensions={
                "timeout": {
                    "connect": _CONNECT_SECONDS,
                    "read": None,
                    "write": None,
                    "pool": None,
                }
            },
        )


class _Body:
    """What is sent. The key joins it only while it is read, so that no frame outside ever holds both."""

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
        """Return the address, with the fields where there is no body to hold them."""
        question = self._question
        if self._panel.method != "GET":
            return question.url
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
def _body_class(library: ModuleType) -> type[Any]:
    return type("RequestBody", (_Body, library.AsyncByteStream), {})


def _library_of(transport: object) -> ModuleType:
    """Return the library whose requests ``transport`` takes: httpx, or one with the same interface."""
    for cls in type(transport).__mro__:
        if cls.__name__ == "AsyncBaseTransport":
            return sys.modules[cls.__module__.partition(".")[0]]
    message = f"transport must be an httpx.AsyncBaseTransport, not {type(transport).__name__}."
    raise ValueError(message)


def _library_behind(transport: object) -> str:
    """Return the library whose code sends the requests, and raises the errors."""
    return str(type(transport).handle_async_request.__module__).partition(".")[0]  # type: ignore[attr-defined]


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # Reading the certificates takes 33 ms and a megabyte: once for the process.
    return httpx.create_ssl_context(trust_env=False)


@functools.cache
def _no_tls_context() -> ssl.SSLContext:
    """Return a context that trusts nobody, for plain http, where it is not used."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _headers_for(panel: Panel, url: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that every request to ``url`` has."""
    types = {"form": b"application/x-www-form-urlencoded", "json": b"application/json"}
    fixed = [
        (b"Host", _host_in(url)),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"gzip"),
        (b"User-Agent", panel.user_agent.encode()),
    ]
    if panel.method == "POST":
        fixed.append((b"Content-Type", types[panel.body]))
    return fixed + [(name.encode(), text.encode()) for name, text in panel.headers.items()]


def _host_in(url: str) -> bytes:
    """Return the host exactly as the library looks it up, whose rules for foreign letters are not Python's."""
    try:
        return httpx.URL(url).netloc
    except httpx.InvalidURL as error:
        complaint = f"{url!r} is not a panel's address: {error}"
    raise ValueError(complaint)


async def _read(response: Any, action: str, limit: int) -> Reply | SmmError:
    headers: Mapping[str, str] = response.headers
    if len(response.headers.raw) > _MAX_HEADERS:
        return _unusable(response, action, f"it has more than {_MAX_HEADERS} headers")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", ""}:
        return _unusable(response, action, "it is in an encoding that was not asked for")
    content = _Content(limit, is_packed="gzip" in encoding)
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
        _retry_after(headers),
        headers.get("location", ""),
    )


class _Content:
    """Takes a body piece by piece, and unpacks it; neither it nor what comes out of it may be larger than ``limit``."""

    def __init__(self, limit: int, *, is_packed: bool) -> None:
        self._limit = limit
        self._gzip = zlib.decompressobj(31) if is_packed else None
        self._taken = 0
        self.unpacked = bytearray()
        self.complaint: str | None = None
        """What is wrong with it; then no more is to be taken."""

    def take(self, chunk: bytes) -> None:
        """Add a piece."""
        self._taken += len(chunk)
        try:
            self.unpacked += chunk if self._gzip is None else self._unpack(self._gzip, chunk)
        except zlib.error:
            self.complaint = "it is not the gzip that it claims to be"
        if max(self._taken, len(self.unpacked)) > self._limit:
            self.complaint = f"it is larger than {self._limit} bytes"

    def _unpack(self, gzip: Any, chunk: bytes) -> bytes:
        # What follows the end is dropped, where zlib would keep it.
        return b"" if gzip.eof else bytes(gzip.decompress(chunk, self._limit + 1 - len(self.unpacked)))

    def end(self) -> None:
        """Check that it is complete: a number may be cut in the middle and still be one."""
        if self._gzip is not None and self._taken and not self._gzip.eof:
            self.complaint = "its gzip is cut short"


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


def _problem(action: str, name: str, number: int | None, *, is_sent: bool) -> SmmError:
    what = name if number is None else f"{name}, errno {number}"
    if is_sent:
        return NoAnswerError(
            f"The connection broke before {action!r} was answered ({what}).",
            action=action,
        )
    return NotSentError(
        f"The panel could not be reached, so {action!r} was not sent ({what}).",
        action=action,
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
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

"""The only file that knows an HTTP library: a question goes out, a reply or a typed error comes back.

It stands on `httpx.AsyncBaseTransport`, below cookies, redirects, proxies from the environment and netrc. No exception
of the library leaves it, not even as a cause or a context: their frames and requests hold the key.
"""

from __future__ import annotations

import functools
import ssl
import sys
import zlib
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from types import ModuleType, TracebackType
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import anyio
import httpx

from smm_async._secret import Secret
from smm_async._wire import Question, Reply, form_pairs, json_pairs
from smm_async.errors import BadReplyError, NoAnswerError, NotSentError, SmmError
from smm_async.panels import Panel

__all__ = ["AsyncTransport", "Gate", "Transport"]

AsyncTransport: TypeAlias = httpx.AsyncBaseTransport
"""What carries requests; libraries with the same interface count too."""

_CONNECT_SECONDS: Final = 10.0
_KEEPALIVE_SECONDS: Final = 15.0
_MAX_HEADERS: Final = 100
# By the name, since several libraries share these classes. Only these prove that the panel has got nothing.
_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"})


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
        assert self._semaphore is not None  # noqa: S101  it was entered
        self._semaphore.release()


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
        self._headers = _headers_for(panel)

    def forget(self) -> None:
        """Drop connections that belong to an event loop that has ended."""
        self._free.clear()
        self._made.clear()

    async def aclose(self) -> None:
        """Close all connections, and the transport that was given."""
        transports = [*self._made, *([] if self._given is None else [self._given])]
        self.forget()
        for transport in transports:
            await transport.aclose()

    async def send(self, question: Question, *, limit: int) -> Reply:
        """Send one request, once, and return the answer, of at most ``limit`` bytes before and after unpacking.

        The caller holds a place in the gate and sets a deadline. Cancelling closes the connection.

        Raises:
            NotSentError: it is certain that the panel got nothing.
            NoAnswerError: the panel may have got it.
            BadReplyError: an answer came that is too large or in an encoding that was not asked for.
        """
        transport = self._given or (self._free.pop() if self._free else self._make())
        try:
            outcome = await self._exchange(transport, question, limit)
        finally:
            if transport is not self._given:
                self._free.append(transport)
        if isinstance(outcome, SmmError):
            raise outcome
        return outcome

    def _make(self) -> Any:
        limits = httpx.Limits(
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )
        context = _tls_context() if urlsplit(self._panel.url).scheme == "https" else _no_tls_context()
        transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)
        self._made.append(transport)
        return transport

    async def _exchange(self, transport: Any, question: Question, limit: int) -> Reply | SmmError:
        try:
            response = await transport.handle_async_request(self._request(question))
            try:
                return await _read(response, question.action, limit)
            finally:
                await response.aclose()
        except Exception as error:  # noqa: BLE001  a transport may raise anything, and all of it may show the key
            names = {cls.__name__ for cls in type(error).__mro__}
            name, number = type(error).__name__, getattr(error, "errno", None)
        # Here, outside the except block, the new error gets no context.
        return _problem(question.action, name, number, is_sent=names.isdisjoint(_NEVER_SENT))

    def _request(self, question: Question) -> Any:
        panel, body = (
            self._panel,
            _body_class(self._library)(self._panel, self._key, question),
        )
        headers = [*self._headers, (b"Content-Length", b"%d" % body.length())]
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

    def __init__(self, panel: Panel, key: Secret, question: Question) -> None:
        self._panel = panel
        self._key = key
        self._question = question

    def url(self) -> str:
        """Return the address, with the fields where there is no body to hold them."""
        question = self._question
        if self._panel.method != "GET":
            return question.url
        return f"{question.url}{'&' if '?' in question.url else '?'}{self._fields().decode()}"

    def length(self) -> int:
        """Return how many bytes the body has."""
        return len(self._content())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content()

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


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # Reading the certificates takes 33 ms and a megabyte: once for the process.
    return httpx.create_ssl_context(trust_env=False)


@functools.cache
def _no_tls_context() -> ssl.SSLContext:
    """Return a context that trusts nobody, for plain http, where it is not used."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _headers_for(panel: Panel) -> list[tuple[bytes, bytes]]:
    """Return the headers that every request to ``panel`` has."""
    types = {"form": b"application/x-www-form-urlencoded", "json": b"application/json"}
    fixed = [
        (b"Host", urlsplit(panel.url).netloc.encode("idna")),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"gzip"),
        (b"User-Agent", panel.user_agent.encode()),
    ]
    if panel.method == "POST":
        fixed.append((b"Content-Type", types[panel.body]))
    return fixed + [(name.encode(), text.encode()) for name, text in panel.headers.items()]


async def _read(response: Any, action: str, limit: int) -> Reply | SmmError:
    headers: Mapping[str, str] = response.headers
    if len(response.headers.raw) > _MAX_HEADERS:
        return _unusable(response, action, f"it has more than {_MAX_HEADERS} headers")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", ""}:
        return _unusable(response, action, "it is in an encoding that was not asked for")
    unpack = zlib.decompressobj(31) if "gzip" in encoding else None
    body = bytearray()
    async for chunk in response.stream:
        body += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(body))
        if len(body) > limit:
            return _unusable(response, action, f"it is larger than {limit} bytes")
    return Reply(
        response.status_code,
        bytes(body),
        _retry_after(headers),
        headers.get("location", ""),
    )


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
    except (ValueError, TypeError):
        return None

"""The only file that knows an HTTP library: a question goes out, a reply or a typed error comes back.

It stands on `httpx.AsyncBaseTransport`, below cookies, redirects, proxies from the environment and netrc. No exception
of the library leaves it, not even as a cause or a context: their frames and requests hold the key.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
import sys
from types import ModuleType, TracebackType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import httpx

from smm_async._requests import Departure, body_class, headers_for, shield_new_connection
from smm_async._responses import read_response
from smm_async._secret import Secret
from smm_async._wire import Question, Reply
from smm_async.errors import NoAnswerError, NotSentError, SmmError
from smm_async.panels import Panel

__all__ = ["CONNECT_SECONDS", "AsyncTransport", "Gate", "Sender", "Transport"]


class AsyncTransport(Protocol):
    """What carries requests: an `httpx.AsyncBaseTransport`, or that of a library with the same interface."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request of its library, and return that library's response."""
        ...

    async def aclose(self) -> None:
        """Close its connections."""
        ...


CONNECT_SECONDS: Final = 10.0
"""How long a connection may take to open; all else has the time that the caller has."""
_KEEPALIVE_SECONDS: Final = 15.0
# By the name, since several libraries share these classes. Only these prove that the panel has got nothing,
_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "InvalidURL"})
# and only of these libraries: others, pyreqwest among them, say "ConnectError" after the panel has got the request, too.
_EXACT: Final = frozenset({"httpx", "httpx2", "smm_async"})


class Sender(Protocol):
    """What sends: a `Transport`, or what stands before one."""

    async def send(self, question: Question, *, limit: int) -> Reply: ...

    async def send_write(self, question: Question, departure: Departure, *, limit: int) -> Reply: ...


class Gate:
    """As many places as there are slots, first come, first served; entered before anything is sent."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.reset()

    def reset(self) -> None:
        """Forget who is inside: their event loop has ended."""
        self._semaphore: anyio.Semaphore | None = None

    def at(self, _action: str) -> Gate:
        """Return what a request for an action is to enter: no matter which, itself."""
        return self

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
        self._headers = {url: headers_for(panel, _host_in(url)) for url in urls}
        # Parsing an address takes longer than all the rest of making a request.
        self._urls = {url: self._library.URL(url) for url in urls}
        self._extensions = {"timeout": {"connect": CONNECT_SECONDS, "read": None, "write": None, "pool": None}}
        if transport is not None and _library_behind(transport) == "pyreqwest":
            # It takes the sum for the time of the whole request, and has a time for connecting from its maker.
            self._extensions = {}
        self._is_tls = any(urlsplit(url).scheme == "https" for url in urls)

    def forget(self) -> None:
        """Drop connections that belong to an event loop that has ended."""
        # New lists, for a request that its dead loop throws away later still puts its connection back into the old one.
        self._free = []
        self._made = []

    async def aclose(self) -> None:
        """Close all connections at once, and the transport that was given.

        Cancelling this ends the wait for their goodbyes; each has been told to close.
        """
        made = self._made
        self.forget()
        async with anyio.create_task_group() as closings:
            for transport in made:
                closings.start_soon(_close, transport)
            # In the caller's own task, as its maker may expect.
            if self._given is not None:
                await _close(self._given)

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
                await _close(transport)
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
        body = body_class(self._library)(self._panel, self._key, question, departure)
        reply, names, name, number = None, set[str](), "", None
        try:
            with anyio.CancelScope() as scope:
                response = await transport.handle_async_request(self._request(question, body, scope))
                try:
                    reply = await read_response(response, question.action, limit)
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

    def _request(self, question: Question, body: Any, scope: anyio.CancelScope) -> Any:
        panel = self._panel
        headers = [*self._headers[question.url], (b"Content-Length", b"%d" % body.length())]
        if panel.bearer:
            headers.append((b"Authorization", b"Bearer " + self._key.reveal().encode()))
        request = self._library.Request(
            panel.method,
            body.url() if panel.method == "GET" else self._urls[question.url],
            headers=headers,
            stream=body,
            # pyreqwest would only carry it around.
            extensions={**self._extensions, "trace": shield_new_connection(scope)} if self._extensions else {},
        )
        if panel.method == "GET" and self._given is None:
            request.url = _Address(request.url)
        return request


async def _close(transport: AsyncTransport) -> None:
    # A connection that cannot say goodbye, for one because its loop has ended, is gone as well.
    with contextlib.suppress(Exception):
        await transport.aclose()


class _Address(httpx.URL):
    """An address that prints itself without its query, where the key may be: there is instrumentation that prints it."""

    def __str__(self) -> str:
        return str(self.copy_with(query=None))

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"

    def copy_with(self, **kwargs: Any) -> httpx.URL:
        return httpx.URL(self, **kwargs)


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


def _host_in(url: str) -> bytes:
    """Return the host exactly as the library looks it up, whose rules for foreign letters are not Python's."""
    try:
        return httpx.URL(url).netloc
    except httpx.InvalidURL as error:
        complaint = f"{url!r} is not a panel's address: {error}"
    raise ValueError(complaint)


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

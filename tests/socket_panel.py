"""A scripted HTTP server on the loopback interface, for what only real sockets show."""

import gzip
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import attrs
from anyio.streams.tls import TLSListener

Act = Callable[[anyio.abc.ByteStream], Awaitable[None]]
"""Answers one request by what it writes; when it has closed the stream, or raises, the connection ends."""


@attrs.frozen
class Received:
    """One request, as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    """The number of the connection it came on, from 0."""

    def header(self, name):
        """Return the only header of this name, or ``None``."""
        found = [text for own, text in self.headers if own.lower() == name.lower()]
        assert len(found) <= 1
        return found[0] if found else None


class SocketPanel:
    """Keeps each request, and answers it with the next act, at the end with the last one again and again.

    Use it with ``async with``: its tasks belong to the test.
    """

    def __init__(self, *acts, tls=None):
        self._acts = deque(acts)
        self._tls = tls
        self._tasks = anyio.create_task_group()
        self._changed = anyio.Event()
        self._goodbyes = 0
        self.requests: list[Received] = []
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.deaf = 0
        """How many of the next connections are closed as soon as they are accepted."""

    async def __aenter__(self):
        listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        self._listener = listener if self._tls is None else TLSListener(listener, self._tls, standard_compatible=False)
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._listener.serve, self._serve)
        return self

    async def __aexit__(self, *error):
        self._tasks.cancel_scope.cancel()
        # A task group that is left with an exception may put it into a group.
        await self._tasks.__aexit__(None, None, None)
        await self._listener.aclose()

    @property
    def url(self):
        """The address, by number."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}/api/v2"

    async def wait_for_requests(self, count):
        """Wait until ``count`` requests have come."""
        while len(self.requests) < count:
            await self._changed.wait()

    async def wait_for_goodbyes(self, count):
        """Wait until the client has closed ``count`` connections."""
        with anyio.fail_after(5.0):
            while self._goodbyes < count:
                await self._changed.wait()

    def _note_change(self):
        self._changed.set()
        self._changed = anyio.Event()

    async def _serve(self, stream):
        number, self.connections = self.connections, self.connections + 1
        async with stream:
            if self.deaf:
                self.deaf -= 1
                return
            try:
                while True:
                    await self._answer(stream, number)
            except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                self._goodbyes += 1
                self._note_change()

    async def _answer(self, stream, number):
        self.requests.append(await _receive(stream, number))
        self._note_change()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await (self._acts.popleft() if len(self._acts) > 1 else self._acts[0])(stream)
        finally:
            self.in_flight -= 1


async def _receive(stream, number):
    data = bytearray()
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
        if data[0] == 0x16:
            raise anyio.EndOfStream  # a handshake, where TLS is not spoken
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, text) for name, _, text in (line.partition(": ") for line in lines)]
    length = sum(int(text) for name, text in headers if name.lower() == "content-length")
    while len(body) < length:
        body += await stream.receive()
    return Received(method, target, headers, body, number)


def head(status=200, *headers):
    """Return the bytes before a body; each header is one complete line."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} Whatever", *headers, "")).encode()


def raw(*parts, close=False):
    """Return an act that writes ``parts``."""

    async def act(stream):
        for part in parts:
            await stream.send(part)
        if close:
            await stream.aclose()

    return act


def reply(body=b"{}", status=200, *headers):
    """Return an act that answers as servers should."""
    body = body.encode() if isinstance(body, str) else body
    return raw(head(status, f"Content-Length: {len(body)}", *headers) + body)


def zipped(body, *headers):
    """Return an act that answers with a body packed by gzip."""
    return reply(gzip.compress(body), 200, "Content-Encoding: gzip", *headers)


async def close(stream):
    """Close the connection without an answer."""
    await stream.aclose()


async def hang(stream):
    """Never answer; end when the client closes the connection."""
    while True:
        await stream.receive()


def without_end(start, *parts):
    """Return an act that writes ``start``, and then ``parts`` again and again, a thousand times a second at most."""

    async def act(stream):
        await stream.send(start)
        while True:
            for part in parts:
                await stream.send(part)
                await anyio.sleep(0.001)

    return act


def together(count, act):
    """Return an act that keeps its first ``count`` requests waiting for each other."""
    come, complete = 0, anyio.Event()

    async def wait_and_act(stream):
        nonlocal come
        come += 1
        if come == count:
            complete.set()
        await complete.wait()
        await act(stream)

    return wait_and_act


class ClosedPort:
    """A port where nobody listens, and nobody else can, for the time of a ``with`` block."""

    def __enter__(self):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/v2"

    def __exit__(self, *error):
        self._socket.close()

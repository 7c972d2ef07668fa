"""A transport that answers by a script, for what needs no sockets, and virtual time where it takes time."""

import json
from collections import deque

import anyio
import attrs
import httpx


@attrs.frozen
class Sent:
    """One request, as the transport got it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class ScriptedTransport(httpx.AsyncBaseTransport):
    """Keeps each request, and answers it with the next act, at the end with the last one again and again.

    An act is an async callable that returns a response or raises; `refused` does so before the request is read.
    """

    def __init__(self, *acts):
        self._acts = deque(acts)
        self._arrived = anyio.Event()
        self.requests: list[Sent] = []
        self.open = 0
        """How many requests are on their way, until their answers have been closed."""
        self.most_open = 0
        self.is_closed = False

    async def handle_async_request(self, request):
        """Answer a request."""
        act = self._acts.popleft() if len(self._acts) > 1 else self._acts[0]
        body = b"" if act is refused else b"".join([part async for part in request.stream])
        self.requests.append(Sent(request.method, str(request.url), dict(request.headers), body))
        self._arrived.set()
        self._arrived = anyio.Event()
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            response = await act()
        except BaseException:
            self.open -= 1
            raise
        response.stream = _Counted(response.stream, self)
        return response

    async def aclose(self):
        """Only remember it."""
        self.is_closed = True

    async def wait_for_requests(self, count):
        """Wait until ``count`` requests have come."""
        while len(self.requests) < count:
            await self._arrived.wait()


class _Counted(httpx.AsyncByteStream):
    def __init__(self, stream, transport):
        self._stream = stream
        self._transport = transport

    def __aiter__(self):
        return aiter(self._stream)

    async def aclose(self):
        self._transport.open -= 1
        await self._stream.aclose()


class Drip(httpx.AsyncByteStream):
    """A body of ``count`` single bytes, one in ``seconds``."""

    def __init__(self, byte, count, seconds):
        self._byte = byte
        self._count = count
        self._seconds = seconds

    async def __aiter__(self):
        for _ in range(self._count):
            await anyio.sleep(self._seconds)
            yield self._byte


def answer(value, status=200, **headers):
    """Return an act that answers with a JSON value, or with bytes as they are; names of headers with underscores."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}

    async def act():
        return httpx.Response(status, stream=httpx.ByteStream(content), headers=named)

    return act


def streamed(stream, status=200):
    """Return an act that answers with a stream of bytes."""

    async def act():
        return httpx.Response(status, stream=stream)

    return act


def failure(error):
    """Return an act that raises ``error``."""

    async def act():
        raise error

    return act


async def refused():
    """Raise what a library raises when nobody listens."""
    raise httpx.ConnectError("Connection refused")


def after(seconds, act):
    """Return an act that takes its time."""

    async def slow_act():
        await anyio.sleep(seconds)
        return await act()

    return slow_act


async def never():
    """Never answer."""
    await anyio.sleep_forever()


class Held:
    """An act that answers all its requests when it is released."""

    def __init__(self, act):
        self._act = act
        self._released = anyio.Event()

    async def __call__(self):
        """Wait, then answer."""
        await self._released.wait()
        return await self._act()

    def release(self):
        """Let all go on."""
        self._released.set()

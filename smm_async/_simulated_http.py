"""The two edges of a simulated panel: a transport for an HTTP client, and the messages of an ASGI server."""

import functools
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio
import httpx

from smm_async._simulated_faults import Fault
from smm_async._simulated_requests import Answer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REFUSED = "The simulated panel refused the connection."
_LOST = "The simulated panel dropped the connection."


class SimulatedTransport(httpx.AsyncBaseTransport):
    """An HTTP transport whose other end is a simulated panel; made by `SimulatedPanel.transport`.

    Takes the requests of `httpx`, and those of a library that has the same classes under another name (`httpx2`);
    answers and exceptions are then that library's. Bodies come as unread streams, as from a socket.
    """

    is_closed: bool
    """Whether its owner has closed it; it answers all the same."""

    def __init__(self, respond: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> None:
        self._respond = respond
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the panel's response.

        Raises:
            httpx.ConnectError: The panel refused, by a fault.
            httpx.ReadError: The answer was lost, by a fault.
        """
        return await self._respond(request)

    async def aclose(self) -> None:
        """Note that the owner has closed it."""
        self.is_closed = True


class _Body:
    # No generator: one that is abandoned half read warns on trio.
    def __init__(self, content: bytes, error: Exception | None) -> None:
        self._parts = [content]
        self._error = error

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        if self._parts:
            return self._parts.pop()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration


@functools.cache
def _stream_class(base: type) -> Any:
    return type("SimulatedStream", (_Body, base), {})


async def respond_over_transport(request: httpx.Request, answer: Answer, fault: Fault) -> httpx.Response:
    """Return an answer as the response object of the request's own library, or fail as the fault says."""
    # The last base but `object`: a user may have subclassed the library's request.
    library: Any = sys.modules[type(request).__mro__[-2].__module__.partition(".")[0]]
    if fault.delivery == "refused":
        raise library.ConnectError(_REFUSED, request=request)
    if fault.delivery == "stalled":
        await anyio.sleep_forever()
    lost = library.ReadError(_LOST, request=request)
    if fault.delivery == "lost":
        raise lost
    headers, content = _head_and_content(answer, fault)
    stream = _stream_class(library.AsyncByteStream)(content, lost if fault.delivery == "cut" else None)
    response: httpx.Response = library.Response(answer.status, headers=headers, stream=stream, request=request)
    return response


async def respond_over_asgi(answer: Answer, fault: Fault, receive: Receive, send: Send) -> None:
    """Send an answer as ASGI messages.

    A server closes the connection when the application raises after the head: so `cut` and `lost` end with
    `httpx.ReadError`, which is what an in-process ASGI transport lets its client see too.
    """
    if fault.delivery == "refused":
        raise httpx.ConnectError(_REFUSED)
    if fault.delivery == "stalled":
        await _wait_for_disconnect(receive)
        return
    headers, content = _head_and_content(answer, fault)
    lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    is_whole = fault.delivery == "whole"
    await send({"type": "http.response.start", "status": answer.status, "headers": lines})
    await send({"type": "http.response.body", "body": content, "more_body": not is_whole})
    if not is_whole:
        raise httpx.ReadError(_LOST)


async def read_asgi_body(receive: Receive) -> bytes | None:
    """Return the whole request body, or None if the client left before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def run_asgi_lifespan(receive: Receive, send: Send) -> None:
    """Say yes to the server's start and stop; the panel has nothing to open or to close."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _head_and_content(answer: Answer, fault: Fault) -> tuple[list[tuple[str, str]], bytes]:
    headers, content, announced = list(answer.headers), answer.body, len(answer.body)
    if fault.delivery != "whole":
        content = content[: fault.first_bytes]
        # More than is sent, whatever the body's length was: the client must see that something is missing.
        announced = max(announced, len(content) + 1)
    if all(name != "content-length" for name, _ in headers):
        headers.append(("content-length", str(announced)))
    return headers, content


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""A panel on the loopback interface that breaks at any point of a write, and knows what it has carried out."""

import contextlib
import json
import socket
import struct
from urllib.parse import parse_qsl

import anyio
import anyio.abc
import attrs
from anyio.streams.tls import TLSListener

_JSON = "Content-Type: application/json"
_TLS_HELLO = b"\x16\x03"
_VALUES = {"add": {"order": 7}, "refill": {"refill": 7}, "cancel": {"cancel": 1}}


@attrs.frozen
class Fault:
    """What happens to a write: where it is met, and what is done then."""

    act: object
    """Called with the server, the connection and the fields of the write, as far as they have come."""
    at: str = "body"
    """``accept``, ``head`` (of the request) or ``body``: all of it has come."""
    is_endless: bool = False
    """Whether the client has to give up."""
    on_used_connections: bool = False
    """Whether it is met on connections only that have answered a read before; all others are in order."""


class FaultServer:
    """Answers reads as it should; a write meets the fault, and its connection ends.

    Use it with ``async with``: its tasks belong to the test.
    """

    def __init__(self, fault, *, tls=None, closes_behind_reads=False):
        self._fault = fault
        self._tls = tls
        self._closes_behind_reads = closes_behind_reads
        self._tasks = anyio.create_task_group()
        self.executed: list[tuple[str, str]] = []
        """The action and the link or order of each write that was carried out."""
        self.writes = 0
        """How many writes came, or met the fault before they could."""

    async def __aenter__(self):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        self._listener = listener if self._tls is None else TLSListener(listener, self._tls, standard_compatible=False)
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._listener.serve, self._serve)
        return self

    async def __aexit__(self, *error):
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._listener.aclose()

    async def _serve(self, stream):
        async with stream:
            with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                await self._talk(stream)

    async def _talk(self, stream):
        """Answer reads until a write comes, and meet the fault with it."""
        fault, form = self._fault, None
        if fault.at != "accept":
            head, body = await _receive_head(stream)
            while b"action=balance" in (body := await _receive_body(stream, head, body, fault.at)):
                await stream.send(http(200, {"balance": "5.00"}))
                if self._closes_behind_reads:
                    return
                head, body = await _receive_head(stream)
                fault = attrs.evolve(fault, on_used_connections=False)
            form = dict(parse_qsl(body.decode()))
        self.writes += 1
        await (_IN_ORDER if fault.on_used_connections else fault).act(self, stream, form)

    def execute(self, form):
        """Carry out a write, and return the bytes of its answer."""
        self.executed.append((form["action"], form.get("link") or form.get("order") or form["orders"]))
        return http(200, _VALUES[form["action"]])


async def _receive_head(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
        if data.startswith(_TLS_HELLO):
            await stream.send(http(400, b"This is not HTTP."))
            raise anyio.EndOfStream
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


async def _receive_body(stream, head, body, until):
    lines = (line.partition(": ") for line in head.split("\r\n"))
    length = next(int(value) for name, _, value in lines if name.lower() == "content-length")
    while until == "body" and len(body) < length:
        body += await stream.receive()
    return body


def http(status, value, *headers):
    """Return the bytes of an answer, JSON or what is given."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *(headers or [_JSON]), "", ""]
    return "\r\n".join(lines).encode() + body


# --- What servers do


async def _reset(server, stream, form):
    """Break the connection off: whoever reads gets an error, and what was not read is lost."""
    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await anyio.aclose_forcefully(stream)


async def _close(server, stream, form):
    await stream.aclose()


async def _hang(server, stream, form):
    while True:
        await stream.receive()


async def _drip(server, stream, form):
    for byte in http(200, {"order": 7, "refill": 7, "cancel": 1}):
        await stream.send(bytes([byte]))
        await anyio.sleep(0.01)


def behind(end, *, executed, **kwargs):
    """Return a fault: the whole request came, was carried out or not, and then ``end`` comes in place of an answer."""

    async def act(server, stream, form):
        if executed:
            server.execute(form)
        await end(server, stream, form)

    return Fault(act, **kwargs)


def _saying(answer, *, executed):
    """Return a fault: ``answer`` comes in place of the panel's own."""

    async def say(server, stream, form):
        await stream.send(answer)

    return behind(say, executed=executed)


def _answering(end, *, length=None, **kwargs):
    """Return a fault: the panel's own answer comes, or its first bytes, and then ``end``."""

    async def act(server, stream, form):
        await stream.send(server.execute(form)[:length])
        await end(server, stream, form)

    return Fault(act, **kwargs)


_IN_ORDER = _answering(_close)
_TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"

FAULTS = {
    "none": _IN_ORDER,
    "reset_on_accept": Fault(_reset, at="accept"),
    "close_on_accept": Fault(_close, at="accept"),
    "hang_on_accept": Fault(_hang, at="accept", is_endless=True),
    "reset_before_the_body": Fault(_reset, at="head"),
    "close_before_the_body": Fault(_close, at="head"),
    "refused_in_words": _saying(http(200, {"error": "Not enough funds on balance"}), executed=False),
    "answer_then_reset": _answering(_reset),
    "half_head": _answering(_close, length=20),
    "half_body": _answering(_close, length=-3),
    "half_body_then_reset": _answering(_reset, length=-3),
    "half_body_then_hang": _answering(_hang, length=-3, is_endless=True),
}
for _when, _is in {"before": False, "after": True}.items():
    FAULTS |= {
        f"reset_{_when}": behind(_reset, executed=_is),
        f"close_{_when}": behind(_close, executed=_is),
        f"hang_{_when}": behind(_hang, executed=_is, is_endless=True),
        f"drip_{_when}": behind(_drip, executed=_is, is_endless=True),
        f"page_502_{_when}": _saying(http(502, b"<html>Bad gateway</html>", "Content-Type: text/html"), executed=_is),
        f"no_with_500_{_when}": _saying(http(500, {"error": "Not enough funds on balance"}), executed=_is),
        f"try_again_{_when}": _saying(http(200, {"error": "Something went wrong, please try again"}), executed=_is),
        f"no_http_{_when}": _saying(b"SSH-2.0-OpenSSH\r\n", executed=_is),
        f"early_hints_only_{_when}": _saying(b"HTTP/1.1 103 Early Hints\r\n\r\n", executed=_is),
        f"half_chunk_{_when}": _saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", executed=_is),
        f"half_json_{_when}": _saying(http(200, b'{"order": 7'), executed=_is),
        f"two_lengths_{_when}": _saying(_TWO_LENGTHS, executed=_is),
    }

STALE = {
    "closed_while_idle": Fault(_IN_ORDER.act, on_used_connections=True),
    "closed_on_the_next_request": behind(_close, executed=False, on_used_connections=True),
    "closed_behind_the_next_request": behind(_close, executed=True, on_used_connections=True),
    "reset_on_the_next_request": behind(_reset, executed=False, on_used_connections=True),
}

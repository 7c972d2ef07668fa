"""A panel on the loopback interface that breaks at any point of a write, and knows what it has carried out."""

import json
import socket
import struct
from urllib.parse import parse_qsl

import anyio
import anyio.abc
from anyio.streams.tls import TLSListener

READ = 65536
JSON = "Content-Type: application/json"


class FaultServer:
    """Answers reads as it should; each write meets the fault, and at most one.

    Use it with ``async with``: its tasks belong to the test.
    """

    def __init__(self, fault, *, tls=None):
        self._fault = fault
        self._tls = tls
        self._tasks = anyio.create_task_group()
        self.executed: list[tuple[str, str]] = []
        """The action and the link or order of each write that was carried out."""
        self.writes = 0
        """How many connections brought a byte of a write, or met the fault before."""
        self.reads = 0

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
            try:
                while await self._answer(stream):
                    pass
            except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass

    async def _answer(self, stream):
        """Answer one request; return whether the connection goes on."""
        if self._fault.at == "accept":
            self.writes += 1
            await self._fault.act(self, stream, None)
            return False
        head, body = await _receive_head(stream)
        if self._fault.at == "head" and b"action=balance" not in body:
            self.writes += 1
            await self._fault.act(self, stream, None)
            return False
        form = dict(parse_qsl((await _receive_body(stream, head, body)).decode()))
        if form["action"] == "balance":
            self.reads += 1
            await stream.send(http(200, {"balance": "5.00"}))
            return not self._fault.hangs_up_on_readers
        self.writes += 1
        await self._fault.act(self, stream, form)
        return False

    def execute(self, form):
        """Carry out a write, and return the bytes of its answer."""
        self.executed.append((form["action"], form.get("link") or form["order"]))
        values = {"add": {"order": 7}, "refill": {"refill": 7}, "cancel": {"cancel": 1}}
        return http(200, values[form["action"]])


class Fault:
    """What happens to a write: where it is met, and what is done then."""

    def __init__(self, act, *, at="body", hangs_up_on_readers=False):
        self.act = act
        self.at = at
        """``accept``, ``head`` (of the request) or ``body`` (all of it has come)."""
        self.hangs_up_on_readers = hangs_up_on_readers
        """Whether the connection is closed behind the answer to a read, without a word about it."""


async def _receive_head(stream):
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive(READ)
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


async def _receive_body(stream, head, body):
    lines = (line.partition(": ") for line in head.split("\r\n"))
    length = next(int(value) for name, _, value in lines if name.lower() == "content-length")
    while len(body) < length:
        body += await stream.receive(READ)
    return body


def http(status, value, *headers):
    """Return the bytes of an answer, JSON or what is given."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *(headers or [JSON]), "", ""]
    return "\r\n".join(lines).encode() + body


async def reset(stream):
    """Break the connection off: whoever reads gets an error, and what was not read is lost."""
    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await anyio.aclose_forcefully(stream)


# --- What servers do


async def _reset_at_once(server, stream, form):
    await reset(stream)


async def _close_at_once(server, stream, form):
    await stream.aclose()


async def _hang(server, stream, form):
    while True:
        await stream.receive()


def behind(end, *, executed):
    """Return a fault: the whole request came, was carried out or not, and then ``end`` comes in place of an answer."""

    async def act(server, stream, form):
        if executed:
            server.execute(form)
        await end(server, stream, form)

    return Fault(act)


def saying(answer, *, executed, length=None):
    """Return a fault: ``answer`` comes, or its first bytes, in place of the panel's own, and the connection ends."""

    async def say(server, stream, form):
        await stream.send(answer[:length])
        await stream.aclose()

    return behind(say, executed=executed)


def answering(end, *, length=None, hangs_up_on_readers=False):
    """Return a fault: the panel's own answer comes, or its first bytes, and then ``end``."""

    async def act(server, stream, form):
        await stream.send(server.execute(form)[:length])
        await end(server, stream, form)

    return Fault(act, hangs_up_on_readers=hangs_up_on_readers)


async def _drip(server, stream, form):
    for byte in http(200, {"order": 7, "refill": 7, "cancel": 1}):
        await stream.send(bytes([byte]))
        await anyio.sleep(0.01)


_PAGE = http(502, b"<html>Bad gateway</html>", "Content-Type: text/html")
_NO = http(500, {"error": "Not enough funds on balance"})
_LATER = http(200, {"error": "Something went wrong, please try again later"})
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"

FAULTS = {
    "none": answering(_close_at_once),
    "reset_on_accept": Fault(_reset_at_once, at="accept"),
    "close_on_accept": Fault(_close_at_once, at="accept"),
    "hang_on_accept": Fault(_hang, at="accept"),
    "reset_before_the_body": Fault(_reset_at_once, at="head"),
    "close_before_the_body": Fault(_close_at_once, at="head"),
    "refused_in_words": saying(http(200, {"error": "Not enough funds on balance"}), executed=False),
    "answer_then_reset": answering(_reset_at_once),
    "half_head": answering(_close_at_once, length=20),
    "half_body": answering(_close_at_once, length=-3),
    "half_body_then_reset": answering(_reset_at_once, length=-3),
    "half_body_then_hang": answering(_hang, length=-3),
}
for _executed in (False, True):
    _when = "after" if _executed else "before"
    FAULTS |= {
        f"reset_{_when}": behind(_reset_at_once, executed=_executed),
        f"close_{_when}": behind(_close_at_once, executed=_executed),
        f"hang_{_when}": behind(_hang, executed=_executed),
        f"drip_{_when}": behind(_drip, executed=_executed),
        f"page_502_{_when}": saying(_PAGE, executed=_executed),
        f"no_with_500_{_when}": saying(_NO, executed=_executed),
        f"try_again_{_when}": saying(_LATER, executed=_executed),
        f"no_http_{_when}": saying(b"SSH-2.0-OpenSSH\r\n", executed=_executed),
        f"early_hints_only_{_when}": saying(b"HTTP/1.1 103 Early Hints\r\n\r\n", executed=_executed),
        f"half_chunk_{_when}": saying(_CHUNKED, executed=_executed),
        f"half_json_{_when}": saying(http(200, b'{"order": 7'), executed=_executed),
        f"two_lengths_{_when}": saying(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", executed=_executed
        ),
    }

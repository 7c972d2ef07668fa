"""A network below httpcore, with the simulated panel at its other end: connections that break at any byte."""

from unittest import mock

import anyio
import h11
import httpcore
from httpcore._async import http11


class _Clock:
    """Stands in for the module ``time`` in httpcore, which asks it when a kept connection grows old."""

    @staticmethod
    def monotonic():
        """Return the loop's time."""
        return anyio.current_time()


def virtual_clock():
    """Return a context manager in which httpcore lives in the loop's time."""
    return mock.patch.object(http11, "time", _Clock)


class SimulatedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the panel of a life."""

    def __init__(self, life):
        self._life = life

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109  httpcore's interface
        """Return a connection, or fail."""
        connection = Connection(self._life)
        await connection.open()
        return connection


class Connection(httpcore.AsyncNetworkStream):
    """One connection: what is written is read by the panel, and what the panel answers is read in pieces."""

    def __init__(self, life):
        self._life = life
        self._world = life.world
        self._parser = h11.Connection(h11.SERVER)
        self._answer = None
        self._received = None
        self._fault = ""
        self._is_closed = False

    async def open(self):
        """Draw what becomes of the next request, for it may be that nothing is reached."""
        self._next()
        self._world.open_streams += 1
        try:
            await self._world.pause()
            if self._fault in {"refused", "connecting"}:
                self._world.meet_early(self._received)
                await self._world.travel()
                raise httpcore.ConnectError() if self._fault == "refused" else httpcore.ConnectTimeout()
        except BaseException:
            await self.aclose()
            raise

    def _next(self):
        self._received = self._world.draw_request()
        self._fault = self._received.fault.name

    async def write(self, buffer, timeout=None):  # noqa: ASYNC109
        """Take a part of a request."""
        await self._world.pause()
        if self._is_closed:
            raise httpcore.WriteError
        if not buffer:
            # httpcore writes nothing at the end of a body; to h11 that would be the end of the connection.
            return
        if self._parser.our_state is h11.DONE:
            # The next request on a connection that was kept.
            self._parser.start_next_cycle()
            self._next()
            if self._fault in {"refused", "connecting"}:
                # The panel had closed it, which is noticed now.
                self._world.meet_early(self._received)
                raise httpcore.WriteError
        self._parser.receive_data(buffer)
        body = b""
        while (event := self._parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                self._take(body)
                break
        if body and self._fault == "lost while writing":
            self._world.act(self._received)
            raise httpcore.WriteError

    def _take(self, body):
        self._world.receive(self._received, body)
        self._fault = self._received.fault.name
        received = self._received
        self._life.note("asked", received.number, self._fault, received.action, *received.ids)
        self._answer = None

    async def read(self, max_bytes, timeout=None):  # noqa: ASYNC109
        """Return the next piece of the answer; nothing at its end if the panel has hung up."""
        await self._world.pause()
        if self._answer is None:
            self._answer = bytearray(await self._make_answer())
        if self._fault == "drip":
            await anyio.sleep(0.5)
            max_bytes = 16
        piece = bytes(self._answer[:max_bytes])
        del self._answer[:max_bytes]
        if not piece and self._fault == "cut":
            raise httpcore.ReadError
        return piece

    async def _make_answer(self):
        world, received, name = self._world, self._received, self._fault
        await world.travel(100.0 if name == "slow" else 1.0)
        if name == "lost before":
            raise httpcore.ReadError
        value = world.act(received)
        if name == "hang":
            await anyio.sleep_forever()
        await world.travel()
        if name == "lost after":
            await anyio.sleep(self._life.draw.choice([0.0, 5.0, 60.0]))
            return b""
        return self._write_answer(*world.answer(received, value))

    def _write_answer(self, status, headers, body):
        fields = [(b"Content-Length", b"%d" % len(body))]
        fields += [(name.encode(), value.encode()) for name, value in headers.items()]
        if self._life.draw.random() < 0.2:
            fields.append((b"Connection", b"close"))
        send, parser = self._parser.send, self._parser
        head = send(h11.Response(status_code=status, headers=fields))
        if self._life.draw.random() < 0.2:
            head = b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + head
        answer = head + send(h11.Data(data=body)) + send(h11.EndOfMessage())
        assert parser.our_state in {h11.DONE, h11.MUST_CLOSE}
        if self._fault in {"cut", "short"}:
            answer = answer[: self._life.draw.randrange(len(answer))]
        return answer

    async def aclose(self):
        """Hang up; now and then nobody is there to say goodbye to."""
        if not self._is_closed:
            self._is_closed = True
            self._world.open_streams -= 1
        await self._world.pause()

    def get_extra_info(self, info):
        """Tell nothing of the connection; it is readable whenever somebody reads."""

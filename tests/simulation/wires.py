"""What stands between the client and the simulated panel: an httpx transport, or a network under httpcore."""

import anyio
import httpx

from tests.simulation.network import SimulatedNetwork

_REFUSED = {"refused": httpx.ConnectError, "connecting": httpx.ConnectTimeout}


def transport_for(life):
    """Return the transport that the client of a life is given; over the network it makes its own."""
    return SimulatedTransport(life) if life.knobs.wire == "transport" else None


def prepare(life, client):
    """Put the simulated network under the connections that the client will make."""
    if life.knobs.wire == "network":
        transport = client._exchange._transport
        network, make = SimulatedNetwork(life), transport._make

        def make_simulated(*, keep):
            made = make(keep=keep)
            made._pool._network_backend = network
            return made

        transport._make = make_simulated
        send, world = transport._exchange, life.world

        async def counted(*args):
            world.arrive()
            try:
                return await send(*args)
            finally:
                world.leave()

        transport._exchange = counted


class SimulatedTransport(httpx.AsyncBaseTransport):
    """Carries requests to the simulated panel, and does to them what was drawn."""

    def __init__(self, life):
        self._life = life
        self._world = life.world
        self.is_closed = False

    async def aclose(self):
        """Only remember it."""
        self.is_closed = True

    async def handle_async_request(self, request):
        """Carry one request there and back."""
        world = self._world
        if self.is_closed:
            self._life.wrong("I6 a request was sent after the closing")
        world.arrive()
        received = world.draw_request()
        self._life.note("request", received.number, received.fault.name)
        try:
            status, headers, body = await self._carry(received, request)
        except BaseException:
            world.leave()
            raise
        stream = _Stream(world, received.fault.name, body)
        return httpx.Response(status, headers=headers, stream=stream)

    async def _carry(self, received, request):
        world, name = self._world, received.fault.name
        await world.pause()
        if name in _REFUSED:
            world.meet_early(received)
            await world.travel()
            raise _REFUSED[name]("No connection")
        body = b"".join([part async for part in request.stream])
        world.receive(received, body)
        name = received.fault.name
        self._life.note("asked", received.number, name, received.action, *received.ids)
        await world.travel(100.0 if name == "slow" else 1.0)
        if name == "lost before":
            raise httpx.ReadError("Connection reset")
        value = world.act(received)
        await world.pause()
        if name == "lost while writing":
            raise httpx.WriteError("Broken pipe")
        if name == "hang":
            await anyio.sleep_forever()
        await world.travel()
        if name == "lost after":
            await anyio.sleep(self._life.draw.choice([0.0, 5.0, 60.0]))
            raise httpx.RemoteProtocolError("Server disconnected")
        return world.answer(received, value)


class _Stream(httpx.AsyncByteStream):
    """The body of an answer, cut or slow if its fault says so. It is counted until it is closed."""

    def __init__(self, world, fault, body):
        self._world = world
        self._fault = fault
        self._body = body
        self._is_closed = False
        world.open_streams += 1

    async def __aiter__(self):
        half = len(self._body) // 2
        await self._world.pause()
        if self._fault in {"cut", "short"}:
            yield self._body[:half]
            if self._fault == "cut":
                raise httpx.ReadError("Connection reset")
        elif self._fault == "drip":
            for place in range(0, len(self._body), 16):
                await anyio.sleep(0.5)
                yield self._body[place : place + 16]
        else:
            yield self._body

    async def aclose(self):
        """Count it as closed."""
        if not self._is_closed:
            self._is_closed = True
            self._world.open_streams -= 1
            self._world.leave()
        await self._world.pause()

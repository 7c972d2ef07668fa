"""A network below the connection pools of httpcore and httpcore2, with a small panel at its other end.

Connecting and answering take time; now and then it stalls, resets, stops in the middle, or hangs up on a kept
connection. Once it is calm, nothing goes wrong, and every step takes as long as it says here.
"""

import json
import math
import re
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel

CONNECTING = 0.02
ANSWERING = 0.03
_SLOW = 1.5
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")
_ON_THE_WAY = ("stall", "reset", "short", "slow")


class Clock:
    """Stands in for the module ``time`` in httpcore and httpcore2, which ask it when a kept connection grows old."""

    @staticmethod
    def monotonic():
        """Return the loop's time."""
        return anyio.current_time()


class PoolNetwork:
    """What a pool connects through; ``core`` is httpcore or httpcore2, whose errors it raises."""

    def __init__(self, core, draw, *, fault_rate, checkpoints, step):
        self.core = core
        self.draw = draw
        self._fault_rate = fault_rate
        self._checkpoints = checkpoints
        self._step = step
        self.wires = None
        """A task group, where whatever is on its way is waited for."""
        self.is_calm = False
        self.open = 0
        """Streams that were not closed."""
        self.asked = 0
        """Requests that came to the panel as a whole."""
        self.cut = 0
        """Waits for the network that were cancelled."""
        self.busy = 0
        self.most_busy = 0
        """The most requests that were with the panel at the same time."""

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109  httpcore's interface
        """Return a connection, or fail, or do neither."""
        fault = self.draw_fault(("refused", "stall"))
        if fault == "stall":
            await self.wait(math.inf)
        await self.wait(self.time(CONNECTING))
        if fault == "refused":
            raise self.core.ConnectError
        self.open += 1
        return _Stream(self)

    def draw_fault(self, faults):
        """Return what goes wrong with the next step, if anything does."""
        is_well = self.is_calm or self.draw.random() >= self._fault_rate
        return "" if is_well else self.draw.choice(faults)

    def time(self, usual):
        """Return how many seconds a step takes; in some storms all of them fall on a grid, so that they coincide."""
        if self.is_calm:
            return usual
        seconds = usual * 2 * self.draw.random()
        return round(seconds / self._step) * self._step if self._step else seconds

    async def wait(self, seconds):
        """Wait to be woken by something that comes in, as one waits for a socket: a timer would hide what comes late."""
        arrived = anyio.Event()
        if seconds < math.inf:
            self.wires.start_soon(_ring, arrived, seconds)
        try:
            await arrived.wait()
        except anyio.get_cancelled_exc_class():
            self.cut += 1
            raise

    async def pause(self):
        """Let others run, now and then."""
        if self.draw.random() < self._checkpoints:
            await anyio.lowlevel.checkpoint()

    def enter(self):
        """Note that the panel has got a request."""
        self.asked += 1
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)


async def _ring(arrived, seconds):
    await anyio.sleep(seconds)
    arrived.set()


class _Stream:
    """One connection."""

    def __init__(self, network):
        self._network = network
        self._request = b""
        self._pieces = None
        self._is_busy = False
        self._is_broken = False
        self._is_closed = False
        self._hangs_up_at = math.inf

    async def write(self, buffer, timeout=None):  # noqa: ASYNC109
        """Take a part of a request; at its end httpcore writes nothing, which says nothing."""
        network = self._network
        await network.pause()
        if self._is_closed or self._has_hung_up() or network.draw_fault(("reset", "", "", "")):
            self._is_broken = True
            raise network.core.WriteError
        self._request += buffer
        head, end, body = self._request.partition(b"\r\n\r\n")
        if buffer and end and len(body) == int(_LENGTH.search(head + b"\r\n")[1]):
            self._request, self._pieces, self._is_busy = b"", None, True
            self._form = dict(parse_qsl(body.decode()))
            network.enter()

    async def read(self, max_bytes, timeout=None):  # noqa: ASYNC109
        """Return the next piece of the answer; nothing after its end."""
        network = self._network
        await network.pause()
        if self._is_broken or self._is_closed:
            raise network.core.ReadError
        if self._pieces is None:
            self._pieces = await self._answer()
        elif not network.is_calm and network.draw.random() < 0.3:
            await network.wait(network.time(ANSWERING))
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if not self._pieces:
            self._leave()
            self._hangs_up_at = self._draw_hang_up()
        return piece

    async def _answer(self):
        network = self._network
        fault = network.draw_fault(_ON_THE_WAY)
        await network.wait(_SLOW if fault == "slow" else network.time(ANSWERING))
        if fault == "stall":
            await network.wait(math.inf)
        if fault == "reset":
            self._is_broken = True
            raise network.core.ReadError
        body = json.dumps(answer(self._form, network.asked)).encode()
        closing = b"Connection: close\r\n" if network.draw.random() < 0.15 else b""
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), closing, body)
        cuts = sorted(network.draw.randrange(1, len(whole)) for _ in range(network.draw.choice([0, 1, 2])))
        if fault == "short":
            whole = whole[: network.draw.randrange(len(whole))]
        pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        return [piece for piece in pieces if piece]

    def _draw_hang_up(self):
        network = self._network
        return anyio.current_time() + network.draw.choice([0.0, 0.01, 0.1, 10.0, *[math.inf] * 8])

    def _has_hung_up(self):
        return anyio.current_time() >= self._hangs_up_at

    def _leave(self):
        if self._is_busy:
            self._is_busy = False
            self._network.busy -= 1

    async def aclose(self):
        """Hang up."""
        if not self._is_closed:
            self._is_closed = True
            self._network.open -= 1
            self._leave()
        await self._network.pause()

    def get_extra_info(self, info):
        """Return whether the panel has hung up, which is all that a pool asks for."""
        return self._has_hung_up() if info == "is_readable" else None


def answer(form, number):
    """Return what the panel says to a request."""
    action = form["action"]
    if action == "balance":
        return {"balance": "1.5", "currency": "USD"}
    if action == "status":
        rows = {id_: _row(id_) for id_ in form.get("orders", "").split(",")}
        return rows if "orders" in form else _row(form["order"])
    return {"order": number} if action == "add" else {"refill": number}


def _row(id_):
    return {"charge": "0.5", "start_count": "1", "status": "In progress", "remains": id_, "currency": "USD"}

"""Storms over a connection pool: bursts of cancelled callers under one shared deadline; no slot may be lost."""

import asyncio
import contextlib
import gc
import hashlib
import importlib
import itertools
import random
from unittest import mock

import anyio
import attrs
import trio

from tests.simulation import loops
from tests.simulation.checks import watch_the_process
from tests.simulation.pool_callers import NO_TLS, Plain, ThroughClient, converter_made_once
from tests.simulation.pool_network import ANSWERING, CONNECTING, Clock, PoolNetwork

OWN = "own"
LIBRARIES = {"httpx": "httpcore", "httpx2": "httpcore2", OWN: "httpcore"}
"""Whose pool it is, or the client's own transports, and what carries it."""
CLIENT, UNGATED, PLAIN = "client", "ungated", "plain"
"""What stands between the callers and the pool: the client, the same with a gate as good as none, or nothing of ours."""
CONTROLS = (UNGATED, PLAIN)
BURSTS = 60
_USUAL = 20
_KINDS = (*["status"] * 8, *["balance"] * 5, *["add"] * 4, *["refill"] * 3)
_LATEST = 30.0
"""Seconds after which the budget of every call has ended."""
_FOR_EVER = 3600.0
_BUSY = 0.002
_SLACK = 1e-6

_NO_GATE = 1_000


@attrs.frozen
class Knobs:
    """What is drawn once per storm."""

    places: int
    kept: int
    expiry: float
    budget: float
    write_budget: float
    step: float
    fault_rate: float
    checkpoints: float
    busy: float
    """How often time passes while nobody waits, so that what comes in and a deadline meet in one pass."""


def draw_knobs(draw):
    """Return the knobs of one storm. Short budgets cancel requests in the pool, and many of them at one instant."""
    places = draw.choice([10, 10, 10, 10, 1, 2, 5, 15])
    return Knobs(
        places=places,
        kept=draw.choice([places, places, places // 2, 0]),
        expiry=draw.choice([0.05, 5.0, 15.0]),
        budget=draw.choice([0.06, 0.1, 0.3, 2.0]),
        write_budget=draw.choice([0.1, 0.5, 4.0]),
        step=draw.choice([0.0, 0.005]),
        fault_rate=draw.choice([0.0, 0.02, 0.1]),
        checkpoints=draw.choice([0.0, 0.3]),
        busy=draw.choice([0.0, 0.1, 0.5]),
    )


@attrs.define
class Outcome:
    """What one storm came to, or several together."""

    storms: int = 0
    calls: int = 0
    answered: int = 0
    cancelled: int = 0
    failed: int = 0
    asked: int = 0
    """Requests that came to the panel."""
    cut: int = 0
    """Requests that were cancelled while they held a slot of the pool."""
    slots: int = 0
    stuck: int = 0
    """Slots that nobody holds and nobody will ever get."""
    later: int = 0
    """Requests after the storm, as many as slots, that were answered at once."""
    violations: list[tuple[int, str]] = attrs.field(factory=list)
    """Seeds, and what was wrong in their storms."""
    digest: str = ""

    def add(self, other):
        """Count another one in."""
        for field in attrs.fields(Outcome):
            if field.name == "digest":
                continue
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Storm:
    """One pool, and all that happens to it."""

    def __init__(self, library, backend, seed, through):
        self.seed = seed
        self.library = None if library == OWN else importlib.import_module(library)
        core = LIBRARIES[library]
        self._http11 = importlib.import_module(f"{core}._async.http11")
        self._backend = backend
        self.draw = self._draw = random.Random(seed)
        self.pools = []
        self.left_behind = []
        """What was in the pools when the last burst was long over."""
        self._through = through
        self.knobs = knobs = draw_knobs(self._draw)
        self.outcome = Outcome(storms=1, slots=knobs.places)
        self._trace = hashlib.blake2b(digest_size=8)
        self._numbers = itertools.count(1)
        self._in_flight = self._most_in_flight = 0
        self._scope = None
        self._passes_left = 0
        self._network = PoolNetwork(
            importlib.import_module(core),
            self._draw,
            fault_rate=knobs.fault_rate,
            checkpoints=knobs.checkpoints,
            step=knobs.step,
        )

    def run(self):
        """Let it break."""
        with mock.patch.object(self._http11, "time", Clock), converter_made_once():
            loops.run(self._backend, self._main, self._draw, self._at_pass)
        self.outcome.digest = self._trace.hexdigest()

    def _at_pass(self):
        """Let some time pass, and break off a burst at a pass of the scheduler that was drawn, instead of at a time."""
        if not self._network.is_calm and self._draw.random() < self.knobs.busy:
            _jump(self._backend, self._draw.random() * _BUSY)
        if self._passes_left:
            self._passes_left -= 1
            if not self._passes_left:
                self._scope.cancel()

    async def _main(self):
        tasks_before = loops.count_tasks(self._backend)
        async with anyio.create_task_group() as self._network.wires:
            self._asker = self._make_asker()
            for size in self._draw_sizes():
                await self._burst(size)
                await anyio.sleep(self._draw.choice([0.0, 0.0, 0.0, 0.01, 0.1, 0.3, 6.0]))
            await anyio.sleep(_LATEST)
            self._look_at_pools()
            await self._ask_later()
            await self._close()
        await anyio.sleep(_LATEST)
        if self._network.open:
            self.wrong(f"{self._network.open} streams are open after the closing")
        left = loops.count_tasks(self._backend) - tasks_before
        if left:
            self.wrong(f"{left} tasks are left after the closing")
        if self._through == CLIENT and self._most_in_flight > self.knobs.places:
            self.wrong(f"{self._most_in_flight} requests were in flight through a gate of {self.knobs.places}")
        self.outcome.asked, self.outcome.cut = self._network.asked, self._network.cut

    @property
    def gate(self):
        """How many requests the client may have in flight: as many as the pool has slots."""
        return self.knobs.places if self._through == CLIENT else _NO_GATE

    def _make_asker(self):
        if self._through == PLAIN:
            return Plain(self)
        return ThroughClient(self, self.gate)

    def make_pool(self):
        """Return a transport of the library with as many places as the storm has, over the simulated network."""
        limits = self.library.Limits(
            max_connections=self.knobs.places,
            max_keepalive_connections=self.knobs.kept,
            keepalive_expiry=self.knobs.expiry,
        )
        return self.put_over_network(self.library.AsyncHTTPTransport(verify=NO_TLS, trust_env=False, limits=limits))

    def put_over_network(self, transport):
        """Put the simulated network under a transport, and note its pool."""
        assert transport._pool._network_backend is not None
        transport._pool._network_backend = self._network
        self.pools.append(transport._pool)
        return transport

    @contextlib.contextmanager
    def in_flight(self):
        """Count a request from before it comes to the pool until the pool has its connection back."""
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    def _draw_sizes(self):
        """Return how many callers each burst has: about twenty."""
        pairs = (self._draw.randint(0, 10) for _ in range(BURSTS // 2))
        return [_USUAL + sign * more for more in pairs for sign in (1, -1)]

    async def _burst(self, size):
        draw = self._draw
        way = draw.choice(["time", "time", "time", "pass", "late"])
        patience = {"time": round(draw.random() * 0.15, 3), "pass": 1.0, "late": 1.0}[way]
        late = draw.choice([0.0, 0.0, 0.03])
        with anyio.move_on_after(patience) as self._scope:
            self._passes_left = draw.randint(1, 100) if way == "pass" else 0
            async with anyio.create_task_group() as callers:
                for _ in range(size):
                    callers.start_soon(self._call, draw.choice(_KINDS), draw.random() * late)
        self._passes_left = 0

    async def _call(self, kind, starts_after=0.0):
        outcome, number = self.outcome, next(self._numbers)
        outcome.calls += 1
        end = "cancelled"
        try:
            if starts_after:
                await anyio.sleep(starts_after)
            await self._asker.ask(kind, number)
            end = "answered"
        except self._asker.errors:
            end = "failed"
        except Exception as error:  # noqa: BLE001  one caller must not take the others with it
            end = "failed"
            self.wrong(f"{kind} raised {error!r}")
        finally:
            setattr(outcome, end, getattr(outcome, end) + 1)
            self._trace.update(f"{anyio.current_time():.6f} {number} {kind} {end}\n".encode())
        return end == "answered"

    def _look_at_pools(self):
        """See that nobody holds a slot any more, and that all can be had."""
        connections = [connection for pool in self.pools for connection in pool.connections]
        requests = [request for pool in self.pools for request in pool._requests]
        self.left_behind = [repr(connection) for connection in connections]
        self.outcome.stuck = sum(_is_stuck(connection) for connection in connections)
        idle = sum(connection.is_idle() for connection in connections)
        if self.outcome.stuck:
            self.wrong(f"{self.outcome.stuck} of {self.knobs.places} slots are stuck")
        if requests:
            self.wrong(f"{len(requests)} requests are left in the pool")
        if self._network.open != idle:
            self.wrong(f"{self._network.open} streams are open, and {idle} connections are idle")

    async def _ask_later(self):
        """See that as many requests as there are slots are answered, and all at the same time."""
        places, started = self.knobs.places, anyio.current_time()
        self._network.is_calm, self._network.most_busy = True, 0
        answered_at = []

        async def ask():
            if await self._call("balance"):
                answered_at.append(anyio.current_time() - started)

        calls, answered, cancelled = self.outcome.calls, self.outcome.answered, self.outcome.cancelled
        with anyio.move_on_after(_FOR_EVER):
            async with anyio.create_task_group() as callers:
                for _ in range(places):
                    callers.start_soon(ask)
        # They are no part of the storm.
        self.outcome.calls, self.outcome.answered, self.outcome.cancelled = calls, answered, cancelled
        self.outcome.later = sum(seconds <= CONNECTING + ANSWERING + _SLACK for seconds in answered_at)
        if self.outcome.later != places or self._network.most_busy != places:
            at_once = self._network.most_busy
            self.wrong(f"{self.outcome.later} of {places} later requests were answered at once, {at_once} together")

    async def _close(self):
        """Close in the middle of another burst, if the client is there to answer it."""
        self._network.is_calm = False
        counts = attrs.asdict(self.outcome)
        with anyio.move_on_after(_FOR_EVER) as whole:
            async with anyio.create_task_group() as callers:
                for _ in range(_USUAL if self._through == CLIENT else 0):
                    callers.start_soon(self._call, self._draw.choice(_KINDS))
                await anyio.sleep(self._draw.random() * 0.1)
                await self._asker.aclose()
        if whole.cancelled_caught:
            self.wrong("somebody waits for ever after the closing")
        for name in ("calls", "answered", "cancelled", "failed"):
            setattr(self.outcome, name, counts[name])

    def wrong(self, message):
        """Note what is wrong, to be told after the storm."""
        self.outcome.violations.append((self.seed, message))


def _jump(backend, seconds):
    clock = asyncio.get_running_loop() if backend == "asyncio" else trio.lowlevel.current_clock()
    clock.jump(seconds)


def _is_stuck(connection):
    """Return whether a connection without a request is neither idle nor closed, nor dropped when the next one comes."""
    is_dropped = hasattr(connection, "is_connected") and not connection.is_connected()
    return not (connection.is_idle() or connection.is_closed() or is_dropped)


def storms(library, backend, through, first, count):
    """Return what the storms of ``count`` seeds came to together."""
    total = Outcome()
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        for seed in range(first, first + count):
            total.add(let_break(Storm(library, backend, seed, through)))
    finally:
        gc.unfreeze()
        gc.enable()
    return total


def let_break(storm):
    """Return what a storm came to, even if it broke off."""
    with watch_the_process(storm):
        storm.run()
        # What is never awaited or never retrieved says so when it is collected.
        gc.collect()
    return storm.outcome

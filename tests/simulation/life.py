"""One life of a client: who asks what and when, who is cancelled, how it is closed; all drawn from one seed."""

import hashlib
import itertools
import random
from typing import Any
from unittest import mock

import anyio
import attrs

import smm_async as smm
from smm_async import _exchange
from smm_async._decode import make_converter
from smm_async._retry import Retries
from tests.simulation import checks, limits, loops, network, streams, wires
from tests.simulation.world import KEY, LATEST, World

LOOKUPS = {"status": "status", "statuses": "status", "refill_status": "refill_status"}
READS = {*LOOKUPS, "balance"}
_KINDS = (
    *["status"] * 12,
    *["statuses"] * 4,
    *["refill_status"] * 2,
    "balance",
    *["add"] * 3,
    "refill",
    "refills",
    "cancel",
    "cancels",
)
_UNKNOWN = frozenset({"3", "17"})
_GRID = 0.005
_MOST_PASSES = 20_000
_PANELS = {limit: smm.Panel("http://127.0.0.1/api/v2", batch_limit=limit) for limit in (1, 2, 3, 5, 8, 100)}


# Making a converter takes longer than all that a life decodes with it.
_CONVERTERS = {limit: make_converter(panel) for limit, panel in _PANELS.items()}


class BodyError(Exception):
    """What the body of an ``async with`` raises."""


@attrs.frozen
class Knobs:
    """What is drawn once per life."""

    is_calm: bool
    is_on_grid: bool
    wire: str
    limit: int
    max_in_flight: int
    max_delay: float
    budget: float
    write_budget: float
    grace: float
    fault_rate: float
    cancel_rate: float
    checkpoints: float
    slowest: float
    callers: int
    ids: int
    spread: float
    closes_at: float | None
    body_fails: bool
    rate_limit: Any = None


def draw_knobs(draw):
    """Return the knobs of one life. In a calm one nothing goes wrong, so that no error is excused."""
    is_calm = draw.random() < 0.4
    closes_at = draw.choice([0.0, 0.01, 0.2, 1.0, 20.0]) if draw.random() < 0.25 else None
    return Knobs(
        is_calm=is_calm,
        is_on_grid=draw.random() < 0.5,
        wire="network" if draw.random() < 0.15 else "transport",
        limit=draw.choice([1, 2, 2, 3, 3, 5, 8, 100]),
        max_in_flight=draw.choice([1, 1, 2, 3, 4]),
        max_delay=draw.choice([0.0, 0.0, 0.0, 0.005, 0.1]),
        budget=30.0 if is_calm else draw.choice([0.3, 1.0, 5.0, 30.0]),
        write_budget=60.0 if is_calm else draw.choice([0.5, 5.0, 60.0]),
        grace=draw.choice([0.0, 0.1, 10.0]),
        fault_rate=0.0 if is_calm else draw.choice([0.05, 0.2, 0.5]),
        cancel_rate=draw.choice([0.0, 0.0, 0.01, 0.05, 0.2]),
        checkpoints=draw.choice([0.0, 0.3]),
        slowest=draw.choice([0.0, 0.02, 0.1]) if is_calm else draw.choice([0.0, 0.02, 0.3, 2.0]),
        callers=draw.choice([1, 2, 3, 4, 6, 6, 10, 16]),
        ids=draw.choice([2, 6, 20]),
        spread=draw.choice([0.0, 0.0, 0.02, 0.5]),
        closes_at=closes_at,
        body_fails=closes_at is not None and draw.random() < 0.3,
    )


@attrs.define(eq=False)
class Call:
    """One call of one caller, and how it ended."""

    number: int
    kind: str
    ids: tuple[str, ...]
    called_at: float = -1.0
    arrivals: int = 0
    """How many requests had left when it was made."""
    ended_at: float | None = None
    outcome: Any = None
    saw_cancel: bool = False
    is_gone: bool = False
    """Whether its caller was cancelled while it waited."""
    habits: Any = None
    """How it is read, if it is a stream."""
    reading: Any = None
    """What has come of it, if it is a stream."""

    @property
    def action(self):
        """What it asks the panel for."""
        return LOOKUPS.get(self.kind) or streams.LOOKUPS.get(self.kind) or self.kind.removesuffix("s")

    def wants(self, id_):
        """Return whether its caller waits for the answer about an id, at this instant."""
        if self.reading is not None:
            return self.reading.wants(id_, is_gone=self.is_gone)
        return id_ in self.ids and not self.is_gone

    @property
    def link(self):
        """What it orders, if it does."""
        return f"https://example.com/{self.number}"

    @property
    def has_begun(self):
        """Whether it was made."""
        return self.called_at >= 0


class Caller:
    """One task that makes some calls, one after the other."""

    def __init__(self, life, calls, starts_at, patience):
        self._life = life
        self.calls = calls
        self.starts_at = starts_at
        self.patience = patience
        self.task = None
        self.scope = None
        self.call = None
        self.was_cancelled = False
        self._was_native = False
        self.has_ended = False

    async def run(self):
        """Make the calls."""
        self.task = loops.current_task(self._life.backend)
        try:
            with anyio.CancelScope() as self.scope:
                await anyio.sleep(self.starts_at)
                self.scope.deadline = anyio.current_time() + self.patience
                for call in self.calls:
                    await self._make(call)
        except anyio.get_cancelled_exc_class():
            # anyio would take a task that was cancelled by asyncio itself for a reason to cancel its siblings.
            if not self._was_native:
                raise
        finally:
            self.has_ended = True

    async def _make(self, call):
        self.call = call
        call.called_at, call.arrivals = anyio.current_time(), self._life.world.arrivals
        try:
            call.outcome = await self._life.ask(call)
        except anyio.get_cancelled_exc_class():
            call.saw_cancel = True
            raise
        except Exception as error:  # noqa: BLE001  the checks look at it
            call.outcome = error
        finally:
            call.ended_at = anyio.current_time()
            self._life.note("end", call.number, _digest_of(call))
            self.call = None

    def cancel(self, is_native):
        """Cancel it, by its scope or by asyncio itself."""
        if self.call is not None and loops.is_parked(self.task):
            self.call.is_gone = True
        self.was_cancelled = True
        self._was_native = self._was_native or is_native
        if is_native:
            self.task.cancel()
        else:
            self.scope.cancel()


def _digest_of(call):
    outcome = "cancelled" if call.saw_cancel else call.outcome
    return f"{type(outcome).__name__} {outcome}"


class Life:
    """A client, its callers and its panel, from the first call to the closing."""

    def __init__(self, backend, seed, *, strike=None, **fixed):
        self.backend = backend
        self.seed = seed
        self.strike = strike
        self.draw = random.Random(seed)
        self.draw_closing = random.Random(f"closing {seed}")
        self.knobs = knobs = attrs.evolve(draw_knobs(self.draw), rate_limit=limits.draw_rate_limit(seed), **fixed)
        self.world = World(
            self.draw,
            self._moment,
            fault_rate=knobs.fault_rate,
            unknown=_UNKNOWN,
            latency=self._latency,
            checkpoints=knobs.checkpoints,
        )
        self.violations = []
        self.trace = []
        self.passes = 0
        self.storm_passes = 0
        self.numbers = itertools.count(1)
        self.callers = [self._draw_caller() for _ in range(knobs.callers)]
        self.callers += [self._reader(*drawn) for drawn in streams.draw_callers(seed, knobs)]
        self.closed_at: Any = None
        self.is_recovering = False
        self.everything: Any = None
        self.unsettled = []
        self.told_to_wait = []
        """When the client heard that it had asked too often, for what, and how long it is to wait."""

    def _moment(self, longest):
        """Draw seconds up to ``longest``: in half of the lives from a grid, so that things happen at once."""
        if self.knobs.is_on_grid:
            return self.draw.randrange(int(longest / _GRID) + 1) * _GRID
        return self.draw.random() * longest

    def _latency(self):
        return 0.05 if self.is_recovering else self._moment(self.knobs.slowest)

    def _draw_caller(self):
        calls = [self._draw_call() for _ in range(self.draw.choice([1, 1, 1, 2, 3]))]
        patience = self._moment(2.0) if self.knobs.cancel_rate and self.draw.random() < 0.2 else LATEST * 100
        return Caller(self, calls, self._moment(self.knobs.spread), patience)

    def _reader(self, starts_at, kind, ids, habits):
        call = Call(next(self.numbers), kind, ids, habits=habits, reading=streams.Reading())
        return Caller(self, [call], starts_at, LATEST * 100)

    def _draw_call(self):
        kind, number = self.draw.choice(_KINDS), next(self.numbers)
        if kind in LOOKUPS:
            count = self.draw.randint(1, 12) if kind == "statuses" else 1
            return Call(number, kind, tuple(str(self.draw.randint(1, self.knobs.ids)) for _ in range(count)))
        count = self.draw.randint(1, 4) if kind in {"refills", "cancels"} else 1
        # A write has ids of its own, so that the ledger tells which call did what.
        return Call(number, kind, tuple(str(100 * number + place) for place in range(count)))

    def note(self, *words):
        """Write down what happened."""
        self.trace.append(f"{anyio.current_time():.6f} {' '.join(map(str, words))}")

    def wrong(self, message):
        """Write down a violation. Raised, it might end in the code that is looked at."""
        self.violations.append(message)

    def at_pass(self):
        """Cancel somebody, now and then."""
        self.passes += 1
        if self.passes % _MOST_PASSES == 0:
            self.wrong("I1 the loop runs in circles")
            self.everything.cancel()
        if self.is_recovering:
            return
        self.storm_passes = self.passes
        if self.strike is not None and self.passes == self.strike.at:
            self.strike.fall(self.callers)
        if self.knobs.cancel_rate and self.draw.random() < self.knobs.cancel_rate:
            alive = [caller for caller in self.callers if caller.scope is not None and not caller.has_ended]
            if alive:
                is_native = self.backend == "asyncio" and self.draw.random() < 0.5
                self.draw.choice(alive).cancel(is_native)

    def digest(self):
        """Return what tells this life from others."""
        return hashlib.blake2b("\n".join(self.trace).encode(), digest_size=8).hexdigest()

    async def ask(self, call):
        """Make one call of the client, and return what it returns."""
        client, ids = self.client, call.ids
        if call.reading is not None:
            return await streams.read(self, call)
        if call.kind == "balance":
            return await client.balance()
        if call.kind == "add":
            return await client.add(smm.orders.Default(service=1, link=call.link, quantity=100))
        if call.kind in {"statuses", "refills", "cancels"}:
            return await getattr(client, call.kind)(ids)
        return await getattr(client, call.kind)(ids[0])

    def is_transport_closed(self):
        """Return whether the transport was closed that the client was given."""
        given = self.client._exchange._transport._given
        return given is None or given.is_closed

    def wanted(self, action, id_):
        """Return whether anybody waits for the answer about an id, at this instant."""
        calls = (caller.call for caller in self.callers if caller.call is not None)
        return any(call.action == action and call.wants(id_) for call in calls)

    def make_client(self):
        """Return the client that is looked at."""
        with mock.patch.object(_exchange, "make_converter", lambda panel: _CONVERTERS[panel.batch_limit]):
            client = self._make_client()
        exchange = client._exchange
        exchange._retries = Retries(self.draw)
        for action, coalescer in exchange._coalescers.items():
            coalescer._fetch = self._watched(action, coalescer._fetch)
        wires.prepare(self, client)
        limits.listen(self, exchange._transport)
        return client

    def _make_client(self):
        knobs = self.knobs
        return smm.Client(
            _PANELS[knobs.limit],
            key=KEY,
            transport=wires.transport_for(self),
            max_in_flight=knobs.max_in_flight,
            budget=knobs.budget,
            write_budget=knobs.write_budget,
            max_delay=knobs.max_delay,
            grace=knobs.grace,
            rate_limit=knobs.rate_limit,
        )

    def _watched(self, action, fetch):
        async def watched(ids):
            self.note("fetch", action, *ids)
            checks.check_fetch(self, action, ids)
            return await fetch(ids)

        return watched

    async def main(self):
        """Live, and be checked."""
        with anyio.CancelScope() as self.everything:
            await self._live()

    async def _live(self):
        tasks_before = loops.count_tasks(self.backend)
        self.client = self.make_client()
        with anyio.move_on_after(LATEST * 200) as whole:
            async with anyio.create_task_group() as group:
                for caller in self.callers:
                    group.start_soon(caller.run)
                if self.knobs.closes_at is not None:
                    group.start_soon(self._close_early)
        if whole.cancelled_caught:
            self.wrong("I1 somebody waits for ever")
        if self.closed_at is None:
            await self._recover()
            await self._close()
        # A task ends a pass or two after the closing.
        await anyio.sleep(_GRID)
        checks.check_end(self, loops.count_tasks(self.backend) - tasks_before)

    async def _close_early(self):
        """Close the client while callers wait, and see that an exception of its body comes out as it was."""
        await anyio.sleep(self.knobs.closes_at)
        if not self.knobs.body_fails:
            return await self._close()
        error = BodyError()
        try:
            async with self.client:
                self._note_closing()
                raise error
        except BodyError as caught:
            if caught is not error:
                self.wrong("I6 the body's exception is another one")
        except BaseException as other:
            self.wrong(f"I6 the body's exception became {other!r}")
            raise
        else:
            self.wrong("I6 the body's exception was swallowed")
        return self._note_closed()

    async def _close(self):
        """Close the client: twice at once, or by a task that is cancelled, or neither; and once more."""
        seconds, closers = self.draw_closing.choice([(LATEST, 1), (LATEST, 2), (0.02, 1), (0.0, 2)])
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                for _ in range(closers):
                    group.start_soon(self._aclose)
        await self._aclose()
        self._note_closed()

    async def _aclose(self):
        if self.closed_at is None:
            self._note_closing()
        await self.client.aclose()

    def _note_closing(self):
        self.closed_at = anyio.current_time()
        self.note("close")

    def _note_closed(self):
        took = anyio.current_time() - self.closed_at
        if took > self.knobs.grace + 5 + 1e-6:
            self.wrong(f"I6 closing took {took:g} seconds")
        self.unsettled = self.client.unsettled()

    async def _recover(self):
        """See that after the storm everybody is answered, and that no slot was lost."""
        await anyio.sleep(LATEST + max(self.knobs.budget, self.knobs.write_budget))
        world, client = self.world, self.client
        checks.check_idle(self)
        checks.check_most_open(self)
        world.fault_rate, self.is_recovering, world.most_open = 0.0, True, 0
        status = client._exchange._coalescers["status"]
        requests = min(self.knobs.max_in_flight, limits.most_at_once(self, "status"))
        count = min(requests * status.max_batch, 24)
        slots = min(requests, -(-count // status.max_batch))
        fresh = Call(next(self.numbers), "statuses", tuple(str(5000 + number) for number in range(count)))
        self.callers.append(Caller(self, [fresh], 0.0, LATEST * 100))
        with anyio.move_on_after(LATEST):
            await self.callers[-1].run()
        rows = fresh.outcome.values() if isinstance(fresh.outcome, dict) else [fresh.outcome]
        if not all(isinstance(row, smm.models.OrderStatus) for row in rows):
            self.wrong("I7 after the storm a fresh lookup got no answer")
        elif world.most_open < slots:
            self.wrong(f"I7 after the storm {world.most_open} of {slots} slots work")


def live(backend, seed, **options):
    """Live the life of one seed, and return it."""
    life = Life(backend, seed, **options)
    with checks.watch_the_process(life), network.virtual_clock():
        loops.run(backend, life.main, life.draw, life.at_pass)
    return life

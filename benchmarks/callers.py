"""One run of callers who share batches: some of them are cancelled at a given moment, and all is kept that is seen.

A run begins when all callers stand in line: they call in the same pass of the loop, in order. It ends when each has an
outcome, or `PATIENCE` is over; then everybody calls once more, to see whether the library still works.
"""

import asyncio
import itertools
import math
from collections import Counter

import anyio
import attrs
import trio

from benchmarks import virtual_loops
from benchmarks.ways_to_cancel import WAYS

LOAD_SECONDS = 1.0
PATIENCE = 100.0
FOREVER = 1e6
WORST_FIRST = ("HUNG", "CANCELLED", "ERROR", "VALUE", "DEAF", "nobody", "shared", "twice", "right")
STOPPED = (asyncio.CancelledError, trio.Cancelled)


class LoadError(Exception):
    """What a load function raises."""


# What load functions do, after their second.


async def answer(keys, number):
    return [(key, number) for key in keys]


async def fail(*_):
    raise LoadError


async def leave_out(keys, number):
    return [(key, number) for key in keys[:-1]]


async def wait_for_what_is_cancelled(*_):
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def be_cancelled(*_):
    asyncio.current_task().cancel()
    await asyncio.sleep(1.0)


@attrs.frozen
class Case:
    text: str
    keys: str
    """One caller for each letter."""
    victims: tuple[int, ...] = ()
    """The places of the callers who are cancelled."""
    moment: str = ""
    """``unsent``, ``sent``, or ``answered``: when they are cancelled, or the library is closed."""
    has_followers: bool = False
    """Whether new callers of the same keys come as soon as the victims have been told."""
    close: str = ""
    """What is called to close the library, if that is what happens."""
    load: object = answer
    is_failing: bool = False
    """Whether the callers may get an exception, each its own."""
    backends: tuple[str, ...] = ("asyncio", "trio")
    max_batch: int = 100
    max_in_flight: int = 8


@attrs.define(eq=False)
class Caller:
    """One call, and what came of it."""

    key: str
    world: object
    line: str = "go"
    """The event of the world that lets it call."""
    called: float = math.inf
    got: object = None
    is_open: bool = True
    is_waiting: bool = False
    cancel: object = None

    async def __call__(self):
        try:
            await getattr(self.world, self.line).wait()
            self.world.note_call(self)
            self.got = await self.world.library.get(self.key)
        except STOPPED:
            self.got = "cancelled"
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is what came of the call
            self.got = error
        finally:
            self.leave()
            self.is_open = False
            self.world.note_change()

    def leave(self):
        """Be no more somebody for whom the key is worth asking."""
        self.world.waiting[self.key] -= self.is_waiting
        self.is_waiting = False

    def judge(self, *, may_fail, may_be_cancelled):
        """Return what is wrong with the outcome, or ``right``."""
        if self.is_open:
            return "HUNG"
        if self.got == "cancelled":
            return "right" if may_be_cancelled else "CANCELLED"
        if isinstance(self.got, Exception):
            return "right" if may_fail else "ERROR"
        is_own = isinstance(self.got, tuple) and self.got[0] == self.key and self.got[1] > self.called
        return "right" if is_own else "VALUE"


class World:
    """One run of a case with one library."""

    def __init__(self, make, case, way="", at=FOREVER, cancel_at_pass=None):
        self.case, self.way, self.at, self.cancel_at_pass = case, way, at, cancel_at_pass
        self.make = make
        self.callers = [Caller(key, self) for key in case.keys]
        self.victims = [self.callers[place] for place in case.victims]
        self.followers = [Caller(key, self, "told") for key in case.keys if case.has_followers]
        self.waiting = Counter()
        """How many wait for each key."""
        self.stamps = itertools.count()
        """Tell whether an answer is older than its question."""
        self.called_at = self.sent_at = self.done_at = 0.0
        self.go = None
        self.passes = self.sent_pass = self.done_pass = 0
        self.was_cancelled = self.is_for_nobody = self.is_twice = self.is_calm = False
        self.verdict = ""

    def run(self, backend, seed=0):
        """Run it, and return itself."""
        self.backend = backend
        virtual_loops.run(backend, getattr(self, f"on_{backend}"), self.at_pass, seed)
        return self

    async def on_asyncio(self):
        tasks = set()
        self.start = lambda call, *args: tasks.add(asyncio.ensure_future(call(*args)))
        await self.play()

    async def on_trio(self):
        async with trio.open_nursery() as nursery:
            self.start = nursery.start_soon
            await self.play()
            nursery.cancel_scope.cancel()

    async def play(self):
        self.go, self.told, self.changed = anyio.Event(), anyio.Event(), anyio.Event()
        self.library = self.make(self.load, self.case.max_batch, self.case.max_in_flight)
        await self.line_up()
        self.go.set()
        if self.case.close:
            await anyio.sleep_until(self.at)
            with anyio.move_on_after(PATIENCE):
                await getattr(self.library, self.case.close)()
        await self.wait_for(self.callers + self.followers)
        if not self.case.close:
            self.is_calm = True
            self.followers += (again := [Caller(key, self) for key in dict.fromkeys(self.case.keys + "z")])
            for caller in again:
                self.start(caller)
            await self.wait_for(again)
        self.verdict = self.judge()
        if hasattr(self.library, "aclose"):
            await self.library.aclose()

    async def line_up(self):
        victims = [(WAYS[self.backend][self.way], self)] if self.victims else []
        others = [(caller,) for caller in [*self.callers, *self.followers] if caller not in self.victims]
        for starts in (victims, others) if 0 in self.case.victims else (others, victims):
            for start in starts:
                self.start(*start)
            await anyio.sleep(1.0)

    async def wait_for(self, callers):
        with anyio.move_on_after(PATIENCE):
            while not have_ended(callers):
                await self.changed.wait()

    def note_change(self):
        if self.was_cancelled or have_ended(self.victims):
            self.told.set()
        self.changed.set()
        self.changed = anyio.Event()

    def note_call(self, caller):
        caller.called = next(self.stamps)
        caller.is_waiting = True
        self.waiting[caller.key] += 1
        self.called_at = self.called_at if self.sent_at else anyio.current_time()

    def cancel_victims(self):
        self.was_cancelled = True
        for victim in self.victims:
            if victim.is_open:
                victim.leave()
                victim.cancel()
        self.note_change()

    def at_pass(self):
        """Count the passes since the callers were let go, and return whether this was the one to cancel at."""
        if self.go is None or not self.go.is_set():
            return False
        self.passes += 1
        if self.passes != self.cancel_at_pass or have_ended(self.victims):
            return False
        self.cancel_victims()
        return True

    async def load(self, keys):
        stamp = next(self.stamps)
        self.is_for_nobody |= not all(self.waiting[key] for key in keys)
        self.is_twice |= len(set(keys)) < len(keys)
        is_first = not self.sent_at
        if is_first:
            self.sent_at, self.sent_pass = anyio.current_time(), self.passes
        await anyio.sleep(LOAD_SECONDS)
        if is_first:
            self.done_at, self.done_pass = anyio.current_time(), self.passes
        return await (answer if self.is_calm else self.case.load)(keys, stamp)

    def judge(self):
        """Return the worst that can be said of this run."""
        has_to_obey = self.case.moment in {"unsent", "sent"}
        found = {follower.judge(may_fail=False, may_be_cancelled=False) for follower in self.followers}
        for caller in self.callers:
            is_victim = caller in self.victims
            found.add(caller.judge(may_fail=self.case.is_failing, may_be_cancelled=is_victim))
            if is_victim and has_to_obey and caller.got != "cancelled":
                found.add("DEAF")
        errors = [id(caller.got) for caller in self.callers if isinstance(caller.got, Exception)]
        found |= {"nobody"} if self.is_for_nobody else set()
        found |= {"shared"} if len(set(errors)) < len(errors) else set()
        found |= {"twice"} if self.is_twice and not (self.victims or self.case.is_failing) else set()
        return min(found, key=WORST_FIRST.index)


def have_ended(callers):
    return not any(caller.is_open for caller in callers)

"""What the tests of the tracker have in common: a client that answers as it is told, and a store that fails so."""

import random
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest

import smm_async as smm
from smm_async.models import OrderState, OrderStatus
from smm_async.tracking import Poll, SQLiteStore, Tracker

FAST = Poll(shortest=0.001, longest=0.002)
MOST_REQUESTS = 30
"""How many requests of a worker are on their way at the same time: for three claims, ten each."""
SLOW = Poll(shortest=1000.0, longest=2000.0)


def status(state, **fields):
    """Return an answer."""
    return OrderStatus(status=state.value, state=state, **fields)


DONE = status(OrderState.COMPLETED)
GOING = status(OrderState.IN_PROGRESS)


class Answering:
    """In the place of a client: answers each order by a table, or by an exception for all, and keeps what was asked."""

    budget = 30.0

    def __init__(self, answers=None, *, default=GOING, batch=100):
        self.answers = answers or {}
        self.default = default
        self.panel = smm.Panel("https://panel.example/api/v2", batch_limit=batch)
        self.asked: list[list[str]] = []
        self.was_asked = anyio.Event()
        self.is_full = anyio.Event()
        self.gate = anyio.Event()
        self.gate.set()

    async def statuses(self, orders):
        """Answer, once the gate is open."""
        self.asked.append(list(orders))
        self.was_asked.set()
        if len(self.asked) == MOST_REQUESTS:
            self.is_full.set()
        await self.gate.wait()
        if isinstance(self.default, Exception):
            raise self.default
        return {order: self.answers.get(order, self.default) for order in orders}


class Clock:
    """A clock that goes, and can be put on."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        """Return seconds since 1970."""
        return time.time() + self.ahead


class Failing(SQLiteStore):
    """A store in memory of which the next calls of a method fail, and which keeps what was called."""

    def __init__(self, **options):
        self.clock = Clock()
        super().__init__(clock=self.clock, **options)
        self.failures: dict[str, list[Exception]] = {}
        self.called: list[str] = []
        self.refused_turns = 0
        self.looked_for: list[list[str]] = []

    def _called(self, name):
        self.called.append(name)
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    def claim(self, *args, **kwargs):
        """Claim, or fail."""
        self._called("claim")
        return super().claim(*args, **kwargs)

    def record(self, *args, **kwargs):
        """Record, or fail."""
        self._called("record")
        return super().record(*args, **kwargs)

    def reserve(self, *args, **kwargs):
        """Reserve, fail, or find no turn in time."""
        self._called("reserve")
        return None if self.called.count("reserve") <= self.refused_turns else super().reserve(*args, **kwargs)

    def find(self, panel, orders):
        """Find, or fail."""
        self._called("find")
        self.looked_for.append(list(orders))
        return super().find(panel, orders)

    def take(self, *args, **kwargs):
        """Take, or fail."""
        self._called("take")
        return super().take(*args, **kwargs)

    def release(self, *args, **kwargs):
        """Release, or fail."""
        self._called("release")
        return super().release(*args, **kwargs)


@pytest.fixture
def store_in_virtual_time(monkeypatch):
    """Return a store whose clock is the event loop's, called where the loop runs: no clock can jump over a thread."""

    async def run_sync(call, *args, limiter):
        await anyio.lowlevel.checkpoint()
        return call(*args)

    monkeypatch.setattr("anyio.to_thread.run_sync", run_sync)
    store = Failing()
    store.clock = store._clock = lambda: 1e9 + anyio.current_time()
    return store


@attrs.define
class Scene:
    """A tracker at work, with what it works with."""

    tracker: Tracker
    store: Failing
    client: Answering
    seen: list[Any] = attrs.field(factory=list)
    is_enough: Callable[["Scene"], object] = attrs.field(default=lambda at: False)
    """Whether the tracker is to stop, asked whenever it reports something: no test waits for a time to pass."""

    def note(self, report):
        """Keep a report."""
        self.seen.append(report)
        if self.is_enough(self):
            self.tracker.stop()

    def of(self, kind):
        """Return the reports of one kind."""
        return [report for report in self.seen if isinstance(report, kind)]


@asynccontextmanager
async def scene(client=None, *, orders=(), store=None, **options):
    """Open a tracker with one panel, `alpha`, and some orders of it."""
    at = Scene(None, store or Failing(), client or Answering())
    options = {"poll": SLOW, "idle": 0.01, "rng": random.Random(0), "observe": at.note, **options}
    async with Tracker(at.store, {"alpha": at.client}, **options) as at.tracker:
        if orders:
            await at.tracker.add("alpha", orders)
        yield at

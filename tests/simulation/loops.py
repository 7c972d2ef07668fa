"""Event loops whose clock, order of tasks and interruptions follow from a seed.

A life is run by `run()`. Its tasks take turns in a drawn order, time passes only when all of them wait, and a hook is
called once per pass of the scheduler, where a life cancels callers. On asyncio the steps of tasks change places with each
other only: `call_soon()` promises an order to everything else, and anyio relies on it. On trio the order is drawn by
trio's own generator, once it is told to sort its tasks first; both are private, and `test_simulation.py` watches them.
"""

import asyncio
import itertools
import selectors
from typing import Any
from unittest import mock

import anyio
import trio
import trio.testing
from trio._core import _run as trio_run

BACKENDS = ("asyncio", "trio")


class SeededLoop(asyncio.SelectorEventLoop):
    """An asyncio loop without sockets, on which nothing takes time but sleeping."""

    _ready: Any

    def __init__(self, draw, at_pass):
        super().__init__(_NoSelector(self))
        self._draw = draw
        self._at_pass = at_pass
        self._numbers = itertools.count()
        self._virtual_now = 0.0
        # What asyncio adds to the time must change it, after years too.
        self._clock_resolution = 1e-9

    def time(self):
        """Return the virtual time in seconds."""
        return self._virtual_now

    def jump(self, seconds):
        """Move the clock."""
        self._virtual_now += seconds

    def create_task(self, coro, **options):
        """Start a task, with a number by which tasks can be sorted: sets of tasks have no order that repeats."""
        task = super().create_task(coro, **options)
        task.number = next(self._numbers)  # type: ignore[attr-defined]
        return task

    def _run_once(self):
        self._at_pass()
        if len(self._ready) > 1:
            self._shuffle()
        super()._run_once()

    def _shuffle(self):
        steps, places = [], []
        for place, handle in enumerate(self._ready):
            task = getattr(handle._callback, "__self__", None)
            if isinstance(task, asyncio.Task):
                steps.append((task.number, handle))  # type: ignore[attr-defined]
                places.append(place)
        if len(steps) > 1:
            steps.sort(key=_number)
            self._draw.shuffle(steps)
            for place, (_, handle) in zip(places, steps, strict=True):
                self._ready[place] = handle


def _number(step):
    return step[0]


class _NoSelector(selectors.SelectSelector):
    """Has the clock jump to the next timer instead of waiting for it; never asks the system for anything."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("All tasks wait, and no clock will wake them.")
        if timeout > 0:
            self._loop.jump(timeout)
        return []


class _Passes(trio.abc.Instrument):
    """Calls the hook; trio would only log what it raises."""

    def __init__(self, at_pass):
        self._at_pass = at_pass

    def before_io_wait(self, timeout):
        self._at_pass()


def run(backend, main, draw, at_pass):
    """Run ``main`` to its end on a loop of its own, which draws from ``draw`` and calls ``at_pass`` once per pass."""
    if backend == "asyncio":
        return anyio.run(main, backend_options={"loop_factory": lambda: SeededLoop(draw, at_pass)})
    trio_run._r.seed(draw.getrandbits(64))
    options = {"clock": trio.testing.MockClock(autojump_threshold=0), "instruments": [_Passes(at_pass)]}
    with mock.patch.object(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", new=True):
        return anyio.run(main, backend="trio", backend_options=options)


def current_task(backend):
    """Return the task that runs, as its loop knows it."""
    return asyncio.current_task() if backend == "asyncio" else trio.lowlevel.current_task()


def is_parked(task):
    """Return whether a task waits for something that has not happened yet."""
    if isinstance(task, asyncio.Task):
        waits_for = task._fut_waiter  # type: ignore[attr-defined]
        return waits_for is not None and not waits_for.done()
    return task._abort_func is not None


def count_tasks(backend):
    """Return how many tasks live on the loop."""
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    return trio.lowlevel.current_statistics().tasks_living

"""Event loops for benchmarks that count passes of the scheduler: nobody really waits, and every run repeats exactly.

When all tasks sleep, the clock jumps to the next one that wakes up. Each pass costs a microsecond of that time, so that
a deadline can be put on any pass, and calls a hook, which may cancel somebody.
"""

import asyncio
import selectors

import trio
import trio.testing
from trio._core import _run as trio_run

TICK = 1e-6


class PassingLoop(asyncio.SelectorEventLoop):
    """An asyncio loop without sockets, on which nothing takes time but passing, and sleeping."""

    def __init__(self, at_pass):
        super().__init__(_NoSelector(self))
        self.at_pass = at_pass
        self.now = 0.0
        # Less than a pass: no timer goes off before its time.
        self._clock_resolution = TICK / 1000

    def time(self):
        return self.now


class _NoSelector(selectors.SelectSelector):
    """Has the clock jump to the next timer instead of waiting for it; asked once per pass."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        self._loop.now += TICK
        is_nothing_new = not self._loop.at_pass()
        if timeout is None and is_nothing_new:
            message = "All tasks wait, and no clock will wake them."
            raise RuntimeError(message)
        if timeout and is_nothing_new:
            self._loop.now += timeout
        return []


class _Passes(trio.abc.Instrument):
    def __init__(self, clock, at_pass):
        self._clock = clock
        self._at_pass = at_pass

    def before_io_wait(self, _):
        self._clock.jump(TICK)
        self._at_pass()


def run(backend, main, at_pass, seed=0):
    """Run ``main`` to its end on a loop of its own, and call ``at_pass`` once per pass; true means that it did something.

    On asyncio tasks take turns in the order they became ready, on trio in an order that follows from ``seed``.
    """
    if backend == "asyncio":
        with asyncio.Runner(loop_factory=lambda: PassingLoop(at_pass)) as runner:
            # What a library leaves behind in its tasks is part of what is measured, and no news.
            runner.get_loop().set_exception_handler(lambda *_: None)
            runner.run(main())
        return
    # Both private, and the only way to have trio's order repeat.
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # noqa: SLF001
    trio_run._r.seed(seed)  # noqa: SLF001
    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(main, clock=clock, instruments=[_Passes(clock, at_pass)])

"""Event loops on which nobody really waits: when all tasks sleep, the clock jumps to the next one that wakes up."""

import asyncio
import selectors

import anyio.lowlevel
import pytest
import trio.testing

VIRTUAL_BACKENDS = ("asyncio", "trio")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose clock moves only when there is nothing else to do, and then at once."""

    def __init__(self):
        super().__init__(_JumpingSelector(self))
        self._virtual_now = 0.0
        # What asyncio adds to the time must change it, after years too.
        self._clock_resolution = 1e-6

    def time(self):
        """Return the virtual time in seconds."""
        return self._virtual_now

    def jump(self, seconds):
        """Move the clock."""
        self._virtual_now += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for the next timer, has the clock jump to it."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if not timeout:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._loop.jump(timeout)
        return ready


def virtual_backend(name):
    """Return what an ``anyio_backend`` fixture returns for a loop with virtual time of its own."""
    if name == "trio":
        return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return name, {"loop_factory": VirtualTimeLoop}


@pytest.fixture(params=VIRTUAL_BACKENDS)
def anyio_backend(request):
    """Run each async test once on each loop, in virtual time. To be imported by the modules that want it."""
    return virtual_backend(request.param)


async def let_others_run():
    """Let all other tasks go as far as they can without time passing."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()

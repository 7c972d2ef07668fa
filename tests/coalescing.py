"""What the coalescer's tests share: a fetch that keeps what it was asked, and callers whose ends are kept."""

from typing import Any

import anyio
import anyio.lowlevel

LONG = 10**6
"""More seconds of virtual time than any test takes; who waits that long waits for ever."""


class FakeFetch:
    """Answers every key after some time, and keeps what it was asked for and when."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.asked = []
        self.asked_at = []
        self.running = 0
        self.most_running = 0
        self.held: Any = None

    async def __call__(self, keys):
        """Keep the question and answer it, unless answers are held back."""
        self.asked.append(keys)
        self.asked_at.append(anyio.current_time())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.held is not None:
                await self.held.wait()
            await anyio.sleep(self.seconds)
            return self.answer(keys)
        finally:
            self.running -= 1

    def answer(self, keys):
        """Return what is answered; tests put another in its place."""
        return values_of(keys)

    def hold(self):
        """Keep all answers back until `release()`."""
        self.held = anyio.Event()

    def release(self):
        """Let the answers go, those that were held back and those to come."""
        self.held.set()
        self.held = None


class Callers:
    """Runs calls in tasks of their own, and keeps how each ended and when; leaving waits for all of them."""

    def __init__(self, patience=5.0):
        self._patience = patience
        self._group = anyio.create_task_group()
        self._scopes = {}
        self.got = {}
        self.ended_at = {}

    async def __aenter__(self):
        """Return the callers, none yet."""
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *raised):
        """Wait for all of them."""
        return await self._group.__aexit__(*raised)

    def start(self, name, call, *args):
        """Make ``call(*args)``, under a name, at the next pass of the loop."""
        self._scopes[name] = anyio.CancelScope()
        self._group.start_soon(self._keep, name, call, args)

    async def _keep(self, name, call, args):
        with self._scopes[name] as scope:
            try:
                with anyio.fail_after(self._patience):
                    self.got[name] = await call(*args)
            except Exception as error:  # noqa: BLE001  whatever it is, the test looks at it
                self.got[name] = error
        if scope.cancelled_caught:
            self.got[name] = "cancelled"
        self.ended_at[name] = anyio.current_time()

    def cancel(self, *names):
        """Cancel the callers of these names."""
        for name in names:
            self._scopes[name].cancel()


def value_of(key):
    """Return what the fake fetch answers for ``key``."""
    return f"value of {key}"


def values_of(keys):
    """Return what the fake fetch answers for ``keys``."""
    return {key: value_of(key) for key in keys}


def sizes(fetch):
    """Return how many keys each question had."""
    return [len(keys) for keys in fetch.asked]


def run_on(backend, call, *args):
    """Run ``call`` on a loop of its own, made as an ``anyio_backend`` fixture says, that ends with it."""
    name, options = backend
    return anyio.run(call, *args, backend=name, backend_options=options)


async def passes(count):
    """Give every other task about ``count`` turns."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()

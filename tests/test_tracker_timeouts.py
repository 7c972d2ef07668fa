"""A tracker under asyncio's own cancellation, as by `asyncio.timeout()`: it ends the wait for a thread at once."""

import asyncio
import threading

import pytest

from smm_async.tracking import StoreError, Tracker
from tests.trackers import DONE, Answering, Failing, scene


class Slow(Failing):
    """A store of which one method, once it has done its work, returns only when it may."""

    slow = ""

    def __init__(self):
        super().__init__()
        self.is_done, self.may_return = threading.Event(), threading.Event()

    def open(self):
        """Open."""
        self._late("open", super().open())

    def claim(self, *args, **kwargs):
        """Claim."""
        return self._late("claim", super().claim(*args, **kwargs))

    def take(self, *args, **kwargs):
        """Take."""
        return self._late("take", super().take(*args, **kwargs))

    def _late(self, name, result):
        if self.slow == name:
            self.is_done.set()
            assert self.may_return.wait(10)
        return result


async def cancel_while_slow(store, name, coroutine):
    """Cancel what calls a method of the store, when that has done its work and before it returns."""
    store.slow = name
    task = asyncio.ensure_future(coroutine)
    assert await asyncio.to_thread(store.is_done.wait, 10)
    task.cancel()
    asyncio.get_running_loop().call_later(0.01, store.may_return.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    store.slow = ""


def test_entering_closes_what_it_was_opening():
    """A store that was opened for a tracker that nobody has got is closed, and can be opened by the next."""

    async def main():
        store = Slow()
        await cancel_while_slow(store, "open", Tracker(store, {}).__aenter__())

        with pytest.raises(StoreError, match="is not open"):
            store.stats()
        async with Tracker(store, {}) as tracker:
            assert await tracker.stats() == []

    asyncio.run(main())


def test_slice_gives_back_what_it_was_claiming():
    """Orders that were claimed for a slice that is no more are due at once."""

    async def main():
        async with scene(store=Slow(), orders=[1, 2]) as at:
            await cancel_while_slow(at.store, "claim", at.tracker.tend("alpha", seconds=60))

            assert [row.due for row in await at.tracker.stats()] == [2]

    asyncio.run(main())


def test_consumer_gives_back_what_it_was_taking():
    """Events that were taken for a consumer that is no more come again after a second, not after the lease."""

    async def main():
        async with scene(Answering(default=DONE), store=Slow(), orders=[1, 2]) as at:
            await at.tracker.tend("alpha", seconds=60)
            await cancel_while_slow(at.store, "take", anext(at.tracker.ended()))
            at.store.clock.ahead += 1.5

            assert len(at.store.take(10, 1.0)) == 2

    asyncio.run(main())

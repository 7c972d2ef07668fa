"""A tracker that is left ends those who take events from it, at once."""

import anyio
import pytest

from smm_async.tracking import StoreError
from tests.trackers import DONE, Answering, scene, store_in_virtual_time  # noqa: F401  a fixture
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


async def test_consumer_that_waits_ends_at_once(store_in_virtual_time):
    """An iteration over events ends when the tracker is left, as that over changes does, and stays ended."""
    ended_at = []

    async def consume(ended):
        assert [events async for events in ended] == []
        ended_at.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        async with scene(store=store_in_virtual_time) as at:
            ended = at.tracker.ended()
            group.start_soon(consume, ended)
            group.start_soon(consume, ended)
            await anyio.sleep(0.5)

    assert ended_at == [0.5, 0.5]
    assert [events async for events in ended] == []


@pytest.mark.parametrize("is_closed", [False, True], ids=["store open", "store closed"])
async def test_events_that_come_when_the_tracker_is_left_go_back(is_closed, store_in_virtual_time):
    """Who has left could not acknowledge them: they are given back, or come after their lease."""
    store = store_in_virtual_time
    async with scene(Answering(default=DONE), store=store, orders=[1]) as at:
        await at.tracker.tend("alpha", seconds=60)
        ended = at.tracker.ended(lease=60.0)
        real = store.take

        def take(*args):
            taken = real(*args)
            ended.close()
            if is_closed:
                store.close()
            return taken

        store.take = take
        assert [events async for events in ended] == []

        if not is_closed:
            await anyio.sleep(1.5)
            assert [event.key for event in real(10, 0.0)] == ["alpha/1"]


async def test_store_that_is_closed_ends_the_iteration_only_if_the_tracker_was_left(store_in_virtual_time):
    """That the store is not open is a bug, unless the tracker has just closed it."""
    store = store_in_virtual_time
    async with scene(store=store) as at:
        left, lost = at.tracker.ended(), at.tracker.ended()
        store.close()
        store.failures["take"] = [StoreError("not open")]
        with pytest.raises(StoreError, match="not open"):
            await anext(lost)
        store._called = lambda name: left.close()

        assert [events async for events in left] == []

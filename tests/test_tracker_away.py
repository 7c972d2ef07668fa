"""A worker whose store is away, in virtual time."""

import anyio

from smm_async.tracking import StoreAwayError
from tests.trackers import DONE, Answering, scene, store_in_virtual_time  # noqa: F401  a fixture
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


async def test_store_that_stays_away_is_tried_less_and_less(store_in_virtual_time):
    """Workers do not hammer at a database that is down, however often they look for work: every ten seconds at most."""
    store = store_in_virtual_time
    async with scene(Answering(default=DONE), store=store, orders=[1]) as at, anyio.create_task_group() as group:
        store.failures["claim"] = [StoreAwayError("away")] * 1000
        group.start_soon(at.tracker.run)
        await anyio.sleep(100)
        tries = store.called.count("claim")
        store.failures["claim"].clear()
        await anyio.sleep(10)
        at.tracker.stop()

        assert 10 < tries < 30
        assert store.find("alpha", ["1"])[0].ended_at is not None


async def test_store_that_is_back_is_used_at_once(store_in_virtual_time):
    """The first claim after an outage that finds orders is followed by the next, not by one more wait for the store."""
    store = store_in_virtual_time
    async with scene(Answering(), store=store, orders=[], idle=0.1) as at, anyio.create_task_group() as group:
        store.failures["claim"] = [StoreAwayError("away")] * 8
        group.start_soon(at.tracker.run)
        await anyio.sleep(100)
        claims = store.called.count("claim")
        # More than one claim takes.
        store.add("alpha", [str(order) for order in range(2500)])
        await anyio.sleep(1.0)
        at.tracker.stop()

        assert store.failures["claim"] == []
        assert claims > 8
        assert len({order for orders in at.client.asked for order in orders}) == 2500

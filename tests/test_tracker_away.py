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

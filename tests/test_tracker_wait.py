"""Waiting for the ends of orders: whoever records them, however many wait, and whoever leaves meanwhile."""

import anyio
import pytest

from smm_async.models import OrderState
from smm_async.tracking import EndKind, News, StoreAwayError
from tests.trackers import DONE, Answering, scene, store_in_virtual_time  # noqa: F401  a fixture
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

AWAY = StoreAwayError("away")


class Waiters:
    """Tasks that wait for an order each, and what they got, and when."""

    def __init__(self, at, group):
        self.at = at
        self.group = group
        self.got = {}
        self.scopes = []

    def start(self, *orders):
        """Let a task wait for each order."""
        for order in orders:
            self.group.start_soon(self._wait, order, len(self.scopes))
            self.scopes.append(anyio.CancelScope())

    async def _wait(self, order, place):
        with self.scopes[place]:
            try:
                result = await self.at.tracker.wait("alpha", order)
            except (LookupError, RuntimeError, StoreAwayError) as error:
                result = error
            self.got[place] = (order, result, anyio.current_time())

    @property
    def ended(self):
        """The orders that were seen to end."""
        return {order for order, result, _ in self.got.values() if getattr(result, "ended_at", None) is not None}


def end(store, *orders):
    """End orders as another process would."""
    claim = store.claim("alpha", limit=10_000, batch=1, lease=0.0, ahead=1e9, horizon=1e9)
    rows = [row for row in claim.rows if row.order in set(map(str, orders))]
    store.record([_ended(row) for row in rows])


def _ended(row):
    return News(row.id, row.claim, row.version, 0.0, status="Completed", state="Completed", end=EndKind.ENDED)


async def test_all_who_wait_share_one_look(store_in_virtual_time):
    """However many wait, there is a look every two seconds, of so many ids at most; and who waits sees its own end."""
    store = store_in_virtual_time
    async with scene(store=store, orders=range(1500)) as at, anyio.create_task_group() as group:
        waiters = Waiters(at, group)
        waiters.start(*range(1500))
        await anyio.sleep(20.5)
        looks = len(store.looked_for)
        end(store, *range(0, 1500, 2))
        await anyio.sleep(2)
        seen = set(waiters.ended)
        end(store, *range(1, 1500, 2))

    assert looks <= 2 + 2 + 10 * 2
    assert max(map(len, store.looked_for)) == 1000
    assert seen == set(range(0, 1500, 2))
    assert waiters.ended == set(range(1500))


async def test_end_that_this_process_records_is_seen_at_once(store_in_virtual_time):
    """Who waits is told by the worker of the same process, and only that order is looked for."""
    store = store_in_virtual_time
    async with scene(Answering(default=DONE), store=store, orders=[0, 1, 2]) as at:
        async with anyio.create_task_group() as group:
            waiters = Waiters(at, group)
            waiters.start(1, 1, 2)
            await anyio.sleep(0.5)
            await at.tracker.tend("alpha", seconds=60)
        await at.tracker.add("alpha", [3])
        await at.tracker.tend("alpha", seconds=60)

    assert {order for orders in store.looked_for for order in orders} == {"1", "2"}
    assert {at for _, _, at in waiters.got.values()} == {0.5}
    assert [result.state for _, result, _ in waiters.got.values()] == [OrderState.COMPLETED] * 3


@pytest.mark.parametrize("after", [0.0, 1.0, 2.0])
async def test_cancelled_leader_is_replaced_at_once(after, store_in_virtual_time):
    """When the one that looks for all is cancelled, in the middle of a look or between two, the others miss nothing."""
    store = store_in_virtual_time
    async with scene(store=store, orders=range(4)) as at, anyio.create_task_group() as group:
        waiters = Waiters(at, group)
        waiters.start(0)
        await anyio.lowlevel.checkpoint()
        waiters.start(1, 2, 3)
        await anyio.sleep(after)
        for place in (0, 1):
            waiters.scopes[place].cancel()
        end(store, 2, 3)
        await anyio.sleep(2.01)
        seen = dict(waiters.got)
        group.cancel_scope.cancel()

    assert sorted(order for order, _, _ in seen.values()) == [2, 3]


async def test_leader_that_has_its_end_is_replaced(store_in_virtual_time):
    """One after the other sees its end in the same time, whoever has looked before."""
    store = store_in_virtual_time
    async with scene(store=store, orders=range(5)) as at, anyio.create_task_group() as group:
        waiters = Waiters(at, group)
        waiters.start(*range(5))
        for order in range(5):
            await anyio.sleep(2.01)
            assert len(waiters.got) == order
            end(store, order)

    assert waiters.ended == set(range(5))


async def test_nobody_is_left_behind_when_all_are_cancelled(store_in_virtual_time):
    """When all have left nobody looks; who comes later is looked for at once."""
    store = store_in_virtual_time
    async with scene(store=store, orders=[1]) as at:
        async with anyio.create_task_group() as group:
            waiters = Waiters(at, group)
            waiters.start(1, 1, 1)
            await anyio.sleep(1)
            group.cancel_scope.cancel()
        looks = len(store.looked_for)
        await anyio.sleep(100)
        assert len(store.looked_for) == looks
        end(store, 1)

        assert (await at.tracker.wait("alpha", 1)).status == "Completed"
        assert len(store.looked_for) == looks + 1


async def test_what_is_not_tracked_is_refused(store_in_virtual_time):
    """An order that nobody has added would never end; the others are waited for."""
    async with scene(store=store_in_virtual_time, orders=[1]) as at, anyio.create_task_group() as group:
        waiters = Waiters(at, group)
        waiters.start(1, 2, 2)
        await anyio.sleep(1)
        group.cancel_scope.cancel()

    refused = [result for _, result, _ in waiters.got.values()]
    assert [type(error) for error in refused] == [LookupError, LookupError]
    assert str(refused[0]) == "Order '2' of panel 'alpha' is not tracked: add() it; reopen() it if it was forgotten."
    assert refused[0] is not refused[1]


async def test_who_has_added_the_order_meanwhile_waits_for_it(store_in_virtual_time):
    """An answer is never older than the question: one that another had asked for before is not taken."""
    store = store_in_virtual_time
    async with scene(store=store) as at, anyio.create_task_group() as group:
        waiters = Waiters(at, group)
        real = store.find

        def find(panel, orders):
            found = real(panel, orders)
            if len(store.looked_for) == 1:
                store.add("alpha", ["1"])
                at.tracker._lookouts["alpha"].hear(["1"])
            return found

        store.find = find
        waiters.start(1)
        await anyio.sleep(1)
        assert waiters.got == {}
        end(store, 1)

    assert waiters.ended == {1}


async def test_store_that_is_away_is_told_to_all_who_wait(store_in_virtual_time):
    """All who were looked for together get the error, each its own; nobody looks again for them."""
    store = store_in_virtual_time
    async with scene(store=store, orders=range(100)) as at, anyio.create_task_group() as group:
        waiters = Waiters(at, group)
        waiters.start(*range(100))
        await anyio.sleep(1)
        looks = len(store.looked_for)
        store.failures["find"] = [AWAY]
        await anyio.sleep(2)

    errors = [result for _, result, _ in waiters.got.values()]
    assert [str(error) for error in errors] == ["away"] * 100
    assert len(set(map(id, errors))) == 100
    assert len(store.looked_for) == looks


async def test_tracker_that_is_left_ends_all_waits(store_in_virtual_time):
    """Who waits when the tracker is left gets an error that says so, at once."""
    async with anyio.create_task_group() as group:
        async with scene(store=store_in_virtual_time, orders=[1]) as at:
            waiters = Waiters(at, group)
            waiters.start(1, 1)
            await anyio.sleep(0.5)

    assert {(type(error), str(error), at) for _, error, at in waiters.got.values()} == {
        (RuntimeError, "The tracker was left before order '1' of panel 'alpha' has ended.", 0.5)
    }
    with pytest.raises(RuntimeError, match="not open"):
        await at.tracker.wait("alpha", 1)


async def test_look_on_its_way_when_the_tracker_is_left_changes_nothing(store_in_virtual_time):
    """What the store says after that is too late."""
    store = store_in_virtual_time
    async with scene(store=store, orders=[1]) as at, anyio.create_task_group() as group:
        end(store, 1)
        real = store.find

        def find(panel, orders):
            at.tracker._lookouts["alpha"].close()
            return real(panel, orders)

        store.find = find
        waiters = Waiters(at, group)
        waiters.start(1)

    assert type(waiters.got[0][1]) is RuntimeError

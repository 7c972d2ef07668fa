"""Ends that `on_record` cannot handle: they hold up no other, and come again, later and later."""

import anyio
import anyio.from_thread
import attrs
import pytest

import smm_async as smm
from smm_async._news import news_of, put_off
from smm_async._poll import Poll
from smm_async._recording import _MOST_FAILURES
from smm_async._store import Due
from smm_async.tracking import EndKind, LookedUp, StoreAway, StoreAwayError
from tests.trackers import DONE, GOING, Answering, Failing, scene

POLL = Poll(shortest=10.0, factor=0.1, longest=1000.0)


class Handler:
    """Handles ends, but not those of some orders; keeps how many it was given each time."""

    def __init__(self, *, hard=()):
        self.hard = set(hard)
        self.given: list[int] = []
        self.handled: list[str] = []

    def __call__(self, _, ended):
        """Handle ends: all, or none."""
        self.given.append(len(ended))
        if any(self.is_hard(event.order) for event in ended):
            raise ArithmeticError
        self.handled += [event.order for event in ended]

    def is_hard(self, order):
        """Return whether an end cannot be handled."""
        return order in self.hard


class Refusing(Handler):
    """Handles nothing."""

    def is_hard(self, order):
        """Return that an end cannot be handled."""
        return True


async def found(at):
    """Return all orders as the store has them."""
    return [
        row for _, row in await anyio.to_thread.run_sync(lambda: at.store.page(None, after=0, limit=2000, is_open=None))
    ]


async def test_end_that_cannot_be_handled_holds_up_no_other(caplog):
    """Of a full claim all but the one is recorded, at once; that one is named in the log, and comes again later."""
    handler = Handler(hard=["777"])
    client = Answering({str(order): GOING for order in range(100)}, default=DONE)
    async with scene(client, orders=range(1000), store=Failing(on_record=handler)) as at:
        changes = at.tracker.changes()
        done = await at.tracker.tend("alpha", seconds=60)
        rows = await found(at)

        assert (done.orders, done.ended, len(handler.handled)) == (1000, 899, 899)
        assert len(handler.given) < 25
        assert [row.order for row in rows if row.ended_at is None and row.status == "Completed"] == ["777"]
        assert sum(row.status == "In progress" for row in rows) == 100
        assert 1500 < min(row.due_at.timestamp() for row in rows if row.order == "777") - at.store.clock() < 2500
        assert len(at.of(StoreAway)) == 1
        assert at.of(LookedUp)[0].ended == 899
    assert "the end of order 777 is not recorded" in caplog.text
    assert "ArithmeticError" in caplog.text
    seen = {change.order: change async for change in changes}
    assert (len(seen), seen["777"].status, seen["777"].end) == (1000, "Completed", None)


async def test_end_is_recorded_once_it_can_be_handled():
    """An order that was put off ends when it is looked up again, with one event."""
    handler = Handler(hard=["1"])
    async with scene(Answering(default=DONE), orders=[1], store=Failing(on_record=handler)) as at:
        changes = at.tracker.changes()
        assert (await at.tracker.tend("alpha", seconds=60)).ended == 0
        handler.hard.clear()
        at.store.clock.ahead += 2500
        assert (await at.tracker.tend("alpha", seconds=60)).ended == 1

        assert handler.handled == ["1"]
        assert [event.key for event in await anyio.to_thread.run_sync(at.store.take, 10, 1.0)] == ["alpha/1"]
    assert [(change.before, change.status, change.end) async for change in changes] == [
        (None, "Completed", None),
        ("Completed", "Completed", EndKind.ENDED),
    ]


async def test_handler_that_fails_for_everything_is_not_asked_for_ever(caplog):
    """After so many failures the rest of the claim is put off as it is; what goes on is recorded."""
    handler = Refusing()
    client = Answering({str(order): GOING for order in range(100)}, default=DONE)
    async with scene(client, orders=range(1000), store=Failing(on_record=handler)) as at:
        done = await at.tracker.tend("alpha", seconds=60)
        rows = await found(at)

        assert (done.orders, done.ended, len(handler.given)) == (1000, 0, _MOST_FAILURES + 1)
        assert min(row.due_at.timestamp() for row in rows) - at.store.clock() > 800
    assert "ends are put off" in caplog.text


async def test_store_that_goes_away_meanwhile_costs_no_more_than_its_window():
    """Where the store stays away while ends are recorded by themselves, the rest is dropped: the lease gives it back."""
    handler = Handler(hard=["3"])
    async with scene(Answering(default=DONE), orders=range(8), store=Failing(on_record=handler)) as at:
        recorder = at.tracker._tendings["alpha"]._recorder
        recorder._settings = attrs.evolve(recorder._settings, window=0.0)
        at.store.failures["record"] = [ArithmeticError(), *[StoreAwayError("away")] * 20]
        done = await at.tracker.tend("alpha", seconds=60)

        assert (done.ended, at.store.called.count("record")) == (0, 2)


async def test_cancelled_in_the_middle_it_gives_back_the_rest():
    """What was recorded stays so; what was not is due at once, as it was."""
    scope = anyio.CancelScope()

    class Cancelling(Handler):
        def __call__(self, connection, ended):
            super().__call__(connection, ended)
            anyio.from_thread.run_sync(scope.cancel)

    handler = Cancelling(hard=["7"])
    async with scene(Answering(default=DONE), orders=range(8), store=Failing(on_record=handler)) as at:
        with scope:
            await at.tracker.tend("alpha", seconds=60)
        rows = await found(at)

        assert scope.cancelled_caught
        assert {row.order for row in rows if row.ended_at is not None} == {"0", "1", "2", "3"}
        assert {row.status for row in rows if row.ended_at is None} == {None}
        assert all(row.due_at.timestamp() <= at.store.clock() for row in rows if row.ended_at is None)


@pytest.mark.parametrize("silence", [0.0, 100.0, 2000.0, 1e6])
def test_end_that_is_put_off_comes_later_and_later(silence):
    """Its word is kept; the next try comes after a share of the time since that was first heard."""
    due = Due(1, "7", 3, 2, "Completed" if silence else "Pending", silence or 5000.0, 4)

    later = put_off(due, news_of(due, DONE, poll=POLL, max_misses=10, lot=0.5), poll=POLL, lot=0.5)

    assert (later.end, later.status, later.due_in) == (None, "Completed", max(20.0, min(silence * 0.1, 1000.0)))


def test_loss_that_is_put_off_stays_a_loss():
    """An order that is to end as unknown has not been found by that: the next miss ends it."""
    due = Due(1, "7", 3, 2, "Pending", 0.0, 9)

    later = put_off(due, news_of(due, smm.UnresolvedError("no"), poll=POLL, max_misses=10, lot=0.5), poll=POLL, lot=0.5)

    assert (later.end, later.misses, later.due_in) == (None, 10, 1000.0)

"""The tracker: it looks up what is due, tells what it sees, and leaves in good order."""

from datetime import UTC, datetime

import anyio
import anyio.lowlevel
import attrs
import pytest

import smm_async as smm
from smm_async.models import OrderState, OrderStatus
from smm_async.testing import SimulatedPanel
from smm_async.tracking import (
    Claimed,
    EndKind,
    Events,
    LookedUp,
    Paused,
    SQLiteStore,
    StoreAway,
    StoreAwayError,
    Tracked,
    Tracker,
)
from tests.trackers import DONE, FAST, GOING, SLOW, Answering, scene

AWAY = StoreAwayError("away")


async def find(at, order="1"):
    """Return one order as the store has it."""
    return (await anyio.to_thread.run_sync(at.store.find, "alpha", [order]))[0]


async def fail_with(ended):
    """Take events, and fail."""
    async with await anext(aiter(ended)) as events:
        assert repr(events) == f"<Events of {len(events)} orders>"
        raise ArithmeticError


async def handle_some(events):
    """Handle two of three events, one of them twice, and fail."""
    async with events:
        for event in events[0], events[0], events[2]:
            events.done(event)
        raise ArithmeticError


async def test_slice_looks_up_what_is_due_once():
    """A slice asks for each due order, records the answers, says what it did, and does not wait for what is not due."""
    async with scene(Answering({"2": DONE}), orders=[1, 2]) as at:
        done = await at.tracker.tend("alpha", seconds=60)
        again = await at.tracker.tend("alpha", seconds=60)

        assert sorted(at.client.asked[0]) == ["1", "2"]
        assert len(at.client.asked) == 1
        assert (done.orders, done.ended, bool(done)) == (2, 1, True)
        assert 800 < again.due_in < 1200
        assert (again.orders, at.of(Claimed)[0].orders) == (0, 2)
        report = at.of(LookedUp)[0]
        assert (report.panel, report.claimed, report.orders, report.requests, report.changed, report.ended) == (
            *("alpha", 2, 2, 1, 2, 1),
        )


async def test_slice_of_nothing_is_false():
    """Where nothing is open, there is nothing more to do."""
    async with scene(Answering(default=DONE)) as at:
        assert not await at.tracker.tend("alpha", seconds=60)
        await at.tracker.add("alpha", [1])
        done = await at.tracker.tend("alpha", seconds=60)

        assert (done.orders, done.ended, done.due_in) == (1, 1, None)


async def test_slice_ends_with_its_time():
    """However much is due, a slice ends, and says that more is due."""
    async with scene(orders=range(20), poll=FAST) as at:
        with anyio.fail_after(10):
            assert await at.tracker.tend("alpha", seconds=0.01)


async def test_slice_of_no_time_does_nothing():
    """A slice of no seconds asks for nothing."""
    async with scene(orders=[1]) as at:
        await at.tracker.tend("alpha", seconds=0)

        assert at.client.asked == []


async def test_panel_without_a_client_here_is_refused():
    """Orders can be added for panels that others look up; they cannot be looked up here."""
    async with scene() as at:
        assert await at.tracker.add("beta", [1]) == 1
        with pytest.raises(LookupError, match="'beta' here, but for alpha"):
            await at.tracker.tend("beta", seconds=60)


async def test_one_text_is_not_the_orders_that_its_characters_name():
    """Whoever forgets the brackets is told, before five orders of somebody else are tracked."""
    async with scene() as at:
        with pytest.raises(ValueError, match="one id in a list"):
            await at.tracker.add("alpha", "23501")

        assert await at.tracker.stats() == []


async def test_run_sees_what_is_added_meanwhile():
    """A worker that waits starts at once with what is added in its own process."""
    async with scene(Answering(default=DONE), idle=100.0) as at, anyio.create_task_group() as group:
        group.start_soon(at.tracker.run)
        await anyio.wait_all_tasks_blocked()
        await at.tracker.add("alpha", [7])
        with anyio.fail_after(10):
            ended = await at.tracker.wait("alpha", 7)
        at.tracker.stop()

    assert (ended.order, ended.state) == ("7", OrderState.COMPLETED)


async def test_changes_are_what_this_process_sees():
    """A listener gets each change of the panel's word, and how an order ends, until the tracker is left."""
    client = Answering({"1": GOING})
    async with scene(client, orders=[1]) as at:
        changes = at.tracker.changes()
        await at.tracker.tend("alpha", seconds=60)
        client.answers["1"] = DONE
        at.store.clock.ahead += 2500
        await at.tracker.tend("alpha", seconds=60)

    seen = [change async for change in changes]
    assert [(change.panel, change.order, change.before, change.status, change.end) for change in seen] == [
        ("alpha", "1", None, "In progress", None),
        ("alpha", "1", "In progress", "Completed", EndKind.ENDED),
    ]
    assert seen[1].answer is DONE


async def test_word_that_is_too_long_to_keep_is_told_once():
    """What the store could not keep whole is compared as it was kept."""
    async with scene(Answering({"1": OrderStatus(status="x" * 500, state=OrderState.UNKNOWN)}), orders=[1]) as at:
        changes = at.tracker.changes()
        for _ in range(2):
            await at.tracker.tend("alpha", seconds=60)
            at.store.clock.ahead += 2500

    assert [change.status async for change in changes] == ["x" * 200]


def test_no_two_ends_have_the_same_key():
    """A panel's name may hold what stands between the parts of a key."""
    now = datetime.now(UTC)
    parts = [("x", "1", 2), ("x/1", "2", 1), ("x", "1", 1), ("x:1", "2", 1), ("x", "2", 1)]

    keys = [
        Tracked(panel=panel, order=order, version=version, added_at=now, changed_at=now, due_at=now).key
        for panel, order, version in parts
    ]

    assert len(set(keys)) == len(parts)


async def test_old_orders_are_forgotten():
    """Orders whose ends were acknowledged long ago go; with their events only if that is wanted."""
    async with scene(Answering(default=DONE), orders=[1, 2]) as at:
        await at.tracker.tend("alpha", seconds=60)
        async with await anext(at.tracker.ended(limit=1)):
            pass
        at.store.clock.ahead += 100

        assert await at.tracker.prune(1000) == 0
        assert await at.tracker.prune(50) == 1
        assert await at.tracker.prune(50, events=True) == 1
        with pytest.raises(ValueError, match="seconds"):
            await at.tracker.prune(-1)


async def test_listener_waits_for_the_next_change():
    """A listener that is there first gets the change when it comes."""
    async with scene(orders=[1]) as at, anyio.create_task_group() as group:
        changes = at.tracker.changes()
        group.start_soon(at.tracker.run)
        with anyio.fail_after(10):
            change = await anext(aiter(changes))
        at.tracker.stop()

    assert change.order == "1"


async def test_listeners_do_not_take_from_each_other():
    """Each listener gets every change; two readers of one listener share them, and none is lost."""
    async with scene(orders=range(4)) as at, anyio.create_task_group() as group:
        first, second = at.tracker.changes(), at.tracker.changes()
        got = []

        async def read():
            got.extend([(await anext(first)).order for _ in range(2)])

        group.start_soon(read)
        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await at.tracker.tend("alpha", seconds=60)
        others = [(await anext(second)).order for _ in range(4)]

    assert sorted(got) == sorted(others) == ["0", "1", "2", "3"]


async def test_cancelled_listener_misses_nothing():
    """A change that a cancelled reader did not get is the next reader's."""
    async with scene(orders=[1]) as at:
        changes = at.tracker.changes()
        await at.tracker.tend("alpha", seconds=60)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(changes)

        assert (await anext(changes)).order == "1"


async def test_cancelled_slice_gives_back_what_it_has_claimed():
    """Cancelled while the panel answers, a worker leaves its orders untouched, and due: the next one has them at once."""
    client = Answering()
    async with scene(client, orders=[1], poll=SLOW) as at:
        client.gate = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(at.tracker.run)
            await client.was_asked.wait()
            group.cancel_scope.cancel()
        left = await find(at)
        client.gate.set()
        await at.tracker.tend("alpha", seconds=60)

        assert (left.status, left.misses, left.changed_at) == (None, 0, left.added_at)
        assert left.due_at.timestamp() <= at.store.clock()
        assert (await find(at)).status == "In progress"


async def test_giving_back_may_fail():
    """A cancelled worker whose store is away leaves all the same: the lease gives the orders back."""
    client = Answering()
    async with scene(client, orders=[1]) as at:
        client.gate = anyio.Event()
        at.store.failures["record"] = [AWAY]
        async with anyio.create_task_group() as group:
            group.start_soon(at.tracker.run)
            await client.was_asked.wait()
            group.cancel_scope.cancel()

        assert [report.error for report in at.of(StoreAway)] == [AWAY]


async def test_stop_records_what_is_on_its_way():
    """Asked to stop, a worker claims nothing more, waits for answers, records them, and returns."""
    client = Answering(default=DONE)
    async with scene(client, orders=[1]) as at, anyio.create_task_group() as group:
        client.gate = anyio.Event()
        group.start_soon(at.tracker.run)
        await client.was_asked.wait()
        at.tracker.stop()
        client.gate.set()

    assert at.of(LookedUp)[0].ended == 1


async def test_tracker_that_is_left_works_no_more():
    """Who leaves the tracker before its work has ended it that way."""
    async with anyio.create_task_group() as group:
        async with scene(orders=[1]) as at:
            group.start_soon(at.tracker.run)
            await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(10):
            await at.tracker._tendings["alpha"].work()


async def test_stop_is_heard_by_who_waits_for_answers():
    """Where as much as may be is on its way, a worker that is asked to stop takes nothing when answers come."""
    client = Answering(batch=1)
    async with scene(client, orders=range(50)) as at, anyio.create_task_group() as group:
        client.gate = anyio.Event()
        group.start_soon(at.tracker.run)
        await client.is_full.wait()
        await anyio.wait_all_tasks_blocked()
        at.tracker.stop()
        client.gate.set()

    assert [report.orders for report in at.of(Claimed)] == [10, 10, 10]


@pytest.mark.parametrize("how", ["run", "tend"])
async def test_closed_client_ends_the_work(how):
    """A client that was closed is a bug of the program, raised as it is and in no group."""
    async with scene(Answering(default=smm.ClosedError("closed")), orders=[1]) as at:
        with pytest.raises(smm.ClosedError):
            await (at.tracker.run() if how == "run" else at.tracker.tend("alpha", seconds=10))


async def test_closed_client_gives_back_what_was_claimed():
    """Whoever works with another client has the orders at once, as they were, not after the lease."""
    async with scene(Answering(default=smm.ClosedError("closed")), orders=[1]) as at:
        with pytest.raises(smm.ClosedError):
            await at.tracker.run()
        left = await find(at)

        assert (left.misses, left.due_at.timestamp() <= at.store.clock()) == (0, True)


async def test_bug_in_the_work_is_raised_bare():
    """What should never happen leaves in no group, either."""
    client = Answering()
    async with scene(client, orders=[1]) as at:
        del client.panel
        with pytest.raises(AttributeError):
            await at.tracker.run()


async def test_order_that_stays_unknown_ends_as_unknown():
    """Too many answers in a row without an order end it, with an event of its own kind."""
    unknown = {"1": smm.UnknownOrderError("no"), "2": smm.UnresolvedError("nothing")}
    async with scene(Answering(unknown), orders=[1, 2], poll=FAST, max_misses=3) as at:
        changes = at.tracker.changes()
        await at.tracker.tend("alpha", seconds=60)
        known = [await find(at, order) for order in "12"]
        events = await anyio.to_thread.run_sync(at.store.take, 10, 1.0)

    seen = [change async for change in changes]
    assert {(event.order, event.kind) for event in events} == {("1", EndKind.UNKNOWN), ("2", EndKind.UNKNOWN)}
    assert [tracked.misses for tracked in known] == [3, 3]
    assert [(change.status, change.answer, change.end) for change in seen] == [(None, None, EndKind.UNKNOWN)] * 2


async def test_order_never_ends_as_unknown_where_that_is_not_wanted():
    """Without a limit an order is asked for as long as it takes."""
    async with scene(Answering({"1": smm.UnknownOrderError("no")}), orders=[1], poll=FAST, max_misses=None) as at:
        at.is_enough = lambda at: len(at.of(LookedUp)) == 20
        await at.tracker.run()

        found = await find(at)
        assert found.misses >= 20
        assert found.ended_at is None


async def test_refused_key_pauses_the_panel_for_all_and_touches_no_order():
    """With a bad key nobody asks any more, somebody is told, and no order has missed anything."""
    error = smm.InvalidKeyError("bad key")
    async with scene(Answering(default=error), orders=[1]) as at:
        done = await at.tracker.tend("alpha", seconds=60)
        paused = (await at.tracker.stats())[0].paused

        assert len(at.client.asked) == 1
        assert [(report.error, report.seconds) for report in at.of(Paused)] == [(error, 300.0)]
        assert 200 < paused <= 300
        assert (done.orders, (await find(at)).misses) == (0, 0)


async def test_panel_that_asks_to_wait_is_left_alone():
    """When a panel says for how long to wait, no worker asks it before."""
    error = smm.RateLimitedError("slow down")
    error.retry_after = 77.0
    async with scene(Answering(default=GOING, answers={"1": error}), orders=[1, 2]) as at:
        await at.tracker.tend("alpha", seconds=10)

        assert [(report.error, report.seconds) for report in at.of(Paused)] == [(error, 77.0)]
        assert at.of(LookedUp)[0].errors == {"RateLimitedError": 1}
        assert 70 < (await at.tracker.stats())[0].paused <= 77


async def test_panel_that_is_down_is_paused_and_asked_for_little():
    """After some claims without an answer all workers pause; until it is up again, a claim is one request."""
    answers = {str(order): smm.NoAnswerError("down") for order in range(20)}
    client = Answering(answers, batch=2)
    async with scene(client, orders=range(20), poll=FAST) as at:
        at.is_enough = lambda at: at.of(Paused)
        await at.tracker.run()

        assert at.of(Paused)[0].seconds >= 5.0
        assert {len(asked) for asked in client.asked[3:]} <= {2}
        assert (await find(at)).misses == 0


async def test_claims_go_on_when_the_store_is_back(monkeypatch):
    """A store that is away for a while is asked again, and it is told."""
    monkeypatch.setattr("smm_async._recording._FIRST_BACKOFF", 0.001)
    async with scene(Answering(default=DONE), orders=[1]) as at:
        at.store.failures["claim"] = [AWAY, AWAY]
        with anyio.fail_after(10):
            done = await at.tracker.tend("alpha", seconds=60)

        assert done.ended == 1
        assert [report.error for report in at.of(StoreAway)] == [AWAY, AWAY]


async def test_answers_are_kept_while_the_store_is_away(monkeypatch):
    """What was heard is recorded when the store is back, without asking the panel again."""
    monkeypatch.setattr("smm_async._recording._FIRST_BACKOFF", 0.001)
    async with scene(Answering(default=DONE), orders=[1]) as at:
        at.store.failures["record"] = [AWAY, AWAY]
        done = await at.tracker.tend("alpha", seconds=60)

        assert (done.ended, len(at.client.asked)) == (1, 1)


async def test_answers_are_dropped_when_the_store_stays_away():
    """After a while what was heard is dropped, for it was only read; the lease gives the orders back."""
    async with scene(orders=[1], poll=SLOW) as at:
        recorder = at.tracker._tendings["alpha"]._recorder
        recorder._settings = attrs.evolve(recorder._settings, window=0.0)
        at.store.failures["record"] = [AWAY]
        done = await at.tracker.tend("alpha", seconds=60)

        assert (done.orders, (await find(at)).status) == (1, None)
        assert at.of(LookedUp)[0].changed == 0


async def test_worker_claims_slowly_while_nothing_can_be_recorded(caplog):
    """Where recording fails again and again, claims become rare, and the log says why."""
    async with scene(orders=range(3), lease=30.1) as at:
        at.store.failures["record"] = [ArithmeticError("broken")] * 2
        await at.tracker.tend("alpha", seconds=10)
        await at.tracker.add("alpha", [10])
        await at.tracker.tend("alpha", seconds=10)

        assert at.store.called.count("record") == 2
        assert (await find(at)).status is None
    assert "what was claimed is not recorded" in caplog.text
    assert "ArithmeticError" in caplog.text


async def test_what_observes_may_fail(caplog):
    """An exception in what looks on is logged, and the work goes on."""

    def fail(report):
        raise ArithmeticError

    async with scene(Answering(default=DONE), orders=[1], observe=fail) as at:
        assert (await at.tracker.tend("alpha", seconds=60)).ended == 1
    assert "ArithmeticError" in caplog.text


async def test_nobody_needs_to_observe():
    """Without an observer the work is the same."""
    async with scene(Answering(default=DONE), orders=[1], observe=None) as at:
        assert (await at.tracker.tend("alpha", seconds=60)).ended == 1


async def test_paced_requests_take_turns():
    """With a pace, an order's request waits for its turn, which the store gives; each is one batch."""
    client = Answering(default=DONE, batch=2)
    async with scene(client, orders=range(8), pace=500) as at:
        with anyio.fail_after(10):
            done = await at.tracker.tend("alpha", seconds=60)

        assert done.ended == 8
        assert [len(asked) for asked in client.asked] == [2, 2, 2, 2]


async def test_turns_that_are_too_far_ahead_are_not_taken():
    """Where no turn is left in time, orders go back, and are looked up later."""
    async with scene(Answering(default=DONE), orders=[1], pace={"alpha": 500}) as at:
        at.store.refused_turns = 2
        done = await at.tracker.tend("alpha", seconds=60)

        assert (done.ended, at.client.asked) == (1, [["1"]])
        assert [report.orders for report in at.of(LookedUp)] == [0, 0, 1]
        assert at.tracker._tendings["alpha"]._health.failures == 0


async def test_paced_claim_whose_key_is_refused_pauses():
    """What goes wrong in one of several turns is treated as in one request."""
    async with scene(Answering(default=smm.AccountError("suspended"), batch=1), orders=range(3), pace=500) as at:
        await at.tracker.tend("alpha", seconds=60)

        assert [type(report.error) for report in at.of(Paused)] == [smm.AccountError]


async def test_panel_without_a_plural_is_asked_for_little_at_a_time():
    """Where each order is a request, a claim is ten orders, so that it is done within the lease."""
    client = Answering()
    single = attrs.evolve(client.panel.actions["status"], many=None)
    client.panel = attrs.evolve(client.panel, actions={**client.panel.actions, "status": single})
    async with scene(client, orders=range(25)) as at:
        await at.tracker.tend("alpha", seconds=60)

        assert [report.orders for report in at.of(Claimed)] == [10, 10, 5]


async def test_reopened_order_is_looked_up_again():
    """An order that was opened again is due at once, and ends again, with another key."""
    async with scene(Answering(default=DONE), orders=[1]) as at:
        assert not await at.tracker.reopen("alpha", 1)
        await at.tracker.tend("alpha", seconds=60)
        assert await at.tracker.reopen("alpha", 1)
        assert not await at.tracker.reopen("beta", 1)
        await at.tracker.tend("alpha", seconds=60)

        events = await anyio.to_thread.run_sync(at.store.take, 10, 1.0)
        assert [event.key for event in events] == ["alpha/1", "alpha/1:2"]


async def test_orders_of_a_journal_are_tracked(tmp_path):
    """What was placed through a journal is added, once; what was not, is not."""
    panel = SimulatedPanel(key="key")
    journal = smm.Journal(tmp_path / "journal.db")
    order = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
    async with (
        smm.Client(panel.url, key="key", transport=panel.transport(), journal=journal) as client,
        Tracker(SQLiteStore(), {"alpha": client}) as tracker,
    ):
        placed = [await client.add(order, ref=f"ref-{number}") for number in range(2)]
        with pytest.raises(smm.PanelError):
            await client.add(attrs.evolve(order, service=99), ref="refused")

        assert [await tracker.add_placed("alpha", journal) for _ in range(2)] == [2, 0]
        assert {row.order for row in tracker._store.find("alpha", placed)} == set(placed)


async def test_events_are_acknowledged_by_leaving_the_block():
    """Handled events never come again; those of a block that failed, or was cancelled, come back after a while."""
    async with scene(Answering(default=DONE), orders=range(3)) as at:
        await at.tracker.tend("alpha", seconds=60)
        ended = at.tracker.ended(limit=2)
        keys = []
        with pytest.raises(ArithmeticError):
            await fail_with(ended)
        at.store.clock.ahead += 1.5
        with anyio.CancelScope() as scope:
            async with await anext(ended):
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert await anyio.to_thread.run_sync(at.store.take, 10, 0.0) != []
        at.store.clock.ahead += 2.5
        while len(keys) < 3:
            async with await anext(ended) as events:
                keys += [event.key for event in events]

        assert sorted(keys) == ["alpha/0", "alpha/1", "alpha/2"]
        assert (await at.tracker.stats())[0].events == 0


async def test_error_of_a_consumer_is_not_hidden_by_a_store_that_is_closed():
    """What has happened while events were handled is what comes out, though they cannot be given back any more."""
    async with scene(Answering(default=DONE), orders=[1]) as at:
        await at.tracker.tend("alpha", seconds=60)
        events = await anext(at.tracker.ended())

    with pytest.raises(ArithmeticError):
        async with events:
            raise ArithmeticError


async def test_failing_event_does_not_hold_up_those_behind_it():
    """While an event is not handled, younger ones are, though it is the oldest and one is taken at a time."""
    async with scene(Answering(default=DONE), orders=range(3)) as at:
        await at.tracker.tend("alpha", seconds=60)
        ended = at.tracker.ended(limit=1)
        keys = []
        with anyio.fail_after(10):
            with pytest.raises(ArithmeticError):
                await fail_with(ended)
            while len(keys) < 2:
                async with await anext(ended) as events:
                    keys += [event.key for event in events]
        at.store.clock.ahead += 1.5
        async with await anext(ended) as events:
            keys += [event.key for event in events]

    assert keys[2] not in keys[:2]
    assert len(keys) == 3


async def test_events_that_are_done_do_not_come_again():
    """Where a block fails, what it had handled before is acknowledged, and only the rest comes back."""
    async with scene(Answering(default=DONE), orders=range(3)) as at:
        await at.tracker.tend("alpha", seconds=60)
        events = await anext(at.tracker.ended())
        with pytest.raises(ArithmeticError):
            await handle_some(events)
        with pytest.raises(ValueError, match=r"alpha/\d is none of these events"):
            events.done(attrs.evolve(events[1], id=-1))
        at.store.clock.ahead += 1.5

        async with await anext(at.tracker.ended()) as rest:
            assert [event.key for event in rest] == [events[1].key]
        assert (await at.tracker.stats())[0].events == 0


class CountingId(int):
    """The number of an event that counts how often any is compared."""

    compared = 0

    def __eq__(self, other):
        type(self).compared += 1
        return int(self) == int(other)

    __hash__ = int.__hash__


async def test_handling_many_events_compares_few():
    """Saying of each of many events that it is done takes no search through all of them."""
    CountingId.compared = 0
    async with scene(Answering(default=DONE), orders=range(200)) as at:
        await at.tracker.tend("alpha", seconds=60)
        taken = at.store.take(200, 60.0)
        events = Events([attrs.evolve(event, id=CountingId(event.id)) for event in taken], at.tracker._opened())
        for event in events:
            events.done(attrs.evolve(event, id=CountingId(event.id)))

    assert 200 <= CountingId.compared < 2000


async def test_consumer_outlives_a_store_that_is_away(monkeypatch):
    """Taking events goes on when the store is back; what a failed block could not give back comes after the lease."""
    monkeypatch.setattr("smm_async._endings.LOOK_SECONDS", 0.01)
    async with scene(Answering(default=DONE), orders=[1]) as at:
        await at.tracker.tend("alpha", seconds=60)
        at.store.failures = {"take": [AWAY], "release": [AWAY]}
        ended = at.tracker.ended(lease=0.01)
        with anyio.fail_after(10):
            with pytest.raises(ArithmeticError):
                await fail_with(ended)
            async with await anext(ended) as events:
                assert [event.key for event in events] == ["alpha/1"]


async def test_consumer_is_woken_by_its_own_process():
    """An end that this process records is delivered at once."""
    async with scene(Answering(default=DONE)) as at, anyio.create_task_group() as group:
        got = []

        async def consume():
            async with await anext(at.tracker.ended()) as events:
                got.extend(events)

        group.start_soon(consume)
        await anyio.wait_all_tasks_blocked()
        await at.tracker.add("alpha", [1])
        await at.tracker.tend("alpha", seconds=60)

    assert [event.kind for event in got] == [EndKind.ENDED]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lease": 30.0}, "longer than 30 s, the budget of a lookup at 'alpha'"),
        ({"lease": -1.0}, "lease"),
        ({"ahead": -1.0}, "ahead"),
        ({"idle": 0.0}, "idle"),
        ({"max_misses": 0}, "max_misses"),
        ({"pace": 0.0}, "pace"),
        ({"pace": 0.05}, "at least 0.089 requests a second to 'alpha'"),
        ({"pace": {"alpha": float("inf")}}, "pace"),
        ({"pace": {"alpha": 5, "alfa": 5, 7: 5}}, "pace is for 'alfa', 7, but there is no client of that name"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(options, words):
    """A number out of bounds is named before anything is opened."""
    with pytest.raises(ValueError, match=words):
        Tracker(SQLiteStore(), {"alpha": Answering()}, **options)


def test_pace_without_clients_is_of_no_use_and_does_no_harm():
    """A process that only adds orders, or takes events, may have the settings of those that look them up."""
    Tracker(SQLiteStore(), {}, pace={"alpha": 5})


@pytest.mark.parametrize("name", ["", "a" * 101, "a\n", 7])
def test_bad_names_are_refused(name):
    """A panel's name is a short printable text."""
    with pytest.raises(ValueError, match="name is a text"):
        Tracker(SQLiteStore(), {name: Answering()})


def test_panel_without_a_status_is_refused():
    """What cannot be looked up cannot be tracked."""
    client = Answering()
    client.panel = attrs.evolve(client.panel, actions={})
    with pytest.raises(ValueError, match="no status"):
        Tracker(SQLiteStore(), {"alpha": client})


@pytest.mark.parametrize("orders", [["1,2"], [True], [-1]])
async def test_bad_orders_are_refused(orders):
    """What cannot be an order id is not tracked, nor is anything that comes with it."""
    async with scene() as at:
        with pytest.raises(ValueError, match="order id"):
            await at.tracker.add("alpha", [1, *orders])
        assert await at.tracker.stats() == []


async def test_tracker_that_was_not_entered_says_so():
    """Nothing works before the store is open."""
    tracker = Tracker(SQLiteStore(), {})
    with pytest.raises(RuntimeError, match="async with"):
        await tracker.add("alpha", [1])


def test_client_shows_its_budget():
    """A tracker sees how long a lookup may take."""
    assert smm.Client("https://panel.example/api/v2", key="key", budget=7).budget == 7.0

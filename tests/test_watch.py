"""Watching orders: the changes that a reader gets, and when the panel is asked."""

import logging
import random
from collections import Counter

import anyio
import pytest

import smm_async as smm
from smm_async._watch import Watch
from smm_async.testing import Fault, SimulatedPanel
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name
from tests.watching import DAY, DONE, MINUTE, MOVING, PENDING, FakePanel, read_all, shown, status_of, steps

pytestmark = pytest.mark.filterwarnings("error")


def client_of(panel, **options):
    """Return a client of a simulated panel."""
    return smm.Client(panel.url, key=panel.key, transport=panel.transport(), **options)


async def test_watch_yields_each_difference_until_all_have_ended():
    """Each order is told of at once, then at each change of its state, and the loop ends with the last."""
    panel = SimulatedPanel(durations=(1000.0, 3000.0), partial_share=0.3)
    orders = panel.seed_orders(50)

    async with client_of(panel) as client:
        changes = [change async for change in client.watch(orders)]

    words = {order: [change.after.status for change in changes if change.order == order] for order in orders}
    assert [change.order for change in changes[:50]] == orders
    assert all(change.before is None for change in changes[:50])
    assert [words[order][-1] for order in orders] == [panel.orders[order].outcome for order in orders]
    assert all(list(dict.fromkeys(words[order]))[:2] == ["Pending", "Processing"] for order in orders)
    assert Counter(change.order for change in changes if change.is_final) == Counter(orders)


async def test_before_and_after_are_a_chain():
    """What a change begins with is what the one before it ended with, and they differ."""
    panel = SimulatedPanel(durations=(500.0, 900.0))
    orders = panel.seed_orders(3)
    known: dict[int, object] = {}

    async with client_of(panel) as client:
        async for change in client.watch(orders):
            assert change.before == known.get(change.order)
            assert change.before != change.after
            known[change.order] = change.after

    assert len(known) == 3


async def test_lookups_ride_together():
    """Orders with ends of their own are asked for in requests that are nearly full, as long as there are enough."""
    panel = SimulatedPanel(durations=(1500.0, 1800.0), latency=0.2)
    orders = panel.seed_orders(500)

    async with client_of(panel) as client:
        async for _ in client.watch(orders):
            pass

    asked = panel.ids_per_request("status")
    assert sum(asked) / len(asked) > 90


async def test_orders_that_are_waited_for_one_by_one_ride_together():
    """Tasks that wait for an order each, from different moments on, share requests."""
    panel = SimulatedPanel(durations=(600.0, 1200.0), latency=0.2)
    orders = panel.seed_orders(200)
    found = {}

    async with client_of(panel) as client:

        async def wait(order):
            await anyio.sleep(order % 41 * 1.7)
            found[order] = await client.wait(order)

        async with anyio.create_task_group() as tasks:
            for order in orders:
                tasks.start_soon(wait, order)

    assert {status.state for status in found.values()} == {smm.OrderState.COMPLETED}
    assert sorted(found) == orders
    asked = panel.ids_per_request("status")
    assert sum(asked) / len(asked) > 15
    assert sum(asked) / len(orders) < 80


async def test_end_is_seen_soon_in_proportion_to_the_life():
    """However long an order takes, its end is seen after a tenth of that time, or the shortest pause, at the latest."""
    panel = SimulatedPanel()
    lives = [20.0, 100.0, 1000.0, 3000.0, 8000.0]
    orders = {panel.place(duration=seconds): seconds for seconds in lives}
    seen = {}

    async with client_of(panel) as client:
        async for change in client.watch(orders):
            if change.is_final:
                seen[change.order] = anyio.current_time()

    for order, seconds in orders.items():
        assert seconds <= seen[order] <= seconds + 1.5 * max(15.0, 0.1 * seconds)


async def test_ids_come_back_as_they_were_given():
    """A number stays a number and a text a text; one that is given twice is told of once."""
    panel = SimulatedPanel()
    orders = panel.seed_orders(3)

    async with client_of(panel) as client:
        first = [await anext(watch) for watch in [client.watch([orders[0], "2", 3, 3, "3"])] for _ in range(4)]

    assert [change.order for change in first] == [1, "2", 3, "3"]
    assert panel.ids_per_request("status") == [3]


async def test_nothing_to_watch_is_no_request():
    """Without orders the loop ends at once."""
    panel = SimulatedPanel()

    async with client_of(panel) as client:
        assert [change async for change in client.watch([])] == []

    assert panel.requests == []


@pytest.mark.parametrize("bad", [["1,2"], [True], [None], [1.0]])
async def test_bad_id_is_refused_at_once(bad):
    """What cannot be an id is a `ValueError` of the call itself, before any request."""
    async with client_of(SimulatedPanel()) as client:
        with pytest.raises(ValueError, match="is no order id"):
            client.watch(bad)
        with pytest.raises(ValueError, match="is no order id"):
            await client.wait(bad[0])


async def test_one_id_in_the_place_of_several_is_refused():
    """The orders 2, 3, 5, 0 and 1 are not what is meant by a text of these digits."""
    async with client_of(SimulatedPanel()) as client:
        with pytest.raises(ValueError, match="put one id in a list"):
            client.watch("23501")


@pytest.mark.parametrize("lag", [-1, float("inf"), None])
async def test_bad_lag_is_refused_at_once(lag):
    """So is a lag that is no number of seconds."""
    async with client_of(SimulatedPanel()) as client:
        with pytest.raises(ValueError, match="lag must be a number of seconds"):
            client.watch([1], lag=lag)


async def test_fields_that_nobody_knows_are_no_change():
    """A time or a number that the panel puts into every answer is no news of the order."""
    panel = FakePanel({1: lambda now: status_of("Pending" if now < 500 else "Completed", extra={"time": now})})

    assert await read_all(panel.watch()) == [(1, None, "Pending"), (1, "Pending", "Completed")]


async def test_progress_is_told_but_asked_for_no_more_often():
    """A count that moves is a change, but only another word makes the pauses short again."""
    panel = FakePanel({1: lambda now: status_of("In progress" if now < 5000 else "Completed", remains=int(9000 - now))})

    changes = await read_all(panel.watch())

    assert len(changes) == len(panel.asked)
    assert len(changes) < 60


async def test_flapping_order_is_told_of_each_time_and_not_asked_more_often_than_the_shortest():
    """An order that changes its mind has a change at each look, and is asked for no more often than an order may be."""
    turns = iter([PENDING, MOVING] * 100)
    panel = FakePanel({1: lambda now: next(turns) if now < 1000 else DONE})

    changes = await read_all(panel.watch())

    pauses = [after - before for before, after in zip(panel.moments_of(1), panel.moments_of(1)[1:], strict=False)]
    assert len(changes) == len(panel.asked) > 40
    assert 13.5 <= min(pauses) <= max(pauses) <= 20.5


async def test_failed_and_unknown_states_are_no_end():
    """An order that a panel may still repair, or whose word nobody knows, is watched on, at longer and longer pauses."""
    failed = status_of("Failed")
    strange = smm.OrderStatus(status="Sleeping", state=smm.OrderState.UNKNOWN)
    panel = FakePanel({1: lambda now: failed if now < DAY else DONE, 2: lambda now: strange if now < DAY else DONE})

    changes = await read_all(panel.watch())

    assert changes[:2] == [(1, None, "Failed"), (2, None, "Sleeping")]
    assert sorted(changes[2:]) == [(1, "Failed", "Completed"), (2, "Sleeping", "Completed")]
    assert len(panel.asked) < 250


async def test_fresh_order_that_is_not_known_yet_is_no_loss():
    """At first, "no such order" is lag: nothing is told until the panel knows it."""
    panel = SimulatedPanel(durations=(1000.0, 1000.0))
    changes = []

    async with client_of(panel) as client, anyio.create_task_group() as tasks:

        async def read():
            changes.extend([shown(change) async for change in client.watch([1])])

        tasks.start_soon(read)
        await anyio.sleep(200)
        assert panel.count("status") > 8
        assert panel.place() == 1

    assert changes[0] == (1, None, "Pending")
    assert changes[-1] == (1, "In progress", "Completed")


async def test_order_that_is_never_known_is_lost():
    """After the lag, "no such order" is the last news of this order, and the others are watched on."""
    panel = FakePanel({1: None, 2: steps(1000.0, 2000.0)})
    watch, ends = panel.watch(), {}

    async for change in watch:
        if change.is_final:
            ends[change.order] = (anyio.current_time(), change)

    at, change = ends[1]
    assert 600 <= at < 700
    assert change.before is None
    assert isinstance(change.after, smm.UnknownOrderError)
    assert ends[2][1].after == DONE


async def test_order_that_is_missing_for_a_while_is_not_lost():
    """A panel that forgets an order and knows it again has lost nothing, however often; an unsettled one neither."""
    gone, silent = smm.UnknownOrderError("Incorrect order ID"), smm.UnresolvedError("Nothing about it.")

    def row(now):
        if now >= 9000:
            return DONE
        if now % 1000 < 500:
            return PENDING
        return gone if now % 2000 < 1000 else silent

    panel = FakePanel({1: row})

    assert await read_all(panel.watch(lag=900.0)) == [(1, None, "Pending"), (1, "Pending", "Completed")]


async def test_lag_counts_from_when_the_panel_first_says_so():
    """A known order that vanishes is taken for lost after the lag, with what was known of it."""
    panel = FakePanel({1: lambda now: PENDING if now < 5000 else smm.UnknownOrderError("Incorrect order ID")})

    *_, last = [change async for change in panel.watch(lag=1200.0)]

    assert (last.before, type(last.after)) == (PENDING, smm.UnknownOrderError)
    assert 6200 <= anyio.current_time() < 6200 + 900


async def test_no_lag_at_all():
    """With a lag of 0 the first "no such order" counts."""
    panel = FakePanel({})

    assert await read_all(panel.watch([7], lag=0)) == [(7, None, "UnknownOrderError")]


async def test_wait_returns_the_final_status():
    """Who waits for one order gets how it ended."""
    panel = SimulatedPanel()
    order = panel.place(duration=500.0, outcome="Partial", remains=40)

    async with client_of(panel) as client:
        status = await client.wait(order)

    assert (status.state, status.remains) == (smm.OrderState.PARTIAL, 40)
    assert 500 <= anyio.current_time() < 575


async def test_wait_raises_for_an_order_that_does_not_exist():
    """Who waits for an order that the panel never knows gets that as an error, after the lag."""
    panel = SimulatedPanel()

    async with client_of(panel) as client:
        with pytest.raises(smm.UnknownOrderError, match="Incorrect order ID"):
            await client.wait(404, lag=100.0, poll=smm.Poll(shortest=5))

    assert 100 <= anyio.current_time() < 120


async def test_slow_reader_slows_the_polls():
    """Nobody asks while the reader is busy; what one look has found is all that is held."""
    panel = FakePanel(dict.fromkeys(range(5000), PENDING))
    watch = panel.watch()

    for _ in range(100):
        await anext(watch)
        await anyio.sleep(100)

    assert len(panel.asked) == 1
    assert len(watch._changes) <= 800


async def test_sleeping_machine_has_one_lookup_per_order():
    """After a night in which nothing ran, each order is asked for once, in full requests, and then spread again."""
    panel = FakePanel(dict.fromkeys(range(1000), PENDING))
    watch = panel.watch()
    for _ in range(1000):
        await anext(watch)
    panel.asked.clear()

    await anyio.sleep(8 * 3600)
    with anyio.move_on_after(300):
        await anext(watch)

    asked = Counter(order for _, orders in panel.asked for order in orders)
    assert asked == dict.fromkeys(range(1000), 1)
    assert [len(orders) for _, orders in panel.asked] == [800, 200]


async def test_one_that_always_fails_backs_off_alone():
    """An order about which the panel never says anything is asked less and less, and the others as ever."""
    panel = FakePanel(
        {**dict.fromkeys(range(1, 50), steps(100.0, 4000.0)), 0: smm.UnresolvedError("Nothing about it.")}
    )

    with anyio.move_on_after(4100):
        await read_all(panel.watch())

    assert len(panel.moments_of(0)) < 14
    assert len(panel.moments_of(1)) > 30
    assert len(panel.moments_of(49)) > 30


async def test_one_that_spoils_every_request_is_asked_apart():
    """An order that leaves its request unanswered ends up in requests of its own, and the others end as they would."""
    panel = FakePanel({order: steps(100.0, 3000.0) for order in range(100)})
    ends = {}

    def answer(order, orders):
        if 13 in orders:
            return smm.NoAnswerError("No answer.")
        return panel.rows[order](anyio.current_time())

    panel.answer = answer
    with anyio.move_on_after(4000):
        async for change in panel.watch():
            if change.is_final:
                ends[change.order] = anyio.current_time()

    assert sorted(ends) == [order for order in range(100) if order != 13]
    assert max(ends.values()) < 3500
    assert [orders for _, orders in panel.asked if 13 in orders][-2:] == [[13], [13]]


async def test_outage_is_waited_out(caplog):
    """While the panel is down for an hour it is asked a few times, by one order each; then all goes on."""
    panel = SimulatedPanel(durations=(20_000.0, 20_000.0))
    orders = panel.seed_orders(300)

    async with client_of(panel) as client, anyio.create_task_group() as tasks:

        async def read():
            assert len([change async for change in client.watch(orders) if change.is_final]) == 300

        tasks.start_soon(read)
        await anyio.sleep(1000)
        panel.fault(Fault.html(), times=None)
        panel.requests.clear()
        with caplog.at_level(logging.WARNING, "smm_async"):
            await anyio.sleep(3600)
        asked_in_outage = panel.ids_per_request("status")
        panel.clear_faults()
        panel.requests.clear()
        await anyio.sleep(1000)
        asked_after = {id_ for request in panel.requests for id_ in request.ids}

    assert len(asked_in_outage) < 15
    assert asked_in_outage[1:] == [1] * (len(asked_in_outage) - 1)
    assert len(asked_after) == 300
    assert all("not asked for in the next" in record.message for record in caplog.records)
    assert "BadReplyError" in caplog.text


async def test_rate_limit_is_obeyed():
    """A panel that says when it wants to be asked again is left alone until then, by all orders."""
    panel = SimulatedPanel(durations=(500.0, 500.0))
    orders = panel.seed_orders(250)
    panel.fault(Fault.rate_limited(retry_after=120), times=3)

    async with client_of(panel) as client:
        changes = [change async for change in client.watch(orders)]

    moments = [request.at for request in panel.requests]
    first_success = panel.ids_per_request("status").index(1)
    assert len([change for change in changes if change.is_final]) == 250
    assert moments[first_success] - moments[0] >= 120
    assert moments[first_success] - moments[first_success - 1] >= 119


async def test_wrong_key_is_raised_and_the_watch_can_go_on():
    """What concerns everybody is raised; where it was mended, the same watch goes on and has missed nothing."""
    panel = SimulatedPanel(durations=(100.0, 100.0))
    orders = panel.seed_orders(2)

    async with client_of(panel) as client:
        watch = client.watch(orders)
        assert shown(await anext(watch)) == (1, None, "Pending")
        assert shown(await anext(watch)) == (2, None, "Pending")
        panel.fault(Fault.error("Invalid API key"))
        with pytest.raises(smm.InvalidKeyError):
            await anext(watch)
        rest = [shown(change) async for change in watch]

    assert sorted(rest[-2:]) == [(1, "In progress", "Completed"), (2, "In progress", "Completed")]


async def test_panel_without_statuses_is_raised():
    """A panel that says it has no such action is asked no more."""
    panel = FakePanel({1: smm.UnsupportedActionError("No such action.")})

    with pytest.raises(smm.UnsupportedActionError):
        await anext(panel.watch())


async def test_closed_client_ends_the_watch():
    """Closing the client is an error to who waits for a change, at once."""
    panel = SimulatedPanel()
    order = panel.place(duration=500.0)
    client = client_of(panel)
    ended = []

    async def wait():
        with pytest.raises(smm.ClosedError):
            await client.wait(order, poll=smm.Poll(shortest=10))
        ended.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(100)
        panel.latency = 50.0
        await anyio.sleep(30)
        await client.aclose()

    assert ended[0] < anyio.current_time() + 1
    with pytest.raises(smm.ClosedError):
        await client.wait(order)


async def test_two_readers_of_one_watch_are_refused():
    """A second task that reads while the first waits gets an error, and the first its change."""
    panel = FakePanel({1: PENDING}, seconds=5.0)
    watch, got = panel.watch(), []

    async def read():
        got.append(await anext(watch))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await let_others_run()
        with pytest.raises(anyio.BusyResourceError):
            await anext(watch)

    assert [change.order for change in got] == [1]


async def test_loop_may_be_left_and_gone_on_with():
    """Leaving the loop leaves nothing behind; another loop over the same watch goes on where the first was left."""
    panel = FakePanel({order: steps(50.0, 100.0) for order in range(5)})
    watch, seen = panel.watch(), []

    async for change in watch:
        seen.append(shown(change))
        if len(seen) == 3:
            break
    seen += await read_all(watch)

    assert next(change[1:] for change in seen if change[0] == 4) == (None, "Pending")
    assert sorted(change[:2] for change in seen if change[1] is None) == [(order, None) for order in range(5)]
    assert [change[2] for change in seen][-5:] == ["Completed"] * 5


async def test_reader_of_many_changes_lets_others_run():
    """Changes that are there already are not handed out without a pass of the loop in between."""
    panel = FakePanel(dict.fromkeys(range(800), DONE))
    passes = 0

    async def count():
        nonlocal passes
        while True:
            await anyio.lowlevel.checkpoint()
            passes += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        assert len(await read_all(panel.watch())) == 800
        tasks.cancel_scope.cancel()

    assert passes >= 800


async def test_panel_of_single_ids_is_asked_singly():
    """Where a request holds one id, nobody rides along."""
    panel = FakePanel({order: steps(100.0, 200.0) for order in range(20)})

    await read_all(panel.watch(batch=1, jitter=random.Random(3)))

    assert all(len(orders) <= 8 for _, orders in panel.asked)
    assert all(len(orders) == 1 for at, orders in panel.asked if at > MINUTE)


def test_public_names():
    """What `watch()` returns and yields can be named in annotations."""
    assert smm.Watch is Watch
    assert {"Change", "Poll", "Watch"} <= set(smm.__all__)
    assert repr(smm.Change(1, None, PENDING)).startswith("Change(order=1, before=None, after=OrderStatus(")

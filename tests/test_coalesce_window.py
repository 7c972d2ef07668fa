"""When a batch goes: at once when idle or full, paced while others are on their way, and no timer without need."""

import asyncio
import itertools
import math
from typing import Any

import anyio
import pytest
import trio

import smm_async as smm
from tests.coalescing import LONG, Callers, FakeFetch, value_of, values_of
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name


@pytest.fixture
def fetch():
    """Give a fetch that takes 8 seconds."""
    return FakeFetch(seconds=8)


async def at(seconds):
    """Wait for a moment of the loop's own time."""
    await anyio.sleep_until(seconds)


async def start_at(callers, seconds, name, call, *args):
    """Start a call at a moment of the loop's own time."""
    await at(seconds)
    callers.start(name, call, *args)


def asked_since(fetch, moment):
    """Return what was asked after a moment, and when."""
    return [(when, keys) for when, keys in zip(fetch.asked_at, fetch.asked, strict=True) if when >= moment]


def has_timers():
    """Return whether anything will happen by itself."""
    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:
        return trio.lowlevel.current_statistics().seconds_to_next_deadline < math.inf
    return any(not timer.cancelled() for timer in loop._scheduled)


# At once.


async def test_lone_lookup_waits_for_nothing(fetch):
    """A lookup on an idle coalescer goes at once, the first and any later one."""
    async with smm.Coalescer(fetch) as coalescer:
        for start in (0, 100, 1000):
            await at(start)
            await coalescer.get("a")

    assert fetch.asked_at == [0, 100, 1000]


async def test_partial_batch_on_a_cold_start(fetch):
    """While nothing is known of the response time, partial batches go at once, too."""
    async with smm.Coalescer(fetch) as coalescer, Callers(LONG) as callers:
        for key in range(3):
            await start_at(callers, key, key, coalescer.get, key)

    assert asked_since(fetch, 0) == [(0, [0]), (1, [1]), (2, [2])]


async def test_full_batch_goes_at_once(fetch):
    """A batch goes in the instant it is full, however shortly after another."""
    async with smm.Coalescer(fetch, max_batch=2) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        await start_at(callers, 100, "a", coalescer.get, "a")
        await start_at(callers, 100.25, "b", coalescer.get, "b")
        await start_at(callers, 100.5, "c", coalescer.get, "c")

    assert asked_since(fetch, 100) == [(100, ["a"]), (100.5, ["b", "c"])]


async def test_full_batches_wait_for_a_slot(fetch):
    """As many batches as there are slots are on their way, and the next goes in the instant that a slot is free."""
    async with smm.Coalescer(fetch, max_batch=2, max_in_flight=2) as coalescer, Callers(LONG) as callers:
        for key in range(8):
            callers.start(key, coalescer.get, key)

    assert [when for when, _ in asked_since(fetch, 0)] == [0, 0, 8, 8]
    assert fetch.most_running == 2
    assert callers.got == values_of(range(8))


async def test_one_slot_batches_by_itself(fetch):
    """With one slot, all that came during a request goes together after it."""
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer, Callers(LONG) as callers:
        for key in range(5):
            await start_at(callers, 3 * key, key, coalescer.get, key)

    assert asked_since(fetch, 0) == [(0, [0]), (8, [1, 2]), (16, [3, 4])]


# Paced.


async def test_partial_batch_is_paced(fetch):
    """While a request is on its way, a partial batch goes one slot's share of the response time after the last."""
    async with smm.Coalescer(fetch, max_in_flight=8) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        for moment in (100, 100.25, 100.5, 101.5):
            await start_at(callers, moment, moment, coalescer.get, moment)

    assert asked_since(fetch, 100) == [(100, [100]), (101, [100.25, 100.5]), (102, [101.5])]


async def test_batch_that_is_more_than_half_full_waits_longer(fetch):
    """Such a batch waits a quarter of a pause more in its turn, and goes in the instant it is full."""
    async with smm.Coalescer(fetch, max_batch=4, max_in_flight=8) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        for moment in (100, 100.25, 100.5, 100.75, 101.5, 101.75, 102, 102.4375):
            await start_at(callers, moment, moment, coalescer.get, moment)

    assert asked_since(fetch, 100) == [
        (100, [100]),
        (101.25, [100.25, 100.5, 100.75]),
        (102.4375, [101.5, 101.75, 102, 102.4375]),
    ]


async def test_partial_batch_that_comes_late_enough(fetch):
    """A partial batch that forms later than that goes at once."""
    async with smm.Coalescer(fetch, max_in_flight=8) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        await start_at(callers, 100, "a", coalescer.get, "a")
        await start_at(callers, 101.25, "b", coalescer.get, "b")

    assert asked_since(fetch, 100) == [(100, ["a"]), (101.25, ["b"])]


async def test_response_time_is_smoothed(fetch):
    """The newest response time counts an eighth."""
    async with smm.Coalescer(fetch, max_in_flight=2) as coalescer, Callers(LONG) as callers:
        await coalescer.get("8 seconds")
        fetch.seconds = 16
        await coalescer.get("16 seconds")
        await start_at(callers, 100, "a", coalescer.get, "a")
        await start_at(callers, 101, "b", coalescer.get, "b")

    assert asked_since(fetch, 100) == [(100, ["a"]), (100 + (8 + 8 / 8) / 2, ["b"])]


async def test_failures_say_nothing_of_the_response_time(fetch):
    """How soon a request fails does not count as a response time."""
    async with smm.Coalescer(fetch, max_in_flight=2) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        fetch.seconds, fetch.answer = 0, lambda keys: 1 / 0
        with pytest.raises(ZeroDivisionError):
            await coalescer.get("fails")
        fetch.seconds, fetch.answer = 8, values_of
        await start_at(callers, 100, "a", coalescer.get, "a")
        await start_at(callers, 101, "b", coalescer.get, "b")

    assert asked_since(fetch, 100) == [(100, ["a"]), (104, ["b"])]


async def test_pause_ends_when_nothing_is_on_its_way(fetch):
    """A batch does not wait for its turn when the last request has ended."""
    async with smm.Coalescer(fetch, max_in_flight=2) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        await at(100)
        fetch.seconds = 1
        callers.start("a", coalescer.get, "a")
        await start_at(callers, 100.5, "b", coalescer.get, "b")

    assert asked_since(fetch, 100) == [(100, ["a"]), (101, ["b"])]


@pytest.mark.parametrize("max_delay", [0.0, 60.0])
async def test_pause_ends_for_a_key_that_was_left_out(fetch, max_delay):
    """A key that a batch left out is asked for at once, not at the end of another batch's pause."""
    options = {"max_batch": 2, "max_in_flight": 4, "max_delay": max_delay}
    async with smm.Coalescer(fetch, **options) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        fetch.answer = lambda keys: values_of(key for key in keys if key != "b" or len(keys) == 1)
        fetch.seconds = 1
        await start_at(callers, 100, "many", coalescer.get_many, ["a", "b"])
        await let_others_run()
        fetch.seconds = 8
        callers.start("others", coalescer.get_many, ["x", "y"])
        await start_at(callers, 100.5, "c", coalescer.get, "c")

    asked = asked_since(fetch, 100)
    assert asked[:3] == [(100, ["a", "b"]), (100, ["x", "y"]), (101, ["b"])]
    assert callers.got["many"] == values_of("ab")


async def test_nobody_is_left_when_the_pause_ends(fetch):
    """When all callers have left during the pause, nothing is sent, and later lookups are served."""
    async with smm.Coalescer(fetch, max_in_flight=8) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        await start_at(callers, 100, "a", coalescer.get, "a")
        await start_at(callers, 100.25, "b", coalescer.get, "b")
        await at(100.5)
        callers.cancel("b")
        await start_at(callers, 103, "c", coalescer.get, "c")

    assert asked_since(fetch, 100) == [(100, ["a"]), (103, ["c"])]
    assert callers.got == {"a": value_of("a"), "b": "cancelled", "c": value_of("c")}


async def test_slots_do_not_fall_into_step(fetch):
    """Under a steady stream of lookups, requests go out evenly, and no caller waits longer than a pause to be sent."""
    async with smm.Coalescer(fetch, max_in_flight=8) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        for step in range(400):
            await start_at(callers, 100 + step / 8, step, coalescer.get, step)

    moments = [when for when, _ in asked_since(fetch, 100)]
    assert [later - earlier for earlier, later in itertools.pairwise(moments)] == [1] * (len(moments) - 1)
    assert max(callers.ended_at[step] - (100 + step / 8) for step in range(400)) <= 8 + 1


# A longer window.


async def test_max_delay_lets_batches_fill(fetch):
    """With a delay, a lone lookup waits that long for company; a full batch does not."""
    async with smm.Coalescer(fetch, max_batch=3, max_delay=2) as coalescer, Callers(LONG) as callers:
        for moment in (100, 101, 110, 110.5, 111):
            await start_at(callers, moment, moment, coalescer.get, moment)

    assert asked_since(fetch, 100) == [(102, [100, 101]), (111, [110, 110.5, 111])]


async def test_max_delay_and_pause_do_not_add_up(fetch):
    """Of the delay and the pause, the longer one counts."""
    async with smm.Coalescer(fetch, max_in_flight=2, max_delay=2) as coalescer, Callers(LONG) as callers:
        await coalescer.get("warm")
        for moment in (100, 103, 115, 120):
            await start_at(callers, moment, moment, coalescer.get, moment)

    assert asked_since(fetch, 100) == [(102, [100]), (106, [103]), (117, [115]), (122, [120])]


async def test_max_delay_and_waiting_for_a_slot_do_not_add_up(fetch):
    """A batch that has waited for a slot as long as it may wait for company goes when the slot is free."""
    async with smm.Coalescer(fetch, max_in_flight=1, max_delay=2) as coalescer, Callers(LONG) as callers:
        for moment in (100, 103, 117):
            await start_at(callers, moment, moment, coalescer.get, moment)

    assert asked_since(fetch, 100) == [(102, [100]), (110, [103]), (119, [117])]


async def test_max_delay_of_what_a_full_batch_left_over(fetch):
    """What did not fit into a full batch waits for company from then on."""
    async with smm.Coalescer(fetch, max_batch=2, max_delay=2) as coalescer, Callers(LONG) as callers:
        await start_at(callers, 100, "a", coalescer.get, "a")
        await start_at(callers, 101, "many", coalescer.get_many, ["b", "c"])

    assert asked_since(fetch, 100) == [(101, ["a", "b"]), (103, ["c"])]


# No timer.


@pytest.mark.parametrize("options", [{}, {"budget": 30.0}, {"max_delay": 1.0}, {"budget": 30.0, "max_delay": 1.0}])
async def test_idle_coalescer_has_no_timer(fetch, options):
    """When nobody waits, nothing ticks, at the latest when the last caller's budget would have ended."""
    async with smm.Coalescer(fetch, **options) as coalescer:
        assert await coalescer.get_many(range(250)) == values_of(range(250))
        await anyio.sleep(30)
        await let_others_run()

        assert not has_timers()
        assert await coalescer.get("a") == value_of("a")

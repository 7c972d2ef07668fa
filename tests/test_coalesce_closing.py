"""Closing answers everybody at that instant, at whatever point the coalescer is, and stays closed."""

import asyncio

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, passes, value_of, values_of


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


async def test_closing_answers_everybody(fetch):
    """Callers whose request is on its way, and those who are queued, hear at once that it was closed."""
    fetch.hold()
    async with (
        Callers() as callers,
        smm.Coalescer(fetch, max_batch=2, max_in_flight=1, budget=30) as coalescer,
    ):
        for key in range(5):
            callers.start(key, coalescer.get, key)
        callers.start("many", coalescer.get_many, range(50))
        await anyio.wait_all_tasks_blocked()

    assert len(fetch.asked) == 1
    assert fetch.running == 0
    assert {type(error) for error in callers.got.values()} == {smm.ClosedError}
    assert {str(error) for error in callers.got.values()} == {"Closed before the answer came."}
    assert len({id(error) for error in callers.got.values()}) == 6


async def test_closing_answers_before_it_waits():
    """Callers do not wait for the requests to end: they hear of the closing although those take their time."""
    door = anyio.Event()

    async def stubborn(keys):
        with anyio.CancelScope(shield=True):
            await door.wait()

    coalescer = smm.Coalescer(stubborn)
    async with Callers() as callers:
        callers.start("a", coalescer.get, "a")
        await anyio.wait_all_tasks_blocked()
        callers.start("close", coalescer.aclose)
        await passes(5)
        early = dict(callers.got)
        door.set()

    assert list(early) == ["a"]
    assert type(early["a"]) is smm.ClosedError
    assert callers.got["close"] is None


async def test_closed_coalescer(fetch):
    """After the closing, every call hears of it at once, and nothing is asked."""
    async with smm.Coalescer(fetch) as coalescer:
        pass

    for call in (coalescer.get("a"), coalescer.get_many(["a"]), coalescer.get_many([]), coalescer.__aenter__()):
        with pytest.raises(smm.ClosedError, match="The coalescer is closed"):
            await call

    assert fetch.asked == []


async def test_closing_twice(fetch):
    """Closing again is harmless, as is closing what was never used."""
    used, unused = smm.Coalescer(fetch), smm.Coalescer(fetch)
    await used.get("a")

    for coalescer in (used, used, unused, unused):
        await coalescer.aclose()

    assert fetch.asked == [["a"]]


async def test_closing_ends_all_tasks(fetch):
    """After the closing, no task of the coalescer is left, whatever its tasks were doing."""
    before = {task.id for task in anyio.get_running_tasks()}

    async with smm.Coalescer(fetch, max_batch=1, max_in_flight=4, budget=30) as coalescer, Callers() as callers:
        for key in range(10):
            callers.start(key, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()

    assert {task.id for task in anyio.get_running_tasks()} == before


async def test_closing_in_the_pass_of_the_answer(fetch):
    """Whoever was answered before the closing has the answer, even if its task has not run yet."""
    fetch.hold()
    coalescer = smm.Coalescer(fetch)
    async with Callers() as callers:
        for key in "ab":
            callers.start(key, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()
        fetch.release()
        while fetch.running:
            await passes(1)
        await coalescer.aclose()

    assert callers.got == values_of("ab")


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("budget", [None, 30.0])
async def test_closing_at_any_pass(fetch, turns, budget):
    """Closing at any moment of a lookup's life leaves every caller with the answer or the news, and no task behind."""

    async def answer_some(keys):
        await passes(1)
        return values_of(key for key in keys if key != "b" or len(keys) == 1)

    async with Callers() as callers:
        async with smm.Coalescer(answer_some, max_batch=3, max_in_flight=2, budget=budget) as coalescer:
            for key in "abcd":
                callers.start(key, coalescer.get, key)
            callers.start("many", coalescer.get_many, ["c", "d", "e"])
            await passes(turns)
        await passes(2)
        at_that_instant = set(callers.got)

    assert at_that_instant == {"a", "b", "c", "d", "many"}
    for key in "abcd":
        assert callers.got[key] == value_of(key) or type(callers.got[key]) is smm.ClosedError
    assert callers.got["many"] == values_of("cde") or type(callers.got["many"]) is smm.ClosedError


async def test_closing_while_others_enter(fetch):
    """One of several who use a coalescer may close it; those who come later hear of it."""
    coalescer = smm.Coalescer(fetch)

    async def use(key):
        async with coalescer:
            return await coalescer.get(key)

    async with Callers() as callers:
        for key in range(20):
            callers.start(key, use, key)

    assert all(got == value_of(key) or type(got) is smm.ClosedError for key, got in callers.got.items())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_closing_cancelled_by_asyncio(fetch):
    """A cancellation by asyncio itself, such as a timeout around the closing, leaves nobody waiting and no task."""
    before = asyncio.all_tasks()
    door = asyncio.Event()

    async def stubborn(keys):
        with anyio.CancelScope(shield=True):
            await door.wait()

    coalescer = smm.Coalescer(stubborn)
    waiting = asyncio.create_task(coalescer.get("a"))
    await anyio.wait_all_tasks_blocked()
    closing = asyncio.create_task(coalescer.aclose())
    await passes(3)
    closing.cancel()
    await passes(3)
    door.set()

    with pytest.raises(smm.ClosedError):
        await waiting
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert asyncio.all_tasks() == before

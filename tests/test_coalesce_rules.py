"""Nobody's cancel is anybody else's, nobody joins what was sent, and who has left is not asked for."""

import asyncio
import contextvars

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, passes, sizes, value_of, values_of

ASYNCIO_ONLY = pytest.mark.parametrize("anyio_backend", ["asyncio"])
REQUEST = contextvars.ContextVar("REQUEST", default="nobody's")


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


# Nobody's cancel is anybody else's.


async def test_first_caller_is_cancelled(fetch):
    """When the caller whose lookup started a request is cancelled, the request and all others go on."""
    fetch.hold()
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        for key in "abb":
            callers.start((key, len(callers._scopes)), coalescer.get, key)
        await anyio.wait_all_tasks_blocked()
        callers.cancel(("a", 0), ("b", 1))
        await anyio.wait_all_tasks_blocked()
        running = fetch.running
        fetch.release()

    assert running == 1
    assert callers.got == {("a", 0): "cancelled", ("b", 1): "cancelled", ("b", 2): value_of("b")}
    assert sizes(fetch) == [2]


async def test_request_goes_on_when_all_its_callers_have_left(fetch):
    """A request whose callers have all left is not cancelled, and its slot serves others afterwards."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer, Callers() as callers:
        callers.start("a", coalescer.get, "a")
        await anyio.wait_all_tasks_blocked()
        callers.cancel("a")
        callers.start("b", coalescer.get, "b")
        await anyio.wait_all_tasks_blocked()
        asked = list(fetch.asked)
        running = fetch.running
        fetch.release()

    assert (asked, running) == ([["a"]], 1)
    assert callers.got == {"a": "cancelled", "b": value_of("b")}


async def test_tasks_outlive_the_task_group_they_were_started_in(fetch):
    """Slots that were started for one caller serve others when that one's task group is cancelled and gone."""
    async with smm.Coalescer(fetch) as coalescer:
        async with anyio.create_task_group() as tasks:
            assert await coalescer.get("a") == value_of("a")
            tasks.cancel_scope.cancel()

        assert await coalescer.get("b") == value_of("b")


async def test_entering_and_leaving_in_different_tasks(fetch):
    """A coalescer may be entered in one task, used in another and left in a third."""
    coalescer = smm.Coalescer(fetch)
    got = []

    async def use():
        got.append(await coalescer.get("a"))

    for step in (coalescer.__aenter__, use, lambda: coalescer.__aexit__(None, None, None)):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step)

    assert got == [value_of("a")]
    with pytest.raises(smm.ClosedError):
        await coalescer.get("b")


async def test_users_own_exception_leaves_bare(fetch):
    """What the user raises inside ``async with`` leaves it as it is, not in a group."""
    error = KeyError("mine")

    async def use():
        async with smm.Coalescer(fetch) as coalescer:
            await coalescer.get("a")
            raise error

    with pytest.raises(KeyError) as caught:
        await use()

    assert caught.value is error


async def test_fetch_knows_nothing_of_its_callers(fetch):
    """The context variables of no caller reach fetch, not even those of the one that started its slot."""
    seen = []

    async def look(keys):
        seen.append(REQUEST.get())
        return values_of(keys)

    async def ask():
        REQUEST.set("somebody's")
        await coalescer.get("a")

    async with smm.Coalescer(look) as coalescer, anyio.create_task_group() as tasks:
        tasks.start_soon(ask)

    assert seen == ["nobody's"]


# Only join what is not sent yet.


async def test_lookup_does_not_join_a_request_on_its_way(fetch):
    """A key that is asked for while a request for it is on its way is asked for again."""
    fetch.hold()
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        callers.start("early", coalescer.get, "a")
        await anyio.wait_all_tasks_blocked()
        callers.start("late", coalescer.get, "a")
        await anyio.wait_all_tasks_blocked()
        asked = list(fetch.asked)
        fetch.release()

    assert asked == [["a"], ["a"]]
    assert callers.got == {"early": value_of("a"), "late": value_of("a")}


async def test_answers_are_not_kept(fetch):
    """Nothing is cached: each lookup after an answer is a new question."""
    async with smm.Coalescer(fetch) as coalescer:
        for _ in range(3):
            await coalescer.get("a")

    assert fetch.asked == [["a"]] * 3


# Cancelled before it is sent means not asked.


async def test_cancelled_in_the_queue(fetch):
    """A lookup that is cancelled while all slots are busy is not asked for, unless others ask for the same."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer, Callers() as callers:
        callers.start("busy", coalescer.get, "busy")
        await anyio.wait_all_tasks_blocked()
        for name, key in (("a", "a"), ("b", "b"), ("b again", "b")):
            callers.start(name, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()
        callers.cancel("a", "b")
        await anyio.wait_all_tasks_blocked()
        fetch.release()

    assert fetch.asked == [["busy"], ["b"]]
    assert callers.got["b again"] == value_of("b")


async def test_cancelled_in_the_pass_of_sending(fetch):
    """A lookup that is cancelled in the very pass in which a slot becomes free for it is not asked for."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer, Callers() as callers:
        callers.start("busy", coalescer.get, "busy")
        await anyio.wait_all_tasks_blocked()
        callers.start("a", coalescer.get, "a")
        callers.start("many", coalescer.get_many, ["b", "c"])
        await anyio.wait_all_tasks_blocked()
        fetch.release()
        callers.cancel("a", "many")

    assert fetch.asked == [["busy"]]
    assert callers.got == {"busy": value_of("busy"), "a": "cancelled", "many": "cancelled"}


@pytest.mark.parametrize("is_warm", [False, True])
async def test_lookup_in_a_cancelled_scope(fetch, is_warm):
    """Whoever is cancelled already asks nothing."""
    async with smm.Coalescer(fetch) as coalescer:
        if is_warm:
            await coalescer.get("warm")
            await anyio.wait_all_tasks_blocked()
        before = len(fetch.asked)

        with anyio.CancelScope() as scope:
            scope.cancel()
            await coalescer.get("a")
        await anyio.wait_all_tasks_blocked()

        assert scope.cancelled_caught
        assert len(fetch.asked) == before
        assert await coalescer.get("b") == value_of("b")


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("keys", [[], ["a", "b"], range(5000)], ids=["none", "two", "many"])
async def test_list_in_a_cancelled_scope(fetch, turns, keys):
    """Whoever is cancelled already asks for no list of keys, even while a slot is about to send."""
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        callers.start("x", coalescer.get, "x")
        await passes(turns)

        with anyio.CancelScope() as scope:
            scope.cancel()
            await coalescer.get_many(keys)

    assert scope.cancelled_caught
    assert fetch.asked == [["x"]]


@ASYNCIO_ONLY
async def test_lookup_cancelled_by_asyncio(fetch):
    """Cancelling a task, or a timeout of asyncio's own, withdraws what was not sent and disturbs nobody else."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer:
        busy = asyncio.create_task(coalescer.get("busy"))
        await anyio.wait_all_tasks_blocked()
        cancelled = asyncio.create_task(coalescer.get("a"))
        stays = asyncio.create_task(coalescer.get("b"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await coalescer.get("c")
        cancelled.cancel()
        fetch.release()
        results = list(await asyncio.gather(busy, cancelled, stays, return_exceptions=True))

    assert results[::2] == [value_of("busy"), value_of("b")]
    assert isinstance(results[1], asyncio.CancelledError)
    assert fetch.asked == [["busy"], ["b"]]

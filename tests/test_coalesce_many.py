"""Looking many keys up in one call: order, duplicates, how many are queued, and how such a call ends early."""

import asyncio
from typing import Any

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, passes, sizes, value_of, values_of


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


async def test_many_in_the_callers_order(fetch):
    """The results come in the order of the keys, each key once, however the answers came."""
    fetch.answer = lambda keys: dict(reversed(values_of(keys).items()))
    async with smm.Coalescer(fetch, max_batch=2) as coalescer:
        found = await coalescer.get_many(["d", "a", "c", "a", "b", "d"])

    assert list(found.items()) == [(key, value_of(key)) for key in "dacb"]
    assert sorted(key for keys in fetch.asked for key in keys) == list("abcd")


async def test_many_of_any_iterable(fetch):
    """Keys may come from a generator, and there may be none."""
    async with smm.Coalescer(fetch) as coalescer:
        assert await coalescer.get_many(key for key in "ab") == values_of("ab")
        assert await coalescer.get_many([]) == {}
        assert await coalescer.get_many(iter(())) == {}

    assert len(fetch.asked) == 1


@pytest.mark.parametrize("keys", [7, None, ["a", []]])
async def test_many_of_what_cannot_be_keys(fetch, keys):
    """What cannot be iterated, or cannot be keys, is refused before anything is asked."""
    async with smm.Coalescer(fetch) as coalescer:
        with pytest.raises(TypeError):
            await coalescer.get_many(keys)
        await anyio.wait_all_tasks_blocked()

        assert fetch.asked == []
        assert await coalescer.get("a") == value_of("a")


async def test_many_whose_iterable_fails(fetch):
    """An error of the caller's own iterable leaves as it is, before anything is asked."""

    def keys():
        yield "a"
        raise KeyError("mine")

    async with smm.Coalescer(fetch) as coalescer:
        with pytest.raises(KeyError, match="mine"):
            await coalescer.get_many(keys())

    assert fetch.asked == []


async def test_many_share_batches_with_others(fetch):
    """Keys of lists and of single lookups go out together, and equal ones once."""
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        callers.start("one", coalescer.get, "a")
        callers.start("many", coalescer.get_many, ["a", "b"])
        callers.start("more", coalescer.get_many, ["b", "c"])

    assert [sorted(keys) for keys in fetch.asked] == [["a", "b", "c"]]
    assert callers.got == {"one": value_of("a"), "many": values_of("ab"), "more": values_of("bc")}


async def test_many_with_errors_of_their_own(fetch):
    """Each key has its value or its own error; none of them raises."""
    fetch.answer = lambda keys: {"a": value_of("a"), "b": smm.UnknownOrderError("No."), "c": OSError(5, "x")}
    async with smm.Coalescer(fetch) as coalescer:
        found = await coalescer.get_many("abcd")

    kinds = [type(found[key]) for key in "abcd"]
    assert kinds == [str, smm.UnknownOrderError, OSError, smm.UnresolvedError]


@pytest.mark.parametrize("error", [smm.NoAnswerError("Lost."), OSError("broken")])
async def test_many_with_a_batch_that_fails(fetch, error):
    """A request that fails gives its error to each of its keys, a copy each; other requests are not concerned."""

    def answer(keys):
        if 0 in keys:
            raise error
        return values_of(keys)

    fetch.answer = answer
    async with smm.Coalescer(fetch, max_batch=10) as coalescer:
        found = await coalescer.get_many(range(30))

    assert [type(found[key]) for key in range(10)] == [type(error)] * 10
    assert len({id(found[key]) for key in range(10)}) == 10
    assert {key: found[key] for key in range(10, 30)} == values_of(range(10, 30))


# How many are queued.


async def test_many_fill_their_batches(fetch):
    """A long list goes out in full batches."""
    async with smm.Coalescer(fetch) as coalescer:
        found = await coalescer.get_many(range(10_050))

    assert found == values_of(range(10_050))
    assert sorted(sizes(fetch)) == [50] + [100] * 100


async def test_many_are_not_queued_at_once(fetch):
    """Of a long list, no more is queued than twice what may be on its way."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=2) as coalescer, Callers() as callers:
        callers.start("many", coalescer.get_many, range(1000))
        await anyio.wait_all_tasks_blocked()
        queued = len(coalescer._queue)
        fetch.release()

    assert queued == 20
    assert callers.got["many"] == values_of(range(1000))
    assert sizes(fetch) == [10] * 100


async def test_others_do_not_wait_behind_a_long_list(fetch):
    """A lookup that comes during a long list is asked long before the list's end."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=1) as coalescer, Callers() as callers:
        callers.start("many", coalescer.get_many, range(1000))
        await anyio.wait_all_tasks_blocked()
        callers.start("one", coalescer.get, "one")
        await anyio.wait_all_tasks_blocked()
        fetch.release()

    place = next(place for place, keys in enumerate(fetch.asked) if "one" in keys)
    assert place <= 3
    assert callers.got["one"] == value_of("one")


# Ending early.


async def test_many_cancelled_withdraws_what_was_not_sent(fetch):
    """A cancelled call withdraws what was not sent, at that instant, but for what others ask, too."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=1) as coalescer, Callers() as callers:
        callers.start("many", coalescer.get_many, range(1000))
        await anyio.wait_all_tasks_blocked()
        callers.start("one", coalescer.get, 15)
        await anyio.wait_all_tasks_blocked()
        callers.cancel("many")
        fetch.release()

    assert fetch.asked == [list(range(10)), [15]]
    assert callers.got == {"many": "cancelled", "one": value_of(15)}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("turns", range(8))
async def test_many_cancelled_by_asyncio(fetch, turns):
    """A cancellation by asyncio itself, at any time, withdraws the rest and disturbs nobody."""
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=1) as coalescer:
        many = asyncio.create_task(coalescer.get_many(range(1000)))
        one = asyncio.create_task(coalescer.get("one"))
        await passes(turns)
        many.cancel()

        assert await one == value_of("one")
        await anyio.wait_all_tasks_blocked()

    assert many.cancelled()
    assert sum(sizes(fetch)) < 60


async def test_many_stopped_by_a_shared_error():
    """An error that concerns everybody stops a long list: nothing more is asked, and each open key has its copy."""
    doors, asked = {0: anyio.Event(), 10: anyio.Event()}, []

    async def look(keys):
        asked.append(keys)
        await doors[keys[0]].wait()
        if 0 in keys:
            raise smm.InvalidKeyError("No.")
        return values_of(keys)

    options: Any = {"max_batch": 10, "max_in_flight": 2, "shared_errors": (smm.InvalidKeyError,)}
    async with smm.Coalescer(look, **options) as coalescer, Callers() as callers:
        callers.start("many", coalescer.get_many, range(1000))
        await anyio.wait_all_tasks_blocked()
        doors[0].set()
        await anyio.wait_all_tasks_blocked()
        early = dict(callers.got)
        doors[10].set()

    found = callers.got["many"]
    errors = [result for result in found.values() if isinstance(result, smm.InvalidKeyError)]
    assert early == {}
    assert asked == [list(range(10)), list(range(10, 20))]
    assert list(found) == list(range(1000))
    assert {key: found[key] for key in range(10, 20)} == values_of(range(10, 20))
    assert len({id(error) for error in errors}) == 990


async def test_many_stopped_by_closing(fetch):
    """A long list that is going on when the coalescer is closed raises, whatever it has got until then."""
    async with Callers() as callers, smm.Coalescer(fetch, max_batch=10, max_in_flight=2) as coalescer:
        callers.start("many", coalescer.get_many, range(1000))
        await passes(20)
        fetch.hold()
        await anyio.wait_all_tasks_blocked()

    assert type(callers.got["many"]) is smm.ClosedError
    assert 0 < len(fetch.asked) < 100


@pytest.mark.parametrize("turns", range(30))
async def test_many_stopped_by_closing_at_any_pass(fetch, turns):
    """Closing at any moment of a long list ends it with the news or with everything."""
    async with Callers() as callers, smm.Coalescer(fetch, max_batch=2, max_in_flight=1) as coalescer:
        callers.start("many", coalescer.get_many, range(12))
        await passes(turns)

    assert callers.got["many"] == values_of(range(12)) or type(callers.got["many"]) is smm.ClosedError

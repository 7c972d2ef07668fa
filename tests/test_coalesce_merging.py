"""Concurrent lookups become few questions, and bad arguments are refused."""

import math
import random

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, passes, sizes, value_of, values_of


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


async def get_one(coalescer, key):
    """Look one key up with a coalescer of its own."""
    async with coalescer:
        return await coalescer.get(key)


async def test_fifty_callers_of_one_key(fetch):
    """Fifty callers of one key ask one question, and all get the answer, but for those that left."""
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        for caller in range(50):
            callers.start(caller, coalescer.get, "a")
        await passes(1)
        callers.cancel(*range(0, 50, 2))

    assert fetch.asked == [["a"]]
    assert {name for name, got in callers.got.items() if got == value_of("a")} >= set(range(1, 50, 2))
    assert set(callers.got.values()) <= {value_of("a"), "cancelled"}


async def look_up_together(coalescer, count):
    """Return what as many lookups get that wait at the same time."""
    got: dict[int, str] = {}

    async def look_up(key):
        got[key] = await coalescer.get(key)

    async with coalescer, anyio.create_task_group() as tasks:
        for key in range(count):
            tasks.start_soon(look_up, key)
    return got


@pytest.mark.parametrize(("count", "calls"), [(1, 1), (100, 1), (101, 2), (250, 3), (1000, 10)])
async def test_concurrent_lookups_are_merged(fetch, count, calls):
    """Lookups that wait at the same time go out in as few questions as their number allows; each gets its answer."""
    got = await look_up_together(smm.Coalescer(fetch), count)

    assert got == values_of(range(count))
    assert len(fetch.asked) == calls
    assert sorted(key for keys in fetch.asked for key in keys) == list(range(count))
    assert max(sizes(fetch)) <= 100
    assert fetch.most_running <= 8


# Without asyncio's debug mode, which looks at the stack of each task.
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_ten_thousand_lookups(fetch):
    """Ten thousand lookups at once are a hundred questions."""
    got = await look_up_together(smm.Coalescer(fetch, budget=30), 10_000)

    assert got == values_of(range(10_000))
    assert sizes(fetch) == [100] * 100
    assert fetch.most_running <= 8


@pytest.mark.parametrize("seed", range(3))
async def test_merged_lookups_that_are_cancelled_cost_nothing(fetch, seed):
    """When some of many callers are cancelled before anything is sent, the rest fill the batches."""
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        await coalescer.get("first")
        for key in range(500):
            callers.start(key, coalescer.get, key)
        await passes(1)
        gone = random.Random(seed).sample(range(500), 150 + seed)
        callers.cancel(*gone)

    live = set(range(500)) - set(gone)
    assert {key for keys in fetch.asked[1:] for key in keys} == live
    assert len(fetch.asked) == 1 + math.ceil(len(live) / 100)
    assert callers.got == values_of(live) | dict.fromkeys(gone, "cancelled")


async def test_fetch_may_keep_and_change_what_it_gets(fetch):
    """The list of keys belongs to fetch: what it does with it changes nothing."""

    async def greedy(keys):
        answers = values_of(keys)
        keys.clear()
        return answers

    async with smm.Coalescer(greedy) as coalescer:
        assert await coalescer.get("a") == value_of("a")


@pytest.mark.parametrize("value", [None, 0, "", ValueError, []])
async def test_any_value_is_an_answer(fetch, value):
    """Whatever is no exception is a value, false and empty ones, too."""
    fetch.answer = lambda keys: dict.fromkeys(keys, value)

    assert await get_one(smm.Coalescer(fetch), "a") == value


async def test_key_that_cannot_be_one(fetch):
    """A key that cannot be in a dictionary is refused, and disturbs nobody."""
    async with smm.Coalescer(fetch) as coalescer:
        with pytest.raises(TypeError):
            await coalescer.get(["a"])

        assert await coalescer.get("a") == value_of("a")


async def test_batches_get_smaller_on_the_way(fetch):
    """A smaller limit counts for all batches that are still to come."""
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer, Callers() as callers:
        fetch.hold()
        for key in range(250):
            callers.start(key, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()
        coalescer.max_batch = 50
        fetch.release()

    assert coalescer.max_batch == 50
    assert sizes(fetch) == [100, 50, 50, 50]
    assert callers.got == values_of(range(250))


# Bad arguments.


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
@pytest.mark.parametrize("name", ["max_batch", "max_in_flight"])
def test_counts_that_make_no_sense(fetch, name, value):
    """A batch has room for one key, and one may be in flight, at least."""
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, not"):
        smm.Coalescer(fetch, **{name: value})


def test_limit_of_a_batch_is_checked_when_it_is_set(fetch):
    """A limit that is set later is checked as the first."""
    coalescer = smm.Coalescer(fetch)

    with pytest.raises(ValueError, match="max_batch"):
        coalescer.max_batch = 0

    assert coalescer.max_batch == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_delay", -0.1),
        ("max_delay", math.inf),
        ("max_delay", math.nan),
        ("max_delay", "1"),
        ("max_delay", None),
        ("max_delay", True),
        ("budget", 0),
        ("budget", -1.0),
        ("budget", math.inf),
        ("budget", math.nan),
        ("budget", "30"),
        ("budget", True),
    ],
)
def test_seconds_that_make_no_sense(fetch, name, value):
    """A duration is a finite number; a budget is more than nothing."""
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds of at least"):
        smm.Coalescer(fetch, **{name: value})

"""One coalescer on several loops, one after the other or at once, and in programs that cancel all tasks."""

import asyncio

import anyio
import pytest

import smm_async as smm
from tests.coalescing import FakeFetch, passes, run_on, value_of


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


async def get_one(coalescer, key):
    """Look one key up with a coalescer of its own."""
    async with coalescer:
        return await coalescer.get(key)


def test_coalescer_built_at_import(anyio_backend, fetch):
    """A coalescer may be built where no loop runs."""
    coalescer = smm.Coalescer(fetch)

    assert run_on(anyio_backend, get_one, coalescer, "a") == value_of("a")


def test_coalescer_on_a_new_loop(anyio_backend, fetch):
    """Used again after its loop has ended, a coalescer starts anew."""
    coalescer = smm.Coalescer(fetch, budget=30)

    with pytest.warns(ResourceWarning, match="A coalescer was not closed"):
        assert run_on(anyio_backend, coalescer.get, "a") == value_of("a")
    assert run_on(anyio_backend, get_one, coalescer, "b") == value_of("b")


def test_coalescer_on_a_new_loop_after_one_that_was_cut_off(fetch):
    """Lookups that waited on a loop that was closed under them are forgotten, and new ones are served."""
    coalescer = smm.Coalescer(fetch, budget=30)
    loop = asyncio.new_event_loop()

    async def ask_and_leave():
        fetch.hold()
        one = asyncio.create_task(coalescer.get("a"))
        many = asyncio.create_task(coalescer.get_many(range(200)))
        await passes(10)
        return one, many

    waiting = loop.run_until_complete(ask_and_leave())
    loop.close()
    fetch.held = None

    assert asyncio.run(get_one(coalescer, "b")) == value_of("b")
    assert not any(task.done() for task in waiting)


async def test_coalescer_on_two_loops_at_once(anyio_backend, fetch):
    """Used on a second loop while the first is alive, a coalescer raises, and serves the first."""
    async with smm.Coalescer(fetch) as coalescer:
        await coalescer.get("a")

        async def use():
            with pytest.raises(RuntimeError, match="This coalescer is in use on another event loop"):
                await coalescer.get("b")

        await anyio.to_thread.run_sync(run_on, anyio_backend, use)
        assert await coalescer.get("c") == value_of("c")

    assert fetch.asked == [["a"], ["c"]]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_all_tasks_are_cancelled_by_the_program(fetch):
    """After a program has cancelled every task it found, a lookup is answered or told, and the next is served."""
    others = asyncio.all_tasks()
    coalescer = smm.Coalescer(fetch, budget=30)
    await coalescer.get("a")

    for task in asyncio.all_tasks() - others:
        task.cancel()
    with pytest.warns(ResourceWarning, match="not closed"), pytest.raises(smm.ClosedError):
        await coalescer.get("b")

    assert await get_one(coalescer, "c") == value_of("c")

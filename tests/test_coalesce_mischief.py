"""A fetch that misbehaves: callers hear of it, nobody waits for ever, and the slots live on."""

import asyncio
from typing import Any

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, passes, value_of, values_of

ASYNCIO_ONLY = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class OddError(BaseException):
    """What no ``except Exception`` catches."""


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


# What fetch returns.


@pytest.mark.parametrize("answer", [None, ["a"], "a", 7, KeyError("returned")], ids=repr)
async def test_fetch_returns_no_mapping(fetch, answer):
    """What is no mapping answers nobody, and every caller hears what came instead."""
    fetch.answer = lambda keys: answer
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer, Callers() as callers:
        callers.start("a", coalescer.get, "a")
        callers.start("b", coalescer.get, "b")
        await anyio.wait_all_tasks_blocked()
        fetch.answer = values_of
        callers.start("next", coalescer.get, "next")

    for name in "ab":
        assert type(callers.got[name]) is TypeError
        assert str(callers.got[name]) == f"fetch must return a mapping, not {type(answer).__name__}."
    assert callers.got["next"] == value_of("next")


async def test_fetch_is_no_coroutine_function():
    """A fetch that forgot its ``async`` is told so through the callers."""
    async with smm.Coalescer(values_of) as coalescer:
        with pytest.raises(TypeError, match="await"):
            await coalescer.get("a")


async def test_mapping_that_raises(fetch):
    """A mapping that fails in the middle fails those who have no answer yet; the others keep theirs."""

    class Failing(dict[str, str]):
        def get(self, key, default=None):
            if key == "b":
                raise OSError("lost")
            return super().get(key, default)

    fetch.answer = lambda keys: Failing(values_of(keys))
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer:
        found = await coalescer.get_many("abc")
        again = await coalescer.get_many("ac")

    assert found["a"] == value_of("a")
    assert [type(found[key]) for key in "bc"] == [OSError] * 2
    assert again == values_of("ac")


# What fetch raises.


async def test_fetch_raises_what_is_no_exception(fetch):
    """A request that ends by a `BaseException` fails its callers; the slot, and all others, live on."""

    def fail(keys):
        raise OddError

    fetch.answer = fail
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer:
        with pytest.raises(smm.NoAnswerError, match=r"The request was ended by OddError\."):
            await coalescer.get("a")
        fetch.answer = values_of

        assert await coalescer.get("b") == value_of("b")


@ASYNCIO_ONLY
async def test_fetch_waits_for_a_task_that_is_cancelled(fetch):
    """When what fetch waits for is cancelled, its callers were not: they hear that there is no answer."""
    shared = asyncio.create_task(asyncio.sleep(60))
    held = anyio.Event()

    async def look(keys):
        if keys == ["a"]:
            await shared
        await held.wait()
        return values_of(keys)

    async with smm.Coalescer(look, max_batch=1, max_in_flight=2) as coalescer, Callers() as callers:
        callers.start("a", coalescer.get, "a")
        callers.start("b", coalescer.get, "b")
        callers.start("c", coalescer.get, "c")
        await anyio.wait_all_tasks_blocked()
        shared.cancel()
        await passes(10)
        early = dict(callers.got)
        held.set()

    assert list(early) == ["a"]
    assert type(early["a"]) is smm.NoAnswerError
    assert callers.got["b"] == value_of("b")
    assert callers.got["c"] == value_of("c")


@ASYNCIO_ONLY
async def test_slot_is_cancelled_by_the_program(fetch):
    """When a program cancels the task of a request, the callers of that request hear of it, and nobody else."""
    held = anyio.Event()
    tasks: dict[str, Any] = {}

    async def look(keys):
        tasks[keys[0]] = asyncio.current_task()
        await held.wait()
        return values_of(keys)

    async with smm.Coalescer(look, max_batch=1, max_in_flight=2) as coalescer, Callers() as callers:
        for key in "abc":
            callers.start(key, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()
        tasks["a"].cancel()
        await passes(10)
        held.set()

    assert type(callers.got["a"]) is smm.NoAnswerError
    assert {key: callers.got[key] for key in "bc"} == values_of("bc")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@ASYNCIO_ONLY
def test_fetch_ends_the_program(anyio_backend, fetch, kind):
    """What is to end the program does, from inside fetch, too."""

    def stop(keys):
        raise kind

    async def use():
        async with smm.Coalescer(fetch) as coalescer:
            await coalescer.get("a")

    fetch.answer = stop
    with pytest.raises(kind):
        asyncio.run(use())


@pytest.mark.parametrize("kind", [ValueError, OddError])
async def test_fetch_fails_while_it_is_closed(kind):
    """A fetch whose own tasks fail while they are cancelled disturbs neither the closing nor the program."""

    async def clean_up_badly():
        try:
            await anyio.sleep_forever()
        finally:
            raise kind

    async def look(keys):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clean_up_badly)
            tasks.start_soon(anyio.sleep_forever)

    async with Callers() as callers, smm.Coalescer(look) as coalescer:
        callers.start("a", coalescer.get, "a")
        await anyio.wait_all_tasks_blocked()

    assert type(callers.got["a"]) is smm.ClosedError


async def test_fetch_asks_nothing_after_the_closing():
    """A fetch that swallows the cancellation of the closing is not given anything else to do."""
    asked = []

    async def look(keys):
        asked.append(keys)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            return values_of(keys)

    async with Callers() as callers, smm.Coalescer(look, max_batch=1, max_in_flight=1) as coalescer:
        for key in "abc":
            callers.start(key, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()

    assert len(asked) == 1
    assert {type(error) for error in callers.got.values()} == {smm.ClosedError}


async def test_fetch_uses_its_own_coalescer():
    """A fetch may look other keys up with the coalescer that called it, as long as a slot is free."""

    async def look(keys):
        if "a" in keys:
            return {"a": await coalescer.get("b")}
        return values_of(keys)

    async with smm.Coalescer(look) as coalescer:
        with anyio.fail_after(5):
            assert await coalescer.get("a") == value_of("b")

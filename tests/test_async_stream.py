"""Streams whose source is async: the task that reads it, and how that and the source end."""

import asyncio
import contextvars

import anyio
import anyio.lowlevel
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, passes, value_of, values_of
from tests.streaming import Source, extend, is_at_rest, pairs_of, read_all, read_until_error

PASSES = range(1, 25)
REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST", default="nobody's")


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


@pytest.fixture
async def coalescer(fetch):
    """Give a coalescer of small batches."""
    async with smm.Coalescer(fetch, max_batch=2, max_in_flight=2) as coalescer:
        yield coalescer


class Steps(list[str]):
    """What an async generator does at its end, step by step."""

    async def keys(self, keys=range(1000), *, last=None):
        """Give keys, wait for ever after the last if told to, and take some time to clean up."""
        try:
            for key in keys:
                yield key
                if key == last:
                    await anyio.sleep_forever()
        finally:
            self.append("ends")
            await passes(3)
            self.append("has ended")


async def test_source_that_waits_keeps_nobody_waiting(coalescer):
    """What was answered is yielded while the source takes its time for more."""
    source, pairs = Source("abc"), []

    async with Callers() as callers:
        callers.start("stream", read_all, coalescer, source, pairs)
        await anyio.wait_all_tasks_blocked()
        early = sorted(pairs)
        source.more.set()

    assert early == pairs_of("abc")
    assert sorted(callers.got["stream"]) == pairs_of("abc")


async def test_source_runs_in_the_context_of_its_reader(coalescer):
    """The source sees the reader's context variables, and no other's."""

    async def keys():
        yield REQUEST.get()

    await coalescer.get("first")
    REQUEST.set("mine")

    assert await read_all(coalescer, keys()) == [("mine", value_of("mine"))]


async def test_source_that_has_room_is_closed_on_leaving(coalescer):
    """A generator that is not waited for has the time to clean up, and has ended when the stream is left."""
    steps = Steps()

    async with coalescer.stream(steps.keys()) as results:
        await anext(results)
        await anyio.wait_all_tasks_blocked()
        assert steps == []

    assert steps == ["ends", "has ended"]


async def test_source_that_is_waited_for_is_interrupted(coalescer):
    """A generator that waits for its next key when the reader leaves is cancelled there."""
    steps = Steps()

    async with coalescer.stream(steps.keys(last=3)) as results:
        for _ in range(4):
            await anext(results)
        await anyio.wait_all_tasks_blocked()

    assert steps == ["ends"]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_source_of_a_cancelled_reader_is_not_waited_for(coalescer, turns):
    """Where the reader is cancelled while it leaves, so is what the source still has to do."""
    steps, leave = Steps(), anyio.Event()

    async def read():
        async with coalescer.stream(steps.keys()) as results:
            await anext(results)
            await leave.wait()

    async with Callers() as callers:
        callers.start("stream", read)
        await anyio.wait_all_tasks_blocked()
        leave.set()
        await passes(turns)
        callers.cancel("stream")

    assert steps[:1] == ["ends"]
    assert callers.got["stream"] == "cancelled"
    assert is_at_rest(coalescer)


async def test_source_with_a_scope_around_its_keys(coalescer):
    """A generator that gives its keys inside of a task group may be left at any of them."""
    ended = []

    async def keys():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            try:
                for key in range(20):
                    yield key  # noqa: ASYNC119  not to be imitated, but it is done
                await anyio.sleep_forever()
            finally:
                group.cancel_scope.cancel()
                ended.append(True)

    for count in (1, 7, 20):
        async with coalescer.stream(keys()) as results:
            pairs = [await anext(results) for _ in range(count)]
            await anyio.wait_all_tasks_blocked()
        assert len(pairs) == count

    assert ended == [True] * 3


async def test_source_that_is_no_generator_is_not_closed(coalescer):
    """What the reader brought, other than a generator, is the reader's to close."""
    source = Source(range(100))

    async with coalescer.stream(source) as results:
        await anext(results)

    assert not source.is_closed
    assert len(source.taken) <= 9


async def test_source_is_not_touched_before_the_first_read(coalescer):
    """A stream that is entered and left has not begun with its source."""
    source = Source("abc")

    async with coalescer.stream(source):
        await anyio.wait_all_tasks_blocked()

    assert source.taken == []


async def test_stream_left_before_the_task_has_begun(coalescer):
    """A reader that is gone when the task begins finds its source as it was."""
    source = Source("abc")

    with anyio.CancelScope() as scope:
        async with coalescer.stream(source) as results:
            scope.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(0):
                await anext(results)
    await anyio.wait_all_tasks_blocked()

    assert len(source.taken) <= 8
    assert is_at_rest(coalescer)


async def test_source_that_fails_while_it_is_closed(coalescer):
    """What a generator raises when it is closed comes out where the stream is left."""
    mine = KeyError("mine")

    async def keys():
        try:
            for key in range(1000):
                yield key
        finally:
            raise mine

    with pytest.raises(KeyError) as caught:
        async with coalescer.stream(keys()) as results:
            await anext(results)

    assert caught.value is mine
    assert is_at_rest(coalescer)


async def test_source_that_goes_on_when_it_is_closed(coalescer):
    """A generator that refuses to end is told apart, as Python does it."""

    async def keys():
        for key in range(1000):
            try:
                yield key
            except GeneratorExit:
                yield -1

    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        async with coalescer.stream(keys()) as results:
            await anext(results)


async def test_bad_key_is_told_before_the_source_is_closed(coalescer):
    """The reader does not wait for the source's cleaning up to hear of a bad key; on leaving it does."""
    steps = Steps()

    async with coalescer.stream(steps.keys([1, [], 2])) as results:
        first = await anext(results)
        with pytest.raises(TypeError):
            await anext(results)
        assert steps == []

    assert first == (1, value_of(1))
    assert steps == ["ends", "has ended"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_source_that_ends_as_if_it_were_cancelled(coalescer):
    """A cancellation that is none of the reader's is told as an error, and reaches nobody else."""

    async def keys():
        yield 1
        raise asyncio.CancelledError

    pairs: list[object] = []
    error = await read_until_error(coalescer, keys(), pairs)

    assert type(error) is RuntimeError
    assert str(error) == "The source of the ids was ended by CancelledError."
    assert pairs == pairs_of([1])
    assert await coalescer.get(2) == value_of(2)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_source_that_ends_the_program(anyio_backend, fetch, kind):
    """What is to end the program does, from inside the source, too."""

    async def keys():
        yield 1
        raise kind

    async def use():
        async with smm.Coalescer(fetch) as coalescer:
            await read_all(coalescer, keys())

    with pytest.raises(kind):
        asyncio.run(use())


@pytest.mark.parametrize("is_waiting", [False, True])
async def test_closing_ends_the_task(fetch, is_waiting):
    """Closing the coalescer cancels the source, wherever it is, and its reader hears of the closing only."""
    steps, coalescer = Steps(), smm.Coalescer(fetch, max_batch=2, max_in_flight=1)

    async with coalescer.stream(steps.keys(last=3 if is_waiting else None)) as results:
        for _ in range(4 if is_waiting else 1):
            await anext(results)
        await anyio.wait_all_tasks_blocked()
        await coalescer.aclose()
        assert steps == ["ends"]
        with pytest.raises(smm.ClosedError):
            await extend([], results)
        assert [pair async for pair in results] == []


async def test_leaving_at_each_pass():
    """A wait that is cancelled at any pass, and the leaving after it, leave nothing of the source's task."""
    steps = []

    async def keys():
        steps.append("begins")
        try:
            for key in range(100):
                await anyio.lowlevel.checkpoint()
                yield key
        finally:
            steps.append("ends")

    async def look(keys):
        await passes(2)
        return values_of(keys)

    async def cancel_after(turns, scope):
        await passes(turns)
        scope.cancel()

    for turns in PASSES:
        steps.clear()
        async with smm.Coalescer(look, max_batch=2, max_in_flight=2) as coalescer:
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as group, coalescer.stream(keys()) as results:
                group.start_soon(cancel_after, turns, scope)
                with scope:
                    await extend([], results)
            await anyio.wait_all_tasks_blocked()

            assert steps in ([], ["begins", "ends"]), turns
            assert is_at_rest(coalescer)

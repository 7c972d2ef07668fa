"""Streams whose reader leaves, is cancelled, or finds that all is over: nothing is asked for nobody, nothing is lost."""

import asyncio
from typing import Any

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, passes, sizes, value_of, values_of
from tests.streaming import (
    extend,
    fetch,  # noqa: F401  a fixture is used by its name
    is_at_rest,
    make_source,  # noqa: F401
    pairs_of,
    plain,
    read_all,
    read_until_error,
)

PASSES = range(1, 25)


async def answer_in_two_passes(keys):
    """Answer after two passes."""
    await passes(2)
    return values_of(keys)


# Leaving.


async def test_leaving_withdraws_what_was_not_sent(fetch, make_source):
    """What is queued for a reader that leaves is not asked; what is on its way goes on."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=1) as coalescer, Callers() as callers:
        async with coalescer.stream(make_source(range(1000))) as results:
            callers.start("read", anext, results)
            await anyio.wait_all_tasks_blocked()
            callers.cancel("read")
        asked = list(fetch.asked)
        assert len(asked) == 1
        assert not coalescer._queue
        assert not coalescer._streams
        fetch.release()
        await anyio.wait_all_tasks_blocked()

        assert fetch.asked == asked
        assert is_at_rest(coalescer)


async def test_leaving_disturbs_nobody(fetch, make_source):
    """A key that somebody else waits for, too, is asked all the same."""
    gate = anyio.Semaphore(0)
    async with smm.Coalescer(fetch, gate=gate) as coalescer, Callers() as callers:
        callers.start("stream", read_all, coalescer, make_source("abc"))
        await anyio.wait_all_tasks_blocked()
        callers.start("b", coalescer.get, "b")
        await anyio.wait_all_tasks_blocked()
        callers.cancel("stream")
        await anyio.wait_all_tasks_blocked()
        gate.release()

    assert fetch.asked == [["b"]]
    assert callers.got == {"stream": "cancelled", "b": value_of("b")}


async def test_leaving_with_an_exception_of_the_body(fetch, make_source):
    """The body's own exception comes out as it is."""
    mine = KeyError("mine")
    async with smm.Coalescer(fetch) as coalescer:
        with pytest.raises(KeyError) as caught:  # noqa: PT012  the body of the stream is what raises
            async with coalescer.stream(make_source(range(1000))) as results:
                await anext(results)
                raise mine

        await anyio.wait_all_tasks_blocked()
        assert is_at_rest(coalescer)

    assert caught.value is mine


async def test_reader_cancelled_at_the_instant_of_the_send(fetch):
    """A reader that is cancelled while it waits has asked for nothing that goes out at that instant."""
    gate = anyio.Semaphore(0)
    async with smm.Coalescer(fetch, gate=gate) as coalescer, Callers() as callers:
        callers.start("stream", read_all, coalescer, plain("abc"))
        await anyio.wait_all_tasks_blocked()
        gate.release()
        callers.cancel("stream")
        await anyio.wait_all_tasks_blocked()

        assert is_at_rest(coalescer)

    assert fetch.asked == []


async def test_reader_cancelled_before_it_reads(fetch):
    """A source is not read for somebody who is cancelled already."""
    taken = []

    def keys():
        taken.append(True)
        yield "a"

    async with smm.Coalescer(fetch) as coalescer:
        with anyio.CancelScope() as scope:
            async with coalescer.stream(keys()) as results:
                scope.cancel()
                await anext(results)

    assert scope.cancelled_caught
    assert taken == []


# A wait that ends before its result comes.


async def test_wait_that_ends_early_loses_nothing(fetch, make_source):
    """Who waits for a while only, and then again, misses no result, and asks nothing in between."""
    pairs: list[Any] = []
    waits, fetch.seconds = 0, 0.01
    async with (
        smm.Coalescer(fetch, max_batch=3, max_in_flight=2) as coalescer,
        coalescer.stream(make_source(range(40))) as results,
    ):
        while True:
            with anyio.move_on_after(0 if waits % 2 else 5) as scope:
                pairs.append(await anext(results, None))
            waits += 1
            if not scope.cancelled_caught and pairs[-1] is None:
                break

    assert sorted(pairs[:-1]) == pairs_of(range(40))


async def test_wait_that_ended_early_is_no_reason_to_ask(fetch, make_source):
    """Between two waits, nothing more is asked for a reader whose wait was cancelled."""
    fetch.hold()
    async with (
        smm.Coalescer(fetch, max_batch=2, max_in_flight=1) as coalescer,
        Callers() as callers,
        coalescer.stream(make_source(range(20))) as results,
    ):
        callers.start("first", anext, results)
        await anyio.wait_all_tasks_blocked()
        callers.cancel("first")
        await anyio.wait_all_tasks_blocked()
        fetch.release()
        await anyio.wait_all_tasks_blocked()
        asked = len(fetch.asked)
        rest = [pair async for pair in results]

    assert asked == 1
    assert sorted(rest) == pairs_of(range(20))


async def test_keys_left_out_wait_for_a_reader_that_comes_back(fetch, make_source):
    """A key that is to be asked again, alone, is not asked while its reader is away."""
    fetch.answer = lambda keys: values_of(key for key in keys if key != 1 or len(keys) == 1)
    fetch.hold()
    async with (
        smm.Coalescer(fetch, max_batch=2, max_in_flight=1, max_delay=0.01) as coalescer,
        Callers() as callers,
        coalescer.stream(make_source([0, 1])) as results,
    ):
        callers.start("first", anext, results)
        await anyio.wait_all_tasks_blocked()
        while not fetch.asked:  # noqa: ASYNC110  the pause before the request takes real time
            await anyio.sleep(0.005)
        callers.cancel("first")
        await anyio.wait_all_tasks_blocked()
        fetch.release()
        await anyio.wait_all_tasks_blocked()
        asked = list(fetch.asked)
        rest = [pair async for pair in results]

    assert asked == [[0, 1]]
    assert fetch.asked == [[0, 1], [1]]
    assert sorted(rest) == pairs_of([0, 1])


async def test_finished_stream_costs_the_others_nothing(fetch, monkeypatch):
    """A stream that was read to its end, and is not left yet, is not looked through at each request of others."""
    taken_back = []

    def take_back(coalescer, tickets):
        taken_back.append(True)
        return original(coalescer, tickets)

    original = smm.Coalescer._take_back
    monkeypatch.setattr(smm.Coalescer, "_take_back", take_back)
    async with smm.Coalescer(fetch, max_batch=2) as coalescer, coalescer.stream([1]) as results:
        assert [pair async for pair in results] == pairs_of([1])
        taken_back.clear()
        await coalescer.get_many(range(20))

    assert len(fetch.asked) > 10
    assert len(taken_back) <= 1


async def test_bad_key_behind_others_while_nobody_waits():
    """What cannot be a key ends the source where it stands, though it was taken while the reader was away."""
    more, fetch = anyio.Event(), FakeFetch()

    async def keys():
        yield 0
        yield 1
        await more.wait()
        for key in (2, [], 3):
            yield key

    fetch.hold()
    pairs: list[tuple[int, str]] = []
    async with (
        smm.Coalescer(fetch, max_batch=1, max_in_flight=5) as coalescer,
        Callers() as callers,
        coalescer.stream(keys()) as results,
    ):
        callers.start("first", anext, results)
        await anyio.wait_all_tasks_blocked()
        callers.cancel("first")
        more.set()
        await anyio.wait_all_tasks_blocked()
        fetch.release()
        with pytest.raises(TypeError):
            await extend(pairs, results)

    assert sorted(pairs) == pairs_of([0, 1, 2])
    assert sorted(fetch.asked) == [[0], [1], [2]]


# At each pass.


@pytest.mark.parametrize("comes_back", [False, True])
async def test_reader_cancelled_at_each_pass(make_source, comes_back):
    """Whenever a reader is cancelled, others notice nothing; if it reads on, it has everything once."""

    async def read(coalescer, pairs, scope):
        async with coalescer.stream(make_source([*range(9), 0])) as results:
            with scope:
                await extend(pairs, results)
            if comes_back:
                await extend(pairs, results)

    for turns in PASSES:
        pairs, scope = [], anyio.CancelScope()
        async with smm.Coalescer(answer_in_two_passes, max_batch=2, max_in_flight=2) as coalescer:
            async with Callers() as callers:
                callers.start("stream", read, coalescer, pairs, scope)
                callers.start("other", read_all, coalescer, make_source(range(5)))
                await passes(turns)
                scope.cancel()
            with anyio.fail_after(5):
                assert await coalescer.get("next") == value_of("next")
            assert is_at_rest(coalescer)

        assert sorted(callers.got["other"]) == pairs_of(range(5)), turns
        expected = sorted([*pairs_of(range(9)), (0, value_of(0))])
        assert sorted(pairs) == expected if comes_back else set(pairs) <= set(expected), turns


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_reading_task_cancelled_at_each_pass(make_source):
    """A cancellation by asyncio itself ends the reader, and changes nothing for the others."""
    for turns in PASSES:
        async with smm.Coalescer(answer_in_two_passes, max_batch=2, max_in_flight=2) as coalescer:
            one = asyncio.create_task(read_all(coalescer, make_source(range(9))))
            other = asyncio.create_task(read_all(coalescer, make_source(range(5))))
            await passes(turns)
            one.cancel()
            async with asyncio.timeout(5):
                results: list[Any] = await asyncio.gather(one, other, return_exceptions=True)
                assert await coalescer.get("next") == value_of("next")
            assert is_at_rest(coalescer)

        lost, kept = results
        assert isinstance(lost, asyncio.CancelledError) or sorted(lost) == pairs_of(range(9)), turns
        assert sorted(kept) == pairs_of(range(5)), turns


async def test_closing_at_each_pass(make_source):
    """Whenever it is closed, a reader gets what was answered before, the closing for the rest, and then hears of it."""
    for turns in PASSES:
        pairs: list[tuple[int, object]] = []
        async with Callers() as callers:
            async with smm.Coalescer(answer_in_two_passes, max_batch=2, max_in_flight=2) as coalescer:
                callers.start("stream", read_until_error, coalescer, make_source(range(9)), pairs)
                await passes(turns)
            await anyio.wait_all_tasks_blocked()
            error = callers.got["stream"]

        answered = [pair for pair in pairs if type(pair[1]) is not smm.ClosedError]
        assert type(error) is smm.ClosedError or sorted(answered) == pairs_of(range(9)), turns
        assert len(dict(pairs)) == len(pairs), turns
        assert set(answered) <= set(pairs_of(range(9))), turns


# What concerns everybody.


async def test_closing_after_all_was_answered(fetch, make_source):
    """A reader that has yet to read what was answered does not hear of a closing that took nothing from it."""
    coalescer = smm.Coalescer(fetch)
    async with coalescer.stream(make_source("ab")) as results:
        first = await anext(results)
        await anyio.wait_all_tasks_blocked()
        await coalescer.aclose()
        rest = [pair async for pair in results]

    assert sorted([first, *rest]) == pairs_of("ab")


async def test_closing_while_results_are_ready(fetch, make_source):
    """What was answered before the closing is still read; then the closing is told, and then nothing more."""
    coalescer = smm.Coalescer(fetch, max_batch=2, max_in_flight=1)
    pairs: list[tuple[int, str]] = []
    async with coalescer.stream(make_source(range(100))) as results:
        pairs.append(await anext(results))
        await anyio.wait_all_tasks_blocked()
        await coalescer.aclose()
        with pytest.raises(smm.ClosedError, match="Closed before the answer came"):
            await extend(pairs, results)
        assert [pair async for pair in results] == []

    assert len(pairs) == 4
    assert set(pairs) <= set(pairs_of(range(100)))


async def test_stream_of_a_closed_coalescer(fetch):
    """A stream of a coalescer that is closed is refused where it is entered, or told when it is read."""
    coalescer = smm.Coalescer(fetch)
    await coalescer.aclose()
    with pytest.raises(smm.ClosedError):
        async with coalescer.stream("ab"):
            raise AssertionError


async def test_error_that_concerns_everybody_is_raised_once(fetch, make_source):
    """It ends the stream: what is on its way is still answered, nothing more is asked or taken, nothing taken is lost."""
    door, taken, pairs = anyio.Event(), [], []

    def keys():
        for key in range(1000):
            taken.append(key)
            yield key

    async def look(keys):
        fetch.asked.append(keys)
        if 0 in keys:
            await door.wait()
            return values_of(keys)
        if len(fetch.asked) < 4:
            return values_of(keys)
        raise smm.MaintenanceError("Later.")

    options = {"max_batch": 2, "max_in_flight": 2, "shared_errors": (smm.MaintenanceError,)}
    async with smm.Coalescer(look, **options) as coalescer, Callers() as callers:
        callers.start("stream", read_until_error, coalescer, make_source(keys()), pairs)
        await anyio.wait_all_tasks_blocked()
        early = list(pairs)
        door.set()

    first = fetch.asked[0]
    assert type(callers.got["stream"]) is smm.MaintenanceError
    assert 0 not in dict(early)
    # An async source may have been at work on one more when it was over.
    assert sorted(key for key, _ in pairs) in (taken, taken[:-1])
    answered = sorted(pair for pair in pairs if not isinstance(pair[1], smm.MaintenanceError))
    assert answered == pairs_of(sorted(key for keys in fetch.asked[:3] for key in keys))
    assert set(first) <= set(dict(answered))
    assert len(taken) < 20
    assert len(fetch.asked) == 4


async def test_two_streams_hear_of_one_error(fetch, make_source):
    """Each reader that is concerned gets an exception object of its own."""
    fetch.hold()

    def answer(keys):
        raise smm.MaintenanceError("Later.")

    fetch.answer = answer
    options = {"max_batch": 2, "max_in_flight": 1, "shared_errors": (smm.MaintenanceError,)}
    async with smm.Coalescer(fetch, **options) as coalescer, Callers() as callers:
        for name in ("one", "two"):
            callers.start(name, read_until_error, coalescer, make_source(range(9)), [])
        await anyio.wait_all_tasks_blocked()
        fetch.release()
        await anyio.wait_all_tasks_blocked()

        assert is_at_rest(coalescer)

    assert [type(error) for error in callers.got.values()] == [smm.MaintenanceError] * 2
    assert len({id(error) for error in callers.got.values()}) == 2
    assert len(sizes(fetch)) == 1


async def test_budget_of_a_streamed_key(fetch, make_source):
    """A key whose budget ends has that for its result; an answer that comes later is dropped."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_batch=2, max_in_flight=1, budget=0.02) as coalescer:
        found = dict(await read_all(coalescer, make_source(range(4))))

    assert sorted(found) == [0, 1, 2, 3]
    assert {type(error) for error in found.values()} <= {smm.NoAnswerError, smm.NotSentError}

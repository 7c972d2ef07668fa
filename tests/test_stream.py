"""Streams of lookups: every id with its result, in bounded memory, from full batches."""

from typing import Any

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, sizes, value_of, values_of
from tests.streaming import (
    fetch,  # noqa: F401  a fixture is used by its name
    is_at_rest,
    make_source,  # noqa: F401
    pairs_of,
    plain,
    quick,
    read_all,
    read_until_error,
    slow,
)

# What comes out.


async def test_stream_yields_every_key_with_its_value(fetch, make_source):
    """Every key of the source comes with its own value, and once."""
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=2) as coalescer:
        pairs = await read_all(coalescer, make_source(range(1005)))

        assert is_at_rest(coalescer)

    assert sorted(pairs) == pairs_of(range(1005))
    assert sorted(key for keys in fetch.asked for key in keys) == list(range(1005))


@pytest.mark.parametrize("make_source", [list, plain, quick])
async def test_stream_fills_its_batches(fetch, make_source):
    """Where the source does not keep the reader waiting, all batches but the last are full."""
    async with smm.Coalescer(fetch) as coalescer:
        assert len(await read_all(coalescer, make_source(range(10_050)))) == 10_050

    assert sorted(sizes(fetch)) == [50] + [100] * 100


async def test_stream_of_nothing(fetch, make_source):
    """A source without keys is a stream without results, and nothing is asked."""
    async with smm.Coalescer(fetch) as coalescer:
        assert await read_all(coalescer, make_source([])) == []

    assert fetch.asked == []


async def test_stream_yields_as_answers_come(fetch, make_source):
    """A key whose answer came is not kept waiting by one that was asked before."""
    door, pairs = anyio.Event(), []

    async def look(keys):
        if 0 in keys:
            await door.wait()
        return values_of(keys)

    async with smm.Coalescer(look, max_batch=2, max_in_flight=2) as coalescer, Callers() as callers:
        callers.start("stream", read_all, coalescer, make_source(range(10)), pairs)
        await anyio.wait_all_tasks_blocked()
        early = [key for key, _ in pairs]
        door.set()

    assert 0 not in early
    assert len(early) >= 4
    assert sorted(pairs) == pairs_of(range(10))


async def test_stream_with_errors_of_its_keys(fetch, make_source):
    """Each key has its value or its own error; none of them ends the stream."""
    fetch.answer = lambda keys: {
        key: answer
        for key, answer in {"a": "A", "b": smm.UnknownOrderError("No."), "c": OSError(5, "x")}.items()
        if key in keys
    }
    async with smm.Coalescer(fetch) as coalescer:
        found = dict(await read_all(coalescer, make_source("abcd")))

    assert {key: type(result) for key, result in found.items()} == {
        "a": str,
        "b": smm.UnknownOrderError,
        "c": OSError,
        "d": smm.UnresolvedError,
    }


async def test_stream_with_a_batch_that_fails(fetch, make_source):
    """A request that fails gives a copy of its error to each of its keys, and the stream goes on."""

    def answer(keys):
        if 15 in keys:
            raise OSError("broken")
        return values_of(keys)

    fetch.answer = answer
    async with smm.Coalescer(fetch, max_batch=10) as coalescer:
        found = dict(await read_all(coalescer, make_source(range(40))))

    failed = [result for result in found.values() if isinstance(result, OSError)]
    assert len(found) == 40
    assert 15 in {key for key, result in found.items() if isinstance(result, OSError)}
    assert len({id(error) for error in failed}) == len(failed) <= 10


async def test_stream_after_its_end(fetch, make_source):
    """A stream that has ended stays so."""
    async with smm.Coalescer(fetch) as coalescer, coalescer.stream(make_source("a")) as results:
        assert [pair async for pair in results] == pairs_of("a")
        assert [pair async for pair in results] == []


async def test_stream_shares_batches_with_others(fetch, make_source):
    """Keys of streams, lists and single lookups go out together, and equal ones once."""
    gate = anyio.Semaphore(0)
    async with smm.Coalescer(fetch, gate=gate) as coalescer, Callers() as callers:
        callers.start("one", coalescer.get, "a")
        callers.start("stream", read_all, coalescer, make_source("ab"))
        callers.start("many", coalescer.get_many, ["b", "c"])
        callers.start("more", read_all, coalescer, make_source("cd"))
        await anyio.wait_all_tasks_blocked()
        gate.release()

    assert [sorted(keys) for keys in fetch.asked] == [["a", "b", "c", "d"]]
    assert callers.got["one"] == value_of("a")
    assert callers.got["many"] == values_of("bc")
    assert sorted(callers.got["stream"]) == pairs_of("ab")
    assert sorted(callers.got["more"]) == pairs_of("cd")


# A key that comes more than once.


async def test_stream_of_one_key_again_and_again(fetch, make_source):
    """Each occurrence has its pair; those that wait together share one lookup."""
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=2) as coalescer:
        pairs = await read_all(coalescer, make_source(["a", "b", "a"] * 100))

        assert is_at_rest(coalescer)

    assert sorted(pairs) == [("a", value_of("a"))] * 200 + [("b", value_of("b"))] * 100
    assert len(fetch.asked) < 20 or make_source is slow


async def test_stream_gives_no_answer_to_a_later_question():
    """A key that comes again while it is on its way is asked for again: no answer is older than its question."""
    asked, first_left, first_answered, pairs = [], anyio.Event(), anyio.Event(), []

    async def look(keys):
        asked.append(keys)
        number = len(asked)
        if number == 1:
            first_left.set()
            await first_answered.wait()
        return dict.fromkeys(keys, number)

    async def keys():
        yield 7
        await first_left.wait()
        yield 7

    async with smm.Coalescer(look) as coalescer, Callers() as callers:
        callers.start("stream", read_all, coalescer, keys(), pairs)
        await anyio.wait_all_tasks_blocked()
        early = list(pairs)
        first_answered.set()

    assert early == [(7, 2)]
    assert pairs == [(7, 2), (7, 1)]


# How much is taken and asked.


async def test_stream_takes_no_more_than_is_read(make_source):
    """Of an endless source no more is taken than two batches a slot, until they are read."""
    taken = []

    def keys():
        for key in range(10**9):
            taken.append(key)
            yield key

    async with (
        smm.Coalescer(FakeFetch(), max_batch=10, max_in_flight=2) as coalescer,
        coalescer.stream(make_source(keys())) as results,
    ):
        await anyio.wait_all_tasks_blocked()
        before = len(taken)
        counts = []
        for number in range(100):
            await anext(results)
            await anyio.wait_all_tasks_blocked()
            counts.append(len(taken) - number - 1)

    assert before == 0
    assert max(counts) <= 40
    assert min(counts) >= 29


async def test_stream_of_a_slow_reader_asks_full_batches(fetch, make_source):
    """A reader that takes its time slows the asking; what is asked then is a whole batch."""
    pairs = 0
    async with (
        smm.Coalescer(fetch, max_batch=10, max_in_flight=2) as coalescer,
        coalescer.stream(make_source(range(200))) as results,
    ):
        async for _ in results:
            pairs += 1
            await anyio.wait_all_tasks_blocked()
            assert sum(sizes(fetch)) <= pairs + 40

    assert pairs == 200
    assert sizes(fetch).count(10) == 20 or make_source is slow


async def test_stream_does_not_keep_others_waiting(fetch, make_source):
    """A lookup that comes during a long stream is asked after what was queued then, and no later."""
    fetch.hold()
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=1) as coalescer, Callers() as callers:
        callers.start("stream", read_all, coalescer, make_source(range(1000)))
        await anyio.wait_all_tasks_blocked()
        callers.start("one", coalescer.get, "one")
        await anyio.wait_all_tasks_blocked()
        fetch.release()

    place = next(place for place, keys in enumerate(fetch.asked) if "one" in keys)
    assert place <= 3


async def test_stream_when_batches_become_smaller(fetch, make_source):
    """What is learned on the way of how many keys may go at once counts for the stream, too."""
    sent = 0

    def answer(keys):
        nonlocal sent
        sent += 1
        coalescer.max_batch = 1
        return values_of(keys)

    fetch.answer = answer
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=2) as coalescer:
        pairs = await read_all(coalescer, make_source(range(100)))

    assert sorted(pairs) == pairs_of(range(100))
    assert sizes(fetch).count(1) >= 70


# What cannot be read, and who may read.


@pytest.mark.parametrize("source", [7, None, quick], ids=["number", "nothing", "function"])
async def test_stream_of_what_cannot_be_iterated(fetch, source):
    """What is no source is refused where the stream is entered."""
    async with smm.Coalescer(fetch) as coalescer:
        with pytest.raises(TypeError):
            async with coalescer.stream(source):
                raise AssertionError

        assert is_at_rest(coalescer)


async def test_stream_whose_source_fails(fetch, make_source):
    """The source's own error reaches the reader as it is, after every key before it."""
    mine, pairs = KeyError("mine"), []

    def keys():
        yield from range(25)
        raise mine

    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=1) as coalescer:
        error = await read_until_error(coalescer, make_source(keys()), pairs)

        assert is_at_rest(coalescer)

    assert error is mine
    assert sorted(pairs) == pairs_of(range(25))


async def test_stream_with_what_cannot_be_a_key(fetch, make_source):
    """What cannot be a key raises when all before it have their answers; nothing behind it is asked."""
    pairs: list[Any] = []
    async with smm.Coalescer(fetch, max_batch=10, max_in_flight=1) as coalescer:
        error = await read_until_error(coalescer, make_source([*range(15), [], *range(15, 50)]), pairs)

        assert is_at_rest(coalescer)

    assert type(error) is TypeError
    assert sorted(pairs) == pairs_of(range(15))
    assert sum(sizes(fetch)) == 15


async def test_stream_read_by_two_tasks(fetch, make_source):
    """A second reader is refused, and the first does not notice."""
    fetch.hold()
    async with (
        smm.Coalescer(fetch) as coalescer,
        Callers() as callers,
        coalescer.stream(make_source("a")) as results,
    ):
        callers.start("first", anext, results)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="Another task is reading this stream"):
            await anext(results)
        fetch.release()
        await anyio.wait_all_tasks_blocked()

    assert callers.got == {"first": ("a", value_of("a"))}


async def test_stream_read_after_it_was_left(fetch, make_source):
    """A stream that was left gives nothing, and says so, even what was ready before."""
    async with smm.Coalescer(fetch) as coalescer:
        async with coalescer.stream(make_source("abc")) as results:
            await anext(results)
        with pytest.raises(RuntimeError, match="This stream was left"):
            await anext(results)

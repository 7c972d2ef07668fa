"""How long a lookup takes at most: its budget, from the call, to the instant, in virtual time."""

import math

import anyio
import pytest

import smm_async as smm
from tests.coalescing import LONG, Callers, FakeFetch, sizes, value_of, values_of
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name


@pytest.fixture
def fetch():
    """Give a fetch that takes 8 seconds."""
    return FakeFetch(seconds=8)


async def test_budget_counts_the_queue(fetch):
    """A budget begins with the call: what a lookup waits for a slot is missing at the end."""
    fetch.seconds = LONG
    async with smm.Coalescer(fetch, max_in_flight=1, budget=10) as coalescer, Callers(LONG) as callers:
        callers.start("busy", coalescer.get, "busy")
        await anyio.sleep(3)
        callers.start("a", coalescer.get, "a")

    assert fetch.asked_at == [0, 10]
    assert callers.ended_at == {"busy": 10, "a": 13}
    assert type(callers.got["a"]) is smm.NoAnswerError


async def test_budget_ends_while_queued_behind_others(fetch):
    """When all slots stay busy, who waits in the queue hears at the end of its budget that nothing was sent."""
    fetch.hold()
    gate = anyio.Semaphore(1)
    async with smm.Coalescer(fetch, budget=10, gate=gate) as coalescer, Callers(LONG) as callers:
        await gate.acquire()
        callers.start("a", coalescer.get, "a")
        await anyio.sleep(3)
        callers.start("a again", coalescer.get, "a")
        callers.start("many", coalescer.get_many, ["b", "c"])
        await anyio.sleep(30)
        gate.release()
        await let_others_run()

    assert fetch.asked == []
    assert callers.ended_at == {"a": 10, "a again": 13, "many": 13}
    for error in (callers.got["a"], callers.got["a again"], *callers.got["many"].values()):
        assert type(error) is smm.NotSentError
        assert str(error) == "Still queued at the end of the budget of 10 seconds."


async def test_budget_ends_on_the_way(fetch):
    """A lookup whose answer is not there at the end of its budget says so at that instant; the slot is free again."""
    fetch.seconds = LONG
    async with smm.Coalescer(fetch, max_in_flight=1, budget=10) as coalescer, Callers(LONG) as callers:
        callers.start("a", coalescer.get, "a")
        callers.start("many", coalescer.get_many, ["a", "b"])
        await anyio.sleep(20)
        running, fetch.seconds = fetch.running, 0
        callers.start("next", coalescer.get, "next")

    assert running == 0
    assert callers.ended_at == {"a": 10, "many": 10, "next": 20}
    assert callers.got["next"] == value_of("next")
    for error in (callers.got["a"], *callers.got["many"].values()):
        assert type(error) is smm.NoAnswerError
        assert str(error) == "No answer within the budget of 10 seconds."


async def test_budgets_of_callers_of_different_ages(fetch):
    """Callers that share a batch, or even a key, end each at its own time; the request lives as long as the youngest."""
    gate = anyio.Semaphore(1)
    fetch.seconds = LONG
    seen = []

    async def look(keys):
        seen.append(anyio.current_effective_deadline())
        return await fetch(keys)

    async with smm.Coalescer(look, budget=10, gate=gate) as coalescer, Callers(LONG) as callers:
        await gate.acquire()
        for moment, key in enumerate(["a", "b", "a", "c"]):
            callers.start(moment, coalescer.get, key)
            await anyio.sleep(1)
        gate.release()
        await anyio.sleep_until(12.75)
        running = fetch.running

    assert fetch.asked == [["a", "b", "c"]]
    assert callers.ended_at == {moment: moment + 10 for moment in range(4)}
    assert {type(error) for error in callers.got.values()} == {smm.NoAnswerError}
    assert seen == [13]
    assert (running, fetch.running) == (1, 0)


async def test_budget_of_a_request_when_its_youngest_caller_has_left(fetch):
    """A request whose callers leave while it is on its way still runs to the end of the youngest one's budget."""
    fetch.seconds = LONG
    async with smm.Coalescer(fetch, budget=10) as coalescer, Callers(LONG) as callers:
        callers.start("a", coalescer.get, "a")
        await anyio.sleep(1)
        callers.cancel("a")
        await anyio.sleep(8.5)
        before = fetch.running
        await anyio.sleep(1)

        assert (before, fetch.running) == (1, 0)


async def test_budget_counts_the_repetition(fetch):
    """Asking alone for a key that was left out is within the same budget."""
    fetch.answer = lambda keys: values_of(keys) if len(keys) == 1 else {}
    async with smm.Coalescer(fetch, budget=10) as coalescer, Callers(LONG) as callers:
        callers.start("many", coalescer.get_many, ["a", "b"])

    assert fetch.asked_at == [0, 8, 8]
    assert callers.ended_at["many"] == 10
    assert {type(error) for error in callers.got["many"].values()} == {smm.NoAnswerError}


async def test_budget_ends_while_waiting_to_be_asked_alone(fetch):
    """A key that was left out has been sent, even if its budget ends before it is asked for alone."""
    fetch.answer = lambda keys: {}
    async with smm.Coalescer(fetch, max_in_flight=1, budget=10) as coalescer, Callers(LONG) as callers:
        callers.start("many", coalescer.get_many, ["a", "b"])
        await anyio.sleep(30)

    assert sorted(map(len, fetch.asked)) == [1, 2]
    assert callers.ended_at["many"] == 10
    assert {type(error) for error in callers.got["many"].values()} == {smm.NoAnswerError}


async def test_budget_ends_when_a_slot_becomes_free(fetch):
    """Nothing is sent for those whose budget ends in the very instant a slot is free for them."""
    fetch.seconds = LONG
    async with smm.Coalescer(fetch, max_batch=2, max_in_flight=1, budget=10) as coalescer, Callers(LONG) as callers:
        callers.start("many", coalescer.get_many, range(4))

    assert sizes(fetch) == [2]
    assert callers.ended_at == {"many": 10}
    kinds = [type(error) for error in callers.got["many"].values()]
    assert kinds == [smm.NoAnswerError] * 2 + [smm.NotSentError] * 2


async def test_budget_of_a_long_list_begins_with_each_turn(fetch):
    """The budget of a key in a long list begins when its turn comes."""
    fetch.seconds = 3
    async with smm.Coalescer(fetch, max_batch=1, max_in_flight=1, budget=7) as coalescer:
        found = await coalescer.get_many(range(10))

    assert found == values_of(range(10))
    assert anyio.current_time() >= 30


async def test_answer_at_the_instant_the_budget_ends(fetch):
    """When answer and end of the budget fall together, the caller gets one of both, and the next lookup is served."""
    async with smm.Coalescer(fetch, max_in_flight=1, budget=8) as coalescer, Callers(LONG) as callers:
        callers.start("a", coalescer.get, "a")
        await anyio.sleep(8)
        fetch.seconds = 1
        await anyio.sleep(8)
        callers.start("next", coalescer.get, "next")

    assert callers.got["a"] == value_of("a") or type(callers.got["a"]) is smm.NoAnswerError
    assert callers.ended_at["a"] == 8
    assert callers.got["next"] == value_of("next")


async def test_failure_at_the_instant_the_budget_ends(fetch):
    """When a failure and the end of the budget fall together, the caller gets one of both, and the slot lives on."""

    async def fail_at_the_end(keys):
        fetch.asked.append(keys)
        try:
            await anyio.sleep_forever()
        finally:
            if len(fetch.asked) < 4:
                raise KeyError("cleaning up")

    async with smm.Coalescer(fail_at_the_end, max_in_flight=1, budget=8) as coalescer, Callers(LONG) as callers:
        for key in range(4):
            callers.start(key, coalescer.get, key)
            await anyio.sleep(10)

    assert fetch.asked == [[0], [1], [2], [3]]
    assert {type(callers.got[key]) for key in range(3)} <= {KeyError, smm.NoAnswerError}
    assert type(callers.got[3]) is smm.NoAnswerError
    assert callers.ended_at == {key: 10 * key + 8 for key in range(4)}


async def test_fetch_that_swallows_the_end_of_its_time(fetch):
    """A fetch that goes on after its time is up holds its slot, and no caller; what it returns is for nobody."""

    async def stubborn(keys):
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                return await fetch(keys)

    async with smm.Coalescer(stubborn, max_in_flight=1, budget=10) as coalescer, Callers(LONG) as callers:
        callers.start("a", coalescer.get, "a")
        callers.start("b", coalescer.get, "b")
        await anyio.sleep(10)
        callers.start("c", coalescer.get, "c")
        await anyio.sleep(17)
        callers.start("d", coalescer.get, "d")

    assert [sorted(keys) for keys in fetch.asked] == [["a", "b"], ["c"], ["d"]]
    assert callers.ended_at == {"a": 10, "b": 10, "c": 20, "d": 37}
    assert {type(error) for error in callers.got.values()} == {smm.NoAnswerError}


async def test_no_budget(fetch):
    """Without a budget, a lookup waits as long as fetch takes, which sees no deadline."""
    seen = []

    async def look(keys):
        seen.append(anyio.current_effective_deadline())
        return await fetch(keys)

    fetch.seconds = LONG
    async with smm.Coalescer(look) as coalescer:
        assert await coalescer.get("a") == value_of("a")

    assert seen == [math.inf]
    assert anyio.current_time() >= LONG


async def test_end_of_budget_concerns_one_request(fetch):
    """Running out of time is not an error that concerns everybody, even if its class is among those that do."""
    async with (
        smm.Coalescer(fetch, max_in_flight=1, max_batch=1, budget=10, shared_errors=(smm.SmmError,)) as coalescer,
        Callers(LONG) as callers,
    ):
        fetch.seconds = LONG
        callers.start("a", coalescer.get, "a")
        await anyio.sleep(5)
        fetch.seconds = 1
        callers.start("b", coalescer.get, "b")

    assert type(callers.got["a"]) is smm.NoAnswerError
    assert callers.got["b"] == value_of("b")
    assert callers.ended_at == {"a": 10, "b": 11}


async def test_many_lookups_one_after_the_other(fetch):
    """The guard of the budgets sleeps and wakes as lookups come and go, and ends each one's in time."""
    async with smm.Coalescer(fetch, budget=10) as coalescer, Callers(LONG) as callers:
        for start in (0, 3, 50, 57, 100):
            await anyio.sleep_until(start)
            fetch.seconds = LONG if start in (3, 57, 100) else 8
            callers.start(start, coalescer.get, start)

    assert callers.ended_at == {0: 8, 3: 13, 50: 58, 57: 67, 100: 110}

"""Cancelling each caller at each pass of the loop: everybody else gets the right answer, and the next one, too."""

import asyncio

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, passes, value_of, values_of

pytestmark = pytest.mark.thorough

PASSES = range(1, 15)
LEFT_OUT = "b"

# A text is one lookup, a list is one call for many.
SCENARIOS = {
    "one batch": ({}, ["a", "c", "d"]),
    "one key": ({}, ["a", "a", "a", "a"]),
    "one slot": ({"max_batch": 1, "max_in_flight": 1}, ["a", "c", "a", "d"]),
    "two slots": ({"max_batch": 2, "max_in_flight": 2}, ["a", "c", "a", "d", "e", "f"]),
    "with budgets": ({"max_batch": 2, "max_in_flight": 1, "budget": 30.0}, ["a", "a", "c", "d"]),
    "left out": ({"max_batch": 3, "max_in_flight": 2}, ["a", "b", "b", "c", "d"]),
    "lists": ({"max_batch": 2, "max_in_flight": 1}, ["a", ["a", "c", "d"], "c", list("acdefghijk")]),
    "a paced batch": ({"max_delay": 0.0001, "max_in_flight": 2}, ["a", "c", ["d"]]),
}


@pytest.fixture(params=SCENARIOS)
def scenario(request):
    """Give the options of a coalescer, and what its callers ask."""
    return SCENARIOS[request.param]


async def answer_in_two_passes(keys):
    """Answer after two passes, but for a key that is to be asked for alone."""
    await passes(2)
    return values_of(key for key in keys if key != LEFT_OUT or len(keys) == 1)


def right_answer(question):
    """Return what the caller of one question is to get."""
    return value_of(question) if isinstance(question, str) else values_of(question)


def ask(coalescer, question):
    """Return the call for one question."""
    return (coalescer.get if isinstance(question, str) else coalescer.get_many)(question)


@pytest.mark.parametrize("is_warm", [False, True])
async def test_each_caller_cancelled_at_each_pass(scenario, is_warm):
    """Whoever is cancelled, and when, changes nothing for the others."""
    options, questions = scenario

    for victim in range(len(questions)):
        for turns in PASSES:
            async with smm.Coalescer(answer_in_two_passes, **options) as coalescer:
                if is_warm:
                    await coalescer.get("warm")
                async with Callers() as callers:
                    for name, question in enumerate(questions):
                        callers.start(name, ask, coalescer, question)
                    await passes(turns)
                    callers.cancel(victim)
                with anyio.fail_after(5):
                    assert await coalescer.get("next") == value_of("next")

            lost = callers.got.pop(victim)
            assert lost in ("cancelled", right_answer(questions[victim])), (victim, turns)
            assert callers.got == {
                name: right_answer(question) for name, question in enumerate(questions) if name != victim
            }, (victim, turns)


async def test_all_callers_cancelled_at_each_pass(scenario):
    """When all callers are cancelled at once, whenever, the next one is served."""
    options, questions = scenario

    for turns in PASSES:
        async with smm.Coalescer(answer_in_two_passes, **options) as coalescer:
            async with Callers() as callers:
                for name, question in enumerate(questions):
                    callers.start(name, ask, coalescer, question)
                await passes(turns)
                callers.cancel(*range(len(questions)))
            with anyio.fail_after(5):
                assert await coalescer.get("next") == value_of("next")

        for name, question in enumerate(questions):
            assert callers.got[name] in ("cancelled", right_answer(question)), turns


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_each_task_cancelled_at_each_pass(scenario):
    """A cancellation by asyncio itself changes nothing for the others, either."""
    options, questions = scenario

    for victim in range(len(questions)):
        for turns in PASSES:
            async with smm.Coalescer(answer_in_two_passes, **options) as coalescer:
                tasks = [asyncio.create_task(ask(coalescer, question)) for question in questions]
                await passes(turns)
                tasks[victim].cancel()
                async with asyncio.timeout(5):
                    results = await asyncio.gather(*tasks, return_exceptions=True)

            lost, expected = results.pop(victim), [right_answer(question) for question in questions]
            assert isinstance(lost, asyncio.CancelledError) or lost == expected[victim], (victim, turns)
            del expected[victim]
            assert results == expected, (victim, turns)

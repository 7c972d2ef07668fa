"""One caller that waits for many keys."""

import math
from typing import Any

import anyio
import pytest

from smm_async._backend import current_loop
from smm_async._tickets import Crowd, answer, is_open


async def wait_for_crowd(crowd, few, steps):
    """Wait, and say so at the end."""
    await crowd.wait_until_left(few)
    steps.append(len(crowd.open))


def crowd_of(*keys):
    """Return a crowd that waits for these, and its results."""
    results: dict[Any, Any] = {}
    crowd = Crowd(current_loop(), results)
    crowd.open.update(dict.fromkeys(keys, (math.inf, None, crowd)))
    return crowd, results


async def test_crowd_wakes_when_few_are_left():
    """A caller of many keys is woken once, when few enough are left, and not at each answer."""
    crowd, results = crowd_of(*"abcd")
    steps: list[int] = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_crowd, crowd, 2, steps)
        await anyio.wait_all_tasks_blocked()
        answer(crowd.open["b"], "b", 1)
        await anyio.wait_all_tasks_blocked()
        assert steps == []
        answer(crowd.open["a"], "a", 2)
        answer(crowd.open["c"], "c", 3)

    assert steps == [1]
    assert results == {"b": 1, "a": 2, "c": 3}


async def test_crowd_does_not_wait_for_nothing():
    """Where few enough are left, nobody waits."""
    crowd, _ = crowd_of(*"ab")

    await crowd.wait_until_left(2)

    assert len(crowd.open) == 2


async def test_crowd_takes_one_answer_for_a_key():
    """A second answer, and one that nobody asked for, is dropped."""
    crowd, results = crowd_of("a")

    for key, value in (("a", 1), ("a", 2), ("b", 3)):
        answer((math.inf, None, crowd), key, value)

    assert results == {"a": 1}
    assert not is_open((math.inf, None, crowd), "a")


async def test_crowd_waits_again():
    """A caller of many keys may wait more than once."""
    crowd, results = crowd_of(*"abc")
    steps: list[int] = []

    async with anyio.create_task_group() as tasks:
        for few, key in ((2, "a"), (1, "b"), (0, "c")):
            tasks.start_soon(wait_for_crowd, crowd, few, steps)
            await anyio.wait_all_tasks_blocked()
            answer(crowd.open[key], key, key)
            await anyio.wait_all_tasks_blocked()

    assert steps == [2, 1, 0]
    assert list(results) == ["a", "b", "c"]


async def test_cancelled_crowd_waits_for_nothing():
    """A cancelled caller of many keys waits for none at that instant, before its task has run."""
    crowd, results = crowd_of("a")
    ticket = crowd.open["a"]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crowd.wait_until_left, 0)
        await anyio.wait_all_tasks_blocked()
        assert is_open(ticket, "a")
        tasks.cancel_scope.cancel()
        assert not is_open(ticket, "a")
        answer(ticket, "a", "too late")
        assert crowd.answer_plainly({"a": "too late"})

    assert results == {}


@pytest.mark.parametrize(
    "answers",
    [{"a": 1, "b": ValueError()}, {"a": 1, "c": 2}],
    ids=["error", "not_open"],
)
async def test_crowd_answers_plainly_what_is_plain(answers):
    """Values for keys that are all open are taken at once; with any other nothing is taken."""
    crowd, results = crowd_of(*"abx")

    assert not crowd.answer_plainly(answers)
    assert results == {}
    assert crowd.answer_plainly({"b": 2, "a": 1})
    assert results == {"a": 1, "b": 2}
    assert list(crowd.open) == ["x"]


async def test_crowd_wakes_when_few_are_left_of_many():
    """A caller of many keys is woken by what is taken at once, too, when few enough are left."""
    crowd, _ = crowd_of(*"abcd")
    steps: list[int] = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_crowd, crowd, 1, steps)
        await anyio.wait_all_tasks_blocked()
        crowd.answer_plainly({"a": 1, "b": 2})
        await anyio.wait_all_tasks_blocked()
        assert steps == []
        crowd.answer_plainly({"c": 3})

    assert steps == [1]

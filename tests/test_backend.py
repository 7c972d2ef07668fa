"""What is common to asyncio and trio: where a caller runs, parking and waking it, and tasks of nobody's."""

import asyncio
import contextvars
import gc
import sys
import weakref
from typing import Any

import anyio
import pytest

from smm_async._backend import current_loop
from tests.coalescing import passes, run_on

REQUEST: contextvars.ContextVar[Any] = contextvars.ContextVar("REQUEST", default="nobody's")


def nothing():
    """Do nothing."""


# Where a caller runs.


def test_current_loop_outside_any():
    """Outside asyncio and trio there is no loop."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        current_loop()


def test_current_loop_without_trio(monkeypatch):
    """An asyncio program need not have imported trio."""

    async def look():
        return current_loop().is_here()

    monkeypatch.delitem(sys.modules, "trio")

    assert asyncio.run(look())


async def test_loop_knows_its_own_tasks():
    """A loop knows that its caller runs on it, that it has not ended, and what time it is."""
    loop = current_loop()

    before, now, after = anyio.current_time(), loop.now(), anyio.current_time()

    assert loop.is_here()
    assert not loop.has_ended()
    assert before <= now <= after


async def test_loop_is_not_where_another_runs(anyio_backend):
    """A loop in another thread is another loop."""
    loop = current_loop()

    async def look():
        return loop.is_here(), loop.has_ended()

    assert await anyio.to_thread.run_sync(run_on, anyio_backend, look) == (False, False)


def test_loop_after_its_end(anyio_backend):
    """A loop that has ended is nowhere, and knows it."""

    async def look():
        return current_loop()

    loop = run_on(anyio_backend, look)

    assert loop.has_ended()
    assert not loop.is_here()


async def look(loop):
    """Return whether this loop is where the caller runs."""
    return loop.is_here()


async def look_around():
    """Return the loop that the caller runs on."""
    return current_loop()


@pytest.fixture(params=["asyncio", "uvloop"])
def two_loops(request):
    """Return two loops that nothing runs yet."""
    new_loop = asyncio.new_event_loop if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    first, second = new_loop(), new_loop()
    yield first, second
    first.close()
    second.close()


def test_loops_in_turn_in_one_thread(two_loops):
    """Of two loops that run in turn in one thread, each is here while it runs, and none between."""
    first, second = two_loops
    one, other = first.run_until_complete(look_around()), second.run_until_complete(look_around())

    for _ in range(2):
        assert [first.run_until_complete(look(loop)) for loop in (one, other)] == [True, False]
        assert [second.run_until_complete(look(loop)) for loop in (one, other)] == [False, True]
        assert [one.is_here(), other.is_here()] == [False, False]


def test_loop_that_moves_to_another_thread(two_loops):
    """A loop that runs in another thread than before is here in that one, and not where it was."""
    first, second = two_loops
    one = first.run_until_complete(look_around())

    async def look_from_here():
        in_thread = asyncio.get_running_loop().run_in_executor
        return one.is_here(), await in_thread(None, first.run_until_complete, look_in_both())

    async def look_in_both():
        here_meanwhile.append(await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(look(one), second)))
        return one.is_here()

    here_meanwhile: list[bool] = []

    assert second.run_until_complete(look_from_here()) == (False, True)
    assert here_meanwhile == [False]
    assert first.run_until_complete(look(one))


def test_loop_whose_hooks_were_replaced(two_loops):
    """A loop is here even where somebody has taken its thread's async generators from it."""
    first, second = two_loops
    one = first.run_until_complete(look_around())

    async def look_with(hook):
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=hook)
        try:
            return one.is_here()
        finally:
            sys.set_asyncgen_hooks(*before)

    assert [first.run_until_complete(look_with(hook)) for hook in (None, print)] == [True, True]
    assert [second.run_until_complete(look_with(hook)) for hook in (None, print)] == [False, False]


def test_loop_inside_another(two_loops):
    """Where a program runs a loop inside another, only the inner one is here until it ends."""
    first, second = two_loops
    one = first.run_until_complete(look_around())

    async def look_inside():
        running = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return second.run_until_complete(look(one))
        finally:
            asyncio._set_running_loop(running)

    assert not first.run_until_complete(look_inside())
    assert first.run_until_complete(look(one))


# Parking and waking.


async def test_waiter_with_result_before_it_waits():
    """A result that comes first is there when it is awaited."""
    waiter = current_loop().make_waiter()

    waiter.set_result("early")

    assert waiter.done()
    assert await waiter == "early"


async def test_waiter_with_result_while_it_waits():
    """A parked task goes on with its result, and not before."""
    waiter = current_loop().make_waiter()
    results = []

    async def wait():
        results.append(await waiter)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not waiter.done()
        assert results == []
        waiter.set_result("late")
        assert waiter.done()

    assert results == ["late"]


async def test_waiter_when_cancelled():
    """A cancelled task's waiter is done at that instant, before its task has run."""
    waiter = current_loop().make_waiter()
    steps: list[Any] = []

    async def wait():
        try:
            await waiter
        except anyio.get_cancelled_exc_class():
            steps.append("cancelled")
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        steps.append(waiter.done())

    assert steps == [True, "cancelled"]


async def test_waiter_in_cancelled_scope():
    """Whoever is cancelled before it waits, is cancelled when it waits."""
    waiter = current_loop().make_waiter()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await waiter

    assert scope.cancelled_caught
    assert waiter.done()


async def test_waiter_with_result_just_before_cancellation():
    """A result that came before the cancellation, in the same pass, is not lost."""
    waiter = current_loop().make_waiter()
    results = []

    async def wait():
        results.append(await waiter)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        waiter.set_result("just in time")
        tasks.cancel_scope.cancel()

    assert results == ["just in time"]


# Tasks of nobody's.


async def test_task_outlives_its_starter():
    """A task goes on when the caller that started it is cancelled, and tells its end."""
    loop = current_loop()
    door, steps, ended = anyio.Event(), [], anyio.Event()

    async def run():
        await door.wait()
        steps.append("done")

    async def start():
        loop.start_task(run, ended.set)
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert not ended.is_set()
    door.set()
    with anyio.fail_after(5):
        await ended.wait()

    assert steps == ["done"]


async def test_task_knows_nothing_of_its_starter():
    """The context variables of the caller that starts a task are not the task's."""
    seen, ended = [], anyio.Event()

    async def run():
        seen.append(REQUEST.get())

    token = REQUEST.set("somebody's")
    current_loop().start_task(run, ended.set)
    REQUEST.reset(token)
    await ended.wait()

    assert seen == ["nobody's"]


async def test_task_keeps_nothing_of_its_starter():
    """What the caller's context variables hold may go while the task still runs."""

    class Request:
        pass

    async def start():
        request = Request()
        REQUEST.set(request)
        loop.start_task(anyio.sleep_forever, nothing)
        return weakref.ref(request)

    loop, kept = current_loop(), []
    async with anyio.create_task_group() as tasks:

        async def keep():
            kept.append(await start())

        tasks.start_soon(keep)
    await passes(3)
    gc.collect()

    assert kept[0]() is None


async def test_task_is_not_lost():
    """A task that nothing refers to but what it waits for goes on waiting."""
    loop, steps = current_loop(), []

    async def run():
        try:
            await anyio.Event().wait()
        finally:
            steps.append("gone")

    loop.start_task(run, nothing)
    await anyio.wait_all_tasks_blocked()
    gc.collect()

    assert steps == []


async def test_task_is_forgotten_when_it_has_ended():
    """Of a task that has ended, nothing is kept."""

    class Job:
        async def run(self):
            await passes(1)

    job, ended, loop = Job(), anyio.Event(), current_loop()
    loop.start_task(job.run, ended.set)
    await ended.wait()
    await passes(3)
    left = weakref.ref(job)
    del job
    gc.collect()

    assert left() is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_task_cancelled_before_it_began():
    """The end of a task is told even if a program that cancels all tasks does so before this one began."""
    ended, others = anyio.Event(), asyncio.all_tasks()

    current_loop().start_task(anyio.sleep_forever, ended.set)
    (task,) = asyncio.all_tasks() - others
    task.cancel()

    with anyio.fail_after(5):
        await ended.wait()

"""The task that owns a client's other tasks: starting jobs, ending them, and who may use it."""

import asyncio
import gc

import anyio
import pytest

from smm_async._host import TaskHost
from smm_async.errors import ClosedError
from tests.coalescing import passes

ASYNCIO_ONLY = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture
async def host():
    """Give a host, and close it in the end."""
    host = TaskHost("client")
    yield host
    await host.aclose()


class Jobs:
    """Makes jobs that keep when they began and how they ended."""

    def __init__(self):
        self.steps = []

    async def short(self, name):
        """Do one thing."""
        self.steps.append(name)

    async def long(self, name):
        """Wait for ever, or for a cancellation."""
        self.steps.append(name)
        try:
            await anyio.sleep_forever()
        finally:
            self.steps.append(f"end of {name}")

    async def stubborn(self, name):
        """Wait for the end of what was begun, whoever cancels it."""
        self.steps.append(name)
        with anyio.CancelScope(shield=True):
            await passes(10)
        self.steps.append(f"end of {name}")


@pytest.fixture
def jobs():
    """Give a maker of jobs."""
    return Jobs()


# Starting jobs.


async def test_jobs_start_in_a_later_pass(host, jobs):
    """Jobs do not run inside the call that starts them, and run in the order they were started."""
    host.start_soon(jobs.short, "first")
    host.start_soon(jobs.short, "second")
    before = list(jobs.steps)
    await anyio.wait_all_tasks_blocked()

    assert before == []
    assert sorted(jobs.steps) == ["first", "second"]


async def test_jobs_start_while_others_run(host, jobs):
    """Jobs start at any time, several in one pass, while others run."""
    host.start_soon(jobs.long, "long")
    await anyio.wait_all_tasks_blocked()

    host.start_soon(jobs.short, "one")
    host.start_soon(jobs.short, "two")
    await anyio.wait_all_tasks_blocked()

    assert sorted(jobs.steps) == ["long", "one", "two"]


async def test_job_outlives_its_starter(host, jobs):
    """A job goes on when the caller that started it is cancelled."""

    async def start():
        host.start_soon(jobs.long, "job")
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await anyio.wait_all_tasks_blocked()

    assert jobs.steps == ["job"]


async def test_loop_here_is_the_same_on_one_loop(host):
    """All callers on one loop get the same loop."""
    loop = host.loop_here()

    assert host.loop_here() is loop
    assert loop.is_here()
    assert host.is_here


def test_loop_here_outside_a_loop():
    """Outside any loop there is no place for jobs."""
    host = TaskHost("client")

    with pytest.raises(RuntimeError):
        host.loop_here()

    assert not host.is_here


# Closing.


async def test_closing_ends_the_jobs(jobs):
    """When `aclose()` returns, all jobs have ended."""
    host = TaskHost("client")
    host.start_soon(jobs.long, "long")
    host.start_soon(jobs.stubborn, "stubborn")
    await anyio.wait_all_tasks_blocked()

    await host.aclose()

    assert host.is_closed
    assert sorted(jobs.steps) == ["end of long", "end of stubborn", "long", "stubborn"]


@pytest.mark.parametrize("turns", range(6))
async def test_closing_soon_after_a_job_was_started(jobs, turns):
    """A job that was started shortly before the closing has ended after it, or was never begun."""
    host = TaskHost("client")
    host.start_soon(jobs.long, "job")
    await passes(turns)

    await host.aclose()

    assert jobs.steps in ([], ["job", "end of job"])


async def test_closing_without_jobs():
    """A host that was never used closes at once."""
    host = TaskHost("client")

    await host.aclose()

    assert host.is_closed


async def test_closed_host_takes_no_jobs(jobs):
    """After the closing, whoever wants to use the host hears that it is closed, and what it was."""
    host = TaskHost("client")
    await host.aclose()

    with pytest.raises(ClosedError, match="The client is closed"):
        host.start_soon(jobs.short, "late")
    with pytest.raises(ClosedError):
        host.loop_here()
    await anyio.wait_all_tasks_blocked()

    assert jobs.steps == []


async def test_closing_twice_tells_once(host):
    """Those who asked for it are told of the end once, and at the instant of the first closing."""
    told = []
    host.at_end(lambda: told.append("one"))
    host.at_end(lambda: told.append("two"))

    host.close_nowait()
    at_that_instant = list(told)
    await host.aclose()
    await host.aclose()

    assert at_that_instant == ["one", "two"]
    assert told == at_that_instant


async def test_two_closings_at_once(jobs):
    """Two callers may close at the same time; both wait for the end."""
    host = TaskHost("client")
    host.start_soon(jobs.stubborn, "job")
    await passes(5)
    ends = []

    async def close():
        await host.aclose()
        ends.append(list(jobs.steps))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        tasks.start_soon(close)

    assert ends == [["job", "end of job"]] * 2


async def test_closing_has_a_before_and_an_after(jobs):
    """What is to be done before the jobs end and after it is done in that order."""
    host = TaskHost("client")
    host.start_soon(jobs.long, "job")
    await anyio.wait_all_tasks_blocked()

    async def before():
        await passes(5)
        jobs.steps.append("before")

    async def after():
        jobs.steps.append("after")

    await host.aclose(before=before, after=after)

    assert jobs.steps == ["job", "before", "end of job", "after"]


@pytest.mark.parametrize("turns", range(4))
async def test_job_started_just_before_the_closing_cuts_nothing_short(jobs, turns):
    """What is to be done before the jobs end is done before, also when the task that starts jobs was just woken."""

    async def before():
        await passes(3)
        jobs.steps.append("before")

    host = TaskHost("client")
    host.start_soon(jobs.long, "job")
    await passes(3)
    host.start_soon(jobs.short, "late job")
    await passes(turns)
    await host.aclose(before=before)

    assert [step for step in jobs.steps if step != "late job"] == ["job", "before", "end of job"]


async def test_closing_when_cancelled(jobs):
    """Cancelling `aclose()` does not stop the closing."""
    host = TaskHost("client")
    host.start_soon(jobs.stubborn, "job")
    await passes(5)

    async def after():
        await passes(3)
        jobs.steps.append("after")

    with anyio.CancelScope() as scope:
        scope.cancel()
        await host.aclose(before=lambda: passes(3), after=after)

    assert jobs.steps == ["job", "end of job", "after"]


@ASYNCIO_ONLY
@pytest.mark.parametrize("turns", range(1, 10))
async def test_closing_when_its_task_is_cancelled(jobs, turns):
    """A cancellation by asyncio itself, at any time, does not stop the closing either, nor change its order."""
    host = TaskHost("client")
    host.start_soon(jobs.stubborn, "job")
    await passes(5)

    async def after():
        jobs.steps.append("after")
        await passes(1)

    closing = asyncio.create_task(host.aclose(before=lambda: passes(3), after=after))
    await passes(turns)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    assert jobs.steps == ["job", "end of job", "after"]
    assert [task for task in asyncio.all_tasks() if task.get_name() == "smm_async"] == []


@ASYNCIO_ONLY
async def test_closing_after_its_task_was_cancelled(jobs):
    """A cancellation by asyncio itself ends the wait for what comes before, and the rest is done."""
    host = TaskHost("client")
    host.start_soon(jobs.long, "job")
    await anyio.wait_all_tasks_blocked()

    async def after():
        jobs.steps.append("after")

    closing = asyncio.create_task(host.aclose(before=anyio.sleep_forever, after=after))
    await anyio.wait_all_tasks_blocked()
    closing.cancel()
    await asyncio.wait([closing])

    assert closing.cancelled()
    assert jobs.steps == ["job", "end of job", "after"]


# Cancelled from outside.


@ASYNCIO_ONLY
@pytest.mark.parametrize("turns", range(6))
@pytest.mark.filterwarnings("ignore:A client was not closed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:coroutine 'Jobs.long' was never awaited:RuntimeWarning")
async def test_host_cancelled_from_outside(jobs, turns):
    """When a program cancels all tasks, at any time, those who asked are told, and the host can be used again."""
    host, told, others = TaskHost("client"), [], asyncio.all_tasks()
    host.at_end(lambda: told.append(host.is_here))
    host.start_soon(jobs.long, "job")
    await passes(turns)

    for task in asyncio.all_tasks() - others:
        task.cancel()
    await passes(20)
    host.start_soon(jobs.short, "next")
    await anyio.wait_all_tasks_blocked()
    told_before_closing = list(told)
    await host.aclose()
    # A job that never began warns when it is collected: here, not in the middle of another test.
    gc.collect()

    assert told_before_closing == [True]
    assert jobs.steps[-1] == "next"

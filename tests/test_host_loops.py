"""One host on several loops, one after the other or at once, and hosts that nobody closes."""

import asyncio
import gc
import warnings

import anyio
import pytest

import smm_async as smm
from smm_async._host import TaskHost
from smm_async.testing import SimulatedPanel
from tests.coalescing import passes, run_on

UNCLOSED = "A client was not closed"


async def start_and_leave(host):
    """Start a job and leave without closing."""
    host.start_soon(anyio.sleep_forever)
    await passes(5)


# One loop after the other.


def test_host_on_a_new_loop(anyio_backend):
    """When its loop has ended, those who asked are told, and the host starts anew on the next."""
    host, told, steps = TaskHost("client"), [], []
    host.at_end(lambda: told.append(host.is_here))

    async def job():
        steps.append("done")

    async def start_again():
        host.start_soon(job)
        await passes(5)
        told_before_closing = list(told)
        await host.aclose()
        return told_before_closing

    with pytest.warns(ResourceWarning, match=UNCLOSED):
        run_on(anyio_backend, start_and_leave, host)
    assert told == [True]
    run_on(anyio_backend, start_again)

    assert steps == ["done"]
    assert host.is_closed


def test_host_moves_while_it_has_no_task(anyio_backend):
    """A host that has started nothing is not bound to the loop where it was entered."""
    host = TaskHost("client")

    async def enter():
        host.loop_here()
        await anyio.to_thread.run_sync(run_on, anyio_backend, elsewhere)
        assert not host.is_here

    async def elsewhere():
        host.start_soon(passes, 1)
        await host.aclose()

    run_on(anyio_backend, enter)

    assert host.is_closed


def test_host_on_a_new_loop_after_one_that_was_cut_off():
    """A loop that was closed with all its tasks in it is forgotten, and nobody there is woken."""
    host, told, steps = TaskHost("client"), [], []
    host.at_end(lambda: told.append(host.is_here))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(start_and_leave(host))
    loop.close()

    async def job():
        steps.append("done")

    async def start_again():
        host.start_soon(job)
        await passes(5)
        await host.aclose()

    asyncio.run(start_again())

    assert steps == ["done"]
    assert told == [False, True]


def test_closing_after_the_loop_was_cut_off():
    """A host whose loop was closed with all its tasks in it can be closed on another."""
    host = TaskHost("client")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(start_and_leave(host))
    loop.close()

    asyncio.run(host.aclose())

    assert host.is_closed


def test_closing_again_on_another_loop(anyio_backend):
    """A closed host can be closed again anywhere."""
    host = TaskHost("client")

    async def start_and_close():
        await start_and_leave(host)
        await host.aclose()

    run_on(anyio_backend, start_and_close)
    run_on(anyio_backend, host.aclose)

    assert host.is_closed


def test_client_on_a_new_loop_after_one_that_was_cut_off():
    """A client whose loop was closed while a call waited forgets that call, and serves on a new loop."""
    panel = SimulatedPanel(key="simulated-key")
    client = smm.Client(panel.url, key="simulated-key", transport=panel.transport())
    loop = asyncio.new_event_loop()

    async def ask_and_leave():
        call = asyncio.create_task(client.balance())
        await asyncio.sleep(0)
        return call

    async def ask():
        async with client:
            return await client.balance()

    call = loop.run_until_complete(ask_and_leave())
    loop.close()

    assert asyncio.run(ask()).balance == panel.balance
    assert not call.done()
    del call


# Two loops at once.


async def test_host_on_two_loops_at_once(anyio_backend):
    """While its jobs live on one loop, use and closing on another raise, and say what to do; the jobs go on."""
    host = TaskHost("client")
    host.start_soon(anyio.sleep_forever)
    await passes(5)

    async def use():
        with pytest.raises(RuntimeError, match="This client is in use on another event loop: make one for each loop"):
            host.start_soon(passes, 1)
        with pytest.raises(RuntimeError, match="another event loop"):
            await host.aclose()

    await anyio.to_thread.run_sync(run_on, anyio_backend, use)

    assert not host.is_closed
    assert host.is_here
    await host.aclose()


async def test_closing_again_while_another_loop_closes(anyio_backend):
    """Whoever closes a host that another loop is closing does not touch that loop's tasks."""
    host, ended = TaskHost("client"), anyio.Event()

    async def close_elsewhere():
        await anyio.to_thread.run_sync(run_on, anyio_backend, host.aclose)
        ended.set()

    host.start_soon(anyio.sleep_forever)
    await passes(5)
    await host.aclose(before=close_elsewhere)

    assert ended.is_set()


# Left without being closed.


def test_host_left_open_warns(anyio_backend):
    """A host that is not closed warns when its loop ends, and says what to do."""
    host = TaskHost("client")

    with pytest.warns(ResourceWarning, match=f"{UNCLOSED}: use it with 'async with', or await its aclose()"):
        run_on(anyio_backend, start_and_leave, host)


def test_host_left_open_without_tasks_is_silent(anyio_backend):
    """A host that was never used, or was closed, has nothing to warn of."""

    async def enter(host):
        host.loop_here()

    async def close(host):
        await start_and_leave(host)
        await host.aclose()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_on(anyio_backend, enter, TaskHost("client"))
        run_on(anyio_backend, close, TaskHost("client"))
        gc.collect()

    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_host_left_open_when_warnings_are_errors(anyio_backend, monkeypatch):
    """A warning that is made an error never breaks the event loop; it ends where those of finalizers go."""
    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda hook: seen.append(hook.exc_value))

    run_on(anyio_backend, start_and_leave, TaskHost("client"))

    assert [type(error) for error in seen] == [ResourceWarning]

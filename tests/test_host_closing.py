"""How long closing a host takes, in virtual time."""

import anyio

from smm_async._host import TaskHost
from tests.coalescing import passes
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


async def test_closing_waits_five_seconds_for_a_job():
    """A job that does not end holds up the closing for five seconds, and no longer."""
    host, door, after = TaskHost("client"), anyio.Event(), []

    async def job():
        with anyio.CancelScope(shield=True):
            await door.wait()

    async def note():
        after.append(anyio.current_time())

    host.start_soon(job)
    await passes(5)
    started = anyio.current_time()
    await host.aclose(after=note)

    assert anyio.current_time() == started + 5
    assert after == [started + 5]
    door.set()
    await passes(5)


async def test_closing_waits_five_seconds_for_what_comes_after():
    """A dead peer that does not say goodbye holds up the closing for five seconds, and no longer."""
    host = TaskHost("client")
    host.start_soon(anyio.sleep_forever)
    await passes(5)
    started = anyio.current_time()

    await host.aclose(after=anyio.sleep_forever)

    assert anyio.current_time() == started + 5


async def test_closing_waits_for_what_comes_before():
    """What is to be done before the jobs end may take its time."""
    host, ended_at = TaskHost("client"), []

    async def job():
        try:
            await anyio.sleep_forever()
        finally:
            ended_at.append(anyio.current_time())

    host.start_soon(job)
    await passes(5)
    started = anyio.current_time()

    await host.aclose(before=lambda: anyio.sleep(60))

    assert ended_at == [started + 60]


async def test_closing_from_a_job():
    """A job that closes the host it runs in waits for its own end, but only five seconds."""
    host, ended_at = TaskHost("client"), []

    async def job():
        await host.aclose()
        ended_at.append(anyio.current_time())

    started = anyio.current_time()
    host.start_soon(job)
    await anyio.sleep(60)

    assert ended_at == [started + 5]
    assert host.is_closed

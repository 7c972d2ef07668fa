"""Closing a client ends all waits of its own, at once."""

import anyio
import pytest

import smm_async as smm
from smm_async.testing import SimulatedPanel
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


def client_of(panel):
    """Return a client of a simulated panel."""
    return smm.Client(panel.url, key=panel.key, transport=panel.transport())


async def test_who_waits_between_two_looks_hears_of_closing():
    """`wait()` and `watch()` raise the error of a closed client at the moment of closing, not at the next look."""
    panel = SimulatedPanel(durations=(1e6, 1e6))
    first, second = panel.seed_orders(2)
    client = client_of(panel)
    raised = []

    async def wait():
        with pytest.raises(smm.ClosedError) as caught:
            await client.wait(first, poll=smm.Poll(shortest=600.0))
        raised.append((caught.value, anyio.current_time()))

    async def watch():
        with pytest.raises(smm.ClosedError) as caught:
            async for _ in client.watch([first, second], poll=smm.Poll(shortest=600.0)):
                pass
        raised.append((caught.value, anyio.current_time()))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(watch)
        await anyio.sleep(60.0)
        await client.aclose()

    (one, at), (other, other_at) = raised
    assert (at, other_at) == (60.0, 60.0)
    assert one is not other
    assert str(one) == "The client is closed."


async def test_reader_of_a_closed_client_that_read_nothing_yet_is_told():
    """Who begins to wait, or reads on, after the client was closed, does not wait."""
    panel = SimulatedPanel(durations=(1e6, 1e6))
    order = panel.seed_orders(1)[0]
    async with client_of(panel) as client:
        watch = client.watch([order])
        await anext(watch)
    for reading in (anext(watch), anext(client.watch([order])), client.wait(order)):
        with pytest.raises(smm.ClosedError):
            await reading

    assert anyio.current_time() < 1.0


async def test_cancelled_reader_leaves_nothing_with_the_client():
    """Whoever sleeps between looks is known to the client only as long."""
    panel = SimulatedPanel(durations=(1e6, 1e6))
    order = panel.seed_orders(1)[0]
    async with client_of(panel) as client:
        with anyio.move_on_after(20.0):
            await client.wait(order, poll=smm.Poll(shortest=600.0))

        assert client._exchange.host._sleepers == set()


def test_sleepers_of_a_loop_that_is_gone_are_left_alone():
    """A client that goes on, and is closed, on another loop wakes nobody of the one before."""
    panel = SimulatedPanel(durations=(1e6, 1e6))
    order = panel.seed_orders(1)[0]
    client = client_of(panel)
    client._exchange.host.warns = False
    sleeper = anyio.Event()

    async def leave_a_sleeper():
        await client.status(order)
        client._exchange.host._sleepers.add(sleeper)

    async def go_on():
        await client.status(order)
        await client.aclose()

    anyio.run(leave_a_sleeper)
    anyio.run(go_on)

    assert not sleeper.is_set()

"""The part of the demo that follows orders, with a panel in memory."""

import io

import anyio
import pytest
from rich.console import Console

import smm_async as smm
from smm_async._demo_follow import follow
from smm_async.testing import Fault, SimulatedPanel
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


def console():
    """Return a terminal that nobody sees."""
    return Console(file=io.StringIO(), force_terminal=True, width=80)


async def follow_on(panel, orders, screen, panel_gone=anyio.sleep_forever):
    """Follow orders of a panel."""
    async with smm.Client(panel.url, key=panel.key, transport=panel.transport()) as client:
        return await follow(client, orders, screen, panel_gone)


async def test_orders_are_followed_to_their_end():
    """The bars show how many orders stand where, up to the last, and each change is counted."""
    panel, screen = SimulatedPanel(durations=(0.5, 2.5)), console()
    orders = [str(order) for order in panel.seed_orders(100)]

    changes = await follow_on(panel, orders, screen)

    drawn = screen.file.getvalue()
    assert changes > 300
    assert "Processing" in drawn
    assert "In progress" in drawn
    assert anyio.current_time() < 5
    assert max(panel.ids_per_request("status")) == 100


async def test_order_that_the_panel_does_not_know_has_a_bar():
    """What is lost in the end is shown as unknown."""
    panel, screen = SimulatedPanel(), console()

    assert await follow_on(panel, ["404"], screen) == 1
    assert "Unknown" in screen.file.getvalue()
    assert anyio.current_time() < 10


async def test_error_of_the_panel_is_raised_bare():
    """What ends the watch arrives as it is, and not in a group."""
    panel = SimulatedPanel()
    panel.fault(Fault.error("Invalid API key"))

    with pytest.raises(smm.InvalidKeyError):
        await follow_on(panel, ["1"], console())


async def test_panel_that_has_gone_is_not_waited_for():
    """When the panel's process has ended, the orders are followed no more."""
    panel = SimulatedPanel(durations=(1e6, 1e6))
    order = str(panel.place())

    async def gone():
        await anyio.sleep(3)

    assert await follow_on(panel, [order], console(), gone) >= 1
    assert anyio.current_time() < 4

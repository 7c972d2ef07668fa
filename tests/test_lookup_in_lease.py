"""A claim's lookups have ended before its lease does, however slow the panel is, in virtual time."""

import smm_async as smm
from smm_async.testing import SimulatedPanel
from smm_async.tracking import LookedUp, Poll
from tests.trackers import scene, store_in_virtual_time  # noqa: F401  a fixture
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


async def test_all_budgets_of_a_claim_begin_together(store_in_virtual_time):
    """With one slot and a slow panel, what does not get to be asked for in time is left for later: less is claimed then."""
    panel = SimulatedPanel(latency=8.0, durations=(1e6, 1e6))
    orders = panel.seed_orders(1000)
    async with (
        smm.Client(panel.url, key=panel.key, transport=panel.transport(), max_in_flight=1, budget=30.0) as client,
        scene(
            client, orders=orders, store=store_in_virtual_time, lease=31.0, poll=Poll(shortest=200.0), idle=5.0
        ) as at,
    ):
        await at.tracker.tend("alpha", seconds=1000.0)

    reports = at.of(LookedUp)
    assert max(report.seconds for report in reports) <= 30.0
    assert (reports[0].claimed, reports[0].changed, reports[0].errors["NotSentError"]) == (1000, 300, 600)
    assert sum(report.changed for report in reports) == 1000
    assert reports[-1].claimed <= 300


async def test_requests_of_claims_are_full(store_in_virtual_time):
    """Asked for in parts that are a request each, orders of one claim or several fill their requests."""
    panel = SimulatedPanel(latency=0.5, durations=(1e6, 1e6))
    orders = panel.seed_orders(2550)
    async with (
        smm.Client(panel.url, key=panel.key, transport=panel.transport()) as client,
        scene(client, orders=orders, store=store_in_virtual_time) as at,
    ):
        await at.tracker.tend("alpha", seconds=60.0)

    assert sorted(panel.ids_per_request("status")) == [50] + [100] * 25

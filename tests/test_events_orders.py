"""What a client tells its hook of orders that it writes down: a journal is read in threads, so time is real here."""

import smm_async as smm
from smm_async import events
from smm_async.events import Reason
from tests.calling import BALANCE, ORDER, PLACED
from tests.test_events import client_of, names


async def test_order_placed_is_told(tmp_path):
    """A new order is told with its id and its name in the journal; one that the journal knows is not."""
    told = []
    journal = smm.Journal(tmp_path / "orders.db", evidence=False)
    async with client_of(PLACED, journal=journal, on_event=told.append) as client:
        await client.add(ORDER, ref="first")
        await client.add(ORDER, ref="first")

    assert names(told) == ["RequestSent", "RequestAnswered", "OrderPlaced"]
    assert told[2] == events.OrderPlaced("add", "23501", "first")
    assert told[0].request.reason is Reason.WRITE
    assert client.stats.placed == 1


async def test_evidence_before_an_order_is_told_as_a_read(tmp_path):
    """The balance that is asked for before an order is a request, too, and no write."""
    told = []
    async with client_of(
        BALANCE, PLACED, journal=smm.Journal(tmp_path / "orders.db", evidence=True), on_event=told.append
    ) as client:
        await client.add(ORDER)

    sent = [event.request for event in told if isinstance(event, events.RequestSent)]
    assert [(request.action, request.reason) for request in sent] == [
        ("balance", Reason.UNMERGED),
        ("add", Reason.WRITE),
    ]

"""Orders that a panel leaves out: those that are lost end, those that it names again do not, in virtual time."""

import logging

import anyio
import pytest

import smm_async as smm
from smm_async.tracking import EndKind, Paused, Poll
from tests.trackers import DONE, Answering, scene, store_in_virtual_time  # noqa: F401  a fixture
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

HOUR = 3600.0
LOST = [str(number) for number in range(1000, 1025)]
OTHERS = [str(number) for number in range(20)]


class Moving(Answering):
    """A panel at which most orders go on, word by word."""

    async def statuses(self, orders):
        """Answer with a new word every ten minutes."""
        self.default = smm.OrderStatus(status=f"{anyio.current_time() // 600}", state=smm.OrderState.IN_PROGRESS)
        return await super().statuses(orders)


@pytest.mark.parametrize(("others", "error"), [([], smm.UnresolvedError), (OTHERS, smm.UnknownOrderError)])
async def test_lost_orders_end_as_unknown(others, error, store_in_virtual_time):
    """Orders that a panel does not name any more end in time, however many, and whether it names others meanwhile."""
    client = Moving(dict.fromkeys(LOST, error("nothing")))
    # So much ahead that the lost ones stay together, as those of a crowd do.
    options = {"store": store_in_virtual_time, "poll": Poll(), "idle": 30.0, "ahead": 200.0}
    async with scene(client, orders=LOST + others, **options) as at:
        await at.tracker.tend("alpha", seconds=3 * HOUR)
        events = at.store.take(1000, 1.0)

    assert {event.order for event in events} == set(LOST)
    assert {event.kind for event in events} == {EndKind.UNKNOWN}
    assert min(event.ended_at for event in events).timestamp() - 1e9 > HOUR / 2
    assert [report.seconds for report in at.of(Paused)] in ([], [5.0])


@pytest.mark.parametrize("error", [smm.UnresolvedError, smm.UnknownOrderError])
async def test_panel_that_names_nothing_for_a_while_loses_nothing(error, store_in_virtual_time, caplog):
    """Ten minutes in which a panel names no order end none of them, and there is one warning that says what it may mean."""
    client = Answering(dict.fromkeys(map(str, range(2500)), error("nothing")), default=DONE)
    async with scene(client, orders=range(2500), store=store_in_virtual_time, poll=Poll(), idle=30.0) as at:
        with caplog.at_level(logging.WARNING):
            await at.tracker.tend("alpha", seconds=600)
        warnings = [record.getMessage() for record in caplog.records if "the key may be" in record.getMessage()]
        client.answers.clear()
        await at.tracker.tend("alpha", seconds=HOUR)
        events = at.store.take(10_000, 1.0)

    assert len(warnings) == 1
    assert "has named none of 1000 orders" in warnings[0]
    assert [event.kind for event in events] == [EndKind.ENDED] * 2500

"""What the tests of watching share: a panel of a few lines, whose orders stand where a test puts them."""

import anyio

import smm_async as smm
from smm_async._watch import Watch

MINUTE = 60.0
DAY = 86_400.0


def status_of(word, **fields):
    """Return a status with the panel's word, and the state that goes by this name."""
    return smm.OrderStatus(status=word, state=smm.OrderState(word), **fields)


PENDING, MOVING, DONE = map(status_of, ("Pending", "In progress", "Completed"))


class FakePanel:
    """Answers for each order what it was told, by a function of the time where it is one; keeps what it was asked."""

    def __init__(self, rows, *, seconds=0.0):
        self.rows = rows
        self.seconds = seconds
        self.asked = []
        self.error = None

    async def statuses(self, orders):
        """Answer for some orders at once; an error of the panel's own is everybody's."""
        self.asked.append((anyio.current_time(), orders))
        await anyio.sleep(self.seconds)
        return {order: self.answer(order, orders) for order in orders}

    def answer(self, order, orders):
        """Return what stands for one order at this time."""
        row = self.error or self.rows.get(order) or smm.UnknownOrderError("Incorrect order ID")
        return row(anyio.current_time()) if callable(row) else row

    def watch(self, orders=None, *, poll=None, lag=600.0, batch=100, **options):
        """Return a watch of some or all orders."""
        poll = poll or smm.Poll()
        return Watch(self.statuses, orders or self.rows, batch=lambda: batch, poll=poll, lag=lag, **options)

    def moments_of(self, order):
        """Return when an order was asked for."""
        return [at for at, orders in self.asked if order in orders]


def steps(*moments, end=DONE):
    """Return what an order stands at: pending, from each of some moments on in progress, and at last at its end."""

    def row(now):
        if now >= moments[-1]:
            return end
        return MOVING if now >= moments[0] else PENDING

    return row


async def read_all(watch):
    """Return all changes, with the words for before and after."""
    return [shown(change) async for change in watch]


def shown(change):
    """Return a change in words."""
    before = change.before and change.before.status
    after = change.after.status if isinstance(change.after, smm.OrderStatus) else type(change.after).__name__
    return change.order, before, after

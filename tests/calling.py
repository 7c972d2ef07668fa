"""Calls of all kinds on a client with a scripted transport, and what becomes of them."""

import anyio
import pytest

import smm_async as smm
from smm_async.panels import STANDARD_ACTIONS, Action
from tests.scripted_transport import answer

KEY = "simulated-key"
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
BALANCE = answer({"balance": "1.50", "currency": "USD"})
PLACED = answer({"order": 23501})
DONE = answer({"refill": 1, "cancel": 1, "order": 1})  # to any write, about order 1
ASKED = answer({"refill": 1, "cancel": 1})
# One id a request, so that several are several requests.
SINGLY = smm.Panel(
    "https://panel.example/api/v2",
    actions={**STANDARD_ACTIONS, "refill": Action("refill", "order"), "cancel": Action("cancel", "order")},
)
WRITES = {
    "add": lambda client: client.add(ORDER),
    "add_product_order": lambda client: client.add_product_order(1, 1, "me@example.com"),
    "refill": lambda client: client.refill(1),
    "refills": lambda client: raised(client.refills([1])),
    "cancel": lambda client: client.cancel(1),
    "cancels": lambda client: raised(client.cancels([1])),
    "call": lambda client: client.call("anything"),
}
READS = {
    "balance": lambda client: client.balance(),
    "services": lambda client: client.services(),
    "products": lambda client: client.products(),
    "status": lambda client: client.status(1),
    "refill_status": lambda client: client.refill_status(1),
}
every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
every_read = pytest.mark.parametrize("read", READS.values(), ids=READS)
direct_read = pytest.mark.parametrize("read", [READS["balance"], READS["services"]], ids=["balance", "services"])


async def raised(mapping):
    """Return the only value of a mapping, or raise it."""
    (value,) = (await mapping).values()
    if isinstance(value, Exception):
        raise value
    return value


def client_on(transport, **kwargs):
    return smm.Client(SINGLY, key=KEY, transport=transport, **kwargs)


class Outcomes:
    """Makes calls in tasks, and keeps what becomes of them and when."""

    def __init__(self, tasks):
        self._tasks = tasks
        self._started = anyio.current_time()
        self.kept = []

    def start(self, call, *args):
        """Start a call, and return what cancels it."""
        scope = anyio.CancelScope()

        async def keep():
            with scope:
                try:
                    outcome = await call(*args)
                except smm.SmmError as error:
                    outcome = error
                self.kept.append((round(anyio.current_time() - self._started, 3), outcome))

        self._tasks.start_soon(keep)
        return scope

    @property
    def types(self):
        """When each call ended, and as what."""
        return [(at, type(outcome)) for at, outcome in self.kept]


def bodies(transport):
    return [request.body.decode().removeprefix("key=simulated-key&action=") for request in transport.requests]

"""What the tests of writes share: a panel with something to write about, the writes, and what may come of them."""

import contextlib
from decimal import Decimal

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest

import smm_async as smm
from smm_async.testing import SimulatedPanel

KEY = "simulated-key"
LINK = "https://example.com/p/1"
ORDER = smm.orders.Default(service=1, link=LINK, quantity=100)
PRICE = Decimal("0.09")

OPEN, PLACED = smm.EntryState.OPEN, smm.EntryState.PLACED
REFUSED, NOT_SENT = smm.EntryState.REFUSED, smm.EntryState.NOT_SENT

REFILLABLE, CANCELLABLE = (1, 2), (3, 4)
PLACING = {
    "add": lambda client, **kwargs: client.add(ORDER, **kwargs),
    "add_product_order": lambda client, **kwargs: client.add_product_order(1, 2, "me@example.com", **kwargs),
}
SINGLE = {
    **PLACING,
    "refill": lambda client: client.refill(REFILLABLE[0]),
    "cancel": lambda client: client.cancel(CANCELLABLE[0]),
}
PLURAL = {
    "refills": lambda client: client.refills(REFILLABLE),
    "cancels": lambda client: client.cancels(CANCELLABLE),
}
WRITES = {**SINGLE, **PLURAL}

every_placing = pytest.mark.parametrize("name", PLACING)
every_single = pytest.mark.parametrize("name", SINGLE)
every_write = pytest.mark.parametrize("name", WRITES)


def make_panel(**kwargs):
    """Return a panel with two orders to refill and two to cancel; any fraction of its money shows."""
    panel = SimulatedPanel(key=KEY, balance=Decimal("1000.005"), **kwargs)
    for order in panel.seed_orders(4):
        panel.set_status(order, "Completed" if order in REFILLABLE else "Pending", remains=0)
    panel.requests.clear()
    return panel


@pytest.fixture
def panel():
    """The panel that the tests write to."""
    return make_panel()


@pytest.fixture
def journal(tmp_path):
    """A journal of nothing."""
    return smm.Journal(tmp_path / "orders.db")


@pytest.fixture
def threadless(monkeypatch):
    """Have work for threads done on the spot: in virtual time, nobody would wait for a thread."""

    async def run_here(call, *args, limiter=None):
        await anyio.lowlevel.checkpoint()
        return call(*args)

    monkeypatch.setattr(anyio.to_thread, "run_sync", run_here)


def client_of(panel, **kwargs):
    """Return a client of a simulated panel."""
    return smm.Client(panel.url, **{"key": KEY, "transport": panel.transport(), **kwargs})


async def outcome_of(awaitable):
    """Return what a call returns, or the error it raises."""
    try:
        return await awaitable
    except smm.SmmError as error:
        return error


class HeldTransport(httpx.AsyncBaseTransport):
    """Stops each request, before its body is taken or behind its answer, until it is told to go on."""

    def __init__(self, inner, *, is_before):
        self._inner = inner
        self._is_before = is_before
        self._arrived = anyio.Event()
        self._go_on = anyio.Event()

    async def handle_async_request(self, request):
        """Carry a request."""
        if self._is_before:
            await self._wait()
            return await self._inner.handle_async_request(request)
        response = await self._inner.handle_async_request(request)
        await self._wait()
        return response

    async def _wait(self):
        self._arrived.set()
        await self._go_on.wait()

    async def arrival(self):
        """Wait until a request stands still."""
        await self._arrived.wait()

    def release(self):
        """Stop no more."""
        self._go_on.set()


class Caller:
    """Somebody who makes a call in a task, and may be cancelled."""

    def __init__(self, tasks, awaitable):
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self.outcome = None
        tasks.start_soon(self._run, awaitable)

    async def _run(self, awaitable):
        with self._scope:
            self.outcome = await outcome_of(awaitable)
        self._ended.set()

    @property
    def has_ended(self):
        """Whether it has gone, with an outcome or without."""
        return self._ended.is_set()

    async def leave(self):
        """Cancel it, and wait until it has gone."""
        self._scope.cancel()
        await self._ended.wait()

    async def end(self):
        """Wait for its outcome."""
        await self._ended.wait()
        return self.outcome


@contextlib.contextmanager
def nothing_sent(panel):
    """Check that no request reaches the panel within the block."""
    before = panel.count()
    yield
    assert panel.count() == before


def state_for(outcome):
    """Return what the journal must say of an order with this outcome."""
    if isinstance(outcome, smm.OutcomeUnknownError):
        return OPEN
    if isinstance(outcome, smm.NotSentError):
        return NOT_SENT
    return REFUSED if isinstance(outcome, smm.PanelError) else PLACED


def is_certain_wrongly(outcome, *, was_executed):
    """Return whether an outcome claims to know what is not so."""
    if isinstance(outcome, smm.OutcomeUnknownError):
        return False
    is_no = isinstance(outcome, (smm.PanelError, smm.NotSentError, smm.ClosedError))
    assert is_no or not isinstance(outcome, Exception)
    return is_no == was_executed

"""Orders whose event loop ends under them: what the journal says of them afterwards."""

import functools

import anyio
import pytest

import smm_async as smm
from smm_async._calls import Call
from smm_async._ledger import _Attempt
from smm_async._wire import ask
from smm_async.testing import Fault
from tests.placing import NOT_SENT, OPEN, ORDER, HeldTransport, client_of, journal, panel  # noqa: F401

# A loop that ends leaves a client open, which is what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:A client was not closed:ResourceWarning")


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Return what runs an async function on a new loop."""
    return functools.partial(anyio.run, backend=request.param)


async def leave_behind(call, held):
    """Leave a call behind when its request stands still."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await held.arrival()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("executed", [True, False])
def test_order_on_its_way_when_its_loop_ends_stays_open(panel, journal, run, executed):
    """An order that may have been placed is open in the journal, and known to whoever uses the client later."""
    panel.fault(Fault.late(0.0) if executed else Fault.server_error(executed=False))
    clients = []

    async def begin():
        held = HeldTransport(panel.transport(), is_before=False)
        clients.append(client_of(panel, journal=journal, transport=held))
        await leave_behind(functools.partial(clients[0].add, ORDER, ref="a"), held)

    async def go_on():
        (client,) = clients
        with pytest.raises(smm.OutcomeUnknownError):
            await client.add(ORDER, ref="a")
        left = client.unsettled()
        await client.aclose()
        return left, await journal.entries()

    run(begin)
    (left,), (entry,) = run(go_on)

    assert type(left.outcome) is smm.OutcomeUnknownError
    assert left.ref == entry.ref == "a"
    assert entry.state is OPEN
    assert (panel.count(), len(panel.executed)) == (1, int(executed))


def test_order_that_has_not_left_when_its_loop_ends_was_not_sent(panel, journal, run):
    """An order whose connection was still being made is certainly not placed, and may be placed in the next loop."""
    journals = []

    async def begin():
        held = HeldTransport(panel.transport(), is_before=True)
        client = client_of(panel, journal=journal, transport=held)
        await leave_behind(functools.partial(client.add, ORDER, ref="a"), held)

    async def go_on():
        journals.extend(await journal.entries())
        async with client_of(panel, journal=journal) as client:
            await client.add(ORDER, ref="a")

    run(begin)
    run(go_on)

    assert [entry.state for entry in journals] == [NOT_SENT]
    assert len(panel.executed) == 1


class Suspended:
    """Waits for ever, without any loop."""

    def __await__(self):
        yield


async def never():
    await Suspended()


def test_order_that_is_thrown_away_with_its_loop_stays_open(journal, run):
    """What is thrown away with its loop cannot write any more: its order is as open as it was."""
    call = Call(ask(smm.Panel("https://panel.example/"), "add"), None, is_write=True, budget=60.0)
    begin = functools.partial(journal.begin, "a", "add", {}, attempt="1", within=60.0)
    sending = _Attempt(journal, call, "a", "1").send(never)

    run(begin)
    sending.send(None)
    sending.close()

    (entry,) = run(journal.entries)
    assert (entry.state, entry.note) == (OPEN, "")

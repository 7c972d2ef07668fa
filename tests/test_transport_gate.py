"""How many requests are open at a time, and what is left of a loop that has ended."""

import contextlib

import anyio
import anyio.lowlevel
import pytest

import smm_async as smm
from smm_async._secret import Secret
from smm_async._transport import Gate, Transport
from smm_async._wire import ask
from tests.scripted_transport import Held, ScriptedTransport, answer
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name

KEY = "simulated-key"
PANEL = smm.Panel("https://panel.example/api/v2")
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
BALANCE = {"balance": "1.50", "currency": "USD"}


def client_on(transport, **kwargs):
    return smm.Client(PANEL, key=KEY, transport=transport, **kwargs)


async def send(transport, panel=PANEL):
    return await Transport(panel, Secret(KEY), transport).send(ask(panel, "balance"), limit=1000)


async def test_gate_lets_in_as_many_as_it_has_places():
    """Never more are inside than there are places, and all get in."""
    gate, inside, most, done = Gate(3), 0, 0, 0

    async def one():
        nonlocal inside, most, done
        async with gate:
            inside += 1
            most = max(most, inside)
            await anyio.sleep(1.0)
            inside -= 1
        done += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)

    assert (most, done) == (3, 10)


async def test_gate_lets_in_by_order_of_arrival():
    """First come, first served."""
    gate, order = Gate(1), []

    async def one(number):
        async with gate:
            order.append(number)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(one, number)
            await let_others_run()

    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("leave", ["waiting", "inside", "error"])
async def test_gate_has_its_places_back_from_whoever_leaves(leave):
    """Whoever is cancelled before it or behind it, or raises behind it, takes no place along."""
    gate = Gate(1)

    async def one(scope):
        with scope, contextlib.suppress(KeyError):
            async with gate:
                if leave == "error":
                    raise KeyError
                await anyio.sleep_forever()

    scopes = [anyio.CancelScope() for _ in range(3)]
    async with anyio.create_task_group() as tasks:
        for scope in scopes:
            tasks.start_soon(one, scope)
        await let_others_run()
        for scope in scopes[:: -1 if leave == "waiting" else 1]:
            scope.cancel()
            await let_others_run()

    with anyio.fail_after(1.0):
        async with gate:
            pass


@pytest.mark.parametrize("places", [1, 3])
async def test_client_never_has_more_requests_open_than_it_may(places):
    """Merged lookups, reads and writes together have at most as many requests open as the client may have."""
    held = Held(answer({"error": "No."}, 200))
    transport = ScriptedTransport(held)

    async def ask(call, *args):
        with pytest.raises(smm.SmmError):
            await call(*args)

    async with client_on(transport, max_in_flight=places) as client, anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(ask, client.balance)
            tasks.start_soon(ask, client.add, ORDER)
            tasks.start_soon(ask, client.status, number)
            tasks.start_soon(ask, client.refill_status, number)
        await transport.wait_for_requests(places)
        await let_others_run()
        assert transport.open == places
        held.release()

    assert transport.most_open == places
    assert len(transport.requests) >= 10


class Suspended:
    """Waits for ever, without any loop."""

    def __await__(self):
        yield


async def test_gate_gives_nothing_back_for_whoever_is_thrown_away():
    """A task that its dead loop throws away takes no place in the next loop's gate, and gives none back."""
    gate = Gate(1)

    async def stay_inside():
        async with gate:
            await Suspended()

    forgotten, current = stay_inside(), stay_inside()
    forgotten.send(None)
    gate.reset()
    current.send(None)
    forgotten.close()

    with anyio.move_on_after(1.0) as scope:
        async with gate:
            pytest.fail("Two were inside.")
    assert scope.cancelled_caught
    with pytest.raises(ZeroDivisionError):
        current.throw(ZeroDivisionError)


async def test_connections_of_a_dead_loop_are_not_used_again(monkeypatch):
    """A request that its dead loop throws away takes its connection along."""
    transport = Transport(PANEL, Secret(KEY))
    first, second = ScriptedTransport(Suspended), ScriptedTransport(answer(BALANCE))
    made = [first, second]
    monkeypatch.setattr(transport, "_make", lambda **_: made.pop(0))

    forgotten = transport.send(ask(PANEL, "balance"), limit=1000)
    forgotten.send(None)
    transport.forget()
    forgotten.close()
    for _ in range(2):
        await transport.send(ask(PANEL, "balance"), limit=1000)

    assert (len(first.requests), len(second.requests)) == (1, 2)

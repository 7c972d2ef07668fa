"""What becomes of calls when the client is closed."""

import anyio
import pytest

import smm_async as smm
from tests.calling import (
    ASKED,
    BALANCE,
    DONE,
    ORDER,
    PLACED,
    READS,
    WRITES,
    Outcomes,
    bodies,
    client_on,
    every_read,
    every_write,
)
from tests.scripted_transport import Held, ScriptedTransport, after, never
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name


@every_read
async def test_reads_are_answered_at_the_instant_of_closing(read):
    """Closing answers all reads at once, in flight or not, and says what was asked for."""
    transport = ScriptedTransport(never)

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        async with client_on(transport, max_in_flight=1) as client:
            outcomes.start(read, client)
            outcomes.start(read, client)
            await transport.wait_for_requests(1)
            await let_others_run()

    assert outcomes.types == [(0.0, smm.ClosedError)] * 2
    assert transport.open == 0
    assert [error.action for _, error in outcomes.kept] == [bodies(transport)[0].partition("&")[0]] * 2


@every_write
async def test_write_in_flight_has_the_grace_time_to_be_answered(write):
    """Closing waits for a write on its way, and its caller gets the answer."""
    transport = ScriptedTransport(after(6.0, DONE))

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        async with client_on(transport) as client:
            outcomes.start(write, client)
            await transport.wait_for_requests(1)
        closed_at = anyio.current_time() - outcomes._started

    ((at, outcome),) = outcomes.kept
    assert at == 6.0
    assert closed_at == pytest.approx(6.0, abs=0.01)
    assert not isinstance(outcome, Exception)
    assert transport.is_closed


@every_write
@pytest.mark.parametrize("grace", [0.0, 3.0])
async def test_write_unanswered_after_the_grace_time_is_in_doubt(write, grace):
    """A write that is still unanswered then may have been carried out."""
    transport = ScriptedTransport(never)

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        async with client_on(transport, grace=grace) as client:
            outcomes.start(write, client)
            await transport.wait_for_requests(1)

    assert outcomes.types == [(grace, smm.OutcomeUnknownError)]
    assert (transport.open, transport.is_closed) == (0, True)


@every_write
async def test_write_that_waits_for_a_slot_is_closed_and_not_sent(write):
    """Closing answers at once what was not sent, and a slot that becomes free in the grace time is not used."""
    held = Held(ASKED)
    transport = ScriptedTransport(held)

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        async with client_on(transport, max_in_flight=1) as client:
            outcomes.start(client.refill, 7)
            await transport.wait_for_requests(1)
            outcomes.start(write, client)
            await let_others_run()
            tasks.start_soon(client.aclose)
            await let_others_run()
            assert outcomes.types == [(0.0, smm.ClosedError)]
            held.release()

    assert outcomes.kept[1][1] == "1"
    assert bodies(transport) == ["refill&order=7"]


async def test_call_in_the_same_instant_as_closing_is_closed():
    """A call whose task had no time to begin is answered too."""
    transport = ScriptedTransport(BALANCE)

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        client = client_on(transport)
        await client.balance()
        outcomes.start(client.add, ORDER)
        outcomes.start(client.aclose)

    assert [type(outcome) for _, outcome in outcomes.kept] in (
        [smm.ClosedError, type(None)],
        [type(None), smm.ClosedError],
    )
    assert bodies(transport) == ["balance"]


@pytest.mark.parametrize("call", [*WRITES.values(), *READS.values()], ids=[*WRITES, *READS])
async def test_call_after_closing_is_closed(call):
    """A closed client says so at once, and sends nothing."""
    transport = ScriptedTransport(BALANCE)

    client = client_on(transport)
    await client.aclose()
    await client.aclose()
    with pytest.raises(smm.ClosedError):
        await call(client)

    assert transport.requests == []


async def test_closing_twice_at_once_ends_with_the_last_write():
    """Two tasks that close the client both go on when the write on its way is answered."""
    transport = ScriptedTransport(after(3.0, PLACED))

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        client = client_on(transport)
        outcomes.start(client.add, ORDER)
        await transport.wait_for_requests(1)
        outcomes.start(client.aclose)
        await anyio.sleep(1.0)
        outcomes.start(client.aclose)

    assert outcomes.kept == [(3.0, "23501"), (3.0, None), (3.0, None)]


async def test_closing_waits_for_each_of_several_writes():
    """The grace time is not over with the first write that is answered."""
    transport = ScriptedTransport(after(1.0, PLACED), after(4.0, PLACED))

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        client = client_on(transport)
        outcomes.start(client.add, ORDER)
        outcomes.start(client.add, ORDER)
        await transport.wait_for_requests(2)
        outcomes.start(client.aclose)

    assert outcomes.kept == [(1.0, "23501"), (4.0, "23501"), (4.0, None)]


async def test_closing_goes_on_when_it_is_cancelled():
    """Cancelling whoever closes the client does not leave it half open."""
    transport = ScriptedTransport(after(3.0, PLACED))

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        client = client_on(transport)
        outcomes.start(client.add, ORDER)
        await transport.wait_for_requests(1)
        closing = outcomes.start(client.aclose)
        await anyio.sleep(1.0)
        closing.cancel()

    assert outcomes.kept[0] == (3.0, "23501")
    assert transport.is_closed

"""How long a call may take, and what it ends as."""

import contextlib
import functools

import anyio
import httpx
import pytest

import smm_async as smm
from tests.calling import (
    BALANCE,
    ORDER,
    READS,
    WRITES,
    Outcomes,
    bodies,
    client_on,
)
from tests.scripted_transport import ScriptedTransport, answer, never
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name


@pytest.mark.parametrize(("call", "seconds"), [(WRITES["add"], 60.0), (READS["balance"], 30.0)], ids=["write", "read"])
async def test_call_that_gets_no_slot_within_its_budget_is_not_sent(call, seconds):
    """Waiting for a slot counts: whoever gets none has sent nothing, and may repeat it."""
    transport = ScriptedTransport(never)

    async with anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        async with client_on(transport, max_in_flight=1, grace=0.0) as client:
            tasks.start_soon(functools.partial(raised_away, client.call, "hang"))
            await transport.wait_for_requests(1)
            outcomes.start(call, client)
            await anyio.sleep(100.0)

    assert outcomes.types[0] == (seconds, smm.NotSentError)
    assert bodies(transport) == ["hang"]


async def raised_away(call, *args):
    """Make a call whatever comes of it."""
    with contextlib.suppress(smm.SmmError):
        await call(*args)


@pytest.mark.parametrize(
    ("call", "at", "error_type"),
    [
        (READS["balance"], 5.0, smm.NoAnswerError),
        (READS["status"], 5.0, smm.NoAnswerError),
        (WRITES["add"], 7.0, smm.OutcomeUnknownError),
        (WRITES["call"], 7.0, smm.OutcomeUnknownError),
    ],
    ids=["balance", "status", "add", "call"],
)
async def test_call_in_flight_at_the_end_of_its_budget_is_ended(call, at, error_type):
    """Reads and writes have budgets of their own; a write that may have left ends in doubt, and its request too."""
    transport = ScriptedTransport(never)

    async with client_on(transport, budget=5.0, write_budget=7.0) as client, anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        outcomes.start(call, client)
        await anyio.sleep(8.0)
        assert outcomes.types == [(at, error_type)]
        assert transport.open == 0
        assert client.unsettled() == []


async def test_slot_of_a_hanging_request_is_free_after_its_budget():
    """What hangs holds its slot no longer than its budget."""
    transport = ScriptedTransport(never, never, BALANCE)

    async with client_on(transport, max_in_flight=2) as client, anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        for _ in range(2):
            outcomes.start(client.balance)
        await anyio.sleep(10.0)
        assert (await client.balance()).currency == "USD"
        assert outcomes.types == [(30.0, smm.NoAnswerError)] * 2
        assert anyio.current_time() - outcomes._started == pytest.approx(30.0, abs=0.1)


async def test_budget_holds_over_all_attempts():
    """Repetitions and the pauses before them do not add to the budget."""
    busy = answer({"error": "Too many requests"}, 429, retry_after="4")
    transport = ScriptedTransport(busy, never)

    async with client_on(transport, budget=6.0) as client, anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        outcomes.start(client.balance)
        await anyio.sleep(8.0)

    assert outcomes.types == [(6.0, smm.NoAnswerError)]
    assert len(transport.requests) == 2


class StuckTransport(httpx.AsyncBaseTransport):
    """Never gets as far as to take what is to be sent."""

    async def handle_async_request(self, request):
        """Wait for ever."""
        await anyio.sleep_forever()


async def test_write_that_is_still_connecting_at_the_end_of_its_budget_is_not_sent():
    """A write of which the panel cannot have got anything may be repeated."""
    async with client_on(StuckTransport(), write_budget=5.0) as client:
        with pytest.raises(smm.NotSentError):
            await client.add(ORDER)
        assert client.unsettled() == []

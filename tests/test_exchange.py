"""Requests that are not merged: what is sent, once or again, and who hears of it."""

import traceback

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async.panels import STANDARD_ACTIONS
from tests.calling import (
    ASKED,
    BALANCE,
    DONE,
    KEY,
    READS,
    WRITES,
    Outcomes,
    bodies,
    client_on,
    direct_read,
    every_read,
    every_write,
)
from tests.scripted_transport import Held, ScriptedTransport, after, answer, failure, refused
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name


@pytest.mark.parametrize("call", [*WRITES.values(), *READS.values()], ids=[*WRITES, *READS])
async def test_call_is_not_sent_when_its_caller_leaves_before_its_turn(call):
    """Whoever is cancelled while no slot is free has asked for nothing."""
    held = Held(BALANCE)
    transport = ScriptedTransport(held)

    async with client_on(transport, max_in_flight=1) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.balance)
        await transport.wait_for_requests(1)
        waiting = Outcomes(tasks).start(call, client)
        await let_others_run()
        waiting.cancel()
        await let_others_run()
        held.release()
        await client.balance()

    assert bodies(transport) == ["balance", "balance"]


@every_write
async def test_write_in_flight_goes_on_when_its_caller_leaves(write):
    """A write that is on its way is carried to its end, whoever is cancelled; what came of it can be looked up."""
    transport = ScriptedTransport(after(5.0, DONE))

    async with client_on(transport) as client, anyio.create_task_group() as tasks:
        outcomes = Outcomes(tasks)
        scope = outcomes.start(write, client)
        await transport.wait_for_requests(1)
        scope.cancel()
        await anyio.sleep(1.0)
        assert [one.outcome for one in client.unsettled()] == [None]
        assert transport.open == 1
        await anyio.sleep(4.5)
        assert transport.open == 0
        (left,) = client.unsettled()

    assert left.outcome is not None
    assert not isinstance(left.outcome, Exception)
    assert outcomes.kept == []


@direct_read
async def test_read_in_flight_goes_on_when_its_caller_leaves(read):
    """A read that is on its way is read to its end too, and nobody hears of it."""
    transport = ScriptedTransport(after(5.0, answer([])))

    async with client_on(transport) as client, anyio.create_task_group() as tasks:
        scope = Outcomes(tasks).start(read, client)
        await transport.wait_for_requests(1)
        scope.cancel()
        await anyio.sleep(4.0)
        assert transport.open == 1
        await anyio.sleep(1.5)
        assert transport.open == 0
        assert client.unsettled() == []


async def test_several_writes_of_a_caller_that_leaves_end_with_the_one_in_flight():
    """Of one call's several requests, those that were not begun when it was cancelled are not sent."""
    held = Held(ASKED)
    transport = ScriptedTransport(held)

    async with client_on(transport, max_in_flight=1) as client, anyio.create_task_group() as tasks:
        scope = Outcomes(tasks).start(client.refills, [1, 2, 3])
        await transport.wait_for_requests(1)
        scope.cancel()
        await let_others_run()
        held.release()
        await let_others_run()
        assert transport.open == 0
        assert len(client.unsettled()) == 1

    assert len(transport.requests) == 1


async def test_several_writes_of_a_caller_that_leaves_are_kept_as_far_as_they_came():
    """What the caller had not been told yet can be looked up: what was answered, and what was on its way."""
    held = Held(ASKED)
    transport = ScriptedTransport(ASKED, held)

    async with client_on(transport, max_in_flight=1) as client, anyio.create_task_group() as tasks:
        scope = Outcomes(tasks).start(client.refills, [1, 2])
        await transport.wait_for_requests(2)
        scope.cancel()
        await let_others_run()
        assert len(client.unsettled()) == 2
        held.release()
        await let_others_run()
        assert all(isinstance(one.outcome, dict) for one in client.unsettled())


async def test_several_writes_are_sent_at_once_within_the_gate():
    """One call's several requests do not wait for each other, and each is sent once."""
    transport = ScriptedTransport(after(1.0, ASKED))
    started = anyio.current_time()

    async with client_on(transport, max_in_flight=2) as client:
        answers = await client.cancels([1, 2, 3])
        waited = anyio.current_time() - started

    assert answers == {1: "1", 2: "1", 3: "1"}
    assert sorted(bodies(transport)) == ["cancel&order=1", "cancel&order=2", "cancel&order=3"]
    assert waited == pytest.approx(2.0)


@every_write
@pytest.mark.parametrize(
    ("act", "error_type"),
    [
        (refused, smm.NotSentError),
        (failure(httpx.ReadError("x")), smm.OutcomeUnknownError),
        (answer(b"<html>", 502), smm.OutcomeUnknownError),
        (answer(b"<html>", 200), smm.OutcomeUnknownError),
        (answer(b"", 307, location="https://panel.example/"), smm.OutcomeUnknownError),
        (answer({"error": "Too many requests"}, 429, retry_after="1"), smm.RateLimitedError),
    ],
    ids=["refused", "broken", "bad_gateway", "html", "redirect", "throttled"],
)
async def test_write_is_sent_once(write, act, error_type):
    """Whatever comes of a write, even if nothing was sent or the panel says when, it is not repeated."""
    transport = ScriptedTransport(act)

    async with client_on(transport) as client:
        with pytest.raises(error_type):
            await write(client)
        assert client.unsettled() == []

    assert len(transport.requests) == 1


@every_read
async def test_read_is_asked_three_times_at_most(read):
    """A read that meets nothing but broken connections is sent three times."""
    transport = ScriptedTransport(failure(httpx.ReadError("x")))

    async with client_on(transport) as client:
        with pytest.raises(smm.NoAnswerError) as caught:
            await read(client)

    assert len(transport.requests) == 3
    assert caught.value.action == bodies(transport)[0].partition("&")[0]


async def test_nothing_is_an_answer_to_any_action():
    """A panel may answer null, or nothing at all, to an action that only it knows."""
    transport = ScriptedTransport(*map(answer, [None, b"", False, []]))

    async with client_on(transport) as client:
        assert [await client.call("ping") for _ in range(4)] == [None, None, False, []]
        assert client.unsettled() == []


@pytest.mark.parametrize(
    ("call", "error_type"),
    [(READS["balance"], ZeroDivisionError), (WRITES["call"], smm.OutcomeUnknownError)],
    ids=["read", "write"],
)
async def test_mistake_in_the_client_is_not_hidden(monkeypatch, caplog, call, error_type):
    """What goes wrong in reading an answer, against all rules, reaches the caller; a write is in doubt then."""
    transport = ScriptedTransport(BALANCE)

    async with client_on(transport) as client:
        with monkeypatch.context() as patch:
            patch.setattr(type(client._exchange.reader), "read_value", lambda *_: 1 / 0)
            with pytest.raises(error_type):
                await call(client)
        await client.balance()

    assert ("ZeroDivisionError" in caplog.text) == (error_type is smm.OutcomeUnknownError)


async def test_mistake_in_a_lookup_is_not_hidden(monkeypatch):
    """What goes wrong in reading a batch reaches its callers, and says nothing of what the panel answered."""
    transport = ScriptedTransport(answer({"1": {"status": "Completed", "charge": KEY}}), BALANCE)

    async with client_on(transport) as client:
        with monkeypatch.context() as patch:
            patch.setattr(type(client._exchange.reader), "read_lookup", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError) as caught:
                await client.status(1)
            with pytest.raises(ZeroDivisionError):
                await client.statuses([1, 2])
        await client.balance()

    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert KEY not in repr([frame.f_locals for frame in frames if frame.f_code.co_name == "_look_up"])


async def test_action_that_the_panel_lacks_is_not_asked_for():
    """An action that the panel does not document is refused before any request."""
    panel = smm.Panel("https://panel.example/api/v2", actions={"balance": STANDARD_ACTIONS["balance"]})
    transport = ScriptedTransport(BALANCE)

    async with smm.Client(panel, key=KEY, transport=transport) as client:
        for call in (client.status, client.refill_status, client.refill):
            with pytest.raises(smm.UnsupportedActionError):
                await call(1)
        await client.balance()

    assert bodies(transport) == ["balance"]


async def test_limit_that_a_panel_shows_is_remembered():
    """A panel that names a smaller limit than its documents is asked for no more ids at once from then on."""
    rows = [{str(id_): {"status": "Pending"} for id_ in part} for part in ([1, 2], [3, 4], [5, 6])]
    too_many = answer({"error": "Maximum 2 orders per request"})
    transport = ScriptedTransport(too_many, *map(answer, rows))

    async with client_on(transport) as client:
        found = await client.statuses([1, 2, 3, 4])
        await client.statuses([5, 6])
        assert client.panel.batch_limit == 2

    assert [status.status for status in found.values()] == ["Pending"] * 4
    assert bodies(transport) == [f"status&orders={ids}" for ids in ("1%2C2%2C3%2C4", "1%2C2", "3%2C4", "5%2C6")]


async def test_panel_that_ignores_plural_forms_is_asked_singly():
    """A panel that never answers several ids at once, but each of them alone, is asked for one at a time from then on."""
    transport = PluralIgnorer()

    async with client_on(transport) as client:
        for ids in ([1], [2], [3, 4], [5, 6]):
            found = await client.statuses(ids)
            assert [status.status for status in found.values()] == ["Pending"] * len(ids)
        assert client.panel.actions["status"].many is None

    assert bodies(transport)[-2:] == ["status&order=5", "status&order=6"]


class PluralIgnorer(ScriptedTransport):
    """Answers for one order, and says nothing of several."""

    def __init__(self):
        super().__init__(self._act)

    async def _act(self):
        is_single = b"&order=" in self.requests[-1].body
        return await answer({"status": "Pending"} if is_single else {"error": "Missing parameter"})()


async def test_row_that_cannot_be_read_is_an_error_of_its_id():
    """A row with an impossible value is a bad reply for its own id, and for no other."""
    transport = ScriptedTransport(answer({"1": {"charge": "a lot", "status": "Pending"}, "2": {"status": "Pending"}}))

    async with client_on(transport) as client:
        found = await client.statuses([1, 2])

    assert type(found[1]) is smm.BadReplyError
    assert (found[1].action, found[1].status_code) == ("status", 200)
    assert found[2].status == "Pending"


async def test_rows_that_cannot_be_read_are_left_out_of_a_catalogue(caplog):
    """A catalogue is what can be read of it; the log says how much could not."""
    transport = ScriptedTransport(
        answer([{"service": 1, "rate": "0.9"}, {"service": 2, "rate": "cheap"}, {"name": "x"}])
    )

    async with client_on(transport) as client:
        services = await client.services()

    assert [service.service for service in services] == ["1"]
    assert "2 of 3 rows of 'services'" in caplog.text

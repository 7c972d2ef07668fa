"""Requests that are not merged: reads that may be repeated, writes that may not, and who hears what of them."""

import functools

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async.panels import STANDARD_ACTIONS, Action
from tests.scripted_transport import Held, ScriptedTransport, after, answer, failure, never, refused
from tests.virtual_time import anyio_backend as anyio_backend
from tests.virtual_time import let_others_run

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
        return [(at, type(outcome)) for at, outcome in self.kept]


def bodies(transport):
    return [request.body.decode().removeprefix("key=simulated-key&action=") for request in transport.requests]


# --- Cancelled callers


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


# --- Once, or again


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
    transport = ScriptedTransport(answer(None), answer(b""), answer(False), answer([]))

    async with client_on(transport) as client:
        assert [await client.call("ping") for _ in range(4)] == [None, None, False, []]
        assert client.unsettled() == []


@pytest.mark.parametrize("call", [WRITES["call"], READS["balance"]], ids=["write", "read"])
async def test_mistake_in_the_client_is_not_hidden(monkeypatch, call):
    """What goes wrong in reading an answer, against all rules, is raised to the caller, and the client goes on."""
    transport = ScriptedTransport(BALANCE)

    async with client_on(transport) as client:
        with monkeypatch.context() as patch:
            patch.setattr(type(client._exchange.reader), "read_value", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await call(client)
        await client.balance()


# --- Budgets


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
    try:
        await call(*args)
    except smm.SmmError:
        pass


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
        await anyio.sleep_forever()


async def test_write_that_is_still_connecting_at_the_end_of_its_budget_is_not_sent():
    """A write of which the panel cannot have got anything may be repeated."""
    async with client_on(StuckTransport(), write_budget=5.0) as client:
        with pytest.raises(smm.NotSentError):
            await client.add(ORDER)
        assert client.unsettled() == []


# --- Closing


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
    assert (at, closed_at) == (6.0, pytest.approx(6.0, abs=0.01))
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


# --- What a panel turns out to be like


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
    transport = ScriptedTransport(answer([{"service": 1, "rate": "0.9"}, {"service": 2, "rate": "cheap"}, {"name": "x"}]))

    async with client_on(transport) as client:
        services = await client.services()

    assert [service.service for service in services] == ["1"]
    assert "2 of 3 rows of 'services'" in caplog.text

"""What a client counts, and how it explains when its requests left."""

import contextvars
import gc
import weakref
from typing import Any

import anyio
import attrs
import pytest

import smm_async as smm
from smm_async._errands import one_request
from smm_async._telemetry import Telemetry, WatchedTransport
from smm_async._wire import Question, Reply
from smm_async.events import Reason
from tests.calling import BALANCE, KEY, ORDER, PLACED
from tests.canned import outcome_of
from tests.scripted_transport import Held, ScriptedTransport, after, answer, refused
from tests.test_events import AT_ONCE, STATUS, URL, client_of, statuses
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name

OTHERS = {"answered": 0, "refused": 0, "failed": 0, "retries": 0, "placed": 0, "unknown": 0, "in_flight": 0}


def reasons(client):
    return [one.request.reason for one in client.explain()]


def counted(client, *names):
    return {name: getattr(client.stats, name) for name in names}


async def test_new_client_has_done_nothing():
    """All counters are 0, no ratio divides by nothing, and the explanation says so."""
    client = client_of(BALANCE)

    assert set(attrs.asdict(client.stats).values()) == {0}
    assert (client.stats.fill, client.stats.mean_wait, client.stats.saved_by_merging) == (0.0, 0.0, 0)
    assert str(client.explain()) == "Nothing was sent yet."
    assert len(client.explain()) == 0


async def test_merged_lookups_are_counted():
    """Three lookups of two ids are one request; the snapshot does not change any more."""
    async with client_of(statuses("1", "2")) as client:
        before = client.stats
        async with anyio.create_task_group() as tasks:
            for order in (1, 2, "1"):
                tasks.start_soon(client.status, order)

    assert counted(client, "lookups", "batches", "ids", "places", "requests", "answered") == {
        "lookups": 3,
        "batches": 1,
        "ids": 2,
        "places": 100,
        "requests": 1,
        "answered": 1,
    }
    assert (client.stats.fill, client.stats.saved_by_merging) == (0.02, 2)
    assert before.lookups == 0


async def test_withdrawn_lookups_are_counted():
    """Whoever leaves before its id is sent saves it: each cancelled caller counts once, however it asked."""
    held = Held(statuses("1"))
    async with client_of(held, max_in_flight=1, budget=10.0) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.status, 1)
        await let_others_run()
        assert client.stats.in_flight == 1
        async with anyio.create_task_group() as leaving:
            for order in (2, 2, 3):
                leaving.start_soon(client.status, order)
            leaving.start_soon(client.statuses, [4, 5])
            await let_others_run()
            assert client.stats.waiting == 4
            leaving.cancel_scope.cancel()
        held.release()
        await let_others_run()

    assert counted(client, "lookups", "withdrawn", "requests", "waiting") == {
        "lookups": 6,
        "withdrawn": 5,
        "requests": 1,
        "waiting": 0,
    }
    assert (client.stats.saved_by_merging, client.stats.saved_by_cancelling) == (0, 5)


async def test_lookups_that_nobody_could_send_are_withdrawn():
    """Closing ends those that wait in the queue, and they are still counted afterwards."""
    held = Held(statuses("1"))
    async with anyio.create_task_group() as tasks:
        async with client_of(held, max_in_flight=1) as client:
            for order in (1, 2, 3):
                tasks.start_soon(outcome_of, client.status, order)
                await let_others_run()

    assert counted(client, "lookups", "withdrawn", "waiting", "in_flight", "failed") == {
        "lookups": 3,
        "withdrawn": 2,
        "waiting": 0,
        "in_flight": 0,
        "failed": 1,
    }


async def test_caller_that_is_gone_when_its_turn_comes_is_withdrawn():
    """One that was cancelled at the instant when its batch is formed has not been asked for."""
    async with client_of(statuses("2"), max_delay=1.0) as client, anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def ask_and_leave():
            with scope:
                await client.status(1)

        tasks.start_soon(ask_and_leave)
        tasks.start_soon(client.status, 2)
        await let_others_run()
        batch = client._exchange._coalescers["status"]._queue
        scope.cancel()
        # The cancelled task has not run since, so that it still stands in the queue.
        assert batch.take(100).count() == 1
        assert client.stats.withdrawn == 1
        tasks.cancel_scope.cancel()


async def test_requests_say_why_they_left():
    """Idle, full and paced batches, a follow-up, a repetition, reads and writes are told apart."""
    acts = after(8.0, answer({})), after(8.0, answer({})), statuses("1"), statuses("2"), refused, BALANCE, PLACED
    transport = ScriptedTransport(*acts)
    panel = smm.Panel(URL, batch_limit=2)
    async with smm.Client(panel, key=KEY, transport=transport, max_in_flight=2) as client:
        coalescer = client._exchange._coalescers["status"]
        coalescer._response_time = 8.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outcome_of, client.statuses, [1, 2])
            await anyio.sleep(1.0)
            tasks.start_soon(outcome_of, client.status, 3)
            await anyio.sleep(30.0)
        await client.balance()
        await client.add(ORDER)

    asked_singly = [Reason.FOLLOW_UP, Reason.FOLLOW_UP]
    others = [Reason.UNMERGED, Reason.REPEATED, Reason.WRITE]
    assert reasons(client) == [Reason.FULL, Reason.PACED, *asked_singly, *others]
    paced = list(client.explain())[1].request
    assert paced.waited == pytest.approx(3.0)


async def test_batch_that_lingers_says_so():
    """A batch that waited for company left when max_delay was over, and had waited for so long."""
    async with client_of(statuses("1"), max_delay=0.5) as client:
        await client.status(1)

    (one,) = client.explain()
    assert (one.request.reason, one.request.waited) == (Reason.LINGERED, pytest.approx(0.5))
    assert (client.stats.longest_wait, client.stats.mean_wait) == (pytest.approx(0.5), pytest.approx(0.5))


async def test_halves_of_a_batch_are_extra_requests():
    """A batch that one bad id spoiled is asked for in parts, which save nothing, and say what they are."""
    whole, bad = [str(id_) for id_ in range(1, 9)], answer({"error": "Incorrect order ID"})
    acts = bad, statuses(*whole[:4]), bad, *(statuses(id_) for id_ in whole[4:])
    async with client_of(*acts) as client:
        await client.statuses(whole)

    assert reasons(client)[:3] == [Reason.IDLE, Reason.SPLIT, Reason.SPLIT]
    assert set(reasons(client)[3:]) == {Reason.FOLLOW_UP}
    assert client.stats.extra_requests == len(client.explain()) - 1
    assert client.stats.saved_by_merging == 8 - client.stats.requests


async def test_explanation_is_bounded_and_reads_well():
    """The last hundred requests are kept, and printed a line each, one on its way among them."""
    held = Held(answer(STATUS))
    async with client_of(*[BALANCE] * 120, refused, refused, refused, held) as client:
        for _ in range(120):
            await client.balance()
        await outcome_of(client.balance)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.status, 7)
            await let_others_run()
            explanation = client.explain()
            held.release()

    lines = str(explanation).splitlines()
    assert len(lines) == len(explanation) == 100
    assert lines[-2].startswith("#123 balance: NotSentError after 0.000 s; left because the attempt before had failed")
    assert lines[-1] == f"#124 status of 1 id (7): on its way; {AT_ONCE}"
    assert str(client.explain()).splitlines()[-1].startswith("#124 status of 1 id (7): 200 after 0.000 s")


async def test_refusal_and_giving_up_are_explained():
    """The line of a refused request has both its status code and its error; one given up has neither."""
    async with client_of(answer({"error": "Invalid API key"}, 403), Held(BALANCE), budget=2.0) as client:
        await outcome_of(client.balance)
        await outcome_of(client.balance)

    assert [(one.outcome, one.seconds) for one in client.explain()] == [
        ("403, InvalidKeyError", 0.0),
        ("given up", 2.0),
    ]
    assert counted(client, *OTHERS) == OTHERS | {"answered": 1, "refused": 1, "failed": 1}


class Suspended:
    """Is never done."""

    def __await__(self):
        yield


@pytest.mark.parametrize("is_read", [False, True])
def test_request_that_is_thrown_away_is_told_to_nobody(is_read):
    """A request that goes with its dead loop, on its way or while it is read, is not in flight any more: no more is said."""
    told = []
    telemetry = Telemetry("POST", told.append)
    question, reply = Question("balance", URL, b""), Reply(200, b"")

    class Sender:
        """Answers at once, or never."""

        async def send(self, question, *, limit):
            if not is_read:
                await Suspended()
            return reply

    class Asking:
        """Sends one request, and takes its time to read the answer."""

        @one_request
        async def ask(self):
            await WatchedTransport(Sender(), telemetry).send(question, limit=1)
            await Suspended()

    context = contextvars.copy_context()
    task: Any = context.run(telemetry.carry(lambda asking: asking.ask(), lambda: 1.0), Asking())
    context.run(task.send, None)
    in_flight = telemetry.tally.in_flight
    # In another context, as by the garbage collector.
    task.close()

    assert (in_flight, telemetry.tally.in_flight, len(told)) == (1, 0, 1)


def test_what_is_kept_of_a_request_does_not_wait_for_the_garbage_collector():
    """It goes, with all its ids, when neither its task nor the explanation holds it any more."""
    telemetry = Telemetry("POST", None)
    context = contextvars.copy_context()
    context.run(telemetry.carry(lambda _: Suspended(), lambda: 1.0), None)
    gc.disable()
    try:
        sent = weakref.ref(context.run(telemetry.start, Question("balance", URL, b""), is_write=False))
        assert sent() is telemetry._last.pop()
        del context
        assert sent() is None
    finally:
        gc.enable()

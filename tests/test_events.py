"""What a client tells its hook of requests and orders, and in its log."""

import contextvars
import gc
import logging
import re

import anyio
import pytest

import smm_async as smm
from smm_async import events
from smm_async.events import Reason
from tests.calling import BALANCE, KEY, ORDER, client_on
from tests.canned import all_at_once, outcome_of
from tests.scripted_transport import ScriptedTransport, after, answer, never, refused
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

STATUS = {"charge": "1.5", "start_count": "3", "status": "Pending", "remains": "4", "currency": "USD"}
AT_ONCE = "left at once: nothing like it was on its way, after 0.000 s at most"
URL = "https://panel.example/api/v2"


def statuses(*ids):
    """Return an act that answers about some ids."""
    return answer(dict.fromkeys(ids, STATUS))


def client_of(*acts, **options):
    return smm.Client(URL, key=KEY, transport=ScriptedTransport(*acts), **options)


def names(told):
    return [type(event).__name__ for event in told]


async def test_request_is_told_when_sent_and_when_answered():
    """Both events have the same record of the request, with all ids and the number of lookups; the key is in neither."""
    told = []
    async with client_of(after(2.0, statuses("1", "2")), on_event=told.append) as client:
        async with anyio.create_task_group() as tasks:
            for order in (1, 2, "1"):
                tasks.start_soon(client.status, order)

    sent, answered = told
    request = sent.request
    assert (request.number, request.action, request.method, request.url) == (1, "status", "POST", URL)
    assert (sorted(request.ids), request.lookups, request.reason) == (["1", "2"], 3, Reason.IDLE)
    assert (request.attempt, request.waited) == (1, pytest.approx(0.0, abs=1e-6))
    assert answered == events.RequestAnswered(request, 200, 2.0, None)
    assert KEY not in repr(told)


async def test_refusal_is_told_with_the_answer():
    """An answer that refuses everything carries its error, a copy of its own without frames."""
    told = []
    async with client_of(answer({"error": "Invalid API key"}), on_event=told.append) as client:
        error = await outcome_of(client.status, 1)

    assert type(told[1].error) is type(error) is smm.InvalidKeyError
    assert told[1].error is not error
    assert told[1].error.__traceback__ is None
    assert client.stats.refused == 1


async def test_repeated_read_is_told():
    """A read that could not be sent is told as failed, then that it will be repeated, and is sent again."""
    told = []
    async with client_of(refused, BALANCE, on_event=told.append) as client:
        await client.balance()

    assert names(told) == ["RequestSent", "RequestFailed", "Retried", "RequestSent", "RequestAnswered"]
    failed, retried, again = told[1:4]
    assert type(failed.error) is type(retried.error) is smm.NotSentError
    assert retried.request is failed.request
    assert again.request.sent_at == pytest.approx(failed.request.sent_at + retried.pause)
    assert [told[0].request.reason, again.request.reason] == [Reason.UNMERGED, Reason.REPEATED]
    assert again.request.attempt == 2


async def test_request_given_up_is_told():
    """At the end of its budget a request has failed without an error of its own."""
    told = []
    async with client_of(never, budget=3.0, on_event=told.append) as client:
        await outcome_of(client.status, 1)

    assert told[1:] == [events.RequestFailed(told[0].request, None, 3.0)]


async def test_lost_write_is_told():
    """A write whose answer is lost is told as unknown, with the ids in question; one that was not sent is not."""
    told = []
    panel = smm.Panel(URL)
    transport = ScriptedTransport(answer(b"<html>", 502), refused, answer([{"order": 7, "cancel": 1}, {"order": 8}]))
    async with smm.Client(panel, key=KEY, transport=transport, on_event=told.append) as client:
        error = await outcome_of(client.add, ORDER)
        await outcome_of(client.refill, 1)
        await outcome_of(client.cancels, [7, 8])

    unknown = [event for event in told if isinstance(event, events.OutcomeUnknown)]
    assert [(event.action, event.ids) for event in unknown] == [("add", ()), ("cancel", ("8",))]
    assert str(unknown[0].error) == str(error)
    assert client.stats.unknown == 2


async def test_hook_that_raises_hurts_nobody(caplog):
    """Every caller gets its answer; what the hook raises is logged once, at ERROR, and the hook is called on."""
    calls = []

    def hook(event):
        calls.append(event)
        raise LookupError("a bug in the hook")

    async with client_of(BALANCE, on_event=hook) as client:
        await client.balance()
        await client.balance()

    assert len(calls) == 4
    assert [(record.levelname, record.name) for record in caplog.records] == [("ERROR", "smm_async")]
    assert "a bug in the hook" in caplog.text


def test_async_hook_is_refused():
    """Nobody would await what an async function returns."""

    async def hook(_):
        """Do nothing."""

    class Hook:
        """Has an async call."""

        async def __call__(self, _):
            """Do nothing."""

    for wrong in (hook, Hook(), "hook"):
        with pytest.raises(ValueError, match="on_event must be a function that is not async"):
            smm.Client(URL, key=KEY, on_event=wrong)


class Capturing:
    """Captures a context variable of each caller."""

    def __init__(self):
        self.who = contextvars.ContextVar("who", default=None)
        self.told = []

    def capture(self):
        """Return who asks."""
        if self.who.get() == "nobody":
            raise LookupError("a bug in the hook")
        return self.who.get()

    def __call__(self, event):
        """Keep the event, which comes where no caller's variables are."""
        assert self.who.get() is None
        self.told.append(event)


async def test_callers_are_captured_for_their_requests():
    """A request has what was captured of each caller, once each, in every way of asking, and again in a follow-up."""
    hook = Capturing()
    half = ScriptedTransport(statuses("1", "3"), statuses("2"), BALANCE, statuses("9"))

    async def ask(who, call, *args):
        hook.who.set(who)
        await call(*args)

    async def read(ids):
        async with client.stream_statuses(ids) as results:
            assert len([result async for result in results]) == len(ids)

    async with smm.Client(URL, key=KEY, transport=half, on_event=hook) as client:
        async with anyio.create_task_group() as tasks:
            for who, call, args in (
                ("a", client.status, [1]),
                ("b", client.status, [2]),
                ("c", client.statuses, [[1, 3]]),
                (None, client.status, [3]),
                ("d", read, [[3, 1]]),
            ):
                tasks.start_soon(ask, who, call, *args)
        await ask("e", client.balance)
        await ask("nobody", client.status, 9)
        gc.collect()

    sent = [event.request for event in hook.told if isinstance(event, events.RequestSent)]
    assert [set(request.askers) for request in sent] == [set("abcd"), {"b"}, {"e"}, set()]
    assert [len(request.askers) for request in sent] == [4, 1, 1, 0]
    assert len(client._exchange._telemetry.teller._captured) == 0


async def test_texts_that_a_hook_captures_say_who_shared_a_request():
    """What is printed of a request names its callers where the hook has names for them; long names stay on one line."""

    class Hook:
        """Captures who asks."""

        def __call__(self, event):
            """Need nothing of events."""

        def capture(self):
            """Return the name of the caller, or what is none."""
            return who.get()

    who = contextvars.ContextVar("who")

    async def ask(name, order):
        who.set(name)
        await client.status(order)

    async with client_of(statuses("1", "2", "3"), statuses("1", "2", "3", "4", "5"), on_event=Hook()) as client:
        async with anyio.create_task_group() as tasks:
            for order, name in enumerate(["shop", 7, "re\nport"], 1):
                tasks.start_soon(ask, name, order)
        async with anyio.create_task_group() as tasks:
            for order in range(1, 6):
                tasks.start_soon(ask, f"task {order}", order)

    first, second = map(str, client.explain())
    # trio starts tasks in any order.
    assert {"shop", "re port"} == set(first.partition(" by ")[2].partition(":")[0].split(", "))
    assert re.search(r" for 5 lookups by task \d, task \d, task \d \.\.\. task \d: 200 after", second)


async def test_each_request_is_one_line_of_the_log_at_debug(caplog):
    """The line says what was asked, why it left then and what came of it, without the key."""
    caplog.set_level(logging.DEBUG, "smm_async")

    async with client_of(after(0.25, statuses("1", "2", "3", "4", "5")), BALANCE) as client:
        await client.statuses([1, 2, 3, 4, 5])
        await client.balance()

    assert [record.getMessage() for record in caplog.records if record.name == "smm_async"] == [
        "#1 status of 5 ids (1, 2, 3 ... 5) for 5 lookups: 200 after 0.250 s; " + AT_ONCE,
        "#2 balance: 200 after 0.000 s; left by itself: such reads are not merged, after 0.000 s at most",
    ]
    assert KEY not in caplog.text


async def test_no_record_is_made_for_nobody(monkeypatch):
    """Without a hook and DEBUG no event is built."""

    def complain(*args):
        raise AssertionError("a record was built")

    monkeypatch.setattr(logging.getLogger("smm_async"), "level", logging.INFO)
    for name in ("_errands.Request", "_telemetry.RequestSent", "_errands.RequestAnswered", "_errands.Explained"):
        monkeypatch.setattr(f"smm_async.{name}", complain)
    async with client_of(statuses("1", "2"), BALANCE) as client:
        await all_at_once(client.status, [1, 2])
        await client.balance()

    assert client.stats.requests == 2


async def test_closing_is_told_before_it_ends():
    """A write without an answer after the grace time is given up, and unknown."""
    told = []
    async with anyio.create_task_group() as tasks:
        transport = ScriptedTransport(never)
        async with client_on(transport, grace=1.0, on_event=told.append) as client:
            tasks.start_soon(outcome_of, client.refill, 1)
            await transport.wait_for_requests(1)

    assert names(told) == ["RequestSent", "RequestFailed", "OutcomeUnknown"]
    assert told[2].ids == ("1",)
    assert client.stats.in_flight == 0

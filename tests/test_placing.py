"""What comes of a write, whatever goes wrong: never a second request, and never a wrong certainty."""

from decimal import Decimal

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async.testing import Fault
from tests.placing import (
    KEY,
    ORDER,
    PLACED,
    PLACING,
    SINGLE,
    WRITES,
    client_of,
    every_placing,
    every_single,
    every_write,
    is_certain_wrongly,
    journal,  # noqa: F401  a fixture is used by its name
    outcome_of,
    panel,  # noqa: F401
    state_for,
    threadless,  # noqa: F401
)
from tests.virtual_time import anyio_backend  # noqa: F401

UNKNOWN, NOT_SENT = smm.OutcomeUnknownError, smm.NotSentError
LATER = "There was an error processing your request. Please try again later."

REFUSALS = {
    "words": (Fault.error("Incorrect request"), smm.UnsupportedActionError),
    "other_field": (Fault.error("Comments is required"), smm.PanelError),
    "payment_required": (Fault.error("Not enough funds on balance", status=402), smm.NotEnoughFundsError),
    "not_found": (Fault.error("Incorrect service ID", status=404), smm.UnknownServiceError),
    "rate_limited": (Fault.rate_limited(1.0), smm.RateLimitedError),
    "rate_limited_with_200": (Fault.rate_limited(status=200), smm.RateLimitedError),
    "maintenance": (Fault.error("Maintenance"), smm.MaintenanceError),
    "key": (Fault.error("Invalid API key", status=401), smm.InvalidKeyError),
}
IN_DOUBT = {
    "strange_words": Fault.error("The moon is full"),
    "lost_answer": Fault.lost_answer(),
    "lost_before": Fault.lost_answer(executed=False),
    "cut": Fault.cut(3),
    "cut_before_the_body": Fault.cut(),
    "stalled": Fault.stall(),
    "stalled_after": Fault.stall(executed=True),
    "html": Fault.html(200, executed=True),
    "html_403": Fault.html(403, executed=True),
    "html_502": Fault.html(502),
    "server_error": Fault.server_error(500, executed=True),
    "server_error_before": Fault.server_error(500),
    "refusal_with_503": Fault.server_error(503, text="Not enough funds on balance", executed=True),
    "empty": Fault.raw("", executed=True),
    "null": Fault.raw("null", executed=True),
    "half_json": Fault.raw('{"order": 1', executed=True),
    "redirect": Fault.raw("", status=302, headers={"location": "https://example.com/"}, executed=True),
    "too_large": Fault.raw(b" " * 300_000, executed=True),
    "not_gzip": Fault.raw("{}", headers={"content-encoding": "gzip"}, executed=True),
    "empty_error": Fault.error("", executed=True),
    "blank_error": Fault.error(" ", executed=True),
    "no_text": Fault.raw('{"error": true}', executed=True),
    "try_again": Fault.error(LATER, executed=True),
    "try_again_400": Fault.error(LATER, status=400, executed=True),
    "timeout_text": Fault.error("Request timed out", executed=True),
    "failed": Fault.error("Failed", executed=True),
    "id_and_error": Fault.raw('{"order": 7, "refill": 7, "cancel": 7, "error": "Bad link"}', executed=True),
    "true_for_an_id": Fault.raw('{"order": true, "refill": true}', executed=True),
    "list": Fault.raw("[1]", executed=True),
    "words": Fault.raw('"Thank you"', executed=True),
}
ALL = {**{name: fault for name, (fault, _) in REFUSALS.items()}, **IN_DOUBT, "unreachable": Fault.refuse()}
ALL |= {"success_without_id": Fault.raw('{"status": "success"}', executed=True)}
with_journal = pytest.mark.parametrize("has_journal", [False, True], ids=["bare", "journal"])
pytestmark = pytest.mark.usefixtures("threadless")


@every_write
async def test_write_that_is_carried_out_returns_what_the_panel_said(panel, name):
    """Without any trouble a write is one request, and its value the panel's own id or word."""
    async with client_of(panel) as client:
        outcome = await outcome_of(WRITES[name](client))

    values = {
        "add": "5",
        "add_product_order": "1",
        "refill": "1",
        "cancel": "1",
        "refills": {1: "1", 2: "2"},
        "cancels": {3: "1", 4: "1"},
    }
    assert outcome == values[name]
    assert panel.count() == 1
    assert len(panel.executed) == (2 if name in {"refills", "cancels"} else 1)


@with_journal
@every_single
@pytest.mark.parametrize(("fault", "error_type"), REFUSALS.values(), ids=REFUSALS)
async def test_write_that_is_refused_raises_the_panels_no(panel, journal, name, fault, error_type, has_journal):
    """A clear no is the panel's error, in its own words; nothing was bought."""
    panel.fault(fault)

    async with client_of(panel, journal=journal if has_journal else None) as client:
        outcome = await outcome_of(SINGLE[name](client))

    assert type(outcome) is error_type
    assert outcome.action == name
    assert panel.executed == []
    assert panel.count() == 1
    if has_journal and name in PLACING:
        (entry,) = await journal.entries()
        assert (entry.state, entry.note, entry.order) == (state_for(outcome), str(outcome), None)


@with_journal
@every_single
async def test_write_to_a_panel_that_cannot_be_reached_is_not_sent(panel, journal, name, has_journal):
    """Where there is no connection nothing was sent, and the same call may be made again."""
    panel.fault(Fault.refuse())

    async with client_of(panel, journal=journal if has_journal else None) as client:
        assert type(await outcome_of(SINGLE[name](client))) is NOT_SENT
        assert not isinstance(await outcome_of(SINGLE[name](client)), Exception)

    assert len(panel.executed) == panel.count() == 1


@with_journal
@every_single
@pytest.mark.parametrize("fault", IN_DOUBT.values(), ids=IN_DOUBT)
async def test_write_without_a_clear_answer_is_in_doubt(panel, journal, name, fault, has_journal):
    """What proves neither a yes nor a no is unknown, is sent once, and stays open in the journal."""
    panel.fault(fault)

    async with client_of(panel, journal=journal if has_journal else None) as client:
        outcome = await outcome_of(SINGLE[name](client))
        assert client.unsettled() == []

    assert type(outcome) is UNKNOWN
    assert outcome.action == name
    assert not outcome.retryable
    assert len(panel.executed) == fault.executed
    assert panel.count() == 1
    if has_journal and name in PLACING:
        (entry,) = await journal.unknown()
        assert entry.ref == outcome.ref
        assert entry.note


@every_write
@pytest.mark.parametrize("fault", ALL.values(), ids=ALL)
async def test_write_is_never_certain_wrongly(panel, name, fault):
    """Whatever happens, a value means that it was done, a no that it was not, and nothing is sent twice."""
    panel.fault(fault, times=None)

    async with client_of(panel) as client:
        outcome = await outcome_of(WRITES[name](client))

    outcomes = list(outcome.values()) if isinstance(outcome, dict) else [outcome]
    was_executed = len(panel.executed) > 0
    assert not any(is_certain_wrongly(one, was_executed=was_executed) for one in outcomes)
    assert panel.count() <= 1


@every_placing
async def test_order_without_an_id_is_in_doubt(panel, name):
    """A success without an id is no order that anybody could ask about."""
    panel.fault(Fault.raw('{"status": "success", "message": "Thank you"}', executed=True))

    async with client_of(panel) as client:
        assert type(await outcome_of(PLACING[name](client))) is UNKNOWN


async def test_error_for_all_does_not_take_what_was_done_along():
    """Of several requests, those that were carried out are told, although a later one found the account closed."""
    one_by_one = smm.panels.D3MWORLD

    def respond(request):
        is_first = b"order=1" in request.content
        return httpx.Response(200, json={"refill": 7} if is_first else {"error": "Account suspended"})

    async with smm.Client(one_by_one, key=KEY, transport=httpx.MockTransport(respond)) as client:
        found = await client.refills([1, 2])

    assert found[1] == "7"
    assert type(found[2]) is smm.AccountError


@pytest.mark.parametrize("error_type", [smm.AccountError, smm.InvalidKeyError, smm.ClosedError])
async def test_error_for_all_is_raised_where_nothing_was_done(panel, error_type):
    """If nobody is answered, the call as a whole is refused."""
    texts = {smm.AccountError: "Account suspended", smm.InvalidKeyError: "Invalid API key"}
    panel.fault(Fault.error(texts.get(error_type, "")), times=None)

    async with client_of(panel) as client:
        if error_type is smm.ClosedError:
            await client.aclose()
        assert type(await outcome_of(client.refills([1, 2]))) is error_type


async def test_refills_of_nothing_ask_nothing(panel):
    """No ids are no request and no outcome."""
    async with client_of(panel) as client:
        assert await client.refills([]) == {}

    assert panel.count() == 0


async def test_file_never_holds_the_key(panel, journal, tmp_path):
    """Whatever a panel echoes, the key is in no byte of the journal's files."""
    texts = [f"Key {KEY} is unknown to me", f"{KEY}{KEY}"]

    async with client_of(panel, journal=journal) as client:
        for text in texts:
            panel.fault(Fault.error(text))
            await outcome_of(client.add(ORDER))
            panel.fault(Fault.html(500, body=text.encode()))
            await outcome_of(client.add(ORDER))
        await client.add(ORDER)

    assert len(await journal.entries()) == 5
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()


class Repeating(httpx.AsyncBaseTransport):
    """Sends everything twice, as transports do that repeat what failed."""

    def __init__(self, inner):
        self._inner = inner

    async def handle_async_request(self, request):
        first = await self._inner.handle_async_request(request)
        await first.aclose()
        again = httpx.Request(request.method, request.url, headers=request.headers, stream=request.stream)
        return await self._inner.handle_async_request(again)


class Taking(httpx.AsyncBaseTransport):
    """Takes the stream out of a request, as transports do that hand it to another library."""

    def __init__(self, inner):
        self._inner = inner

    async def handle_async_request(self, request):
        parts = [part async for part in request.stream]
        return await self._inner.handle_async_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=b"".join(parts))
        )


@every_single
async def test_transport_that_repeats_writes_cannot(panel, name):
    """A transport that would send a write once more gets nothing to send: the outcome is unknown, one was executed."""
    transport = Repeating(Taking(panel.transport()))

    async with client_of(panel, transport=transport) as client:
        outcome = await outcome_of(SINGLE[name](client))
        assert (await client.balance()).balance > 0

    assert type(outcome) is UNKNOWN
    assert len(panel.executed) == panel.count(name) == 1
    assert panel.count("balance") == 2


class Rude(httpx.AsyncBaseTransport):
    """Answers in full, and then fails to close."""

    def __init__(self, inner, error):
        self._inner = inner
        self._error = error

    async def handle_async_request(self, request):
        response = await self._inner.handle_async_request(request)
        content = b"".join([part async for part in response.stream])
        response.stream = _NeverClosed(content, self._error)
        return response


class _NeverClosed(httpx.AsyncByteStream):
    def __init__(self, content, error):
        self._content = content
        self._error = error

    def __aiter__(self):
        return aiter(httpx.ByteStream(self._content))

    async def aclose(self):
        raise self._error


@every_single
async def test_answer_counts_although_its_connection_cannot_be_closed(panel, name):
    """An id that has come is not lost because the goodbye fails."""
    transport = Rude(panel.transport(), httpx.ReadError("gone"))

    async with client_of(panel, transport=transport) as client:
        assert await SINGLE[name](client)


@every_single
@with_journal
async def test_mistake_in_reading_an_answer_leaves_the_write_in_doubt(
    panel, journal, name, has_journal, monkeypatch, caplog
):
    """Even an error that nobody thought of never means that a write was not carried out."""
    async with client_of(panel, journal=journal if has_journal else None) as client:
        monkeypatch.setattr(type(client._exchange.reader), "read_value", lambda *_: 1 / 0)
        outcome = await outcome_of(SINGLE[name](client))

    assert type(outcome) is UNKNOWN
    assert "ZeroDivisionError" in caplog.text
    assert len(panel.executed) == 1
    if has_journal and name in PLACING:
        (entry,) = await journal.unknown()
        assert entry.ref == outcome.ref


async def test_errors_without_a_class_of_ours_are_in_doubt_too(panel, journal):
    """A transport that raises what it likes leaves an order in doubt, once it has taken the body."""

    def respond(request):
        request.read()
        raise MemoryError

    async with client_of(panel, transport=httpx.MockTransport(respond), journal=journal) as client:
        outcome = await outcome_of(client.add(ORDER))

    assert type(outcome) is UNKNOWN
    assert len(await journal.unknown()) == 1


@pytest.mark.parametrize("error", [httpx.ReadError("x"), httpx.ProxyError("x"), OSError(104, "x")], ids=repr)
async def test_write_whose_body_nobody_took_is_not_sent(panel, error):
    """Whatever breaks before the body is taken: the panel has nothing to act upon."""

    class Broken(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            raise error

    async with client_of(panel, transport=Broken()) as client:
        assert type(await outcome_of(client.add(ORDER))) is NOT_SENT


@pytest.mark.parametrize(("error", "error_type"), [("ConnectError", NOT_SENT), ("ReadError", UNKNOWN)])
async def test_write_in_an_address_has_left_with_it(error, error_type):
    """Where the fields are in the address, only the library's own word proves that nothing left."""
    panel = smm.Panel("https://panel.example/api/v2", method="GET", bearer=True)

    def respond(request):
        assert request.url.params["action"] == "add"
        raise getattr(httpx, error)("x")

    async with smm.Client(panel, key=KEY, transport=httpx.MockTransport(respond)) as client:
        assert type(await outcome_of(client.add(ORDER))) is error_type


async def test_orders_of_many_callers_are_each_sent_once(panel, journal):
    """A hundred callers at once place a hundred orders, no two of them merged, each with its own id."""
    placed = []

    async def one(client, number):
        placed.append(await client.add(ORDER, ref=f"row {number}"))

    async with client_of(panel, journal=journal) as client, anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(one, client, number)

    assert sorted(map(int, placed)) == list(range(5, 105))
    assert len(panel.executed) == panel.count() == 100
    assert {entry.state for entry in await journal.entries()} == {PLACED}
    assert panel.balance == Decimal("1000.005") - 9

"""Which requests a transport gets, what becomes of what it raises, and how many it gets at a time."""

import contextlib
import traceback

import anyio
import httpx
import httpx2
import pytest
import respx

import smm_async as smm
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask
from tests.scripted_transport import ScriptedTransport, answer, failure, never
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401  a fixture is used by its name

KEY = "simulated-key"
PANEL = smm.Panel("https://panel.example/api/v2")
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
BALANCE = {"balance": "1.50", "currency": "USD"}


def client_on(transport, **kwargs):
    return smm.Client(PANEL, key=KEY, transport=transport, **kwargs)


async def send(transport, panel=PANEL):
    return await Transport(panel, Secret(KEY), transport).send(ask(panel, "balance"), limit=1000)


def test_transport_of_no_known_kind_is_refused():
    """What is no transport is refused when the client is made, and named by its class."""
    complaint = r"must be an httpx\.AsyncBaseTransport, not HTTPTransport"

    with httpx.HTTPTransport() as transport, pytest.raises(ValueError, match=complaint):
        client_on(transport)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_mock_transport_gets_a_complete_request(library):
    """A mock transport of httpx or its continuation gets the request as a server would."""
    requests = []

    def handle(request):
        requests.append((type(request), request.method, str(request.url), request.content))
        return library.Response(200, json=BALANCE)

    async with client_on(library.MockTransport(handle)) as client:
        balance = await client.balance()

    assert str(balance.balance) == "1.50"
    assert requests == [(library.Request, "POST", PANEL.url, b"key=simulated-key&action=balance")]


async def test_respx_sees_every_request():
    """respx, which stands in for the network, sees all requests of a client without a transport of its own."""
    with respx.mock() as router:
        route = router.post(PANEL.url).respond(json=BALANCE)
        async with smm.Client(PANEL, key=KEY, max_in_flight=3) as client, anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(client.balance)

    assert route.call_count == 5
    assert {call.request.content for call in route.calls} == {b"key=simulated-key&action=balance"}


async def test_address_prints_itself_without_the_key(monkeypatch):
    """Where the key has to be in the address, whoever prints that does not print the key."""
    seen = []

    async def handle(_, request):
        seen.append((bytes(request.url.raw_path), str(request.url), repr(request.url)))
        return httpx.Response(200, json=BALANCE)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    async with smm.Client(smm.Panel(PANEL.url, method="GET", key_in_url=True), key=KEY) as client:
        await client.balance()

    assert seen == [(b"/api/v2?key=simulated-key&action=balance", PANEL.url, f"URL('{PANEL.url}')")]


async def test_asgi_transport_is_a_panel_in_the_same_process():
    """An ASGI app behind httpx's transport answers like a panel."""
    bodies = []

    async def app(scope, receive, send):
        bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"balance": 2}'})

    async with client_on(httpx.ASGITransport(app)) as client:
        assert (await client.balance()).balance == 2

    assert bodies == [b"key=simulated-key&action=balance"]


async def test_transport_that_cannot_be_closed_holds_up_nothing():
    """What a transport raises when it is closed is its own affair, and no exception of the library leaves the client."""

    class StuckDoor(ScriptedTransport):
        async def aclose(self):
            await super().aclose()
            raise httpx.CloseError("text")

    transport = StuckDoor(answer(BALANCE))

    async with client_on(transport) as client:
        await client.balance()

    assert transport.is_closed


async def test_given_transport_is_closed_with_the_client():
    """The client closes the transport it was given, used or not."""
    transport = ScriptedTransport(answer(BALANCE))

    async with client_on(transport):
        assert not transport.is_closed

    assert transport.is_closed


class ForeignTransport(httpx.AsyncBaseTransport):
    """Raises ``error`` before or after it has read what is to be sent, as a library may that maps its errors loosely."""

    def __init__(self, error, *, reads):
        self._error = error
        self._reads = reads

    async def handle_async_request(self, request):
        """Raise."""
        if self._reads:
            async for _ in request.stream:
                pass
        raise self._error


def raising(library, name):
    """Return a mock transport of ``library`` that raises its exception of this name."""

    def handle(request):
        raise getattr(library, name)("text with simulated-key")

    return library.MockTransport(handle)


PROOFS = ["ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"]
NO_PROOFS = [
    *["ReadError", "ReadTimeout", "WriteError", "WriteTimeout", "CloseError", "RemoteProtocolError"],
    *["LocalProtocolError", "ProxyError", "DecodingError", "NetworkError", "TransportError", "RequestError"],
]


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("name", PROOFS)
async def test_error_that_proves_that_nothing_left_is_not_sent(library, name):
    """Only what happens before a connection stands proves that nothing was sent."""
    with pytest.raises(smm.NotSentError, match=name) as caught:
        await send(raising(library, name))
    assert caught.value.action == "balance"

    async with client_on(raising(library, name)) as client:
        with pytest.raises(smm.NotSentError, match=name):
            await client.add(ORDER)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("name", NO_PROOFS)
async def test_any_other_error_leaves_a_read_unanswered_and_a_write_unknown(library, name):
    """After any other error the panel may have got the request: a read has no answer, a write an unknown outcome."""
    with pytest.raises(smm.NoAnswerError, match=name) as caught:
        await send(raising(library, name))
    assert caught.value.action == "balance"

    async with client_on(raising(library, name)) as client:
        with pytest.raises(smm.OutcomeUnknownError, match=name):
            await client.add(ORDER)


async def test_exception_of_any_kind_is_caught():
    """A transport may raise what it likes: the client's callers get the client's errors."""
    with pytest.raises(smm.NoAnswerError, match="ZeroDivisionError"):
        await send(ForeignTransport(ZeroDivisionError("text"), reads=False))


async def test_error_names_the_errno_where_there_is_one():
    """The number of an operating system's error is told, its text is not."""
    with pytest.raises(smm.NoAnswerError, match=r"\(ConnectionResetError, errno 104\)"):
        await send(ForeignTransport(ConnectionResetError(104, "text"), reads=True))


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x")], ids=repr)
async def test_foreign_connect_error_counts_only_if_nothing_was_taken(error):
    """A library that took the body and then says that it could not connect proves nothing."""
    with pytest.raises(smm.NotSentError):
        await send(ForeignTransport(error, reads=False))
    with pytest.raises(smm.NoAnswerError):
        await send(ForeignTransport(error, reads=True))


async def test_write_whose_body_nobody_took_is_not_sent_whatever_broke():
    """Without its body a write says nothing to a panel, so any error before that proves that it was not sent."""
    for reads, error_type in ((False, smm.NotSentError), (True, smm.OutcomeUnknownError)):
        async with client_on(ForeignTransport(httpx.ReadError("x"), reads=reads)) as client:
            with pytest.raises(error_type):
                await client.add(ORDER)


async def test_foreign_connect_error_proves_nothing_where_the_address_says_all():
    """A request without a body may have left although nobody took its body."""
    panel = smm.Panel(PANEL.url, method="GET", bearer=True)

    with pytest.raises(smm.NoAnswerError):
        await send(ForeignTransport(httpx.ConnectError("x"), reads=False), panel)


@pytest.mark.parametrize(
    "act",
    [
        failure(httpx.ConnectError("simulated-key")),
        failure(httpx.ReadError("simulated-key")),
        answer(b"x" * 2000),
        answer(b"x", content_encoding="br"),
        answer(b"simulated-key", content_encoding="gzip"),
    ],
    ids=["connect", "read", "large", "coding", "gzip"],
)
async def test_errors_stand_alone(act):
    """No exception of the HTTP library hangs on an error, in no way, and none of its frames is in the traceback."""
    with pytest.raises(smm.SmmError) as caught:
        await send(ScriptedTransport(act))

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert {frame.filename.rpartition("/")[2] for frame in frames.stack} == {"test_transport.py", "_transport.py"}
    assert KEY not in "".join(frames.format())


async def test_errors_of_two_calls_are_two_objects():
    """Every call raises an error of its own, even if the transport raises one object again and again."""
    async with client_on(ScriptedTransport(failure(httpx.ReadError("x")))) as client:
        errors = [(await client.statuses([n]))[n] for n in range(2)]

    assert errors[0] is not errors[1]


class SlowTransport(httpx.AsyncBaseTransport):
    """Takes five seconds before it takes what is to be sent, and keeps all that it could take."""

    def __init__(self, *, times=1, afterwards=0.0):
        self._times = times
        self._afterwards = afterwards
        self.taken = []

    async def handle_async_request(self, request):
        """Answer anything."""
        await anyio.sleep(5.0)
        for _ in range(self._times):
            self.taken += [part async for part in request.stream]
        await anyio.sleep(self._afterwards)
        return httpx.Response(200, json={"order": 1, **BALANCE})


async def test_transport_that_repeats_by_itself_gets_a_write_once():
    """A library with retries of its own can take a write only once, and its outcome is in doubt then."""
    transport = SlowTransport(times=2)

    async with client_on(transport) as client:
        with pytest.raises(smm.OutcomeUnknownError):
            await client.add(ORDER)
        await client.balance()

    assert [part[:29] for part in transport.taken] == [b"key=simulated-key&action=add&"] + [
        b"key=simulated-key&action=bala"
    ] * 2


async def test_write_whose_caller_left_before_it_was_taken_does_not_leave():
    """A write whose caller is cancelled while its connection is made is not sent when the connection stands."""
    transport = SlowTransport()

    async with client_on(transport) as client:
        with anyio.move_on_after(1.0):
            await client.add(ORDER)
        await anyio.sleep(5.0)
        assert client.unsettled() == []

    assert transport.taken == []


async def test_write_of_a_closed_client_does_not_leave():
    """A write that was not taken when the client was closed is not sent in the grace time of another."""
    transport = SlowTransport(afterwards=9.0)

    async def place(outcomes):
        with contextlib.suppress(smm.ClosedError):
            outcomes.append(await client.add(ORDER))

    first: list[str] = []
    second: list[str] = []
    async with anyio.create_task_group() as tasks, client_on(transport) as client:
        tasks.start_soon(place, first)
        await anyio.sleep(6.0)
        tasks.start_soon(place, second)
        await anyio.sleep(1.0)

    assert (first, second) == (["1"], [])
    assert len(transport.taken) == 1


async def test_cancelled_send_is_cancelled():
    """A cancellation is no error of the transport's: it goes through, and the request's end is waited for."""
    transport = ScriptedTransport(never)

    with anyio.move_on_after(1.0) as scope:
        await send(transport)

    assert scope.cancelled_caught
    assert transport.open == 0

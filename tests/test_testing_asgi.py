"""The simulated panel at the end of every kind of connection: what arrives, what fails, what is counted."""

import json
import socket
import threading
import time
from decimal import Decimal
from functools import partial

import anyio
import httpx
import httpx2
import pytest
import respx
import uvicorn

from smm_async.testing import Fault, SimulatedPanel

WAYS = ["transport", "mock", "respx", "asgi"]
HTML = "text/html; charset=UTF-8"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
ADD = {"service": "1", "link": "https://example.com/p/1", "quantity": "100"}


def transport_of(panel, way):
    """Return a transport that ends at the panel in one of the ways there are without a socket."""
    if way == "transport":
        return panel.transport()
    if way == "mock":
        return httpx.MockTransport(panel.respond)
    if way == "asgi":
        return httpx.ASGITransport(panel)
    router = respx.MockRouter()
    router.route(url__startswith=panel.url).mock(side_effect=panel.respond)
    return httpx.MockTransport(router.async_handler)


@pytest.fixture
def panel():
    """Give a panel with five orders in it."""
    panel = SimulatedPanel()
    panel.seed_orders(5)
    return panel


@pytest.fixture(params=WAYS)
async def client(panel, request):
    """Give an HTTP client that reaches the panel in each way."""
    async with httpx.AsyncClient(transport=transport_of(panel, request.param)) as client:
        yield client


class Server:
    """A uvicorn server on a loopback port, in a thread; it serves the panel it was given last."""

    def __init__(self):
        self.panel = SimulatedPanel()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/api/v2"
        self.server = uvicorn.Server(uvicorn.Config(self, log_level="critical", lifespan="on", ws="none"))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))

    async def __call__(self, scope, receive, send):
        """Pass everything on to the panel."""
        await self.panel(scope, receive, send)

    def start(self):
        """Start serving, within 5 seconds."""
        self.thread.start()
        give_up_at = time.monotonic() + 5
        while not self.server.started:
            assert time.monotonic() < give_up_at
            time.sleep(0.005)

    def stop(self):
        """Stop serving, within 5 seconds."""
        self.server.should_exit = True
        self.thread.join(5)
        self.socket.close()
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def running_server():
    """Give one server to all tests that need a socket."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(running_server, panel):
    """Give the server with this test's panel behind it."""
    panel.url = running_server.url
    running_server.panel = panel
    return running_server


@pytest.fixture
async def socket_client(server):
    """Give an HTTP client that reaches the panel over a real socket."""
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(verify=False)) as client:
        yield client


def post(client, panel, action, **fields):
    """Post one form to the panel."""
    return client.post(panel.url, data={"key": panel.key, "action": action} | fields)


async def leave_waiting(ask):
    """Ask, and give up when nothing moves any more."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


# Every way without a socket.


async def test_answer_arrives(client, panel):
    """A form gets the answer of the panel, with type and length."""
    response = await post(client, panel, "status", order="1")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.json()["status"] == "Pending"
    assert panel.requests[0].duplicated_fields == ()


async def test_refuse_is_neither_executed_nor_counted(client, panel):
    """A refused connection leaves no trace at the panel."""
    panel.fault(Fault.refuse())

    with pytest.raises(httpx.ConnectError):
        await post(client, panel, "add", **ADD)

    assert panel.count() == 0
    assert panel.executed == []


@pytest.mark.parametrize("executed", [True, False], ids=["executed", "not executed"])
async def test_stall_never_answers(client, panel, executed):
    """A stalled request is counted, executed or not, and ends only with the patience of its client."""
    panel.fault(Fault.stall(executed=executed))

    await leave_waiting(partial(post, client, panel, "add", **ADD))

    assert panel.count() == 1
    assert len(panel.executed) == executed


async def test_cut_body_fails_while_it_is_read(client, panel):
    """A cut answer was executed, and fails after its first bytes."""
    panel.fault(Fault.cut(5))

    with pytest.raises(httpx.ReadError):
        await post(client, panel, "add", **ADD)

    assert panel.count("add") == len(panel.executed) == 1


@pytest.mark.parametrize("executed", [True, False], ids=["executed", "not executed"])
async def test_lost_answer(client, panel, executed):
    """A lost answer fails without a word whether the panel executed the request."""
    panel.fault(Fault.lost_answer(executed=executed))

    with pytest.raises(httpx.ReadError):
        await post(client, panel, "add", **ADD)

    assert panel.count() == 1
    assert len(panel.executed) == executed


@pytest.mark.parametrize("executed", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Fault.html, (403, HTML, b"<!DOCTYPE html>")),
        (partial(Fault.html, 200), (200, HTML, b"<!DOCTYPE html>")),
        (Fault.server_error, (500, JSON, b'{"error":"Internal server error"}')),
        (partial(Fault.server_error, 503, text="Maintenance"), (503, JSON, b'{"error":"Maintenance"}')),
        (partial(Fault.error, "Bad link"), (200, JSON, b'{"error":"Bad link"}')),
        (partial(Fault.raw, "[]"), (200, JSON, b"[]")),
        (partial(Fault.raw, b"\xef", status=418, headers={"Content-Type": "x/y"}), (418, "x/y", b"\xef")),
    ],
    ids=["html", "html 200", "500", "503", "error", "raw", "raw bytes"],
)
async def test_other_answer(client, panel, make, expected, executed):
    """Another answer takes the place of the panel's own, before or after executing."""
    status, content_type, start = expected
    panel.fault(make(executed=executed))

    response = await post(client, panel, "add", **ADD)

    assert response.status_code == status
    assert response.headers["content-type"] == content_type
    assert response.content.startswith(start)
    assert len(panel.executed) == executed
    assert panel.count() == 1


@pytest.mark.parametrize(
    ("fault", "retry_after"),
    [
        (Fault.rate_limited(), None),
        (Fault.rate_limited(7), "7"),
        (Fault.rate_limited("Wed, 21 Oct 2026 07:28:00 GMT"), "Wed, 21 Oct 2026 07:28:00 GMT"),
    ],
    ids=["none", "seconds", "date"],
)
async def test_rate_limited(client, panel, fault, retry_after):
    """A rate limit answers 429 and may say when to come back."""
    panel.fault(fault)

    response = await post(client, panel, "balance")

    assert response.status_code == 429
    assert response.json() == {"error": "Too many requests"}
    assert response.headers.get("retry-after") == retry_after


async def test_raw_with_a_length_of_its_own(panel):
    """A verbatim answer may lie about its length."""
    panel.fault(Fault.raw(b"{}", headers={"Content-Length": "7"}))

    response = await panel.respond(httpx.Request("POST", panel.url))

    assert response.headers["content-length"] == "7"


async def test_rows_left_out(client, panel):
    """Rows are left out by id and at the end of plural answers; single ones do not meet the fault."""
    panel.fault(Fault.rows_left_out(2, "4", last=1))

    single = await post(client, panel, "status", order="2")
    several = await post(client, panel, "status", orders="1,2,3,4,5")
    whole = await post(client, panel, "status", orders="1,2")

    assert single.json()["status"] == "Pending"
    assert list(several.json()) == ["1", "3"]
    assert list(whole.json()) == ["1", "2"]


async def test_rows_left_out_of_lists(client, panel):
    """Rows of lists are left out too: refills, cancels and the catalogue."""
    panel.fault(Fault.rows_left_out(1), times=2)
    panel.fault(Fault.rows_left_out(last=99), action="services")

    cancels = await post(client, panel, "cancel", orders="1,2")
    refills = await post(client, panel, "refill_status", refills="1,2")
    services = await post(client, panel, "services")

    assert cancels.json() == [{"order": 2, "cancel": 1}]
    assert [row["refill"] for row in refills.json()] == [2]
    assert services.json() == []


async def test_rows_left_out_of_a_refusal(client, panel):
    """An answer without rows passes unchanged."""
    panel.fault(Fault.rows_left_out(last=1))

    response = await client.post(panel.url, data={"key": "other", "action": "status", "orders": "1,2"})

    assert response.json() == {"error": "Invalid API key"}


async def test_reordered(client, panel):
    """Rows come in the opposite order, in mappings and in lists."""
    panel.fault(Fault.reordered(), times=None)

    statuses = await post(client, panel, "status", orders="1,2,3")
    cancels = await post(client, panel, "cancel", orders="1,2,3")

    assert list(statuses.json()) == ["3", "2", "1"]
    assert [row["order"] for row in cancels.json()] == [3, 2, 1]


async def test_batch_error_spares_single_requests(client, panel):
    """Every plural request is refused as a whole and executes nothing, while single ones are answered."""
    panel.fault(Fault.batch_error("Order not found."), times=None)

    plural = [await post(client, panel, "cancel", orders=orders) for orders in ("1,2", "3")]
    single = await post(client, panel, "cancel", order="3")

    assert [response.json() for response in plural] == [{"error": "Order not found."}] * 2
    assert single.json() == {"cancel": 1}
    assert [write.order for write in panel.executed] == [3]


async def test_method_other_than_post(client, panel):
    """A GET is answered with 405 and counted."""
    response = await client.get(panel.url, params={"key": panel.key, "action": "balance"})

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json() == {"error": "Method Not Allowed"}
    assert panel.requests[0].method == "GET"
    assert panel.requests[0].action == ""


async def test_body_in_json(client, panel):
    """A JSON object is read like a form."""
    response = await client.post(panel.url, json={"key": panel.key, "action": "status", "order": 1})

    assert response.json()["status"] == "Pending"
    assert panel.requests[0].ids == ("1",)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"[" * 100_000, b"\xff\xfe"], ids=["0", "cut", "list", "deep", "bad"]
)
@pytest.mark.parametrize("kind", ["Application/JSON; charset=utf-8", FORM])
async def test_body_not_understood(client, panel, body, kind):
    """A body that is neither JSON object nor form is a request without a key."""
    response = await client.post(panel.url, content=body, headers={"content-type": kind})

    assert response.json() == {"error": "Invalid API key"}
    assert panel.count() == 1


async def test_fields_duplicated_and_blank(client, panel):
    """The last of several values counts, the record names the field, and blank values are kept."""
    body = f"key={panel.key}&action=status&order=2&order=1&extra=&%C3%B1=%C3%A9+x"

    response = await client.post(panel.url, content=body, headers={"content-type": FORM})

    assert response.json()["status"] == "Pending"
    assert panel.requests[0].duplicated_fields == ("order",)
    assert panel.requests[0].fields == {"action": "status", "order": "1", "extra": "", "ñ": "é x"}


# The queue of faults, and time.


async def test_faults_are_used_in_order(panel):
    """Each request takes the first fault that fits it, as often as that was asked for."""
    panel.fault(Fault.error("balance only"), action="balance")
    panel.fault(Fault.error("first"), times=2)
    panel.fault(Fault.error("second"))
    async with httpx.AsyncClient(transport=panel.transport()) as client:
        texts = [
            (await post(client, panel, action)).json()["error"]
            for action in ("refill", "balance", "balance", "refill", "refill")
        ]

    assert texts == ["first", "balance only", "first", "second", "Incorrect order ID"]


async def test_faults_for_ever_until_cleared(panel):
    """A fault without a number of times stays until it is cleared."""
    panel.fault(Fault.error("always"), times=None)
    async with httpx.AsyncClient(transport=panel.transport()) as client:
        faulty = [(await post(client, panel, "balance")).json() for _ in range(3)]
        panel.clear_faults()
        healed = await post(client, panel, "balance")

    assert faulty == [{"error": "always"}] * 3
    assert healed.json() == {"balance": "1000", "currency": "USD"}


def test_fault_without_times(panel):
    """A fault that never happens is a mistake."""
    with pytest.raises(ValueError, match="not 0 times"):
        panel.fault(Fault.refuse(), times=0)


def test_fault_repr_and_equality():
    """Faults are plain data."""
    assert Fault.stall(executed=True) == Fault.stall(executed=True) != Fault.stall()
    assert "name='cut'" in repr(Fault.cut(3))


@pytest.mark.parametrize("delay", [0.0, 0.005], ids=["latency", "late"])
async def test_answer_travels_for_the_latency(panel, delay):
    """An answer arrives after the panel's latency, and after the delay of a fault."""
    panel.latency = 0.005
    panel.fault(Fault.late(delay))
    async with httpx.AsyncClient(transport=panel.transport()) as client:
        begin = anyio.current_time()

        await post(client, panel, "balance")

        # Event loops round their timers to about a millisecond.
        assert anyio.current_time() - begin >= 0.004 + delay


async def test_request_is_executed_before_the_latency(client, panel):
    """A request is executed when it arrives, even if nobody waits for its answer."""
    panel.latency = 60.0

    await leave_waiting(partial(post, client, panel, "add", **ADD))

    assert [write.charge for write in panel.executed] == [Decimal("0.09")]


# The transport.


async def test_transport_notes_that_it_was_closed(panel):
    """A transport knows whether its owner has closed it; each is one of its own."""
    first, second = panel.transport(), panel.transport()

    async with httpx.AsyncClient(transport=first):
        assert not first.is_closed

    assert first.is_closed
    assert not second.is_closed


async def test_transport_streams_the_first_bytes_of_a_cut_body(panel):
    """The first bytes of a cut answer arrive before it fails, and its head announces all of it."""
    panel.fault(Fault.cut(8))
    request = httpx.Request("POST", panel.url, data={"key": panel.key, "action": "balance"})

    response = await panel.transport().handle_async_request(request)
    parts = aiter(response.stream)
    first = await anext(parts)
    with pytest.raises(httpx.ReadError):
        await anext(parts)

    assert first == b'{"balanc'
    assert int(response.headers["content-length"]) == len(b'{"balance":"1000","currency":"USD"}')


async def test_transport_with_a_subclass_of_request(panel):
    """A request of a user's own class is answered like any other."""

    class Request(httpx.Request):
        pass

    response = await panel.respond(Request("POST", panel.url, data={"key": panel.key, "action": "balance"}))

    assert type(response) is httpx.Response
    assert json.loads(await response.aread())["currency"] == "USD"


async def test_transport_under_httpx2(panel):
    """A client of httpx2 gets responses and exceptions of its own library."""
    async with httpx2.AsyncClient(transport=panel.transport()) as client:
        response = await post(client, panel, "status", order="1")
        panel.fault(Fault.refuse())
        with pytest.raises(httpx2.ConnectError):
            await post(client, panel, "balance")
        panel.fault(Fault.cut())
        with pytest.raises(httpx2.ReadError):
            await post(client, panel, "balance")

    assert response.json()["status"] == "Pending"


async def test_respx_patches_a_real_client(panel):
    """A respx route with the panel as its side effect serves a client that knows nothing of it."""
    with respx.mock:
        route = respx.post(panel.url).mock(side_effect=panel.respond)
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(verify=False)) as client:
            response = await post(client, panel, "balance")
            panel.fault(Fault.refuse())
            with pytest.raises(httpx.ConnectError):
                await post(client, panel, "balance")

    assert response.json()["balance"] == "1000"
    assert route.call_count == 2
    assert panel.count() == 1


# ASGI by hand.


async def run_app(panel, scope, *messages):
    """Run the application on some messages and return what it sent."""
    sent, waiting = [], list(messages)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    await panel(scope, receive, send)
    assert waiting == []
    return sent


async def test_asgi_lifespan(panel):
    """The application says yes to its start and its stop."""
    sent = await run_app(panel, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})

    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_asgi_websocket_is_left_alone(panel):
    """A connection that is not HTTP gets nothing."""
    assert await run_app(panel, {"type": "websocket"}) == []


async def test_asgi_client_leaves_before_its_body(panel):
    """A request that never arrived whole is neither executed nor counted."""
    sent = await run_app(
        panel,
        {"type": "http", "method": "POST", "headers": []},
        {"type": "http.request", "body": b"key=", "more_body": True},
        {"type": "http.disconnect"},
    )

    assert sent == []
    assert panel.requests == []


async def test_asgi_stall_ends_with_the_connection(panel):
    """A stalled connection is over when the client leaves, whatever comes before."""
    panel.fault(Fault.stall())

    sent = await run_app(
        panel,
        {"type": "http", "method": "POST", "headers": []},
        {"type": "http.request"},
        {"type": "http.request"},
        {"type": "http.disconnect"},
    )

    assert sent == []
    assert panel.count() == 1


# A real socket.


async def test_socket_answer_arrives(socket_client, panel):
    """Over a socket the panel answers like anywhere else, also for a hundred ids at once."""
    ids = ",".join(map(str, panel.seed_orders(100)))

    single = await post(socket_client, panel, "status", order="1")
    several = await post(socket_client, panel, "status", orders=ids)

    assert single.json()["status"] == "Pending"
    assert list(several.json()) == ids.split(",")
    assert panel.ids_per_request("status") == [1, 100]


async def test_socket_other_answers(socket_client, panel):
    """Over a socket other answers arrive with their status and headers."""
    for fault in (Fault.html(503), Fault.rate_limited(3), Fault.batch_error(), Fault.reordered()):
        panel.fault(fault)

    html, limited, batch, reordered = [await post(socket_client, panel, "status", orders="1,2") for _ in range(4)]

    assert (html.status_code, html.headers["content-type"]) == (503, "text/html; charset=UTF-8")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert batch.json() == {"error": "Incorrect request"}
    assert list(reordered.json()) == ["2", "1"]


@pytest.mark.parametrize(
    ("fault", "executed"),
    [
        (Fault.cut(4), True),
        (Fault.cut(9999), True),
        (Fault.lost_answer(), True),
        (Fault.lost_answer(executed=False), False),
    ],
    ids=["cut", "cut at the end", "lost after", "lost before"],
)
async def test_socket_cut_or_lost(socket_client, panel, fault, executed):
    """Over a socket the server closes the connection before the announced end."""
    panel.fault(fault)

    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        await post(socket_client, panel, "add", **ADD)

    assert panel.count() == 1
    assert len(panel.executed) == executed


async def test_socket_refuse(socket_client, panel):
    """Over a socket the connection exists already, so a refusal is the server's own 500; nothing is executed."""
    panel.fault(Fault.refuse())

    response = await post(socket_client, panel, "add", **ADD)

    assert response.status_code == 500
    assert panel.count() == 0
    assert panel.executed == []


async def test_socket_stall(socket_client, panel):
    """Over a socket a stalled request ends when the client leaves, and the server goes on."""
    panel.fault(Fault.stall())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post, socket_client, panel, "services")
            while panel.count("services") == 0:  # noqa: ASYNC110 - the server's thread has no event to set
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
    response = await post(socket_client, panel, "balance")

    assert response.json()["balance"] == "1000"
    assert panel.count() == 2

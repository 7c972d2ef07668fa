"""A client that outlives its event loop, and what it does in threads."""

import asyncio
import functools
import gc
import json
import sys
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async._calls import Call, Calls
from smm_async._host import TaskHost
from smm_async._telemetry import Telemetry
from smm_async._transport import Gate
from smm_async._wire import ask
from tests.scripted_transport import ScriptedTransport, answer, never, refused

KEY = "simulated-key"
URL = "https://panel.example/api/v2"
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
BALANCE = {"balance": "1.50", "currency": "USD", "charge": "1", "status": "Pending"}

pytestmark = [
    # A loop that ends leaves connections and a client open, which is what these tests are about.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*:pytest.PytestUnraisableExceptionWarning"),
]
BACKENDS = {"asyncio": {}, "uvloop": {"use_uvloop": True}, "trio": {}}


@pytest.fixture(autouse=True)
def collected():
    """Throw away what a loop left open while that is no error, and not in some other test."""
    yield
    gc.collect()


@pytest.fixture(params=BACKENDS)
def run(request):
    """Return what runs an async function on a new loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    backend = "trio" if request.param == "trio" else "asyncio"
    return functools.partial(anyio.run, backend=backend, backend_options=BACKENDS[request.param])


class KeepingServer(ThreadingHTTPServer):
    """Keeps the client's port of each request."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), KeepingHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/api/v2"
        self.ports: list[int] = []

    def handle_error(self, request, client_address):
        """Say nothing of a connection that was reset: it died with its loop."""
        if not isinstance(sys.exception(), ConnectionResetError):
            super().handle_error(request, client_address)


class KeepingHandler(BaseHTTPRequestHandler):
    """Answers each request on a connection that it keeps."""

    server: KeepingServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for the head and the body: the second would wait for the first to be confirmed

    def do_POST(self):
        """Answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.ports.append(self.client_address[1])
        body = json.dumps(BALANCE).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    """Serve from a thread, which knows of no event loop."""
    with KeepingServer() as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.001))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_connections_are_not_taken_into_the_next_loop(server, run):
    """On a new loop the client works anew, on a connection of that loop's own."""
    client = smm.Client(server.url, key=KEY)

    async def ask(*, closes):
        for _ in range(2):
            await client.balance()
        await client.status(7)
        if closes:
            await client.aclose()

    run(functools.partial(ask, closes=False))
    run(functools.partial(ask, closes=True))

    first, second = server.ports[:3], server.ports[3:]
    assert (len(first), len(second)) == (3, 3)
    assert set(first).isdisjoint(second)
    assert len(set(second)) == 1


def test_given_transport_recovers_in_the_next_loop(server, run):
    """A transport of the user's keeps its dead connections; a read gets over them."""
    client = smm.Client(server.url, key=KEY, transport=httpx.AsyncHTTPTransport())

    async def ask(*, closes):
        await client.balance()
        if closes:
            await client.aclose()

    run(functools.partial(ask, closes=False))
    run(functools.partial(ask, closes=True))

    assert len(server.ports) >= 2


def test_given_transport_is_closed_in_the_next_loop(server, run):
    """Connections that died with their loop do not keep the client from being closed."""
    client = smm.Client(server.url, key=KEY, transport=httpx.AsyncHTTPTransport())

    run(client.balance)
    run(client.aclose)

    assert len(server.ports) == 1


def test_calls_of_a_loop_that_was_closed_at_once_do_not_linger():
    """If a loop is closed with requests in flight, the next one has all slots, and no call waits for the dead."""
    transport = ScriptedTransport(never, never, answer(BALANCE))
    client = smm.Client(URL, key=KEY, transport=transport, max_in_flight=2)

    tasks: list[asyncio.Task[Any]] = []

    async def begin():
        calls = [client.add(ORDER), client.balance(), client.balance(), client.add(ORDER), client.status(1)]
        tasks.extend(asyncio.ensure_future(call) for call in calls)
        await transport.wait_for_requests(2)

    async def go_on():
        with anyio.fail_after(5.0):
            await client.balance()
            tasks.clear()
            gc.collect()
            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(client.balance)
        left = client.unsettled()
        await client.aclose()
        return left

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    left = asyncio.run(go_on())

    assert len(transport.requests) == 9
    assert transport.most_open <= 2 + 2  # those of the dead among them
    assert {type(one.outcome) for one in left} <= {smm.OutcomeUnknownError}


def test_closing_in_the_next_loop_waits_for_nobody(run):
    """A write on its way in a dead loop is not waited for by whoever closes the client in the next one."""
    transport = ScriptedTransport(never)
    client = smm.Client(URL, key=KEY, transport=transport, grace=100.0)

    async def leave_behind():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.add, ORDER)
            await transport.wait_for_requests(1)
            tasks.cancel_scope.cancel()

    async def close():
        with anyio.fail_after(1.0):
            await client.aclose()

    run(leave_behind)
    run(close)

    assert transport.is_closed


def test_write_of_a_loop_that_ended_is_in_doubt(run):
    """A write that was on its way when its loop ended is kept, as one that may have been carried out."""
    transport = ScriptedTransport(never)
    client = smm.Client(URL, key=KEY, transport=transport)

    async def leave_behind():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.add, ORDER)
            await transport.wait_for_requests(1)
            tasks.cancel_scope.cancel()

    run(leave_behind)
    run(client.aclose)

    (left,) = client.unsettled()
    assert type(left.outcome) is smm.OutcomeUnknownError
    assert left.fields["link"] == ORDER.link


async def test_large_answer_is_decoded_in_a_thread(monkeypatch):
    """A catalogue that takes long to decode does not hold up the loop; a short answer is decoded where it came."""
    threads = {}
    rows = [{"service": number, "name": "x" * 100, "rate": "0.90"} for number in range(1000)]
    transport = ScriptedTransport(answer(rows), answer(BALANCE))

    async with smm.Client(URL, key=KEY, transport=transport) as client:
        reader = type(client._exchange.reader)
        read_value = reader.read_value

        def note_thread(self, action, reply):
            threads[action] = threading.current_thread()
            return read_value(self, action, reply)

        monkeypatch.setattr(reader, "read_value", note_thread)
        services = await client.services()
        await client.balance()

    assert [service.service for service in services] == [str(number) for number in range(1000)]
    assert threads["services"] is not threading.current_thread()
    assert threads["balance"] is threading.current_thread()


@pytest.mark.parametrize(
    ("act", "balance"),
    [(answer(BALANCE), Decimal("1.50")), (answer(b"<html>", 200), None), (refused, None)],
    ids=range(3),
)
async def test_balance_is_asked_for_before_an_order_as_evidence(tmp_path, act, balance):
    """A journal that wants evidence has the balance before each order; an order is placed even if nobody knows it."""
    transport = ScriptedTransport(act, answer({"order": 23501}))
    journal = smm.Journal(tmp_path / "orders.sqlite", evidence=True)

    async with smm.Client(URL, key=KEY, transport=transport, journal=journal) as client:
        assert await client.add(ORDER, ref="mine") == "23501"

    assert len(transport.requests) == 2
    assert b"action=add&" in transport.requests[1].body
    assert [entry.balance for entry in await journal.entries()] == [balance]


class Suspended:
    """Waits for ever, without any loop."""

    def __await__(self):
        yield


@pytest.mark.parametrize("is_given_up", [False, True])
async def test_call_that_its_dead_loop_throws_away_wakes_nobody(is_given_up):
    """A call whose task is thrown away ends without a word to a caller who is as dead as its loop."""
    loop = asyncio.new_event_loop()
    waiter = loop.create_future()
    waiter.add_done_callback(print)
    loop.close()
    calls = Calls(TaskHost("client"), Gate(1), grace=1.0, telemetry=Telemetry("POST", None))
    call = Call(ask(smm.Panel(URL), "refill", {"order": "1"}), waiter, is_write=True, budget=60.0)
    calls._open.add(call)

    async def job(call):
        call.departure.leave()
        await Suspended()

    task = calls._perform(call, job, anyio.current_time() + 60.0)
    task.send(None)
    if is_given_up:
        calls.forget()
    task.close()

    (left,) = calls.unsettled()
    assert type(left.outcome) is smm.OutcomeUnknownError
    assert calls._open == set()

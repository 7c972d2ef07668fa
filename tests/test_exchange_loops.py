"""A client that outlives its event loop, and what it does in threads."""

import asyncio
import functools
import gc
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio
import httpx
import pytest

import smm_async as smm
from tests.scripted_transport import ScriptedTransport, answer, never

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


@pytest.fixture(params=BACKENDS)
def run(request):
    """Return what runs an async function on a new loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    backend = "trio" if request.param == "trio" else "asyncio"
    return functools.partial(anyio.run, backend=backend, backend_options=BACKENDS[request.param])


class KeepingHandler(BaseHTTPRequestHandler):
    """Answers each request on a connection that it keeps."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for the head and the body: the second would wait for the first to be confirmed

    def do_POST(self):
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
    with ThreadingHTTPServer(("127.0.0.1", 0), KeepingHandler) as server:
        server.daemon_threads = True
        server.ports = []
        server.url = f"http://127.0.0.1:{server.server_port}/api/v2"
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


def test_calls_of_a_loop_that_was_closed_at_once_do_not_linger():
    """If a loop is closed with requests in flight, the next one has all slots, and no call waits for the dead."""
    transport = ScriptedTransport(never, never, answer(BALANCE))
    client = smm.Client(URL, key=KEY, transport=transport, max_in_flight=2)

    async def begin():
        calls = [client.add(ORDER), client.balance(), client.balance(), client.add(ORDER), client.status(1)]
        tasks.extend(asyncio.ensure_future(call) for call in calls)
        await transport.wait_for_requests(2)

    async def go_on():
        nonlocal tasks
        with anyio.fail_after(5.0):
            await client.balance()
            tasks = []
            gc.collect()
            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(client.balance)
        assert client._exchange._gate._semaphore.value == 2
        left = client.unsettled()
        await client.aclose()
        return left

    tasks = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
    left = asyncio.run(go_on())

    assert len(transport.requests) == 9
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

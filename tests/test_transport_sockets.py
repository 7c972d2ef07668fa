"""What a client's connections are on real sockets, with httpx, with its continuation and with a library in Rust."""

import anyio
import pytest

import smm_async as smm
from smm_async import _retry
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask
from tests.socket_panel import SocketPanel, close, head, raw, reply, together, zipped
from tests.sockets import BALANCE, KEY, ORDER, at_once, client_of, every_transport


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)


@every_transport
async def test_read_and_write_are_answered(make_transport):
    """A read and a write go over a socket and come back, by every transport."""
    acts = [zipped(BALANCE), reply(b'{"order": 7}')]
    async with SocketPanel(*acts) as server, client_of(server, make_transport()) as client:
        assert str((await client.balance()).balance) == "1.50"
        assert await client.add(ORDER) == "7"

    assert [request.body[:29] for request in server.requests] == [
        b"key=simulated-key&action=bala",
        b"key=simulated-key&action=add&",
    ]


async def test_reads_use_one_connection_again():
    """Reads one after the other share a connection."""
    async with SocketPanel(reply(BALANCE)) as server, client_of(server) as client:
        for _ in range(5):
            await client.balance()

    assert [request.connection for request in server.requests] == [0] * 5


@every_transport
async def test_gate_bounds_the_requests_on_the_wire(make_transport):
    """However many call, no more requests are open than the client may have, each slot on a connection it keeps."""
    act = together(3, reply(BALANCE))
    async with SocketPanel(act) as server, client_of(server, make_transport(), max_in_flight=3) as client:
        for _ in range(3):
            await at_once(client.balance, 10)

    assert len(server.requests) == 30
    assert server.most_in_flight == 3
    assert server.connections == 3


async def test_write_goes_on_a_connection_of_its_own():
    """No write is sent on a connection that may have died while it was idle, nor leaves one behind."""
    acts = [reply(BALANCE), reply(b'{"order": 7}'), reply(b'{"order": 8}'), reply(BALANCE)]
    async with SocketPanel(*acts) as server, client_of(server) as client:
        await client.balance()
        await client.add(ORDER)
        await client.add(ORDER)
        await client.balance()

    assert [request.connection for request in server.requests] == [0, 1, 2, 0]


async def test_connections_are_closed_with_the_client():
    """A closed client leaves no connection behind."""
    async with SocketPanel(together(3, reply(BALANCE))) as server:
        async with client_of(server, max_in_flight=3) as client:
            await at_once(client.balance, 3)
        await server.wait_for_goodbyes(3)


@pytest.mark.parametrize("is_noticed", [True, False], ids=["idle", "in_use"])
async def test_read_on_a_connection_that_was_broken_off_is_answered(is_noticed):
    """A read that meets a connection which the server gave up meanwhile is asked again on a new one."""
    acts = [raw(head(200, f"Content-Length: {len(BALANCE)}") + BALANCE, close=True)]
    if not is_noticed:
        acts = [reply(BALANCE), close]
    async with SocketPanel(*acts, reply(BALANCE)) as server, client_of(server) as client:
        await client.balance()
        await client.balance()

    assert len(server.requests) == (2 if is_noticed else 3)
    assert server.connections == 2


async def test_connection_of_a_cancelled_caller_goes_on():
    """Cancelling a caller breaks no connection: the answer is read, and the connection used again."""
    asked, go_on = anyio.Event(), anyio.Event()

    async def late(stream):
        asked.set()
        await go_on.wait()
        await reply(BALANCE)(stream)

    async with SocketPanel(late, reply(BALANCE)) as server, client_of(server, max_in_flight=1) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.balance)
            await asked.wait()
            tasks.cancel_scope.cancel()
        go_on.set()
        await client.balance()

    assert server.connections == 1


async def test_send_by_itself_says_what_went_wrong():
    """Without a client around it, a transport raises the same errors, and works again after each of them."""
    async with SocketPanel(close, reply(b"x" * 50), reply(BALANCE)) as server:
        panel = smm.Panel(server.url)
        transport = Transport(panel, Secret(KEY))
        with pytest.raises(smm.NoAnswerError):
            await transport.send(ask(panel, "balance"), limit=40)
        with pytest.raises(smm.BadReplyError):
            await transport.send(ask(panel, "balance"), limit=40)
        assert (await transport.send(ask(panel, "balance"), limit=40)).body == BALANCE
        await transport.aclose()
        await transport.aclose()

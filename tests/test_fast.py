"""The transport in Rust: it answers, and does nothing by itself that would carry the key elsewhere or buy twice."""

import pytest

import smm_async as smm
from smm_async import _retry, _transport, fast
from tests.socket_panel import ClosedPort, SocketPanel, close, reply, together, zipped
from tests.sockets import BALANCE, KEY, ORDER, at_once, client_of, outcome_of

LOOPS = [("asyncio", {"debug": True}), ("asyncio", {"use_uvloop": True})]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request):
    """Run each async test on the loops that the library works on."""
    return request.param


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)


async def test_reads_and_writes_are_answered():
    """Reads and writes go over a socket and come back, packed or not."""
    acts = [zipped(BALANCE), reply(b'{"order": 7}')]
    async with SocketPanel(*acts) as server, client_of(server, fast.make_transport()) as client:
        assert str((await client.balance()).balance) == "1.50"
        assert await client.add(ORDER) == "7"

    assert [request.header("Accept-Encoding") for request in server.requests] == ["gzip", "gzip"]
    assert [request.target for request in server.requests] == ["/api/v2"] * 2


async def test_redirect_is_an_error():
    """A redirect is not followed: the other server sees no request, and no key."""
    async with SocketPanel(reply(BALANCE)) as other:
        moved = reply(b"", 307, f"Location: {other.url}")
        async with SocketPanel(moved) as server, client_of(server, fast.make_transport()) as client:
            assert type(await outcome_of(client.balance)) is smm.BadReplyError
            assert type(await outcome_of(client.add, ORDER)) is smm.OutcomeUnknownError

    assert other.requests == []
    assert len(server.requests) == 2


async def test_proxy_of_the_environment_is_ignored(monkeypatch):
    """A proxy is not taken from the environment, where whoever set it would read the key."""
    async with SocketPanel(reply(b"")) as proxy, SocketPanel(reply(BALANCE)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with client_of(server, fast.make_transport()) as client:
            await client.balance()

    assert proxy.requests == []


async def test_cookies_are_not_kept():
    """What one answer sets is not sent with the next request."""
    acts = [reply(BALANCE, 200, "Set-Cookie: session=1")] * 2
    async with SocketPanel(*acts) as server, client_of(server, fast.make_transport()) as client:
        await client.balance()
        await client.balance()

    assert [request.header("Cookie") for request in server.requests] == [None, None]


async def test_write_is_sent_once_whatever_the_connection_does():
    """A write whose answer is lost is unknown, and not repeated by the library below."""
    async with SocketPanel(close) as server, client_of(server, fast.make_transport()) as client:
        assert type(await outcome_of(client.add, ORDER)) is smm.OutcomeUnknownError
        sent = len(server.requests)
        assert type(await outcome_of(client.balance)) is smm.NoAnswerError

    assert sent == 1


async def test_panel_that_cannot_be_reached():
    """What never had a connection was not sent."""
    with ClosedPort() as url:
        async with smm.Client(url, key=KEY, transport=fast.make_transport()) as client:
            assert type(await outcome_of(client.add, ORDER)) is smm.NotSentError


async def test_time_for_connecting_is_not_the_time_for_the_answer(monkeypatch):
    """An answer may take as long as the client lets it, however little connecting may take."""
    monkeypatch.setattr(_transport, "CONNECT_SECONDS", 1e-6)
    async with SocketPanel(reply(BALANCE)) as server, client_of(server, fast.make_transport()) as client:
        assert str((await client.balance()).balance) == "1.50"


async def test_gate_bounds_the_requests():
    """However many call, no more requests are open than the client may have."""
    act = together(3, reply(BALANCE))
    async with SocketPanel(act) as server, client_of(server, fast.make_transport(), max_in_flight=3) as client:
        outcomes = await at_once(client.balance, 30)

    assert len(outcomes) == 30
    assert server.most_in_flight == 3

"""What the default transport does on real sockets, and what it makes of servers that break."""

import functools
import time
from email.utils import formatdate

import anyio
import httpx
import httpx2
import pytest

import smm_async as smm
from smm_async import _retry
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask
from tests.socket_panel import ClosedPort, SocketPanel, close, hang, head, raw, reply, together, without_end, zipped

KEY = "simulated-key"
BALANCE = b'{"balance": "1.50", "currency": "USD"}'
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)

GIVEN = {
    "default": lambda: None,
    "httpx": httpx.AsyncHTTPTransport,
    "httpx2": httpx2.AsyncHTTPTransport,
}
every_transport = pytest.mark.parametrize("make_transport", GIVEN.values(), ids=GIVEN)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)


def client_of(server, transport=None, **kwargs):
    return smm.Client(server.url, key=KEY, transport=transport, **kwargs)


async def outcome_of(call, *args):
    """Return what a call returns or the error it raises."""
    try:
        return await call(*args)
    except smm.SmmError as error:
        return error


async def at_once(call, count):
    """Make one call many times at the same time, and return its outcomes."""
    outcomes = []

    async def one():
        outcomes.append(await outcome_of(call))

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return outcomes


@every_transport
async def test_read_and_write_are_answered(make_transport):
    """A read and a write go over a socket and come back, by every transport."""
    async with SocketPanel(zipped(BALANCE), reply(b'{"order": 7}')) as server:
        async with client_of(server, make_transport()) as client:
            assert str((await client.balance()).balance) == "1.50"
            assert await client.add(ORDER) == "7"

    assert [request.body[:29] for request in server.requests] == [b"key=simulated-key&action=bala", b"key=simulated-key&action=add&"]


# --- Connections


async def test_reads_use_one_connection_again():
    """Reads one after the other share a connection."""
    async with SocketPanel(reply(BALANCE)) as server, client_of(server) as client:
        for _ in range(5):
            await client.balance()

    assert [request.connection for request in server.requests] == [0] * 5


@every_transport
async def test_gate_bounds_the_requests_on_the_wire(make_transport):
    """However many call, no more requests are open than the client may have, each slot on a connection it keeps."""
    async with SocketPanel(together(3, reply(BALANCE))) as server:
        async with client_of(server, make_transport(), max_in_flight=3) as client:
            for _ in range(3):
                await at_once(client.balance, 10)

    assert len(server.requests) == 30
    assert server.most_in_flight == 3
    assert server.connections == 3


async def test_write_goes_on_a_connection_of_its_own():
    """No write is sent on a connection that may have died while it was idle, nor leaves one behind."""
    async with SocketPanel(reply(BALANCE), reply(b'{"order": 7}'), reply(b'{"order": 8}'), reply(BALANCE)) as server:
        async with client_of(server) as client:
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


# --- Servers that break

BROKEN = {
    "close": close,
    "cut_head": raw(b"HTTP/1.1 200 O", close=True),
    "cut_body": raw(head(200, "Content-Length: 100") + b"{", close=True),
    "cut_chunk": raw(head(200, "Transfer-Encoding: chunked") + b"5\r\n{", close=True),
    "no_http": raw(b"SSH-2.0-OpenSSH\r\n\r\n", close=True),
    "large_header": raw(head(200, "X: " + "x" * 200_000), close=True),
    "two_lengths": raw(head(200, "Content-Length: 1", "Content-Length: 2") + b"{}", close=True),
    "negative_length": raw(head(200, "Content-Length: -1") + b"{}", close=True),
    "bad_chunk": raw(head(200, "Transfer-Encoding: chunked") + b"x\r\n{}\r\n0\r\n\r\n", close=True),
}
every_break = pytest.mark.parametrize("act", BROKEN.values(), ids=BROKEN)


@every_break
@every_transport
async def test_broken_answer_leaves_a_read_unanswered_and_a_write_unknown(make_transport, act):
    """What breaks after the request may have been carried out: reads have three tries, writes one."""
    async with SocketPanel(act) as server, client_of(server, make_transport()) as client:
        read = await outcome_of(client.balance)
        assert len(server.requests) == 3
        write = await outcome_of(client.add, ORDER)
        assert len(server.requests) == 4

    assert type(read) is smm.NoAnswerError
    assert type(write) is smm.OutcomeUnknownError
    for error in (read, write):
        assert error.__cause__ is None
        assert error.__context__ is None


@every_break
async def test_read_after_a_broken_answer_is_answered(act):
    """One broken answer costs a read nothing but time."""
    async with SocketPanel(act, reply(BALANCE)) as server, client_of(server) as client:
        assert str((await client.balance()).balance) == "1.50"


@every_transport
async def test_refused_connection_is_not_sent(make_transport):
    """Where nobody listens, nothing was sent."""
    with ClosedPort() as url:
        async with smm.Client(url, key=KEY, transport=make_transport()) as client:
            for outcome in (await outcome_of(client.balance), await outcome_of(client.add, ORDER)):
                assert type(outcome) is smm.NotSentError


async def test_connection_closed_before_the_request_is_no_proof():
    """A server that hangs up at once may still have read something: the write's outcome is unknown."""
    async with SocketPanel(reply(BALANCE)) as server, client_of(server) as client:
        server.deaf = 1
        assert type(await outcome_of(client.add, ORDER)) is smm.OutcomeUnknownError
        server.deaf = 1
        assert str((await client.balance()).balance) == "1.50"


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (reply("<html><title>Attention Required! | Cloudflare</title>", 403), "Cloudflare"),
        (reply("<html>Welcome", 200), "Welcome"),
        (reply("", 404), ""),
        (reply(BALANCE, 500), "1.50"),
        (reply(b"\xff\xfe", 200), "\ufffd\ufffd"),
    ],
    ids=["cloudflare", "html", "empty", "server_error", "no_text"],
)
async def test_answer_that_is_no_json_is_a_bad_reply(act, text):
    """What is not the protocol is a bad reply, with its status and some of its text."""
    async with SocketPanel(act) as server, client_of(server) as client:
        outcome = await outcome_of(client.balance)

    assert type(outcome) is smm.BadReplyError
    assert text in outcome.text


# --- Servers that take their time


ENDLESS = {
    "hang": hang,
    "drip": without_end(head(200, "Content-Length: 1000000"), b" "),
    "header_trickle": without_end(b"HTTP/1.1 200 OK\r\n", b"X"),
    "endless_1xx": without_end(b"", head(103)),
    "endless_chunk": without_end(head(200, "Transfer-Encoding: chunked") + b"1;", b"x"),
}


@pytest.mark.parametrize("act", ENDLESS.values(), ids=ENDLESS)
async def test_call_ends_at_its_budget_whatever_the_server_does(act):
    """No server can keep a call beyond its budget: a read has no answer, a write an unknown outcome."""
    async with SocketPanel(act) as server, client_of(server, budget=0.02, write_budget=0.02) as client:
        for call, error_type in (
            (client.balance, smm.NoAnswerError),
            (functools.partial(client.status, 7), smm.NoAnswerError),
            (functools.partial(client.add, ORDER), smm.OutcomeUnknownError),
        ):
            started = time.perf_counter()
            assert type(await outcome_of(call)) is error_type
            assert 0.01 < time.perf_counter() - started < 1.0
        await server.wait_for_goodbyes(3)


async def test_slot_of_a_hanging_server_is_free_after_the_budget():
    """What hangs holds its slot no longer than its budget."""
    async with SocketPanel(hang, hang, reply(BALANCE)) as server:
        async with client_of(server, budget=0.02, max_in_flight=2) as client:
            outcomes = await at_once(client.balance, 2)
            assert {type(outcome) for outcome in outcomes} == {smm.NoAnswerError}
            assert str((await client.balance()).balance) == "1.50"


@every_transport
async def test_body_above_its_cap_ends_its_connection(make_transport):
    """An endless body is given up at its cap, and so is its connection; the next request has a new one."""
    endless = without_end(head(200, "Transfer-Encoding: chunked"), b"400\r\n" + b" " * 1024 + b"\r\n")
    async with SocketPanel(endless, reply(BALANCE)) as server, client_of(server, make_transport()) as client:
        outcome = await outcome_of(client.balance)
        assert type(outcome) is smm.BadReplyError
        await client.balance()

    assert server.connections == 2


# --- What does not exist


@every_transport
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(make_transport, status):
    """A redirect is a bad reply that tells where it leads; nobody there hears of the request."""
    async with SocketPanel(reply(BALANCE)) as elsewhere:
        async with SocketPanel(reply("", status, f"Location: {elsewhere.url}")) as server:
            async with client_of(server, make_transport()) as client:
                read = await outcome_of(client.balance)
                write = await outcome_of(client.add, ORDER)

    assert type(read) is smm.BadReplyError
    assert read.status_code == status
    assert read.text == elsewhere.url
    assert type(write) is smm.OutcomeUnknownError
    assert elsewhere.connections == 0
    assert len(server.requests) == 2


@every_transport
async def test_cookies_are_neither_kept_nor_sent(make_transport):
    """What a panel sets as a cookie is not seen again: two keys have nothing in common."""
    async with SocketPanel(reply(BALANCE, 200, "Set-Cookie: PHPSESSID=1; Path=/")) as server:
        async with client_of(server, make_transport()) as client:
            for _ in range(3):
                await client.balance()

    assert [request.header("Cookie") for request in server.requests] == [None] * 3


async def test_environment_is_not_asked(monkeypatch, tmp_path):
    """Proxies and passwords of the environment have no say in where the key goes."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with SocketPanel(reply(BALANCE)) as proxy, SocketPanel(reply(BALANCE)) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with client_of(server) as client:
            await client.balance()

    assert proxy.connections == 0
    assert server.requests[0].header("Authorization") is None


# --- Retry-After


async def test_retry_after_zero_is_asked_again_at_once():
    """A panel that says "now" is asked again now."""
    busy = reply('{"error": "Too many requests"}', 429, "Retry-After: 0")
    async with SocketPanel(busy, reply(BALANCE)) as server, client_of(server) as client:
        await client.balance()

    assert len(server.requests) == 2


@pytest.mark.parametrize("retry_after", [formatdate(4e9, usegmt=True), "soon", "-1", "1" * 30])
async def test_retry_after_that_is_no_use_ends_the_call_at_once(retry_after):
    """What cannot be waited for is not waited for."""
    busy = reply('{"error": "Too many requests"}', 429, f"Retry-After: {retry_after}", f"Date: {formatdate(usegmt=True)}")
    async with SocketPanel(busy) as server, client_of(server) as client:
        assert type(await outcome_of(client.balance)) is smm.RateLimitedError

    assert len(server.requests) == 1


# --- A library in Rust


async def test_rust_transport_works_on_asyncio(anyio_backend_name):
    """pyreqwest's transport carries reads and writes; what it says of connections is not taken for proof."""
    pyreqwest = pytest.importorskip("pyreqwest.compatibility.httpx")
    if anyio_backend_name == "trio":
        pytest.skip("pyreqwest works on asyncio only.")

    async with SocketPanel(zipped(BALANCE), reply(b'{"order": 7}'), close) as server:
        async with client_of(server, pyreqwest.HttpxTransport()) as client:
            assert str((await client.balance()).balance) == "1.50"
            assert await client.add(ORDER) == "7"
            assert type(await outcome_of(client.add, ORDER)) is smm.OutcomeUnknownError
            assert type(await outcome_of(client.balance)) is smm.NoAnswerError
    with ClosedPort() as url:
        async with smm.Client(url, key=KEY, transport=pyreqwest.HttpxTransport()) as client:
            assert type(await outcome_of(client.add, ORDER)) is smm.NotSentError


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

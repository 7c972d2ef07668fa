"""What is made of servers that break, and of those that take their time."""

import functools
import time

import pytest

import smm_async as smm
from smm_async import _retry
from tests.socket_panel import ClosedPort, SocketPanel, close, hang, head, raw, reply, without_end
from tests.sockets import BALANCE, KEY, ORDER, client_of, every_transport, outcome_of


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)


BROKEN = {
    "close": close,
    "cut_head": raw(b"HTTP/1.1 200 O", close=True),
    "cut_body": raw(head(200, "Content-Length: 100") + b"{", close=True),
    "cut_chunk": raw(head(200, "Transfer-Encoding: chunked") + b"5\r\n{", close=True),
    "no_http": raw(b"SSH-2.0-OpenSSH\r\n\r\n", close=True),
    "large_header": raw(head(200, "X: " + "x" * 200_000), close=True),
    "two_lengths": raw(head(200, "Content-Length: 1", "Content-Length: 2") + b"{}", close=True),
    "negative_length": raw(head(200, "Content-Length: -1") + b"{}", close=True),
    "chunk_extension": raw(head(200, "Transfer-Encoding: chunked") + b"2;" + b"x" * 300_000 + b"\r\n{}", close=True),
    "other_protocol": raw(head(101, "Upgrade: other", "Connection: upgrade")),
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


ODD = {
    "until_close": raw(head(200) + BALANCE, close=True),
    "old_http": raw(b"HTTP/1.0 200 OK\r\n\r\n" + BALANCE, close=True),
    "no_reason": raw(b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n" % len(BALANCE) + BALANCE),
    "no_blanks": raw(b"HTTP/1.1 200 OK\r\ncontent-length:%d\r\n\r\n" % len(BALANCE) + BALANCE),
    "interim": raw(head(100) + head(103, "Link: </x>") + head(200, f"Content-Length: {len(BALANCE)}") + BALANCE),
    "in_pieces": raw(*(bytes([byte]) for byte in head(200, f"Content-Length: {len(BALANCE)}") + BALANCE)),
}


@pytest.mark.parametrize("act", ODD.values(), ids=ODD)
async def test_odd_answer_that_is_complete_is_read(act):
    """Servers that are old, or frame their answers in rare ways, are understood, twice in a row."""
    async with SocketPanel(act) as server, client_of(server) as client:
        for _ in range(2):
            assert str((await client.balance()).balance) == "1.50"

    assert len(server.requests) == 2


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
    async with SocketPanel(act) as server, client_of(server, budget=0.03, write_budget=0.03) as client:
        for call, error_type in (
            (client.balance, smm.NoAnswerError),
            (functools.partial(client.status, 7), smm.NoAnswerError),
            (functools.partial(client.add, ORDER), smm.OutcomeUnknownError),
        ):
            started, before = time.perf_counter(), len(server.requests)
            outcome = await outcome_of(call)
            assert 0.02 < time.perf_counter() - started < 5.0
            # On a busy machine the time may be over before anything is sent.
            assert type(outcome) is error_type or (type(outcome), len(server.requests)) == (smm.NotSentError, before)
        await server.wait_for_goodbyes(server.connections)


@every_transport
async def test_body_above_its_cap_ends_its_connection(make_transport):
    """An endless body is given up at its cap, and so is its connection; the next request has a new one."""
    endless = without_end(head(200, "Transfer-Encoding: chunked"), b"400\r\n" + b" " * 1024 + b"\r\n")
    async with SocketPanel(endless, reply(BALANCE)) as server, client_of(server, make_transport()) as client:
        outcome = await outcome_of(client.balance)
        assert type(outcome) is smm.BadReplyError
        await client.balance()

    assert server.connections == 2

"""What there is not: redirects, cookies, and an environment that has a say. And waiting longer than the panel asks."""

from email.utils import formatdate

import pytest

import smm_async as smm
from smm_async import _retry
from tests.socket_panel import SocketPanel, reply
from tests.sockets import BALANCE, ORDER, client_of, every_transport, outcome_of


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)


@every_transport
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(make_transport, status):
    """A redirect is a bad reply that tells where it leads; nobody there hears of the request."""
    async with (
        SocketPanel(reply(BALANCE)) as elsewhere,
        SocketPanel(reply("", status, f"Location: {elsewhere.url}")) as server,
        client_of(server, make_transport()) as client,
    ):
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
    setting = reply(BALANCE, 200, "Set-Cookie: PHPSESSID=1; Path=/")
    async with SocketPanel(setting) as server, client_of(server, make_transport()) as client:
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


async def test_retry_after_zero_is_asked_again_at_once():
    """A panel that says "now" is asked again now."""
    busy = reply('{"error": "Too many requests"}', 429, "Retry-After: 0")
    async with SocketPanel(busy, reply(BALANCE)) as server, client_of(server) as client:
        await client.balance()

    assert len(server.requests) == 2


@pytest.mark.parametrize("retry_after", [formatdate(4e9, usegmt=True), "soon", "-1", "1" * 30])
async def test_retry_after_that_is_no_use_ends_the_call_at_once(retry_after):
    """What cannot be waited for is not waited for."""
    busy = reply(
        '{"error": "Too many requests"}', 429, f"Retry-After: {retry_after}", f"Date: {formatdate(usegmt=True)}"
    )
    async with SocketPanel(busy) as server, client_of(server) as client:
        assert type(await outcome_of(client.balance)) is smm.RateLimitedError

    assert len(server.requests) == 1

"""Which certificates are trusted, and whose word counts for it."""

import datetime as dt
import logging
import ssl
from typing import Any

import httpx
import httpx2
import pytest
import trustme

import smm_async as smm
from smm_async import _retry, _transport
from tests.shown import assert_hides, shown_by
from tests.socket_panel import SocketPanel, reply

KEY = "simulated-key"
BALANCE = b'{"balance": "1.50", "currency": "USD"}'
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, caplog):
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)
    # The server's half of a failed handshake.
    caplog.set_level(logging.CRITICAL, "anyio")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority):
    """Return a context that trusts the authority, and nobody else."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def good(authority):
    return authority.issue_cert("127.0.0.1")


def expired(authority):
    return authority.issue_cert("127.0.0.1", not_before=PAST - dt.timedelta(days=9), not_after=PAST)


def wrong_host(authority):
    return authority.issue_cert("127.0.0.2", "panel.example")


def self_signed(_):
    return trustme.CA().issue_cert("127.0.0.1")


async def outcomes_at(server, transport):
    """Return what a read and a write come to."""
    outcomes: list[Any] = []
    async with smm.Client(server.url, key=KEY, transport=transport) as client:
        for call in (client.balance, lambda: client.add(ORDER)):
            try:
                outcomes.append(await call())
            except smm.SmmError as error:
                outcomes.append(error)
    return outcomes


every_library = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


@every_library
async def test_trusted_certificate_is_answered(authority, trusting, library):
    """A panel whose certificate the given context trusts is asked, over TLS."""
    async with SocketPanel(reply(BALANCE), reply(b'{"order": 7}'), tls=server_context(good(authority))) as server:
        balance, order = await outcomes_at(server, library.AsyncHTTPTransport(verify=trusting))

    assert server.url.startswith("https://")
    assert (str(balance.balance), order) == ("1.50", "7")
    assert server.requests[0].header("Host") == f"127.0.0.1:{server.port}"


@every_library
@pytest.mark.parametrize("make", [expired, wrong_host, self_signed])
async def test_certificate_that_proves_nothing_is_not_sent_to(authority, trusting, make, library):
    """Behind a certificate that is expired, of another host or signed by nobody known, nothing is sent, ever."""
    async with SocketPanel(reply(BALANCE), tls=server_context(make(authority))) as server:
        outcomes = await outcomes_at(server, library.AsyncHTTPTransport(verify=trusting))

    assert [type(outcome) for outcome in outcomes] == [smm.NotSentError] * 2
    assert server.requests == []
    for outcome in outcomes:
        assert_hides(shown_by(outcome), KEY)


async def test_environment_names_no_authority(authority, monkeypatch, tmp_path):
    """Without a transport of the user's, only the usual authorities are trusted, whatever the environment says."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    _transport._tls_context.cache_clear()

    async with SocketPanel(reply(BALANCE), tls=server_context(good(authority))) as server:
        outcomes = await outcomes_at(server, None)

    assert [type(outcome) for outcome in outcomes] == [smm.NotSentError] * 2
    assert server.requests == []


async def test_default_context_is_used_for_https(authority, monkeypatch, trusting):
    """The client's own connections over TLS all share one context, which checks certificates and hosts."""
    context = _transport._tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert _transport._tls_context() is context
    monkeypatch.setattr(_transport, "_tls_context", lambda: trusting)

    async with SocketPanel(reply(BALANCE), reply(b'{"order": 7}'), tls=server_context(good(authority))) as server:
        balance, order = await outcomes_at(server, None)

    assert (str(balance.balance), order) == ("1.50", "7")


async def test_panel_on_http_may_have_an_action_on_https(authority, monkeypatch, trusting):
    """Each address of a panel is asked by its own scheme."""
    monkeypatch.setattr(_transport, "_tls_context", lambda: trusting)
    async with (
        SocketPanel(reply(BALANCE), tls=server_context(good(authority))) as money,
        SocketPanel(reply("[]")) as shop,
    ):
        actions = {"services": smm.panels.Action("services"), "balance": smm.panels.Action("balance", url=money.url)}
        async with smm.Client(smm.Panel(shop.url, actions=actions), key=KEY) as client:
            assert await client.services() == []
            assert (await client.balance()).currency == "USD"
            assert await client.services() == []

    assert (len(money.requests), len(shop.requests)) == (1, 2)


async def test_plain_http_where_tls_is_spoken_is_never_answered(authority):
    """A panel's address with the wrong scheme is an error, and the key has not been read by anybody."""
    async with SocketPanel(reply(BALANCE), tls=server_context(good(authority))) as server:
        panel = smm.Panel(server.url.replace("https", "http"))
        async with smm.Client(panel, key=KEY) as client:
            with pytest.raises(smm.NoAnswerError):
                await client.balance()

    assert server.requests == []


async def test_tls_where_plain_http_is_spoken_is_not_sent():
    """If the server cannot speak TLS, nothing was sent."""
    async with SocketPanel(reply(BALANCE)) as server:
        server_url = server.url.replace("http", "https")
        async with smm.Client(server_url, key=KEY) as client:
            with pytest.raises(smm.NotSentError):
                await client.add(ORDER)

    assert server.requests == []

"""Writes over real sockets to panels that break at every point: what the client says is what the panel did."""

import datetime as dt
import ssl

import anyio
import httpx
import httpx2
import pytest
import trustme

import smm_async as smm
from smm_async import _transport
from tests.fault_server import FAULTS, STALE, FaultServer
from tests.placing import KEY, ORDER, is_certain_wrongly, outcome_of
from tests.socket_panel import ClosedPort

pytestmark = pytest.mark.thorough

VALUE, UNKNOWN, NOT_SENT = str, smm.OutcomeUnknownError, smm.NotSentError
MAKERS = {"own": None, "httpx": httpx.AsyncHTTPTransport, "httpx2": httpx2.AsyncHTTPTransport}
# Trusts nobody. To read the system's certificates each time would take longer than the rest of a test.
STRICT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
every_library = pytest.mark.parametrize("library", MAKERS)
WRITES = {
    "add": lambda client: client.add(ORDER),
    "refill": lambda client: client.refill(11),
    "cancel": lambda client: client.cancel(12),
}
# All others leave a write in doubt. Who is faster decides what a reset does to what was on its way.
EXPECTED: dict[str, set[type]] = {
    "none": {VALUE},
    "answer_then_reset": {VALUE, UNKNOWN},
    "refused_in_words": {smm.NotEnoughFundsError},
    "reset_on_accept": {NOT_SENT, UNKNOWN},
    "reset_before_the_body": {NOT_SENT, UNKNOWN},
}


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request):
    """Run each test on both loops."""
    return request.param


def client_of(server_url, library, *, tls=STRICT, **kwargs):
    """Return a client with a transport of its own, or one by a library, which trusts what ``tls`` says."""
    make = MAKERS[library]
    return smm.Client(server_url, key=KEY, transport=None if make is None else make(verify=tls), **kwargs)


@every_library
@pytest.mark.parametrize("name", FAULTS)
async def test_write_to_a_broken_panel_is_sent_once_and_never_certain_wrongly(name, library):
    """A value means that it was carried out, a no that it was not; whatever breaks, nothing is sent again."""
    budget = 0.4 if FAULTS[name].is_endless else 10.0
    found = []

    async def one(action):
        async with FaultServer(FAULTS[name]) as server:
            async with client_of(f"http://127.0.0.1:{server.port}/", library, write_budget=budget) as client:
                found.append((action, await outcome_of(WRITES[action](client)), server))

    async with anyio.create_task_group() as tasks:
        for action in WRITES:
            tasks.start_soon(one, action)

    for action, outcome, server in found:
        assert len(server.executed) <= server.writes <= 1
        assert not is_certain_wrongly(outcome, was_executed=bool(server.executed)), (action, outcome)
        # On a slow machine a small budget may end before anything has left.
        also = set() if server.writes else {NOT_SENT}
        assert type(outcome) in EXPECTED.get(name, {UNKNOWN}) | also, (action, outcome)


@every_library
async def test_write_to_a_closed_port_is_not_sent(library):
    """Where nobody listens, nothing was sent."""
    with ClosedPort() as url:
        async with client_of(url, library) as client:
            for write in WRITES.values():
                assert type(await outcome_of(write(client))) is NOT_SENT


@every_library
@pytest.mark.parametrize("name", STALE)
async def test_write_after_a_read_never_meets_a_dead_connection(name, library):
    """With transports of its own, a client has no write in doubt because a connection died while it was idle."""
    for write in WRITES.values():
        async with FaultServer(STALE[name], closes_behind_reads=name == "closed_while_idle") as server:
            async with client_of(f"http://127.0.0.1:{server.port}/", library) as client:
                await client.balance()
                # As long as it takes for a goodbye to arrive.
                await anyio.sleep(0.005)
                outcome = await outcome_of(write(client))

        assert len(server.executed) <= server.writes <= 1
        assert not is_certain_wrongly(outcome, was_executed=bool(server.executed)), outcome
        if library == "own":
            assert type(outcome) is VALUE


# --- TLS


@pytest.fixture(scope="module")
def authority():
    """A throw-away authority that the client trusts."""
    return trustme.CA()


def server_context(authority, host="localhost", **kwargs):
    """Return what a server with a certificate by ``authority`` serves with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, **kwargs).configure_cert(context)
    return context


def expired_context(authority):
    """Return what a server with a certificate of the day before yesterday serves with."""
    now = dt.datetime.now(dt.UTC)
    return server_context(authority, not_before=now - dt.timedelta(days=3), not_after=now - dt.timedelta(days=2))


SERVERS = {
    "good": server_context,
    "expired": expired_context,
    "wrong_host": lambda authority: server_context(authority, "elsewhere.example"),
    "self_signed": lambda authority: server_context(trustme.CA()),
    "plain_text": lambda authority: None,
}


@every_library
@pytest.mark.parametrize("name", SERVERS)
async def test_write_over_tls_leaves_only_for_a_trusted_panel(name, library, authority, monkeypatch):
    """To a panel that cannot prove who it is not a byte of a write is sent, and that is certain."""
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    monkeypatch.setattr(_transport, "_tls_context", lambda: trusted)

    for write in WRITES.values():
        async with FaultServer(FAULTS["none"], tls=SERVERS[name](authority)) as server:
            async with client_of(f"https://localhost:{server.port}/", library, tls=trusted) as client:
                outcome = await outcome_of(write(client))

        assert type(outcome) is (VALUE if name == "good" else NOT_SENT)
        assert len(server.executed) == server.writes == (name == "good")


@every_library
@pytest.mark.parametrize("name", ["reset_on_accept", "close_on_accept", "hang_on_accept"])
async def test_write_to_a_panel_that_breaks_the_handshake_is_not_sent(name, library, monkeypatch):
    """Before a handshake has ended nothing has left."""
    monkeypatch.setattr(_transport, "CONNECT_SECONDS", 0.05)

    async with FaultServer(FAULTS[name]) as server:
        async with client_of(f"https://localhost:{server.port}/", library) as client:
            for write in WRITES.values():
                assert type(await outcome_of(write(client))) is NOT_SENT

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
from tests.fault_server import FAULTS, Fault, FaultServer, answering, behind
from tests.placing import KEY, ORDER, is_certain_wrongly, outcome_of
from tests.socket_panel import ClosedPort

VALUE, UNKNOWN, NOT_SENT = str, smm.OutcomeUnknownError, smm.NotSentError
MAKERS = {"own": None, "httpx": httpx.AsyncHTTPTransport, "httpx2": httpx2.AsyncHTTPTransport}
every_library = pytest.mark.parametrize("library", MAKERS)
WRITES = {
    "add": lambda client: client.add(ORDER),
    "refill": lambda client: client.refill(11),
    "cancel": lambda client: client.cancel(12),
}
# What a server that breaks before it has read the body leaves behind is a matter of who is faster.
EXPECTED = {
    "none": {VALUE},
    "answer_then_reset": {VALUE, UNKNOWN},
    "refused_in_words": {smm.NotEnoughFundsError},
    "reset_on_accept": {NOT_SENT, UNKNOWN},
}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Run each test on both loops."""
    return request.param


def client_of(server_url, library, tls=None, **kwargs):
    """Return a client with a transport of its own, or one by a library; both trust what ``tls`` trusts."""
    make = MAKERS[library]
    transport = None if make is None else make(verify=True if tls is None else tls)
    return smm.Client(server_url, key=KEY, transport=transport, **{"write_budget": 0.1, **kwargs})


@every_library
@pytest.mark.parametrize("name", FAULTS)
async def test_write_to_a_broken_panel_is_sent_once_and_never_certain_wrongly(name, library):
    """A value means that it was carried out, a no that it was not; whatever breaks, nothing is sent again."""
    for action, write in WRITES.items():
        async with FaultServer(FAULTS[name]) as server:
            async with client_of(f"http://127.0.0.1:{server.port}/", library) as client:
                outcome = await outcome_of(write(client))

        assert len(server.executed) <= server.writes <= 1
        assert not is_certain_wrongly(outcome, was_executed=bool(server.executed)), (action, outcome)
        assert type(outcome) in EXPECTED.get(name, {UNKNOWN}), (action, outcome)


@every_library
async def test_write_to_a_closed_port_is_not_sent(library):
    """Where nobody listens, nothing was sent."""
    with ClosedPort() as url:
        async with client_of(url, library) as client:
            for write in WRITES.values():
                assert type(await outcome_of(write(client))) is NOT_SENT


# --- Connections that died while they were idle


async def _close(server, stream, form):
    await stream.aclose()


STALE = {
    "closed_while_idle": answering(_close, hangs_up_on_readers=True),
    "closed_on_the_next_request": behind(_close, executed=False),
    "closed_behind_the_next_request": behind(_close, executed=True),
}


class OnlyOnUsedConnections(FaultServer):
    """Breaks only what comes on a connection that has answered before, and carries out what comes on a new one."""

    async def _serve(self, stream):
        async with stream:
            is_used = False
            try:
                while True:
                    fault, self._fault = self._fault, self._fault if is_used else STALE["closed_while_idle"]
                    try:
                        if not await self._answer(stream) and (is_used or self.writes):
                            return
                    finally:
                        self._fault = fault
                    is_used = True
            except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass


@every_library
@pytest.mark.parametrize("name", STALE)
async def test_write_after_a_read_never_meets_a_dead_connection(name, library):
    """A client with transports of its own never has a write in doubt because a connection died while it was idle."""
    server_type = FaultServer if name == "closed_while_idle" else OnlyOnUsedConnections
    for write in WRITES.values():
        async with server_type(STALE[name]) as server:
            async with client_of(f"http://127.0.0.1:{server.port}/", library) as client:
                await client.balance()
                # As long as it takes for the goodbye to arrive.
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


def server_context(authority, **kwargs):
    """Return what a server with a certificate by ``authority`` serves with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    host = kwargs.pop("host", "localhost")
    authority.issue_cert(host, **kwargs).configure_cert(context)
    return context


def expired():
    """Return the dates of a certificate of the day before yesterday."""
    now = dt.datetime.now(dt.UTC)
    return {"not_before": now - dt.timedelta(days=3), "not_after": now - dt.timedelta(days=2)}


SERVERS = {
    "good": server_context,
    "expired": lambda authority: server_context(authority, **expired()),
    "wrong_host": lambda authority: server_context(authority, host="elsewhere.example"),
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
            async with client_of(f"https://localhost:{server.port}/", library, trusted, write_budget=5.0) as client:
                outcome = await outcome_of(write(client))

        assert type(outcome) is (VALUE if name == "good" else NOT_SENT)
        assert len(server.executed) == server.writes == (name == "good")


@every_library
@pytest.mark.parametrize("name", ["reset_on_accept", "close_on_accept", "hang_on_accept"])
async def test_write_to_a_panel_that_breaks_the_handshake_is_not_sent(name, library, monkeypatch):
    """Before a handshake has ended nothing has left."""
    monkeypatch.setattr(_transport, "_CONNECT_SECONDS", 0.03)

    async with FaultServer(FAULTS[name]) as server:
        async with client_of(f"https://localhost:{server.port}/", library, write_budget=5.0) as client:
            outcome = await outcome_of(client.add(ORDER))

    assert type(outcome) is NOT_SENT


async def test_faults_are_met_where_they_say():
    """Each fault is one that a write meets, at one of three points."""
    assert {fault.at for fault in FAULTS.values()} == {"accept", "head", "body"}
    assert all(isinstance(fault, Fault) for fault in (*FAULTS.values(), *STALE.values()))

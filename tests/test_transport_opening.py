"""What becomes of a connection that opens at the moment at which its request is cancelled."""

import ssl

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest

import smm_async as smm
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

BODY = b'{"balance": "1.50", "currency": "USD"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Network:
    """Cancels the scope that is set, if any, at the end of each step of connecting."""

    def __init__(self):
        self.scope = None
        self.opened = self.closed = 0

    def meet(self):
        if self.scope is not None:
            self.scope.cancel()

    async def connect_tcp(self, *args, **kwargs):
        self.opened += 1
        self.meet()
        return Stream(self)


class Stream:
    """Takes anything, and answers once."""

    def __init__(self, network):
        self._network = network
        self._answers = [ANSWER]

    async def start_tls(self, *args, **kwargs):
        self._network.meet()
        return self

    async def write(self, *args, **kwargs):
        await anyio.lowlevel.checkpoint()

    async def read(self, *args, **kwargs):
        await anyio.lowlevel.checkpoint()
        return self._answers.pop() if self._answers else b""

    async def aclose(self):
        self._network.closed += 1

    def get_extra_info(self, info):
        return None


def pool_over(network, library):
    """Return a transport of ``library`` with a single place."""
    transport = library.AsyncHTTPTransport(
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), limits=library.Limits(max_connections=1)
    )
    transport._pool._network_backend = network
    return transport


@pytest.fixture
def network():
    """Give a network in memory."""
    return Network()


@pytest.fixture(params=["https://panel.example/api/v2", "http://127.0.0.1/api/v2"], ids=["https", "http"])
def panel(request):
    """Give a panel, with and without TLS."""
    return smm.Panel(request.param)


@pytest.fixture(params=[httpx, httpx2, None], ids=["httpx", "httpx2", "own"])
def sender(request, network, panel, monkeypatch):
    """Give what sends to the panel, through a pool that was given or through connections of its own."""
    if request.param is not None:
        return Transport(panel, Secret("simulated-key"), pool_over(network, request.param))
    sender = Transport(panel, Secret("simulated-key"))
    monkeypatch.setattr(sender, "_make", lambda *, keep: pool_over(network, httpx))
    return sender


async def test_request_cancelled_as_its_connection_opens_leaves_its_place(sender, panel, network):
    """The connection is closed, and the next request gets one."""
    with anyio.CancelScope() as network.scope:
        await sender.send(ask(panel, "balance"), limit=1000)
    was_cancelled, network.scope = network.scope.cancelled_caught, None

    with anyio.fail_after(5.0):
        reply = await sender.send(ask(panel, "balance"), limit=1000)

    assert was_cancelled
    assert reply.body == BODY
    assert (network.opened, network.closed) == (2, 1)

"""How a client's own connections are closed: all at once, whatever becomes of one of them."""

import anyio
import pytest

import smm_async as smm
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask
from tests.scripted_transport import ScriptedTransport, after, answer
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

PANEL = smm.Panel("https://panel.example/api/v2")
GOODBYE = 2.0


class Connection(ScriptedTransport):
    """Answers after a second, and takes two to say goodbye."""

    def __init__(self):
        super().__init__(after(1.0, answer({"balance": "1.50"})))
        self.is_asked_to_close = False

    async def aclose(self):
        """Take its time."""
        self.is_asked_to_close = True
        await anyio.sleep(GOODBYE)
        await super().aclose()


class BrokenConnection(Connection):
    """Fails to say goodbye."""

    async def aclose(self):
        """Fail at once."""
        self.is_asked_to_close = True
        raise OSError("text")


async def open_all(connections, monkeypatch):
    """Return a transport that has these connections open, and nothing on its way."""
    transport, ahead = Transport(PANEL, Secret("simulated-key")), iter(connections)
    monkeypatch.setattr(transport, "_make", lambda *, keep: next(ahead))
    async with anyio.create_task_group() as tasks:
        for _ in connections:
            tasks.start_soon(lambda: transport.send(ask(PANEL, "balance"), limit=1000))
    assert [len(connection.requests) for connection in connections] == [1] * len(connections)
    return transport


async def test_connections_are_closed_at_once(monkeypatch):
    """Closing takes as long as the slowest goodbye, not as all of them."""
    connections = [Connection() for _ in range(8)]
    transport = await open_all(connections, monkeypatch)
    began_at = anyio.current_time()

    await transport.aclose()

    assert anyio.current_time() - began_at == pytest.approx(GOODBYE)
    assert all(connection.is_closed for connection in connections)


async def test_connection_that_fails_to_close_keeps_none_open(monkeypatch):
    """The others are closed all the same, and nothing is raised."""
    connections = [Connection(), BrokenConnection(), Connection()]
    transport = await open_all(connections, monkeypatch)

    await transport.aclose()

    assert [connection.is_closed for connection in connections] == [True, False, True]


async def test_cancelled_closing_has_begun_on_each_connection(monkeypatch):
    """Cancelling ends the wait for the goodbyes; none of the connections is left out."""
    connections = [Connection() for _ in range(3)]
    transport = await open_all(connections, monkeypatch)
    began_at = anyio.current_time()

    with anyio.move_on_after(GOODBYE / 2) as scope:
        await transport.aclose()

    assert scope.cancelled_caught
    assert anyio.current_time() - began_at == pytest.approx(GOODBYE / 2)
    assert [(each.is_asked_to_close, each.is_closed) for each in connections] == [(True, False)] * 3

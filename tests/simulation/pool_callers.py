"""How the callers of a storm ask: through the client, or as most programs do."""

import contextlib
import ssl
from unittest import mock

import smm_async as smm
from smm_async import _exchange
from smm_async._decode import make_converter
from smm_async._retry import Retries

_URL = "http://127.0.0.1/api/v2"
_KEY = "simulated-key"
# Made once: either takes longer than many requests.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_CONVERTER = make_converter(smm.Panel(_URL))


class ThroughClient:
    """Asks through the client."""

    errors = smm.SmmError

    def __init__(self, storm, gate):
        knobs = storm.knobs
        self._client = smm.Client(
            _URL,
            key=_KEY,
            transport=storm.make_pool() if storm.library else None,
            max_in_flight=gate,
            budget=knobs.budget,
            write_budget=knobs.write_budget,
        )
        exchange = self._client._exchange
        exchange._retries = Retries(storm.draw)
        transport = exchange._transport
        make = transport._make
        transport._make = lambda **options: storm.put_over_network(make(**options))
        send = transport._exchange

        async def counted(*args):
            with storm.in_flight():
                return await send(*args)

        transport._exchange = counted
        self._draw = storm.draw
        self.aclose = self._client.aclose

    async def ask(self, kind, number):
        """Make a call."""
        client = self._client
        if kind == "add":
            await client.add(smm.orders.Default(service=1, link=f"https://example.com/{number}", quantity=100))
        elif kind == "status":
            order = self._draw.randint(1, 200)
            status = await client.status(order)
            assert status.remains == order, status
        elif kind == "refill":
            await client.refill(number)
        else:
            await client.balance()


class Plain:
    """Asks as most programs do: a request of its library in the caller's own task."""

    def __init__(self, storm):
        self._client = storm.library.AsyncClient(transport=storm.make_pool(), trust_env=False, timeout=None)
        self.errors = storm.library.HTTPError
        self.aclose = self._client.aclose

    async def ask(self, kind, number):
        """Make a call."""
        form = {"key": _KEY, "action": kind, "order": str(number)}
        response = await self._client.post(_URL, data=form)
        response.json()


@contextlib.contextmanager
def converter_made_once():
    """Have all clients made here share what decodes answers."""
    with mock.patch.object(_exchange, "make_converter", return_value=_CONVERTER):
        yield

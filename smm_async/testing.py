"""A panel in memory, for tests: balance, services, orders that progress, refills, products, faults on demand.

`SimulatedPanel` is used in three ways: `panel.transport()` as the transport of a client, `panel.respond` as the
handler of `httpx.MockTransport` or the `side_effect` of a respx route, and `panel` itself as an ASGI application.
It shares no code with the client that it tests. All times are seconds of the panel's clock.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import anyio
import httpx

from smm_async import _simulated_http as _http
from smm_async._simulated_actions import answer_request
from smm_async._simulated_books import Books
from smm_async._simulated_catalogue import PRODUCTS, SERVICES, SimulatedProduct, SimulatedService
from smm_async._simulated_dialects import D3MWORLD, ONE_DG, STANDARD, Dialect, ErrorTexts
from smm_async._simulated_faults import Fault, FaultQueue
from smm_async._simulated_http import Message, Receive, Send, SimulatedTransport
from smm_async._simulated_orders import ExecutedWrite, SimulatedOrder, SimulatedProductOrder, SimulatedRefill
from smm_async._simulated_requests import Answer, Form, ReceivedRequest, read_form, read_request

__all__ = [
    "D3MWORLD",
    "ONE_DG",
    "PRODUCTS",
    "SERVICES",
    "STANDARD",
    "Answer",
    "Dialect",
    "ErrorTexts",
    "ExecutedWrite",
    "Fault",
    "ReceivedRequest",
    "SimulatedOrder",
    "SimulatedPanel",
    "SimulatedProduct",
    "SimulatedProductOrder",
    "SimulatedRefill",
    "SimulatedService",
    "SimulatedTransport",
]


class SimulatedPanel:
    """A panel in memory.

    A request is recorded and executed the moment it arrives; its answer travels for `latency` seconds. States are
    computed from the clock when somebody looks: nothing runs in the background. Outside an event loop the default
    clock stands still, and an order placed there starts at its first lookup inside one. Clocks of different event
    loops may differ: give a `clock` of your own to use one panel in several.

    Args:
        key: The only key that is accepted; not empty.
        dialect: What the panel understands and how it writes its answers.
        balance: The money on the account.
        currency: The word behind the money.
        services: The catalogue.
        products: What is sold beside services.
        url: The value of `url`; nothing listens there.
        first_order: The first id of an order, and of a product order, which are counted apart.
        first_refill: The first id of a refill.
        latency: Seconds between the arrival of a request and that of its answer, at least 0.
        clock: Returns seconds; by default `anyio.current_time`.
        seed: The seed of everything drawn at random.
        durations: The shortest and longest time an order or a refill takes, in seconds.
        partial_share: The share of orders that end Partial, with money back, from 0 to 1.
        canceled_share: The share of orders that end Canceled, with all money back, from 0 to 1.

    Raises:
        ValueError: The key is empty.
    """

    url: str
    """What to give to a client."""
    latency: float
    """Seconds between the arrival of a request and that of its answer; may be changed at any time."""
    requests: list[ReceivedRequest]
    """Every request that reached the panel, in order of arrival; may be cleared."""

    def __init__(
        self,
        key: str = "simulated-key",
        *,
        dialect: Dialect = STANDARD,
        balance: Decimal = Decimal(1000),
        currency: str = "USD",
        services: Iterable[SimulatedService] = SERVICES,
        products: Iterable[SimulatedProduct] = PRODUCTS,
        url: str = "https://panel.example/api/v2",
        first_order: int = 1,
        first_refill: int = 1,
        latency: float = 0.0,
        clock: Callable[[], float] | None = None,
        seed: int = 0,
        durations: tuple[float, float] = (60.0, 600.0),
        partial_share: float = 0.0,
        canceled_share: float = 0.0,
    ) -> None:
        if not key:
            message = "A panel's key must not be empty."
            raise ValueError(message)
        self.url = url
        self.latency = latency
        self.requests = []
        self._key = key
        self._dialect = dialect
        self._currency = currency
        self._faults = FaultQueue()
        self._books = Books(
            texts=dialect.texts,
            services={service.service: service for service in services},
            products={product.product: product for product in products},
            clock=clock or anyio.current_time,
            rng=random.Random(seed),  # noqa: S311 - no secret is drawn, and a seed must repeat its run
            durations=durations,
            partial_share=partial_share,
            canceled_share=canceled_share,
            next_order=first_order,
            next_product_order=first_order,
            next_refill=first_refill,
            funds=balance,
        )

    def __repr__(self) -> str:
        return f"<SimulatedPanel {self._dialect.name}, {len(self.orders)} orders, {len(self.requests)} requests>"

    @property
    def key(self) -> str:
        """The key that is accepted."""
        return self._key

    @property
    def balance(self) -> Decimal:
        """The money on the account, now; may be set."""
        self._books.settle(self._books.now())
        return self._books.funds

    @balance.setter
    def balance(self, balance: Decimal) -> None:
        self._books.settle(self._books.now())
        self._books.funds = balance

    @property
    def orders(self) -> dict[int, SimulatedOrder]:
        """The orders for services by id; may be changed."""
        return self._books.orders

    @property
    def product_orders(self) -> dict[int, SimulatedProductOrder]:
        """The orders for products by id; may be changed."""
        return self._books.product_orders

    @property
    def refills(self) -> dict[int, SimulatedRefill]:
        """The refills by id; may be changed."""
        return self._books.refills

    @property
    def executed(self) -> list[ExecutedWrite]:
        """Every write that really happened, in order: what the client may know but cannot change."""
        return self._books.executed

    def transport(self) -> SimulatedTransport:
        """Return a new transport that ends at this panel; there may be several."""
        return SimulatedTransport(self.respond)

    async def respond(self, request: httpx.Request) -> httpx.Response:
        """Return the response to one request; its body is an unread stream.

        Cancelled while it waits for the latency, the request has been executed all the same.

        Raises:
            httpx.ConnectError: The panel refused, by a fault.
            httpx.ReadError: The answer was lost, by a fault.
        """
        form = read_form(request.headers.get("content-type", ""), await request.aread())
        answer, fault = await self._serve(form, request.method)
        return await _http.respond_over_transport(request, answer, fault)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection: HTTP on any path, and lifespan; others are left alone."""
        if scope["type"] == "lifespan":
            await _http.run_asgi_lifespan(receive, send)
        if scope["type"] != "http":
            return
        body = await _http.read_asgi_body(receive)
        if body is None:
            return
        content_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
        answer, fault = await self._serve(read_form(content_type, body), scope["method"])
        await _http.respond_over_asgi(answer, fault, receive, send)

    def answer(self, form: Mapping[str, str]) -> Answer:
        """Record and execute one form, key included, at once and without faults, and return the answer."""
        request = self._read(Form(form), "POST")
        self.requests.append(request)
        return self._execute(request)

    def fault(self, fault: Fault, *, times: int | None = 1, action: str | None = None) -> None:
        """Queue a fault; each request meets the first queued one that fits it, and no other.

        Args:
            fault: What happens.
            times: How many requests it meets, at least 1; None for every one until `clear_faults`.
            action: Meet only requests with this action.

        Raises:
            ValueError: `times` is less than 1.
        """
        if times is not None and times < 1:
            message = f"A fault happens at least once, not {times} times."
            raise ValueError(message)
        self._faults.put(fault, times, action)

    def clear_faults(self) -> None:
        """Forget every queued fault."""
        self._faults.clear()

    def count(self, action: str | None = None) -> int:
        """Return how many requests reached the panel, with one action or with any."""
        return len(self.ids_per_request(action))

    def ids_per_request(self, action: str | None = None) -> list[int]:
        """Return how many ids each request bore, in order of arrival, with one action or with any."""
        return [len(request.ids) for request in self.requests if action in {None, request.action}]

    def place(
        self,
        service: int | None = None,
        *,
        quantity: int = 1000,
        duration: float | None = None,
        outcome: str | None = None,
        remains: int = 0,
        fields: Mapping[str, str] | None = None,
    ) -> int:
        """Put one order into the panel, as if it had been paid before, and return its id.

        Args:
            service: Its service; by default the first of the catalogue.
            quantity: Its pieces, without a look at the service's bounds.
            duration: Seconds until it ends; by default drawn at random.
            outcome: The word it ends with; by default drawn at random (Completed, if no shares were given).
            remains: Pieces not delivered at the end, if `outcome` is given; Canceled leaves all of them.
            fields: What was sent with it.

        Raises:
            KeyError: There is no such service.
        """
        books = self._books
        number = next(iter(books.services)) if service is None else service
        order = books.place(books.services[number], quantity, fields or {}, books.now())
        if duration is not None:
            order.duration = duration
        if outcome is not None:
            order.outcome = outcome
            order.outcome_remains = quantity if outcome == "Canceled" else remains
        # Entered a second time if `place` drew another end: the money is given back once all the same.
        books.await_outcome(order)
        return order.order

    def seed_orders(self, count: int, *, service: int | None = None, quantity: int = 1000) -> list[int]:
        """Put many orders into the panel, as if they had been paid before, and return their ids.

        Raises:
            KeyError: There is no such service.
        """
        books = self._books
        number = next(iter(books.services)) if service is None else service
        seeded, fields, now = books.services[number], dict[str, str](), books.now()
        return [books.place(seeded, quantity, fields, now).order for _ in range(count)]

    def set_status(self, order: int | str, status: str, *, remains: int | None = None) -> None:
        """Set an order's word for ever; Partial and Canceled give the money of what remains back.

        Args:
            order: Its id.
            status: Any word, also one that no client knows.
            remains: Pieces not delivered; by default 0 if Completed, all if Canceled, else what remains now.

        Raises:
            KeyError: There is no such order.
        """
        record, now = self.orders[int(order)], self._books.now()
        if remains is None:
            remains = {"Completed": 0, "Canceled": record.quantity}.get(status, record.remains(now))
        record.fixed_status, record.fixed_remains = status, remains
        self._books.refund(record, now)

    def set_product_status(
        self, order: int | str, status: str, *, note: str = "", refund: Decimal | None = None
    ) -> None:
        """Set a product order's word for ever, and the money that is given back.

        Args:
            order: Its id.
            status: Any word.
            note: Shown with Partial and Canceled.
            refund: All the money given back since it was ordered; by default everything if Canceled, else nothing.

        Raises:
            KeyError: There is no such product order.
        """
        record = self.product_orders[int(order)]
        record.fixed_status, record.note = status, note
        if refund is None:
            refund = record.product.rate * record.quantity if status == "Canceled" else Decimal(0)
        self._books.refund_product(record, refund)

    def set_refill_status(self, refill: int | str, status: str) -> None:
        """Set a refill's word for ever, such as Rejected.

        Raises:
            KeyError: There is no such refill.
        """
        self.refills[int(refill)].fixed_status = status

    async def _serve(self, form: Form, method: str) -> tuple[Answer, Fault]:
        request = self._read(form, method)
        fault = self._faults.take(request)
        answer = None
        if fault.delivery != "refused":
            self.requests.append(request)
        # Executed before the wait: whoever gives up while the answer travels cannot undo it.
        if fault.executed:
            answer = self._execute(request)
        await anyio.sleep(self.latency + fault.delay)
        return fault.change(answer), fault

    def _read(self, form: Form, method: str) -> ReceivedRequest:
        at = self._books.now()
        return read_request(form, self._dialect, key=self._key, method=method, at=0.0 if at is None else at)

    def _execute(self, request: ReceivedRequest) -> Answer:
        return answer_request(self._books, self._dialect, request, self._currency)

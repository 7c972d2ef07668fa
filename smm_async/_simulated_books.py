"""The books of a simulated panel: its balance, orders, refills and stock, and every way they change."""

import random
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from heapq import heappop, heappush
from typing import TypeVar

import anyio
from attrs import Factory, define, field

from smm_async._simulated_catalogue import (
    RefusedError,
    SimulatedProduct,
    SimulatedService,
    check_quantity,
    ordered_quantity,
)
from smm_async._simulated_dialects import ErrorTexts
from smm_async._simulated_orders import TERMINAL, ExecutedWrite, SimulatedOrder, SimulatedProductOrder, SimulatedRefill
from smm_async._simulated_requests import read_number

_HIGHEST_START_COUNT = 10_000
_Record = TypeVar("_Record")


def _full_stock(books: "Books") -> dict[int, int | None]:
    return {number: product.inventory for number, product in books.products.items()}


@define(kw_only=True, eq=False)
class Books:
    """Everything a panel remembers about money and orders. Nothing here waits or knows HTTP."""

    texts: ErrorTexts
    services: Mapping[int, SimulatedService]
    products: Mapping[int, SimulatedProduct]
    clock: Callable[[], float]
    rng: random.Random
    durations: tuple[float, float]
    partial_share: float
    canceled_share: float
    next_order: int
    next_product_order: int
    next_refill: int
    # Mutable state from here on; `funds` lags behind until `settle` has looked at the clock.
    funds: Decimal
    stock: dict[int, int | None] = field(init=False, default=Factory(_full_stock, takes_self=True))
    orders: dict[int, SimulatedOrder] = field(factory=dict[int, SimulatedOrder])
    product_orders: dict[int, SimulatedProductOrder] = field(factory=dict[int, SimulatedProductOrder])
    refills: dict[int, SimulatedRefill] = field(factory=dict[int, SimulatedRefill])
    refill_of: dict[int, int] = field(factory=dict[int, int])
    executed: list[ExecutedWrite] = field(factory=list[ExecutedWrite])
    # Orders that will give money back by themselves, by the moment they do: nobody has to scan all orders for them.
    refunds_due: list[tuple[float, int]] = field(factory=list[tuple[float, int]])

    def now(self) -> float | None:
        """Return the clock's seconds, or None where there is no event loop to ask."""
        try:
            return self.clock()
        except anyio.NoEventLoopError:
            return None

    def settle(self, now: float | None) -> None:
        """Give back the money of orders that have ended Partial or Canceled by themselves."""
        while now is not None and self.refunds_due and self.refunds_due[0][0] <= now:
            order = self.orders.get(heappop(self.refunds_due)[1])
            if order is not None:
                self.refund(order, now)

    def refund(self, order: SimulatedOrder, now: float | None) -> Decimal:
        """Bring the money given back in line with the order's state; return what the balance gained."""
        undelivered = max(0, order.remains(now)) if order.status(now) in {"Partial", "Canceled"} else 0
        refunded = order.service.unit_price * undelivered
        gained = refunded - order.refunded
        order.refunded = refunded
        self.funds += gained
        return gained

    def refund_product(self, order: SimulatedProductOrder, refunded: Decimal) -> None:
        """Bring the money given back for a product order to this sum."""
        self.funds += refunded - order.refunded
        order.refunded = refunded

    def await_outcome(self, order: SimulatedOrder) -> None:
        """Note when an order will give money back, as soon as its start is known."""
        if order.outcome != "Completed" and order.placed_at is not None:
            heappush(self.refunds_due, (order.placed_at + order.duration, order.order))

    def order(self, text: str, now: float | None) -> SimulatedOrder:
        """Return an order by the text of its id, started if it was not."""
        order = _find(self.orders, text, self.texts.order)
        if order.placed_at is None:
            order.placed_at = now
            self.await_outcome(order)
            self.settle(now)
        return order

    def product_order(self, text: str, now: float | None) -> SimulatedProductOrder:
        """Return a product order by the text of its id, started if it was not."""
        order = _find(self.product_orders, text, self.texts.order)
        if order.placed_at is None:
            order.placed_at = now
        return order

    def refill(self, text: str, now: float | None) -> SimulatedRefill:
        """Return a refill by the text of its id, started if it was not."""
        refill = _find(self.refills, text, self.texts.refill)
        if refill.placed_at is None:
            refill.placed_at = now
        return refill

    def place(
        self, service: SimulatedService, quantity: int, fields: Mapping[str, str], now: float | None
    ) -> SimulatedOrder:
        """Enter an order, its course drawn from the random numbers; the balance is left alone."""
        order = SimulatedOrder(
            order=self.next_order,
            service=service,
            quantity=quantity,
            fields=fields,
            start_count=int(self.rng.random() * _HIGHEST_START_COUNT),
            duration=self._draw_duration(),
            placed_at=now,
        )
        self.next_order += 1
        self._draw_outcome(order)
        self.orders[order.order] = order
        self.await_outcome(order)
        return order

    def add(self, fields: Mapping[str, str], now: float | None) -> SimulatedOrder:
        """Sell an order for what its fields say."""
        service = _find(self.services, fields.get("service", ""), self.texts.service)
        quantity = ordered_quantity(service, fields, self.texts)
        self._pay(service.unit_price * quantity)
        order = self.place(service, quantity, fields, now)
        self._enter("add", order.order, fields, now, charge=order.charge)
        return order

    def add_product(self, fields: Mapping[str, str], now: float | None) -> SimulatedProductOrder:
        """Sell pieces of a product."""
        product = _find(self.products, fields.get("product", ""), self.texts.product)
        quantity = self._take_from_stock(product, fields)
        order = SimulatedProductOrder(
            order=self.next_product_order,
            product=product,
            quantity=quantity,
            fields=fields,
            result=str(uuid.UUID(int=self.rng.getrandbits(128), version=4)),
            duration=self._draw_duration(),
            placed_at=now,
        )
        self.next_product_order += 1
        self.product_orders[order.order] = order
        self._enter("add_product_order", order.order, fields, now, charge=order.charge)
        return order

    def make_refill(self, text: str, fields: Mapping[str, str], now: float | None) -> SimulatedRefill:
        """Start a refill of a completed order."""
        order = self.order(text, now)
        if not order.service.refill:
            raise RefusedError(self.texts.refill_disabled)
        if order.status(now) != "Completed":
            raise RefusedError(self.texts.refill_early)
        running = self.refills.get(self.refill_of.get(order.order, -1))
        if running is not None and running.status(now) in {"Pending", "In progress"}:
            raise RefusedError(self.texts.refill_running)
        refill = SimulatedRefill(
            refill=self.next_refill, order=order.order, duration=self._draw_duration(), placed_at=now
        )
        self.next_refill += 1
        self.refills[refill.refill] = refill
        self.refill_of[order.order] = refill.refill
        self._enter("refill", order.order, fields, now, refill=refill.refill)
        return refill

    def cancel(self, text: str, fields: Mapping[str, str], now: float | None) -> None:
        """Stop an order at what is delivered: Canceled if that is nothing, else Partial."""
        order = self.order(text, now)
        if not order.service.cancel or order.status(now) in TERMINAL:
            raise RefusedError(self.texts.cancel)
        remains = order.remains(now)
        order.fixed_status = "Canceled" if remains == order.quantity else "Partial"
        order.fixed_remains = remains
        self._enter("cancel", order.order, fields, now, charge=-self.refund(order, now))

    def _draw_duration(self) -> float:
        shortest, longest = self.durations
        return shortest + (longest - shortest) * self.rng.random()

    def _draw_outcome(self, order: SimulatedOrder) -> None:
        lot = self.rng.random() if self.partial_share or self.canceled_share else 1.0
        if lot < self.partial_share:
            order.outcome = "Partial"
            order.outcome_remains = self.rng.randint(min(1, order.quantity - 1), order.quantity - 1)
        elif lot < self.partial_share + self.canceled_share:
            order.outcome = "Canceled"
            order.outcome_remains = order.quantity

    def _take_from_stock(self, product: SimulatedProduct, fields: Mapping[str, str]) -> int:
        left = self.stock[product.product]
        if left == 0:
            raise RefusedError(self.texts.out_of_stock)
        maximum = product.max if left is None else min(product.max, left)
        quantity = check_quantity(read_number(fields.get("quantity", "")), product.min, maximum, self.texts)
        if product.require is not None and not fields.get("require", "").strip():
            raise RefusedError(self.texts.field.format("require"))
        self._pay(product.rate * quantity)
        if left is not None:
            self.stock[product.product] = left - quantity
        return quantity

    def _pay(self, charge: Decimal) -> None:
        if charge > self.funds:
            raise RefusedError(self.texts.funds)
        self.funds -= charge

    def _enter(
        self,
        action: str,
        order: int,
        fields: Mapping[str, str],
        now: float | None,
        *,
        charge: Decimal = Decimal(0),
        refill: int | None = None,
    ) -> None:
        self.executed.append(
            ExecutedWrite(action=action, order=order, refill=refill, charge=charge, fields=fields, at=now)
        )


def _find(records: Mapping[int, _Record], text: str, refusal: str) -> _Record:
    number = read_number(text)
    record = None if number is None else records.get(number)
    if record is None:
        raise RefusedError(refusal)
    return record

"""Evidence of whether an order whose answer was lost was placed: three verdicts, and never another order."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

import anyio
import attrs

from smm_async.errors import SmmError, UnknownOrderError
from smm_async.journal import Entry, EntryState, Journal
from smm_async.models import Balance, OrderId, Product, Service
from smm_async.orders import Package

__all__ = ["Reconciliation", "Verdict", "reconcile"]

_MOST_NEIGHBOURS: Final = 1000
_LINES: Final = ("comments", "usernames")


class Verdict(enum.Enum):
    """What the evidence says."""

    PLACED = "placed"
    NOT_PLACED = "not placed"
    UNKNOWN = "unknown"
    """It says nothing, or not the same: ask the panel's support, with the order's fields and time."""


@attrs.frozen
class Reconciliation:
    """What was found out about an open order."""

    ref: str
    verdict: Verdict
    order: OrderId | None
    """The panel's id, where the evidence shows it."""
    evidence: tuple[str, ...]
    """What was looked at and what it showed, one sentence each."""


@attrs.frozen
class Finding:
    """What one piece of evidence says."""

    verdict: Verdict
    sentence: str
    order: OrderId | None = None


class Panel(Protocol):
    """The reads that evidence is made of."""

    async def balance(self) -> Balance: ...

    async def services(self) -> list[Service]: ...

    async def products(self) -> list[Product]: ...

    async def statuses(self, orders: Sequence[str]) -> Mapping[str, Any]: ...

    async def product_order_statuses(self, orders: Sequence[str]) -> Mapping[str, Any]: ...


async def reconcile(panel: Any, journal: Journal, ref: str, *, settle: float, neighbours: int) -> Reconciliation:
    """Return the verdict on the order under ``ref``; see `smm_async.Client.reconcile`."""
    if type(neighbours) is not int or not 0 <= neighbours <= _MOST_NEIGHBOURS:
        message = f"neighbours must be a whole number from 0 to {_MOST_NEIGHBOURS}, not {neighbours!r}."
        raise ValueError(message)
    before = await journal.get(ref)
    if before is None:
        message = f"There is no order under ref {ref!r}."
        raise LookupError(message)
    if before.state is EntryState.OPEN:
        await anyio.sleep(max(0.0, settle - await journal.age(ref)))
    entry = await journal.get(ref) or before
    if entry.state is not EntryState.OPEN:
        return conclude(entry, [_closed(entry)])
    if entry.opened_at != before.opened_at:
        return conclude(entry, [Finding(Verdict.UNKNOWN, f"It was sent again at {entry.opened_at}.")])
    return conclude(entry, await _look(panel, journal, entry, neighbours))


def conclude(entry: Entry, findings: Sequence[Finding]) -> Reconciliation:
    """Return the verdict that all findings allow: they must not contradict each other."""
    verdicts = {finding.verdict for finding in findings} - {Verdict.UNKNOWN}
    verdict = verdicts.pop() if len(verdicts) == 1 else Verdict.UNKNOWN
    orders = [finding.order for finding in findings if finding.order is not None]
    order = orders[0] if orders and verdict is Verdict.PLACED else None
    return Reconciliation(entry.ref, verdict, order, tuple(finding.sentence for finding in findings))


def judge_balance(entry: Entry, now: Balance, price: Decimal | None, others: Sequence[Entry]) -> Finding:
    """Return what the balance before and after says, if nothing else moved it.

    ``others`` are the journal's orders that may have moved it, too.
    """
    if entry.balance is None:
        return Finding(Verdict.UNKNOWN, "The balance before the order is not in the journal (Journal(evidence=True)).")
    seen = f"The balance went from {entry.balance} to {now.balance}"
    if others:
        return Finding(Verdict.UNKNOWN, f"{seen}, but {len(others)} other orders in the journal may have moved it.")
    if price is None:
        return Finding(Verdict.UNKNOWN, f"{seen}; the order's price is not known.")
    verdict, meaning = _compare(entry.balance, now.balance, price)
    return Finding(verdict, seen + meaning)


def _compare(before: Decimal, now: Decimal, price: Decimal) -> tuple[Verdict, str]:
    if price < _finest(before, now):
        return Verdict.UNKNOWN, f"; a price of {price} might not show in it."
    if before - now == price:
        return Verdict.PLACED, f", by exactly the order's price of {price}."
    if before == now:
        return Verdict.NOT_PLACED, f"; the order would have cost {price}."
    return Verdict.UNKNOWN, f", which is not the order's price of {price}."


def judge_neighbours(
    found: Mapping[str, Any], price: Decimal | None, known: set[str], rivals: Sequence[Decimal | None] = ()
) -> Finding:
    """Return what the orders with the next ids say: one of our own, that no journal knows, at just this price.

    ``rivals`` are the prices of the other orders that nobody knows to be placed or not.
    """
    ours = {id_: status for id_, status in found.items() if not isinstance(status, SmmError) and id_ not in known}
    silent = [one for one in found.values() if isinstance(one, SmmError) and not isinstance(one, UnknownOrderError)]
    alike = [id_ for id_, status in ours.items() if price and status.charge == price]
    seen = f"Of {len(found)} ids after the last known order, {len(ours)} are this account's and not in the journal"
    if silent:
        return Finding(Verdict.UNKNOWN, f"{seen}; of {len(silent)} nothing is known.")
    if len(alike) != 1:
        return Finding(Verdict.UNKNOWN, f"{seen}; {len(alike)} of them cost what the order costs.")
    if any(rival is None or rival == price for rival in rivals):
        return Finding(Verdict.UNKNOWN, f"{seen}; {alike[0]} may be this order or another open one.")
    return Finding(Verdict.PLACED, f"{seen}; {alike[0]} costs what the order costs.", OrderId(alike[0]))


def _finest(*balances: Decimal) -> Decimal:
    """Return the smallest change that shows in balances written with so many digits."""
    return Decimal(1).scaleb(min(int(balance.as_tuple().exponent) for balance in balances))


def _closed(entry: Entry) -> Finding:
    verdict = Verdict.PLACED if entry.state is EntryState.PLACED else Verdict.NOT_PLACED
    return Finding(verdict, f"The journal says that it was {entry.state.value}.", entry.order)


async def _look(panel: Panel, journal: Journal, entry: Entry, neighbours: int) -> list[Finding]:
    """Look at everything that may tell something of an open order."""
    rivals = [one for one in await journal.unknown() if one.ref != entry.ref and one.action == entry.action]
    price, *others = await _prices(panel, entry.action, [entry, *rivals])
    findings = [judge_balance(entry, await panel.balance(), price, await journal.moved_since(entry.ref))]
    if neighbours:
        findings.append(await _look_at_neighbours(panel, journal, entry, neighbours, [price, *others]))
    return findings


async def _prices(panel: Panel, action: str, entries: Sequence[Entry]) -> list[Decimal | None]:
    """Return what orders by one action cost by the catalogue of today, as far as that can be told."""
    if action == "add_product_order":
        products = {product.product: product for product in await panel.products()}
        return [_price_of_product(products.get(entry.fields.get("product", "")), entry.fields) for entry in entries]
    services = {service.service: service for service in await panel.services()}
    return [_price_of_service(services.get(entry.fields.get("service", "")), entry.fields) for entry in entries]


def _price_of_product(product: Product | None, fields: Mapping[str, str]) -> Decimal | None:
    if product is None or product.rate is None:
        return None
    return product.rate * int(fields["quantity"])


def _price_of_service(service: Service | None, fields: Mapping[str, str]) -> Decimal | None:
    ordered = None if service is None else _ordered(service, fields)
    if service is None or ordered is None:
        return None
    try:
        return service.price(ordered, runs=int(fields.get("runs", "1")))
    except ValueError:
        return None


def _ordered(service: Service, fields: Mapping[str, str]) -> int | None:
    """Return how many things an order's fields ask for, if that is what is charged: a subscription costs by and by."""
    order_type = service.order_type
    if order_type is not None and issubclass(order_type, Package):
        return 1
    try:
        if "quantity" in fields:
            return int(fields["quantity"])
    except ValueError:
        return None
    return next((len(fields[name].splitlines()) for name in _LINES if name in fields), None)


async def _look_at_neighbours(
    panel: Panel, journal: Journal, entry: Entry, count: int, prices: Sequence[Decimal | None]
) -> Finding:
    before = [int(one.order) for one in await journal.placed_before(entry.ref) if one.order and one.order.isdecimal()]
    if not before:
        return Finding(Verdict.UNKNOWN, "The journal knows no earlier order with a number, so there are no neighbours.")
    look_up = panel.statuses if entry.action == "add" else panel.product_order_statuses
    found = await look_up([str(max(before) + step) for step in range(1, count + 1)])
    known = {str(one.order) for one in await journal.entries() if one.action == entry.action}
    return judge_neighbours(found, prices[0], known, prices[1:])

"""The records of a simulated panel, and how they progress; their state is computed when somebody looks."""

import math
from collections.abc import Mapping
from decimal import Decimal

from attrs import define, frozen

from smm_async._simulated_catalogue import SimulatedProduct, SimulatedService

_PENDING_UNTIL = 0.1
_PROCESSING_UNTIL = 0.2
_PRODUCT_PENDING_UNTIL = 0.2
_ALMOST_DONE = math.nextafter(1.0, 0.0)
TERMINAL = frozenset({"Completed", "Partial", "Canceled"})
"""The words after which an order moves no more."""
_ZERO = Decimal(0)


@define(eq=False)
class SimulatedOrder:
    """One order for a service: Pending, Processing, In progress, then its outcome.

    Every attribute may be changed by a test; use `SimulatedPanel.set_status` where money has to follow.
    """

    order: int
    service: SimulatedService
    quantity: int
    """Pieces in all runs; 1 for the package types."""
    fields: Mapping[str, str]
    """What was sent with it, without the key."""
    start_count: int
    duration: float
    """Seconds from the start to the outcome."""
    placed_at: float | None
    """The panel's clock in seconds; None until the first lookup inside an event loop."""
    outcome: str = "Completed"
    """The word it ends with."""
    outcome_remains: int = 0
    """Pieces not delivered when it ends."""
    fixed_status: str | None = None
    """The word given by `set_status` or by a cancel; None while the order progresses by itself."""
    fixed_remains: int = 0
    """What remains, if `fixed_status` is given; negative after over-delivery."""
    refunded: Decimal = _ZERO
    """Money already given back."""

    @property
    def charge(self) -> Decimal:
        """What the order costs after money given back."""
        return self.service.unit_price * self.quantity - self.refunded

    def status(self, now: float | None) -> str:
        """Return the word for its state at a moment."""
        if self.fixed_status is not None:
            return self.fixed_status
        done = progress(self.placed_at, self.duration, now)
        if done < _PENDING_UNTIL:
            return "Pending"
        if done < _PROCESSING_UNTIL:
            return "Processing"
        return "In progress" if done < 1 else self.outcome

    def remains(self, now: float | None) -> int:
        """Return how many pieces are not delivered at a moment."""
        if self.fixed_status is not None:
            return self.fixed_remains
        done = progress(self.placed_at, self.duration, now)
        delivered = max(0.0, (done - _PROCESSING_UNTIL) / (1 - _PROCESSING_UNTIL))
        return self.quantity - round((self.quantity - self.outcome_remains) * delivered)


@define(eq=False)
class SimulatedProductOrder:
    """One order for a product: Pending, In progress, Completed."""

    order: int
    product: SimulatedProduct
    quantity: int
    fields: Mapping[str, str]
    """What was sent with it, without the key."""
    result: str
    """What the buyer gets; shown when it is completed."""
    duration: float
    """Seconds from the start to the end."""
    placed_at: float | None
    """The panel's clock in seconds; None until the first lookup inside an event loop."""
    fixed_status: str | None = None
    """The word given by `set_product_status`; None while the order progresses by itself."""
    note: str = ""
    """Shown when it is canceled or partial."""
    refunded: Decimal = _ZERO
    """Money already given back."""

    @property
    def charge(self) -> Decimal:
        """What the order costs after money given back."""
        return self.product.rate * self.quantity - self.refunded

    def status(self, now: float | None) -> str:
        """Return the word for its state at a moment."""
        if self.fixed_status is not None:
            return self.fixed_status
        done = progress(self.placed_at, self.duration, now)
        if done < _PRODUCT_PENDING_UNTIL:
            return "Pending"
        return "In progress" if done < 1 else "Completed"


@define(eq=False)
class SimulatedRefill:
    """One refill: Pending, In progress, Completed."""

    refill: int
    order: int
    duration: float
    """Seconds from the start to the end."""
    placed_at: float | None
    """The panel's clock in seconds; None until the first lookup inside an event loop."""
    fixed_status: str | None = None
    """The word given by `set_refill_status`; None while the refill progresses by itself."""

    def status(self, now: float | None) -> str:
        """Return the word for its state at a moment."""
        if self.fixed_status is not None:
            return self.fixed_status
        done = progress(self.placed_at, self.duration, now)
        if done < _PENDING_UNTIL:
            return "Pending"
        return "In progress" if done < 1 else "Completed"


@frozen(kw_only=True)
class ExecutedWrite:
    """One write that really happened; what the panel refused is not one."""

    action: str
    """`add`, `refill`, `cancel` or `add_product_order`."""
    order: int
    """The order that was made, refilled or canceled."""
    refill: int | None = None
    """The refill that was made."""
    charge: Decimal = _ZERO
    """The money it took; a cancel takes less than zero."""
    fields: Mapping[str, str]
    """The fields of the request, without the key."""
    at: float | None
    """The panel's clock in seconds; None if there was no event loop to ask."""


def progress(placed_at: float | None, duration: float, now: float | None) -> float:
    """Return how much of the duration is over, from 0 to 1; nothing before the start is known."""
    if placed_at is None or now is None or now < placed_at:
        return 0.0
    # Compared as the sum that the books wait for: rounding must not end an order before its money is due.
    if now >= placed_at + duration:
        return 1.0
    return min((now - placed_at) / duration, _ALMOST_DONE)

"""What a panel answers, as frozen records with the panel's own field names.

Ids are text. Money is `decimal.Decimal` in the panel's currency, from the literal digits. A count that the panel
left out, left empty or called unknown is ``None``, never 0. Fields that are not named here are kept in ``extra``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NewType, NoReturn, TypeAlias

import attrs

from smm_async import orders

__all__ = [
    "Balance",
    "OrderId",
    "OrderState",
    "OrderStatus",
    "Product",
    "ProductOrderStatus",
    "RefillId",
    "RefillState",
    "RefillStatus",
    "Service",
    "Unsettled",
]

OrderId = NewType("OrderId", str)
"""What a panel calls an order: 1-64 ASCII characters of ``[A-Za-z0-9_.-]``, often but not always digits."""

RefillId = NewType("RefillId", str)
"""What a panel calls a refill; of the same form as an `OrderId`."""


class OrderState(enum.Enum):
    """Where an order stands, whatever word the panel uses for it."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    IN_PROGRESS = "In progress"
    COMPLETED = "Completed"
    """Delivered. After a refill request some panels put the order back to work."""
    PARTIAL = "Partial"
    """Ended with ``remains`` undelivered and paid back."""
    CANCELED = "Canceled"
    REFUNDED = "Refunded"
    EXPIRED = "Expired"
    """A subscription past its end."""
    FAILED = "Failed"
    """Stuck: the panel's operator may repair it and it goes on, so it is neither an end nor a reason to refund."""
    PAUSED = "Paused"
    REFILLING = "Refill"
    UNKNOWN = "Unknown"
    """A word that nobody here knows: read ``status``, decide nothing."""

    is_terminal: bool
    """Whether the order has ended. Never true for `UNKNOWN`, nor for `FAILED`, which a panel may still repair."""

    def __init__(self, value: str) -> None:
        self.is_terminal = value in {
            "Completed",
            "Partial",
            "Canceled",
            "Refunded",
            "Expired",
        }


class RefillState(enum.Enum):
    """Where a refill stands, whatever word the panel uses for it."""

    PENDING = "Pending"
    IN_PROGRESS = "In progress"
    COMPLETED = "Completed"
    REJECTED = "Rejected"
    CANCELED = "Canceled"
    FAILED = "Error"
    EXPIRED = "Expired"
    UNKNOWN = "Unknown"
    """A word that nobody here knows: read ``status``, decide nothing."""

    is_terminal: bool
    """Whether the refill has ended. Never true for `UNKNOWN`."""

    def __init__(self, value: str) -> None:
        self.is_terminal = value not in {"Pending", "In progress", "Unknown"}


OrderType: TypeAlias = type[orders.Order]


def _refuse(*_: Any, **__: Any) -> NoReturn:
    message = "What a record holds cannot be changed."
    raise TypeError(message)


def _name(_: object) -> str:
    return "NO_EXTRA"


_CHANGES: Final = ("__setitem__", "__delitem__", "__ior__", "update", "setdefault", "pop", "popitem", "clear")
# One for all records, for a dictionary for each was a tenth of the time that a lookup takes; so nobody may change it. It
# is a `dict`, for whoever makes JSON of a record, and stays the same one when it is copied or pickled.
NO_EXTRA: Final[Mapping[str, Any]] = type(
    "NoExtra",
    (dict,),
    {"__module__": __name__, "__slots__": (), "__reduce__": _name, **dict.fromkeys(_CHANGES, _refuse)},
)()


def _extra() -> Any:
    return attrs.field(default=NO_EXTRA, hash=False)


@attrs.frozen(kw_only=True)
class OrderStatus:
    """One answer to ``status``."""

    status: str
    """The panel's own word."""
    state: OrderState
    charge: Decimal | None = None
    """What the order costs so far; less than at first after a partial or cancelled one."""
    start_count: int | None = None
    remains: int | None = None
    """What is still to be delivered; below zero after over-delivery."""
    currency: str | None = None
    runs: int | None = None
    """How many runs a drip-feed order has made."""
    posts: int | None = None
    """How many posts a subscription has served."""
    expiry: str | None = None
    """When a subscription ends, in the panel's own words."""
    orders: tuple[str, ...] = ()
    """The ids of the orders that a drip-feed or a subscription has placed."""
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class RefillStatus:
    """One answer to ``refill_status``."""

    status: str
    """The panel's own word."""
    state: RefillState
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Balance:
    """The answer to ``balance``."""

    balance: Decimal
    """Below zero where the panel grants credit."""
    currency: str | None = None
    extra: Mapping[str, Any] = _extra()


@attrs.frozen
class Unsettled:
    """A write that is on its way, or whose outcome came after its caller had left."""

    action: str
    fields: Mapping[str, str] = attrs.field(hash=False)
    """What was sent, without the key."""
    ref: str | None
    """What the order is called in the client's journal, where there is one."""
    outcome: Any = attrs.field(hash=False)
    """``None`` while it is on its way; then what the call would have returned, or the error it would have raised."""


@attrs.frozen(kw_only=True)
class Service:
    """One row of ``services``."""

    service: str
    name: str = ""
    type: str = ""
    """The panel's own word for the order type; see `order_type`."""
    category: str | None = None
    rate: Decimal | None = None
    """The price of 1,000, or of one package where ``type`` is a package."""
    min: int | None = None
    max: int | None = None
    dripfeed: bool | None = None
    refill: bool | None = None
    """A hint: panels say yes here and refuse the refill all the same. ``None`` where the panel does not tell."""
    cancel: bool | None = None
    extra: Mapping[str, Any] = _extra()

    @property
    def order_type(self) -> OrderType | None:
        """The class of `smm_async.orders` to order this service with, or ``None`` for a type nobody knows."""
        return orders.for_type(self.type)

    def price(self, quantity: int = 1, *, runs: int = 1) -> Decimal:
        """Return what an order costs, in the panel's currency, unrounded.

        ``rate`` is the price of 1,000; that of a package is the price of the whole, whatever the quantity. A
        drip-feed order pays for every run, and its ``quantity`` is that of one run.

        Raises:
            ValueError: the panel gave no rate, or one of the numbers is below 1.
        """
        if self.rate is None:
            message = f"Service {self.service!r} has no rate."
            raise ValueError(message)
        if min(quantity, runs) < 1:
            message = f"quantity and runs must be at least 1, not {quantity!r} and {runs!r}."
            raise ValueError(message)
        order_type = self.order_type
        is_package = order_type is not None and issubclass(order_type, orders.Package)
        return self.rate * runs if is_package else self.rate * quantity * runs / 1000


@attrs.frozen(kw_only=True)
class Product:
    """One row of ``products``."""

    product: str
    name: str = ""
    require: str | None = None
    """The question to ask the buyer; its answer is the ``require`` of ``add_product_order``."""
    rate: Decimal | None = None
    """The price of one."""
    min: int | None = None
    max: int | None = None
    category: str | None = None
    status: str = ""
    """The panel's own word, such as ``"In stock"``."""
    inventory: int | None = None
    type: str = ""
    extra: Mapping[str, Any] = _extra()

    @property
    def in_stock(self) -> bool:
        """Whether the panel says that it can deliver."""
        return self.status.strip().casefold() == "in stock"


@attrs.frozen(kw_only=True)
class ProductOrderStatus:
    """One answer to ``product_order_status``."""

    status: str
    """The panel's own word."""
    state: OrderState
    charge: Decimal | None = None
    result: str | None = None
    """What was bought, in the panel's own words; several on lines of their own."""
    note: str | None = None
    refund: Decimal | None = None
    remains: int | None = None
    extra: Mapping[str, Any] = _extra()

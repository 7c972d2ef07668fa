"""How the simulated panels differ from each other, as data."""

from typing import Literal

from attrs import frozen


@frozen(kw_only=True)
class ErrorTexts:
    """The words of a simulated panel's refusals; `{}` stands for the number or the field they are about."""

    key: str = "Invalid API key"
    request: str = "Incorrect request"
    order: str = "Incorrect order ID"
    refill: str = "Incorrect refill ID"
    service: str = "Incorrect service ID"
    product: str = "Incorrect product ID"
    link: str = "Bad link"
    field: str = "{} is required"
    minimum: str = "Quantity less than minimal {}"
    maximum: str = "Quantity more than maximum {}"
    quantity: str = "Incorrect quantity"
    funds: str = "Not enough funds on balance"
    drip_feed: str = "Drip-feed is not available for this service"
    out_of_stock: str = "Out of stock"
    refill_disabled: str = "Refill is disabled for this service"
    refill_early: str = "The order is not completed"
    refill_running: str = "The refill task is not completed for this order"
    cancel: str = "Order cannot be canceled"
    batch: str = "Maximum {} orders"


@frozen(kw_only=True)
class Dialect:
    """What one kind of panel understands and how it writes its answers; derive your own with `attrs.evolve`."""

    name: str
    """Shown in the panel's repr, nothing else."""
    actions: frozenset[str]
    """The known actions; any other is answered with `texts.request`."""
    plural_actions: frozenset[str]
    """The actions that read `orders` or `refills`; the others ignore these fields and miss their single id."""
    service_fields: tuple[str, ...]
    """The fields of a `services` row, in their order."""
    has_currency_in_status: bool
    """Whether a `status` row ends with the currency."""
    has_text_numbers: bool = True
    """Whether counts and money are texts; else JSON numbers, which bear about 15 digits.

    Rows about products bear numbers in every dialect, as in the one that has them.
    """
    batch_limit: int = 100
    """Ids in one plural request, counted after blanks and duplicates are dropped."""
    over_limit: Literal["first", "error"] = "first"
    """Beyond the limit: answer the first ids and be silent about the rest, or refuse all with `texts.batch`."""
    plural_refill: Literal["rows", "single"] = "rows"
    """The answer to a plural `refill`: one row for each order, or only the first, `{"refill": "1"}`."""
    key_field: str = "key"
    """The form field that bears the key."""
    texts: ErrorTexts = ErrorTexts()
    """The words of the refusals."""


_CORE = frozenset({"services", "add", "status", "refill", "refill_status", "balance"})
_PRODUCTS = frozenset({"products", "add_product_order", "product_order_status"})
_SERVICE_FIELDS = ("service", "name", "type", "category", "rate", "min", "max", "refill")

D3MWORLD = Dialect(
    name="d3mworld",
    actions=_CORE,
    plural_actions=frozenset({"status"}),
    service_fields=(*_SERVICE_FIELDS, "cancel"),
    has_currency_in_status=True,
)
"""The dialect of https://d3mworld.com/api: no products, no `cancel`, only `status` for several ids."""

ONE_DG = Dialect(
    name="1dg",
    actions=_CORE | _PRODUCTS,
    plural_actions=frozenset({"status", "refill", "refill_status", "product_order_status"}),
    service_fields=_SERVICE_FIELDS,
    has_currency_in_status=False,
)
"""The dialect of https://1dg.me/api: products, plural forms, no currency in a status row.

Its page prints `{"refill": "1"}` for a plural `refill` too; `plural_refill="single"` answers so.
"""

STANDARD = Dialect(
    name="standard",
    actions=_CORE | _PRODUCTS | {"cancel"},
    plural_actions=ONE_DG.plural_actions | {"cancel"},
    service_fields=("service", "name", "type", "category", "rate", "min", "max", "dripfeed", "refill", "cancel"),
    has_currency_in_status=True,
)
"""Everything the two others have, `cancel` and the drip-feed flag."""

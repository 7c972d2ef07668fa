"""What a simulated panel sells, and what one order of it takes and costs."""

from collections.abc import Mapping
from decimal import Decimal

from attrs import Factory, field, frozen

from smm_async._simulated_dialects import ErrorTexts
from smm_async._simulated_requests import read_number

_LINK_AND_QUANTITY = ("link", "quantity")

REQUIRED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Package": ("link",),
    "SEO": (*_LINK_AND_QUANTITY, "keywords"),
    "Custom Comments": ("link", "comments"),
    "Mentions": (*_LINK_AND_QUANTITY, "usernames"),
    "Mentions with Hashtags": (*_LINK_AND_QUANTITY, "usernames", "hashtags"),
    "Mentions Custom List": ("link", "usernames"),
    "Mentions Hashtag": (*_LINK_AND_QUANTITY, "hashtag"),
    "Mentions User Followers": (*_LINK_AND_QUANTITY, "username"),
    "Mentions Media Likers": (*_LINK_AND_QUANTITY, "media"),
    "Custom Comments Package": ("link", "comments"),
    "Comment Likes": (*_LINK_AND_QUANTITY, "username"),
    "Comment Replies": ("link", "username", "comments"),
    "Poll": (*_LINK_AND_QUANTITY, "answer_number"),
    "Invites from Groups": (*_LINK_AND_QUANTITY, "groups"),
    "Subscriptions": ("username", "min", "max", "delay"),
    "Web Traffic": (*_LINK_AND_QUANTITY, "country", "device", "type_of_traffic"),
}
"""The fields an order type needs beside `service`; a type that is not here needs link and quantity."""

_SOLD_WHOLE = frozenset({"Package", "Custom Comments Package"})
_COUNTED_LINES = {"Custom Comments": "comments", "Comment Replies": "comments", "Mentions Custom List": "usernames"}


class RefusedError(Exception):
    """The panel says no; the only argument is the text it says it with."""


def _unit_price(service: "SimulatedService") -> Decimal:
    return service.rate if service.type in _SOLD_WHOLE else service.rate / 1000


@frozen(kw_only=True)
class SimulatedService:
    """One row of the catalogue. `rate` is the price of 1000, or of the whole for the package types."""

    service: int
    name: str
    type: str = "Default"
    category: str = "Simulated"
    rate: Decimal = Decimal(1)
    min: int = 1
    max: int = 10_000
    dripfeed: bool = False
    refill: bool = False
    cancel: bool = False
    unit_price: Decimal = field(init=False, repr=False, default=Factory(_unit_price, takes_self=True))
    """The price of one piece, computed from the rate."""


@frozen(kw_only=True)
class SimulatedProduct:
    """One product. `rate` is the price of one piece; `inventory` None means that there is no end of it."""

    product: int
    name: str
    require: str | None = None
    """What the buyer is asked for; None if nothing."""
    rate: Decimal = Decimal(1)
    min: int = 1
    max: int = 10
    category: str = "Simulated"
    inventory: int | None = None
    type: str = "Service"


SERVICES = (
    SimulatedService(service=1, name="Followers", rate=Decimal("0.90"), min=50, refill=True, cancel=True),
    SimulatedService(service=2, name="Comments", type="Custom Comments", rate=Decimal(8), max=1500, cancel=True),
    SimulatedService(service=3, name="Likes, drip-feed", rate=Decimal("0.25"), min=10, dripfeed=True, refill=True),
    SimulatedService(service=4, name="Starter package", type="Package", rate=Decimal("12.5"), max=1),
    SimulatedService(service=5, name="Likes for new posts", type="Subscriptions", rate=Decimal("1.2"), cancel=True),
    SimulatedService(service=6, name="Votes", type="Poll", rate=Decimal("0.75"), min=10, max=5000),
    SimulatedService(service=7, name="Mentions", type="Mentions Custom List", rate=Decimal("3.5"), max=1000),
    SimulatedService(service=8, name="Ten comments", type="Custom Comments Package", rate=Decimal("0.5"), max=1),
    SimulatedService(service=9, name="Visitors", type="Web Traffic", rate=Decimal("0.1350"), min=100, max=1_000_000),
)
"""The services of a panel that was given none: the usual order types, with and without refill and cancel."""

PRODUCTS = (
    SimulatedProduct(
        product=1,
        name="Film club, 1 month",
        require="Input your account",
        rate=Decimal("2.5"),
        inventory=40,
        type="Auto",
    ),
    SimulatedProduct(
        product=2, name="Music, 1 month", require="Input your account", rate=Decimal(5), max=1, inventory=0, type="Auto"
    ),
    SimulatedProduct(product=3, name="Account with friends", rate=Decimal("0.5"), max=2),
)
"""The products of a panel that was given none: one in stock, one sold out, one without an inventory."""


def ordered_quantity(service: SimulatedService, fields: Mapping[str, str], texts: ErrorTexts) -> int:
    """Return how many pieces an `add` orders in all its runs.

    Raises:
        RefusedError: A field is missing, or the quantity of one run is out of the service's bounds.
    """
    for name in REQUIRED_FIELDS.get(service.type, _LINK_AND_QUANTITY):
        _require(name, fields, texts)
    if service.type in _SOLD_WHOLE:
        return 1
    quantity = check_quantity(_quantity_of_a_run(service, fields), service.min, service.max, texts)
    return quantity * _runs(service, fields, texts)


def check_quantity(quantity: int | None, minimum: int, maximum: int, texts: ErrorTexts) -> int:
    """Return the quantity; refuse what is no number or not within the bounds, which are allowed themselves."""
    if quantity is None:
        raise RefusedError(texts.quantity)
    if quantity < minimum:
        raise RefusedError(texts.minimum.format(minimum))
    if quantity > maximum:
        raise RefusedError(texts.maximum.format(maximum))
    return quantity


def _require(name: str, fields: Mapping[str, str], texts: ErrorTexts) -> None:
    if not fields.get(name, "").strip():
        raise RefusedError(texts.link if name == "link" else texts.field.format(name))


def _quantity_of_a_run(service: SimulatedService, fields: Mapping[str, str]) -> int | None:
    lines = _COUNTED_LINES.get(service.type)
    if lines is not None:
        return sum(1 for line in fields[lines].splitlines() if line.strip())
    return read_number(fields["max" if service.type == "Subscriptions" else "quantity"])


def _runs(service: SimulatedService, fields: Mapping[str, str], texts: ErrorTexts) -> int:
    # A subscription without a number of posts has no end; the panel then reserves the money of one.
    if service.type == "Subscriptions":
        return read_number(fields.get("posts", "")) or 1
    if "runs" not in fields:
        return 1
    if not service.dripfeed:
        raise RefusedError(texts.drip_feed)
    _require("interval", fields, texts)
    runs = read_number(fields["runs"])
    if not runs:
        raise RefusedError(texts.field.format("runs"))
    return runs

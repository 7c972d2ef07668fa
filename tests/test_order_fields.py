"""What the fields of orders refuse, and what ``extra`` lets through."""

import datetime as dt
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smm_async import orders

LINK = "https://example.com/p/1"
TEXTS = {"link", "username", "hashtag", "media", "country", "google_keyword", "referring_url"}
LINES = {"comments", "usernames", "keywords", "hashtags", "groups", "list", "suggest", "search"}
NUMBERS = {"quantity": 100, "answer_number": 1, "min": 10, "max": 20, "delay": 30, "device": 5, "type_of_traffic": 3}
VALID = {"service": 1} | dict.fromkeys(TEXTS, LINK) | dict.fromkeys(LINES, "one\ntwo") | NUMBERS
TYPES: list[Any] = [order for order in vars(orders).values() if isinstance(order, type) and vars(order).get("type")]

sendable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = st.from_regex(r"x[A-Za-z0-9_]{0,9}", fullmatch=True)


def make(order: Any, **fields: Any) -> Any:
    """Return an order with these fields, and good values for what else it needs."""
    needed = {field.name: VALID[field.name] for field in attrs.fields(order) if field.default is attrs.NOTHING}
    return order(**needed | fields)


def refuses(order: Any, name: str, rule: str, values: list[Any], **others: Any) -> None:
    """Check that an order without a good value of one field is refused with its class, its field and the rule."""
    for value in values:
        message = rf"^(Each item of )?{order.__name__}\.{name}(\['x'\])? must {rule}.* not .*\.$"
        with pytest.raises(ValueError, match=message):
            make(order, **others, **{name: value})


def types_with(names: set[str]) -> list[tuple[Any, str]]:
    """Return the types that have one of these fields, each with the field."""
    return [(order, field.name) for order in TYPES for field in attrs.fields(order) if field.name in names]


@pytest.mark.parametrize("value", ["1,2", "", "1&key=x", True, None, -1, 1.0, [1]], ids=repr)
def test_service_refused(value):
    """A service is an id and nothing else."""
    with pytest.raises(ValueError, match=r"is no Poll\.service id: it must be"):
        make(orders.Poll, service=value)


@pytest.mark.parametrize(("order", "name"), types_with(TEXTS))
def test_text_refused(order, name):
    """A text field wants one text that is not blank and that UTF-8 can carry."""
    refuses(order, name, "be a text that is not blank", ["", " ", "\r\n"])
    refuses(order, name, "be a text without NUL and lone surrogates", ["a\0", "\ud800", [LINK], b"a", 5])


@pytest.mark.parametrize(("order", "name"), types_with(LINES))
def test_lines_refused(order, name):
    """A field of lines wants at least one line that is not blank, and no newline inside an item."""
    refuses(order, name, "have a line that is not blank", ["", "\n \r\n", [], ["", " "]])
    refuses(order, name, "have no item with a newline", [["a\nb"], ["a", "b\r"], ["a\r\nb"]])
    refuses(order, name, "be a text without NUL", [None, 5, b"ab", {"a"}, {"a": "b"}, [1], ["a", None]])
    refuses(order, name, "be a text without NUL", ["\0", ["\ud800"]])


@pytest.mark.parametrize(("order", "name"), types_with({"quantity"}))
def test_quantity_refused(order, name):
    """A quantity is an int above 0 that a panel's own integers can hold."""
    values = [0, -5, True, "100", 1.0, Decimal(1), [5], 2**63, 10**5000]
    refuses(order, name, "be an int from 1 to 9223372036854775807,", values)


@pytest.mark.parametrize("order", [orders.Default, orders.WebTraffic])
def test_runs_refused(order):
    """Runs and interval are ints above 0."""
    refuses(order, "runs", "be an int from 1 to ", [0, -1, True, "2", 1.5], interval=5)
    refuses(order, "interval", "be an int from 1 to ", [0, -1, True, "2", 1.5], runs=5)


@pytest.mark.parametrize("order", [orders.Default, orders.WebTraffic])
def test_runs_without_interval(order):
    """Runs and interval come together or not at all."""
    rule = f"^{order.__name__} needs runs and interval together or neither, not "

    with pytest.raises(ValueError, match=rule + r"runs=5 and interval=None\.$"):
        make(order, runs=5)
    with pytest.raises(ValueError, match=rule + r"runs=None and interval=5\.$"):
        make(order, interval=5)


@pytest.mark.parametrize(("order", "name"), types_with({"answer_number", "posts", "old_posts"}))
def test_count_from_zero_refused(order, name):
    """A count or a position that may be 0 is an int."""
    assert make(order, **{name: 0}).form_fields()[name] == "0"
    refuses(order, name, "be an int from 0 to ", [-1, True, False, "1", 1.0])


def test_subscriptions_range_refused():
    """A subscription goes from a minimum above 0 to a maximum that is not less."""
    refuses(orders.Subscriptions, "min", "be an int from 1 to ", [0, True, "5", None])
    refuses(orders.Subscriptions, "max", "be an int from 1 to ", [0, True, "5", None])
    refuses(orders.Subscriptions, "max", "be at least min, which is 10,", [9])
    assert make(orders.Subscriptions, max=10).max == 10


def test_subscriptions_delay():
    """A subscription takes the documented delays and no other."""
    delays = (0, 5, 10, 15, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 360, 420, 480, 540, 600)

    assert delays == orders.SUBSCRIPTION_DELAYS
    for delay in delays:
        assert make(orders.Subscriptions, delay=delay).form_fields()["delay"] == str(delay)
    refuses(orders.Subscriptions, "delay", "be one of 0, 5, .*, 600,", [45, -5, 601, False, "30", 30.0, None])


@pytest.mark.parametrize(
    ("expiry", "text"),
    [
        ("09/02/2031", "09/02/2031"),
        (dt.date(2031, 2, 9), "09/02/2031"),
        (dt.datetime(2031, 2, 9, 23, 59, tzinfo=dt.UTC), "09/02/2031"),
        (dt.date(33, 2, 9), "09/02/0033"),
    ],
    ids=["text", "day", "moment", "short year"],
)
def test_subscriptions_expiry(expiry, text):
    """A day is read from a text or a moment too, and is sent as dd/mm/YYYY."""
    order = make(orders.Subscriptions, expiry=expiry)

    assert type(order.expiry) is dt.date
    assert order.form_fields()["expiry"] == text


def test_subscriptions_expiry_refused():
    """A day exists, and as a text it has exactly the form that is sent."""
    values = ["31/02/2031", "9/2/2031", "2031-02-09", "०९/02/2031", "09/02/2031\n", "", 5, dt.time(1)]
    refuses(orders.Subscriptions, "expiry", r"be a datetime\.date or an existing day as dd/mm/YYYY,", values)


def test_web_traffic_refused():
    """Web traffic has numbers from two lists, and says where visitors of the first two kinds come from."""
    refuses(orders.WebTraffic, "device", "be one of 1, 2, 3, 4, 5,", [0, 6, True, "1", None])
    refuses(orders.WebTraffic, "type_of_traffic", "be one of 1, 2, 3,", [0, 4, True, "1", None])
    refuses(orders.WebTraffic, "google_keyword", "be given when type_of_traffic is 1,", [None], type_of_traffic=1)
    refuses(orders.WebTraffic, "referring_url", "be given when type_of_traffic is 2,", [None], type_of_traffic=2)


@given(st.dictionaries(names, sendable | st.integers(-(2**63) + 1, 2**63 - 1)))
def test_extra_any_value(extra):
    """Extra fields of any text or number arrive unchanged, and no field more."""
    body = urlencode(make(orders.Package, extra=extra).form_fields())

    expected = {"service": ["1"], "link": [LINK]} | {name: [str(value)] for name, value in extra.items()}
    assert parse_qs(body, keep_blank_values=True, strict_parsing=True) == expected


@given(st.decimals(-(10**15), 10**15, places=9))
def test_extra_any_decimal(number):
    """A decimal is sent in plain notation without losing a digit."""
    text = orders.Custom(service=1, extra={"x": number}).form_fields()["x"]

    assert Decimal(text) == number
    assert "E" not in text


def test_extra_changed_by_its_owner():
    """What the caller does to the mapping later does not reach the order."""
    extra = {"x": 1}
    order = orders.Custom(service=1, extra=extra)

    extra["key"] = 2

    assert order.form_fields() == {"service": "1", "x": "1"}


def test_extra_changed_in_the_order():
    """What somebody puts into the order's own mapping is checked again before it is sent."""
    order: Any = orders.Custom(service=1)

    order.extra["key"] = "stolen"

    with pytest.raises(ValueError, match=r"^Custom\.extra must leave the fields of the call"):
        order.form_fields()


@pytest.mark.parametrize("order", [*TYPES, orders.Custom])
def test_extra_shadows_a_field(order):
    """No field of a class can come in through ``extra``, set or not, in any case."""
    taken = {field.name for field in attrs.fields(order)} - {"extra"} | {"key", "action"}

    for name in taken | {name.upper() for name in taken}:
        refuses(order, "extra", "leave the fields of the call and of the order alone,", [{name: "1"}])


def test_extra_name_refused():
    """An extra name is plain, and names and values come as a mapping."""
    refuses(orders.Custom, "extra", "be a mapping of names to values,", [None, "a=b", [("a", "b")]])
    values = [{name: "1"} for name in ("", "a b", "a[]", "a&key", "é", "a\n", 1, None)]
    refuses(orders.Custom, "extra", "have only names of the characters A-Z a-z 0-9 and _,", values)


def test_extra_value_refused():
    """An extra value is one text, decimal or int that has an exact and short text."""
    numbers = [Decimal(text) for text in ("NaN", "sNaN", "-Infinity", "1E21", "1E-21", "0E-999999")]
    others = [1.5, True, None, ["1"], ("1", "2"), b"1", 2**63, 10**5000]

    refuses(orders.Custom, "extra", "be finite, with an exponent up to 20,", [{"x": number} for number in numbers])
    refuses(orders.Custom, "extra", "be a text without NUL and lone surrogates,", [{"x": "\0"}, {"x": "\ud800"}])
    refuses(
        orders.Custom, "extra", "be a text, a Decimal or an int of up to 63 bits,", [{"x": other} for other in others]
    )

"""Rows to models: names, aliases, states and what nobody knows."""

import copy
import json
import operator
import pickle
from decimal import Decimal

import attrs
import pytest

import smm_async as smm
from smm_async._decode import UnreadableError, make_converter
from smm_async.models import (
    Balance,
    OrderState,
    OrderStatus,
    Product,
    ProductOrderStatus,
    RefillState,
    RefillStatus,
    Service,
)
from smm_async.panels import Panel

PANEL = Panel("https://panel.example/api/v2")
CONVERTER = make_converter(PANEL)
ROW = {"charge": "0.27819", "start_count": "3572", "status": "Partial", "remains": "157", "currency": "USD"}


def status_of(**row):
    """Return the order status that a row is."""
    return CONVERTER.structure(row, OrderStatus)


def test_order_status_of_texts():
    """A row of texts is the model with real numbers."""
    assert status_of(**ROW) == OrderStatus(
        status="Partial",
        state=OrderState.PARTIAL,
        charge=Decimal("0.27819"),
        start_count=3572,
        remains=157,
        currency="USD",
    )


def test_order_status_of_numbers():
    """A row of numbers is the same model."""
    assert status_of(charge=Decimal("0.27819"), start_count=3572, status="Partial", remains=157, currency="USD") == (
        status_of(**ROW)
    )


def test_order_status_of_few_fields():
    """What a panel leaves out is `None`, and a row without a status is in a state that nobody knows."""
    status = status_of(charge="0.5")

    assert status == OrderStatus(status="", state=OrderState.UNKNOWN, charge=Decimal("0.5"))
    assert not status.state.is_terminal


@pytest.mark.parametrize("nothing", [None, "", "Unknown", "N/A", False], ids=repr)
@pytest.mark.parametrize("field", ["charge", "start_count", "remains", "runs", "posts"])
def test_missing_number_in_a_row_is_none(field, nothing):
    """A number that the panel left empty or called unknown is `None`, never 0."""
    assert getattr(status_of(**ROW | {field: nothing}), field) is None


@pytest.mark.parametrize("nothing", [None, "", False], ids=repr)
@pytest.mark.parametrize("field", ["currency", "expiry"])
def test_missing_text_in_a_row_is_none(field, nothing):
    """An empty text is `None`."""
    assert getattr(status_of(**ROW | {field: nothing}), field) is None


@pytest.mark.parametrize("field", ["charge", "start_count", "remains"])
@pytest.mark.parametrize("bad", [True, "soon", "NaN", "1e999999", [], {"a": 1}], ids=repr)
def test_unreadable_number_in_a_row_is_refused(field, bad):
    """A number that is there and is none makes the row unreadable, rather than a number nobody wrote."""
    with pytest.raises(UnreadableError):
        status_of(**ROW | {field: bad})


@pytest.mark.parametrize("bad", [True, {"error": "x"}], ids=repr)
def test_unreadable_status_in_a_row_is_refused(bad):
    """A status that is no word makes the row unreadable."""
    with pytest.raises(UnreadableError):
        status_of(**ROW | {"status": bad})


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Completed", OrderState.COMPLETED),
        ("completed", OrderState.COMPLETED),
        ("In_progress", OrderState.IN_PROGRESS),
        ("Inprogress", OrderState.IN_PROGRESS),
        ("Cancelled", OrderState.CANCELED),
        ("Success", OrderState.COMPLETED),
        ("Fail", OrderState.FAILED),
        ("Teleporting", OrderState.UNKNOWN),
        ("", OrderState.UNKNOWN),
        ("2", OrderState.UNKNOWN),
    ],
)
def test_order_state_and_the_panels_own_word(word, state):
    """The state is read, and the word is kept as it came."""
    row = {"charge": "1", "status": word}
    status, bought = CONVERTER.structure(row, OrderStatus), CONVERTER.structure(row, ProductOrderStatus)

    assert (status.state, status.status) == (bought.state, bought.status) == (state, word)


def test_numeric_status_is_unknown():
    """A number may mean anything, and is kept as its digits."""
    status = status_of(charge="1", status=2)

    assert (status.state, status.status) == (OrderState.UNKNOWN, "2")


def test_panels_own_states_decide():
    """A panel's setting may give numbers and words a meaning."""
    states = {**PANEL.order_states, "2": OrderState.COMPLETED, "beklemede": OrderState.PENDING}
    refills = {"1": RefillState.REJECTED}
    converter = make_converter(attrs.evolve(PANEL, order_states=states, refill_states=refills))

    assert converter.structure({"status": 2}, OrderStatus).state is OrderState.COMPLETED
    assert converter.structure({"status": "BEKLEMEDE "}, OrderStatus).state is OrderState.PENDING
    assert converter.structure({"status": "Partial"}, OrderStatus).state is OrderState.PARTIAL
    assert converter.structure({"status": "1"}, RefillStatus).state is RefillState.REJECTED
    assert converter.structure({"status": "Completed"}, RefillStatus).state is RefillState.UNKNOWN


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"start_counter": 904}, {"start_count": 904}),
        ({"count_start": "904", "count_remain": "5"}, {"start_count": 904, "remains": 5}),
        ({"start_count": 1, "start_counter": 2}, {"start_count": 1}),
        ({"start_counter": 2, "start_count": 1}, {"start_count": 1}),
        ({"status": "success", "orderStatus": "Pending"}, {"status": "Pending", "state": OrderState.PENDING}),
        ({"orderStatus": "Pending", "status": "success"}, {"status": "Pending", "state": OrderState.PENDING}),
        ({"order_status": "Partial", "status": "ok"}, {"status": "Partial", "state": OrderState.PARTIAL}),
        ({"order_status": "Partial", "status": True}, {"status": "Partial", "state": OrderState.PARTIAL}),
        ({"status": True, "order_status": "Partial"}, {"status": "Partial", "state": OrderState.PARTIAL}),
    ],
)
def test_order_status_under_other_names(row, expected):
    """Fields under other panels' names fill the same fields, whatever comes first."""
    status = status_of(**row)

    assert {name: getattr(status, name) for name in expected} == expected
    assert status.extra == {}


def test_unknown_fields_are_kept():
    """What nobody knows is kept as it came, and the id that was asked for is not repeated."""
    status = status_of(**ROW, order="7", order_id=7, orderId=7, orderID=7, id=7, ID=7, service=5, link={"a": [1]})

    assert status.extra == {"service": 5, "link": {"a": [1]}}


def test_drip_feed_and_subscription_rows():
    """A parent order has runs or posts, its children, and no charge."""
    drip = status_of(status="Inprogress", runs="3", orders=["77131", 77132])
    subscription = status_of(status="Expired", expiry=False, posts="6", orders=[])

    assert (drip.state, drip.runs, drip.orders, drip.charge) == (OrderState.IN_PROGRESS, 3, ("77131", "77132"), None)
    assert (subscription.state, subscription.posts, subscription.expiry) == (OrderState.EXPIRED, 6, None)
    assert subscription.state.is_terminal
    assert status_of(status="Active", expiry="31/12/2026", posts=1).expiry == "31/12/2026"


def test_refill_status_rows():
    """A refill has a word, a state, and what else there was."""
    row = {"refill": 51, "refill_id": 51, "refillId": 51, "order": 3, "id": 9, "status": "Rejected", "note": "x"}

    assert CONVERTER.structure(row, RefillStatus) == RefillStatus(
        status="Rejected", state=RefillState.REJECTED, extra={"note": "x"}
    )
    assert CONVERTER.structure({"status": "success", "refill_status": "Pending"}, RefillStatus).state is (
        RefillState.PENDING
    )
    assert CONVERTER.structure({"status": "?"}, RefillStatus).state is RefillState.UNKNOWN


def test_product_order_status_rows():
    """A bought product has its result in the panel's words, its refund exact, and several results on lines."""
    row = {"charge": Decimal("5.6"), "status": "Partial", "note": "", "refund": Decimal("0.4"), "remains": 1}

    assert CONVERTER.structure(row, ProductOrderStatus) == ProductOrderStatus(
        status="Partial",
        state=OrderState.PARTIAL,
        charge=Decimal("5.6"),
        refund=Decimal("0.4"),
        remains=1,
    )
    assert CONVERTER.structure({"status": "Completed", "result": ["a", "b"]}, ProductOrderStatus).result == "a\nb"
    assert CONVERTER.structure({"status": "Completed", "result": "N/A"}, ProductOrderStatus).result == "N/A"
    assert CONVERTER.structure({"status": "Canceled", "note": "Unknown"}, ProductOrderStatus).note == "Unknown"


SERVICE = {
    "service": 411,
    "name": "Likes",
    "type": "Default",
    "category": "IG",
    "rate": "0.84",
    "min": "20",
    "max": "9",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"service": "411", "rate": Decimal("0.84"), "min": 20, "max": 9, "cancel": None, "refill": None}),
        ({"service": "411"}, {"service": "411"}),
        ({"service": " 411 "}, {"service": "411"}),
        ({"service": "0a1b-2c"}, {"service": "0a1b-2c"}),
        ({"rate": Decimal("0.9")}, {"rate": Decimal("0.9")}),
        ({"rate": 8}, {"rate": Decimal(8)}),
        ({"rate": "1.0E-5"}, {"rate": Decimal("0.00001")}),
        ({"rate": "$0.50"}, {"rate": Decimal("0.50")}),
        ({"rate": "1,234.56"}, {"rate": Decimal("1234.56")}),
        ({"rate": "95200"}, {"rate": Decimal(95200)}),
        ({"rate": "9999999999999.00"}, {"rate": Decimal("9999999999999.00")}),
        ({"rate": None}, {"rate": None}),
        ({"max": "10,000"}, {"max": 10_000}),
        ({"max": 2147483647}, {"max": 2147483647}),
        ({"max": "9223372036854775807"}, {"max": 2**63 - 1}),
        ({"refill": True, "cancel": False, "dripfeed": True}, {"refill": True, "cancel": False, "dripfeed": True}),
        ({"refill": 1, "cancel": 0, "dripfeed": 0}, {"refill": True, "cancel": False, "dripfeed": False}),
        ({"refill": "1", "cancel": "0", "dripfeed": "true"}, {"refill": True, "cancel": False, "dripfeed": True}),
        ({"refill": "30 gün", "cancel": None}, {"refill": None, "cancel": None}),
        ({"canceling_is_available": True, "drip_feed": "0"}, {"cancel": True, "dripfeed": False}),
        ({"category": None, "name": None, "type": None}, {"category": None, "name": "", "type": ""}),
        ({"name": "🔥 A | B &amp; C"}, {"name": "🔥 A | B &amp; C"}),
        ({"desc": None, "network": "x"}, {"extra": {"desc": None, "network": "x"}}),
    ],
)
def test_service_rows(changes, expected):
    """A service is read from any of the ways panels write one, and a flag that is missing is unknown."""
    service = CONVERTER.structure(SERVICE | changes, Service)

    assert {name: getattr(service, name) for name in expected} == expected


@pytest.mark.parametrize("name", ["serviceId", "id", "ID"])
def test_service_under_other_names(name):
    """Another panel's names for id, name and price are known."""
    service = CONVERTER.structure({name: 7, "title": "Likes", "cost": "1.5"}, Service)

    assert (service.service, service.name, service.rate) == ("7", "Likes", Decimal("1.5"))
    assert service.extra == {}
    assert CONVERTER.structure({name: 7, "rate1K": "1.5"}, Service).rate == Decimal("1.5")
    assert CONVERTER.structure({name: 7, "price": 2}, Service).rate == 2


def test_service_id_goes_before_other_ids():
    """A row that has `service` has its id there."""
    assert CONVERTER.structure({"id": 1, "service": 2}, Service).service == "2"
    assert CONVERTER.structure({"service": 2, "id": 1}, Service).service == "2"


@pytest.mark.parametrize(
    ("word", "order_type"),
    [("Default", "Default"), ("default", "Default"), ("custom_comments", "CustomComments"), ("poll", "Poll")],
)
def test_service_type_in_any_spelling(word, order_type):
    """The type of a service leads to the order that it takes."""
    service = CONVERTER.structure(SERVICE | {"type": word}, Service)

    assert service.order_type is getattr(smm.orders, order_type)
    assert CONVERTER.structure(SERVICE | {"type": "17"}, Service).order_type is None


@pytest.mark.parametrize("model", [Service, Product, Balance])
@pytest.mark.parametrize("row", [{}, {"name": "x"}], ids=repr)
def test_row_without_what_it_is_about_is_refused(model, row):
    """A service or product without an id is none, and neither is a balance without an amount."""
    with pytest.raises(UnreadableError):
        CONVERTER.structure(row, model)


@pytest.mark.parametrize(("model", "name"), [(Service, "service"), (Product, "product"), (Balance, "balance")])
@pytest.mark.parametrize("nothing", [None, "", " ", True, []], ids=repr)
def test_row_with_nothing_for_its_id_is_refused(model, name, nothing):
    """An empty id is none."""
    with pytest.raises(UnreadableError):
        CONVERTER.structure({name: nothing, "name": "x"}, model)


def test_product_rows():
    """A product is read with its question, its stock and its price."""
    row = {"product": 14, "name": "M", "require": "E-mail", "rate": Decimal("6.75"), "min": 1, "max": 5}
    product = CONVERTER.structure(row | {"status": "In stock", "inventory": 12, "type": "Auto"}, Product)
    other = CONVERTER.structure({"id": 15, "title": "P", "price": "0.5", "status": "Out of stock"}, Product)

    assert product == Product(
        product="14", name="M", require="E-mail", rate=Decimal("6.75"), min=1, max=5, status="In stock", inventory=12,
        type="Auto",
    )  # fmt: skip
    assert product.in_stock
    assert (other.product, other.name, other.rate, other.inventory) == ("15", "P", Decimal("0.5"), None)
    assert not other.in_stock


@pytest.mark.parametrize(
    ("row", "balance"),
    [
        ({"balance": "100.84292", "currency": "USD"}, Balance(balance=Decimal("100.84292"), currency="USD")),
        ({"Balance": "5"}, Balance(balance=Decimal(5))),
        ({"amount": 5, "currency": "EUR"}, Balance(balance=Decimal(5), currency="EUR")),
        ({"balance": "0", "status": "success"}, Balance(balance=Decimal(0), extra={"status": "success"})),
        ({"balance": "1", "balancef": "1đ"}, Balance(balance=Decimal(1), extra={"balancef": "1đ"})),
    ],
)
def test_balance_rows(row, balance):
    """A balance is an amount, perhaps a currency, and what else there was."""
    assert CONVERTER.structure(row, Balance) == balance


def test_models_are_what_their_classes_make():
    """A record filled from a row is equal to, hashes as, and cannot be changed like one made by its class."""
    status = status_of(**ROW)
    same = attrs.evolve(status)

    assert same == status
    assert hash(same) == hash(status)
    assert repr(same) == repr(status)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        status.charge = Decimal(0)


def test_records_do_not_share_their_extra():
    """Each record that has unknown fields has an `extra` of its own."""
    first, second = status_of(**ROW, mode="Auto"), status_of(**ROW, mode="Auto")

    assert first.extra == second.extra == {"mode": "Auto"}
    assert first.extra is not second.extra


CHANGES = {
    "set": lambda extra: operator.setitem(extra, "mode", "Auto"),
    "delete": lambda extra: operator.delitem(extra, "mode"),
    "or": lambda extra: operator.ior(extra, {"mode": "Auto"}),
    "update": lambda extra: extra.update(mode="Auto"),
    "setdefault": lambda extra: extra.setdefault("mode", "Auto"),
    "pop": lambda extra: extra.pop("mode", None),
    "popitem": lambda extra: extra.popitem(),
    "clear": lambda extra: extra.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_extra_of_many_takes_nothing(change):
    """What records without unknown fields have in common cannot be changed through one of them."""
    extra = status_of(**ROW).extra

    with pytest.raises(TypeError, match="cannot be changed"):
        change(extra)

    assert extra == {}
    assert {**extra} == {} != extra | {"mode": "Auto"}


@pytest.mark.parametrize(
    "take",
    [copy.copy, copy.deepcopy, *(lambda it, n=n: pickle.loads(pickle.dumps(it, n)) for n in (0, 2, 5)), attrs.evolve],
    ids=["copy", "deepcopy", "pickle_0", "pickle_2", "pickle_5", "evolve"],
)
def test_record_without_extra_is_copied(take):
    """A record without unknown fields stays the same in a copy and a pickle, and has no dictionary of its own then."""
    status = status_of(**ROW)
    taken = take(status)

    assert taken == status
    assert taken.extra is status.extra
    assert json.dumps(attrs.asdict(taken)["extra"]) == "{}"

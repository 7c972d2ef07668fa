"""The examples on the two panels' own API pages, as printed there, through a client of each panel."""

from decimal import Decimal

import pytest

import smm_async as smm
from smm_async.models import (
    Balance,
    OrderState,
    OrderStatus,
    RefillState,
    RefillStatus,
    Service,
)
from tests.canned import ask, reply

D3MWORLD, ONE_DG = smm.panels.D3MWORLD, smm.panels.ONE_DG
BOTH = pytest.mark.parametrize("page", [D3MWORLD, ONE_DG], ids=["d3mworld", "1dg"])
LINK = "https://example.com/p"


async def test_services_of_d3mworld():
    """Services have refill and cancel, and their texts are numbers."""
    body = """
    [
    {
        "service": 1,
        "name": "Followers",
        "type": "Default",
        "category": "First Category",
        "rate": "0.90",
        "min": "50",
        "max": "10000",
        "refill": true,
        "cancel": true
    },
    {
        "service": 2,
        "name": "Comments",
        "type": "Custom Comments",
        "category": "Second Category",
        "rate": "8",
        "min": "10",
        "max": "1500",
        "refill": false,
        "cancel": true
    }
]
            """
    services, forms = await ask(D3MWORLD, body, "services")

    assert services == [
        Service(
            service="1",
            name="Followers",
            type="Default",
            category="First Category",
            rate=Decimal("0.90"),
            min=50,
            max=10_000,
            refill=True,
            cancel=True,
        ),
        Service(
            service="2",
            name="Comments",
            type="Custom Comments",
            category="Second Category",
            rate=Decimal(8),
            min=10,
            max=1500,
            refill=False,
            cancel=True,
        ),
    ]
    assert forms == [{"action": "services"}]


async def test_services_of_1dg():
    """Services have no cancel, which is unknown and not no."""
    body = """[
    {
        "service": 1,
        "name": "Youtube views",
        "type": "Default",
        "category": "Youtube",
        "rate": "2.5",
        "min": "200",
        "max": "10000",
        "refill": true
    },
    {
        "service": 2,
        "name": "Facebook comments",
        "type": "Custom Comments",
        "category": "Facebook",
        "rate": "4",
        "min": "10",
        "max": "1500",
        "refill": false
    }
]"""
    services, _ = await ask(ONE_DG, body, "services")

    assert [(service.service, service.rate, service.min, service.max) for service in services] == [
        ("1", Decimal("2.5"), 200, 10_000),
        ("2", Decimal(4), 10, 1500),
    ]
    assert [(service.refill, service.cancel) for service in services] == [(True, None), (False, None)]
    assert [service.order_type for service in services] == [smm.orders.Default, smm.orders.CustomComments]


@pytest.mark.parametrize(("page", "id_"), [(D3MWORLD, 23501), (ONE_DG, 99999)], ids=["d3mworld", "1dg"])
async def test_add(page, id_):
    """The id of a new order is text."""
    order = smm.orders.Default(service=1, link=LINK, quantity=100)
    placed, forms = await ask(page, f'{{\n    "order": {id_}\n}}', "add", order)

    assert placed == str(id_)
    assert forms == [{"action": "add", "service": "1", "link": LINK, "quantity": "100"}]


async def test_status_of_d3mworld():
    """A status has a currency."""
    body = """{
    "charge": "0.27819",
    "start_count": "3572",
    "status": "Partial",
    "remains": "157",
    "currency": "USD"
}"""
    status, forms = await ask(D3MWORLD, body, "status", 7)

    assert status == OrderStatus(
        status="Partial",
        state=OrderState.PARTIAL,
        charge=Decimal("0.27819"),
        start_count=3572,
        remains=157,
        currency="USD",
    )
    assert forms == [{"action": "status", "order": "7"}]


async def test_status_of_1dg():
    """A status has no currency, and less than nothing may remain."""
    body = """{
    "charge": "2.5",
    "start_count": "168",
    "status": "Completed",
    "remains": "-2"
}"""
    status, _ = await ask(ONE_DG, body, "status", "7")

    assert status == OrderStatus(
        status="Completed", state=OrderState.COMPLETED, charge=Decimal("2.5"), start_count=168, remains=-2
    )


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Pending", OrderState.PENDING),
        ("Processing", OrderState.PROCESSING),
        ("In progress", OrderState.IN_PROGRESS),
        ("Completed", OrderState.COMPLETED),
        ("Partial", OrderState.PARTIAL),
        ("Canceled", OrderState.CANCELED),
    ],
)
async def test_states_of_1dg(word, state):
    """The states that the page names are known, for orders and product orders."""
    for name in ("status", "product_order_status"):
        status, _ = await ask(ONE_DG, {"charge": "1", "status": word}, name, 7)

        assert (status.state, status.status) == (state, word)


async def test_statuses_of_d3mworld():
    """Several ids are one request, and each caller has its own row or error."""
    body = """{
    "1": {
        "charge": "0.27819",
        "start_count": "3572",
        "status": "Partial",
        "remains": "157",
        "currency": "USD"
    },
    "10": {
        "error": "Incorrect order ID"
    },
    "100": {
        "charge": "1.44219",
        "start_count": "234",
        "status": "In progress",
        "remains": "10",
        "currency": "USD"
    }
}"""
    found, forms = await ask(D3MWORLD, body, "status", [1, 10, 100])

    assert (found[1].charge, found[1].state, found[1].remains) == (Decimal("0.27819"), OrderState.PARTIAL, 157)
    assert type(found[10]) is smm.UnknownOrderError
    assert found[10].text == "Incorrect order ID"
    assert (found[100].start_count, found[100].state) == (234, OrderState.IN_PROGRESS)
    assert [sorted(form["orders"].split(",")) for form in forms] == [["1", "10", "100"]]


async def test_statuses_of_1dg():
    """The same without a currency."""
    body = """{
    "123": {
        "charge": "0.27819",
        "start_count": "3572",
        "status": "Partial",
        "remains": "157"
    },
    "456": {
        "error": "Incorrect order ID"
    },
    "789": {
        "charge": "1.44219",
        "start_count": "234",
        "status": "In progress",
        "remains": "10"
    }
}"""
    found, forms = await ask(ONE_DG, body, "statuses", (123, "456", 789))

    assert list(found) == [123, "456", 789]
    assert found[123].charge == Decimal("0.27819")
    assert found[123].currency is None
    assert type(found["456"]) is smm.UnknownOrderError
    assert found[789].remains == 10
    assert forms == [{"action": "status", "orders": "123,456,789"}]


@BOTH
async def test_refill(page):
    """The id of a refill is text."""
    refill, forms = await ask(page, '{\n    "refill": "1"\n}', "refill", 7)

    assert refill == "1"
    assert forms == [{"action": "refill", "order": "7"}]


async def test_refills_of_1dg():
    """The printed answer for several orders holds one refill id, which is nobody's."""
    found, forms = await ask(ONE_DG, '{\n    "refill": "1"\n}', "refills", (123, 456))

    assert [type(outcome) for outcome in found.values()] == [smm.OutcomeUnknownError] * 2
    assert forms == [{"action": "refill", "orders": "123,456"}]


async def test_refills_of_d3mworld():
    """A panel that prints no form for several orders is asked for one at a time, and none is sent twice."""
    found, forms = await ask(D3MWORLD, {"refill": "1"}, "refills", (123, 456), single=lambda _: reply({"refill": "2"}))

    assert sorted(found.values()) == ["1", "2"]
    assert sorted(form["order"] for form in forms) == ["123", "456"]


@BOTH
async def test_refill_status(page):
    """A lone refill has a status, and that is all."""
    status, forms = await ask(page, '{\n    "status": "Completed"\n}', "refill_status", 1)

    assert status == RefillStatus(status="Completed", state=RefillState.COMPLETED)
    assert forms == [{"action": "refill_status", "refill": "1"}]


async def test_refill_statuses_of_1dg():
    """Several refills are told apart in a list, and an error stands in the place of the status."""
    body = """[
    {
        "refill": 1,
        "status": "Completed"
    },
    {
        "refill": 2,
        "status": "Rejected"
    },
    {
        "refill": 3,
        "status": {
            "error": "Incorrect refill ID"
        }
    }
]"""
    found, forms = await ask(ONE_DG, body, "refill_status", [1, 2, 3])

    assert (found[1].state, found[2].state) == (RefillState.COMPLETED, RefillState.REJECTED)
    assert type(found[3]) is smm.UnknownRefillError
    assert [sorted(form["refills"].split(",")) for form in forms] == [["1", "2", "3"]]


@pytest.mark.parametrize(("page", "amount"), [(D3MWORLD, "100.84292"), (ONE_DG, "68.6868")], ids=["d3mworld", "1dg"])
async def test_balance(page, amount):
    """The balance is exact."""
    balance, forms = await ask(page, f'{{\n    "balance": "{amount}",\n    "currency": "USD"\n}}', "balance")

    assert balance == Balance(balance=Decimal(amount), currency="USD")
    assert forms == [{"action": "balance"}]


@pytest.mark.parametrize(
    ("page", "name", "args"),
    [
        (D3MWORLD, "products", ()),
        (D3MWORLD, "cancel", (7,)),
        (D3MWORLD, "product_order_status", (7,)),
        (D3MWORLD, "add_product_order", (1, 1, "x")),
        (ONE_DG, "cancel", (7,)),
        (ONE_DG, "cancels", ((7,),)),
    ],
    ids=lambda value: value.url[8:13] if isinstance(value, smm.Panel) else str(value),
)
async def test_what_a_page_does_not_document_is_not_sent(page, name, args):
    """An action that stands on no page is refused before any request."""
    found, forms = await ask(page, {}, name, *args)

    assert type(found) is smm.UnsupportedActionError
    assert forms == []

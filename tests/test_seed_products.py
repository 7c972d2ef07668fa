"""The examples for products on 1dg's own API page, as printed there, through a client of it."""

from decimal import Decimal

import smm_async as smm
from smm_async.models import OrderState, Product, ProductOrderStatus
from tests.canned import ask

ONE_DG = smm.panels.ONE_DG

PRODUCTS = """[
    {
        "product": 1,
        "name": "Netflix premium 1 month",
        "require": "Input your account",
        "rate": 2.5,
        "min": 1,
        "max": 10,
        "category": "Netflix",
        "status": "In stock",
        "inventory": 40,
        "type": "Auto"
    },
    {
        "product": 2,
        "name": "Youtube premium 1 month",
        "require": "Input your account",
        "rate": 5,
        "min": 1,
        "max": 1,
        "category": "Youtube"
        "status": "Out of stock"
        "inventory": 0,
        "type": "Auto"
    },
    {
        "product": 3,
        "name": "Facebook account 5000 friends"
        "rate": 0.5,
        "min": 1,
        "max": 2,
        "category": "Facebook"
        "status": "In stock",
        "type": "Service"
    }
]"""


async def test_products_of_1dg_as_printed():
    """The printed example lacks commas, and is not guessed at."""
    found, forms = await ask(ONE_DG, PRODUCTS, "products")

    assert type(found) is smm.BadReplyError
    assert found.text == PRODUCTS[:200]
    assert forms == [{"action": "products"}]


async def test_products_of_1dg_mended():
    """With its commas, the example is three products, one of them without a question and an inventory."""
    mended = PRODUCTS.replace('"\n        "', '",\n        "')
    products, _ = await ask(ONE_DG, mended, "products")

    assert products[0] == Product(
        product="1",
        name="Netflix premium 1 month",
        require="Input your account",
        rate=Decimal("2.5"),
        min=1,
        max=10,
        category="Netflix",
        status="In stock",
        inventory=40,
        type="Auto",
    )
    assert [(product.product, product.in_stock, product.inventory) for product in products] == [
        ("1", True, 40),
        ("2", False, 0),
        ("3", True, None),
    ]
    assert (products[2].require, products[2].rate) == (None, Decimal("0.5"))


async def test_add_product_order_of_1dg():
    """The id of a new product order is text."""
    placed, forms = await ask(ONE_DG, '{\n    "order": 99999\n} ', "add_product_order", 1, 2, "me@example.com")

    assert placed == "99999"
    assert forms == [{"action": "add_product_order", "product": "1", "quantity": "2", "require": "me@example.com"}]


async def test_product_order_status_of_1dg():
    """What was bought stands in the result."""
    body = """{
    "charge": 7.5,
    "status": "Completed",
    "result": "c85c1d1a-9ef3-4d01-8c58-3dfaf3bbc78e"
}"""
    status, forms = await ask(ONE_DG, body, "product_order_status", 7)

    assert status == ProductOrderStatus(
        status="Completed",
        state=OrderState.COMPLETED,
        charge=Decimal("7.5"),
        result="c85c1d1a-9ef3-4d01-8c58-3dfaf3bbc78e",
    )
    assert forms == [{"action": "product_order_status", "order": "7"}]


async def test_product_order_statuses_of_1dg():
    """Notes and refunds are read, and an empty note is none."""
    body = """{
    "123": {
        "charge": 7.5,
        "status": "Completed",
        "result": "c85c1d1a-9ef3-4d01-8c58-3dfaf3bbc78e"
    },
    "456": {
        "error": "Incorrect order ID"
    },
    "789": {
        "charge": 0,
        "status": "Canceled",
        "note": "Out of stock"
    },
    "688": {
        "charge": 5.6,
        "status": "Partial",
        "note": "",
        "refund": 0.4
    }
}"""
    found, forms = await ask(ONE_DG, body, "product_order_status", ["123", "456", "789", "688"])

    assert (found["123"].state, found["123"].charge) == (OrderState.COMPLETED, Decimal("7.5"))
    assert type(found["456"]) is smm.UnknownOrderError
    assert (found["789"].state, found["789"].charge, found["789"].note) == (OrderState.CANCELED, 0, "Out of stock")
    assert (found["688"].state, found["688"].note, found["688"].refund) == (OrderState.PARTIAL, None, Decimal("0.4"))
    assert len(forms) == 1

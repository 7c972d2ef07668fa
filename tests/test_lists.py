"""Catalogues and balances through the client: every shape seen, and what is left out of them."""

import json
import logging
from decimal import Decimal

import pytest

import smm_async as smm
from smm_async.models import Balance
from tests.canned import asking, outcome_of, reply

FIRST = {"service": 1, "name": "A", "type": "Default", "category": "C", "rate": "0.90", "min": "50", "max": "10000"}
SECOND = FIRST | {"service": "two-2", "rate": 8}
BY_ID: dict[str, dict[str, object]] = {"1": {"name": "A", "rate": "0.90"}, "two-2": {"name": "B", "rate": 8}}

CATALOGUES = {
    "list": [FIRST, SECOND],
    "data": {"data": [FIRST, SECOND]},
    "services": {"status": "success", "services": [FIRST, SECOND]},
    "value": {"value": [FIRST, SECOND]},
    "result": {"success": True, "message": "", "result": [FIRST, SECOND]},
    "by_id": BY_ID,
    "by_id_in_data": {"status": "success", "data": BY_ID},
    "by_id_with_other_ids": {key: row | {"id": 77} for key, row in BY_ID.items()},
    "other_names": [{"serviceId": 1, "title": "A", "cost": "0.90"}, {"ID": "two-2", "rate1K": "8"}],
}


@pytest.mark.parametrize("value", CATALOGUES.values(), ids=CATALOGUES)
@pytest.mark.parametrize("content_type", ["application/json", "text/html; charset=UTF-8"])
async def test_catalogue_in_any_container(value, content_type):
    """Services are read from a list, an envelope or an object keyed by id."""
    async with asking(reply(value, content_type=content_type)) as (panel, client):
        services = await client.services()

    assert [(service.service, service.rate) for service in services] == [("1", Decimal("0.90")), ("two-2", Decimal(8))]
    assert panel.forms == [{"action": "services"}]


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"status": "success", "data": []},
        {"status": "success", "data": "Empty Data"},
        {"success": True, "data": None},
        {"status": "success"},
    ],
    ids=repr,
)
async def test_catalogue_that_is_empty(value):
    """A success without services is an empty catalogue."""
    async with asking(reply(value)) as (_, client):
        assert await client.services() == []


@pytest.mark.parametrize(
    ("value", "status_code", "error"),
    [
        ({"error": "Invalid API key"}, 200, smm.InvalidKeyError),
        ({"error": "Invalid API key", "services": []}, 200, smm.InvalidKeyError),
        ({"status": "success", "error": "Invalid API key"}, 200, smm.InvalidKeyError),
        ({"status": "error", "data": []}, 200, smm.PanelError),
        (b'"Incorrect request"', 200, smm.UnsupportedActionError),
        (None, 200, smm.BadReplyError),
        ({}, 200, smm.BadReplyError),
        (5, 200, smm.BadReplyError),
        ({"balance": "5"}, 200, smm.BadReplyError),
        ({"status": "success", "balance": "5"}, 200, smm.BadReplyError),
        ({"status": "Completed"}, 200, smm.BadReplyError),
        ({"1": FIRST, "2": None}, 200, smm.BadReplyError),
        ({"x": 1}, 404, smm.BadReplyError),
        (b"<html>", 200, smm.BadReplyError),
        (b'[{"service":1},{"service":2}', 200, smm.BadReplyError),
    ],
)
async def test_catalogue_that_is_none_is_an_error(value, status_code, error):
    """What is no catalogue never passes for an empty one."""
    async with asking(reply(value, status_code)) as (panel, client):
        found = await outcome_of(client.services)

    assert type(found) is error
    assert len(panel.forms) == 1


async def test_rows_that_are_no_services_are_passed_over(caplog):
    """A row without an id, with a price that is none, or that is no row at all, is reported and costs nobody else."""
    rows = [FIRST, {"name": "x"}, FIRST | {"rate": "free"}, FIRST | {"service": ""}, "x", None, [], SECOND]

    async with asking(reply(rows)) as (_, client):
        services = await client.services()

    assert [service.service for service in services] == ["1", "two-2"]
    assert caplog.record_tuples == [
        ("smm_async", logging.WARNING, "6 of 8 rows of 'services' are not usable and were passed over.")
    ]


async def test_catalogue_without_faults_is_not_reported(caplog):
    """No row passed over, no warning."""
    async with asking(reply([FIRST, SECOND])) as (_, client):
        await client.services()

    assert caplog.record_tuples == []


async def test_products_in_other_shapes(caplog):
    """Products come in the same containers, and their rows are passed over in the same way."""
    rows = {"data": [{"product": 1, "rate": Decimal(5)}, {"id": "2", "price": "0.5"}, {"name": "x"}]}

    async with asking(reply(json.dumps(rows, default=str)), reply({"7": {"name": "x"}})) as (panel, client):
        products = await client.products()
        by_id = await client.products()

    assert [(product.product, product.rate) for product in products] == [("1", 5), ("2", Decimal("0.5"))]
    assert [product.product for product in by_id] == ["7"]
    assert [record[2] for record in caplog.record_tuples] == [
        "1 of 3 rows of 'products' are not usable and were passed over."
    ]
    assert panel.forms == [{"action": "products"}] * 2


async def test_catalogue_of_half_a_megabyte_is_read():
    """Three thousand services are one answer, decoded beside the event loop."""
    rows = [FIRST | {"service": number, "name": f"🔥 {number}" + "x" * 60} for number in range(3000)]
    body = json.dumps(rows, ensure_ascii=False)
    assert len(body) > 500_000

    async with asking(reply(body)) as (_, client):
        services = await client.services()

    assert [service.service for service in services] == [str(number) for number in range(3000)]
    assert services[2999].name.startswith("🔥 2999")


BALANCES = {
    "documented": ({"balance": "100.84292", "currency": "USD"}, "100.84292", "USD"),
    "number": (b'{"balance": 42.10, "currency": "USD", "balancef": "42,10 $"}', "42.10", "USD"),
    "whole_number": ({"balance": 42}, "42", None),
    "tail": ({"balance": "0.0000000001"}, "0.0000000001", None),
    "exponent": (b'{"balance": 1e-05}', "0.00001", None),
    "english": ({"balance": "1,234.56"}, "1234.56", None),
    "german": ({"balance": "1.234,56"}, "1234.56", None),
    "comma": ({"balance": "12,5"}, "12.5", None),
    "dollar": ({"balance": "$12.50"}, "12.50", None),
    "euro_behind": ({"balance": "12.50 EUR"}, "12.50", None),
    "negative": ({"balance": "-3.20", "currency": "TRY"}, "-3.20", "TRY"),
    "negative_dollar": ({"balance": "-$3.20"}, "-3.20", None),
    "negative_behind_currency": ({"balance": "USD -3.20"}, "-3.20", None),
    "bare_text": (b'"42.10"', "42.10", None),
    "bare_number": (b"42.10", "42.10", None),
    "bare_whole_number": (b"42", "42", None),
    "amount": ({"balance": {"amount": "5", "currency": "EUR"}}, "5", "EUR"),
    "amount_beside_a_currency": ({"balance": {"amount": 5}, "currency": "EUR"}, "5", "EUR"),
    "balance_in_balance": ({"balance": {"balance": "5"}}, "5", None),
    "capital": ({"Balance": "5"}, "5", None),
    "capital_amount": ({"Balance": {"amount": "5"}}, "5", None),
    "data": ({"data": {"balance": "5", "currency": "EUR"}}, "5", "EUR"),
    "data_with_status": ({"status": "success", "data": {"balance": "5"}}, "5", None),
    "status": ({"status": "success", "balance": "5", "currency": "XU"}, "5", "XU"),
    "empty_error": ({"error": "", "balance": "5"}, "5", None),
}


@pytest.mark.parametrize(("value", "amount", "currency"), BALANCES.values(), ids=BALANCES)
async def test_balance_of_any_shape(value, amount, currency):
    """The amount is the panel's own digits, wherever and however it wrote them."""
    async with asking(reply(value)) as (panel, client):
        balance = await client.balance()

    assert isinstance(balance, Balance)
    assert isinstance(balance.balance, Decimal)
    assert (str(balance.balance.normalize()), balance.currency) == (str(Decimal(amount).normalize()), currency)
    assert panel.forms == [{"action": "balance"}]


@pytest.mark.parametrize(
    ("value", "status_code", "error"),
    [
        ({"error": "Invalid API key"}, 200, smm.InvalidKeyError),
        ({"error": "Invalid API key", "balance": "0"}, 200, smm.InvalidKeyError),
        ({"status": "fail", "message": "Account suspended", "balance": 0}, 200, smm.AccountError),
        ({"error": "Quelque chose"}, 401, smm.InvalidKeyError),
        (b'"Invalid API key"', 200, smm.InvalidKeyError),
        ({"data": {"error": "x"}}, 200, smm.PanelError),
        ({"balance": True}, 200, smm.BadReplyError),
        ({"balance": None}, 200, smm.BadReplyError),
        ({"balance": ""}, 200, smm.BadReplyError),
        ({"balance": "Unknown"}, 200, smm.BadReplyError),
        ({"balance": "NaN"}, 200, smm.BadReplyError),
        ({"balance": "1e999999"}, 200, smm.BadReplyError),
        ({"balance": "1_0"}, 200, smm.BadReplyError),
        ({"balance": "\u0661\u0662"}, 200, smm.BadReplyError),
        ({"balance": []}, 200, smm.BadReplyError),
        ({"balance": {}}, 200, smm.BadReplyError),
        (b'{"balance": NaN}', 200, smm.BadReplyError),
        (b'{"balance": 1e999999}', 200, smm.BadReplyError),
        ({"currency": "USD"}, 200, smm.BadReplyError),
        (None, 200, smm.BadReplyError),
        (True, 200, smm.BadReplyError),
        ([], 200, smm.BadReplyError),
        ({"balance": "5"}, 404, smm.BadReplyError),
    ],
)
async def test_balance_that_is_none_is_an_error(value, status_code, error):
    """What is no amount, or stands beside an error, is never a balance, least of all 0."""
    async with asking(reply(value, status_code)) as (panel, client):
        found = await outcome_of(client.balance)

    assert type(found) is error
    assert len(panel.forms) == 1

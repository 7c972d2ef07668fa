"""What a simulated panel answers to each action. Shares nothing with the code that reads such answers."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from attrs import frozen

from smm_async._simulated_books import Books
from smm_async._simulated_catalogue import RefusedError
from smm_async._simulated_dialects import Dialect
from smm_async._simulated_orders import SimulatedProductOrder
from smm_async._simulated_requests import Answer, ReceivedRequest, json_answer, read_number

_Json = object


@frozen
class _Call:
    """One request before its answer, at one moment of the panel's clock."""

    books: Books
    dialect: Dialect
    request: ReceivedRequest
    currency: str
    now: float | None


def answer_request(books: Books, dialect: Dialect, request: ReceivedRequest, currency: str) -> Answer:
    """Execute one request and return its answer: status 200 also for refusals, 405 for another method than POST."""
    if request.method != "POST":
        return json_answer({"error": "Method Not Allowed"}, status=405, headers=(("allow", "POST"),))
    now = books.now()
    books.settle(now)
    return json_answer(_refusable(_dispatch, _Call(books, dialect, request, currency, now)))


def _refusable(read: Callable[..., _Json], *arguments: object) -> _Json:
    try:
        return read(*arguments)
    except RefusedError as refusal:
        return {"error": str(refusal)}


def _dispatch(call: _Call) -> _Json:
    texts, request = call.dialect.texts, call.request
    if not request.is_authorized:
        raise RefusedError(texts.key)
    if request.action not in call.dialect.actions:
        raise RefusedError(texts.request)
    if request.is_plural:
        return _PLURAL[request.action](call, _ids_within_limit(call))
    return _SINGLE[request.action](call)


def _ids_within_limit(call: _Call) -> list[str]:
    ids, limit = list(dict.fromkeys(call.request.ids)), call.dialect.batch_limit
    if len(ids) > limit and call.dialect.over_limit == "error":
        raise RefusedError(call.dialect.texts.batch.format(limit))
    return ids[:limit]


def _single_id(call: _Call) -> str:
    # A missing id is an id the panel does not know.
    return call.request.ids[0] if call.request.ids else ""


def _services(call: _Call) -> _Json:
    return [_service_row(call, number) for number in call.books.services]


def _service_row(call: _Call, number: int) -> dict[str, _Json]:
    service = call.books.services[number]
    row: dict[str, _Json] = {name: getattr(service, name) for name in call.dialect.service_fields}
    row["rate"] = format(service.rate, "f") if call.dialect.has_text_numbers else _json_number(service.rate)
    row["min"] = _count(call.dialect, service.min)
    row["max"] = _count(call.dialect, service.max)
    return row


def _add(call: _Call) -> _Json:
    return {"order": call.books.add(call.request.fields, call.now).order}


def _status(call: _Call, text: str) -> dict[str, _Json]:
    order = call.books.order(text, call.now)
    row: dict[str, _Json] = {
        "charge": _money(call.dialect, order.charge),
        "start_count": _count(call.dialect, order.start_count),
        "status": order.status(call.now),
        "remains": _count(call.dialect, order.remains(call.now)),
    }
    if call.dialect.has_currency_in_status:
        row["currency"] = call.currency
    return row


def _statuses(call: _Call, ids: list[str]) -> _Json:
    return {text: _refusable(_status, call, text) for text in ids}


def _refill(call: _Call, text: str) -> int:
    return call.books.make_refill(text, call.request.fields, call.now).refill


def _single_refill(call: _Call) -> _Json:
    return {"refill": _count(call.dialect, _refill(call, _single_id(call)))}


def _refills(call: _Call, ids: list[str]) -> _Json:
    made = [_refusable(_refill, call, text) for text in ids]
    if call.dialect.plural_refill == "single":
        first = made[0] if made else {"error": call.dialect.texts.order}
        return {"refill": _count(call.dialect, first)} if isinstance(first, int) else first
    return [{"order": _row_id(text), "refill": refill} for text, refill in zip(ids, made, strict=True)]


def _refill_status(call: _Call, text: str) -> str:
    return call.books.refill(text, call.now).status(call.now)


def _single_refill_status(call: _Call) -> _Json:
    return {"status": _refill_status(call, _single_id(call))}


def _refill_statuses(call: _Call, ids: list[str]) -> _Json:
    return [{"refill": _row_id(text), "status": _refusable(_refill_status, call, text)} for text in ids]


def _cancel(call: _Call, text: str) -> int:
    call.books.cancel(text, call.request.fields, call.now)
    return 1


def _single_cancel(call: _Call) -> _Json:
    return {"cancel": _cancel(call, _single_id(call))}


def _cancels(call: _Call, ids: list[str]) -> _Json:
    return [{"order": _row_id(text), "cancel": _refusable(_cancel, call, text)} for text in ids]


def _balance(call: _Call) -> _Json:
    return {"balance": _money(call.dialect, call.books.funds), "currency": call.currency}


def _products(call: _Call) -> _Json:
    return [_product_row(call, number) for number in call.books.products]


def _product_row(call: _Call, number: int) -> dict[str, _Json]:
    product, left = call.books.products[number], call.books.stock[number]
    row: dict[str, _Json] = {
        "product": product.product,
        "name": product.name,
        "require": product.require,
        "rate": _json_number(product.rate),
        "min": product.min,
        "max": product.max,
        "category": product.category,
        "status": "Out of stock" if left == 0 else "In stock",
        "inventory": left,
        "type": product.type,
    }
    return {name: value for name, value in row.items() if value is not None}


def _add_product_order(call: _Call) -> _Json:
    return {"order": call.books.add_product(call.request.fields, call.now).order}


def _product_status(call: _Call, text: str) -> dict[str, _Json]:
    order = call.books.product_order(text, call.now)
    status = order.status(call.now)
    row: dict[str, _Json] = {"charge": _json_number(order.charge), "status": status}
    return row | _product_outcome(order, status)


def _product_outcome(order: SimulatedProductOrder, status: str) -> dict[str, _Json]:
    if status == "Completed":
        return {"result": order.result}
    if status == "Canceled":
        return {"note": order.note}
    if status == "Partial":
        return {"note": order.note, "refund": _json_number(order.refunded)}
    return {}


def _product_statuses(call: _Call, ids: list[str]) -> _Json:
    return {text: _refusable(_product_status, call, text) for text in ids}


_SINGLE: Mapping[str, Callable[[_Call], _Json]] = {
    "services": _services,
    "add": _add,
    "status": lambda call: _status(call, _single_id(call)),
    "refill": _single_refill,
    "refill_status": _single_refill_status,
    "cancel": _single_cancel,
    "balance": _balance,
    "products": _products,
    "add_product_order": _add_product_order,
    "product_order_status": lambda call: _product_status(call, _single_id(call)),
}

_PLURAL: Mapping[str, Callable[[_Call, list[str]], _Json]] = {
    "status": _statuses,
    "refill": _refills,
    "refill_status": _refill_statuses,
    "cancel": _cancels,
    "product_order_status": _product_statuses,
}


def _row_id(text: str) -> int | str:
    number = read_number(text)
    return number if str(number) == text and number is not None else text


def _count(dialect: Dialect, value: int) -> _Json:
    return str(value) if dialect.has_text_numbers else value


def _money(dialect: Dialect, value: Decimal) -> _Json:
    return format(value.normalize(), "f") if dialect.has_text_numbers else _json_number(value)


def _json_number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)

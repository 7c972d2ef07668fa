"""From JSON rows to models: a cattrs converter whose leaves read what panels write for numbers, flags and texts."""

# JSON is what it is: after `isinstance(value, dict)` nothing is known about the keys and values.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

import attrs
import cattrs

from smm_async._json import is_sane_number
from smm_async._words import fold
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

__all__ = [
    "UnreadableError",
    "make_converter",
    "read_count",
    "read_flag",
    "read_money",
    "read_text",
]

T = TypeVar("T")

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_AROUND_NUMBER: Final = re.compile(r"^[^0-9.,-]+|[^0-9.,-]+$")
_PLAIN_COUNT: Final = re.compile(r"-?[0-9]{1,18}")
_NO_VALUE: Final = frozenset({"", "null", "none", "unknown", "n a", "na", "-"})
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off", ""})
_LONGEST_NUMBER: Final = 60

# What panels call fields that have another name here.
_ALIASES: Final[Mapping[type, Mapping[str, str]]] = {
    OrderStatus: {
        "start_counter": "start_count",
        "count_start": "start_count",
        "count_remain": "remains",
        "order_status": "status",
        "orderStatus": "status",
    },
    Service: {
        "serviceId": "service",
        "id": "service",
        "ID": "service",
        "title": "name",
        "cost": "rate",
        "price": "rate",
        "rate1K": "rate",
        "canceling_is_available": "cancel",
        "drip_feed": "dripfeed",
    },
    Product: {"id": "product", "title": "name", "price": "rate"},
    ProductOrderStatus: {"order_status": "status", "orderStatus": "status"},
    RefillStatus: {"refill_status": "status"},
    Balance: {"amount": "balance", "Balance": "balance"},
}
# Fields that repeat what was asked for; no part of a record.
_IDS: Final[Mapping[type, frozenset[str]]] = {
    OrderStatus: frozenset({"order", "order_id", "orderId", "id"}),
    ProductOrderStatus: frozenset({"order", "order_id", "orderId", "id"}),
    RefillStatus: frozenset({"refill", "refill_id", "order", "id"}),
}


class UnreadableError(ValueError):
    """A field holds what it cannot hold."""


def read_money(value: Any) -> Decimal:
    """Return an amount exactly as the panel wrote it: a JSON number, or text with signs and separators around.

    A dot is decimal unless a comma follows it; a lone comma is decimal unless exactly three digits follow.

    Raises:
        UnreadableError: for anything else, NaN and numbers out of all proportion among it.
    """
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        text = _plain_number(value)
        if text is not None:
            return Decimal(text)
    message = "an amount is not a number"
    raise UnreadableError(message)


def _plain_number(text: str) -> str | None:
    """Return ``text`` as Python reads numbers, or ``None``."""
    if not _NUMBER.fullmatch(text):
        sign = "-" if "-" in text.strip()[:2] else ""
        text = sign + _without_separators(_AROUND_NUMBER.sub("", text.replace(sign or "-", "", 1)))
    return text if _NUMBER.fullmatch(text) and is_sane_number(text) else None


def _without_separators(text: str) -> str:
    dot, comma = text.rfind("."), text.rfind(",")
    if comma < 0:
        return text
    if dot > comma:
        return text.replace(",", "")
    if dot >= 0 or (text.count(",") == 1 and len(text) - comma - 1 != 3):  # noqa: PLR2004  thousands
        return text.replace(".", "").replace(",", ".")
    return text.replace(",", "")


def read_count(value: Any) -> int:
    """Return a whole number, whatever it is written as; in counts, dots and commas both part thousands.

    Raises:
        UnreadableError: for anything else.
    """
    if isinstance(value, str):
        if _PLAIN_COUNT.fullmatch(value):
            return int(value)
        return _count_in(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    message = "a count is not a whole number"
    raise UnreadableError(message)


_THOUSANDS: Final = re.compile(r"[+-]?[0-9]{1,3}(?:[., ][0-9]{3}){1,6}")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}(?:[.,]0{1,8})?")


def _count_in(text: str) -> int:
    if _THOUSANDS.fullmatch(text):
        return int(re.sub(r"[., ]", "", text))
    if _WHOLE.fullmatch(text):
        return int(re.split(r"[.,]", text)[0])
    message = "a count is not a whole number"
    raise UnreadableError(message)


def read_flag(value: Any) -> bool | None:
    """Return whether a flag is set: ``true``, ``1``, ``"1"`` or ``"yes"``; ``None`` for words that do not say."""
    if isinstance(value, bool):
        return value
    folded = fold(str(value))
    return True if folded in _YES else False if folded in _NO else None


def read_text(value: Any) -> str:
    """Return a text; a number as its digits, several texts on lines of their own.

    Raises:
        UnreadableError: for what is no text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return "\n".join(map(read_text, value))
    message = "a text is not a text"
    raise UnreadableError(message)


def _read_ids(value: Any) -> tuple[str, ...]:
    return tuple(read_text(id_).strip() for id_ in value) if isinstance(value, list) else ()


def _or_none(read: Callable[[object], T]) -> Callable[[object, object], T | None]:
    """Return a leaf that knows the many ways of writing that there is no value."""

    def read_optional(value: Any, _: object) -> T | None:
        if value is None or value is False or (isinstance(value, str) and fold(value) in _NO_VALUE):
            return None
        return read(value)

    return read_optional


def _or_false(value: Any, _: object) -> bool | None:
    return None if value is None else read_flag(value)


def make_converter(panel: Panel) -> cattrs.Converter:
    """Return a converter that structures the rows of ``panel`` into models.

    Leaves, registered before the records that use them: texts (from numbers too), optional texts, counts and amounts
    (``None`` for null, empty and unknown), flags, ids. Records: known fields under their own or another panel's name,
    the state from the panel's word, everything else into ``extra``.
    """
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(str, lambda value, _: read_text(value))
    converter.register_structure_hook(Decimal, lambda value, _: read_money(value))
    for annotation, leaf in (
        (str | None, _or_none(read_text)),
        (int | None, _or_none(read_count)),
        (Decimal | None, _or_none(read_money)),
        (bool | None, _or_false),
    ):
        converter.register_structure_hook(annotation, leaf)
    converter.register_structure_hook_func(
        lambda annotation: annotation == tuple[str, ...], lambda ids, _: _read_ids(ids)
    )
    for record in (
        OrderStatus,
        RefillStatus,
        Balance,
        Service,
        Product,
        ProductOrderStatus,
    ):
        converter.register_structure_hook(record, _record_hook(record, panel, converter))
    return converter


def _record_hook(record: type[T], panel: Panel, converter: cattrs.Converter) -> Callable[[Any, object], T]:
    leaves = _leaves(record, converter)
    ignored = _IDS.get(record, frozenset())
    states = _states(record, panel)
    make = cast("Callable[..., T]", record)

    def structure(row: Mapping[str, Any], _: object) -> T:
        fields: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, value in row.items():
            leaf = leaves.get(key)
            if leaf is not None:
                name, read, annotation = leaf
                # The name that a panel documents goes before another one for the same.
                if name == key or name not in row or name == "status":
                    fields[name] = read(value, annotation)
            elif key not in ignored:
                extra[key] = value
        if states is not None:
            word = fields.setdefault("status", "")
            fields["state"] = states.get(word) or states.get(fold(word), unknown)
        return make(**fields, extra=extra)

    unknown = RefillState.UNKNOWN if record is RefillStatus else OrderState.UNKNOWN
    return structure


def _leaves(record: type, converter: cattrs.Converter) -> dict[str, tuple[str, Callable[[Any, Any], Any], Any]]:
    """Return for each wire name the field it fills, and what reads it."""
    annotations = attrs.fields_dict(attrs.resolve_types(record))
    leaves = {
        name: (name, converter.get_structure_hook(field.type), field.type)
        for name, field in annotations.items()
        if name not in {"state", "extra"}
    }
    return leaves | {alias: leaves[name] for alias, name in _ALIASES[record].items()}


def _states(record: type, panel: Panel) -> Mapping[str, Any] | None:
    if record is RefillStatus:
        return panel.refill_states
    return panel.order_states if record in {OrderStatus, ProductOrderStatus} else None

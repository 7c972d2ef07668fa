"""An order as the command line has it: names and texts, to be made into one of `smm_async.orders`."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import attrs

import smm_async as smm
from smm_async._cli_panel import SettingsError

__all__ = ["describe_cost", "find_service", "make_order", "read_fields"]

# What every order has, or what an option of its own gives.
_NOT_SAID: Final = frozenset({"service", "extra"})


def read_fields(options: Mapping[str, object], comments_file: Path | None, pairs: Sequence[str]) -> dict[str, str]:
    """Return the fields of an order as texts, by their wire names.

    Raises:
        SettingsError: a pair is none, a field is said twice, or there is no such file.
    """
    fields = {name: str(value) for name, value in options.items() if value is not None}
    if comments_file is not None:
        pairs = [*pairs, f"comments={_read(comments_file)}"]
    for pair in pairs:
        name, is_pair, text = pair.partition("=")
        if not is_pair or not name or name in _NOT_SAID:
            # Not what it holds: it may be anything.
            message = "--field takes NAME=VALUE, such as --field answer_number=2."
            raise SettingsError(message)
        if name in fields:
            message = f"The order's {name} is given twice."
            raise SettingsError(message)
        fields[name] = text
    return fields


def find_service(services: Sequence[smm.Service], wanted: str) -> smm.Service:
    """Return the service with an id.

    Raises:
        SettingsError: the catalogue has none.
    """
    for service in services:
        if service.service == wanted:
            return service
    message = f"The panel sells no service {wanted!r}: see what there is with smm-async services"
    raise SettingsError(message)


def make_order(service: smm.Service, fields: Mapping[str, str]) -> smm.orders.Order:
    """Return the order of a service, of the class for its type; of a type nobody knows, all fields go as they are.

    Raises:
        SettingsError: a field is missing, is not one of this type's, or is not what it must be.
    """
    order_type = service.order_type or smm.orders.Custom
    known = {field.name: field for field in attrs.fields(order_type) if field.name not in _NOT_SAID}
    missing = [name for name, field in known.items() if field.default is attrs.NOTHING and name not in fields]
    if missing:
        message = f"An order of type {service.type!r} needs {', '.join(map(_option_for, missing))}."
        raise SettingsError(message)
    hints = typing.get_type_hints(order_type)
    own = {name: _read_value(name, fields[name], hints[name]) for name in known if name in fields}
    others = {name: text for name, text in fields.items() if name not in known}
    if service.order_type is not None and others.keys() & {"link", "quantity", "runs", "interval", "comments"}:
        message = f"An order of type {service.type!r} has no {' and no '.join(sorted(others))}."
        raise SettingsError(message)
    try:
        return order_type(service=service.service, extra=others, **own)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def describe_cost(service: smm.Service, order: smm.orders.Order) -> tuple[Decimal | None, str]:
    """Return what an order will cost, where that can be computed, and how; or why not."""
    quantity = order.total_quantity
    if service.rate is None:
        return None, "not known: the panel names no rate"
    if quantity is None:
        kind = "an unknown type" if service.order_type is None else "a type without a quantity"
        return None, f"not known: {service.type!r} is {kind}; the rate is {service.rate:f}"
    if isinstance(order, smm.orders.Package):
        return service.price(), "the rate of one package"
    return service.price(quantity), f"{service.rate:f} per 1,000 x {quantity:,}"


def _option_for(name: str) -> str:
    options = {"link": "--link", "quantity": "--quantity", "comments": "--comments-file"}
    return options.get(name, f"--field {name}=...")


def _read_value(name: str, text: str, hint: Any) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if int not in kinds:
        return text
    try:
        return int(text)
    except ValueError:
        message = f"The order's {name} must be a whole number."
        raise SettingsError(message) from None


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeError):
        message = f"{path} cannot be read as UTF-8 text."
        raise SettingsError(message) from None

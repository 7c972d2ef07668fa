"""From JSON rows to models: a cattrs converter whose leaves read what panels write for numbers, flags and texts."""

# JSON is what it is: after `isinstance(value, dict)` nothing is known about the keys and values.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs
import cattrs

from smm_async._values import (
    SHORT,
    UnreadableError,
    flag_or_none,
    or_none,
    read_count,
    read_ids,
    read_money,
    read_own_id,
    read_text,
    text_or_none,
)
from smm_async._words import fold
from smm_async.models import (
    NO_EXTRA,
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

__all__ = ["UnreadableError", "make_converter", "make_shortcut"]

T = TypeVar("T")

# What panels call fields that have another name here, the more common first.
_ALIASES: Final[Mapping[type, Mapping[str, tuple[str, ...]]]] = {
    OrderStatus: {"start_count": ("start_counter", "count_start"), "remains": ("count_remain",)},
    Service: {
        "service": ("serviceId", "id", "ID"),
        "name": ("title",),
        "rate": ("cost", "price", "rate1K"),
        "cancel": ("canceling_is_available",),
        "dripfeed": ("drip_feed",),
    },
    Product: {"product": ("id",), "name": ("title",), "rate": ("price",)},
    ProductOrderStatus: {},
    RefillStatus: {},
    Balance: {"balance": ("Balance", "amount")},
}
# Where a panel gives the state under a name of its own, `status` says how the call went.
_COUNT_BEFORE: Final[Mapping[str, tuple[str, ...]]] = {"status": ("order_status", "orderStatus", "refill_status")}
# Fields that repeat what was asked for; no part of a record.
_IDS: Final[Mapping[type, frozenset[str]]] = {
    OrderStatus: frozenset({"order", "order_id", "orderId", "orderID", "id", "ID"}),
    ProductOrderStatus: frozenset({"order", "order_id", "orderId", "orderID", "id", "ID"}),
    RefillStatus: frozenset({"refill", "refill_id", "refillId", "order", "id", "ID"}),
}

_OWN_IDS: Final = frozenset({"service", "product"})

_PLAIN: Final = 4
_WITH_CURRENCY: Final = 5

# What fills a field, what reads it, the annotation it is given, and the wire names that count before its own.
_Leaf: TypeAlias = tuple[Callable[[Any, Any], None], Callable[[Any, Any], Any], Any, frozenset[str] | None]


def make_converter(panel: Panel) -> cattrs.Converter:
    """Return a converter that structures the rows of ``panel`` into models.

    Leaves, registered before the records that use them: texts (from numbers too), optional texts, counts and amounts
    (``None`` for null, empty and unknown), flags, ids. Records: known fields under their own or another panel's name,
    the state from the panel's word, everything else into ``extra``.
    """
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook(str, lambda value, _: "" if value is None else read_text(value))
    converter.register_structure_hook(Decimal, lambda value, _: read_money(value))
    for annotation, leaf in (
        (str | None, text_or_none),
        (int | None, or_none(read_count)),
        (Decimal | None, or_none(read_money)),
        (bool | None, flag_or_none),
    ):
        converter.register_structure_hook(annotation, leaf)
    converter.register_structure_hook_func(
        lambda annotation: annotation == tuple[str, ...], lambda ids, _: read_ids(ids)
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


def make_shortcut(panel: Panel) -> Callable[[Sequence[str], Any], dict[str, OrderStatus]]:
    """Return what reads the rows that nearly all answers consist of, and leaves any other to the rules.

    Such a row has the documented fields, all plainly written, and nothing else. It comes out as the converter would
    have made it, in half the time: it is one long loop because a call for each row or field would double it.
    """
    states, new = _spellings(panel.order_states), object.__new__

    def read_plain_rows(ids: Sequence[str], value: Any) -> dict[str, OrderStatus]:
        found: dict[str, OrderStatus] = {}
        if type(value) is not dict:
            return found
        for id_ in ids:
            try:
                row = value[id_]
                charge, count, status, remains = row["charge"], row["start_count"], row["status"], row["remains"]
                state, currency = states[status], row["currency"] if len(row) == _WITH_CURRENCY else None
            except (KeyError, TypeError):
                continue
            # As `is_plain_amount()` and `is_plain_count()` have it.
            if (
                type(charge) is str
                and len(charge) <= SHORT
                and charge.replace(".", "", 1).isdigit()
                and charge.isascii()
            ):
                charge = Decimal(charge)
            if type(count) is str and len(count) <= SHORT and count.isdigit() and count.isascii():
                count = int(count)
            if type(remains) is str and len(remains) <= SHORT and remains.isdigit() and remains.isascii():
                remains = int(remains)
            if type(charge) is not Decimal or type(count) is not int or type(remains) is not int:
                continue
            if not (type(currency) is str and currency) if len(row) == _WITH_CURRENCY else len(row) != _PLAIN:
                continue
            made: Any = new(_Unfrozen)
            made.charge, made.start_count, made.remains = charge, count, remains
            made.status, made.state, made.currency = status, state, currency
            made.runs = made.posts = made.expiry = None
            made.orders, made.extra = (), NO_EXTRA
            made.__class__ = OrderStatus
            found[id_] = made
        return found

    return read_plain_rows


class _Unfrozen(OrderStatus):
    """An order's status while it is filled, by plain assignments: each takes a tenth of a call of a slot's setter."""

    __slots__ = ()
    # Both, or Python takes the slow way for either.
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


def _record_hook(record: type[T], panel: Panel, converter: cattrs.Converter) -> Callable[[Any, object], T]:
    """Return what makes a record of a row.

    It fills the slots of the frozen record itself, which takes half as long as calling the class.
    """
    leaves, ignored, blank = _leaves(record, converter), _IDS.get(record, frozenset()), _blank(record)
    set_extra, finish = _setter(record, "extra"), _finisher(record, panel)

    def structure(row: Mapping[str, Any], _: object) -> T:
        made = object.__new__(record)
        for set_field, default in blank:
            set_field(made, default)
        extra: dict[str, Any] = {}
        for key, value in row.items():
            leaf = leaves.get(key)
            if leaf is not None:
                set_field, read, annotation, better = leaf
                if better is None or better.isdisjoint(row):
                    set_field(made, read(value, annotation))
            elif key not in ignored:
                extra[key] = value
        set_extra(made, extra or NO_EXTRA)
        finish(made)
        return made

    return structure


def _fields(record: type) -> list[attrs.Attribute[Any]]:
    """Return the fields that are read from the wire."""
    return [field for field in attrs.fields(attrs.resolve_types(record)) if field.name not in {"state", "extra"}]


def _setter(record: type, name: str) -> Callable[[Any, Any], None]:
    return cast("Callable[[Any, Any], None]", getattr(record, name).__set__)


def _blank(record: type) -> list[tuple[Callable[[Any, Any], None], Any]]:
    """Return what fills the fields that a row leaves out."""
    defaults = [(_setter(record, field.name), field.default) for field in _fields(record)]
    return [(set_field, default) for set_field, default in defaults if default is not attrs.NOTHING]


def _leaves(record: type, converter: cattrs.Converter) -> dict[str, _Leaf]:
    """Return for each wire name what fills its field, what reads it, and the names that count before it."""
    leaves: dict[str, _Leaf] = {}
    for field in _fields(record):
        better: list[str] = []
        for name in (*_COUNT_BEFORE.get(field.name, ()), field.name, *_ALIASES[record].get(field.name, ())):
            read = read_own_id if field.name in _OWN_IDS else converter.get_structure_hook(field.type)
            leaves[name] = (_setter(record, field.name), read, field.type, frozenset(better) if better else None)
            better.append(name)
    return leaves


def _finisher(record: type, panel: Panel) -> Callable[[Any], None]:
    """Return what completes a record: its state from the panel's word, or a look whether it has what it needs."""
    if record in {OrderStatus, ProductOrderStatus}:
        return _state_setter(record, panel.order_states, OrderState.UNKNOWN)
    if record is RefillStatus:
        return _state_setter(record, panel.refill_states, RefillState.UNKNOWN)
    (needed,) = (field.name for field in _fields(record) if field.default is attrs.NOTHING)

    def check(made: Any) -> None:
        if not hasattr(made, needed):
            message = f"it has no {needed}"
            raise UnreadableError(message)

    return check


def _state_setter(record: type, words: Mapping[str, Any], unknown: Any) -> Callable[[Any], None]:
    set_status, set_state = _setter(record, "status"), _setter(record, "state")
    spellings = _spellings(words)

    def set_both(made: Any) -> None:
        status = getattr(made, "status", None)
        if status is None:
            set_status(made, status := "")
        set_state(made, spellings.get(status) or words.get(fold(status), unknown))

    return set_both


def _spellings(words: Mapping[str, T]) -> dict[str, T]:
    """Return states by words as panels mostly write them, so that the common spellings need no folding."""
    return {spell(word): state for word, state in words.items() for spell in (str, str.capitalize, str.title)}

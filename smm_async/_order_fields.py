"""The fields that order types share: what they accept and how they are written on the wire.

Converters tidy and never raise. Validators refuse, and name the class, the field and the value. The shared fields
themselves, from `Order` on, are at the end.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, TypeAlias, cast

import attrs
from attrs.validators import optional

from smm_async._ids import read_id, read_text, shown

Extra: TypeAlias = Mapping[str, str | int | Decimal]
Validator: TypeAlias = "Callable[[Any, attrs.Attribute[Any], Any], None]"

LARGEST: Final = 2**63 - 1
"""Where a panel's own integers end: beyond it PHP sends another number on."""

_MAX_EXPONENT = 20
_NEWLINE = re.compile(r"\r\n|\r|\n")
_DAY = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_RESERVED = frozenset({"key", "action"})


def as_lines(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return the lines of a text, or the items of a sequence, without the blank ones."""
    if isinstance(value, str):
        value = _NEWLINE.split(value)
    elif not isinstance(cast("object", value), Sequence):
        value = [cast("str", value)]  # for `is_lines` to refuse
    return tuple(item for item in value if not _is_blank(item))


def as_day(value: dt.date | str | None) -> dt.date | None:
    """Return the day of a ``dd/mm/YYYY`` text or of a moment; leave the rest for `is_day` to refuse."""
    if isinstance(value, dt.datetime):
        return value.date()
    match = _DAY.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        day, month, year = map(int, match.groups())
        with contextlib.suppress(ValueError):  # such as 31/02
            return dt.date(year, month, day)
    return cast("dt.date | None", value)


def as_extra(value: Extra) -> Extra:
    """Return a copy, which later changes of the caller's mapping do not reach."""
    return dict(value) if isinstance(cast("object", value), Mapping) else value


def is_service(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: int | str) -> None:
    """Refuse what is no id."""
    read_id(value, _place(order, field.name))


def is_text(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: object) -> None:
    """Refuse what is no text, or a blank one."""
    if not read_text(value, _place(order, field.name)).strip():
        raise _refusal(order, field.name, "be a text that is not blank", value)


def is_lines(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: tuple[object, ...]) -> None:
    """Refuse no lines at all, and items that are no line: an inner newline would order one thing more."""
    if not value:
        raise _refusal(order, field.name, "have a line that is not blank", value)
    for item in value:
        if _NEWLINE.search(read_text(item, f"Each item of {_place(order, field.name)}")):
            raise _refusal(order, field.name, "have no item with a newline", item)


def is_day(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: object) -> None:
    """Refuse what `as_day` did not turn into a day."""
    if not isinstance(value, dt.date):
        raise _refusal(order, field.name, "be a datetime.date or an existing day as dd/mm/YYYY", value)


def is_drip_feed(order: DripFed, _field: attrs.Attribute[Any], interval: object) -> None:
    """Refuse runs without an interval, and an interval without runs."""
    if (order.runs is None) != (interval is None):
        values = f"runs={order.runs} and interval={interval}"
        msg = f"{type(order).__name__} needs runs and interval together or neither, not {values}."
        raise ValueError(msg)


def is_extra(order: attrs.AttrsInstance, _field: attrs.Attribute[Any], value: Extra) -> None:
    """Refuse fields that `_extra_form` cannot write."""
    _extra_form(order, value)


def whole_number(low: int, high: int = LARGEST) -> Validator:
    """Return a validator for an int between two bounds, both included."""

    def check(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: object) -> None:
        if not _is_int(value, low, high):
            raise _refusal(order, field.name, f"be an int from {low} to {high}", value)

    return check


def one_of(allowed: Collection[int]) -> Validator:
    """Return a validator for an int out of a few."""

    def check(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: object) -> None:
        if not _is_int(value, min(allowed), max(allowed)) or value not in allowed:
            raise _refusal(order, field.name, f"be one of {', '.join(map(str, allowed))}", value)

    return check


def text_when(other: str, answer: int) -> Validator:
    """Return a validator for a text that may be missing, except when an earlier field has one value."""

    def check(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: object) -> None:
        if value is not None:
            is_text(order, field, value)
        elif getattr(order, other) == answer:
            raise _refusal(order, field.name, f"be given when {other} is {answer}", value)

    return check


def at_least(other: str) -> Validator:
    """Return a validator that refuses less than an earlier field."""

    def check(order: attrs.AttrsInstance, field: attrs.Attribute[Any], value: int) -> None:
        low = getattr(order, other)
        if value < low:
            raise _refusal(order, field.name, f"be at least {other}, which is {low}", value)

    return check


def _extra_form(order: attrs.AttrsInstance, extra: Extra) -> dict[str, str]:
    """Return ``extra`` as texts.

    Raises:
        ValueError: A name is not plain or is taken, or a value has no exact text. Names are compared without regard
            to case, as some servers do.
    """
    if not isinstance(cast("object", extra), Mapping):
        raise _refusal(order, "extra", "be a mapping of names to values", extra)
    taken = _RESERVED.union(_wire_names(order))
    for name, value in extra.items():
        if not isinstance(cast("object", name), str) or not _NAME.fullmatch(name):
            raise _refusal(order, "extra", "have only names of the characters A-Z a-z 0-9 and _", name)
        if name.lower() in taken:
            raise _refusal(order, "extra", "leave the fields of the call and of the order alone", name)
        _check_extra_value(order, name, value)
    return {str.__str__(name): _wire_text(value) for name, value in extra.items()}


def _check_extra_value(order: attrs.AttrsInstance, name: str, value: object) -> None:
    place = f"extra[{name!r}]"
    if isinstance(value, str):
        read_text(value, _place(order, place))
    elif isinstance(value, Decimal):
        # Plain notation of 1E+999999 is a megabyte.
        if not value.is_finite() or abs(value.adjusted()) > _MAX_EXPONENT:
            raise _refusal(order, place, f"be finite, with an exponent up to {_MAX_EXPONENT}", value)
    elif not _is_int(value, -LARGEST, LARGEST):
        raise _refusal(order, place, "be a text, a Decimal or an int of up to 63 bits", value)


def _wire_text(value: object) -> str:
    """Return an accepted value as text. `str()` of an enum's member may be its name: base classes know the value."""
    match value:
        case str():
            return str.__str__(value)
        case int():
            return int.__repr__(value)
        case Decimal():
            return format(value, "f")
        case dt.date():
            return f"{value.day:02}/{value.month:02}/{value.year:04}"
        case _:
            return "\n".join(cast("tuple[str, ...]", value))


def _wire_names(order: attrs.AttrsInstance) -> list[str]:
    return [field.name for field in attrs.fields(type(order)) if field.name != "extra"]


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _is_int(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _place(order: attrs.AttrsInstance, name: str) -> str:
    return f"{type(order).__name__}.{name}"


def _refusal(order: attrs.AttrsInstance, name: str, rule: str, value: object) -> ValueError:
    return ValueError(f"{_place(order, name)} must {rule}, not {shown(value)}.")


@attrs.frozen(kw_only=True)
class Order:
    """What all orders have in common. For a type that has no class use `Custom`, or derive an attrs class."""

    type: ClassVar[str] = ""
    """The panels' word for this type, as in ``services[].type``."""

    service: int | str = attrs.field(validator=is_service)
    extra: Extra = attrs.field(factory=dict, converter=as_extra, validator=is_extra, hash=False)
    """What a single panel adds: wire name to text, int or `decimal.Decimal`. It cannot replace a field of the class."""

    @property
    def total_quantity(self) -> int | None:
        """How many things are ordered, all runs together, a package being one; ``None`` if the order does not say."""
        return None

    def form_fields(self) -> dict[str, str]:
        """Return the form fields after ``key`` and ``action``: ``service`` first, then as in the class, then ``extra``.

        What is ``None`` is left out.

        Raises:
            ValueError: ``extra`` was changed into something unfit after the order was made.
        """
        values = {name: getattr(self, name) for name in _wire_names(self)}
        form = {name: _wire_text(value) for name, value in values.items() if value is not None}
        return form | _extra_form(self, self.extra)


@attrs.frozen(kw_only=True)
class Linked(Order):
    """What has a link."""

    link: str = attrs.field(validator=is_text)
    """Where to deliver: a URL on most panels, a bare name on some. It is sent as it is."""


@attrs.frozen(kw_only=True)
class Counted(Linked):
    """What has a link and a quantity."""

    quantity: int = attrs.field(validator=whole_number(1))
    """How many to deliver. With ``runs`` it is the quantity of each run."""

    @property
    def total_quantity(self) -> int:
        return self.quantity


@attrs.frozen(kw_only=True)
class DripFed(Counted):
    """What can be delivered in several runs."""

    runs: int | None = attrs.field(default=None, validator=optional(whole_number(1)))
    """How many times to deliver ``quantity``; for services with ``dripfeed``, and only with ``interval``."""
    interval: int | None = attrs.field(default=None, validator=[optional(whole_number(1)), is_drip_feed])
    """Minutes between two runs."""

    @property
    def total_quantity(self) -> int:
        return self.quantity * (self.runs or 1)


@attrs.frozen(kw_only=True)
class Commented(Linked):
    """What has a link and is charged by the line of comments."""

    comments: tuple[str, ...] = attrs.field(converter=as_lines, validator=is_lines)

    @property
    def total_quantity(self) -> int:
        return len(self.comments)

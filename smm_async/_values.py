"""What panels write for numbers, flags and texts, one value at a time."""

# JSON is what it is: after `isinstance(value, list)` nothing is known about what is in it.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeVar

from smm_async._json import is_sane_number
from smm_async._words import fold

__all__ = [
    "SHORT",
    "UnreadableError",
    "flag_or_none",
    "is_plain_amount",
    "is_plain_count",
    "or_none",
    "read_count",
    "read_flag",
    "read_ids",
    "read_money",
    "read_own_id",
    "read_text",
    "text_or_none",
]

T = TypeVar("T")

_NUMBER: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
# A word or a sign beside a number: letters and currency signs, but nothing that could be part of the number.
# The blanks are possessive: four of these stand side by side, and would share out a row of blanks in every way.
_CURRENCY: Final = r"\s*+(?:[^\W\d_]|[$£¢¥৳฿﷼\u20a0-\u20cf]){0,10}(?:(?<=[^\W\d_])\.(?![0-9]))?\s*+"
_AMOUNT: Final = re.compile(
    rf"{_CURRENCY}([+-]?){_CURRENCY}((?:(?<![^\W\d_])[.,])?[0-9][0-9.,]*(?:[eE][+-]?[0-9]{{1,3}})?){_CURRENCY}"
)
_COMMA_THOUSANDS: Final = re.compile(r"[1-9][0-9]*(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]*)?")
_DOT_THOUSANDS: Final = re.compile(r"[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+,[0-9]*|(?:\.[0-9]{3}){2,})")
_DECIMAL_COMMA: Final = re.compile(r"[0-9]*,[0-9]+")
SHORT: Final = 18
"""The most digits a plainly written number has."""
_NO_VALUE: Final = frozenset({"", "null", "none", "unknown", "n a", "na", "-"})
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off", ""})
_LONGEST_NUMBER: Final = 60
_THOUSANDS: Final = re.compile(r"([+-]?[1-9][0-9]{0,2}(?:[., ][0-9]{3}){1,12})(?:[.,]0{1,2})?")
_WHOLE: Final = re.compile(r"([+-]?[0-9]{1,40})(?:[.,]0{1,8})?")


class UnreadableError(ValueError):
    """A field holds what it cannot hold."""


def is_plain_amount(text: str) -> bool:
    """Return whether a text is digits with at most one dot, and not too many: without a regular expression, fast."""
    return len(text) <= SHORT and text.replace(".", "", 1).isdigit() and text.isascii()


def is_plain_count(text: str) -> bool:
    """Return whether a text is digits, and not too many."""
    return len(text) <= SHORT and text.isdigit() and text.isascii()


def read_money(value: Any) -> Decimal:
    """Return an amount exactly as the panel wrote it: a JSON number, or text with signs and separators around.

    A dot is decimal unless a comma follows it; a lone comma is decimal unless exactly three digits follow.

    Raises:
        UnreadableError: for anything else, NaN and numbers out of all proportion among it.
    """
    # The plain ones first, and without a regular expression, which takes longer than the conversion.
    if type(value) is str and is_plain_amount(value):
        return Decimal(value)
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
    found = _AMOUNT.fullmatch(text)
    if found is None:
        return None
    digits = _without_separators(found[2])
    return found[1] + digits if _NUMBER.fullmatch(digits) and is_sane_number(digits) else None


def _without_separators(digits: str) -> str:
    if _COMMA_THOUSANDS.fullmatch(digits):
        return digits.replace(",", "")
    if _DOT_THOUSANDS.fullmatch(digits) or _DECIMAL_COMMA.fullmatch(digits):
        return digits.replace(".", "").replace(",", ".")
    return digits


def read_count(value: Any) -> int:
    """Return a whole number, whatever it is written as; in counts, dots and commas both part thousands.

    Raises:
        UnreadableError: for anything else.
    """
    if type(value) is str and is_plain_count(value):
        return int(value)
    if isinstance(value, str):
        return _count_in(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return int(value)
    message = "a count is not a whole number"
    raise UnreadableError(message)


def _count_in(text: str) -> int:
    found = _THOUSANDS.fullmatch(text) or _WHOLE.fullmatch(text)
    if found is None:
        message = "a count is not a whole number"
        raise UnreadableError(message)
    return int(re.sub("[., ]", "", found[1]))


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


def read_ids(value: Any) -> tuple[str, ...]:
    """Return a list of ids as texts; nothing for what is no list."""
    return tuple(read_text(id_).strip() for id_ in value) if isinstance(value, list) else ()


def read_own_id(value: Any, _: object) -> str:
    """Return the id of the row itself, without which it is none.

    Raises:
        UnreadableError: for what is no text or number, and for an empty one.
    """
    id_ = "" if isinstance(value, list) else read_text(value).strip()
    if not id_:
        message = "it has no id"
        raise UnreadableError(message)
    return id_


def or_none(read: Callable[[Any], T]) -> Callable[[Any, object], T | None]:
    """Return a leaf that knows the many ways of writing that there is no value."""

    def read_optional(value: Any, _: object) -> T | None:
        if value is None or value is False:
            return None
        try:
            return read(value)
        except UnreadableError:
            # Only now: most values are values, and folding each would cost more than reading it.
            if isinstance(value, str) and fold(value) in _NO_VALUE:
                return None
            raise

    return read_optional


def text_or_none(value: Any, _: object) -> str | None:
    """Return a text, or ``None`` where there is none."""
    return None if value is None or value is False or value == "" else read_text(value)


def flag_or_none(value: Any, _: object) -> bool | None:
    """Return a flag, or ``None`` where there is none."""
    return None if value is None else read_flag(value)

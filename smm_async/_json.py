"""Bytes to JSON, strictly: whatever a server sends, this ends soon, with a value or with `NotJsonError`."""

# JSON is what it is: after `type(value) is dict` nothing is known about what is in it.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

__all__ = ["MAX_DEPTH", "NotJsonError", "is_sane_number", "read_json"]

MAX_DEPTH: Final = 32
_MAX_NUMBER_LENGTH: Final = 40
_MAX_EXPONENT: Final = 20
_PHP_NOTICE: Final = re.compile(r"\b(notice|warning|deprecated|strict standards)\b", re.IGNORECASE)
# A notice may hold brackets, too: "SQLSTATE[HY000] [2002]".
_JSON_START: Final = re.compile(r'\{\s*["}]|\[\s*[{\["\]]')
_CONTAINERS: Final = frozenset({dict, list})
_MAX_PREFIX: Final = 16_384
_BLANKS: Final = "\ufeff \t\r\n"


class NotJsonError(Exception):
    """The body is not JSON within the bounds."""


def read_json(body: bytes) -> Any:
    """Return the JSON value in ``body``, numbers with a fraction as `Decimal`; ``None`` for an empty one.

    Byte order marks, blank lines and PHP notices before the value are passed over.

    Raises:
        NotJsonError: for anything else, for a number of more than 40 characters or an exponent above 20, for NaN and
            infinity, for a key given twice, and for more than 32 levels.
    """
    try:
        text = body.decode().strip(_BLANKS)
    except UnicodeDecodeError:
        message = "it is not UTF-8"
        raise NotJsonError(message) from None
    if not text:
        return None
    return _parse(text)


def is_sane_number(text: str) -> bool:
    """Return whether a number in digits is short enough, and its exponent small enough, to compute with."""
    if len(text) > _MAX_NUMBER_LENGTH:
        return False
    _, _, exponent = text.lower().partition("e")
    return not exponent or abs(int(exponent)) <= _MAX_EXPONENT


def _parse(text: str) -> Any:
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        complaint = f"it is not JSON: {_describe(error)}"
        failed_at = getattr(error, "pos", 0)
    start = _start_behind_notice(text)
    # What was read beyond the start is no notice, and is not worth reading again.
    if start and failed_at <= start:
        try:
            return _decode(text[start:])
        except (ValueError, RecursionError) as error:
            complaint = f"behind a notice it is not JSON: {_describe(error)}"
    raise NotJsonError(complaint)


def _decode(text: str) -> Any:
    value = _QUICK_DECODER.decode(text)
    if _is_plain(text, value):
        return value
    # Both at once would take twice the memory.
    del value
    value = _DECODER.decode(text)
    _check_depth(value)
    return value


def _is_plain(text: str, value: Any) -> bool:
    """Return whether it is certain, for the price of counting, that no key was given twice and nothing is nested deep.

    Each key has a colon. If the outer two levels hold as many keys as there are colons, there are no others, and none
    was lost. Colons in texts, lists and deeper levels leave it uncertain.
    """
    if type(value) is not dict or "[" in text:
        return False
    # A list, for a generator takes twice as long.
    return text.count(":") == len(value) + sum([len(row) for row in value.values() if type(row) is dict])  # noqa: C419


def _describe(error: Exception) -> str:
    # Not the text of a JSONDecodeError itself: the exception holds the whole document.
    return str(error) if not isinstance(error, RecursionError) else "it is nested too deep"


def _start_behind_notice(text: str) -> int:
    """Return where the JSON behind HTML or a PHP notice starts, 0 if there is none.

    Only the first place counts: the end of a JSON text that was cut off may look like a smaller one.
    """
    found = _JSON_START.search(text, 0, _MAX_PREFIX)
    if found is None or not (text[0] == "<" or _PHP_NOTICE.search(text, 0, found.start())):
        return 0
    return found.start()


def _check_depth(value: object) -> None:
    # On the value, not on the text: brackets inside texts would hide those of the structure.
    level: list[Any] = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in _CONTAINERS
        ]
        if not level:
            return
    message = f"it is nested more than {MAX_DEPTH} levels deep"
    raise ValueError(message)


def _read_float(text: str) -> Decimal:
    if not is_sane_number(text):
        message = "a number is too long or too large"
        raise ValueError(message)
    return Decimal(text)


def _read_int(text: str) -> int:
    if len(text) > _MAX_NUMBER_LENGTH:
        message = "a number is too long"
        raise ValueError(message)
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    message = f"{text} is not a number"
    raise ValueError(message)


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        # The second row for an id would replace the first unseen.
        message = "a key is given twice"
        raise ValueError(message)
    return value


_LIMITS: Final[dict[str, Any]] = {
    "parse_float": _read_float,
    "parse_int": _read_int,
    "parse_constant": _refuse_constant,
}
_QUICK_DECODER: Final = json.JSONDecoder(**_LIMITS)
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_read_object, **_LIMITS)

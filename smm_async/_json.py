"""Bytes to JSON, strictly: whatever a server sends, this ends soon, with a value or with `NotJsonError`."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

__all__ = ["MAX_DEPTH", "NotJsonError", "is_sane_number", "read_json"]

MAX_DEPTH: Final = 32
_MAX_NUMBER_LENGTH: Final = 40
_MAX_EXPONENT: Final = 20
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))
_PHP_NOTICE: Final = re.compile(r"\b(notice|warning|deprecated|strict standards)\b", re.IGNORECASE)
_TEXT: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_MAX_PREFIX: Final = 16_384
_MAX_STARTS: Final = 16
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
    value = _parse(text)
    _check_depth(body)
    return value


def is_sane_number(text: str) -> bool:
    """Return whether a number in digits is short enough, and its exponent small enough, to compute with."""
    if len(text) > _MAX_NUMBER_LENGTH:
        return False
    _, _, exponent = text.lower().partition("e")
    return not exponent or abs(int(exponent)) <= _MAX_EXPONENT


def _parse(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        complaint = f"it is not JSON: {_describe(error)}"
    if text[0] == "<" or _PHP_NOTICE.search(text, 0, _MAX_PREFIX):
        for start in _starts(text):
            try:
                return _DECODER.decode(text[start:])
            except (ValueError, RecursionError):
                continue
    raise NotJsonError(complaint)


def _describe(error: Exception) -> str:
    # Not the text of a JSONDecodeError itself: the exception holds the whole document.
    return str(error) if not isinstance(error, RecursionError) else "it is nested too deep"


def _starts(text: str) -> list[int]:
    """Return where the JSON behind a notice may start: a few places, and never far into the text."""
    places = (match.start() for match in re.finditer(r"[{\[]", text[:_MAX_PREFIX]))
    return [place for place, _ in zip(places, range(_MAX_STARTS), strict=False)]


def _check_depth(body: bytes) -> None:
    # Texts may hold brackets, so what looks too deep is looked at again without them.
    if not _folds_away(body) and not _folds_away(_TEXT.sub(b"", body)):
        message = f"it is nested more than {MAX_DEPTH} levels deep"
        raise NotJsonError(message)


def _folds_away(body: bytes) -> bool:
    """Return whether removing innermost brackets, once for each level allowed, leaves none."""
    brackets = body.translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            break
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


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


_DECODER: Final = json.JSONDecoder(
    parse_float=_read_float,
    parse_int=_read_int,
    parse_constant=_refuse_constant,
    object_pairs_hook=_read_object,
)

"""What a caller may pass as an id, and as the text of a field."""

from __future__ import annotations

import re

_MAX_LENGTH = 64
_TOO_LARGE = 10**_MAX_LENGTH
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NOT_SENDABLE = re.compile("[\0\ud800-\udfff]")
_SHOWN_LENGTH = 80


def read_id(value: int | str, what: str = "order") -> str:
    """Return an id as the text that goes on the wire.

    An id is an int of 0 or more, or 1 to 64 ASCII letters, digits, ``_``, ``.`` and ``-``. Form encoding lets a comma
    through, so ``"1,2"`` would reach the panel as two ids.

    Args:
        value: The id. A bool, a float or a list is none.
        what: The kind of id, for the message.

    Raises:
        ValueError: The value is no id, or not even an int or a text.
    """
    if type(value) is int and 0 <= value < _TOO_LARGE:
        return str(value)
    # Nearly every text id is a short number; for those the two string methods take half the time of the pattern.
    if type(value) is str and (
        (value.isdigit() and value.isascii() and len(value) <= _MAX_LENGTH) or _ID.fullmatch(value)
    ):
        return value
    return _read_unusual_id(value, what)


def check_many(ids: object) -> None:
    """Check that what should be many ids is not one text, each character of which would be an id of its own.

    Raises:
        ValueError: it is one.
    """
    if isinstance(ids, (str, bytes, bytearray)):
        msg = f"Ids are a list, or something else of many: put one id in a list, as [{shown(ids)}]."
        raise ValueError(msg)  # noqa: TRY004  as for all that is no id


def read_text(value: object, field: str) -> str:
    """Return the text of a field, which a form can carry unchanged: no NUL, no half of a surrogate pair.

    Raises:
        ValueError: The value is another text, or no text. The message begins with ``field``.
    """
    if isinstance(value, str) and not _NOT_SENDABLE.search(value):
        return str.__str__(value)
    msg = f"{field} must be a text without NUL and lone surrogates, not {shown(value)}."
    raise ValueError(msg)


def shown(value: object) -> str:
    """Return a value as a message shows it, in at most 80 characters."""
    if isinstance(value, int) and abs(value) >= _TOO_LARGE:
        return f"an int of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."


def _read_unusual_id(value: object, what: str) -> str:
    """Return the id in a member of an enum, say, as a plain text, and refuse everything else."""
    # `str()` of such a member may be its name: ask the base class for the value.
    if isinstance(value, str) and _ID.fullmatch(value):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_LARGE:
        return int.__repr__(value)
    msg = (
        f"{shown(value)} is no {what} id: "
        "it must be an int of 0 or more, or 1 to 64 of the characters A-Z a-z 0-9 _ . and -."
    )
    raise ValueError(msg)

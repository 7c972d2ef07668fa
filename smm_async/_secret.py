"""The key, and how it is kept out of everything a person or a log could read."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import NoReturn
from urllib.parse import quote, quote_plus

_SHOWN = 200
_MASK = "***"
# Redacting a shorter key would black out ordinary words, and hides nothing that could not be guessed.
_SHORTEST_REDACTED = 4


class Secret:
    """A key that shows itself to nobody who does not ask for `reveal()`. Ask `complaint_about_key()` first."""

    __slots__ = ("_pattern", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._pattern = _pattern_for(text)

    def reveal(self) -> str:
        """Return the key itself. Keep it in no variable that outlives the request."""
        return self._text

    def redact(self, text: str) -> str:
        """Return at most 200 characters of ``text``, with the key blacked out in every form a server may echo."""
        if self._pattern is not None:
            text = self._pattern.sub(_MASK, text)
        return text[:_SHOWN]

    def __repr__(self) -> str:
        return f"Secret('{_MASK}')"

    def __reduce__(self) -> NoReturn:
        message = "A key is neither copied nor pickled."
        raise TypeError(message)


def complaint_about_key(text: object) -> str | None:
    """Return what is wrong with a key, without showing it, or ``None``."""
    if not isinstance(text, str):
        return f"The key must be a str, not {type(text).__name__}."
    if not text.strip():
        return "The key is empty."
    if not text.isprintable():
        return "The key holds control characters; was a line break copied along?"
    return None


def _pattern_for(key: str) -> re.Pattern[str] | None:
    if len(key) < _SHORTEST_REDACTED:
        return None
    raw = key.encode()
    # Letter by letter, for programs differ in which of them they escape, and how.
    escaped = "".join(_any_of(_forms_of(letter)) for letter in key)
    return re.compile(f"{escaped}|{_any_of({raw.hex()} | _base64_forms(raw))}", re.IGNORECASE)


def _any_of(forms: set[str]) -> str:
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return f"(?:{'|'.join(map(re.escape, longest_first))})"


def _forms_of(letter: str) -> set[str]:
    """Return what JSON, addresses, forms, HTML and Python's repr, by several libraries, make of one letter."""
    if letter.isascii() and letter.isalnum():
        return {letter}
    code, raw = ord(letter), letter.encode()
    in_html = {html.escape(letter), *(f"&#{number};" for number in (code, f"0{code}", f"x{code:x}"))}
    in_json = {json.dumps(letter)[1:-1], f"\\u{code:04x}", f"\\{letter}"}
    return {letter, quote(letter, safe=""), quote_plus(letter), repr(raw)[2:-1]} | in_html | in_json


def _base64_forms(raw: bytes) -> set[str]:
    """Return what stays the same of the key in base64, wherever in a longer text it stands."""
    forms: set[str] = set()
    for lead in range(3):
        whole = base64.b64encode(b"\0" * lead + raw)
        # The first characters mix with what stands before the key, the last ones with what follows it.
        stable = whole[(lead * 8 + 5) // 6 : (lead + len(raw)) * 8 // 6].decode()
        forms |= {stable, stable.replace("+", "-").replace("/", "_")}
    return forms

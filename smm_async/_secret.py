"""The key, and how it is kept out of everything a person or a log could read."""

from __future__ import annotations

import base64
import html.entities
import re
import traceback
from typing import NoReturn

_SHOWN = 200
_MASK = "***"
# Redacting a shorter key would black out ordinary words, and hides nothing that could not be guessed.
_SHORTEST_REDACTED = 4


class Secret:
    """A key that shows itself to nobody who does not ask for `reveal()`. Ask `complaint_about_key()` first."""

    __slots__ = ("_pattern", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        # Made when it is needed, if it ever is: it takes five milliseconds.
        self._pattern: re.Pattern[str] | None = None

    def reveal(self) -> str:
        """Return the key itself. Keep it in no variable that outlives the request."""
        return self._text

    def redact(self, text: str) -> str:
        """Return at most 200 characters of ``text``, with the key blacked out in every form a server may echo.

        Half a surrogate pair, which JSON can hold and nothing can print or write down, becomes a question mark.
        """
        return self.black_out(text)[:_SHOWN].encode(errors="replace").decode()

    def black_out(self, text: str) -> str:
        """Return the whole of ``text``, with the key blacked out."""
        if len(self._text) < _SHORTEST_REDACTED:
            return text
        if self._pattern is None:
            self._pattern = _pattern_for(self._text)
        return self._pattern.sub(_MASK, text)

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


def clear_frames(error: BaseException | None) -> None:
    """Take all names out of the frames that an exception has left, for they may hold what a server said."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _pattern_for(key: str) -> re.Pattern[str]:
    raw = key.encode()
    # Letter by letter, for programs differ in which of them they escape, and how.
    escaped = "".join(f"(?:{'|'.join(_forms_of(letter))})" for letter in key)
    return re.compile("|".join([escaped, raw.hex(), *_base64_forms(raw)]), re.IGNORECASE)


def _forms_of(letter: str) -> list[str]:
    """Return patterns of what JSON, addresses, forms, HTML and Python's repr, by several libraries, make of one letter.

    One escapes what another has escaped before. How often is bounded, for a server may send nothing but backslashes.
    """
    code, raw, units = ord(letter), letter.encode(), letter.encode("utf-16-be")
    name = "apos" if letter == "'" else html.entities.codepoint2name.get(code)
    references = [f"#0{{0,6}}{code};", f"#x0{{0,6}}{code:x};", *([f"{name};"] if name else [])]
    percent = "".join(f"%(?:25){{0,3}}{byte:02x}" for byte in raw)
    blank = [r"\+"] if letter == " " else []
    written = [re.escape(letter), percent, f"&(?:amp;){{0,3}}(?:{'|'.join(references)})", *blank]
    return [
        rf"\\{{0,7}}(?:{'|'.join(written)})",
        "".join(rf"\\{{1,8}}u{units[place : place + 2].hex()}" for place in range(0, len(units), 2)),
        "".join(rf"\\{{1,8}}x{byte:02x}" for byte in raw),
        rf"\\{{1,8}}(?:x{code:02x}|u{code:08x})",
    ]


def _base64_forms(raw: bytes) -> set[str]:
    """Return patterns of what stays the same of the key in base64, wherever in a longer text it stands."""
    forms: set[str] = set()
    for lead in range(3):
        whole = base64.b64encode(b"\0" * lead + raw)
        # The first characters mix with what stands before the key, the last ones with what follows it.
        stable = whole[(lead * 8 + 5) // 6 : (lead + len(raw)) * 8 // 6].decode()
        forms.add(stable.replace("+", "(?:[+-]|%2b)").replace("/", r"(?:\\{0,7}/|_|%2f)"))
    return forms

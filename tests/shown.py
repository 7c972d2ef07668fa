"""Keys, what they look like in texts, and all that an exception shows."""

import base64
import functools
import html
import json
import re
import traceback
from urllib.parse import quote, quote_plus

KEYS = {
    "hex": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "specials": "a+b/c=&%\"' <é>\\~!()*#?",
    "base64": "QmFzZTY0/+KeyWith==",
    "short": "q!Zx",
}

PANELS = {
    "form": {},
    "json": {"body": "json"},
    "bearer": {"bearer": True},
    "get": {"method": "GET", "key_in_url": True},
    "get_bearer": {"method": "GET", "bearer": True},
}
"""All the places where a key may go, by the fields of a panel."""


def stable_base64(raw, lead, altchars=None):
    """Return the part of ``raw`` in base64 that does not depend on the ``lead`` bytes before it, nor on any after it."""
    one, other = (
        base64.b64encode(filler * lead + raw + filler * 3, altchars).decode() for filler in (b"\x00", b"\xff")
    )
    same = "".join(a if a == b else " " for a, b in zip(one, other, strict=True))
    return max(same.split(), key=len)


@functools.cache
def forms_of(key):
    """Return what a key may look like in texts, as programs in several languages write it."""
    raw = key.encode()
    php_html = html.escape(key).replace("&#x27;", "&#039;")
    hexadecimal_json = re.sub("""[<>&'"]""", lambda match: f"\\u{ord(match[0]):04X}", key.replace("\\", "\\\\"))
    return {
        "plain": key,
        "upper_case": key.upper(),
        "json": json.dumps(key)[1:-1],
        "json_of_php": json.dumps(key)[1:-1].replace("/", "\\/"),
        "json_unescaped": json.dumps(key, ensure_ascii=False)[1:-1],
        "json_unescaped_but_slashes": json.dumps(key, ensure_ascii=False)[1:-1].replace("/", "\\/"),
        "json_hexadecimal": hexadecimal_json,
        "quoted": quote(key),
        "quoted_all": quote(key, safe=""),
        "quoted_lower_case": quote(key, safe="").lower(),
        "quoted_plus": quote_plus(key),
        "quoted_by_javascript": quote(key, safe="!'()*~"),
        "quoted_address_by_javascript": quote(key, safe=";,/?:@&=+$#!'()*~"),
        "html": html.escape(key),
        "html_without_quotes": html.escape(key, quote=False),
        "html_of_php": php_html,
        "html_of_jinja": html.escape(key).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        "repr": repr(key)[1:-1],
        "repr_of_bytes": repr(raw)[2:-1],
        "hex": raw.hex(),
        "hex_upper_case": raw.hex().upper(),
        **{f"base64_{lead}": stable_base64(raw, lead) for lead in range(3)},
        **{f"base64_of_addresses_{lead}": stable_base64(raw, lead, b"-_") for lead in range(3)},
    }


def assert_hides(text, key):
    folded = text.lower()
    assert [form for form, shown in forms_of(key).items() if shown.lower() in folded] == []


def shown_by(error):
    """Return all that can be printed of an exception: texts, fields, and the frames outside the tests with all names."""
    described = traceback.TracebackException.from_exception(error, capture_locals=True)
    outside = [
        part
        for exception in (described, described.__cause__, described.__context__)
        if exception is not None
        for part in (*exception.format_exception_only(), *frames_outside(exception))
    ]
    return "\n".join([str(error), repr(error), repr(error.args), repr(vars(error)), *outside])


def frames_outside(described):
    return [
        f"{frame.filename} {frame.name} {frame.locals}" for frame in described.stack if "/tests/" not in frame.filename
    ]

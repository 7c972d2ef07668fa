"""Keys that must show up nowhere, what servers and programs make of them, and the net that finds them in any text."""

import base64
import functools
import html.entities
import re
from urllib.parse import quote

from tests.shown import forms_of, stable_base64

# No two of them have anything in common, so that each is found as what it is.
KEYS = {
    "letters": "Zk4Vq7Wm2Xt9Rb5Yc8Nd3Hf6",
    "specials": "+Gp3Lw8Ts1Jx/=&%\"'<>\\ é☃😀Du6Kv0Qa7Me9!",
    "base64": "Ub5Hn2Ry8Fc4/Sj7+Pe1Ag6Wi9To3==",
}
FAMILIES = ("plain", "quoted", "base64", "html", "json", "hex", "repr", "part")
"""The kinds of forms that are looked for; ``part`` is a piece of the key that says enough."""

_SHORTEST_PART = 8
_LONGEST_PART = 10
_LONGEST_BASE64 = 14


class Canary:
    """One key, which the frames of the tests may hold, since it is not printed."""

    __slots__ = ("_key", "name")

    def __init__(self, name):
        self.name = name
        self._key = KEYS[name]

    def __repr__(self):
        return f"<canary {self.name}>"

    @property
    def key(self):
        """The key itself, for nothing that can be printed."""
        return self._key

    @property
    def echo(self):
        """All that servers make of the key, one after the other: blacked out, it is less than is ever shown of a text."""
        return " ".join(echoes_of(self._key).values())

    @property
    def rare_echo(self):
        """What few servers make of the key."""
        return " ".join(rare_echoes_of(self._key).values())


def throughout(key, letter_as):
    """Return a key whose letters and digits are escaped, too."""
    return "".join(map(letter_as, key))


def _json_units(letter):
    raw = letter.encode("utf-16-be")
    return "".join(f"\\u{raw[place : place + 2].hex()}" for place in range(0, len(raw), 2))


@functools.cache
def echoes_of(key):
    """Return what servers may make of a key, by the name of the form; the start of the name is its family."""
    forms = forms_of(key)
    raw = key.encode()
    families = {
        # No program turns letters into capitals, but some do so with what they take for hexadecimal.
        "plain": ("plain", "upper_case") if key.isascii() else ("plain",),
        "quoted": [name for name in forms if name.startswith("quoted")],
        "base64": [name for name in forms if name.startswith("base64")],
        "html": [name for name in forms if name.startswith("html")],
        "json": [name for name in forms if name.startswith("json")],
        "hex": ("hex", "hex_upper_case"),
        "repr": ("repr", "repr_of_bytes"),
    }
    return {
        **{f"{family} {name}": forms[name] for family, names in families.items() for name in names},
        "base64 of both": base64.b64encode(b"user:" + raw).decode(),
    }


@functools.cache
def rare_echoes_of(key):
    """Return what few programs make of a key."""
    raw = key.encode()
    return {
        "quoted throughout": throughout(raw, lambda byte: f"%{byte:02x}"),
        "quoted twice": quote(quote(key, safe=""), safe=""),
        "html by number throughout": throughout(key, lambda letter: f"&#{ord(letter)};"),
        "html by hexadecimal number throughout": throughout(key, lambda letter: f"&#x{ord(letter):04X};"),
        "json throughout": throughout(key, _json_units),
        "repr throughout": throughout(raw, lambda byte: f"\\x{byte:02x}"),
        "repr of ascii": ascii(key)[1:-1],
        "base64 quoted": quote(stable_base64(raw, 0), safe=""),
    }


@functools.cache
def net_for(key):
    """Return for each family the pattern that finds the start or the end of a key in it.

    Whichever of its letters are escaped, and however often: letter by letter, all forms of the family are tried.
    """
    ends = (key[:_LONGEST_PART], key[-_LONGEST_PART:])
    return {
        "plain": _any_of(map(re.escape, ends)),
        "quoted": _any_of(_letter_by_letter(end, _quoted) for end in ends),
        "base64": _any_of(re.sub(r"[+/_-]", _either_alphabet, core) for core in _base64_cores(key.encode())),
        "html": _any_of(_letter_by_letter(end, _in_html) for end in ends),
        "json": _any_of(_letter_by_letter(end, _in_json) for end in ends),
        "hex": _any_of("[ :-]?".join(f"{byte:02x}" for byte in end.encode()) for end in ends),
        "repr": _any_of(_letter_by_letter(end, _in_repr) for end in ends),
        "part": _any_of(_parts(key)),
    }


def found_in(text, key):
    """Return the families in which a text holds a key."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _hints(key)):
        return set()
    return {family for family, pattern in net_for(key).items() if pattern.search(text)}


@functools.cache
def _hints(key):
    """Return texts one of which stands wherever a pattern matches, and which are quickly looked for."""
    hints = {*_parts(key)}
    for end in (key[:_LONGEST_PART], key[-_LONGEST_PART:]):
        raw, code = end.encode(), ord(end[0])
        hints.add(max(re.findall("[A-Za-z0-9]+", end), key=len))
        # With its letters escaped, too; where they are not, the parts are there.
        hints |= {f"{code:x}%", f"#{code};", f"#x{code:x};", f"u{code:04x}\\", f"x{code:x}\\", f"{code:03o}\\"}
        hints |= {f"#0{code};", f"#x0{code:x};", f"#x00{code:x};"}
        hints |= {raw[:4].hex(), raw[:4].hex(" "), raw[:4].hex(":"), raw[:4].hex("-")}
    hints |= {max(re.split(r"[+/_-]", core), key=len) for core in _base64_cores(key.encode())}
    return {hint.lower() for hint in hints}


def _parts(key):
    runs = re.findall(f"[A-Za-z0-9]{{{_SHORTEST_PART},}}", key)
    return {part for run in runs for part in (run[:_LONGEST_PART], run[-_LONGEST_PART:])}


def _base64_cores(raw):
    """Return the start and the end of what base64 makes of a key, wherever in a longer text it stands."""
    cores = [stable_base64(raw, lead) for lead in range(3)]
    return {end for core in cores for end in (core[:_LONGEST_BASE64], core[-_LONGEST_BASE64:])}


def _either_alphabet(match):
    return "(?:[+-]|%2b)" if match[0] in "+-" else r"(?:\\*/|_|%2f)"


def _any_of(patterns):
    return re.compile("|".join(sorted(set(patterns))), re.IGNORECASE)


def _letter_by_letter(text, forms_of_letter):
    return "".join(f"(?:{'|'.join(forms_of_letter(letter))})" for letter in text)


def _quoted(letter):
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in letter.encode())
    return [percent, re.escape(letter), *([r"\+"] if letter == " " else [])]


def _in_html(letter):
    code = ord(letter)
    named = [name for name, one in html.entities.html5.items() if one == letter and name.endswith(";")]
    return [f"&(?:amp;)*(?:{'|'.join([f'#0*{code};', f'#x0*{code:x};', *named])})", re.escape(letter)]


def _in_json(letter):
    if letter == "\\":
        return [r"\\*u005c", r"\\+"]
    raw = letter.encode("utf-16-be")
    units = "".join(rf"\\+u{raw[place : place + 2].hex()}" for place in range(0, len(raw), 2))
    return [units, rf"\\*{re.escape(letter)}"]


def _in_repr(letter):
    if letter == "\\":
        return [r"\\+(?:x5c|134)?"]
    raw, code = letter.encode(), ord(letter)
    in_bytes = "".join(rf"\\+x{byte:02x}" for byte in raw)
    in_octal = "".join(rf"\\+{byte:03o}" for byte in raw)
    return [in_bytes, in_octal, rf"\\+x{code:02x}", rf"\\+u{code:04x}", rf"\\+u{code:08x}", rf"\\*{re.escape(letter)}"]

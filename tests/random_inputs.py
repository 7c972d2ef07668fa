"""Ids and texts as nobody means them, from a seed, and what a server makes of the requests that carry them."""

import datetime as dt
import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import httpx

import smm_async as smm

KEY = "simulated-key+&="
URL = "https://panel.example/api/v2"
PANELS = {
    "form": smm.Panel(URL),
    "json": smm.Panel(URL, body="json"),
    "bearer": smm.Panel(URL, bearer=True),
    "json_bearer": smm.Panel(URL, body="json", bearer=True),
    "get": smm.Panel(f"{URL}?version=2", method="GET", key_in_url=True),
    "get_bearer": smm.Panel(URL, method="GET", bearer=True),
    "renamed": smm.Panel(
        URL, key_field="token", action_field="do", fields={"link": "target", "comments": "lines", "require": "answer"}
    ),
}
ORDERS = [order for order in vars(smm.orders).values() if isinstance(order, type) and vars(order).get("type")]
NUMBERS = {"quantity": 100, "answer_number": 1, "min": 10, "max": 20, "delay": 30, "device": 5, "type_of_traffic": 3}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
AN_ID = re.compile("[A-Za-z0-9_.-]{1,64}")
NOT_SENDABLE = re.compile("[\0\ud800-\udfff]")
FOREIGN = [
    *",&=\r\n\t\0%;+/#? \"'\\<>{}[]()|*!@$^`~:",
    # Digits of other scripts, letters that fold to others, blanks and marks that do not show, halves of pairs.
    *("\u0661", "\u0967", "\uff11", "\u00b2", "\u2460", "\U0001d7d9", "\u00e9", "\u0130", "\u00df", "\u212a", "\uff21"),
    *("\u00a0", "\u2003", "\u3000", "\u200b", "\u200d", "\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\ufeff", "\u202e"),
    *("\ud800", "\udfff", "\U0001f525", "\uff0d", "\u2212", "\uff0c", "\uff0e", "\uff3f"),
]
PIECES = [
    *("a", "Hello", "7", "https://example.com/p/1?a=1&b=2#c", "@user", "#tag", "100%", "1+1=2", "a&b=c", "&key=x", "&"),
    *("&action=add&service=1", "=", "==", "%", "%26", "%00", "%0d%0a", "%ZZ", "+", " ", "  ", "\t", ";", ";key=x", ","),
    *("\r\n", "\n", "\r", "\n\n", "\u2028", "\x85", "\x0b", "\x1b[0m", "\x7f", "\x01", '"', "'", "\\", "\\n"),
    *('","key":"x', "{}", "[]", "</script>", "<!--", "${7*7}", "'; drop table x; --", "../..", "\u00a0", "\ufeff"),
    *("\U0001f525", "\U0001f469\u200d\U0001f467", "\U0001f1f9\U0001f1f7", "\u0645\u0631\u062d\u0628\u0627", "\u202e"),
    *("\u05e9\u05dc\u05d5\u05dd", "e\u0301", "\u00e9", "a\u0308\u0323", "\u0e01\u0e33", "\u4f60\u597d", "\u0130"),
    *("\u00df", "\\u0000", "\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\U0001d7d9", "\uff06", "\uff1d", "x" * 300),
    *("\0", "\ud800", "\udfff", "\ud83d\ude00", "\udc80"),
]


for _order in ORDERS:
    attrs.resolve_types(_order)


def random_id(dice):
    """Return what somebody may pass as an id: half of the time it is one."""
    good = "".join(dice.choices(ALPHABET, k=dice.choice([1, 1, 2, 5, 9, 24, 63, 64])))
    place = dice.randrange(len(good) + 1)
    odd = [
        good[:place] + dice.choice(FOREIGN) + good[place:],
        "".join(dice.choices(FOREIGN, k=dice.randint(1, 3))),
        good + dice.choice(ALPHABET) * 64,
        dice.choice(["", " ", "1,2", "+1", " 1", "1 ", "1\n", "1&key=x", "1\r\nX: y", "1%2C2", "1;2"]),
        dice.choice([-1, -(10**30), 10**64, 10**5000, True, False, None, 1.0, b"1", [1], ("1",), {"1": 1}]),
    ]
    number = dice.choice([0, 1, dice.randrange(10**9), dice.randrange(2**64), 10**64 - 1])
    return dice.choice([good, good, number, dice.choice(odd), dice.choice(odd), dice.choice(odd)])


def id_meant(value):
    """Return the text of an id, or ``None`` for what is none."""
    if type(value) is int:
        return f"{value:d}" if 0 <= value < 10**64 else None
    return value if isinstance(value, str) and AN_ID.fullmatch(value) else None


def random_text(dice, most=5):
    """Return a text out of pieces that something on the way may take for something else."""
    return "".join(dice.choices(PIECES, k=dice.randint(0, most)))


def is_sendable(text):
    """Return whether a form in UTF-8 can carry a text to a program in C."""
    return not NOT_SENDABLE.search(text)


def hashable_ids(dice):
    """Return several ids that can be looked up in a mapping."""
    drawn = [random_id(dice) for _ in range(dice.choice([0, 1, 2, 3, 12]))]
    if dice.random() < 0.7:
        drawn = [id_ for id_ in drawn if id_meant(id_) is not None]
    return [id_ for id_ in drawn if not isinstance(id_, (list, dict))]


def random_order(dice, order):
    """Return fields for an order of a class, and what they should be on the wire, or ``None`` if they are no order."""
    given: dict[str, Any] = {}
    wire: dict[str, Any] = {}
    for field in attrs.fields(order):
        name = field.name
        if name == "extra":
            continue
        if name in NUMBERS and (field.default is attrs.NOTHING or dice.random() < 0.3):
            given[name], wire[name] = NUMBERS[name], str(NUMBERS[name])
        elif name == "service":
            given[name] = random_id(dice) if dice.random() < 0.1 else dice.choice([1, "A-7"])
            wire[name] = id_meant(given[name])
        elif name == "expiry" and dice.random() < 0.3:
            given[name], wire[name] = dt.date(2031, 2, 9), "09/02/2031"
        elif field.type in {str, str | None} and (field.default is attrs.NOTHING or dice.random() < 0.5):
            given[name] = random_text(dice)
            wire[name] = given[name] if is_sendable(given[name]) and given[name].strip() else None
        elif field.type == tuple[str, ...]:
            given[name], wire[name] = random_lines(dice)
    given["extra"] = {f"x{number}": random_text(dice) for number in range(dice.choice([0, 0, 1, 2]))}
    wire |= {name: text if is_sendable(text) else None for name, text in given["extra"].items()}
    return given, None if None in wire.values() else [*wire.items()]


def random_lines(dice):
    """Return a text or a list of lines, and what should be sent of it, or ``None``."""
    if dice.random() < 0.5:
        text = random_text(dice)
        lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
        return text, "\n".join(lines) if lines and is_sendable("".join(lines)) else None
    given = [random_text(dice, 2) for _ in range(dice.randint(0, 3))]
    lines = [line for line in given if line.strip()]
    is_fine = lines and not any("\n" in line or "\r" in line or not is_sendable(line) for line in lines)
    return given, "\n".join(lines) if is_fine else None


def random_field(dice):
    """Return what may be passed for a field of any action, and what should be sent of it, or ``None``."""
    text = random_text(dice)
    number = dice.choice([0, -1, dice.randrange(10**30)])
    amount = Decimal(dice.randrange(10**12)).scaleb(-dice.randint(0, 9))
    return dice.choice(
        [
            (text, text if is_sendable(text) else None),
            (text, text if is_sendable(text) else None),
            (text, text if is_sendable(text) else None),
            (number, f"{number:d}"),
            (amount, f"{amount:f}"),
            (dice.choice([None, True, 1.5, b"x", ["x"], {"x": 1}]), None),
        ]
    )


def random_name(dice):
    """Return what may be passed as the name of a field, often one that a server may take for the key or the action."""
    word = dice.choice(["key", "action", "token", "do", "field", "x"])
    tail = dice.choice(
        ["", "\0", "\0x", "[", "[]", "[x]", ".", " ", "=", "&", "&key", "%00", "\u0130", "\ud800", "\r\n"]
    )
    return dice.choice(["", "", " ", "  ", "\t", "\ufeff", "&"]) + word + tail


@attrs.frozen
class Sent:
    """One request, as it goes over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def fields(self):
        """Return all parameters as the server reads them, in their order."""
        query = parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True, errors="strict")
        if self.method == "GET":
            assert self.body == b""
            return query
        assert "?" not in self.target
        assert self.headers["content-length"] == str(len(self.body))
        if self.headers["content-type"] == "application/json":
            return [*map(tuple, json.loads(self.body.decode("ascii"), object_pairs_hook=list))]
        assert self.headers["content-type"] == "application/x-www-form-urlencoded"
        return parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")


class Recorder(httpx.AsyncBaseTransport):
    """Keeps each request, and answers it so that nothing more need be asked."""

    def __init__(self):
        self.sent: list[Sent] = []

    async def handle_async_request(self, request):
        body = b"".join([part async for part in request.stream])
        headers = {name.decode().lower(): text.decode("latin-1") for name, text in request.headers.raw}
        sent = Sent(request.method, request.url.raw_path.decode("ascii"), headers, body)
        self.sent.append(sent)
        return httpx.Response(200, content=json.dumps(_answer(dict(sent.fields()))).encode())


def _answer(fields):
    row = {"status": "Pending", "charge": "1", "cancel": "1"}
    if not {"refill", "refills"} & fields.keys():
        row["refill"] = "1"
    for name in ("orders", "refills"):
        if name in fields:
            return dict.fromkeys(fields[name].split(","), row)
    return row if {"order", "refill"} & fields.keys() else row | {"order": 1}


def expected(panel, action, fields):
    """Return all parameters that a request should have, given those of its action by their standard names."""
    key = [] if panel.bearer else [(panel.key_field, KEY)]
    query = [*parse_qsl(urlsplit(panel.url).query)]
    return [
        *query,
        *key,
        (panel.action_field, action),
        *((panel.fields.get(name, name), text) for name, text in fields),
    ]


def php_name(name):
    """Return the variable that PHP makes of the name of a form field (``php_register_variable_ex`` in its source)."""
    name = name.partition("\0")[0].lstrip(" ")
    head, bracket, _ = name.partition("[")
    return re.sub("[ .]", "_", head) if bracket and head else re.sub("[ .[]", "_", name)

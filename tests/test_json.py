"""Bytes to JSON: what is read, what is refused, and how soon."""

import contextlib
import json
import random
import time
from decimal import Decimal

import pytest

from smm_async._json import MAX_DEPTH, NotJsonError, is_sane_number, read_json

ROW = b'{"order": 23501, "charge": 0.27819}'
VALUE = {"order": 23501, "charge": Decimal("0.27819")}

READABLE = {
    "bare_object": (ROW, VALUE),
    "byte_order_mark": (b"\xef\xbb\xbf" + ROW, VALUE),
    "mark_and_blank_lines": (b"\xef\xbb\xbf\r\n\r\n\t " + ROW + b"\n\n", VALUE),
    "marks_given_twice": (b"\xef\xbb\xbf\xef\xbb\xbf" + ROW, VALUE),
    "html_notice": (
        b"<br />\n<b>Notice</b>:  Undefined index: x in <b>/var/www/api.php</b> on line <b>12</b><br />\n" + ROW,
        VALUE,
    ),
    "text_notice": (b"\nNotice: Undefined index: x in /var/www/api.php on line 12\n" + ROW, VALUE),
    "notice_on_the_same_line": (b"PHP Warning:  foo() is slow in /a.php on line 3 " + ROW, VALUE),
    "two_notices": (b"Deprecated: each() in /a.php on line 1\nWarning: x in /a.php on line 2\n" + ROW, VALUE),
    "notice_with_brackets": (b"Warning: PDO: SQLSTATE[HY000] [2002] no route in /a.php on line 3\n" + ROW, VALUE),
    "notice_with_a_lone_bracket_and_quote": (b"Warning: preg_match(): \"'[' in /a.php on line 3\n" + ROW, VALUE),
    "notice_with_a_time": (b"[12-Nov-2026 10:00:00] PHP Notice: x in /a.php on line 3\n" + ROW, VALUE),
    "notice_before_a_list": (b"Strict Standards: x in /a.php on line 3\n[" + ROW + b"]", [VALUE]),
    "notice_before_an_empty_list": (b"Notice: x in /a.php on line 3\n[ ]", []),
    "notice_before_an_empty_object": (b"Notice: x in /a.php on line 3\n{ }", {}),
    "html_without_a_notice": (b"<pre>debug</pre>" + ROW, VALUE),
    "null": (b"null", None),
    "bare_text": (b'"Incorrect request"', "Incorrect request"),
    "bare_number": (b"42.10", Decimal("42.10")),
    "bare_list": (b"[]", []),
    "escaped_emoji": (rb'["\ud83d\udd25"]', ["🔥"]),
    "raw_emoji": ('["🔥"]'.encode(), ["🔥"]),
    "brackets_in_texts": (json.dumps(["[" * 100, "{" * 100, '\\"[']).encode(), ["[" * 100, "{" * 100, '\\"[']),
}


@pytest.mark.parametrize(("body", "value"), READABLE.values(), ids=READABLE)
def test_body_that_holds_json_is_read(body, value):
    """What panels put around a JSON value is passed over."""
    assert read_json(body) == value


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_empty_body_is_no_value(body):
    """Blanks and byte order marks alone are an empty body."""
    assert read_json(body) is None


REFUSED = {
    "html": b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>",
    "html_with_a_script": b'<html><script>var a = {"order": 1};</script></html>',
    "html_with_a_list_inside": b"<p>Warning</p>[1, 2]</p>",
    "plain_text": b"Bad gateway",
    "text_before_json": b"ok " + ROW,
    "notice_alone": b"Notice: Undefined index: x in /a.php on line 12",
    "notice_before_cut_json": b"Notice: x in /a.php on line 12\n" + ROW[:-1],
    "trailing_text": ROW + b"x",
    "trailing_notice": ROW + b"\nNotice: x in /a.php on line 12",
    "trailing_value": ROW + ROW,
    "cut": ROW[:-1],
    "single_quotes": b"{'order': 1}",
    "trailing_comma": b'{"order": 1,}',
    "comma_missing": b'{"a": 1 "b": 2}',
    "latin_1": b'{"name": "\xe9t\xe9"}',
    "utf_16": '{"order": 1}'.encode("utf-16"),
    "int_of_41_digits": b'{"order": ' + b"9" * 41 + b"}",
    "int_of_5000_digits": b'{"order": ' + b"9" * 5000 + b"}",
    "fraction_of_41_characters": b'{"charge": 0.' + b"1" * 39 + b"}",
    "exponent_above_20": b'{"charge": 1e21}',
    "exponent_below_minus_20": b'{"charge": 1e-21}',
    "huge_exponent": b'{"order":1e999999}',
    "nan": b'{"charge": NaN}',
    "infinity": b'{"charge": Infinity}',
    "minus_infinity": b'{"charge": -Infinity}',
    "key_twice": b'{"1": {"status": "Completed"}, "1": {"status": "Canceled"}}',
    "key_twice_deep_inside": b'[[{"a": {"b": 1, "b": 1}}]]',
    "one_level_too_deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "objects_too_deep": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "too_deep_among_texts": b'["[",' * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1),
    "too_deep_but_for_brackets_in_texts": b'["]",' * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1),
    "too_deep_behind_a_notice": b"Notice: x\n[[" + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]]",
    "depth_100000": b"[" * 100_000 + b"]" * 100_000,
    "depth_100000_never_closed": b"[" * 100_000,
    "depth_100000_behind_html": b"<" + b"[" * 100_000 + b"]" * 100_000,
    "control_character_in_a_text": b'["a\x00b"]',
    "underscore_in_a_number": b"[1_0]",
    "arabic_digits": "[١٢]".encode(),
    "plus_sign": b"[+1]",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_body_that_is_not_json_is_refused_soon(body):
    """Everything else is a `NotJsonError`, and takes no time to become one."""
    began = time.process_time()

    with pytest.raises(NotJsonError):
        read_json(body)

    assert time.process_time() - began < 0.25


def test_refusal_does_not_hold_the_document():
    """The error names the place of the fault and keeps nothing of what the server sent."""
    with pytest.raises(NotJsonError) as caught:
        read_json(b'{"echo": "the-key-of-somebody" "x": 1}')

    assert str(caught.value).startswith("it is not JSON: ")
    assert "the-key" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("depth", [1, MAX_DEPTH])
def test_depth_up_to_the_limit_is_read(depth):
    """32 levels are allowed."""
    value = read_json(b"[" * depth + b"]" * depth)

    for _ in range(depth - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.08011655652", Decimal("0.08011655652")),
        ("1e-05", Decimal("0.00001")),
        ("1.0E-5", Decimal("0.000010")),
        ("1e20", Decimal("1e20")),
        ("-0.5", Decimal("-0.5")),
        ("9" * 40, int("9" * 40)),
        ("-1", -1),
    ],
)
def test_number_is_exact(text, value):
    """Numbers with a fraction or an exponent are decimals from the literal digits, others are whole."""
    read = read_json(b'{"n": %s}' % text.encode())["n"]

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "is_sane"),
    [("1" * 40, True), ("1" * 41, False), ("1e20", True), ("1E-20", True), ("1e21", False), ("1e-21", False)],
)
def test_sane_number_is_short_and_of_this_world(text, is_sane):
    """Up to 40 characters and an exponent of up to 20 either way are sane."""
    assert is_sane_number(text) is is_sane


MULTI = json.dumps(
    {
        "1": {"status": "Completed", "charge": "1", "note": "warning: a notice }", "refs": [1, 2]},
        "2": {"status": "Canceled", "charge": "2", "list": [{"a": 1}, {"b": 2}]},
    }
).encode()


@pytest.mark.parametrize("prefix", [b"", b"<br />\n<b>Notice</b>: x<br />\n", b"\nWarning: x on line 1\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_body_cut_anywhere_is_refused(prefix, indent):
    """No cut of an answer reads as a smaller answer, though its end may look like one."""
    body = json.dumps(json.loads(MULTI), indent=indent).encode()
    ends = [body[start:] for start in range(1, len(body)) if body[start : start + 1] in b"{["]

    for cut in [*(body[:end] for end in range(1, len(body))), *(b"[" + end for end in ends)]:
        with pytest.raises(NotJsonError):
            read_json(prefix + cut)


def test_20000_mutants_are_values_or_refused():
    """Whatever is done to the bytes of an answer, it ends with a value or a `NotJsonError`."""
    dice = random.Random(7)
    outcomes = {"value": 0, "refused": 0}
    for _ in range(20_000):
        body = bytearray(MULTI)
        for _ in range(dice.randint(1, 4)):
            body[dice.randrange(len(body))] = dice.choice(b'{}[]":,\\019.eE-<\n\xff a')
        try:
            read_json(bytes(body))
            outcomes["value"] += 1
        except NotJsonError:
            outcomes["refused"] += 1

    assert min(outcomes.values()) > 1000


@pytest.mark.parametrize(
    "body",
    [
        b"{%s}" % b",".join(b'"%d":1' % (n * ((1 << 61) - 1)) for n in range(20_000)),
        b"<br />\n<b>Notice</b>: x" + b"[" * 200_000,
        b"<" + b'{"' * 100_000,
        b"[" + b"1," * 100_000,
        b'["' + b"\\" * 200_001 + b'"]',
    ],
    ids=["colliding_keys", "open_brackets", "open_objects", "never_closed", "backslashes"],
)
def test_large_hostile_body_takes_bounded_time(body):
    """A quarter of a megabyte of malice is done with in a blink."""
    began = time.process_time()

    with contextlib.suppress(NotJsonError):
        read_json(body)

    assert time.process_time() - began < 0.5

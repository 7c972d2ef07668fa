"""Answers as large as the cap for lookups and writes lets through, each made to cost as much time or memory as it can."""

import json

from tests.hostile_corpus import Hostile
from tests.hostile_judge import KEY

CAP = 256 * 1024


def filled(unit, start=b"", end=b""):
    """Return as many of ``unit`` as fit between a start and an end."""
    return start + unit * ((CAP - len(start) - len(end)) // len(unit)) + end


def rows(row):
    """Return an answer that has a row like this for each of a hundred ids."""
    return json.dumps({str(id_): row for id_ in range(1, 101)}).encode()


def keys(text, count, step=1):
    """Return an object with many keys, and the same value for each."""
    return b"{" + b",".join(text % (number * step) for number in range(count)) + b"}"


BODIES = {
    "numbers": filled(b"1e1,", b"[", b"1]"),
    "numbers behind a notice": filled(b"1e1,", b'[1,"notice",[[', b"1]]"),
    "numbers behind half a notice": filled(b"1e1,", b'[1,"notice",[[', b"1]"),
    "numbers in an object": filled(b"1e1,", b'{"x":[', b"1]}"),
    "numbers in an error": filled(b"1e1,", b'{"error":[', b"1]}"),
    "numbers in an object in an error": filled(b"1e1,", b'{"error":{"x":[', b"1]}}"),
    "long numbers": filled(b"1." + b"5" * 38 + b",", b"[", b"1]"),
    "number without end": filled(b"9"),
    "number behind a word": filled(b"1", b'"max ', b'"'),
    "lists": filled(b"[],", b"[", b"[]]"),
    "objects": filled(b"{},", b"[", b"{}]"),
    "objects in data": filled(b"{},", b'{"data":[', b"{}]}"),
    "objects with a key": filled(b'{"":0},', b"[", b"{}]"),
    "rows for one id": filled(b'{"id":1},', b"[", b"{}]"),
    "equal rows for one id": filled(b'{"id":1,"x":[[[1]]]},', b"[", b"{}]"),
    "keys": keys(b'"%d":1', 23_000),
    "keys with blanks": keys(b'" %d":{}', 19_000),
    "keys that collide": keys(b'"%d":1', 10_500, (1 << 61) - 1),
    "the same key": filled(b'"":1,', b"{", b'"":1}'),
    "rows with blank amounts": rows({"status": "Completed", "charge": " " * 60}),
    "rows with almost amounts": rows({"status": "Completed", "charge": "a " * 30, "remains": " " * 1000}),
    "rows with commas for amounts": rows({"status": "Completed", "charge": "1," * 30, "remains": "1," * 500}),
    "rows with long states": rows({"status": "_-" * 1250}),
    "rows with long errors": rows({"error": "q" * 2500}),
    "rows with almost the key": rows({"error": (KEY[:-1] + "x") * 190}),
    "rows with lists of errors": rows({"error": [1] * 800}),
    "rows with numbers in errors": rows({"error": {"x": [0.5] * 500}}),
    "rows with failures": rows({"status": "fail", "message": "cancel" * 400}),
    "rows with many fields": rows({"status": "Completed"} | {f"k{number}": number for number in range(150)}),
    "error": filled(b"x", b'{"error":"', b'"}'),
    "state": filled(b"_x", b'{"status":"', b'"}'),
    "canceled ids": filled(b"1,", b'{"canceled":[', b"1]}"),
    "child orders": filled(b'"1",', b'{"1":{"status":"x","orders":[', b"1]}}"),
    "page of lists": filled(b"[ ", b"<"),
    "page of objects": filled(b"{ ", b"<"),
    "page of notices": filled(b"notice ", b"<"),
    "bracket before blanks": filled(b" ", b"<{"),
    "bytes that are no text": filled(b"\xff"),
    "escapes": filled(b"\\u0041", b'["', b'"]'),
    "quotes": filled(b'\\"', b'["', b'"]'),
    "depth": filled(b"["),
    "depth of objects": filled(b'{"a":'),
    "blanks": filled(b" "),
    "byte order marks": filled(b"\xef\xbb\xbf"),
}
HEAVY = {name: Hostile(name, body) for name, body in BODIES.items()}

"""Answers that no honest panel would give: named ones, every cut of some good ones, and any number more from a seed."""

import gzip
import json
import random
import re
import zlib

import attrs

from tests.hostile_words import (
    CODES,
    CODINGS,
    GOOD,
    HEADERS,
    NAMES,
    NOTICES,
    PAGES,
    SAMPLES,
    SPOILED,
    TEXTS,
    TOKENS,
    TYPES,
)

MANY = 27_000
"""So many answers have more than 20,000 different bodies."""
READ_AT_ONCE = 64 * 1024
GZIP = (b"Content-Encoding", b"gzip")
JSON_TYPE = (b"Content-Type", b"application/json")
SCALAR = re.compile(r'(?<=[:\[,])\s*(?:"(?:[^"\\]|\\.)*"(?!\s*:)|-?[0-9][0-9.eE+-]*|true|false|null)|\A[0-9.]+\Z')
PAIR = re.compile(r'("(?:[^"\\]|\\.)*")\s*:\s*(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)')


@attrs.frozen
class Hostile:
    """One answer, as a server sends it."""

    name: str
    content: bytes = attrs.field(repr=False)
    status_code: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = (JSON_TYPE,)
    piece: int = READ_AT_ONCE
    """How many bytes come at a time."""


def packed(content):
    """Return ``content`` packed by gzip, the same bytes every time."""
    return gzip.compress(content, mtime=0)


def in_bytes(text):
    """Return a text in UTF-8, or in what comes closest to it."""
    return text.encode(errors="surrogatepass")


# --- Families of bodies


def with_tokens(dice):
    text = dice.choice(SAMPLES)
    for _ in range(dice.randint(1, 3)):
        text = replaced(dice, text, dice.choice(TOKENS))
    return in_bytes(text)


def replaced(dice, text, token):
    """Return ``text`` with one of its values replaced, or the other value alone where there is none."""
    places = [*SCALAR.finditer(text)]
    place = dice.choice(places) if places else re.match(".*", text, re.DOTALL)
    return text[: place.start()] + token + text[place.end() :]


def with_changed_bytes(dice):
    body = bytearray(dice.choice(SAMPLES).encode())
    for _ in range(dice.randint(1, 6)):
        place, other = dice.randrange(len(body) + 1), dice.randrange(len(body) + 1)
        match dice.randrange(4):
            case 0:
                body[place : place + 1] = bytes([dice.randrange(256)])
            case 1:
                body[place:place] = bytes([dice.choice(b'{}[]":,\\019.eE-+<\n\0\xff\xef \ttfn')])
            case 2:
                del body[place : place + dice.randint(1, 5)]
            case _:
                body[place:place] = body[min(place, other) : max(place, other)][:300]
    return bytes(body)


def spliced(dice):
    one, other = dice.choice(SAMPLES).encode(), dice.choice(SAMPLES).encode()
    return one[: dice.randrange(len(one) + 1)] + other[dice.randrange(len(other) + 1) :]


def cut(dice):
    body = dice.choice([with_tokens(dice), dice.choice(SAMPLES).encode()])
    place = dice.randrange(len(body) + 1)
    return body[place:] if dice.random() < 0.2 else body[:place]


def nested(dice):
    depth = dice.choice([1, 2, 5, 30, 31, 32, 33, 64, 500, 1000, 3000])
    opening, closing = dice.choice(
        [("[", "]"), ('{"a":', "}"), ('{"order":', "}"), ('{"data":[', "]}"), ('{"error":', "}"), ('{"balance":', "}")]
    )
    inner = opening * depth + dice.choice(TOKENS) + closing * (depth - dice.choice([0, 0, 0, 1]))
    return in_bytes(inner if dice.random() < 0.3 else replaced(dice, dice.choice(SAMPLES), inner))


def with_a_key_twice(dice):
    text = with_tokens(dice).decode(errors="surrogatepass")
    pairs = [*PAIR.finditer(text)]
    if not pairs:
        return b'{"order":1,"order":%d}' % dice.randint(1, 2)
    pair = dice.choice(pairs)
    key = pair[1]
    if dice.random() < 0.3 and key[1] != '"':
        key = f'"\\u{ord(key[1]):04x}{key[2:]}'
    return in_bytes(text[: pair.start()] + f"{key}:{dice.choice(TOKENS)}," + text[pair.start() :])


def with_many_keys(dice):
    step = dice.choice([(1 << 61) - 1, 1, 1 << 64, 7])
    pair = dice.choice(['"%d":1', '" %d":{}', '"%d":{"status":"Completed"}', '"%d ":null'])
    return ("{" + ",".join(pair % (n * step) for n in range(dice.choice([3, 100, 1000]))) + "}").encode()


def in_an_encoding(dice):
    text = dice.choice(SAMPLES)
    codec = dice.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp1252", "cp037"])
    marks = [b"\xef\xbb\xbf", b"\xef\xbb\xbf" * 2, b"\xef\xbb\xbf\r\n\t ", b"\xfe\xff", b"\0", b"\x0b", b"\xc2\xa0"]
    bad = [
        b"\xff",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
        b"\xe2\x80\xa8",
        b"\xe2",
        b"\0",
        b"\x1b",
    ]
    body, place = text.encode(), dice.randrange(len(text) + 1)
    return dice.choice(
        [
            text.encode(codec, "replace"),
            dice.choice(marks) + body,
            body[:place] + dice.choice(bad) + body[place:],
            body[:place] + dice.choice(bad) + body[place:],
        ]
    )


def with_notices(dice):
    body = dice.choice([with_tokens(dice), dice.choice(SAMPLES).encode()])
    notices = b"".join(dice.choice(NOTICES) for _ in range(dice.randint(1, 3)))
    short = body[: dice.randrange(len(body) + 1)]
    return dice.choice([notices + body, notices + body, notices + body, body + notices, notices + short])


def followed(dice):
    tails = [b"x", b"\0", b"}", b"]", b",", b" null", b"//", b";", b"\n\n\n", b"\xff", b"</html>", b"\n" + cut(dice)]
    return dice.choice(SAMPLES).encode() + dice.choice(tails)


def in_any_shape(dice):
    fields = {dice.choice(NAMES): any_json(dice, 3) for _ in range(dice.randint(0, 4))}
    value = dice.choice([fields, fields, [any_json(dice, 3) for _ in range(dice.randint(0, 4))], any_json(dice, 3)])
    return in_bytes(json.dumps(value, ensure_ascii=dice.random() < 0.5))


def any_json(dice, depth):
    """Return any JSON value with names and words that panels use."""
    numbers = [None, True, False, 0, 1, -1, 2, 7, 23501, 1.5, 1e300, -0.0, 10**30]
    words = [
        "",
        "1",
        "2",
        "Completed",
        "success",
        "fail",
        "error",
        "Incorrect order ID",
        "Invalid API key",
        "x",
        "\ud83d",
    ]
    match dice.randrange(10 if depth else 6):
        case 0 | 1 | 2:
            return dice.choice(numbers)
        case 3 | 4 | 5:
            return dice.choice(words)
        case 6:
            return [any_json(dice, depth - 1) for _ in range(dice.randint(0, 3))]
        case _:
            return {dice.choice(NAMES): any_json(dice, depth - 1) for _ in range(dice.randint(0, 4))}


def in_words(dice):
    text = dice.choice(TEXTS)
    inner = dice.choice(["1", "2", "order", "refill", "cancel", "data", "status"])
    beside = dice.choice(["order", "id", "refill", "cancel", "balance", "charge"])
    said = [
        {"error": text},
        {"error": text, beside: dice.choice([0, 1, "7", None, ""])},
        {"status": dice.choice(["error", "fail", False, 0, 104]), "message": text},
        {inner: {"error": text}},
        text,
    ]
    return json.dumps(dice.choice(said)).encode()


def page(dice):
    return dice.choice(PAGES)


def noise(dice):
    return dice.randbytes(dice.choice([0, 1, 2, 5, 50, 500]))


def long(dice):
    size = dice.choice([1000, 16 * 1024, 16 * 1024 + 1, 20_000])
    start, unit, end = dice.choice(
        [
            (b'{"error":"', b"x", b'"}'),
            (b'{"1":{"status":"', b"\\u0041", b'"}}'),
            (b"[", b"1,", b"1]"),
            (b"", b" ", b"1"),
            (b'{"order":1', b" ", b"}"),
            (b"[", b'{"service":1},', b"{}]"),
            (b'{"message":"', "🔥".encode(), b'","status":"fail"}'),
        ]
    )
    return start + unit * ((size - len(start) - len(end)) // len(unit)) + end


FAMILIES = [
    *(with_tokens, with_tokens, with_tokens, with_tokens, with_changed_bytes, with_changed_bytes, with_changed_bytes),
    *(with_changed_bytes, spliced, spliced, cut, nested, nested, with_a_key_twice, with_a_key_twice, with_many_keys),
    *(in_an_encoding, with_notices, with_notices, with_notices, followed, in_any_shape, in_any_shape, in_any_shape),
    *(in_any_shape, in_words, page, noise, long),
]
"""The more different bodies a family has, the more often it stands here."""


def damaged(dice, content):
    """Return ``content`` packed by gzip, or what something made of it on the way."""
    whole = packed(content)
    half, place = dice.randrange(len(content) + 1), dice.randrange(len(whole))
    tails = [b"\0", b"\0" * 600, b"x", b"\x1f", b"\x1f\x8b", whole, packed(b""), whole[:-3]]
    return dice.choice(
        [
            whole,
            whole,
            whole[:place],
            whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :],
            packed(content[:half]) + packed(content[half:]),
            whole + dice.choice(tails),
            packed(whole),
            dice.choice([zlib.compress(content), zlib.compress(content)[2:-4], content, b""]),
        ]
    )


# --- All of them


def random_body(seed, number):
    """Return the body with this number, always the same for one seed."""
    dice = random.Random(f"{seed} {number}")
    family, kind = dice.choice(FAMILIES), dice.random()
    content, headers = family(dice), [JSON_TYPE if dice.random() < 0.8 else (b"Content-Type", dice.choice(TYPES))]
    if kind < 0.12:
        content = damaged(dice, content)
        headers.append(GZIP)
    elif kind < 0.18:
        content = dice.choice([content, damaged(dice, content)])
        headers.append((b"Content-Encoding", dice.choice(CODINGS)))
    if dice.random() < 0.1:
        headers += dice.choices(HEADERS, k=dice.choice([1, 1, 2, 120]))
    status_code = 200 if dice.random() < 0.4 else dice.choice(CODES)
    piece = dice.choice([READ_AT_ONCE, READ_AT_ONCE, READ_AT_ONCE, 7, 1 if len(content) < 500 else 100])
    return Hostile(f"{family.__name__} {seed}:{number}", content, status_code, tuple(headers), piece)


def named_bodies():
    """Yield every cut of good answers, every token in many places, and texts with other HTTP statuses."""
    for name, value in GOOD.items():
        whole = json.dumps(value).encode()
        yield from (Hostile(f"{name} cut at {end}", whole[:end]) for end in range(len(whole)))
    whole = packed(json.dumps(GOOD["order"]).encode())
    yield from (Hostile(f"gzip cut at {end}", whole[:end], headers=(GZIP,)) for end in range(len(whole)))
    for token in TOKENS:
        shown, body = token[:20], in_bytes(token)
        yield from (Hostile(f"{name} is {shown}", b'{"%s":%s}' % (name.encode(), body)) for name in SPOILED)
        yield from (Hostile(f"bare {shown}", body), Hostile(f"list of {shown}", b"[%s]" % body))
    for number, body in enumerate([*PAGES, *NOTICES, *map(str.encode, SAMPLES)]):
        codes = [200, *CODES[number % 6 :: 6]]
        yield from (Hostile(f"text {number} with {code}", body, code) for code in codes)


NAMED = [*named_bodies()]


def body_at(seed, number):
    """Return body ``number``: the named ones first, the same for each seed, and then those of the seed."""
    return NAMED[number] if number < len(NAMED) else random_body(seed, number)

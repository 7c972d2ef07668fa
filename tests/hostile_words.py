"""What hostile answers are made of: good ones to spoil, odd values, names, notices, pages and headers."""

import json
from pathlib import Path

ROW = {"charge": "0.27819", "start_count": "3572", "status": "Partial", "remains": "157", "currency": "USD"}
SERVICE = {"service": 1, "name": "Followers", "type": "Default", "rate": "0.90", "min": "50", "max": "10000"}
GOOD = {
    "status": ROW,
    "statuses": {"1": ROW, "2": {"error": "Incorrect order ID"}, "3": ROW | {"remains": -2, "status": "Completed"}},
    "status list": [{"order": 3} | ROW, {"order": "1"} | ROW, {"order": 2, "error": "Incorrect order ID"}],
    "balance": {"balance": "100.84292", "currency": "USD"},
    "bare balance": 100.84,
    "services": [SERVICE],
    "services in data": {"status": "success", "data": [{"id": 2, "name": "Likes", "price": 1.5, "refill": True}]},
    "products": [{"product": 1, "name": "Mail", "require": "Login", "rate": 6.75, "status": "In stock"}],
    "order": {"order": 23501},
    "order in words": {"status": "success", "order": "TX7Q2M9K", "message": "Order placed"},
    "refill": {"refill": "1"},
    "refills": [{"order": 1, "refill": 1}, {"order": 2, "refill": {"error": "Incorrect order ID"}}],
    "refill status": {"status": "Completed"},
    "refill statuses": [
        {"refill": 1, "status": "Completed"},
        {"refill": 2, "status": {"error": "Incorrect refill ID"}},
    ],
    "cancels": [{"order": 1, "cancel": 1}, {"order": 2, "cancel": {"error": "Incorrect order ID"}}],
    "canceled": {"canceled": [1, 2]},
    "refusal": {"error": "Not enough funds on balance"},
    "wrong key": {"error": "Invalid API key"},
    "failure": {"status": "fail", "message": "Something went wrong"},
    "text": "Incorrect request",
}
SEEN = [json.loads(line)["body"] for line in Path(__file__).with_name("replies.jsonl").read_text("utf-8").splitlines()]
SAMPLES = [*(json.dumps(value, ensure_ascii=False) for value in GOOD.values()), *SEEN]


def _words(text):
    return text.split()


TOKENS = [
    *_words("1e999999 1E400 -1e-999999 1e21 1e20 -0 -0.0 0 00 01 -1 +1 .5 1. 1_0 0x10 1e 1e+ --1 1.5.5 1.5 23501 1e1"),
    *_words("NaN Infinity -Infinity nan inf undefined None True true false null 1; '1' /*1*/1 [] {} [[]] [null]"),
    *_words('"NaN" "Infinity" "-Infinity" "sNaN" "inf" "1e999999" "1e999" "-1e-999" "0x10" "+1" "-1" "1_0" "1,2"'),
    *_words('"0" "00" "0.0" "1.5" "23501" "1&key=x" "true" "Completed" "Fail" "success" "error" "Array" "yes" "no"'),
    *_words('"" [""] {"":null} {"error":[]} {"order":7} {"1":{"status":"x"}} {"error":"Incorrect"} "[object"'),
    *_words(
        '"\\u0661\\u0662" "\\ud800" "\\udfff\\ud800" "\\ud83d\\udd25" "\\u0000" "a\\u0000b" "\\ufeff1" "\\u202e1" "1\\n"'
    ),
    *('" "', '" 1"', '"1 "', '"\t"', '"' + " " * 60 + '"', '"' + "a " * 30 + '"', '"$' + " " * 55 + '1"'),
    *('"' + "1," * 30 + '"', '"' + "." * 60 + '"', '"' + "9" * 65 + '"', '"' + "9" * 5000 + '"'),
    *("9" * 18, "9" * 19, "9" * 40, "9" * 41, "9" * 4300, "9" * 5000, "-" + "9" * 40, "0." + "1" * 38, "0." + "1" * 99),
    # Digits of other scripts, and one that is no digit, bare and in quotes.
    *("\u0661\u0662", "\uff11\uff12", '"\u0661\u0662"', '"\u0967\u0968"', '"\uff11\uff12"', '"\u00b2"'),
]
"""What may stand in the place of any value."""

NAMES = [
    *_words("status error errors Error message msg success data orders result value code order order_id orderId id ID"),
    *_words(
        "refill refill_id cancel canceled balance Balance amount charge remains start_count currency service product"
    ),
    *_words("name rate min type runs order_status refill_status services products refills statuses 1 2 3 01 +1 1.0"),
    *_words("1e0 -1 1,2 true null __proto__ constructor"),
    *(" 1", "1 ", "", "\u0661", "\ud800"),
]
SPOILED = _words("order id refill cancel balance status charge error success service 1")
"""Names under which each of the tokens is tried."""

NOTICES = [
    b"<br />\n<b>Notice</b>:  Undefined index: order in <b>/var/www/api.php</b> on line <b>12</b><br />\n",
    b"\nWarning: PDO: SQLSTATE[HY000] [2002] no route in /a.php on line 3\n",
    b'PHP Deprecated:  {"a": 1} is old in /a.php on line 3\n',
    b"[12-Nov-2026 10:00:00] PHP Notice: x in /a.php on line 3\n",
    b'Strict Standards: preg_match(): "[\'[" in /a.php\n',
    b"Fatal error: Uncaught Error: x in /a.php:3\nStack trace:\n#0 {main}\n",
    b"<!-- notice -->",
    b'<script>var a = {"order": 5};</script>',
    b"warning",
    b")]}',\n",
    b"for(;;);",
    b"callback(",
]
PAGES = [
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>",
    b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    b"<?xml version='1.0'?><response><order>5</order></response>",
    b"order=23501&status=success",
    b"order,status\n23501,success\n",
    b'a:1:{s:5:"order";i:23501;}',
    b"order: 23501\nstatus: success\n",
    b"OK",
    b"Bad gateway",
    b"error code: 1020",
    b"404",
    b"500",
    b"-1",
    b"[]",
    b"{}",
    b"<?php echo json_encode(['order' => 5]);",
    b"%PDF-1.4\n%\xe2\xe3\xcf\xd3",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\x93\x00{'descr': 1}",
    b"\xff\xfe{\x00}\x00",
    b"\x81\xa5order\x07",
]
TEXTS = [
    *("Not enough funds", "Incorrect service ID", "Too many requests", "try again later", "", " ", "0", "false", "1"),
    *("Maximum 0 orders", "Max of 9999 ids", "simulated-key", "Invalid key simulated-key", "\ud800\udc00\ud800", "\0"),
    *("x" * 300, "é" * 150 + "simulated-key", "simulated-keykeykey", "Quelque chose", "order 5 placed", "\u202e"),
]
"""What may be said in the place of an error."""

CODES = [
    *(
        201,
        204,
        206,
        207,
        226,
        300,
        301,
        302,
        304,
        307,
        308,
        400,
        401,
        402,
        403,
        404,
        405,
        408,
        409,
        418,
        422,
        425,
        429,
    ),
    *(451, 499, 500, 502, 503, 504, 520, 522, 524, 530, 599, 600, 999),
]
TYPES = [b"text/html; charset=UTF-8", b"text/plain; charset=utf-16", b"image/png", b"", b"\xff\xfe"]
CODINGS = [
    *(
        b"gzip",
        b"GZIP",
        b"x-gzip",
        b"identity",
        b"",
        b"br",
        b"zstd",
        b"deflate",
        b"compress",
        b"gzip, gzip",
        b"gzip,br",
    ),
    *(b"identity, gzip", b"\xff", b"gzip;q=1", b"aws-chunked", b"gzip\t", b"none", b"utf-8"),
]
HEADERS = [
    (b"Retry-After", b"1"),
    (b"Retry-After", b"-5"),
    (b"Retry-After", b"9" * 400),
    (b"Retry-After", b"Fri, 99 Nov 99999 25:61:61 GMT"),
    (b"Retry-After", b"Fri, 21 Nov 2036 10:00:00 GMT"),
    (b"Retry-After", "\u0663".encode()),
    (b"Retry-After", b"\xff"),
    (b"Date", b"Fri, 21 Nov 2026 10:00:00"),
    (b"Date", b"yesterday"),
    (b"Location", b"https://evil.example/?key=simulated-key"),
    (b"Location", b"\xff" * 3000),
    (b"Set-Cookie", b"PHPSESSID=1"),
    (b"Content-Length", b"3"),
    (b"Content-Length", b"-1"),
    (b"Transfer-Encoding", b"chunked, gzip"),
    (b"Content-Type", b"application/json; charset=ibm500"),
    (b"X-Empty", b""),
]

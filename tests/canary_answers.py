"""What servers do, with a key in it wherever they may put it."""

import gzip
import html
import json
import socket
import struct

import anyio
import anyio.abc
import attrs

import smm_async as smm
from tests.socket_panel import close, hang, head, raw, reply

ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
VALUE = {"balance": "1.50", "currency": "USD"}
STATUS = {"charge": "0.5", "start_count": "1", "status": "In progress", "remains": "7", "currency": "USD"}
CALLS = {
    "balance": lambda client: client.balance(),
    "status": lambda client: client.status(7),
    "statuses": lambda client: client.statuses([7, 8]),
    "services": lambda client: client.services(),
    "add": lambda client: client.add(ORDER, ref="first"),
    "refill": lambda client: client.refill(7),
    "call": lambda client: client.call("whoami", field="value"),
}
# Seconds for those who would wait for ever.
BRIEF = 0.1
READS = ("balance", "status", "services")
WRITES = ("add", "refill", "call")

# What reads and writes come to.
REFUSED = (smm.InvalidKeyError, smm.InvalidKeyError)
TOO_OFTEN = (smm.RateLimitedError, smm.RateLimitedError)
IN_NO_WORDS = (smm.PanelError, smm.OutcomeUnknownError)
UNUSABLE = (smm.BadReplyError, smm.OutcomeUnknownError)
# What has any shape is an answer to `call()`.
UNCLEAR = ((smm.BadReplyError, smm.UnresolvedError), (smm.OutcomeUnknownError, dict))
UNANSWERED = (smm.NoAnswerError, smm.OutcomeUnknownError)
UNSENT = (smm.NotSentError, smm.NotSentError)
CLOSED = (smm.ClosedError, smm.ClosedError)
# On a busy machine the time may be over before anything is sent.
LATE = ((smm.NoAnswerError, smm.NotSentError), (smm.OutcomeUnknownError, smm.NotSentError))


@attrs.frozen
class Answer:
    """What a server does with each request, and what reads and writes come to then."""

    act: object
    """Called with the canary; returns what answers one request."""
    outcomes: tuple[object, object]
    shown_by_others: frozenset[str] = frozenset()
    """The channels in which other libraries show what the server says, before this one gets it."""
    budget: float = 5.0

    @property
    def is_surely_sent(self):
        """Whether the time is long enough for a request to be sent, on a busy machine, too."""
        return self.budget > BRIEF


def _json(make, status=200):
    return lambda canary: reply(json.dumps(make(canary.echo)), status)


def _text(make, status=200, *headers):
    return lambda canary: reply(make(canary.echo), status, *headers)


def _page(status, *headers):
    return _text(lambda shown: f"<html><title>{shown}</title> {shown}", status, "Content-Type: text/html", *headers)


def _header(line, status=200):
    return lambda canary: reply("<html>", status, line.format(canary.echo))


async def _reset(stream):
    raw_socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await anyio.aclose_forcefully(stream)


def _half(end, *, is_chunked=False):
    """Return what answers with half of a body, and then comes to its ``end``."""

    def make(canary):
        body = f'{{"error": "{canary.echo}'.encode()
        length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {2 * len(body)}"
        start = raw(head(200, length) + (b"%x\r\n" % (2 * len(body)) if is_chunked else b"") + body)

        async def act(stream):
            await start(stream)
            await end(stream)

        return act

    return make


def _packed(pack):
    return lambda canary: reply(pack(canary.echo.encode()), 200, "Content-Encoding: gzip")


IN_LOG = frozenset({"log"})
# The exception of the library quotes the line.
IN_LOG_AND_SPAN = frozenset({"log", "span of httpx"})

ANSWERS = {
    "refusal": Answer(_json(lambda shown: {"error": f"Invalid API key: {shown}"}), REFUSED),
    "refusal_401": Answer(_json(lambda shown: {"error": f"Invalid API key: {shown}"}, 401), REFUSED),
    "refusal_in_no_words": Answer(_json(lambda shown: {"error": shown}), IN_NO_WORDS),
    "refusal_in_a_list": Answer(_json(lambda shown: {"error": [shown, shown], shown: shown}), IN_NO_WORDS),
    "refusal_with_the_request": Answer(
        lambda canary: reply(json.dumps({"error": {"key": canary.key, canary.key: 1}}), 400), IN_NO_WORDS
    ),
    "refusal_beside": Answer(_json(lambda shown: {"status": "fail", "message": shown, shown: shown}, 400), IN_NO_WORDS),
    "refusal_in_text": Answer(_json(lambda shown: f"Invalid API key: {shown}"), REFUSED),
    "too_often": Answer(_json(lambda shown: {"error": f"Too many requests: {shown}"}, 429), TOO_OFTEN),
    "wrong_shape": Answer(lambda canary: reply(json.dumps({"x": [[canary.key], {canary.key: [canary.key]}]})), UNCLEAR),
    "page_200": Answer(_page(200), UNUSABLE),
    "page_403": Answer(_page(403), UNUSABLE),
    "page_502": Answer(_page(502), UNUSABLE),
    "broken_json": Answer(_text(lambda shown: f'{{"key": "{shown}", '), UNUSABLE),
    "nested_deep": Answer(_text(lambda shown: '{"key":' * 40 + shown + "}" * 40), UNUSABLE),
    "no_utf8": Answer(_text(lambda shown: b'{"error": "\xff' + shown.encode() + b'"}'), UNUSABLE),
    "redirect": Answer(_header("Location: https://panel.example/?key={}", 302), UNUSABLE, IN_LOG),
    "redirect_page": Answer(_page(301, "Location: /login"), UNUSABLE),
    "cookie": Answer(_header("Set-Cookie: key={}; Secure", 500), UNUSABLE, IN_LOG),
    "any_header": Answer(_header("X-Key: {}", 404), UNUSABLE, IN_LOG),
    "retry_after": Answer(_header("Retry-After: {}", 503), UNUSABLE, IN_LOG),
    "encoding": Answer(_header("Content-Encoding: {}"), UNUSABLE, IN_LOG),
    "header_without_a_colon": Answer(_header("{}"), UNANSWERED, IN_LOG_AND_SPAN),
    "first_line": Answer(
        lambda canary: raw(f"HTTP/1.1 twohundred {canary.echo}\r\n\r\n".encode(), close=True),
        UNANSWERED,
        IN_LOG_AND_SPAN,
    ),
    "too_large": Answer(_text(lambda shown: shown * 200), UNUSABLE),
    "too_large_when_unpacked": Answer(_packed(lambda shown: gzip.compress(shown * 200)), UNUSABLE),
    "no_gzip": Answer(_packed(lambda shown: shown), UNUSABLE),
    "half_gzip": Answer(_packed(lambda shown: gzip.compress(shown)[:-9]), UNUSABLE),
    "close": Answer(lambda canary: close, UNANSWERED),
    "reset": Answer(lambda canary: _reset, UNANSWERED),
    "half_body": Answer(_half(close), UNANSWERED),
    "half_body_and_reset": Answer(_half(_reset), UNANSWERED),
    "half_chunk": Answer(_half(close, is_chunked=True), UNANSWERED),
    "hang": Answer(lambda canary: hang, LATE, budget=BRIEF),
    "half_body_and_hang": Answer(_half(hang), LATE, budget=BRIEF),
}

# What is escaped already is escaped once more.
NESTED = {
    "escaped_in_a_shape": Answer(_json(lambda shown: {"x": [[shown]]}), UNCLEAR),
    "escaped_in_an_error": Answer(_json(lambda shown: {"error": {"key": shown}}, 400), IN_NO_WORDS),
    "escaped_in_broken_json": Answer(_text(lambda shown: json.dumps({"error": shown})[:-1]), UNUSABLE),
    "escaped_in_a_page": Answer(_text(lambda shown: f"<html>{html.escape(shown)}"), UNUSABLE),
    "rarely_written": Answer(lambda canary: reply(f"<html>{canary.rare_echo}"), UNUSABLE),
}
"""What is redacted in one form may be in another that the library, or the server, makes of it."""

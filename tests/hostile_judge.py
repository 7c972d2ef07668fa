"""What an answer holds, read without the package's own readers, and whether an outcome claims more than that."""

import functools
import gzip
import json
import re
import zlib
from decimal import Decimal
from typing import Any

import smm_async as smm

KEY = "simulated-key"
READS = frozenset({"status", "statuses", "hundred", "refill_status", "balance", "services", "products"})
EACH = {"statuses": [1, "2", 3], "hundred": [*range(1, 101)], "cancels": ["1", 2]}
ORDER_NAMES = frozenset({"order", "order_id", "orderId", "orderID", "OrderID", "Order", "id", "orders"})
REFILL_NAMES = frozenset({"refill", "refill_id"})
NO_ORDER = re.compile(
    r"[-_.]?[0.]*|-[0-9.]*|[-.]?(?:nan|inf|infinity|null|none|true|false|array|yes|no)", re.IGNORECASE
)
NOT_CANCELED = re.compile(r"no|false|0|-[0-9.]+|error|fail|failed|failure|null|none|nan|undefined", re.IGNORECASE)
BLANKS = "\ufeff \t\r\n"
STARTS = re.compile(r"[\[{]")
MOST_STARTS = 40


class _UnclearError(ValueError):
    """JSON that two readers may understand in two ways."""


def _whole_number(text):
    if len(text) > 40:
        raise _UnclearError
    return int(text)


def _fraction(text):
    if len(text) > 40 or abs(int(text.lower().partition("e")[2] or 0)) > 20:
        raise _UnclearError
    return Decimal(text)


def _constant(text):
    raise _UnclearError


def _without_doubles(pairs):
    if len({key for key, _ in pairs}) < len(pairs):
        raise _UnclearError
    return dict(pairs)


DECODER = json.JSONDecoder(
    parse_int=_whole_number, parse_float=_fraction, parse_constant=_constant, object_pairs_hook=_without_doubles
)


class Truth:
    """One answer, and all that it holds."""

    def __init__(self, hostile):
        self.is_success = hostile.status_code < 300
        self.is_redirect = 300 <= hostile.status_code < 400
        self.proves_a_no = hostile.status_code < 300 or 400 <= hostile.status_code < 500
        self._hostile = hostile

    @functools.cached_property
    def content(self):
        """The body without its packing; ``None`` where that was not asked for, is broken, or has something behind it."""
        hostile = self._hostile
        codings = {text.strip().lower() for name, text in hostile.headers if name == b"Content-Encoding"}
        if len(codings) > 1 or not codings <= {b"gzip", b"x-gzip", b"identity", b""}:
            return None
        if not hostile.content or codings <= {b"identity", b""}:
            return hostile.content
        try:
            return gzip.decompress(hostile.content)
        except (OSError, EOFError, zlib.error):
            return None

    @functools.cached_property
    def text(self):
        """The content without blanks and byte order marks around it; ``None`` where it is none."""
        try:
            return None if self.content is None else self.content.decode().strip(BLANKS)
        except UnicodeDecodeError:
            return None

    @functools.cached_property
    def values(self):
        """The JSON value that the whole body is, or else the first one behind something that goes to its end."""
        text = self.text or ""
        starts = [0] if text else []
        if text[1:]:
            starts += [found.start() for found in STARTS.finditer(text, 1, 20_000)][:MOST_STARTS]
        for start in starts:
            try:
                return [DECODER.decode(text[start:])]
            except (ValueError, RecursionError):
                continue
        return []

    @functools.cached_property
    def scalars(self):
        """Names, each with the text of a scalar under it or in a list under it; the names themselves without a name."""
        found, rest = set(), [("", value) for value in self.values]
        while rest:
            name, one = rest.pop()
            if isinstance(one, dict):
                rest += one.items()
                found |= {("", key) for key in one} | {("", key.strip()) for key in one}
            elif isinstance(one, list):
                rest += [(name, inner) for inner in one]
                found.add((name, "\n".join(map(str, one))))
            else:
                text = "true" if one is True else str(one)
                found |= {(name, text), (name, text.strip())}
        return found

    @functools.cached_property
    def texts(self):
        """All scalars and names as texts."""
        return {text for _, text in self.scalars}

    def names(self, names, *ids):
        """Return whether one of ``ids`` stands under one of ``names``."""
        return any((name, id_) in self.scalars for name in names for id_ in ids)

    def has_order_number(self):
        """Return whether the number of an order stands at the top."""
        (value,) = self.values or [None]
        named = [value.get(name) for name in ORDER_NAMES] if isinstance(value, dict) else []
        return any(re.fullmatch("[1-9][0-9]{0,17}", str(id_)) for id_ in named if type(id_) in {str, int})

    def has_a_list_of_something(self):
        """Return whether there is a list that is not empty."""
        (value,) = self.values or [None]
        return any(
            isinstance(one, list) and one for one in [value, *(value.values() if isinstance(value, dict) else [])]
        )


def complaints(truth, call, outcome, requests):
    """Return what is wrong with an outcome, as sentences."""
    most = 3 * (1 + len(EACH.get(call, ""))) if call in READS else 1
    if not 1 <= requests <= most:
        yield f"{requests} requests were sent"
    results = [outcome]
    if call in EACH and isinstance(outcome, dict):
        results = outcome.values()
        if list(outcome) != EACH[call]:
            yield "it does not answer for exactly the ids that were asked for"
    elif call in EACH and not isinstance(outcome, (smm.InvalidKeyError, smm.AccountError)):
        yield "one error is raised for all ids"
    for result in results:
        if isinstance(result, BaseException):
            yield from _wrong_in_error(truth, call, result)
        else:
            yield from CHECKS[call](truth, result)


def _wrong_in_error(truth, call, error):
    if not isinstance(error, smm.SmmError):
        yield f"{type(error).__name__} is none of the library's errors"
        return
    others = (smm.BadReplyError, smm.UnresolvedError) if call in READS else (smm.OutcomeUnknownError,)
    if not isinstance(error, (smm.PanelError, *others)):
        yield f"{type(error).__name__} is no error that an answer can make"
    if error.__cause__ is not None or error.__context__ is not None:
        yield "it drags another exception along"
    if isinstance(error, smm.OutcomeUnknownError) and error.retryable:
        yield "it invites to repeat a write"
    yield from _wrong_in_words(error)
    if isinstance(error, smm.PanelError) and call not in READS:
        yield from _wrong_in_no(truth, call)


def _wrong_in_words(error):
    if "connection broke" in str(error) or "while its answer was read" in str(error):
        yield "it hides an exception that nobody expected"
    if KEY in f"{error!r}{vars(error)}" or len(error.text) > 200:
        yield "it shows too much"
    try:
        f"{error}{error.text}".encode()
    except UnicodeEncodeError:
        yield "it cannot be printed"


def _wrong_in_no(truth, call):
    if not truth.values or not truth.proves_a_no:
        yield "nothing proves this no"
    if call == "add" and truth.has_order_number():
        yield "the answer names an order, which this no denies"


def _wrong_in_status(truth, record):
    if not truth.values or truth.is_redirect:
        yield "there is no JSON to read it from"
    elif record.status and record.status not in truth.texts:
        yield f"the answer does not say {record.status!r}"
    yield from _wrong_in_record(record)


def _wrong_in_record(record):
    for name in ("charge", "rate"):
        amount = getattr(record, name, None)
        if amount is not None and not _is_amount(amount):
            yield f"{amount!r} is no amount"
    for name in ("start_count", "remains", "runs", "posts", "min", "max", "inventory"):
        count = getattr(record, name, None)
        if count is not None and (type(count) is not int or abs(count) >= 10**61):
            yield f"{count!r} is no count"
    for name in ("status", "service", "product", "name", "type", "category", "currency"):
        if type(getattr(record, name, "")) not in {str, type(None)}:
            yield f"{name} is no text"


def _is_amount(amount):
    return type(amount) is Decimal and amount.is_finite() and abs(amount.adjusted()) <= 100


def _wrong_in_balance(truth, balance):
    amount = balance.balance
    if not truth.is_success:
        yield "no balance comes with such an HTTP status"
    if not _is_amount(amount):
        yield f"{amount!r} is no amount"
        return
    digits = "".join(map(str, amount.as_tuple().digits)).lstrip("0")
    shown = {re.sub("[^0-9]", "", text).lstrip("0") for text in truth.texts}
    shown |= {re.sub("[^0-9]", "", text.lower().partition("e")[0]).lstrip("0") for text in truth.texts}
    if digits not in shown or not truth.values:
        yield f"the answer holds no {amount}"


def _wrong_in_list(truth, rows, name):
    if not truth.values or truth.is_redirect:
        yield "there is no JSON to read it from"
    for row in rows:
        if getattr(row, name) not in truth.texts:
            yield f"the answer holds no {getattr(row, name)!r}"
        yield from _wrong_in_record(row)
    if not rows and (not truth.is_success or truth.has_a_list_of_something()):
        yield "what is no catalogue passes for an empty one"


def _wrong_in_order(truth, id_):
    if type(id_) is not str or not re.fullmatch("[A-Za-z0-9_.-]{1,64}", id_):
        yield f"{id_!r} is no id"
    elif not truth.is_success or not truth.names(ORDER_NAMES, id_):
        yield f"the answer names no order {id_!r}"
    elif NO_ORDER.fullmatch(id_):
        yield f"{id_!r} in the place of an order says that there is none"


def _wrong_in_refill(truth, id_):
    if type(id_) is not str or not truth.is_success or not truth.names(REFILL_NAMES, id_):
        yield f"the answer names no refill {id_!r}"


def _wrong_in_cancel(truth, word):
    if (
        type(word) is not str
        or not truth.is_success
        or not (word in truth.texts or truth.names({"canceled"}, "1", "2"))
    ):
        yield f"the answer does not say {word!r}"
    elif NOT_CANCELED.fullmatch(word):
        yield f"{word!r} says that it was not cancelled"


def _wrong_in_call(truth, value):
    if not truth.is_success and value is not None:
        yield "such an HTTP status is no success"
    if value is None and truth.text not in {"", "null"}:
        yield "the answer is not empty"
    if value is not None and value not in truth.values:
        yield "the answer holds another value"


CHECKS: dict[str, Any] = {
    "status": _wrong_in_status,
    "statuses": _wrong_in_status,
    "hundred": _wrong_in_status,
    "refill_status": _wrong_in_status,
    "balance": _wrong_in_balance,
    "services": functools.partial(_wrong_in_list, name="service"),
    "products": functools.partial(_wrong_in_list, name="product"),
    "add": _wrong_in_order,
    "refill": _wrong_in_refill,
    "cancel": _wrong_in_cancel,
    "cancels": _wrong_in_cancel,
    "call": _wrong_in_call,
}

"""What became of a write, by its answer: done, refused for certain, or unknown."""

# JSON is what it is: after `isinstance(value, dict)` nothing is known about the keys and values.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from smm_async._ids import read_id
from smm_async._refusals import CONCERNS_ALL, is_call_result
from smm_async._wire import Reader, Reply, find_rows, unwrap
from smm_async._words import fold
from smm_async.errors import (
    OutcomeUnknownError,
    PanelError,
    SmmError,
    UnsupportedActionError,
)
from smm_async.models import OrderState

__all__ = ["read_any", "read_each", "read_placed", "unknown"]

_ORDER_NAMES: Final = (
    "order",
    "order_id",
    "orderId",
    "orderID",
    "OrderID",
    "Order",
    "id",
)
_OWN_ORDER: Final = ("order", "order_id", "orderId", "orderID")
_INSIDE: Final = ("data", "order", "result")
# What stands in the place of a success where there is none,
_NOTHING: Final = frozenset(
    {
        *("", "0", "false", "no", "yes", "null", "none", "nan", "inf", "infinity"),
        *("array", "undefined", "unknown", "failure", "error", "fail", "failed"),
    }
)
_NO_NUMBER: Final = re.compile(r"0[0.]*|-[0-9.]+")
# and what a text about a success may not say.
_DENIAL: Final = re.compile(
    r"\b(?:not|no|none|nothing|never|cannot|can.t|unable|already|denied|invalid|refused|rejected|failed|0)\b",
    re.IGNORECASE,
)


def read_placed(reader: Reader, action: str, reply: Reply) -> str | SmmError:
    """Return the id of the order that ``add`` or ``add_product_order`` placed, or the error that says what is known."""
    value = reader.read_value(action, reply)
    if isinstance(value, SmmError):
        return unknown(action, value)
    placed = _placed_id(value)
    return _verdict(reader, action, reply, value, placed)


def read_each(reader: Reader, action: str, ids: Sequence[str], reply: Reply) -> dict[str, str | SmmError]:
    """Return for each of ``ids`` what ``refill`` or ``cancel`` answered about it, or the error that says what is known.

    An answer that cannot be told apart by ids is nobody's, if several were asked for.
    """
    value = reader.read_value(action, reply)
    if isinstance(value, SmmError):
        return {id_: unknown(action, value) for id_ in ids}
    rows = find_rows(action, ids, value) | _listed(action, ids, value)
    if len(ids) == 1:
        rows = {ids[0]: rows.get(ids[0], value)}
    return {
        id_: _read_row(reader, action, id_, reply, rows[id_])
        if rows.get(id_) is not None
        else _without_row(reader, action, reply, None if rows else value)
        for id_ in ids
    }


def read_any(reader: Reader, action: str, reply: Reply) -> Any:
    """Return the JSON that an action of whatever kind answered, or the error that says what is known."""
    value = reader.read_value(action, reply)
    if isinstance(value, SmmError):
        return unknown(action, value)
    refusal = reader.refusal(action, value, reply)
    is_text = isinstance(value, str) and type(refusal) is PanelError
    if refusal is None or (is_text and reply.status_code < 400):  # noqa: PLR2004
        return value
    return refusal if _is_clear(reader, refusal, value, reply) else unknown(action, refusal)


def unknown(action: str, problem: SmmError) -> OutcomeUnknownError:
    """Return the error for a write after which ``problem`` came instead of an answer."""
    return OutcomeUnknownError(
        f"Whether {action!r} was carried out is not known: {problem}",
        action=action,
        status_code=problem.status_code,
        text=problem.text,
    )


def _read_row(reader: Reader, action: str, id_: str, reply: Reply, row: Any) -> str | SmmError:
    if isinstance(row, dict) and any(str(row.get(name, id_)).strip() != id_ for name in _OWN_ORDER):
        return unknown(action, reader.bad_shape(action, reply))
    return _verdict(reader, action, reply, row, _done_word(reader, action, row))


def _without_row(reader: Reader, action: str, reply: Reply, value: Any) -> SmmError:
    """Return what is known of one of several ids that the answer does not name: only what concerns them all."""
    refusal = reader.refusals.find(action, value, status_code=reply.status_code, retry_after=reply.retry_after)
    if isinstance(refusal, (*CONCERNS_ALL, UnsupportedActionError)) and _is_clear(reader, refusal, value, reply):
        return refusal
    return unknown(action, refusal or reader.bad_shape(action, reply))


def _verdict(reader: Reader, action: str, reply: Reply, value: Any, done: str | None) -> str | SmmError:
    """Weigh what was found: only a plain yes is a yes, and only a clear no is a no."""
    for part in _parts(action, value, done):
        refusal = reader.refusals.find(action, part, status_code=reply.status_code, retry_after=reply.retry_after)
        if refusal is not None:
            is_no = done is None and _is_clear(reader, refusal, part, reply)
            return refusal if is_no else unknown(action, refusal)
    is_yes = done is not None and reply.status_code < 300  # noqa: PLR2004
    return done if done is not None and is_yes else unknown(action, reader.bad_shape(action, reply))


def _parts(action: str, value: Any, done: str | None) -> list[Any]:
    """Return where the answer may say no: some panels say it under the action's own name."""
    inner = value.get(action) if isinstance(value, dict) else None
    if isinstance(inner, dict):
        return [inner, value]
    return [value, inner] if isinstance(inner, str) and done is None else [value]


def _is_clear(reader: Reader, refusal: SmmError, said: Any, reply: Reply) -> bool:
    """Return whether a refusal proves that nothing happened. A text nobody knows may as well be a yes in words."""
    if not isinstance(refusal, PanelError) or reply.status_code >= 500:  # noqa: PLR2004
        return False
    is_any_text = isinstance(said, str) and type(refusal) is PanelError
    return not is_any_text and not reader.refusals.is_unclear(refusal)


def _placed_id(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    for name in _ORDER_NAMES:
        id_ = _id(value.get(name))
        if id_ is not None:
            return id_
    orders = value.get("orders")
    if isinstance(orders, list) and len(orders) == 1:
        return _id(orders[0])
    inner = [value[name] for name in _INSIDE if isinstance(value.get(name), dict)]
    return _placed_id(inner[0]) if inner else None


def _id(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    try:
        id_ = read_id(value.strip() if isinstance(value, str) else value)
    except ValueError:
        return None
    # Words are no ids, whatever they say: "denied" in the place of one is no order.
    is_word = not any(map(str.isdigit, id_)) or _NO_NUMBER.fullmatch(id_) is not None
    return None if is_word else id_


def _stands_for_nothing(word: str) -> bool:
    is_none = _NO_NUMBER.fullmatch(word) is not None or fold(word) in _NOTHING
    return is_none or _DENIAL.search(word) is not None


def _done_word(reader: Reader, action: str, row: Any) -> str | None:
    """Return what the panel put under the action's name: a refill id, or its word for a cancellation."""
    if not isinstance(row, dict):
        return None
    for name in (action, f"{action}_id"):
        if name in row:
            return _id(row[name]) if action == "refill" else _taken(reader, row[name])
    return _success(row) if action == "cancel" else None


def _taken(reader: Reader, word: Any) -> str | None:
    """Return a word that says that a cancellation was asked for: yes, an id, or the state the order is in now."""
    if word is True:
        return "true"
    id_ = _id(word)
    if id_ is not None:
        return id_
    state = reader.refusals.panel.order_states.get(fold(word)) if isinstance(word, str) else None
    return str(word).strip() if is_call_result(word) or state not in {None, OrderState.FAILED} else None


def _success(row: Mapping[str, Any]) -> str | None:
    """Return the word that says that the call succeeded, which is all that a cancellation needs."""
    text = row.get("success")
    if isinstance(text, str) and not _stands_for_nothing(text.strip()):
        return text.strip()
    for word in (text, row.get("status")):
        if is_call_result(word):
            return "true" if word is True else str(word).strip()
    return None


def _listed(action: str, ids: Sequence[str], value: Any) -> dict[str, object]:
    """Read ``{"canceled": [1, 2]}``, as one panel answers."""
    value = unwrap(value)
    listed = value.get("canceled") if action == "cancel" and isinstance(value, dict) else None
    done = {str(id_).strip() for id_ in listed} if isinstance(listed, list) else set[str]()
    return {id_: {"cancel": 1} for id_ in ids if id_ in done}

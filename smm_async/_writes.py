"""What became of a write, by its answer: done, refused for certain, or unknown."""

# JSON is what it is: after `isinstance(value, dict)` nothing is known about the keys and values.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from smm_async._ids import read_id
from smm_async._refusals import CONCERNS_ALL
from smm_async._wire import Reader, Reply, find_rows, unwrap
from smm_async.errors import (
    OutcomeUnknownError,
    PanelError,
    SmmError,
    UnsupportedActionError,
)

__all__ = ["read_each", "read_placed", "unknown"]

_ORDER_NAMES: Final = (
    "order",
    "order_id",
    "orderId",
    "orderID",
    "OrderID",
    "Order",
    "id",
)
_INSIDE: Final = ("data", "order", "result")
# What stands for "done" under the action's own name, beside an id.
_NO_IDS: Final = frozenset({"", "0", "false", "null", "none"})


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
    if len(ids) == 1:
        return {ids[0]: _read_single(reader, action, ids[0], reply, value)}
    rows = find_rows(action, ids, value) | _listed(action, ids, value)
    refusal = reader.refusals.find(action, value, status_code=reply.status_code, retry_after=reply.retry_after)
    if rows or not isinstance(refusal, (*CONCERNS_ALL, UnsupportedActionError)):
        refusal = None
    return {id_: _read_row(reader, action, reply, rows.get(id_), refusal, value) for id_ in ids}


def unknown(action: str, problem: SmmError) -> OutcomeUnknownError:
    """Return the error for a write after which ``problem`` came instead of an answer."""
    return OutcomeUnknownError(
        f"Whether {action!r} was carried out is not known: {problem}",
        action=action,
        status_code=problem.status_code,
        text=problem.text,
    )


def _read_single(reader: Reader, action: str, id_: str, reply: Reply, value: Any) -> str | SmmError:
    rows = find_rows(action, [id_], value) | _listed(action, [id_], value)
    row = rows.get(id_, value)
    return _verdict(reader, action, reply, row, _done_word(action, row))


def _read_row(
    reader: Reader,
    action: str,
    reply: Reply,
    row: Any,
    refusal: PanelError | None,
    value: Any,
) -> str | SmmError:
    if row is None and refusal is not None:
        return refusal
    return _verdict(
        reader,
        action,
        reply,
        value if row is None else row,
        None if row is None else _done_word(action, row),
    )


def _verdict(reader: Reader, action: str, reply: Reply, value: Any, done: str | None) -> str | SmmError:
    """Weigh what was found: only a plain yes is a yes, and only a clear no is a no."""
    inner = value.get(action) if isinstance(value, dict) and isinstance(value.get(action), dict) else value
    refusal = reader.refusals.find(action, inner, status_code=reply.status_code, retry_after=reply.retry_after)
    is_fine = reply.status_code < 300  # noqa: PLR2004
    if done is not None and refusal is None and is_fine:
        return done
    is_no = done is None and refusal is not None and reply.status_code < 500  # noqa: PLR2004
    if is_no and refusal is not None and not reader.refusals.is_unclear(refusal):
        return refusal
    return unknown(action, refusal or reader.bad_shape(action, reply))


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
    if isinstance(value, bool) or not isinstance(value, (str, int)) or str(value).strip().lower() in _NO_IDS:
        return None
    try:
        return read_id(value.strip() if isinstance(value, str) else value)
    except ValueError:
        return None


def _done_word(action: str, row: Any) -> str | None:
    """Return what the panel put under the action's name: a refill id, or its word for a cancellation."""
    if not isinstance(row, dict):
        return None
    word = row.get(action, row.get(f"{action}_id"))
    if action == "cancel" and word is True:
        return "true"
    return _id(word) if action == "refill" else _word(word)


def _word(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value).strip()
    return None if text.lower() in _NO_IDS else text


def _listed(action: str, ids: Sequence[str], value: Any) -> dict[str, object]:
    """Read ``{"canceled": [1, 2]}``, as one panel answers."""
    value = unwrap(value)
    listed = value.get("canceled", ()) if action == "cancel" and isinstance(value, dict) else ()
    done = {str(id_) for id_ in listed} if isinstance(listed, (list, tuple)) else set()
    return {id_: {"cancel": 1} for id_ in ids if id_ in done}

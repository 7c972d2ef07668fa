"""The file behind a journal: its one table, and each change to it as one transaction."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from smm_async.models import OrderId

if TYPE_CHECKING:
    import sqlite3

__all__ = [
    "Entry",
    "EntryState",
    "age",
    "begin",
    "find",
    "finish",
    "forbidding",
    "is_busy",
    "last_change",
    "select",
    "settle",
    "transact",
]

T = TypeVar("T")

_VERSION: Final = 1
# What came before what is told by `changed`, which numbers all changes, for clocks are turned back. `since` is its value
# before the balance was asked for; `attempt` says whose answer an open order waits for, and `ends_at` for how long.
_SCHEMA: Final = (
    """
    create table smm_order (
        number integer primary key,
        ref text not null unique,
        action text not null,
        fields text not null,
        state text not null check (state in ('open', 'placed', 'refused', 'not sent')),
        order_id text,
        note text not null default '',
        balance text,
        attempt text not null,
        since integer not null,
        changed integer not null,
        opened_at text not null,
        ends_at text not null,
        check (state != 'placed' or order_id is not null)
    )
    """,
    "create index smm_order_changed on smm_order (changed)",
    f"pragma user_version = {_VERSION}",
)
_COLUMNS: Final = "ref, action, fields, state, order_id, note, balance, opened_at"
_NOW: Final = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
_SOON: Final = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', :within)"
_LAST_CHANGE: Final = "(select coalesce(max(changed), 0) from smm_order)"
_NEW: Final = f"""
    insert into smm_order (ref, action, fields, state, balance, attempt, since, changed, opened_at, ends_at)
    values (:ref, :action, :fields, 'open', :balance, :attempt, coalesce(:since, {_LAST_CHANGE}), {_LAST_CHANGE} + 1,
        {_NOW}, {_SOON})
    on conflict (ref) do update set state = excluded.state, note = '', balance = excluded.balance,
        attempt = excluded.attempt, since = excluded.since, changed = excluded.changed,
        opened_at = excluded.opened_at, ends_at = excluded.ends_at
"""  # noqa: S608  our own text
# A clock that was turned back must not make anybody wait until it has come round again.
_AGE: Final = f"(julianday(max({_NOW}, opened_at)) - julianday(ends_at)) * 86400"
_IS_ON_ITS_WAY: Final = f"select 1 from smm_order where ref = ? and opened_at <= {_NOW} and {_NOW} < ends_at"  # noqa: S608
_LONGEST_WAIT: Final = 1e9
_MOMENT: Final = 0.1
# SQLITE_BUSY and SQLITE_PROTOCOL, whatever their upper bits say of the reason.
_BUSY: Final = frozenset({5, 15})


class EntryState(enum.Enum):
    """What is known of an order."""

    OPEN = "open"
    """It may have been sent, and no answer was written down: on its way, or unknown for good."""
    PLACED = "placed"
    REFUSED = "refused"
    """The panel said no."""
    NOT_SENT = "not sent"
    """It never left."""


@attrs.frozen
class Entry:
    """One order in the journal."""

    ref: str
    """The caller's own name for it, or one made up for an order without."""
    action: str
    fields: Mapping[str, str] = attrs.field(hash=False)
    """What is sent with it, without the key."""
    state: EntryState
    order: OrderId | None
    """The panel's id, once it is known."""
    note: str
    """What the panel or the network said, in one sentence."""
    balance: Decimal | None
    """The account's balance right before it was sent, where that was asked for."""
    opened_at: str
    """When it was last about to be sent, in UTC by this machine's clock, for people to read."""


def transact(path: str, call: Callable[[sqlite3.Connection], T]) -> T:
    """Return what ``call`` makes of the open file; what it changed is on the disk then.

    If anything fails, the disk among it, nothing is changed. Waits for others for a moment only, see `is_busy()`.

    Raises:
        ValueError: the file was made by another version.
    """
    import sqlite3  # noqa: PLC0415  who keeps no journal need not load it

    # Closing without a commit takes everything back.
    with closing(sqlite3.connect(path, timeout=_MOMENT, isolation_level=None)) as db:
        db.execute("pragma synchronous = full")
        db.execute("pragma fullfsync = on")
        db.execute("pragma journal_mode = wal")
        db.execute("begin immediate")
        _check_version(db, path)
        result = call(db)
        db.execute("commit")
    return result


def is_busy(error: Exception) -> bool:
    """Return whether a transaction failed for others that had the file at that moment."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _check_version(db: sqlite3.Connection, path: str) -> None:
    (version,) = db.execute("pragma user_version").fetchone()
    if version == 0:
        for statement in _SCHEMA:
            db.execute(statement)
    elif version != _VERSION:
        message = f"{path!r} is a journal of version {version}; this smm_async reads version {_VERSION}."
        raise ValueError(message)


def select(db: sqlite3.Connection, where: str, ref: str | None = None) -> list[Entry]:
    """Return the orders that an SQL condition picks, in which ``:ref`` stands for ``ref``."""
    rows = db.execute(f"select {_COLUMNS} from smm_order {where} order by number", {"ref": ref})  # noqa: S608  our own text
    return [_entry(row) for row in rows]


def find(db: sqlite3.Connection, ref: str) -> Entry | None:
    """Return the order under ``ref``, if there is one."""
    found = select(db, "where ref = :ref", ref)
    return found[0] if found else None


def _known(db: sqlite3.Connection, ref: str) -> Entry:
    entry = find(db, ref)
    if entry is None:
        message = f"There is no order under ref {ref!r}."
        raise LookupError(message)
    return entry


def last_change(db: sqlite3.Connection) -> int:
    """Return the number of the last change."""
    (number,) = db.execute(f"select {_LAST_CHANGE}").fetchone()
    return int(number)


def forbidding(db: sqlite3.Connection, ref: str, action: str, fields: Mapping[str, str]) -> Entry | None:
    """Return the entry for which an order may not be sent, if there is one.

    Raises:
        ValueError: another order is under this ref.
    """
    entry = find(db, ref)
    if entry is None:
        return None
    if (entry.action, dict(entry.fields)) != (action, dict(fields)):
        message = f"Another order is in the journal under ref {ref!r}: a ref stands for one order for ever."
        raise ValueError(message)
    return entry if entry.state in {EntryState.PLACED, EntryState.OPEN} else None


def begin(
    db: sqlite3.Connection,
    ref: str,
    action: str,
    fields: Mapping[str, str],
    *,
    attempt: str,
    within: float,
    balance: Decimal | None,
    since: int | None,
) -> Entry | None:
    """Open an order, unless an entry forbids it, which is returned."""
    entry = forbidding(db, ref, action, fields)
    if entry is None:
        order = {"ref": ref, "action": action, "fields": json.dumps(dict(fields))}
        money = None if balance is None else str(balance)
        soon = f"{min(within, _LONGEST_WAIT):.3f} seconds"
        db.execute(_NEW, {**order, "attempt": attempt, "balance": money, "since": since, "within": soon})
    return entry


def finish(db: sqlite3.Connection, ref: str, state: EntryState, *, attempt: str, order: str | None, note: str) -> Entry:
    """Write down what became of an attempt, and return the order as it stands now."""
    entry = _known(db, ref)
    is_placed, was_placed = state is EntryState.PLACED, entry.state is EntryState.PLACED
    is_last = bool(db.execute("select 1 from smm_order where ref = ? and attempt = ?", (ref, attempt)).fetchall())
    if is_placed and was_placed and entry.order != order:
        _write(db, ref, state, entry.order, f"{entry.note} Placed a second time, as {order}.".strip())
    elif not was_placed and (is_placed or (is_last and entry.state is EntryState.OPEN)):
        _write(db, ref, state, order, note)
    if is_last:
        db.execute(f"update smm_order set ends_at = {_NOW} where ref = ?", (ref,))  # noqa: S608  our own text
    return _known(db, ref)


def settle(db: sqlite3.Connection, ref: str, order: str | None) -> Entry:
    """Close an open order by hand: placed as ``order``, or not placed."""
    entry = _known(db, ref)
    if entry.state is not EntryState.OPEN:
        message = f"The order under ref {ref!r} is not open, but {entry.state.value}."
        raise ValueError(message)
    if order is None and db.execute(_IS_ON_ITS_WAY, (ref,)).fetchall():
        left = -age(db, ref)
        message = f"The order under ref {ref!r} may still be on its way, for {left:.0f} seconds at most: wait for it."
        raise ValueError(message)
    _write(db, ref, EntryState.NOT_SENT if order is None else EntryState.PLACED, order, "Settled by hand.")
    return _known(db, ref)


def _write(db: sqlite3.Connection, ref: str, state: EntryState, order: str | None, note: str) -> None:
    changes = f"state = ?, order_id = ?, note = ?, changed = {_LAST_CHANGE} + 1"
    db.execute(f"update smm_order set {changes} where ref = ?", (state.value, order, note, ref))  # noqa: S608


def age(db: sqlite3.Connection, ref: str) -> float:
    """Return how many seconds ago the sending of an order ended; less than 0 while it may go on."""
    _known(db, ref)
    (seconds,) = db.execute(f"select {_AGE} from smm_order where ref = ?", (ref,)).fetchone()  # noqa: S608
    return float(seconds)


def _entry(row: tuple[Any, ...]) -> Entry:
    ref, action, fields, state, order, note, balance, opened_at = row
    return Entry(
        ref=ref,
        action=action,
        fields=json.loads(fields),
        state=EntryState(state),
        order=None if order is None else OrderId(order),
        note=note,
        balance=None if balance is None else Decimal(balance),
        opened_at=opened_at,
    )

"""What was going to be bought, written down before it is sent: so that an order is placed once, whatever crashes."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread

from smm_async import _journal_file as file
from smm_async._ids import read_id
from smm_async._journal_file import Entry, EntryState

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Entry", "EntryState", "Journal"]

T = TypeVar("T")

_BUSY_SECONDS: Final = 30.0
_BUSY_PAUSE: Final = 0.01
_LONGEST_REF: Final = 200


class Journal:
    """Orders in an SQLite file, each committed to the disk before its request leaves.

    With a ``ref``, an order is placed at most once for ever, across crashes and processes. Keep one journal for each
    account, on a local disk: SQLite's locks are not reliable on network drives. The key is not in it, the order's
    fields are.

    All methods run in a worker thread. Cancelling one does not interrupt it half-way: it is done or not begun.
    """

    def __init__(self, path: str | os.PathLike[str], *, evidence: bool = False) -> None:
        """Remember the path; the file is made with the first order.

        Args:
            path: of a file on a local disk. A relative one starts where the program is now.
            evidence: ask for the balance before each order, one more request, for `Client.reconcile()` to compare.

        Raises:
            ValueError: the path is one of SQLite's names for a database in memory, which no crash survives.
        """
        given = os.fspath(path)
        if not given or given.startswith((":memory:", "file:")):
            message = f"A journal is a file, not {given!r}: what is in memory does not survive a crash."
            raise ValueError(message)
        # Whoever changes the folder later must not get another journal, and buy everything again.
        self._path = os.path.abspath(given)  # noqa: PTH100  links stay links
        self.evidence = evidence
        """Whether the balance is asked for before each order."""

    def __repr__(self) -> str:
        return f"Journal({self._path!r})"

    async def unknown(self) -> list[Entry]:
        """Return the orders that may have been placed, the oldest first; among them those on their way right now."""
        return await self._run(lambda db: file.select(db, "where state = 'open'"))

    async def entries(self) -> list[Entry]:
        """Return all orders, the oldest first."""
        return await self._run(lambda db: file.select(db, ""))

    async def get(self, ref: str) -> Entry | None:
        """Return the order under ``ref``, if there is one."""
        return await self._run(lambda db: file.find(db, ref))

    async def settle(self, ref: str, *, order: int | str | None = None, placed: bool | None = None) -> Entry:
        """Close an open order with what you found out, and return it.

        Args:
            ref: which one.
            order: the panel's id: it was placed.
            placed: ``False``: it was not, and may be placed again under the same ref.

        Raises:
            LookupError: there is no order under ``ref``.
            ValueError: not exactly one verdict; or the order is not open, or may be on its way right now.
        """
        if (order is None) == (placed is None) or placed:
            message = "Say either order=..., the panel's id, or placed=False."
            raise ValueError(message)
        order_id = None if order is None else read_id(order)
        return await self._run(lambda db: file.settle(db, ref, order_id))

    async def check(self, ref: str, action: str, fields: Mapping[str, str]) -> Entry | None:
        """Return what `begin()` would return now, and write nothing.

        Raises:
            ValueError: another order is under this ref.
        """
        return await self._run(lambda db: file.forbidding(db, ref, action, fields))

    async def last_change(self) -> int:
        """Return the number of the last change, for `begin()`; ask for it before you ask for the balance."""
        return await self._run(file.last_change)

    async def begin(
        self,
        ref: str,
        action: str,
        fields: Mapping[str, str],
        *,
        attempt: str,
        within: float,
        balance: Decimal | None = None,
        since: int | None = None,
    ) -> Entry | None:
        """Write down that an order is about to be sent; return ``None`` if it may be, else the entry that forbids it.

        It may be sent if the ref is new, or its first attempt was refused or never left.

        Args:
            ref: what the order is called.
            action: ``"add"`` or ``"add_product_order"``.
            fields: what is sent with it, without the key.
            attempt: a text that nobody else uses, for `finish()`.
            within: seconds until its sending has ended at the latest.
            balance: the account's balance, where it is known.
            since: what `last_change()` was before the balance was asked for.

        Raises:
            ValueError: another order is under this ref.
        """
        order = functools.partial(file.begin, ref=ref, action=action, fields=fields, attempt=attempt)
        return await self._run(lambda db: order(db, within=within, balance=balance, since=since))

    async def finish(
        self, ref: str, state: EntryState, *, attempt: str, order: str | None = None, note: str = ""
    ) -> Entry:
        """Write down what became of an attempt, and return the order as it stands now.

        That the panel has placed it counts whatever was written meanwhile. Anything else counts only if nobody has
        settled the order since, or begun it again.

        Raises:
            LookupError: there is no order under ``ref``.
        """
        return await self._run(lambda db: file.finish(db, ref, state, attempt=attempt, order=order, note=note))

    async def age(self, ref: str) -> float:
        """Return how many seconds ago its sending ended, by the machine's clock; less than 0 while it may go on.

        Raises:
            LookupError: there is no order under ``ref``.
        """
        return await self._run(lambda db: file.age(db, ref))

    async def moved_since(self, ref: str) -> list[Entry]:
        """Return the other orders that may have moved the balance after it was asked for, for the one under ``ref``."""
        placed = "state = 'placed' and changed > (select since from smm_order where ref = :ref)"
        return await self._run(lambda db: file.select(db, f"where ref != :ref and (state = 'open' or {placed})", ref))

    async def placed_before(self, ref: str) -> list[Entry]:
        """Return the orders by the same action whose ids were known when the one under ``ref`` was begun."""
        before = "changed <= (select since from smm_order where ref = :ref)"
        same = "action = (select action from smm_order where ref = :ref)"
        return await self._run(lambda db: file.select(db, f"where state = 'placed' and {same} and {before}", ref))

    async def _run(self, call: Callable[[sqlite3.Connection], T]) -> T:
        # A limiter of its own: the program's own threads may all be busy for longer than an order can wait.
        limiter = anyio.CapacityLimiter(1)
        give_up_at = min(anyio.current_time() + _BUSY_SECONDS, anyio.current_effective_deadline())
        while True:
            try:
                return await anyio.to_thread.run_sync(file.transact, self._path, call, limiter=limiter)
            except Exception as error:
                if not file.is_busy(error) or anyio.current_time() >= give_up_at:
                    raise
            # SQLite itself would wait where nobody can be cancelled, and not always: not while another process makes
            # the file, or has just closed it.
            await anyio.sleep(_BUSY_PAUSE)


def check_ref(ref: object) -> str:
    """Return ``ref``.

    Raises:
        ValueError: it is not a text of 1 to 200 printable characters.
    """
    if not isinstance(ref, str) or not 1 <= len(ref) <= _LONGEST_REF or not ref.isprintable():
        message = f"A ref is a text of 1 to {_LONGEST_REF} printable characters, not {ref!r:.300}."
        raise ValueError(message)
    return ref

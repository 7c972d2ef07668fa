"""What a store of tracked orders must do, and the records that go in and out of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol, TypeAlias

import attrs

from smm_async.models import OrderId, OrderState

__all__ = [
    "Claim",
    "Due",
    "EndKind",
    "Ended",
    "News",
    "OnRecord",
    "OnRecordError",
    "PanelStats",
    "Store",
    "StoreAwayError",
    "StoreError",
    "Tracked",
    "chunks",
]

_CHUNK: Final = 10_000


class StoreError(Exception):
    """The store cannot be used: another version made it, or it is something else."""


class StoreAwayError(StoreError):
    """The store cannot be reached, or is busy, for now: nothing was changed, or all of it and it does no harm again."""


class OnRecordError(StoreError):
    """What handles ends has failed, or has ended the transaction; ``__cause__`` is what it raised. Nothing was recorded."""


class EndKind(enum.Enum):
    """Why an order is looked up no more."""

    ENDED = "ended"
    """The panel says that it has ended."""
    UNKNOWN = "unknown"
    """The panel has not known it, or has left it out, too many times in a row."""


@attrs.frozen(kw_only=True)
class Tracked:
    """One order as the store knows it."""

    panel: str
    """The name of its panel."""
    order: OrderId
    version: int = 1
    """1, and one more each time that it was opened again."""
    status: str | None = None
    """The panel's own word; ``None`` until it was heard."""
    state: OrderState | None = None
    charge: Decimal | None = None
    start_count: int | None = None
    remains: int | None = None
    currency: str | None = None
    misses: int = 0
    """How many times in a row the panel did not know it, or left it out."""
    added_at: datetime
    changed_at: datetime
    """When the panel's word was last heard to change."""
    due_at: datetime
    """When it is to be looked up next; meaningless once it has ended."""
    ended_at: datetime | None = None

    @property
    def key(self) -> str:
        """A text that stands for this order's end, for ever: an idempotency key."""
        # No id of an order holds a colon or a slash, as a panel's name may: no two ends have the same key.
        return f"{self.panel}/{self.order}" + (f":{self.version}" if self.version > 1 else "")


@attrs.frozen(kw_only=True)
class Ended(Tracked):
    """The event of an order's end. There is one per `Tracked.key`, delivered at least once."""

    id: int
    """The store's own number, for `Store.ack()`."""
    kind: EndKind


@attrs.frozen
class Due:
    """An order that was claimed, to be looked up now."""

    id: int
    """The store's own number."""
    order: str
    claim: int
    """The number of this claim on it; a later claim has a higher one."""
    version: int
    status: str | None
    silence: float
    """Seconds since the panel's word was last heard to change, or since the order was added."""
    misses: int


@attrs.frozen
class Claim:
    """What `Store.claim()` found."""

    rows: Sequence[Due] = ()
    wait: float | None = None
    """Seconds until something is due, at least 0; ``None`` where nothing is open. Of use if there are no rows."""
    lag: float = 0.0
    """How many seconds ago the oldest of the rows was due."""


@attrs.frozen
class News:
    """What came of looking up one order."""

    id: int
    claim: int
    version: int
    due_in: float
    """Seconds until it is to be looked up again."""
    misses: int = 0
    status: str | None = None
    """The panel's word; ``None``: it was not heard, and what is known stays."""
    state: str | None = None
    """The value of an `OrderState`."""
    charge: Decimal | None = None
    start_count: int | None = None
    remains: int | None = None
    currency: str | None = None
    end: EndKind | None = None


@attrs.frozen
class PanelStats:
    """Figures of one panel."""

    panel: str
    open: int
    due: int
    lag: float
    """Seconds since the oldest due order was due; 0 where none is."""
    ended: int
    events: int
    """How many ends wait to be acknowledged."""
    paused: float
    """Seconds for which nobody asks the panel; 0 where it is not paused."""


OnRecord: TypeAlias = Callable[[Any, list[Ended]], object]
"""Called in the very transaction that records ends, with its connection.

What it raises takes everything back, and comes as `OnRecordError`; so does an error of the database that it swallows. A
tracker then calls it with parts, until an end that it cannot handle is alone; that one comes again, later and later. It must
not commit, roll back or close. Where the database undoes the transaction for another's sake, it is called again.
"""


class Store(Protocol):
    """Keeps orders, whose turn it is to be looked up, and the events of their ends.

    All methods are synchronous and may be called from several threads at a time. What each changes, it changes in one
    transaction: all of it, or nothing. They raise `StoreAwayError` for what may be tried again. Time is the store's own,
    one clock for all workers.
    """

    def open(self) -> None:
        """Connect, and make the tables if there are none. Harmless when repeated.

        Raises:
            StoreError: what is there is no store, or one of another version.
        """
        ...

    def close(self) -> None:
        """Disconnect. Harmless when repeated."""
        ...

    def add(self, panel: str, orders: Sequence[str]) -> int:
        """Track orders from now on, and return how many are new.

        Those that are known stay as they are, and those that were forgotten by `prune()` stay forgotten.
        """
        ...

    def claim(self, panel: str, *, limit: int, batch: int, lease: float, ahead: float, horizon: float) -> Claim:
        """Take due orders, the longest due first: nobody else gets them for ``lease`` seconds.

        Args:
            panel: whose.
            limit: how many at most.
            batch: how many go into one request. Where at least one order is due, those due within ``ahead`` seconds
                fill the last batch; no more are taken before their time.
            lease: seconds; after them they are due again, unless something is recorded before.
            ahead: seconds.
            horizon: seconds; nothing is taken while turns are reserved for longer than that, see `reserve()`.
        """
        ...

    def record(self, news: Sequence[News]) -> set[int]:
        """Write down what was heard, each order by itself, and return the ids of those that were accepted.

        News is accepted of an open order of the same version, from its newest claim; that the panel says it has ended
        (`EndKind.ENDED`) is accepted from any. With an end goes its event, in the same transaction.

        Raises:
            OnRecordError: ends were handed over, and that failed: nothing was recorded.
        """
        ...

    def reserve(self, panel: str, *, turns: int, interval: float, horizon: float) -> float | None:
        """Reserve turns ``interval`` seconds apart, and return the seconds until the first.

        Returns ``None``, and reserves nothing, where the last would end after ``horizon`` seconds.
        """
        ...

    def pause(self, panel: str, seconds: float) -> None:
        """Let nobody claim orders of this panel for so long; a longer pause stays."""
        ...

    def find(self, panel: str, orders: Sequence[str]) -> list[Tracked]:
        """Return those of the orders that are tracked, or were, unless they were forgotten."""
        ...

    def page(self, panel: str | None, *, after: int, limit: int, is_open: bool | None) -> list[tuple[int, Tracked]]:
        """Return tracked orders with the store's numbers, in their order, those above ``after``."""
        ...

    def reopen(self, panel: str, order: str) -> bool:
        """Track an order that has ended again, as its next version, and return whether there is one.

        That holds for one that was forgotten, too: of that, nothing is known but its version.
        """
        ...

    def take(self, limit: int, lease: float) -> list[Ended]:
        """Take events, the oldest first; each comes back after ``lease`` seconds unless it is acknowledged."""
        ...

    def ack(self, ids: Sequence[int]) -> None:
        """Forget events for good."""
        ...

    def release(self, ids: Sequence[int]) -> None:
        """Give events back: each comes again after a second, and after twice as long each time it was taken, 300 at most.

        So events that cannot be handled do not stand before those behind them for ever.
        """
        ...

    def stats(self) -> list[PanelStats]:
        """Return the figures of each panel, by name. It reads every order."""
        ...

    def prune(self, seconds: float, *, events: bool = False) -> int:
        """Forget orders that ended so long ago and whose events were acknowledged; return how many.

        That they have ended, and as which version, is kept for ever: otherwise they could be added, and end, anew.

        With ``events``, forget them even if nobody has acknowledged their events: for whoever uses ``on_record`` only.
        """
        ...


def chunks(values: Iterable[str]) -> Iterable[list[str]]:
    """Return what is to be added in parts that one statement can take, sorted, so that no two transactions cross."""
    ordered = sorted(set(values))
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))

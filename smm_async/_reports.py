"""What a tracker reports of its work."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from smm_async._store import EndKind
from smm_async.errors import SmmError
from smm_async.models import OrderId, OrderStatus

__all__ = ["Change", "Claimed", "LookedUp", "Observation", "Paused", "Slice", "StoreAway"]


@attrs.frozen
class Change:
    """News of one order, seen by this process."""

    panel: str
    order: OrderId
    before: str | None
    """The panel's word up to now; ``None`` where none was heard yet."""
    status: str | None
    """The panel's word now; the one before, where the order ended as unknown."""
    answer: OrderStatus | None
    """All that the panel said; ``None`` where the order ended as unknown."""
    end: EndKind | None
    """Why it is looked up no more; ``None`` while it is."""


@attrs.frozen
class Claimed:
    """Orders were claimed, and are being looked up."""

    panel: str
    orders: int
    lag: float
    """How late the longest due of them was, in seconds."""


@attrs.frozen(kw_only=True)
class LookedUp:
    """One claim is done with, whatever came of it."""

    panel: str
    claimed: int
    orders: int
    """How many of them were looked up; the others went back, or will after the lease."""
    requests: int
    """How many requests as many orders take at least."""
    seconds: float
    """From the claim to its end."""
    changed: int
    """How many of the orders changed, as was recorded."""
    ended: int
    errors: Mapping[str, int] = attrs.field(hash=False)
    """How many got an error in place of an answer, by the names of the classes."""


@attrs.frozen
class Paused:
    """All workers leave a panel alone for a while."""

    panel: str
    seconds: float
    error: SmmError
    """The last that went wrong. Where it is an `InvalidKeyError` or an `AccountError`, somebody has to see to it."""


@attrs.frozen
class StoreAway:
    """The store could not be reached, or refused; it is tried again."""

    panel: str
    error: Exception


Observation = Claimed | LookedUp | Paused | StoreAway


@attrs.frozen
class Slice:
    """What one `Tracker.tend()` did. It is true while orders of the panel are open, wherever they are looked up."""

    orders: int
    """How many lookups were made."""
    ended: int
    """How many orders ended by them."""
    due_in: float | None
    """Seconds until the next order is due, 0 if one is; ``None`` where none is open."""

    def __bool__(self) -> bool:
        return self.due_in is not None

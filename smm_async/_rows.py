"""How what stands in a store's tables becomes records, and news becomes what can stand there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from smm_async._sql import VERSION
from smm_async._store import Claim, Due, Ended, EndKind, News, PanelStats, StoreError, Tracked
from smm_async.models import OrderId, OrderState

__all__ = [
    "NEWS",
    "check_version",
    "claim_limit",
    "fit_text",
    "make_claim",
    "make_ended",
    "make_stats",
    "make_tracked",
    "news_values",
    "without_claim",
]

NEWS: Final = (
    "order_id",
    "claim",
    "version",
    "due_in",
    "misses",
    "status",
    "state",
    "charge",
    "start_count",
    "remains",
    "currency",
    "kind",
)
"""The columns of news, in the order of `news_values()`."""

_STATES: Final = {state.value: state for state in OrderState}
_COUNTS: Final = range(-(2**63), 2**63)
_LONGEST_TEXT: Final = 200


def claim_limit(due: int, *, limit: int, batch: int) -> int:
    """Return how many orders to take where ``due`` are due: all of them in full batches, but no more than ``limit``."""
    return min(-(-due // batch) * batch, limit)


def without_claim(look: Sequence[Any] | None, horizon: float) -> Claim | None:
    """Return what there is to say if nothing can be claimed, by what was seen of a panel; ``None`` if something can."""
    if look is None or look[4] is None:
        return Claim()
    _, paused, turn, _, first = look
    wait = max(paused, turn - horizon, first)
    return Claim(wait=wait) if wait > 0 else None


def make_claim(look: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Claim:
    """Return the claim on some rows, after what was seen of the panel before."""
    # Others may have taken everything in between.
    return Claim([Due(*row) for row in rows], 0.0, -look[4])


def make_tracked(row: Sequence[Any], moment: Callable[[Any], datetime]) -> Tracked:
    """Return an order by its row; ``moment`` reads what the engine keeps for a moment."""
    return Tracked(**_shared(row, moment))


def make_ended(row: Sequence[Any], moment: Callable[[Any], datetime]) -> Ended:
    """Return an event by its row."""
    return Ended(**_shared(row, moment), id=row[14], kind=EndKind(row[15]))


def _shared(row: Sequence[Any], moment: Callable[[Any], datetime]) -> dict[str, Any]:
    charge = row[5]
    return {
        "panel": row[0],
        "order": OrderId(row[1]),
        "version": row[2],
        "status": row[3],
        "state": _STATES.get(row[4]),
        "charge": None if charge is None else Decimal(charge),
        "start_count": row[6],
        "remains": row[7],
        "currency": row[8],
        "misses": row[9],
        "added_at": moment(row[10]),
        "changed_at": moment(row[11]),
        "due_at": moment(row[12]),
        "ended_at": None if row[13] is None else moment(row[13]),
    }


def make_stats(row: Sequence[Any]) -> PanelStats:
    """Return a panel's figures by its row."""
    name, is_open, due, lag, ended, events, paused = row
    return PanelStats(name, is_open, due, max(0.0, lag or 0.0), ended, events, max(0.0, paused))


def news_values(news: News) -> tuple[Any, ...]:
    """Return what stands in a row for some news. What no table can hold is made fit, so that it spoils no other row."""
    return (
        news.id,
        news.claim,
        news.version,
        news.due_in,
        news.misses,
        fit_text(news.status),
        news.state,
        news.charge,
        _count(news.start_count),
        _count(news.remains),
        fit_text(news.currency),
        None if news.end is None else news.end.value,
    )


def check_version(where: str, rows: Sequence[Sequence[Any]]) -> None:
    """Check what is in the table of the version.

    Raises:
        StoreError: it is not the version that is known here.
    """
    versions = [version for (version,) in rows]
    if versions != [VERSION]:
        found = ", ".join(map(str, versions)) or "nothing"
        message = (
            f"{where!r} holds tracked orders of version {found}; this smm_async knows version {VERSION}: "
            "use the smm_async that made it, or another place."
        )
        raise StoreError(message)


def fit_text(text: str | None) -> str | None:
    """Return a panel's word without what PostgreSQL and UTF-8 cannot hold, and no longer than anybody reads."""
    if text is None or (text.isascii() and "\0" not in text and len(text) <= _LONGEST_TEXT):
        return text
    return text[:_LONGEST_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _count(count: int | None) -> int | None:
    return count if count is None or count in _COUNTS else None

"""What `smm-async track` does: add orders to a store, list, export, reopen and forget them, and show figures."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import anyio
from cyclopts import App, Parameter
from cyclopts.validators import Number

from smm_async._cli_ids import IdFile, Ids
from smm_async._cli_journal import existing_journal, reading
from smm_async._cli_output import TABLE, Column, Output, Writer, complain
from smm_async._cli_panel import SettingsError
from smm_async._cli_run import FAILED, MISUSED
from smm_async._store_urls import existing_store_at, store_at
from smm_async.tracking import PanelStats, Store, StoreError, Tracked, Tracker

__all__ = ["app"]

_PAGE: Final = 1000
_DAY: Final = 86_400.0
_MOST_DAYS: Final = 36_500
_ORDERS: Final = (
    Column("panel"),
    Column("order"),
    Column("status", is_long=True),
    Column("charge", is_number=True, rank=1),
    Column("remains", is_number=True, rank=3),
    Column("currency", rank=2),
    Column("changed", rank=5),
    Column("ended", rank=4),
)
_STATS: Final = (
    Column("panel"),
    Column("open", is_number=True),
    Column("due", is_number=True),
    Column("lag", is_number=True, rank=1),
    Column("ended", is_number=True),
    Column("events", is_number=True, rank=2),
    Column("paused", is_number=True, rank=3),
)

StoreUrl = Annotated[str, Parameter(env_var="SMM_STORE")]
Which = Literal["all", "open", "ended"]

app = App(name="track", help="Add orders to a store of tracked orders, and look into it.")


@app.command
def add(
    panel: str,
    orders: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    *,
    store: StoreUrl,
    file: IdFile = None,
    journal: Path | None = None,
) -> int:
    """Track orders from now on. What is tracked already stays as it is.

    Args:
        panel: The name of their panel, as workers have it.
        orders: Their ids.
        store: Where the orders are: sqlite:///orders.db or postgresql://user@host/database.
        file: A file with more ids, with any white space between them; - for the standard input.
        journal: A journal through which orders were placed, to track them all.
    """
    if not (orders or file or journal):
        complain("Which orders? Say their ids, --file PATH, or --journal PATH.")
        return MISUSED
    try:
        ids = Ids(orders, file) if orders or file else None
    except SettingsError as error:
        complain(str(error))
        return MISUSED

    async def run(place: Store) -> None:
        async with Tracker(place, {}) as tracker:
            added = 0 if ids is None else await tracker.add(panel, [id_ async for id_ in ids.read()])
            added += 0 if journal is None else await _add_placed(tracker, panel, journal)
        sys.stdout.write(f"{added} added\n")

    return _with_store(lambda: store_at(store), lambda place: anyio.run(run, place))


@app.command(name="list")
def list_(
    *,
    store: StoreUrl,
    panel: str | None = None,
    which: Which = "open",
    limit: Annotated[int, Parameter(validator=Number(gte=1))] = 50,
) -> int:
    """Show orders, those that were added first at the top, with moments in UTC.

    Args:
        store: Where the orders are: sqlite:///orders.db or postgresql://user@host/database.
        panel: Only those of one panel.
        which: Which ones.
        limit: How many at most.
    """

    def show(place: Store) -> None:
        orders = islice(_orders(place, panel, which, min(limit, _PAGE)), limit)
        count = 0
        with Writer(TABLE, _ORDERS) as writer:
            for count, tracked in enumerate(orders, 1):  # noqa: B007  the last one is how many
                moments = {"changed": _moment(tracked.changed_at), "ended": _moment(tracked.ended_at)}
                writer.write(_plain(tracked) | moments)
        if not count:
            complain("No such order is in this store.")

    return _with_store(lambda: existing_store_at(store), show)


@app.command
def export(*, store: StoreUrl, panel: str | None = None, which: Which = "all") -> int:
    """Write orders to the standard output, each as a line of JSON.

    Args:
        store: Where the orders are: sqlite:///orders.db or postgresql://user@host/database.
        panel: Only those of one panel.
        which: Which ones.
    """

    def write(place: Store) -> None:
        for tracked in _orders(place, panel, which, _PAGE):
            sys.stdout.write(f"{json.dumps(_plain(tracked))}\n")

    return _with_store(lambda: existing_store_at(store), write)


@app.command
def stats(*, store: StoreUrl, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Show how many orders are open, due, late and ended, for each panel.

    Args:
        store: Where the orders are: sqlite:///orders.db or postgresql://user@host/database.
        as_json: Write a line of JSON for each panel.
    """

    def show(place: Store) -> None:
        rows = place.stats()
        with Writer(Output(json=as_json), _STATS) as writer:
            for row in rows:
                writer.write(_numbers(row) if as_json else _words(row))
        if not rows:
            complain("Nothing is tracked in this store.")

    return _with_store(lambda: existing_store_at(store), show)


def _check_days(_: object, days: float) -> None:
    # Not by cyclopts' own check, which lets NaN through before its version 5.
    if not 0.0 <= days <= _MOST_DAYS:
        message = f"Must be 0 to {_MOST_DAYS:,} days."
        raise ValueError(message)


@app.command
def prune(
    *,
    store: StoreUrl,
    days: Annotated[float, Parameter(validator=_check_days)],
    events: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Forget orders that ended long ago and whose events were acknowledged, but for their numbers: once a day.

    Args:
        store: Where the orders are: sqlite:///orders.db or postgresql://user@host/database.
        days: Since they ended.
        events: Forget them even if nobody has acknowledged their events: where all workers have --on-record.
    """

    def forget(place: Store) -> None:
        sys.stdout.write(f"{place.prune(days * _DAY, events=events)} forgotten\n")

    return _with_store(lambda: existing_store_at(store), forget)


@app.command
def reopen(panel: str, *orders: str, store: StoreUrl) -> int:
    """Track orders that have ended again, as after a refill. The exit code is 1 if one of them has not ended.

    Args:
        panel: The name of their panel, as workers have it.
        orders: Their ids.
        store: Where the orders are: sqlite:///orders.db or postgresql://user@host/database.
    """

    def reopen_all(place: Store) -> int:
        reopened = [place.reopen(panel, order) for order in ids]
        sys.stdout.write(f"{sum(reopened)} reopened\n")
        for order, is_open in zip(ids, reopened, strict=True):
            if not is_open:
                complain(f"Order {order} of panel {panel!r} has not ended, or is not tracked.")
        return 0 if all(reopened) else FAILED

    try:
        ids = Ids(orders, None).given
    except SettingsError as error:
        complain(str(error))
        return MISUSED
    return _with_store(lambda: existing_store_at(store), reopen_all)


def _with_store(find: Callable[[], Store], call: Callable[[Store], int | None]) -> int:
    """Call what needs an open store, and return the exit code."""
    try:
        place = find()
        place.open()
        try:
            code = call(place)
            sys.stdout.flush()
        finally:
            place.close()
    except (SettingsError, ValueError) as error:
        complain(str(error))
        return MISUSED
    except (StoreError, ImportError) as error:
        complain(str(error))
        return FAILED
    return code or 0


async def _add_placed(tracker: Tracker, panel: str, path: Path) -> int:
    book = existing_journal(path)
    with reading(book, errors=(OSError, sqlite3.Error)):
        return await tracker.add_placed(panel, book)


def _orders(place: Store, panel: str | None, which: Which, size: int) -> Iterator[Tracked]:
    is_open = None if which == "all" else which == "open"
    after = 0
    while page := place.page(panel, after=after, limit=size, is_open=is_open):
        yield from (tracked for _, tracked in page)
        after = page[-1][0]


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _numbers(row: PanelStats) -> dict[str, Any]:
    figures = {"open": row.open, "due": row.due, "lag": row.lag, "ended": row.ended, "events": row.events}
    return {"panel": row.panel, **figures, "paused": row.paused}


def _words(row: PanelStats) -> dict[str, Any]:
    """Return the figures of one panel for people."""
    counts = {"open": f"{row.open:,}", "due": f"{row.due:,}", "ended": f"{row.ended:,}", "events": f"{row.events:,}"}
    return {
        "panel": row.panel,
        **counts,
        "lag": f"{row.lag:.1f} s",
        "paused": f"{row.paused:.0f} s" if row.paused else None,
    }


def _plain(tracked: Tracked) -> dict[str, Any]:
    """Return an order as JSON can say it: money and moments as text."""
    return {
        "key": tracked.key,
        "panel": tracked.panel,
        "order": tracked.order,
        "version": tracked.version,
        "status": tracked.status,
        "state": tracked.state and tracked.state.value,
        "charge": None if tracked.charge is None else str(tracked.charge),
        "start_count": tracked.start_count,
        "remains": tracked.remains,
        "currency": tracked.currency,
        "misses": tracked.misses,
        "added_at": tracked.added_at.isoformat(timespec="seconds"),
        "changed_at": tracked.changed_at.isoformat(timespec="seconds"),
        "due_at": tracked.due_at.isoformat(timespec="seconds"),
        "ended_at": tracked.ended_at and tracked.ended_at.isoformat(timespec="seconds"),
    }

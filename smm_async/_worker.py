"""What `smm-async worker` does: look up what is due in a store, until it is stopped, and show how it goes."""

from __future__ import annotations

import functools
import logging
import math
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final, Literal, TypeAlias

import anyio
import attrs
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.live import Live

import smm_async as smm
from smm_async._cli_output import complain
from smm_async._cli_panel import SettingsError, find_panel
from smm_async._cli_run import FAILED, MISUSED, STOPPED
from smm_async._figures import Figures, make_lines, make_table
from smm_async._on_record import find_handler
from smm_async._signals import stop_signals
from smm_async._store_urls import store_at
from smm_async.tracking import PanelStats, Poll, StoreAwayError, StoreError, Tracker

__all__ = ["worker"]

_LOG: Final = logging.getLogger("smm_async.worker")

_FIRST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 10.0
_REDRAW_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 10.0
# It reads every order: not more often than anybody needs it, and for no more than a hundredth of the time, since all
# workers do it.
_STATS_SECONDS: Final = 15.0
_STATS_SHARE: Final = 0.01

StoreUrl = Annotated[str, Parameter(env_var="SMM_STORE")]
Seconds = Annotated[float, Parameter(validator=Number(gt=0))]
Signals: TypeAlias = AsyncIterator[signal.Signals]


def worker(
    *,
    store: StoreUrl,
    panel: Annotated[tuple[str, ...], Parameter(negative="")],
    backend: Literal["asyncio", "trio"] = "asyncio",
    shortest: Seconds = 15.0,
    factor: Annotated[float, Parameter(validator=Number(gt=0))] = 0.1,
    longest: Seconds = 900.0,
    lease: Seconds = 120.0,
    budget: Seconds = 30.0,
    pace: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    max_in_flight: Annotated[int, Parameter(validator=Number(gte=1))] = 8,
    seconds: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    on_record: str | None = None,
) -> int:
    """Look up tracked orders until it is stopped. Any number of workers share a store.

    A signal lets it record what is on its way, and leave; a second one ends it at once. While the store cannot be reached,
    it is tried again.

    Args:
        store: Where the orders are: sqlite:///orders.db or postgresql://user@host/database.
        panel: A panel to look up, as NAME for a profile, d3mworld or 1dg, or as NAME=ADDRESS or NAME=PROFILE; may be
            given more than once. Its key is in the variable SMM_KEY_NAME, the profile, or SMM_KEY.
        backend: The event loop.
        shortest: Seconds between two lookups of an order, at least.
        factor: The share of the time since its last change after which an order is looked up again.
        longest: Seconds between two lookups of an order, at most.
        lease: Seconds after which the orders of a worker that died are taken by others.
        budget: Seconds that a lookup may take, with repetition.
        pace: Requests a second to each panel, among all workers.
        max_in_flight: Requests to a panel on their way at the same time, of this worker.
        seconds: Leave after so long, for whoever is started again by a schedule.
        on_record: A function, as MODULE:FUNCTION, that is called with the connection and the ends in the transaction that
            records them. All workers of a store need the same.
    """
    try:
        limits: dict[str, Any] = {"budget": budget, "max_in_flight": max_in_flight}
        poll = Poll(shortest=shortest, factor=factor, longest=longest)
        place = store_at(store, None if on_record is None else find_handler(on_record))
        clients = {name: find_panel(name, address, **limits) for name, address in map(_split, panel)}
        figures = Figures()
        tracker = Tracker(place, clients, poll=poll, lease=lease, pace=pace, observe=figures.note)
    except (SettingsError, ValueError) as error:
        complain(str(error))
        return MISUSED
    except ImportError as error:
        complain(str(error))
        return FAILED
    return anyio.run(_work, tracker, clients, figures, seconds, backend=backend)


def _split(text: str) -> tuple[str, str]:
    """Return a panel's name in the store and its address, or the name of that, by what the command line says.

    Raises:
        SettingsError: the text is none.
    """
    name, is_pair, address = text.partition("=")
    if not name or bool(is_pair) != bool(address) or "://" in name:
        message = "--panel is NAME or NAME=ADDRESS."
        raise SettingsError(message)
    return name, address or name


async def _work(tracker: Tracker, clients: Mapping[str, smm.Client], figures: Figures, seconds: float | None) -> int:
    """Return the exit code."""
    console = Console(highlight=False)
    if not console.is_terminal:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    show = functools.partial(_show_live if console.is_terminal else _log_lines, tracker, figures, console)
    stop_at = math.inf if seconds is None else anyio.current_time() + seconds
    caught: list[signal.Signals] = []
    async with AsyncExitStack() as stack:
        for client in clients.values():
            await stack.enter_async_context(client)
        signals = stack.enter_context(stop_signals())
        try:
            await _enter(tracker, stack, stop_at, signals, caught)
        except StoreError as error:
            complain(str(error))
            return FAILED
        if not caught:
            await _run(tracker, functools.partial(show, list(clients)), stop_at, signals, caught)
    return STOPPED if signal.SIGINT in caught else 0


async def _enter(
    tracker: Tracker, stack: AsyncExitStack, stop_at: float, signals: Signals | None, caught: list[signal.Signals]
) -> None:
    """Open the tracker, unless a signal comes before.

    Raises:
        StoreError: its store cannot be used, or cannot be reached in time.
    """
    failures: list[Exception] = []
    async with anyio.create_task_group() as group:
        if signals is not None:
            group.start_soon(_cancel_at_signal, signals, group.cancel_scope, caught)
        try:
            await _open(tracker, stack, stop_at)
        except Exception as error:  # noqa: BLE001  out of the group it would come in a group
            failures.append(error)
        group.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _open(tracker: Tracker, stack: AsyncExitStack, stop_at: float) -> None:
    """Open the tracker as soon as its store can be reached."""
    rng = random.Random()  # noqa: S311  no secret is drawn
    backoff = _FIRST_BACKOFF
    while True:
        try:
            await stack.enter_async_context(tracker)
        except StoreAwayError as error:
            seconds = backoff * rng.uniform(0.5, 1.0)
            if anyio.current_time() + seconds >= stop_at:
                raise
            _LOG.warning("Tried again in %.1f seconds: %s", seconds, error)
            await anyio.sleep(seconds)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)
        else:
            return


async def _cancel_at_signal(signals: Signals, scope: anyio.CancelScope, caught: list[signal.Signals]) -> None:
    caught.append(await anext(signals))
    scope.cancel()


async def _run(
    tracker: Tracker,
    show: Callable[[], Coroutine[Any, Any, None]],
    stop_at: float,
    signals: Signals | None,
    caught: list[signal.Signals],
) -> None:
    async with anyio.create_task_group() as group:
        if signals is not None:
            group.start_soon(_stop_at_signal, signals, tracker, group.cancel_scope, caught)
        if stop_at < math.inf:
            group.start_soon(_stop_at, stop_at, tracker)
        group.start_soon(show)
        await tracker.run()
        group.cancel_scope.cancel()


async def _stop_at(moment: float, tracker: Tracker) -> None:
    await anyio.sleep_until(moment)
    tracker.stop()


async def _stop_at_signal(
    signals: Signals, tracker: Tracker, scope: anyio.CancelScope, caught: list[signal.Signals]
) -> None:
    async for signum in signals:
        if caught:
            scope.cancel()
        caught.append(signum)
        tracker.stop()


async def _log_lines(tracker: Tracker, figures: Figures, _: Console, names: Sequence[str]) -> None:
    _LOG.info("Working for %s.", ", ".join(names))
    stats = _Stats(tracker)
    while True:
        await anyio.sleep(_LINE_SECONDS)
        for line in make_lines(figures.panels, await stats.read(), anyio.current_time()):
            _LOG.info("%s", line)


async def _show_live(tracker: Tracker, figures: Figures, console: Console, _: Sequence[str]) -> None:
    stats = _Stats(tracker)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            rows = await stats.read()
            live.update(make_table(figures.panels, rows, anyio.current_time()), refresh=True)
            await anyio.sleep(_REDRAW_SECONDS)


@attrs.define
class _Stats:
    """What the store says of all panels, asked for now and then."""

    tracker: Tracker
    rows: Sequence[PanelStats] = ()
    next_at: float = -math.inf
    has_complained: bool = False

    async def read(self) -> Sequence[PanelStats]:
        """Return the figures, new or not; none while the store is away, or refuses them."""
        began_at = anyio.current_time()
        if began_at >= self.next_at:
            try:
                self.rows = await self.tracker.stats()
            except StoreAwayError:
                self.rows = ()
            except Exception as error:  # noqa: BLE001  such as a missing right: the work goes on without figures
                self.rows = ()
                self._complain(error)
            now = anyio.current_time()
            self.next_at = now + max(_STATS_SECONDS, (now - began_at) / _STATS_SHARE)
        return self.rows

    def _complain(self, error: Exception) -> None:
        """Log the first error: the next ones would be the same."""
        if not self.has_complained:
            _LOG.error("The store's figures cannot be read, and are not shown.", exc_info=error)
        self.has_complained = True

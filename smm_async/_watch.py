"""Ask for orders until they have ended, from the task of whoever reads the changes."""

from __future__ import annotations

import logging
import operator
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Generic, Self, TypeVar, cast

import anyio
import anyio.lowlevel
import attrs

from smm_async._bounds import check_seconds
from smm_async._ids import check_many, read_id
from smm_async._poll import Poll
from smm_async._schedule import Outcome, Schedule, Turn
from smm_async.errors import (
    MaintenanceError,
    RateLimitedError,
    SmmError,
    UnknownOrderError,
    UnresolvedError,
    UnsupportedActionError,
)
from smm_async.models import OrderStatus

__all__ = ["Change", "Watch", "final_status"]

Id = TypeVar("Id", bound="int | str")

_LOG: Final = logging.getLogger("smm_async")

# Panels put a time or a number of their own into every answer; that is no news of the order.
_compared: Final = operator.attrgetter(*(field.name for field in attrs.fields(OrderStatus) if field.name != "extra"))


@attrs.frozen
class Change(Generic[Id]):
    """One difference between two looks at an order."""

    order: Id
    """The id as it was given."""
    before: OrderStatus | None
    """What was known; ``None`` at the first look."""
    after: OrderStatus | UnknownOrderError
    """Where it stands now; or the panel's word that there is no such order, which is not taken for lag any more."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of this order."""
        return isinstance(self.after, UnknownOrderError) or self.after.state.is_terminal


class Watch(Generic[Id]):
    """The changes of some orders: an asynchronous iterator, made by `Client.watch()`.

    It asks only while somebody waits for the next change, from the task that waits, and keeps no task of its own: it
    may be left at any time, with nothing to close, and read on later. A reader that was cancelled, or got an error,
    has missed nothing, and gets nothing twice when it reads on.
    """

    def __init__(
        self,
        look_up: Callable[[list[Id]], Awaitable[Mapping[Id, OrderStatus | SmmError]]],
        orders: Iterable[Id],
        *,
        batch: Callable[[], int],
        poll: Poll,
        lag: float,
        sleep_until: Callable[[float], Awaitable[None]] = anyio.sleep_until,
        jitter: random.Random | None = None,
    ) -> None:
        """Do nothing yet; see `Client.watch()`. ``batch`` tells how many ids one request may hold."""
        check_seconds("lag", lag, least=0.0)
        check_many(orders)
        ids = list(dict.fromkeys(orders))
        for order in ids:
            read_id(order)
        self._look_up = look_up
        self._batch = batch
        self._lag = lag
        self._sleep_until = sleep_until
        self._schedule = Schedule(ids, poll, jitter=jitter)
        # Not more than one look's: nobody looks again before they are read.
        self._changes: deque[Change[Id]] = deque()
        self._guard = anyio.ResourceGuard("reading from")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[Id]:
        """Return the next change, as soon as there is one.

        Raises:
            StopAsyncIteration: every order has ended, or is not known to the panel.
            InvalidKeyError, AccountError, ClosedError, UnsupportedActionError: nobody would be answered.
            anyio.BusyResourceError: another task is reading.
        """
        with self._guard:
            # Before a change is taken, not after: it would be lost to a cancellation.
            await anyio.lowlevel.checkpoint()
            while not self._changes:
                if not self._schedule:
                    raise StopAsyncIteration
                await self._look()
            return self._changes.popleft()

    async def _look(self) -> None:
        """Wait for the next look, and have it."""
        await self._sleep_until(self._schedule.next_at)
        turns = self._schedule.take(anyio.current_time(), self._batch())
        try:
            found = await self._look_up([turn.order for turn in turns])
            results = [found[turn.order] for turn in turns]
            _raise_what_concerns_all(results)
        except BaseException:
            self._schedule.put_back(turns)
            raise
        self._take_note(turns, results, anyio.current_time())

    def _take_note(self, turns: list[Turn[Id]], results: list[OrderStatus | SmmError], now: float) -> None:
        outcomes = [self._outcome(turn, result, now) for turn, result in zip(turns, results, strict=True)]
        self._schedule.settle(turns, outcomes, now, leave_alone=max(map(_asked_pause, results), default=0.0))
        if turns and self._schedule.setbacks > 1:
            pause = self._schedule.next_at - now
            names = sorted({type(result).__name__ for result in results if isinstance(result, SmmError)})
            _LOG.warning("Watched orders are not asked for in the next %.0f seconds: %s.", pause, ", ".join(names))

    def _outcome(self, turn: Turn[Id], result: OrderStatus | SmmError, now: float) -> Outcome:
        """Return what one lookup has come to, and keep the change, if it is one."""
        if isinstance(result, OrderStatus):
            return self._compare(turn, result)
        if isinstance(result, UnknownOrderError):
            return self._miss(turn, result, now)
        if isinstance(result, (RateLimitedError, MaintenanceError)):
            return Outcome.NOT_NOW
        return Outcome.UNSETTLED if isinstance(result, UnresolvedError) else Outcome.UNANSWERED

    def _compare(self, turn: Turn[Id], status: OrderStatus) -> Outcome:
        before, turn.before = turn.before, status
        if before is None or _compared(before) != _compared(status):
            self._changes.append(Change(turn.order, before, status))
        if status.state.is_terminal:
            return Outcome.ENDED
        return Outcome.STILL if before is not None and before.status == status.status else Outcome.MOVED

    def _miss(self, turn: Turn[Id], error: UnknownOrderError, now: float) -> Outcome:
        missing_since = now if turn.missing_since is None else turn.missing_since
        if now - missing_since < self._lag:
            return Outcome.MISSING
        self._changes.append(Change(turn.order, turn.before, error))
        return Outcome.ENDED


async def final_status(watch: Watch[Id]) -> OrderStatus:
    """Return how the one order of a watch has ended.

    Raises:
        UnknownOrderError: the panel knows no such order.
    """
    after: OrderStatus | UnknownOrderError | None = None
    async for change in watch:
        after = change.after
    if isinstance(after, OrderStatus):
        return after
    raise cast("UnknownOrderError", after)


def _raise_what_concerns_all(results: Iterable[OrderStatus | SmmError]) -> None:
    """Raise what no waiting will mend; a wrong key and a closed client are raised by the lookup itself."""
    for result in results:
        if isinstance(result, UnsupportedActionError):
            raise result


def _asked_pause(result: OrderStatus | SmmError) -> float:
    """Return for how many seconds the panel wants to be left alone."""
    if isinstance(result, (RateLimitedError, MaintenanceError)):
        return result.retry_after or 0.0
    return 0.0

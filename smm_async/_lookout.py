"""Waiting for the ends of orders: however many wait, one of them looks into the store for all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Final

import anyio
import attrs

from smm_async._calls_to_store import Calls, Wakeup
from smm_async._endings import LOOK_SECONDS
from smm_async._store import Tracked
from smm_async._tickets import own_copy

__all__ = ["Lookout"]

_MOST_ORDERS: Final = 1000


@attrs.define(eq=False)
class _Place:
    """What those who wait for the same order share."""

    waiters: int = 0
    outcome: Tracked | Exception | None = None
    bell: Wakeup = attrs.field(factory=Wakeup)
    """Rings when there is an outcome, or when somebody is needed to look."""


class Lookout:
    """Looks for the ends of one panel's orders, from the task of one of those who wait.

    When that one leaves, however that happens, another one goes on at once.
    """

    def __init__(self, panel: str, calls: Calls) -> None:
        self._panel = panel
        self._calls = calls
        self._places: dict[str, _Place] = {}
        # In their order; all places come in when it is time to look at everything.
        self._urgent: dict[str, None] = {}
        self._all_at = -math.inf
        self._is_led = False
        self._alarm = Wakeup()

    async def wait(self, order: str) -> Tracked:
        """Return an order once it has ended.

        Raises:
            LookupError: it is not tracked.
            StoreError: the store cannot be reached.
            RuntimeError: it was closed meanwhile.
        """
        place = self._places.setdefault(order, _Place())
        place.waiters += 1
        self.hear([order])
        try:
            while place.outcome is None:
                if self._is_led:
                    await place.bell.event.wait()
                else:
                    await self._lead()
        finally:
            self._leave(order, place)
        if isinstance(place.outcome, Exception):
            raise own_copy(place.outcome)
        return place.outcome

    def hear(self, orders: Iterable[str]) -> None:
        """Look at some orders at once, if anybody waits for them: one may have ended, or is new here."""
        self._urgent |= dict.fromkeys(order for order in orders if order in self._places)
        if self._urgent:
            self._alarm.tell()

    def close(self) -> None:
        """End all waits: the store will be closed."""
        for order in list(self._places):
            message = f"The tracker was left before order {order!r} of panel {self._panel!r} has ended."
            self._settle(order, RuntimeError(message))
        self._alarm.tell()

    def _leave(self, order: str, place: _Place) -> None:
        place.waiters -= 1
        if not place.waiters and self._places.get(order) is place:
            del self._places[order]
            self._urgent.pop(order, None)
        if self._places and not self._is_led:
            next(iter(self._places.values())).bell.tell()

    async def _lead(self) -> None:
        """Wait until it is time to look, and look once."""
        self._is_led = True
        try:
            if not self._urgent:
                with anyio.move_on_after(self._all_at - anyio.current_time()):
                    await self._alarm.event.wait()
            await self._look()
        finally:
            self._is_led = False

    async def _look(self) -> None:
        now = anyio.current_time()
        if now >= self._all_at:
            self._all_at = now + LOOK_SECONDS
            self._urgent |= dict.fromkeys(self._places)
        orders = list(itertools.islice(self._urgent, _MOST_ORDERS))
        # Before they are asked for: what becomes urgent meanwhile stays so.
        for order in orders:
            del self._urgent[order]
        try:
            found = await self._calls.run(self._calls.store.find, self._panel, orders)
        except Exception as error:  # noqa: BLE001  it is raised by all who wait for these
            self._take_note({}, dict.fromkeys(orders, error))
        except BaseException:
            self.hear(orders)
            raise
        else:
            rows = {str(row.order): row for row in found}
            self._take_note(rows, {order: self._not_tracked(order) for order in orders if order not in rows})

    def _take_note(self, rows: Mapping[str, Tracked], failures: Mapping[str, Exception]) -> None:
        for order, row in rows.items():
            if row.ended_at is not None:
                self._settle(order, row)
        for order, failure in failures.items():
            # Who has come meanwhile may have added it.
            if order not in self._urgent:
                self._settle(order, failure)

    def _settle(self, order: str, outcome: Tracked | Exception) -> None:
        self._urgent.pop(order, None)
        place = self._places.pop(order, None)
        if place is not None:
            place.outcome = outcome
            place.bell.tell()

    def _not_tracked(self, order: str) -> LookupError:
        return LookupError(
            f"Order {order!r} of panel {self._panel!r} is not tracked: add() it; reopen() it if it was forgotten."
        )

"""Recording what one panel's worker has heard: again while the store is away, and around ends that cannot be handled."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar

import anyio
import anyio.lowlevel

from smm_async._calls_to_store import Calls
from smm_async._news import put_off, returned
from smm_async._reports import StoreAway
from smm_async._store import Due, News, StoreAwayError
from smm_async._tending_settings import Settings

__all__ = ["Recorder"]

T = TypeVar("T")

_Ends: TypeAlias = list[tuple[Due, News]]

_LOG: Final = logging.getLogger("smm_async")

_FIRST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 10.0
# Of calls for one claim: to find each of three or four ends among a thousand that cannot be handled.
_MOST_FAILURES: Final = 40


class Recorder:
    """Writes to the store for the worker of one panel, and knows how well that goes."""

    def __init__(self, name: str, calls: Calls, settings: Settings) -> None:
        self._name = name
        self._calls = calls
        self._store = calls.store
        self._settings = settings
        self.troubles = 0
        """How many calls in a row have failed."""
        self._is_stuck = False

    async def record(self, rows: Sequence[Due], news: Sequence[News]) -> dict[int, News]:
        """Write down news, each of the row in its place, and return what was accepted, by the orders' ids.

        Ends that cannot be handled keep nothing else from being recorded: their orders are put off, and come again.
        """
        try:
            return await self._put(news)
        except Exception as error:
            if all(part.end is None for part in news):
                raise
            self._settings.report(StoreAway(self._name, error))
        accepted = await self._put([part for part in news if part.end is None])
        ends = [(row, part) for row, part in zip(rows, news, strict=True) if part.end is not None]
        hard = await self._put_in_halves(ends, accepted)
        return accepted | await self._put([self._put_off(row, part) for row, part in hard])

    async def _put_in_halves(self, ends: _Ends, accepted: dict[int, News]) -> _Ends:
        """Record ends in smaller and smaller parts, and return those that are left: in bounded time, and tries."""
        hard: _Ends = []
        give_up_at = anyio.current_time() + self._settings.window
        failures = 0
        # The first half goes before the second: however many fail, some are recorded.
        parts = [ends]
        while parts and failures < _MOST_FAILURES and anyio.current_time() < give_up_at:
            # What is on its way to the store is not cancelled; what is not, is.
            await anyio.lowlevel.checkpoint()
            part = parts.pop()
            middle = len(part) // 2
            try:
                accepted |= await self._put([news for _, news in part])
            except Exception as error:  # noqa: BLE001  of whoever handles ends
                failures += 1
                if middle:
                    parts += [part[middle:], part[:middle]]
                else:
                    hard += part
                    order = part[0][0].order
                    _LOG.error("Panel %r: the end of order %s is not recorded.", self._name, order, exc_info=error)
        rest = [end for part in parts for end in part]
        if rest:
            _LOG.error("Panel %r: %d more ends are put off, after %d failures.", self._name, len(rest), failures)
        return hard + rest

    def _put_off(self, row: Due, news: News) -> News:
        return put_off(row, news, poll=self._settings.poll, lot=self._settings.rng.random())

    async def _put(self, news: Sequence[News]) -> dict[int, News]:
        """Record news; of none anything is accepted if the store stays away."""
        ids = (await self.repeat(functools.partial(self._store.record, news)) or ()) if news else ()
        return {part.id: part for part in news if part.id in ids}

    async def repeat(self, call: Callable[[], T]) -> T | None:
        """Return what a call of the store returns, tried for a while; ``None`` if the store stays away.

        What is on its way to the store is not cancelled.
        """
        give_up_at = anyio.current_time() + self._settings.window
        while True:
            try:
                result = await self._calls.run_shielded(call)
            except StoreAwayError as error:
                self.note_trouble(error)
                if anyio.current_time() >= give_up_at:
                    return None
            else:
                self.troubles, self._is_stuck = 0, False
                return result
            await anyio.sleep(self.backoff())

    async def give_back(self, rows: Sequence[Due]) -> None:
        """Let others look up what was claimed, at once. If that fails, they can after the lease."""
        try:
            await self._calls.run_shielded(self._store.record, [returned(row) for row in rows])
        except Exception as error:  # noqa: BLE001  the lease does it, then
            self.note_trouble(error)

    def note_claim(self) -> None:
        """Forget that claims have failed, now that one has not; that something was not recorded, only recording mends."""
        if not self._is_stuck:
            self.troubles = 0

    def note_failed_claim(self, error: Exception) -> None:
        """Count, log and report that nothing could be claimed."""
        self._note(error, "nothing can be claimed")

    def note_trouble(self, error: Exception) -> None:
        """Count, log and report that something was not recorded."""
        self._is_stuck = True
        self._note(error, "what was claimed is not recorded")

    def _note(self, error: Exception, what: str) -> None:
        self.troubles += 1
        if isinstance(error, StoreAwayError):
            _LOG.warning("Panel %r: %s", self._name, error)
        else:
            _LOG.error("Panel %r: %s.", self._name, what, exc_info=error)
        self._settings.report(StoreAway(self._name, error))

    def backoff(self) -> float:
        """Return for how many seconds to leave the store alone after it has failed."""
        seconds = min(_FIRST_BACKOFF * 2.0 ** min(self.troubles - 1, 64), _LONGEST_BACKOFF)
        return seconds * self._settings.rng.uniform(0.5, 1.0)

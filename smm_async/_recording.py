"""Recording what one panel's worker has heard: again while the store is away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import anyio

from smm_async._calls_to_store import Calls
from smm_async._news import returned
from smm_async._reports import StoreAway
from smm_async._store import Due, StoreAwayError
from smm_async._tending_settings import Settings

__all__ = ["Recorder"]

T = TypeVar("T")

_LOG: Final = logging.getLogger("smm_async")

_FIRST_BACKOFF: Final = 0.25
_LONGEST_BACKOFF: Final = 10.0


class Recorder:
    """Writes to the store for the worker of one panel, and knows how well that goes."""

    def __init__(self, name: str, calls: Calls, settings: Settings) -> None:
        self._name = name
        self._calls = calls
        self._store = calls.store
        self._settings = settings
        self.troubles = 0
        """How many calls in a row have failed."""

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
                self.troubles = 0
                return result
            await anyio.sleep(self.backoff())

    async def give_back(self, rows: Sequence[Due]) -> None:
        """Let others look up what was claimed, at once. If that fails, they can after the lease."""
        try:
            await self._calls.run_shielded(self._store.record, [returned(row) for row in rows])
        except Exception as error:  # noqa: BLE001  the lease does it, then
            self.note_trouble(error)

    def note_trouble(self, error: Exception) -> None:
        """Count, log and report a failure."""
        self.troubles += 1
        if isinstance(error, StoreAwayError):
            _LOG.warning("Panel %r: %s", self._name, error)
        else:
            _LOG.error("Panel %r: what was claimed is not recorded.", self._name, exc_info=error)
        self._settings.report(StoreAway(self._name, error))

    def backoff(self) -> float:
        """Return for how many seconds to leave the store alone after it has failed."""
        seconds = min(_FIRST_BACKOFF * 2.0 ** min(self.troubles - 1, 64), _LONGEST_BACKOFF)
        return seconds * self._settings.rng.uniform(0.5, 1.0)

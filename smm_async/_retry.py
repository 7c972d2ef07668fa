"""When a read is asked again: at most three times, and never so that an outage gets worse."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from smm_async._errands import note_retry
from smm_async.errors import (
    BadReplyError,
    MaintenanceError,
    NoAnswerError,
    NotSentError,
    RateLimitedError,
    SmmError,
    UnresolvedError,
)

__all__ = ["Retries"]

T = TypeVar("T")

# The figures of the AWS SDKs' standard mode: a client in an outage makes 35 repetitions, and then none until it succeeds.
_ATTEMPTS: Final = 3
_FIRST_PAUSE: Final = 0.05
_QUOTA: Final = 500
_PRICE: Final = 14
_PRICE_THROTTLED: Final = 5


class Retries:
    """Asks again what may be asked again, from a quota shared by all reads of a client."""

    def __init__(self, jitter: random.Random | None = None) -> None:
        self._jitter = random.Random() if jitter is None else jitter  # noqa: S311  spreads load, guards nothing
        self._quota = _QUOTA

    async def read(self, attempt: Callable[[], Awaitable[T | SmmError]]) -> T | SmmError:
        """Return what ``attempt`` returns, after at most two more tries where its error says "later".

        The pauses stay inside the deadline of the surrounding cancel scope.
        """
        for number in range(_ATTEMPTS - 1):
            outcome = await attempt()
            pause = self._pause_after(number, outcome)
            if pause is None:
                return outcome
            note_retry(outcome, pause)
            await anyio.sleep(pause)
        return await attempt()

    def _pause_after(self, number: int, outcome: object) -> float | None:
        """Return the seconds to wait before the next attempt, or ``None`` if there is to be none."""
        if not isinstance(outcome, SmmError):
            self._quota = min(_QUOTA, self._quota + 1)
            return None
        if not _says_later(outcome):
            return None
        pause = self._length(number, outcome)
        if anyio.current_time() + pause >= anyio.current_effective_deadline():
            return None
        return pause if self._pay(_PRICE_THROTTLED if _is_throttled(outcome) else _PRICE) else None

    def _pay(self, price: int) -> bool:
        if self._quota < price:
            return False
        self._quota -= price
        return True

    def _length(self, number: int, error: SmmError) -> float:
        if isinstance(error, (RateLimitedError, MaintenanceError)) and error.retry_after is not None:
            return error.retry_after
        return self._jitter.random() * _FIRST_PAUSE * 2.0**number


def _is_throttled(error: SmmError) -> bool:
    return isinstance(error, (RateLimitedError, MaintenanceError))


def _says_later(error: SmmError) -> bool:
    """Return whether the same request may do better soon. A panel that refuses is asked again only if it says when."""
    if isinstance(error, (RateLimitedError, MaintenanceError)):
        return error.retry_after is not None
    if isinstance(error, BadReplyError):
        return (error.status_code or 0) >= 500  # noqa: PLR2004
    return isinstance(error, (NotSentError, NoAnswerError)) and not isinstance(error, UnresolvedError)

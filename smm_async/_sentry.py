"""Who tells each caller of a coalescer that its budget has ended."""

from __future__ import annotations

import math
from typing import Any

import anyio

from smm_async._backend import Loop, Waiter
from smm_async._host import TaskHost
from smm_async._tickets import Queue, answer
from smm_async.errors import NoAnswerError, NotSentError

__all__ = ["Sentry"]


class Sentry:
    """Tells each caller at the end of its budget, while others of its batch may still wait."""

    def __init__(self, host: TaskHost, queue: Queue[Any], budget: float) -> None:
        self._host = host
        self._queue = queue
        self._budget = budget
        self.is_off_duty = budget < math.inf
        """Whether nobody watches, so that whoever comes is to `alert()`."""
        # What the task parks on when nobody waits; there from the first time on.
        self._rest: Waiter | None = None

    def alert(self, loop: Loop) -> None:
        """Have somebody watch the budgets, now that there is one to watch. The task starts with the first."""
        self.is_off_duty = False
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)
        else:
            self._host.start_soon(self._guard, loop)

    def expire(self, now: float) -> None:
        """Tell those whose budget has ended by ``now``."""
        for key, ticket in self._queue.pop_expired(now):
            if self._queue.leave(ticket, key):
                answer(
                    ticket,
                    key,
                    NotSentError(f"Still queued at the end of the budget of {self._budget:g} seconds."),
                )
            else:
                answer(ticket, key, self.too_late())

    def too_late(self) -> NoAnswerError:
        """Return what those get who were asked for, and whose budget has ended."""
        return NoAnswerError(f"No answer within the budget of {self._budget:g} seconds.")

    async def _guard(self, loop: Loop) -> None:
        """Wait for the end of one budget after another; park when nobody waits."""
        while True:
            self.expire(loop.now())
            next_deadline = self._queue.next_deadline()
            if next_deadline is None:
                self._rest = loop.make_waiter()
                self.is_off_duty = True
                await self._rest
            else:
                await anyio.sleep_until(next_deadline)

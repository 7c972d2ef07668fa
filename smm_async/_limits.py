"""How often a panel is asked: requests are counted as they leave, and wait for their turn before they take a place.

Nothing is reserved: whoever waits looks whether one more may leave, and it is counted at the instant that it does. So
there is nothing to give back when somebody who waits is cancelled.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, TypeAlias

import anyio
import attrs

from smm_async._bounds import check_seconds, check_whole
from smm_async._requests import Departure
from smm_async._transport import Gate, Sender
from smm_async._wire import Question, Reply
from smm_async.errors import NotSentError
from smm_async.panels import Panel

__all__ = ["LimitedTransport", "Limiter", "Limits", "Rates"]

_ALL: Final = "*"
# A timer may go off too early by the resolution of its loop's clock.
_EARLY: Final = 1e-6
_THROTTLED: Final = 429


def _check_requests(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    check_whole(attribute.name, value)


def _check_per(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    check_seconds(attribute.name, value, least=0.001)


@attrs.frozen
class RateLimit:
    """At most so many requests in any stretch of so many seconds, wherever it begins.

    They may leave all at once: 120 in 60 seconds are sent as fast as they come, and the 121st waits for the minute to
    end. ``RateLimit(2, per=1)`` spreads the same number evenly.

    Raises:
        ValueError: a number out of bounds.
    """

    requests: int = attrs.field(validator=_check_requests)
    """At least 1."""
    per: float = attrs.field(default=60.0, validator=_check_per, kw_only=True)
    """Seconds, at least 0.001."""


class Limiter(Protocol):
    """What else may say when a request leaves, such as one that processes share."""

    async def acquire(self) -> object:
        """Return when one more request may leave; what it returns is not looked at.

        It is awaited in tasks of the client's own, once per request; a few may wait in it at the same time. It may be
        cancelled, and must then count nothing. What it raises goes to those who wait for the request.
        """
        ...


Rates: TypeAlias = "RateLimit | Limiter | Mapping[str, RateLimit | Limiter]"


class Quota:
    """What left lately of requests that are counted together, and from when on the next may."""

    def __init__(self, limit: RateLimit | None = None) -> None:
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Begin to count anew: the times are those of an event loop that has ended."""
        self.turnstile = Gate(1)
        """Lets those who wait go one by one, in the order of their arrival."""
        self._left_at = deque[float]()
        self._not_before = -math.inf

    def free_at(self) -> float:
        """Return from when on one more may leave, as far as is known."""
        if self._limit is None or len(self._left_at) < self._limit.requests:
            return self._not_before
        return max(self._not_before, self._left_at[0] + self._limit.per)

    def is_free(self, now: float) -> bool:
        """Return whether one more may leave."""
        return self.free_at() <= now

    def take(self, now: float) -> None:
        """Count one that leaves."""
        if self._limit is not None:
            self._left_at.append(now)
            if len(self._left_at) > self._limit.requests:
                self._left_at.popleft()

    def pause(self, until: float) -> None:
        """Let none leave before ``until``."""
        self._not_before = max(self._not_before, until)

    async def wait(self) -> None:
        """Wait until one more may leave. Others may be faster: look again."""
        while (pause := self.free_at() - anyio.current_time()) > 0:  # noqa: ASYNC110  a panel may have said more meanwhile
            await anyio.sleep(pause + _EARLY)


class _LimiterQuota(Quota):
    """What somebody else counts. A turn that was given is kept for the next request, if its own is not sent."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self._turns = 0

    def is_free(self, now: float) -> bool:
        return self._turns > 0 and super().is_free(now)

    def take(self, now: float) -> None:
        super().take(now)
        self._turns -= 1

    async def wait(self) -> None:
        await super().wait()
        if not self._turns:
            await self._limiter.acquire()
            self._turns += 1


class Limits:
    """The quotas of a client, and the gate that its requests enter when these let them."""

    def __init__(self, rates: Rates, panel: Panel, gate: Gate, longest_pause: float) -> None:
        named: Mapping[str, Any] = rates if isinstance(rates, Mapping) else {_ALL: rates}
        for action, limit in named.items():
            _check_limit(panel, action, limit)
        quotas = {action: Quota(x) if isinstance(x, RateLimit) else _LimiterQuota(x) for action, x in named.items()}
        self._shared = quotas.pop(_ALL, Quota())
        self._own = quotas
        self._gate = gate
        self._longest_pause = longest_pause

    def at(self, action: str) -> _LimitedGate:
        """Return what a request for ``action`` is to enter."""
        return _LimitedGate(self._quotas_of(action), self._gate)

    def reset(self) -> None:
        """Forget who is inside, and what has left: their event loop has ended."""
        for quota in [*self._own.values(), self._shared]:
            quota.reset()
        self._gate.reset()

    def _quotas_of(self, action: str) -> list[Quota]:
        """Return what counts a request for ``action``, the narrowest first."""
        return [self._own[action], self._shared] if action in self._own else [self._shared]

    async def wait(self, action: str) -> None:
        """Wait until a request may leave that has its place: one that repeats another, or comes after one, may have to.

        Raises:
            NotSentError: its turn would come after the deadline of the surrounding scope.
        """
        quotas, now = self._quotas_of(action), anyio.current_time()
        while busy := [quota for quota in quotas if not quota.is_free(now)]:
            if max(quota.free_at() for quota in busy) >= anyio.current_effective_deadline():
                message = f"{action!r} was not sent: the limit of requests leaves no room for it in its time."
                raise NotSentError(message, action=action)
            await busy[0].wait()
            now = anyio.current_time()

    def count(self, action: str) -> None:
        """Count a request that leaves now."""
        now = anyio.current_time()
        for quota in self._quotas_of(action):
            quota.take(now)

    def heed(self, action: str, reply: Reply) -> None:
        """Have all wait that are counted with ``action``, if the panel says that it had too many, and for how long."""
        if reply.status_code == _THROTTLED and reply.retry_after is not None:
            pause = min(reply.retry_after, self._longest_pause)
            self._quotas_of(action)[0].pause(anyio.current_time() + pause)


class _LimitedGate:
    """The gate, for requests that first wait for their turn, so that those without limits find places in it."""

    def __init__(self, quotas: Sequence[Quota], gate: Gate) -> None:
        self._quotas = quotas
        self._gate = gate

    async def __aenter__(self) -> None:
        await self._pass(self._quotas)

    async def _pass(self, quotas: Sequence[Quota]) -> None:
        """Take a place at an instant at which all of ``quotas`` let one more leave."""
        if not quotas:
            await self._gate.__aenter__()
            return
        quota, *others = quotas
        async with quota.turnstile:
            while True:
                await quota.wait()
                await self._pass(others)
                if quota.is_free(anyio.current_time()):
                    return
                # It was a long way to the place. Who repeats a request has one, and never waits for those who wait here.
                await self._gate.__aexit__(None, None, None)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._gate.__aexit__(exc_type, exc, traceback)


class LimitedTransport:
    """Counts what leaves, and has others wait when the panel says so."""

    def __init__(self, limits: Limits, transport: Sender) -> None:
        self._limits = limits
        self._transport = transport

    async def send(self, question: Question, *, limit: int) -> Reply:
        """Send a read when its turn has come."""
        await self._limits.wait(question.action)
        self._limits.count(question.action)
        reply = await self._transport.send(question, limit=limit)
        self._limits.heed(question.action, reply)
        return reply

    async def send_write(self, question: Question, departure: Departure, *, limit: int) -> Reply:
        """Send a write when its turn has come."""
        await self._limits.wait(question.action)
        if not departure.is_stopped:
            self._limits.count(question.action)
        reply = await self._transport.send_write(question, departure, limit=limit)
        self._limits.heed(question.action, reply)
        return reply


def _check_limit(panel: Panel, action: object, limit: object) -> None:
    if action != _ALL and action not in panel.actions:
        message = f"rate_limit has {action!r}, which is neither an action of the panel nor '*', which stands for all."
        raise ValueError(message)
    if not isinstance(limit, RateLimit) and not callable(getattr(limit, "acquire", None)):
        message = f"rate_limit must be of RateLimit or have an acquire() to await, not {limit!r}."
        raise ValueError(message)  # noqa: TRY004  callers have one error to expect of bad arguments

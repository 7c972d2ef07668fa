"""For whom a client's tasks send their requests, and what becomes of each.

An *errand* is what one of the client's tasks is out for: a batch of lookups, or a call that is not merged. It may take
several requests. The task's context holds it, so that whoever sends one need not be told for whom.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar

import attrs

from smm_async._hooks import Teller, bare
from smm_async._tally import Tally
from smm_async._wire import Reply
from smm_async.errors import SmmError
from smm_async.events import Event, Explained, Reason, Request, RequestAnswered, RequestFailed, Retried

__all__ = ["ERRAND", "Errand", "Sent", "note_retry", "one_request"]

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

_LOG: Final = logging.getLogger("smm_async")


class _Telemetry(Protocol):
    """What is told of requests."""

    method: str
    tally: Tally
    teller: Teller


@attrs.define(eq=False)
class Errand:
    """For whom a task sends its requests, and why it sends the next one."""

    telemetry: _Telemetry
    clock: Callable[[], float]
    lookups: int
    asked_at: float
    """When the first of the callers asked."""
    reason: Reason
    askers: tuple[object, ...]
    attempt: int = 1
    sent: Sent | None = None
    """Its last request."""

    def settle(self, outcome: object) -> None:
        """Note what the answer to the last request means."""
        if self.sent is not None and not self.sent.has_ended:
            self.sent.end(outcome if isinstance(outcome, SmmError) else None)

    def lose(self) -> None:
        """Forget the last request, if it has not ended."""
        if self.sent is not None and not self.sent.has_ended:
            self.sent.lose()


ERRAND: ContextVar[Errand] = ContextVar("smm_async_errand")
"""What this task is out for."""


@attrs.define(eq=False)
class Sent:
    """One request on its way, and what came of it. As a context manager it is around the sending.

    It does not hold its errand, which holds it: such a circle, with all ids, would wait for the garbage collector.
    """

    telemetry: _Telemetry
    clock: Callable[[], float]
    lookups: int
    asked_at: float
    askers: tuple[object, ...]
    number: int
    action: str
    url: str
    ids: tuple[str, ...]
    reason: Reason
    attempt: int
    sent_at: float
    status_code: int | None = None
    seconds: float | None = None
    error: str | None = None
    has_ended: bool = False
    _request: Request | None = None

    @property
    def request(self) -> Request:
        """The same record each time, made when it is first asked for."""
        if self._request is None:
            self._request = Request(
                self.number,
                self.action,
                self.telemetry.method,
                self.url,
                self.ids,
                self.lookups,
                max(0.0, self.sent_at - self.asked_at),
                self.reason,
                self.attempt,
                self.sent_at,
                self.askers,
            )
        return self._request

    def take(self, reply: Reply) -> Reply:
        """Note the answer, whose meaning is still to be found out."""
        self.status_code = reply.status_code
        self.seconds = self.clock() - self.sent_at
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, GeneratorExit):
            self.lose()
        elif error is not None:
            self.seconds = self.clock() - self.sent_at
            self.end(error if isinstance(error, SmmError) else None)

    def end(self, error: SmmError | None) -> None:
        """Count it, log it and tell of it."""
        telemetry = self.telemetry
        self.has_ended = True
        self.error = None if error is None else type(error).__name__
        telemetry.tally.end(is_answered=self.status_code is not None, is_refused=error is not None)
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("%s", self.explained())
        if telemetry.teller.hook is not None:
            telemetry.teller.tell(self._ending(None if error is None else bare(error)))

    def lose(self) -> None:
        """Forget it: it is thrown away with its dead loop, perhaps in the middle of anything.

        So nobody is told. What is called here might wait for a lock that the code in the middle holds.
        """
        self.has_ended = True
        self.telemetry.tally.in_flight -= 1

    def _ending(self, error: SmmError | None) -> Event:
        seconds = self.seconds or 0.0
        if self.status_code is None:
            return RequestFailed(self.request, error, seconds)
        return RequestAnswered(self.request, self.status_code, seconds, error)

    def explained(self) -> Explained:
        """Return what can be told of it by now."""
        if not self.has_ended:
            return Explained(self.request, "on its way", None)
        words = [str(self.status_code)] if self.status_code is not None else []
        words += [self.error] if self.error is not None else []
        return Explained(self.request, ", ".join(words) or "given up", self.seconds)


def one_request(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Have what a method makes of its one request noted as what the answer means."""

    async def watched(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # Asked for now: a coroutine that is thrown away ends in whatever context there is.
        errand, outcome = ERRAND.get(), None
        try:
            outcome = await method(self, *args, **kwargs)
        except GeneratorExit:
            errand.lose()
            raise
        except BaseException:
            errand.settle(None)
            raise
        errand.settle(outcome)
        return outcome

    return watched


def note_retry(error: object, pause: float) -> None:
    """Note that this task's request came to ``error``, and will be repeated after ``pause`` seconds."""
    errand = ERRAND.get(None)
    if errand is None or errand.sent is None or not isinstance(error, SmmError):
        return
    errand.reason = Reason.REPEATED
    if errand.telemetry.teller.hook is not None:
        errand.telemetry.teller.tell(Retried(errand.sent.request, bare(error), pause))

"""What a client counts, keeps and tells of its requests.

An *errand* is what one of the client's tasks is out for: a batch of lookups, or a call that is not merged. It may take
several requests. The task's context holds it, so that whoever sends one need not be told for whom.
"""

from __future__ import annotations

import inspect
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar, cast

import attrs

from smm_async._requests import Departure
from smm_async._tickets import Batch, own_copy
from smm_async._transport import Sender
from smm_async._wire import Question, Reply
from smm_async.errors import OutcomeUnknownError, SmmError
from smm_async.events import (
    Event,
    Explained,
    Explanation,
    Hook,
    OrderPlaced,
    OutcomeUnknown,
    Reason,
    Request,
    RequestAnswered,
    RequestFailed,
    RequestSent,
    Retried,
    Stats,
)
from smm_async.models import OrderId

__all__ = ["Telemetry", "WatchedTransport", "check_hook", "note_retry", "one_request"]

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

_LOG: Final = logging.getLogger("smm_async")
# How many requests are explained.
_KEPT: Final = 100
_EXTRA: Final = (Reason.SPLIT, Reason.FOLLOW_UP)


@attrs.define
class _Tally:
    """The counters of `Stats`, by the same names."""

    lookups: int = 0
    batches: int = 0
    ids: int = 0
    places: int = 0
    oldest_waits: float = 0.0
    longest_wait: float = 0.0
    extra_requests: int = 0
    requests: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    retries: int = 0
    placed: int = 0
    unknown: int = 0
    in_flight: int = 0


@attrs.define(eq=False)
class _Errand:
    """For whom a task sends its requests, and why it sends the next one."""

    telemetry: Telemetry
    clock: Callable[[], float]
    lookups: int
    asked_at: float
    """When the first of the callers asked."""
    reason: Reason
    askers: tuple[object, ...]
    attempt: int = 1
    sent: _Sent | None = None
    """Its last request."""

    def settle(self, outcome: object) -> None:
        """Note what the answer to the last request means."""
        if self.sent is not None and not self.sent.has_ended:
            self.sent.end(outcome if isinstance(outcome, SmmError) else None)

    def lose(self) -> None:
        """Forget the last request: it is thrown away with its dead loop, perhaps in the middle of anything.

        So nobody is told. What is called here might wait for a lock that the code in the middle holds.
        """
        if self.sent is not None and not self.sent.has_ended:
            self.sent.has_ended = True
            self.telemetry.tally.in_flight -= 1


_ERRAND: ContextVar[_Errand] = ContextVar("smm_async_errand")


class _Queue(Protocol):
    """What is asked of a coalescer."""

    @property
    def waiting(self) -> int: ...

    @property
    def withdrawn(self) -> int: ...


class Telemetry:
    """Counts what one client does, keeps its last requests, and tells the hook."""

    def __init__(self, method: str, hook: Hook | None) -> None:
        self.method = method
        self.tally = _Tally()
        self.last: deque[_Sent] = deque(maxlen=_KEPT)
        self.hook = hook
        self._capture: Callable[[], object] | None = getattr(hook, "capture", None)
        # By what wakes the callers, and as long as that is there.
        self._captured: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()
        self._has_complained = False

    @property
    def captures(self) -> bool:
        """Whether the hook wants to know who asks."""
        return self._capture is not None

    def note_asker(self, waiter: Any) -> None:
        """Keep what the hook captures of the caller, in whose task this runs."""
        asker = self._ask_hook()
        if asker is not None:
            self._captured[waiter] = asker

    def note_batch(
        self, batch: Batch[Any], reason: Reason, asked_at: float, size: int, clock: Callable[[], float]
    ) -> None:
        """Begin an errand for the lookups that leave the queue at this instant."""
        lookups, tally = batch.count(), self.tally
        if not batch.is_follow_up:
            # Deadline less budget may be a rounding error off.
            waited = max(0.0, clock() - asked_at)
            tally.lookups += lookups
            tally.batches += 1
            tally.ids += len(batch.entries)
            # A limit may have come down since it was sealed.
            tally.places += max(size, len(batch.entries))
            tally.oldest_waits += waited
            if waited > tally.longest_wait:  # noqa: PLR1730  half the time of max()
                tally.longest_wait = waited
        askers = self._askers_of(batch) if self._captured else ()
        _ERRAND.set(_Errand(self, clock, lookups, asked_at, reason, askers))

    def carry(self, job: Callable[[T], Awaitable[Any]], clock: Callable[[], float]) -> Callable[[T], Awaitable[Any]]:
        """Return ``job`` as an errand of the caller's, in whose task this runs."""
        asker = None if self._capture is None else self._ask_hook()
        askers = () if asker is None else (asker,)
        errand = _Errand(self, clock, 1, clock(), Reason.UNMERGED, askers)

        def begin(call: T) -> Awaitable[Any]:
            _ERRAND.set(errand)
            return job(call)

        return begin

    def start(self, question: Question, *, is_write: bool) -> _Sent:
        """Note that a request is about to be sent."""
        errand, tally = _ERRAND.get(), self.tally
        reason = Reason.WRITE if is_write else errand.reason
        errand.attempt = errand.attempt + 1 if reason is Reason.REPEATED else 1
        tally.requests += 1
        tally.in_flight += 1
        tally.retries += reason is Reason.REPEATED
        tally.extra_requests += reason in _EXTRA
        sent = errand.sent = _Sent(
            errand,
            tally.requests,
            question.action,
            question.url,
            question.ids,
            reason,
            errand.attempt,
            errand.clock(),
        )
        if reason is not Reason.UNMERGED:
            # What a task asks more for one batch are parts of it, unless it is said to be a repetition.
            errand.reason = Reason.UNMERGED if is_write else Reason.SPLIT
        self.last.append(sent)
        if self.hook is not None:
            self.tell(RequestSent(sent.request))
        return sent

    def note_order(self, action: str, order: OrderId, ref: str | None) -> None:
        """Note that an order was placed."""
        self.tally.placed += 1
        if self.hook is not None:
            self.tell(OrderPlaced(action, order, ref))

    def note_write(self, question: Question, departure: Departure, ref: str | None, outcome: object) -> None:
        """Note what a write has come to, if nobody knows."""
        unknown = _unknown_in(outcome, question.ids)
        if unknown is None or not departure.may_have_left:
            return
        ids, error = unknown
        self.tally.unknown += 1
        if self.hook is not None:
            self.tell(OutcomeUnknown(question.action, ids, ref, _bare(error)))

    def stats(self, queues: Iterable[_Queue]) -> Stats:
        """Return what was counted, here and by the coalescers."""
        queues = list(queues)
        withdrawn = sum(queue.withdrawn for queue in queues)
        counted = attrs.asdict(self.tally) | {"lookups": self.tally.lookups + withdrawn}
        return Stats(**counted, withdrawn=withdrawn, waiting=sum(queue.waiting for queue in queues))

    def explain(self) -> Explanation:
        """Return the last requests."""
        return Explanation(tuple(sent.explained() for sent in self.last))

    def tell(self, event: Event) -> None:
        """Call the hook. Whatever is wrong with it is logged once, and is nobody else's trouble."""
        assert self.hook is not None  # noqa: S101  events are not made for nobody
        try:
            self.hook(event)
        except Exception as error:  # noqa: BLE001  the user's code may raise anything
            self._complain(error)

    def _ask_hook(self) -> object:
        assert self._capture is not None  # noqa: S101  as above
        try:
            return self._capture()
        except Exception as error:  # noqa: BLE001  as above
            self._complain(error)
            return None

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            _LOG.error("on_event raised; what it raises from now on is not logged.", exc_info=error)

    def _askers_of(self, batch: Batch[Any]) -> tuple[object, ...]:
        askers = (self._captured.get(ticket[2]) for _, ticket in batch.places())
        return tuple({id(asker): asker for asker in askers if asker is not None}.values())


@attrs.define(eq=False)
class _Sent:
    """One request on its way, and what came of it. As a context manager it is around the sending."""

    errand: _Errand
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
            errand = self.errand
            self._request = Request(
                self.number,
                self.action,
                errand.telemetry.method,
                self.url,
                self.ids,
                errand.lookups,
                max(0.0, self.sent_at - errand.asked_at),
                self.reason,
                self.attempt,
                self.sent_at,
                errand.askers,
            )
        return self._request

    def take(self, reply: Reply) -> Reply:
        """Note the answer, whose meaning is still to be found out."""
        self.status_code = reply.status_code
        self.seconds = self.errand.clock() - self.sent_at
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, GeneratorExit):
            self.errand.lose()
        elif error is not None:
            self.seconds = self.errand.clock() - self.sent_at
            self.end(error if isinstance(error, SmmError) else None)

    def end(self, error: SmmError | None) -> None:
        """Count it, log it and tell of it."""
        telemetry = self.errand.telemetry
        tally = telemetry.tally
        self.has_ended = True
        self.error = None if error is None else type(error).__name__
        tally.in_flight -= 1
        if self.status_code is None:
            tally.failed += 1
        else:
            tally.answered += 1
            tally.refused += error is not None
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("%s", self.explained())
        if telemetry.hook is not None:
            telemetry.tell(self._ending(None if error is None else _bare(error)))

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


class WatchedTransport:
    """Notes of each request that it is sent, and how it ends."""

    def __init__(self, transport: Sender, telemetry: Telemetry) -> None:
        self._transport = transport
        self._telemetry = telemetry

    async def send(self, question: Question, *, limit: int) -> Reply:
        """Send a read."""
        with self._telemetry.start(question, is_write=False) as sent:
            return sent.take(await self._transport.send(question, limit=limit))

    async def send_write(self, question: Question, departure: Departure, *, limit: int) -> Reply:
        """Send a write."""
        with self._telemetry.start(question, is_write=True) as sent:
            return sent.take(await self._transport.send_write(question, departure, limit=limit))


def one_request(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Have what a method makes of its one request noted as what the answer means."""

    async def watched(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # Asked for now: a coroutine that is thrown away ends in whatever context there is.
        errand, outcome = _ERRAND.get(), None
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
    errand = _ERRAND.get(None)
    if errand is None or errand.sent is None or not isinstance(error, SmmError):
        return
    errand.reason = Reason.REPEATED
    if errand.telemetry.hook is not None:
        errand.telemetry.tell(Retried(errand.sent.request, _bare(error), pause))


def check_hook(hook: object) -> None:
    """Raise a `ValueError` unless ``hook`` can be called and done with."""
    call = getattr(hook, "__call__", None)  # noqa: B004  it may be an object whose class has an async one
    if call is None or inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(call):
        message = f"on_event must be a function that is not async, not {hook!r}."
        raise ValueError(message)


E = TypeVar("E", bound=SmmError)


def _bare(error: E) -> E:
    """Return an error that is nobody's but the hook's, without the frames it was raised in."""
    copied = own_copy(error)
    return copied if isinstance(copied, type(error)) else error


def _unknown_in(outcome: object, ids: tuple[str, ...]) -> tuple[tuple[str, ...], OutcomeUnknownError] | None:
    """Return which ids of a write are in question, and why; ``None`` if all is known."""
    if isinstance(outcome, OutcomeUnknownError):
        return ids, outcome
    each = cast("dict[str, Any]", outcome) if isinstance(outcome, dict) else {}
    lost = {id_: one for id_, one in each.items() if isinstance(one, OutcomeUnknownError)}
    return (tuple(lost), next(iter(lost.values()))) if lost else None

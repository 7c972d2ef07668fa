"""What a client notes of its requests: it counts them, keeps the last ones, and tells the hook."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from smm_async._errands import ERRAND, Errand, Sent
from smm_async._hooks import Teller, bare
from smm_async._requests import Departure
from smm_async._tally import Tally
from smm_async._tickets import Batch
from smm_async._transport import Sender
from smm_async._wire import Question, Reply
from smm_async.errors import OutcomeUnknownError
from smm_async.events import Explanation, Hook, OrderPlaced, OutcomeUnknown, Reason, RequestSent
from smm_async.models import OrderId

__all__ = ["Telemetry", "WatchedTransport"]

T = TypeVar("T")

# How many requests are explained.
_KEPT: Final = 100


class Telemetry:
    """Counts what one client does, keeps its last requests, and tells the hook."""

    def __init__(self, method: str, hook: Hook | None) -> None:
        self.method = method
        self.tally = Tally()
        self.teller = Teller(hook)
        self._last: deque[Sent] = deque(maxlen=_KEPT)

    def note_batch(
        self, batch: Batch[Any], reason: Reason, asked_at: float, size: int, clock: Callable[[], float]
    ) -> None:
        """Begin an errand for the lookups that leave the queue at this instant."""
        lookups = batch.count()
        if not batch.is_follow_up:
            # Deadline less budget may be a rounding error off.
            self.tally.leave(lookups, len(batch.entries), size, max(0.0, clock() - asked_at))
        ERRAND.set(Errand(self, clock, lookups, asked_at, reason, self.teller.askers_of(batch)))

    def carry(self, job: Callable[[T], Awaitable[Any]], clock: Callable[[], float]) -> Callable[[T], Awaitable[Any]]:
        """Return ``job`` as an errand of the caller's, in whose task this runs."""
        errand = Errand(self, clock, 1, clock(), Reason.UNMERGED, self.teller.asker())

        def begin(call: T) -> Awaitable[Any]:
            ERRAND.set(errand)
            return job(call)

        return begin

    def start(self, question: Question, *, is_write: bool) -> Sent:
        """Note that a request is about to be sent."""
        errand = ERRAND.get()
        reason = Reason.WRITE if is_write else errand.reason
        errand.attempt = errand.attempt + 1 if reason is Reason.REPEATED else 1
        self.tally.send(reason)
        sent = errand.sent = Sent(
            self,
            errand.clock,
            errand.lookups,
            errand.asked_at,
            errand.askers,
            self.tally.requests,
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
        self._last.append(sent)
        if self.teller.hook is not None:
            self.teller.tell(RequestSent(sent.request))
        return sent

    def note_order(self, action: str, order: OrderId, ref: str | None) -> None:
        """Note that an order was placed."""
        self.tally.placed += 1
        if self.teller.hook is not None:
            self.teller.tell(OrderPlaced(action, order, ref))

    def note_write(self, question: Question, departure: Departure, ref: str | None, outcome: object) -> None:
        """Note what a write has come to, if nobody knows."""
        unknown = _unknown_in(outcome, question.ids)
        if unknown is None or not departure.may_have_left:
            return
        ids, error = unknown
        self.tally.unknown += 1
        if self.teller.hook is not None:
            self.teller.tell(OutcomeUnknown(question.action, ids, ref, bare(error)))

    def explain(self) -> Explanation:
        """Return the last requests."""
        return Explanation(tuple(sent.explained() for sent in self._last))


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


def _unknown_in(outcome: object, ids: tuple[str, ...]) -> tuple[tuple[str, ...], OutcomeUnknownError] | None:
    """Return which ids of a write are in question, and why; ``None`` if all is known."""
    if isinstance(outcome, OutcomeUnknownError):
        return ids, outcome
    each = cast("dict[str, Any]", outcome) if isinstance(outcome, dict) else {}
    lost = {id_: one for id_, one in each.items() if isinstance(one, OutcomeUnknownError)}
    return (tuple(lost), next(iter(lost.values()))) if lost else None

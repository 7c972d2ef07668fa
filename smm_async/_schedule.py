"""Whose turn it is to be asked for: the state of a watch, changed only by plain functions that are told the time."""

from __future__ import annotations

import enum
import heapq
import math
import random
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import attrs

from smm_async._poll import Poll
from smm_async.models import OrderStatus

__all__ = ["Outcome", "Schedule", "Turn"]

K = TypeVar("K", bound=Hashable)

_MOST_BATCHES: Final = 8
# An order may be asked for early, to fill a request, when this share of its pause is left.
_RIDES: Final = 0.25
# Pauses of orders that cannot fill a request by themselves end on a grid of up to this share of their length.
_GRID: Final = 0.25


class Outcome(enum.Enum):
    """What a lookup has come to."""

    MOVED = "moved"
    STILL = "still"
    ENDED = "ended"
    MISSING = "missing"
    """The panel does not know the order yet."""
    UNSETTLED = "unsettled"
    """The panel answered, but not about this order."""
    UNANSWERED = "unanswered"
    """No usable answer: by the panel's fault, or that of any order in the request."""
    NOT_NOW = "not now"
    """The panel wants to be left alone for a while, whoever asks for whatever."""


@attrs.define(eq=False)
class Turn(Generic[K]):
    """One open order's place in the schedule. Moments are seconds of the loop's time."""

    order: K
    place: int
    """Its place among all orders, which decides between equals."""
    due_at: float = -math.inf
    pause: float = 0.0
    """How long it is from its last turn to `due_at`."""
    moved_at: float | None = None
    """When it was first seen to stand where it stands."""
    missing_since: float | None = None
    """When the panel first said that it knows no such order, if it has said nothing else since."""
    failures: int = 0
    """How many lookups in a row failed by its own fault."""
    suspicions: int = 0
    """How many requests in a row failed that it was in while the panel answered others."""
    before: OrderStatus | None = None
    """What is known of it."""

    def note(self, outcome: Outcome, now: float) -> float:
        """Keep what a lookup has come to, and return for how many seconds there has been no other news."""
        if outcome is Outcome.MISSING:
            self.missing_since = now if self.missing_since is None else self.missing_since
            return now - self.missing_since
        if outcome is Outcome.MOVED or self.moved_at is None:
            self.moved_at = now
        if outcome is not Outcome.UNSETTLED:
            self.missing_since = None
        return now - self.moved_at

    def size(self, batch: int) -> int:
        """Return in how large a request it may be: the one that spoils all it is in is found by halving them."""
        return max(1, batch >> self.suspicions)


_Heap: TypeAlias = list[tuple[float, int, Turn[K]]]


class Schedule(Generic[K]):
    """Decides which orders are asked for together, and when each is next.

    `take()` orders, look them up, and `settle()` what came of it, or `put_back()` all.
    """

    def __init__(self, orders: Iterable[K], poll: Poll, *, jitter: random.Random | None = None) -> None:
        self._poll = poll
        self._jitter = random.Random() if jitter is None else jitter  # noqa: S311  spreads load, guards nothing
        self._batch = 1
        # Every open order is in one of the first three, or taken. Two heaps, by due time: those that failed together
        # with others are asked apart from the rest. In limbo are those of whom it is not known yet whose fault it was.
        self._heap: _Heap[K] = [(-math.inf, place, Turn(order, place)) for place, order in enumerate(orders)]
        self._suspects: _Heap[K] = []
        self._limbo: deque[Turn[K]] = deque()
        self._open = len(self._heap)
        self._setbacks = 0
        self._quiet_until = -math.inf

    def __len__(self) -> int:
        """Return how many orders have not ended."""
        return self._open

    @property
    def setbacks(self) -> int:
        """How many times in a row the panel has answered nothing at all; at least 2 where it asked to be left alone."""
        return self._setbacks

    @property
    def next_at(self) -> float:
        """When the next orders are to be taken."""
        if self._setbacks:
            return self._quiet_until
        return min(heap[0][0] for heap in (self._heap, self._suspects) if heap)

    def take(self, now: float, batch: int) -> list[Turn[K]]:
        """Return the orders to ask for now, where one request can hold ``batch`` ids; none if it is too early.

        Once one is due, those that nearly are ride along in what room is left in the last request.
        """
        if now < self.next_at:
            return []
        self._batch = batch
        if self._setbacks:
            return [self._probe()]
        is_suspect = not self._heap or (bool(self._suspects) and self._suspects[0] < self._heap[0])
        if is_suspect:
            size = self._suspects[0][2].size(batch)
            return self._take_due(self._suspects, now, size, size)
        return self._take_due(self._heap, now, batch, batch * _MOST_BATCHES)

    def _take_due(self, heap: _Heap[K], now: float, batch: int, most: int) -> list[Turn[K]]:
        taken: list[Turn[K]] = []
        passed_over: _Heap[K] = []
        horizon = now + _RIDES * self._poll.longest
        while heap and len(taken) < most and len(passed_over) < batch:
            due_at, _, turn = heap[0]
            if due_at > now and (len(taken) % batch == 0 or due_at > horizon):
                break
            place = heapq.heappop(heap)
            is_crowded = turn.suspicions > 0 and len(taken) >= turn.size(self._batch)
            if is_crowded or due_at - _RIDES * turn.pause > now:
                passed_over.append(place)
            else:
                taken.append(turn)
        for place in passed_over:
            heapq.heappush(heap, place)
        return taken

    def _probe(self) -> Turn[K]:
        """Return the one order by which to see whether the panel is back: another one each time."""
        heap = self._heap or self._suspects
        return heapq.heappop(heap)[2] if heap else self._limbo.popleft()

    def put_back(self, turns: Iterable[Turn[K]]) -> None:
        """Return orders that were taken and not looked up: it is still their turn."""
        for turn in turns:
            self._push(turn, turn.due_at, turn.pause)

    def settle(
        self, turns: Sequence[Turn[K]], outcomes: Sequence[Outcome], now: float, *, leave_alone: float = 0.0
    ) -> None:
        """Decide when the orders that were taken are next, by what their lookups have come to.

        ``leave_alone`` is how many seconds the panel asked to wait, where an outcome is `Outcome.NOT_NOW`.
        """
        unanswered: list[Turn[K]] = []
        not_now: list[Turn[K]] = []
        for turn, outcome in zip(turns, outcomes, strict=True):
            if outcome is Outcome.UNANSWERED:
                unanswered.append(turn)
            elif outcome is Outcome.NOT_NOW:
                not_now.append(turn)
            else:
                self._settle_one(turn, outcome, now)
        if len(unanswered) + len(not_now) < len(turns):
            self._recover(now)
            self._blame(unanswered, now)
            unanswered = []
        if unanswered or not_now:
            self._limbo += unanswered
            self._limbo += not_now
            self._step_back(now, leave_alone, is_told=bool(not_now))

    def _settle_one(self, turn: Turn[K], outcome: Outcome, now: float) -> None:
        if outcome is Outcome.ENDED:
            self._open -= 1
            return
        silence = turn.note(outcome, now)
        turn.suspicions = 0
        turn.failures = turn.failures + 1 if outcome is Outcome.UNSETTLED else 0
        if turn.failures:
            pause = self._poll.delay_after_failures(turn.failures, silence, lot=self._jitter.random())
        else:
            pause = self._poll.next_delay(silence, lot=self._jitter.random())
        self._push(turn, self._meet(now + pause, pause), pause)

    def _blame(self, turns: Sequence[Turn[K]], now: float) -> None:
        """Ask these apart from the others, in smaller and smaller parts; and one that failed alone less and less."""
        for turn in turns:
            turn.suspicions += 1
            turn.failures += len(turns) == 1
            pause = self._poll.delay_after_failures(turn.failures, lot=self._jitter.random())
            self._push(turn, now + pause, pause)

    def _recover(self, now: float) -> None:
        """Take note that the panel answers: if it did all the time, the orders in limbo are to blame."""
        limbo, self._limbo = list(self._limbo), deque()
        if self._setbacks == 1:
            self._blame(limbo, now)
        else:
            self.put_back(limbo)
        self._setbacks = 0

    def _step_back(self, now: float, leave_alone: float, *, is_told: bool) -> None:
        """Leave the panel alone for longer and longer; but after the first failure, see at once if it is the panel's."""
        self._setbacks = max(self._setbacks + 1, 2 if is_told else 1)
        if self._setbacks == 1:
            self._quiet_until = now
        else:
            pause = self._poll.delay_after_failures(self._setbacks - 2, lot=self._jitter.random())
            pause = max(pause, min(leave_alone, self._poll.longest))
            self._quiet_until = self._meet(now + pause, pause)

    def _meet(self, due_at: float, pause: float) -> float:
        """Return a moment soon after ``due_at`` at which others, in watches of their own, are likely to be due, too.

        An order alone fills no request. Where many watch one order each, their lookups are merged if they fall on the
        same moment: a multiple of a power of two, so that short and long pauses meet.
        """
        if self._open >= self._batch:
            return due_at
        grid = 2.0 ** math.floor(math.log2(_GRID * pause))
        return math.ceil(due_at / grid) * grid

    def _push(self, turn: Turn[K], due_at: float, pause: float) -> None:
        turn.due_at, turn.pause = due_at, pause
        heapq.heappush(self._suspects if turn.suspicions else self._heap, (due_at, turn.place, turn))

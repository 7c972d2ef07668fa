"""What the answer to one lookup means for a tracked order: no waiting, no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import attrs

from smm_async._poll import Poll
from smm_async._rows import fit_text
from smm_async._store import Due, EndKind, News
from smm_async.errors import (
    MaintenanceError,
    NoAnswerError,
    NotSentError,
    RateLimitedError,
    SmmError,
    UnknownOrderError,
    UnresolvedError,
)
from smm_async.models import OrderStatus

__all__ = ["Answer", "Health", "count_errors", "news_of", "put_off", "returned"]

Answer: TypeAlias = OrderStatus | SmmError

_TOLERATED: Final = 3
_SHORTEST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0
_LONGEST_RETRY_AFTER: Final = 3600.0
# Fewer orders than this may all be missing; where this many are, the panel has answered nothing, most likely.
_MANY: Final = 10
_MOST_DOUBTED: Final = 10_000
_MOST_REQUESTS: Final = 10


def news_of(due: Due, answer: Answer, *, poll: Poll, max_misses: int | None, lot: float) -> News:
    """Return what to write down about an order, and when to ask again."""
    if isinstance(answer, OrderStatus):
        return _heard(due, answer, poll, lot)
    if isinstance(answer, (UnknownOrderError, UnresolvedError)):
        misses = due.misses + 1
        is_lost = max_misses is not None and misses >= max_misses
        later = poll.delay_after_failures(misses, due.silence, lot=lot)
        end = EndKind.UNKNOWN if is_lost else None
        return News(due.id, due.claim, due.version, later, misses=misses, end=end)
    # The panel did not get to it, which says nothing about the order.
    return News(due.id, due.claim, due.version, poll.delay_after_failures(1, due.silence, lot=lot), misses=due.misses)


def _heard(due: Due, answer: OrderStatus, poll: Poll, lot: float) -> News:
    # What is kept of it is what the next one is compared with.
    word = fit_text(answer.status)
    silence = due.silence if word == due.status else 0.0
    return News(
        due.id,
        due.claim,
        due.version,
        poll.next_delay(silence, lot=lot),
        status=word,
        state=answer.state.value,
        charge=answer.charge,
        start_count=answer.start_count,
        remains=answer.remains,
        currency=answer.currency,
        end=EndKind.ENDED if answer.state.is_terminal else None,
    )


def returned(due: Due) -> News:
    """Return what gives an order back as it was, for somebody else to look up at once."""
    return News(due.id, due.claim, due.version, 0.0, misses=due.misses)


def put_off(due: Due, news: News, *, poll: Poll, lot: float) -> News:
    """Return news of an end without the end, where that cannot be recorded now.

    The word is kept, so that the order comes again after a share of the time since its end was first heard: the longer
    it has failed, the later.
    """
    silence = due.silence if news.status in (None, due.status) else 0.0
    later = poll.delay_after_failures(1, silence, lot=lot)
    return attrs.evolve(news, due_in=max(news.due_in, later), end=None)


def count_errors(answers: Mapping[str, Answer]) -> dict[str, int]:
    """Return how many of the answers were errors, by the names of their classes."""
    return dict(Counter(type(answer).__name__ for answer in answers.values() if isinstance(answer, SmmError)))


@attrs.define
class Health:
    """How a panel does, from one claim to the next, as this worker sees it."""

    failures: int = 0
    """How many claims in a row got no answer at all."""
    requests: int = _MOST_REQUESTS
    """How many requests to claim orders for: no more than find a slot of the client's, and a turn, in their budget."""
    doubts: int = 0
    """How many claims that named none of their orders were not believed, since an order of one of them was named."""
    _doubted: Counter[str] = attrs.field(factory=Counter[str])
    """How many times each order was not believed to be missing, since it was named; of the last ten thousand."""

    def read(self, answers: Mapping[str, Answer]) -> Mapping[str, Answer]:
        """Take note of the answers to one claim, and return them as they are to be understood.

        A panel that names none of many orders has not answered, whatever it said: at first that is no miss of theirs.
        But they may all be lost: after some such claims, and for each order after as many, it is one.
        """
        # Almost all answers are no errors: what follows looks at few.
        errors = {id_: answer for id_, answer in answers.items() if isinstance(answer, SmmError)}
        is_late = any(isinstance(error, NotSentError) for error in errors.values())
        self.requests = max(1, self.requests // 2) if is_late else min(self.requests + 1, _MOST_REQUESTS)
        misses = [id_ for id_, error in errors.items() if isinstance(error, (UnknownOrderError, UnresolvedError))]
        names_any = len(errors) < len(answers)
        self._believe(answers)
        doubted: dict[str, Answer] = {}
        if not names_any and len(misses) >= _MANY and self.doubts < _TOLERATED:
            doubted = self._doubt(misses)
        is_up = names_any or len(misses) > len(doubted)
        self.failures = 0 if is_up else self.failures + 1
        return {**answers, **doubted} if doubted else answers

    def _believe(self, answers: Mapping[str, Answer]) -> None:
        """Begin anew where a doubted order is named: doubt was right. Other orders' being named tells nothing of it."""
        back = [id_ for id_ in self._doubted.keys() & answers.keys() if isinstance(answers[id_], OrderStatus)]
        if back:
            self.doubts = 0
        for id_ in back:
            del self._doubted[id_]

    def _doubt(self, misses: Sequence[str]) -> dict[str, Answer]:
        """Return what to take misses for, those of orders that were not doubted too often."""
        doubted = [id_ for id_ in misses if self._doubted[id_] < _TOLERATED]
        self.doubts += bool(doubted)
        self._doubted.update(doubted)
        for id_ in list(self._doubted)[:-_MOST_DOUBTED]:
            del self._doubted[id_]
        return {id_: NoAnswerError("The panel has named none of the orders.") for id_ in doubted}

    def pause(self, answers: Sequence[Answer]) -> float:
        """Return for how many seconds all workers should leave the panel alone; 0 if they need not."""
        asked = [
            min(answer.retry_after, _LONGEST_RETRY_AFTER)
            for answer in answers
            if isinstance(answer, (RateLimitedError, MaintenanceError)) and answer.retry_after is not None
        ]
        return max([0.0, self._backoff(), *asked])

    def _backoff(self) -> float:
        if self.failures < _TOLERATED:
            return 0.0
        # No float holds two to the power of very many failures.
        return min(_SHORTEST_PAUSE * 2.0 ** min(self.failures - _TOLERATED, 64), _LONGEST_PAUSE)

    def refused(self) -> float:
        """Return for how many seconds to pause when the key or the account was refused."""
        self.failures += 1
        return _LONGEST_PAUSE

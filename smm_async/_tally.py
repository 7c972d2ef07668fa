"""What a client counts: the figures of `smm_async.events.Stats`, as they grow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import attrs

from smm_async.events import Reason, Stats

__all__ = ["Tally"]

_EXTRA: Final = (Reason.SPLIT, Reason.FOLLOW_UP)


class _Queue(Protocol):
    """What is asked of a coalescer."""

    @property
    def waiting(self) -> int: ...

    @property
    def withdrawn(self) -> int: ...


@attrs.define
class Tally:
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

    def leave(self, lookups: int, ids: int, size: int, waited: float) -> None:
        """Count a batch that leaves the queue, with room for ``size`` ids."""
        self.lookups += lookups
        self.batches += 1
        self.ids += ids
        # A limit may have come down since it was sealed.
        self.places += max(size, ids)
        self.oldest_waits += waited
        if waited > self.longest_wait:  # noqa: PLR1730  half the time of max()
            self.longest_wait = waited

    def send(self, reason: Reason) -> None:
        """Count a request that is about to be sent."""
        self.requests += 1
        self.in_flight += 1
        self.retries += reason is Reason.REPEATED
        self.extra_requests += reason in _EXTRA

    def end(self, *, is_answered: bool, is_refused: bool) -> None:
        """Count a request that has ended."""
        self.in_flight -= 1
        self.answered += is_answered
        self.refused += is_answered and is_refused
        self.failed += not is_answered

    def stats(self, queues: Iterable[_Queue]) -> Stats:
        """Return what was counted, here and by the coalescers."""
        queues = list(queues)
        withdrawn = sum(queue.withdrawn for queue in queues)
        counted = attrs.asdict(self) | {"lookups": self.lookups + withdrawn}
        return Stats(**counted, withdrawn=withdrawn, waiting=sum(queue.waiting for queue in queues))

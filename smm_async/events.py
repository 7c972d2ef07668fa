"""What a client tells of itself while it works: the records that ``on_event`` gets, and those of `explain()`.

None of them holds the key. An ``error`` has the panel's own words, at most 200 characters, which may repeat a link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import attrs

from smm_async._reasons import Reason
from smm_async.errors import OutcomeUnknownError, SmmError
from smm_async.models import OrderId

__all__ = [
    "Event",
    "Explained",
    "Explanation",
    "Hook",
    "OrderPlaced",
    "OutcomeUnknown",
    "Reason",
    "Request",
    "RequestAnswered",
    "RequestFailed",
    "RequestSent",
    "Retried",
    "Stats",
]

_FEW: Final = 4


@attrs.frozen(eq=False)
class Request:
    """One request, as it left. Each is equal to itself only."""

    number: int
    """Counts a client's requests, from 1."""
    action: str
    method: str
    url: str
    """The address, without what the client adds to it."""
    ids: tuple[str, ...]
    """What it asks about; none in most requests that are not merged."""
    lookups: int
    """For how many lookups the batch went that it belongs to, and 1 where nothing is merged.

    More than there are ids where several callers wait for the same one; fewer if it repeats only a part.
    """
    waited: float
    """Seconds that the oldest of its callers had waited by then."""
    reason: Reason
    attempt: int
    """1, or more if it repeats one that failed."""
    sent_at: float
    """Seconds of the event loop's clock."""
    askers: tuple[object, ...] = attrs.field(default=(), repr=False)
    """What `Hook` objects have captured of the callers, each once, in the order of the ids; `explain()` prints texts."""


@attrs.frozen
class RequestSent:
    """A request is about to be sent. Its end is told by `RequestAnswered` or `RequestFailed`."""

    request: Request


@attrs.frozen
class RequestAnswered:
    """The panel has answered, if only to refuse."""

    request: Request
    status_code: int
    seconds: float
    """From its sending to the end of its answer."""
    error: SmmError | None
    """What the answer means for all that was asked, if it is an error; errors about single ids are not told here."""


@attrs.frozen
class RequestFailed:
    """No usable answer came."""

    request: Request
    error: SmmError | None
    """``None``: it was given up, at the end of its budget or with its client."""
    seconds: float


@attrs.frozen
class Retried:
    """A read has failed and will be repeated."""

    request: Request
    error: SmmError
    pause: float
    """Seconds until then."""


@attrs.frozen
class OrderPlaced:
    """An order was sent, and the panel gave it an id. One that the journal knew from before is not told of."""

    action: str
    order: OrderId
    ref: str | None


@attrs.frozen
class OutcomeUnknown:
    """A write was sent, and nobody knows what came of it: look at the panel, and never repeat it blindly."""

    action: str
    ids: tuple[str, ...]
    """Those in question; none if it was an order."""
    ref: str | None
    """What an order is called in the journal, if there is one."""
    error: OutcomeUnknownError


Event: TypeAlias = RequestSent | RequestAnswered | RequestFailed | Retried | OrderPlaced | OutcomeUnknown
Hook: TypeAlias = Callable[[Event], object]
"""What is called with each event, as it happens.

If it has a method ``capture()``, that is called without arguments in the task of each caller, when it asks, and what it
returns, unless it is ``None``, is among the ``askers`` of the requests that go for this caller. So a span of the
caller's may be linked to that of the request, which runs in a task without any.
"""


@attrs.frozen
class Stats:
    """What a client has done so far, counted from its making, and what waits at this instant."""

    lookups: int
    """Ids that were looked up, counted for each caller: sent, or withdrawn before. Those that still wait are not in."""
    withdrawn: int
    """Lookups of these that were never sent: cancelled, out of time, or ended by an error that concerned everybody."""
    batches: int
    """Requests that took lookups from the queue; repeated ones, parts of others and follow-ups are not in."""
    ids: int
    """Ids in those batches; one that several wait for counts once."""
    places: int
    """Ids that there was room for in those batches."""
    oldest_waits: float
    """Seconds that the oldest lookup of each batch had waited, summed up."""
    longest_wait: float
    """Seconds that the oldest lookup of all had waited."""
    extra_requests: int
    """Follow-ups, and parts of batches that were not answered as a whole."""
    requests: int
    """All requests that were sent, writes and repetitions included."""
    answered: int
    """Requests with an answer, refusals among them."""
    refused: int
    """Requests whose answer was an error for all that was asked."""
    failed: int
    """Requests without a usable answer, those given up among them."""
    retries: int
    """Requests that repeated one that had failed."""
    placed: int
    """Orders with an id from the panel."""
    unknown: int
    """Writes of which nobody knows what came of them."""
    waiting: int
    """Ids in the queue now."""
    in_flight: int
    """Requests on their way now."""

    @property
    def fill(self) -> float:
        """How full batches were on average, from 0 to 1; 0 before the first."""
        return self.ids / self.places if self.places else 0.0

    @property
    def mean_wait(self) -> float:
        """How many seconds the oldest lookup of a batch had waited on average; 0 before the first batch."""
        return self.oldest_waits / self.batches if self.batches else 0.0

    @property
    def saved_by_merging(self) -> int:
        """How many more requests there would be if each lookup that was sent had had one of its own."""
        return self.lookups - self.withdrawn - self.batches - self.extra_requests

    @property
    def saved_by_cancelling(self) -> int:
        """How many lookups were never sent, for nobody waited for them any more."""
        return self.withdrawn


@attrs.frozen
class Explained:
    """One request, and what came of it."""

    request: Request
    outcome: str
    """``"on its way"``, a status code, or the name of an error; both, where an answer was an error."""
    seconds: float | None
    """From its sending to its end."""

    def __str__(self) -> str:
        request = self.request
        what = f"#{request.number} {request.action}{_listed(request.ids)}"
        shared = f" for {request.lookups} lookups" if request.ids and request.lookups > 1 else ""
        names = [" ".join(asker.split()) for asker in request.askers if isinstance(asker, str)]
        by = f" by {_few(names)}" if names else ""
        took = "" if self.seconds is None else f" after {self.seconds:.3f} s"
        return f"{what}{shared}{by}: {self.outcome}{took}; left {_WHY[request.reason]}, after {request.waited:.3f} s at most"


@attrs.frozen
class Explanation:
    """The last requests of a client, the oldest first. Printed, it says why each left when it did."""

    requests: tuple[Explained, ...]

    def __len__(self) -> int:
        return len(self.requests)

    def __iter__(self) -> Iterator[Explained]:
        return iter(self.requests)

    def __str__(self) -> str:
        return "\n".join(map(str, self.requests)) or "Nothing was sent yet."


_WHY: Final = {
    Reason.IDLE: "at once: nothing like it was on its way",
    Reason.FULL: "because it was full",
    Reason.PACED: "when a slot was free and response time / slots had passed since the last",
    Reason.LINGERED: "when max_delay was over",
    Reason.FOLLOW_UP: "because a batch had left this id open",
    Reason.REPEATED: "because the attempt before had failed in passing",
    Reason.SPLIT: "because a larger one was not answered as a whole",
    Reason.UNMERGED: "by itself: such reads are not merged",
    Reason.WRITE: "by itself: writes are not merged",
}


def _listed(ids: tuple[str, ...]) -> str:
    if not ids:
        return ""
    count = "1 id" if len(ids) == 1 else f"{len(ids)} ids"
    return f" of {count} ({_few(ids)})"


def _few(texts: Sequence[str]) -> str:
    return ", ".join(texts) if len(texts) <= _FEW else f"{', '.join(texts[: _FEW - 1])} ... {texts[-1]}"

"""Who waits for which key: the state of a coalescer, changed only by these plain functions.

A *ticket* is one caller's place: when its budget ends, what it asks for, and what wakes it. An *entry* is all that
wait for one key: a ticket, or several by their identities, the oldest first, where several callers ask for the same.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import filterfalse
from typing import Any, Generic, TypeAlias, TypeVar

import attrs

from smm_async._backend import Loop, Waiter
from smm_async.errors import SmmError

K = TypeVar("K", bound=Hashable)

# (deadline in seconds of the loop's time, key, who waits). A tuple, for there may be a million of them. What is asked for
# in one go, by the caller of a list, has one ticket for all its keys, which names none.
Ticket: TypeAlias = "tuple[float, Any, Waiter | Crowd]"
# By identity, since two tickets of one stream for one key are equal; so that one of very many leaves at once.
Entry: TypeAlias = "Ticket | dict[int, Ticket]"

# A key, and the ticket of one who waits for it.
Place: TypeAlias = "tuple[Any, Ticket]"

_FEWEST_TO_PRUNE = 1000
_NEVER = math.inf


class Crowd:
    """One caller that waits for many keys with one wake-up."""

    def __init__(self, loop: Loop, results: dict[Any, Any]) -> None:
        self._loop = loop
        self._results = results
        self._bell: Waiter | None = None
        self._enough = 0
        self.open: dict[Any, Ticket] = {}
        """What is still waited for."""
        self.stop: Exception | None = None
        """The error that concerns everybody, so that nothing more need be asked."""

    def waits_for(self, _: Ticket, key: Any, /) -> bool:
        """Return whether the key is open, and the caller there: its bell is done while it hangs if it was cancelled."""
        return key in self.open and (self._bell is None or not self._bell.done())

    def is_done_with(self, _: Ticket, /) -> bool:
        """Return whether it is certain that nothing of the ticket is open."""
        return not self.open

    def left_of(self, ticket: Ticket, /) -> list[Any]:
        """Return the keys of the ticket that are open."""
        return [key for key, own in self.open.items() if own is ticket]

    def answer(self, _: Ticket, key: Any, result: Any, /) -> None:
        """Keep the result, unless it came too late."""
        bell = self._bell
        if (bell is not None and bell.done()) or self.open.pop(key, None) is None:
            return
        self._results[key] = result
        self._ring_if_enough()

    def _ring_if_enough(self) -> None:
        if self._bell is not None and len(self.open) <= self._enough:
            self._bell.set_result(None)
            self._bell = None

    def answer_plainly(self, results: Mapping[Any, Any]) -> bool:
        """Keep these results and return true, if all are values, and all their keys open: that is a third of the work."""
        if not self.open.keys() >= results.keys():
            return False
        if any(issubclass(kind, Exception) for kind in {*map(type, results.values())}):
            return False
        if self._bell is None or not self._bell.done():
            self._results.update(results)
            for key in results:
                del self.open[key]
            self._ring_if_enough()
        return True

    def stop_for(self, ticket: Ticket, key: Any, error: Exception, /) -> None:
        """Answer with an error that concerns everybody."""
        self.stop = error
        self.answer(ticket, key, own_copy(error))

    async def wait_until_left(self, few: int) -> None:
        """Wait until at most ``few`` keys are open."""
        if len(self.open) > few:
            self._enough = few
            self._bell = self._loop.make_waiter()
            await self._bell


def is_open(ticket: Ticket, key: Any) -> bool:
    """Return whether somebody still waits for ``key`` with this ticket."""
    waiter = ticket[2]
    return waiter.waits_for(ticket, key) if isinstance(waiter, Crowd) else not waiter.done()


def is_done(ticket: Ticket) -> bool:
    """Return whether it is certain that nobody waits with this ticket any more."""
    waiter = ticket[2]
    return waiter.is_done_with(ticket) if isinstance(waiter, Crowd) else waiter.done()


def answer(ticket: Ticket, key: Any, result: Any) -> None:
    """Wake the holder of ``ticket`` with what ``key`` stands for; an exception is raised there."""
    waiter = ticket[2]
    if isinstance(waiter, Crowd):
        waiter.answer(ticket, key, result)
    elif not waiter.done():
        waiter.set_result(result)


def answer_entry(entry: Entry, key: Any, result: Any) -> None:
    """Wake all that wait for one key; each gets an exception object of its own."""
    if isinstance(result, Exception):
        for ticket in tickets_of(entry):
            answer(ticket, key, own_copy(result))
    elif isinstance(entry, tuple):
        answer(entry, key, result)
    else:
        for ticket in entry.values():
            answer(ticket, key, result)


def answer_all(places: Iterable[Place], error: Exception, *, stop: bool) -> None:
    """Wake all holders with ``error``; whoever waits for many keys has it once, if it is to ``stop`` them."""
    for key, ticket in places:
        if stop and isinstance(ticket[2], Crowd):
            ticket[2].stop_for(ticket, key, error)
        else:
            answer(ticket, key, own_copy(error))


def tickets_of(entry: Entry) -> list[Ticket]:
    """Return the tickets of an entry, the oldest first."""
    return [entry] if isinstance(entry, tuple) else list(entry.values())


def deadline_of(entry: Entry, key: Any) -> float | None:
    """Return when the last of those who still wait with an entry gives up, or ``None`` if nobody waits."""
    # A cancelled caller is known here before its own task has run.
    if isinstance(entry, tuple):
        # As `is_open()` has it: a call less for each lookup.
        waiter = entry[2]
        is_there = waiter.waits_for(entry, key) if isinstance(waiter, Crowd) else not waiter.done()
        return entry[0] if is_there else None
    return max((ticket[0] for ticket in entry.values() if is_open(ticket, key)), default=None)


def own_copy(error: Exception) -> Exception:
    """Return ``error`` for one more waiter: one object raised by many would mix and pile up their tracebacks.

    An error of this library comes without the frames it was raised in, which hold what the server said. A foreign
    one keeps them, for they show its cause; if it cannot be copied, it is shared.
    """
    try:
        mine = copy.copy(error)
        # A class that makes its message of its arguments has made it twice.
        mine.args = error.args
        if hasattr(error, "__notes__"):
            mine.__notes__ = [*error.__notes__]
    except Exception:  # noqa: BLE001  what a foreign exception does when copied is its own affair
        return error
    if type(mine) is not type(error):
        return error
    if isinstance(error, SmmError):
        return mine
    mine.__cause__, mine.__context__ = error.__cause__, error.__context__
    mine.__suppress_context__ = error.__suppress_context__
    return mine.with_traceback(error.__traceback__)


@attrs.define(eq=False)
class Batch(Generic[K]):
    """What one request asks for."""

    entries: dict[K, Entry]
    deadline: float
    """When the youngest of its callers gives up."""
    only: Entry | None = None
    """The entry that all its keys share, where one caller has asked for them in one go."""
    is_follow_up: bool = False
    """Whether its key was left open by another batch."""

    def count(self) -> int:
        """Return how many tickets are in it, one for each key of a list."""
        entries = self.entries.values()
        # Nearly always as many as there are keys, which is found out at the speed of C.
        if list(map(type, entries)).count(tuple) == len(entries):
            return len(entries)
        return sum(len(tickets_of(entry)) for entry in entries)

    def oldest_deadline(self) -> float:
        """Return when the first that asked for its first key gives up, or would have."""
        return tickets_of(next(iter(self.entries.values())))[0][0]

    def answer_plainly(self, answers: Mapping[K, Any]) -> bool:
        """Answer and return true, if one list has asked for all of it, and has a value for each key and no more."""
        crowd = self.only[2] if isinstance(self.only, tuple) else None
        # Other mappings may be of two minds about what they hold.
        if type(crowd) is not Crowd or type(answers) is not dict or answers.keys() != self.entries.keys():
            return False
        return crowd.answer_plainly(answers)  # pyright: ignore[reportUnknownArgumentType]  the type was all that was asked

    def places(self) -> Iterator[Place]:
        """Yield every key with every ticket for it."""
        return _places_of(self.entries.items())


class Queue(Generic[K]):
    """The tickets that no slot has taken yet, in the order of their arrival, and the deadlines of all."""

    def __init__(self) -> None:
        # `_waiting` is what counts; `_order` may name keys that have left, and one key twice. Both together are
        # a dictionary that can be emptied from the front at a constant price, which `dict` alone cannot.
        self._waiting: dict[K, Entry] = {}
        self._order: deque[K] = deque()
        self._alone: deque[tuple[K, Entry]] = deque()
        self._deadlines: deque[Ticket] = deque()
        self._prune_at = _FEWEST_TO_PRUNE
        self.withdrawn = 0
        """How many tickets went out of the line without being taken."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._alone)

    def holds_batch(self, size: int) -> bool:
        """Return whether a request can go that would not be fuller if it went later."""
        return len(self._waiting) >= size or bool(self._alone)

    def join(self, ticket: Ticket) -> None:
        """Add a ticket to those of the same key, or as the last in line. Tickets must come in order of deadlines."""
        key = ticket[1]
        if self._waiting.setdefault(key, ticket) is ticket:
            self._order.append(key)
        else:
            self._share(key, ticket)
        if ticket[0] < _NEVER:
            self._deadlines.append(ticket)

    def join_all(self, keys: Mapping[K, Ticket], ticket: Ticket) -> None:
        """Add one ticket for different keys, as `join()` does for one."""
        shared = self._waiting.keys() & keys.keys()
        for key in shared:
            self._share(key, ticket)
        new = {key: ticket for key in keys if key not in shared} if shared else keys
        self._waiting.update(new)
        self._order.extend(new)
        if ticket[0] < math.inf:
            self._deadlines.append(ticket)

    def _share(self, key: K, ticket: Ticket) -> None:
        entry = self._waiting[key]
        if isinstance(entry, dict):
            entry[id(ticket)] = ticket
        else:
            self._waiting[key] = {id(entry): entry, id(ticket): ticket}

    def leave(self, ticket: Ticket, key: K) -> bool:
        """Take a ticket out of the line for ``key``, and return whether it stood there. The last of them takes it along."""
        entry = self._waiting.get(key)
        if entry is ticket:
            del self._waiting[key]
            self._forget_gaps()
            self.withdrawn += 1
            return True
        if not isinstance(entry, dict) or entry.pop(id(ticket), None) is None:
            return False
        self.withdrawn += 1
        if len(entry) == 1:
            (self._waiting[key],) = entry.values()
        return True

    def _forget_gaps(self) -> None:
        if len(self._order) > 2 * len(self._waiting) + _FEWEST_TO_PRUNE:
            self._order = deque(self._waiting)

    def ask_alone(self, key: K, entry: Entry) -> None:
        """Put back what a batch did not settle: it goes next, and by itself."""
        tickets = {id(ticket): ticket for ticket in tickets_of(entry) if is_open(ticket, key)}
        if tickets:
            self._alone.append((key, tickets))

    def take(self, size: int) -> Batch[K] | None:
        """Return the next request's keys, at most ``size``: only those that somebody waits for at this instant."""
        return self._take_alone() or self._take_first(size)

    def _take_alone(self) -> Batch[K] | None:
        while self._alone:
            key, entry = self._alone.popleft()
            deadline = deadline_of(entry, key)
            if deadline is not None:
                return Batch({key: entry}, deadline, is_follow_up=True)
        return None

    def _take_first(self, size: int) -> Batch[K] | None:
        entries: dict[K, Entry] = {}
        latest, last, is_mixed = 0.0, None, False
        waiting, order = self._waiting, self._order
        while order and len(entries) < size:
            key = order.popleft()
            entry = waiting.pop(key, None)
            if entry is None:
                continue
            # The caller of a list is there for all that it has in line, or for none.
            if entry is not last:
                deadline = deadline_of(entry, key)
                if deadline is None:
                    self.withdrawn += len(tickets_of(entry))
                    continue
                is_mixed = last is not None
                last = entry
                if deadline > latest:  # noqa: PLR1730  half the time of max()
                    latest = deadline
            entries[key] = entry
        return Batch(entries, latest, None if is_mixed else last) if entries else None

    def next_deadline(self) -> float | None:
        """Return when the next budget ends, or ``None`` if nobody waits."""
        self._prune()
        return self._deadlines[0][0] if self._deadlines else None

    def pop_expired(self, now: float) -> Iterator[Place]:
        """Yield the open keys whose budget has ended, each with its ticket."""
        while self._deadlines and self._deadlines[0][0] <= now:
            ticket = self._deadlines.popleft()
            for key in _keys_of(ticket):
                if is_open(ticket, key):
                    yield key, ticket

    def _prune(self) -> None:
        deadlines = self._deadlines
        while deadlines:
            # As `is_done()` has it.
            waiter = deadlines[0][2]
            if not (waiter.is_done_with(deadlines[0]) if isinstance(waiter, Crowd) else waiter.done()):
                break
            deadlines.popleft()
        if len(deadlines) > self._prune_at:
            # One that waits long must not keep all that came and went behind it.
            self._deadlines = deque(filterfalse(is_done, deadlines))
            self._prune_at = max(_FEWEST_TO_PRUNE, 2 * len(self._deadlines))

    def settle(self) -> None:
        """Forget the deadlines of tickets that were answered."""
        self._prune()

    def clear(self) -> list[Place]:
        """Empty the line, and return all that stood in it."""
        self.withdrawn += sum(len(tickets_of(entry)) for entry in self._waiting.values())
        places = [*_places_of(self._waiting.items()), *_places_of(self._alone)]
        self._waiting.clear()
        self._order.clear()
        self._alone.clear()
        return places


def _keys_of(ticket: Ticket) -> list[Any]:
    """Return the keys that a ticket is for, and may still be open."""
    waiter = ticket[2]
    return waiter.left_of(ticket) if isinstance(waiter, Crowd) else [ticket[1]]


def _places_of(entries: Iterable[tuple[Any, Entry]]) -> Iterator[Place]:
    for key, entry in entries:
        for ticket in tickets_of(entry):
            yield key, ticket

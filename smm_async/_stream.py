"""One reader's stream: takes ids from a source as there is room, and gives their results as they come.

State changes only in functions that do not wait. The source is read by the reader's own task, in the middle of a read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Self

import anyio.lowlevel
import attrs

from smm_async._backend import Loop
from smm_async._host import TaskHost
from smm_async._tickets import Crowd, Ticket, own_copy

__all__ = ["Desk", "Stream"]


@attrs.frozen
class Desk:
    """Where a stream asks, and what it has to know of it."""

    host: TaskHost
    join: Callable[[Any, Crowd], Ticket]
    """Queues a key."""
    take_back: Callable[[Iterable[Ticket]], list[Ticket]]
    """Takes those tickets out of the queue that are not on their way, and returns them."""
    sizes: Callable[[], tuple[int, int]]
    """Returns how many keys go at once, and how many ids may be taken from the source without being yielded."""
    key_of: Callable[[Any], Any]
    """Returns the key of the reader's own id."""
    note_error: Callable[[Exception], bool]
    """Is shown each error before the reader is; returns whether it concerns everybody, though it came for one key."""


class Stream(Crowd):
    """One reader that is handed the results for many ids as they come."""

    def __init__(self, loop: Loop, desk: Desk, source: Iterable[Any]) -> None:
        # Results are handed over one by one: there is nothing to collect them in.
        super().__init__(loop, {})
        self._desk = desk
        self._ids: Iterator[Any] = iter(source)
        self._has_ended = False
        self._failure: Exception | None = None
        self._has_left = False
        self._is_reading = False
        # The reader's own ids, as `open` by the identity of their tickets: one id may wait twice.
        self._own: dict[int, Any] = {}
        self._ready: deque[tuple[Any, Any]] = deque()
        self._aside: deque[Any] = deque()
        self._is_on_hold = False
        # How many ids were taken and not yielded, how many there may be, and at how few it is time for a batch more.
        self._taken: int = 0
        self._most = desk.sizes()[1]
        self._few = self._most

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Any, Any]:
        """Return the next id with its result."""
        if self._taken <= self._few or not self._ready:
            await self._get_ready()
        self._taken -= 1
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Leave it."""
        self.leave()

    async def _get_ready(self) -> None:
        """Ask for as much as there is room for, and wait until something is ready; raise what there is at the end."""
        self._check_reader()
        self._is_reading = True
        try:
            # The source is not to be read for somebody who is cancelled already.
            await anyio.lowlevel.checkpoint_if_cancelled()
            self._refill()
            while not self._ready:
                self._check_end()
                await self._listen()
        except BaseException:
            self.lay_aside()
            raise
        finally:
            self._is_reading = False

    @property
    def is_deserted(self) -> bool:
        """Whether the reader was cancelled while it waited, and has not come back."""
        return self._is_on_hold or (self._bell is not None and self._bell.done())

    def _check_reader(self) -> None:
        if self._has_left:
            message = "This stream was left: it can be read inside its 'async with' only."
            raise RuntimeError(message)
        if self._is_reading:
            message = "Another task is reading this stream: only one can at a time."
            raise RuntimeError(message)

    async def _listen(self) -> None:
        """Wait until something is ready, or nothing more will be."""
        self._bell = self._loop.make_waiter()
        try:
            await self._bell
        finally:
            self._bell = None

    def _check_end(self) -> None:
        if self._has_ended and not self.open:
            error = self.stop or self._failure or StopAsyncIteration()
            self.stop = self._failure = None
            raise error

    def waits_for(self, ticket: Ticket, _: Any, /) -> bool:
        """Return whether the ticket is open."""
        return id(ticket) in self.open

    def is_done_with(self, ticket: Ticket, /) -> bool:
        """Return whether the ticket is not open."""
        return id(ticket) not in self.open

    def left_of(self, ticket: Ticket, /) -> list[Any]:
        """Return the key of the ticket."""
        return [ticket[1]]

    def answer(self, ticket: Ticket, _: Any, result: Any, /) -> None:
        """Keep the result for the reader, unless it came too late."""
        number = id(ticket)
        if self.open.pop(number, None) is None:
            return
        self._ready.append((self._own.pop(number), result))
        if isinstance(result, Exception) and self._desk.note_error(result):
            self.end(own_copy(result))
        else:
            self._ring()

    def stop_for(self, ticket: Ticket, _: Any, error: Exception, /) -> None:
        """Answer this ticket with ``error``, and let the reader hear of it once more, at the end."""
        if self.open.pop(id(ticket), None) is None:
            return
        self._give_up([self._own.pop(id(ticket))], error)
        if self.stop is None:
            self.end(own_copy(error))
        self._ring()

    def close(self, error: Exception) -> None:
        """Raise ``error`` after what was answered, unless that is all there is."""
        if self.open or self._aside or not self._has_ended:
            self.end(own_copy(error))

    def end(self, error: Exception) -> None:
        """Answer with ``error`` what was not sent, and raise it after that and after what is on its way."""
        self._desk.note_error(error)
        self.stop = error
        self._has_ended = True
        self._give_up([*self._take_back(), *self._aside], error)
        self._aside.clear()
        self._ring()

    def _give_up(self, ids: Iterable[Any], error: Exception) -> None:
        for own in ids:
            mine = own_copy(error)
            self._desk.note_error(mine)
            self._ready.append((own, mine))

    def lay_aside(self) -> None:
        """Ask for nothing more until the next read, if there is one: this one was cancelled."""
        self._is_on_hold = True
        self._aside.extend(self._take_back())
        self._few = self._most

    def leave(self) -> None:
        """Ask for nothing more, and forget everything: the reader has left."""
        self._has_left = self._has_ended = True
        self._take_back()
        for forgotten in (self.open, self._own, self._ready, self._aside):
            forgotten.clear()
        self.stop = self._failure = None
        # The next read finds that it is none.
        self._few = self._taken = 0

    def _take_back(self) -> list[Any]:
        """Take out of the queue what is not on its way, and return its ids."""
        back: list[Any] = []
        for ticket in self._desk.take_back(self.open.values()):
            del self.open[id(ticket)]
            back.append(self._own.pop(id(ticket)))
        return back

    def _refill(self) -> None:
        """Ask for what was laid aside, and have as much more taken from the source as there is room for."""
        batch, self._most = self._desk.sizes()
        self._few = self._most - batch
        self._is_on_hold = False
        try:
            while self._aside:
                self._ask(self._aside.popleft())
            if not self._has_ended:
                self._draw()
        except Exception as error:  # noqa: BLE001  it is the reader's, when all that came before is answered
            self._aside.clear()
            self._end_source(error)
        if self._has_ended:
            self._few = -1

    def _draw(self) -> None:
        """Take ids from the source."""
        for own in islice(self._ids, max(0, self._most - self._taken)):
            self._ask(own)
            self._taken += 1
        if self._taken < self._most:
            self._end_source()

    def _ask(self, own: Any) -> None:
        ticket = self._desk.join(self._desk.key_of(own), self)
        number = id(ticket)
        self.open[number] = ticket
        self._own[number] = own

    def _end_source(self, error: Exception | None = None) -> None:
        self._has_ended = True
        self._failure = self._failure or error
        self._ring()

    def _ring(self) -> None:
        # One that is done while it hangs was cancelled.
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)
            self._bell = None

"""What a tracker tells its own program: the changes it sees, and the events of ends that its store delivers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.lowlevel

from smm_async._calls_to_store import Calls, Wakeup
from smm_async._reports import Change
from smm_async._store import Ended, StoreAwayError, StoreError

__all__ = ["LOOK_SECONDS", "Changes", "Endings", "Events"]

_MOST_CHANGES: Final = 100_000
LOOK_SECONDS: Final = 2.0
"""Between two looks for what other processes have recorded."""


class Changes:
    """The changes that one process records: an asynchronous iterator, made by `Tracker.changes()`."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=_MOST_CHANGES)
        self._is_closed = False
        self._wakeup = Wakeup()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """Return the next change.

        Raises:
            StopAsyncIteration: the tracker was left.
        """
        # Before a change is taken: it would be lost to a cancellation. And who reads many lets others work in between.
        await anyio.lowlevel.checkpoint()
        while not self._changes:
            if self._is_closed:
                raise StopAsyncIteration
            await self._wakeup.event.wait()
        return self._changes.popleft()

    def put(self, changes: Sequence[Change]) -> None:
        """Add changes; the tracker calls this."""
        self._changes.extend(changes)
        self._wakeup.tell()

    def close(self) -> None:
        """End it, once all changes are read; the tracker calls this."""
        self._is_closed = True
        self._wakeup.tell()


class Events(Sequence[Ended]):
    """Some events, to be handled inside ``async with``, which acknowledges them, or gives them back on an error."""

    def __init__(self, events: Sequence[Ended], calls: Calls) -> None:
        self._events = events
        # In their order, and quick to search.
        self._ids = dict.fromkeys(event.id for event in events)
        self._calls = calls
        self._done: set[int] = set()

    def __repr__(self) -> str:
        return f"<Events of {len(self)} orders>"

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, place: int) -> Ended:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  no slices
        return self._events[place]

    async def __aenter__(self) -> Self:
        """Return the events themselves."""
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Acknowledge them; if an exception leaves the block, only those that are `done()`, and give the others back.

        Raises:
            StoreError: the store cannot be reached, or was closed: the events will come again.
        """
        store, ids = self._calls.store, self._ids
        if exc_type is None:
            await self._calls.run_shielded(store.ack, list(ids))
            return
        # What has happened in the block matters more than that they come back only after the lease.
        with suppress(StoreError):
            if self._done:
                await self._calls.run_shielded(store.ack, [id_ for id_ in ids if id_ in self._done])
            await self._calls.run_shielded(store.release, [id_ for id_ in ids if id_ not in self._done])

    def done(self, event: Ended) -> None:
        """Say that one of them is handled: if an exception leaves the block later, it does not come again.

        Nothing is written before the block is left: if the process dies, it comes again. Harmless when repeated.

        Raises:
            ValueError: it is none of these events.
        """
        if event.id not in self._ids:
            message = f"{event.key} is none of these events."
            raise ValueError(message)
        self._done.add(event.id)


class Endings:
    """The events of orders that have ended: an asynchronous iterator, made by `Tracker.ended()`."""

    def __init__(self, calls: Calls, wakeup: Wakeup, limit: int, lease: float) -> None:
        self._calls = calls
        self._wakeup = wakeup
        self._limit = limit
        self._lease = lease
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Events:
        """Return the next events, as soon as there are any, and the store can be reached.

        Raises:
            StopAsyncIteration: the tracker was left.
        """
        while not self._is_closed:
            # Looked for before the store is asked, so that nothing falls in between.
            event = self._wakeup.event
            taken = await self._take()
            if taken:
                return Events(taken, self._calls)
            with anyio.move_on_after(LOOK_SECONDS):
                await event.wait()
        raise StopAsyncIteration

    async def _take(self) -> Sequence[Ended]:
        """Return events; none if the store is away, or was closed."""
        taken: list[Ended] = []
        failures: list[Exception] = []
        try:
            async with anyio.create_task_group() as group:
                # Not here: what asyncio itself cancels, as its timeouts do, would lose what a thread has just taken.
                group.start_soon(self._take_into, taken, failures)
        except anyio.get_cancelled_exc_class():
            await self._give_back(taken)
            raise
        if failures and not (self._is_closed or isinstance(failures[0], StoreAwayError)):
            raise failures[0]
        if self._is_closed:
            await self._give_back(taken)
            return ()
        return taken

    async def _take_into(self, taken: list[Ended], failures: list[Exception]) -> None:
        try:
            taken += await self._calls.run(self._calls.store.take, self._limit, self._lease)
        except Exception as error:  # noqa: BLE001  out of the group it would come in a group
            failures.append(error)

    async def _give_back(self, taken: Sequence[Ended]) -> None:
        """Give back events that nobody will acknowledge. If the store is closed, they come back after the lease."""
        if taken:
            with suppress(StoreError):
                await self._calls.run_shielded(self._calls.store.release, [event.id for event in taken])

    def close(self) -> None:
        """End it; the tracker calls this, and wakes those who wait."""
        self._is_closed = True

"""A stream whose source is async.

A reader that waits for answers cannot wait for the source, too: that is read by a task of the host, in the reader's
context, which ends before the stream is left.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import Any

import anyio
import anyio.lowlevel

from smm_async._backend import Loop, Waiter
from smm_async._stream import Desk, Stream

__all__ = ["AsyncStream", "make_stream"]


def make_stream(loop: Loop, desk: Desk, source: Iterable[Any] | AsyncIterable[Any]) -> Stream:
    """Return a stream of the results for the ids of ``source``."""
    return AsyncStream(loop, desk, source) if isinstance(source, AsyncIterable) else Stream(loop, desk, source)


class AsyncStream(Stream):
    """A stream whose source is async."""

    def __init__(self, loop: Loop, desk: Desk, source: AsyncIterable[Any]) -> None:
        super().__init__(loop, desk, ())
        self._source: AsyncIterator[Any] = aiter(source)
        self._context = contextvars.copy_context()
        self._has_begun = False
        # How many ids the reader has made room for: a batch at a time, and not one for each that it reads.
        self._granted = 0
        # There while the task waits for room; when it is not, the task waits for the source, or has ended.
        self._room: Waiter | None = None
        # One scope from the first id to the closing: what a generator opened, it may close only inside the same one.
        self._scope = anyio.CancelScope()
        self._gone: anyio.Event | None = None

    async def aclose(self) -> None:
        """Leave it, and wait until nobody reads the source any more."""
        self.leave()
        if self._room is None:
            self._scope.cancel()
        else:
            # The source is not interrupted: it has the time to clean up.
            self._make_room()
        # Where the task has not begun, it will find that there is nothing to do, or never begin.
        if self._gone is not None and not self._gone.is_set():
            try:
                await self._gone.wait()
            except BaseException:
                self._scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._gone.wait()
                raise
        if self._failure is not None:
            raise self._failure

    def _draw(self) -> None:
        """Have the task take ids from the source."""
        self._granted = self._most - self._taken
        if not self._has_begun:
            self._has_begun = True
            self._desk.host.start_soon(self._run, context=self._context)
        self._make_room()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _run(self) -> None:
        """Read the source as there is room, and close it: the life of the task."""
        if self._has_left:
            return
        self._gone = anyio.Event()
        try:
            with self._scope:
                await self._take_all()
            self._end_source()
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is the reader's
            self._end_source(error)
        except BaseException as error:  # noqa: BLE001  a cancellation, and the reader was not cancelled
            if not self._has_ended:
                self._end_source(RuntimeError(f"The source of the ids was ended by {type(error).__name__}."))
        finally:
            self._gone.set()
        # If this task itself was cancelled, it ends here.
        await anyio.lowlevel.checkpoint_if_cancelled()

    async def _take_all(self) -> None:
        try:
            async for own in self._source:
                self._take(own)
                await self._wait_for_room()
                if self._has_left:
                    break
        finally:
            # What a generator has to clean up belongs into the task that it runs in. Other sources are the caller's.
            source: Any = self._source
            if isinstance(source, AsyncGenerator):
                await source.aclose()

    def _take(self, own: Any) -> None:
        if self._has_ended:
            return
        self._taken += 1
        self._granted -= 1
        try:
            # Nothing is asked for a reader who was cancelled, until its next read.
            if self.is_deserted:
                if not self._is_on_hold:
                    self.lay_aside()
                self._aside.append(own)
            else:
                self._ask(own)
        except Exception as error:  # noqa: BLE001  it is the reader's, when all that came before is answered
            self._end_source(error)

    async def _wait_for_room(self) -> None:
        """Wait until an id more may be taken, or the stream is left: a source is closed only then."""
        while not self._has_left and (self._has_ended or self._granted <= 0):
            self._room = self._loop.make_waiter()
            try:
                await self._room
            finally:
                self._room = None

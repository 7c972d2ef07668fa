"""The one task of a client that owns all its others, so that no caller's cancellation reaches a request."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, TypeAlias

import anyio

from smm_async._backend import Loop, Waiter, current_loop
from smm_async.errors import ClosedError

# How long closing may take when a dead peer does not say goodbye.
_CLOSING_SECONDS = 5.0

_Job: TypeAlias = tuple[Callable[..., Coroutine[Any, Any, None]], tuple[Any, ...], Context | None]


class TaskHost:
    """Starts jobs in a task group of its own, which lives on the loop of its first use until `aclose()`.

    The task is started lazily. When its loop ends before it is closed, the next use on another loop starts anew.
    """

    def __init__(self, owner: str) -> None:
        self.owner = owner
        # Whether to warn if the loop ends first: who cannot await `aclose()`, like a fixture in sync code, may not want it.
        self.warns = True
        self._closed = False
        self._is_ending = False
        self._loop: Loop | None = None
        self._jobs: list[_Job] = []
        self._bell: Waiter | None = None
        self._ended: anyio.Event | None = None
        self._at_end: list[Callable[[], None]] = []
        # Set when it is closed: one for each task that sleeps here.
        self._sleepers: set[anyio.Event] = set()

    @property
    def is_closed(self) -> bool:
        """Whether `aclose()` was called."""
        return self._closed

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on the loop where the jobs live; if not, nobody there can be woken from here."""
        return self._loop is not None and self._loop.is_here()

    def at_end(self, call: Callable[[], None]) -> None:
        """Have ``call`` made when the host is closed, at that instant, and whenever its tasks are gone."""
        self._at_end.append(call)

    def loop_here(self) -> Loop:
        """Return the caller's loop, where all jobs run from now on.

        Raises:
            ClosedError: after `aclose()`.
            RuntimeError: while the jobs live on another loop.
        """
        if self._closed:
            message = f"The {self.owner} is closed."
            raise ClosedError(message)
        loop = self._loop
        if loop is None or not loop.is_here():
            loop = self._move_here()
        return loop

    async def sleep_until(self, at: float) -> None:
        """Sleep until a moment of the loop's clock, in the caller's task, but no longer than the host is open.

        Raises:
            ClosedError: it is closed, or was meanwhile.
            RuntimeError: while the jobs live on another loop.
        """
        self.loop_here()
        sleeper = anyio.Event()
        self._sleepers.add(sleeper)
        try:
            with anyio.CancelScope(deadline=at):
                await sleeper.wait()
        finally:
            self._sleepers.discard(sleeper)
        self.loop_here()

    def start_soon(
        self,
        run: Callable[..., Coroutine[Any, Any, None]],
        *args: Any,
        context: Context | None = None,
    ) -> None:
        """Start ``run`` in the next pass of the loop. It must answer for its own exceptions.

        A job that runs a caller's code may have a copy of that caller's ``context``; others have nobody's.
        """
        loop = self.loop_here()
        self._jobs.append((run, args, context))
        if self._ended is None:
            self._ended = anyio.Event()
            loop.start_task(self._run, functools.partial(self._note_end, self._ended))
        else:
            self._ring()

    async def aclose(
        self,
        before: Callable[[], Awaitable[None]] | None = None,
        after: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """End all jobs, and take at most five seconds for it even if a peer is dead. Harmless when repeated.

        Args:
            before: awaited before the jobs are cancelled, for as long as it takes.
            after: awaited when the jobs have ended.

        Cancelling this call does not stop the closing.

        Raises:
            RuntimeError: while the jobs live on another loop.
        """
        if not self._closed:
            self.loop_here()
        self.close_nowait()
        # The shield does not keep out a cancellation by asyncio itself. That comes once: what is left is done after it.
        with anyio.CancelScope(shield=True):
            try:
                if before is not None:
                    await before()
            finally:
                with anyio.move_on_after(_CLOSING_SECONDS):
                    try:
                        await self._stop()
                    finally:
                        if after is not None:
                            await after()

    def close_nowait(self) -> None:
        """Take no more jobs, and have everybody told; those that run go on until `aclose()`."""
        if not self._closed:
            self._closed = True
            self._tell_end()
            for sleeper in self._sleepers if self.is_here else ():
                sleeper.set()

    async def _stop(self) -> None:
        """Cancel the jobs and wait for their end, unless they live on another loop."""
        self._is_ending = True
        if self.is_here and self._ended is not None:
            self._ring()
            try:
                await self._ended.wait()
            finally:
                await self._ended.wait()

    def _move_here(self) -> Loop:
        here = current_loop()
        if self._loop is not None:
            if self._ended is not None and not self._loop.has_ended():
                message = f"This {self.owner} is in use on another event loop: make one for each loop."
                raise RuntimeError(message)
            self._forget_loop()
        self._loop = here
        return here

    def _forget_loop(self) -> None:
        self._jobs.clear()
        self._sleepers.clear()
        self._bell = None
        self._ended = None
        self._tell_end()

    def _tell_end(self) -> None:
        for call in self._at_end:
            call()

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def _run(self) -> None:
        loop, unclosed = self._loop, _Unclosed(self)
        assert loop is not None  # noqa: S101  set by start_soon()
        try:
            async with anyio.create_task_group() as group:
                while not self._is_ending:
                    jobs, self._jobs = self._jobs, []
                    for run, args, context in jobs:
                        if context is None:
                            group.start_soon(run, *args)
                        else:
                            context.run(functools.partial(group.start_soon, run, *args))
                    self._bell = loop.make_waiter()
                    await self._bell
                group.cancel_scope.cancel()
        finally:
            del unclosed

    def _note_end(self, ended: anyio.Event) -> None:
        # Cancelled from outside, by the end of the loop or by a program that cancels every task it can find.
        if not self._closed and self._ended is ended:
            self._forget_loop()
        ended.set()


class _Unclosed:
    """Warns when the frame that holds it goes while the host is open, however that happens.

    A warning that is made an error then ends up where those of ``__del__`` go, and never inside the event loop.
    """

    def __init__(self, host: TaskHost) -> None:
        self._host = host

    def __del__(self) -> None:
        if self._host.warns and not self._host.is_closed:
            message = f"A {self._host.owner} was not closed: use it with 'async with', or await its aclose()."
            warnings.warn(message, ResourceWarning, source=self._host, stacklevel=2)

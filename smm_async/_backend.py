"""The lines that know asyncio from trio: start a task that belongs to no caller; park a task and wake it."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

if TYPE_CHECKING:
    import trio

__all__ = ["Loop", "Waiter", "current_loop"]

# To say which loop runs, Python 3.11 makes a system call, which took a tenth of the time of a lookup.
_ASKING_IS_SLOW: Final = sys.version_info < (3, 12)


class Waiter(Awaitable[Any], Protocol):
    """One parked task: whoever awaits this goes on when somebody else calls `set_result()`."""

    def done(self) -> bool:
        """Return whether there is a result already, or nobody to wait for it any more."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Wake the task. Never call this when `done()`."""
        ...


class Loop(Protocol):
    """One running event loop."""

    def is_here(self) -> bool:
        """Return whether the caller runs on this loop."""
        ...

    def has_ended(self) -> bool:
        """Return whether this loop will never run again."""
        ...

    def now(self) -> float:
        """Return the loop's own time in seconds."""
        ...

    def make_waiter(self) -> Waiter:
        """Return a place for the caller to park."""
        ...

    def start_task(self, run: Callable[[], Coroutine[Any, Any, None]], ended: Callable[[], None]) -> None:
        """Start ``run`` in a task that no caller's cancellation reaches. It must not raise.

        ``ended`` is called when it has ended, even if it was cancelled before it began.
        """
        ...


def current_loop() -> Loop:
    """Return the loop that the caller runs on.

    Raises:
        RuntimeError: outside asyncio and trio.
    """
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return _TrioLoop()
    return _AsyncioLoop(asyncio.get_running_loop())


class _AsyncioLoop:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = loop.time
        self.make_waiter: Callable[[], Waiter] = loop.create_future
        if type(loop).create_future is asyncio.BaseEventLoop.create_future:
            # What that does, without the call of it.
            self.make_waiter = functools.partial(asyncio.Future, loop=loop)
        self._tasks: set[asyncio.Task[None]] = set()

    def is_here(self) -> bool:
        # A running loop is what hooks its thread's async generators to itself, unless somebody has replaced the hook.
        return (_ASKING_IS_SLOW and getattr(sys.get_asyncgen_hooks().firstiter, "__self__", None) is self._loop) or (
            asyncio._get_running_loop() is self._loop  # noqa: SLF001  documented, and does not raise outside a loop
        )

    def has_ended(self) -> bool:
        return self._loop.is_closed()

    def start_task(self, run: Callable[[], Coroutine[Any, Any, None]], ended: Callable[[], None]) -> None:
        has_begun = False

        async def begin() -> None:
            nonlocal has_begun
            has_begun = True
            await _run_and_tell(run, ended)

        def forget(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            # A task that is cancelled before it began runs nothing, not even a `finally`.
            if not has_begun:
                ended()

        # The caller's context variables (its trace, its request) are none of this task's business.
        context = contextvars.Context()
        task = self._loop.create_task(begin(), name="smm_async", context=context)
        # The loop holds its tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(forget, context=context)


class _TrioLoop:
    def __init__(self) -> None:
        import outcome  # noqa: PLC0415  it comes with trio,
        import trio  # noqa: PLC0415  which an asyncio program need not have

        self._lowlevel = trio.lowlevel
        self._value = outcome.Value
        self._ended_error = trio.RunFinishedError
        self._token = trio.lowlevel.current_trio_token()
        self.now = trio.lowlevel.current_clock().current_time

    def is_here(self) -> bool:
        return self._lowlevel.in_trio_task() and self._lowlevel.current_trio_token() is self._token

    def has_ended(self) -> bool:
        try:
            self._token.run_sync_soon(_nothing)
        except self._ended_error:
            return True
        return False

    def make_waiter(self) -> Waiter:
        return _TrioWaiter(self._lowlevel, self._value)

    def start_task(self, run: Callable[[], Coroutine[Any, Any, None]], ended: Callable[[], None]) -> None:
        self._lowlevel.spawn_system_task(_run_and_tell, run, ended, name="smm_async")


async def _run_and_tell(run: Callable[[], Coroutine[Any, Any, None]], ended: Callable[[], None]) -> None:
    try:
        await run()
    finally:
        ended()


def _nothing() -> None:
    """Do nothing; only whether trio still takes the call matters."""


class _TrioWaiter:
    """What `asyncio.Future` is to asyncio, for exactly one task: a result, and the task that waits for it."""

    # There may be a hundred thousand of them, so no more is kept than is needed.
    __slots__ = ("__weakref__", "_done", "_lowlevel", "_result", "_task", "_value")

    def __init__(self, lowlevel: Any, value: Callable[[Any], Any]) -> None:
        self._lowlevel = lowlevel
        self._value = value
        self._done = False
        self._result: Any = None
        self._task: trio.lowlevel.Task | None = None

    def done(self) -> bool:
        return self._done

    def set_result(self, result: Any, /) -> None:
        self._done = True
        self._result = result
        if self._task is not None:
            self._lowlevel.reschedule(self._task, self._value(result))

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._done:
            return _given(self._result)
        self._task = self._lowlevel.current_task()
        # Trio's own: a generator around it would take as much memory as all the rest, and time at each step.
        return cast("Generator[Any, Any, Any]", self._lowlevel.wait_task_rescheduled(self._leave).__await__())

    def _leave(self, _: object) -> trio.lowlevel.Abort:
        self._done = True
        return cast("trio.lowlevel.Abort", self._lowlevel.Abort.SUCCEEDED)


def _given(result: Any) -> Generator[Any, Any, Any]:
    """Wait for nothing, and return ``result``."""
    return result
    yield

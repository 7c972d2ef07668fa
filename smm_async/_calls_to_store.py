"""Calling a store from an event loop, and waking who waits for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import attrs

from smm_async._store import Store

__all__ = ["Calls", "Wakeup"]

T = TypeVar("T")


@attrs.frozen
class Calls:
    """Calls a store from worker threads of its own, so that a slow database takes none of the program's."""

    store: Store
    limiter: anyio.CapacityLimiter

    async def run(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Return what a method of the store returns. Cancelled, it is done or not begun."""
        return await anyio.to_thread.run_sync(functools.partial(call, *args, **kwargs), limiter=self.limiter)

    async def run_shielded(self, call: Callable[..., T], /, *args: Any) -> T:
        """Return what a method of the store returns, whatever is cancelled."""
        results: list[T] = []
        with anyio.CancelScope(shield=True):
            results.append(await self.run(call, *args))
        return results[0]


@attrs.define(eq=False)
class Wakeup:
    """Wakes those who wait for events that this process itself has recorded."""

    event: anyio.Event = attrs.field(factory=anyio.Event)

    def tell(self) -> None:
        """Wake everybody."""
        self.event.set()
        self.event = anyio.Event()

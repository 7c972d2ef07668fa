"""Lookups whose callers are told apart: for whoever links what a caller does to the requests that it shares."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from smm_async._backend import Loop, Waiter
from smm_async._coalesce import Coalescer
from smm_async._tickets import Crowd, Ticket

__all__ = ["AskersCoalescer"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class AskersCoalescer(Coalescer[K, V]):
    """Tells in each caller's own task that it asks. A class of its own, so that others do not look whether to tell."""

    def __init__(self, *args: Any, note_asker: Callable[[Waiter | Crowd], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._note_asker = note_asker

    def _join(self, key: K, waiter: Waiter | Crowd, loop: Loop) -> Ticket:
        self._note_asker(waiter)
        return super()._join(key, waiter, loop)

    def _join_all(self, keys: Iterable[K], crowd: Crowd) -> None:
        self._note_asker(crowd)
        super()._join_all(keys, crowd)

"""How ``on_event`` is called: it learns of each event and of who asked, and can disturb nobody."""

from __future__ import annotations

import inspect
import logging
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

from smm_async._tickets import Batch, own_copy
from smm_async.errors import SmmError
from smm_async.events import Event, Hook

__all__ = ["Teller", "bare", "check_hook"]

E = TypeVar("E", bound=SmmError)

_LOG: Final = logging.getLogger("smm_async")


class Teller:
    """Tells one client's hook what happens, and keeps what that captures of the callers."""

    def __init__(self, hook: Hook | None) -> None:
        self.hook = hook
        self._capture: Callable[[], object] | None = getattr(hook, "capture", None)
        # By what wakes the callers, and as long as that is there.
        self._captured: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()
        self._has_complained = False

    @property
    def captures(self) -> bool:
        """Whether the hook wants to know who asks."""
        return self._capture is not None

    def tell(self, event: Event) -> None:
        """Call the hook. Whatever is wrong with it is logged once, and is nobody else's trouble."""
        assert self.hook is not None  # noqa: S101  events are not made for nobody
        try:
            self.hook(event)
        except Exception as error:  # noqa: BLE001  the user's code may raise anything
            self._complain(error)

    def note_asker(self, waiter: Any) -> None:
        """Keep what the hook captures of the caller, in whose task this runs."""
        asker = self._ask()
        if asker is not None:
            self._captured[waiter] = asker

    def asker(self) -> tuple[object, ...]:
        """Return what the hook captures of the caller, in whose task this runs, if it does."""
        asker = None if self._capture is None else self._ask()
        return () if asker is None else (asker,)

    def askers_of(self, batch: Batch[Any]) -> tuple[object, ...]:
        """Return what was captured of those who wait for a batch, each once."""
        if not self._captured:
            return ()
        askers = (self._captured.get(ticket[2]) for _, ticket in batch.places())
        return tuple({id(asker): asker for asker in askers if asker is not None}.values())

    def _ask(self) -> object:
        assert self._capture is not None  # noqa: S101  nobody else is asked
        try:
            return self._capture()
        except Exception as error:  # noqa: BLE001  as above
            self._complain(error)
            return None

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            _LOG.error("on_event raised; what it raises from now on is not logged.", exc_info=error)


def check_hook(hook: object) -> None:
    """Raise a `ValueError` unless ``hook`` can be called and done with."""
    call = getattr(hook, "__call__", None)  # noqa: B004  it may be an object whose class has an async one
    if call is None or inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(call):
        message = f"on_event must be a function that is not async, not {hook!r}."
        raise ValueError(message)


def bare(error: E) -> E:
    """Return an error that is nobody's but the hook's, without the frames it was raised in."""
    copied = own_copy(error)
    return copied if isinstance(copied, type(error)) else error

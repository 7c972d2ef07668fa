"""What ends a command: Ctrl-C and SIGTERM, as something to wait for."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, contextmanager, suppress

import anyio

__all__ = ["stop_signals"]


@contextmanager
def stop_signals() -> Generator[AsyncIterator[signal.Signals] | None, None, None]:
    """Receive SIGINT and SIGTERM; give ``None`` where a loop cannot: asyncio on Windows cancels its task at Ctrl-C itself."""
    with ExitStack() as stack:
        signals = None
        with suppress(NotImplementedError):
            signals = stack.enter_context(anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM))
        yield signals

"""The last part of `smm-async demo`: follow some orders to their end, and show live how many stand where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import anyio
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

import smm_async as smm

__all__ = ["follow"]

# The panel's orders take seconds, not hours.
_POLL: Final = smm.Poll(shortest=0.2, longest=1.0)
# And it knows them at once.
_LAG_SECONDS: Final = 5.0
_REDRAW_SECONDS: Final = 0.1
# Those of the simulated panel, in the order in which an order passes through them.
_WORDS: Final = ("Pending", "Processing", "In progress", "Completed")


async def follow(
    client: smm.Client, ids: Sequence[str], console: Console, panel_gone: Callable[[], Awaitable[object]]
) -> int:
    """Follow orders until all have ended, and return how many changes there were.

    A watch waits until a panel is back; so it ends when ``panel_gone`` does, for this one never will be.
    """
    board = _Board(console, len(ids))
    failed: list[smm.SmmError] = []
    with board.progress:
        async with anyio.create_task_group() as others:

            async def stop_without_panel() -> None:
                await panel_gone()
                others.cancel_scope.cancel()

            others.start_soon(stop_without_panel)
            others.start_soon(board.draw)
            # Raised after the group: what leaves it would be an exception group.
            try:
                async for change in client.watch(ids, poll=_POLL, lag=_LAG_SECONDS):
                    board.note(change)
            except smm.SmmError as error:
                failed.append(error)
            others.cancel_scope.cancel()
        board.show()
    if failed:
        raise failed[0]
    return board.changes


class _Board:
    """A bar for each state, as long as there are orders in it; on a terminal only, and drawn when it is told to."""

    def __init__(self, console: Console, total: int) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:>3.0f}"),
            console=console,
            auto_refresh=False,
            disable=not console.is_interactive,
        )
        self.changes = 0
        self._total = total
        self._words = dict[str, str]()
        self._bars = {word: self.progress.add_task(word, total=total) for word in _WORDS}

    def note(self, change: smm.Change[str]) -> None:
        """Count an order where it stands now."""
        self.changes += 1
        self._words[change.order] = getattr(change.after, "status", "Unknown")

    async def draw(self) -> None:
        """Show it ten times a second, for ever."""
        while True:
            self.show()
            await anyio.sleep(_REDRAW_SECONDS)

    def show(self) -> None:
        """Show it as it is now."""
        standing = Counter(self._words.values())
        for word in standing.keys() - self._bars.keys():
            self._bars[word] = self.progress.add_task(word, total=self._total)
        for word, bar in self._bars.items():
            self.progress.update(bar, completed=standing[word])
        self.progress.refresh()

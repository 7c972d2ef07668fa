"""What `smm-async watch` does: show how orders change, until all have ended."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final

import anyio
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Group as RichGroup
from rich.live import Live
from rich.text import Text

import smm_async as smm
from smm_async._bounds import check_seconds
from smm_async._cli_balance import money
from smm_async._cli_ids import IdFile, Ids
from smm_async._cli_lookups import STATUS_COLUMNS, status_row
from smm_async._cli_output import TABLE, Output, Writer, complain, make_console, make_table, shown
from smm_async._cli_panel import DEFAULTS, Connection, SettingsError
from smm_async._cli_run import DONE, MISUSED, code_for, run
from smm_async._poll import LAG

__all__ = ["watch"]

Seconds = Annotated[float, Parameter(validator=Number(gt=0))]

_REDRAW_SECONDS: Final = 0.1
# A table's head, its lines, and what stands below it.
_LINES_AROUND: Final = 6


def watch(
    *orders: str,
    file: IdFile = None,
    shortest: Seconds = 15.0,
    longest: Seconds = 900.0,
    lag: Annotated[float, Parameter(validator=Number(gte=0))] = LAG,
    connection: Connection = DEFAULTS,
    output: Output = TABLE,
) -> int:
    """Show how orders change, until all have ended.

    On a terminal it is a live table, elsewhere a line for each change.

    Args:
        orders: Their ids.
        file: A file with more ids, any white space between them; - is the standard input.
        shortest: Seconds between two lookups of an order that has just changed.
        longest: Seconds between two lookups of an order, at most.
        lag: For how many seconds an order that the panel does not know may be one that it does not know yet.
        connection: Which panel, and how.
        output: How to write it.
    """
    try:
        ids = Ids(orders, file)
        poll = smm.Poll(shortest=shortest, longest=longest)
        check_seconds("--lag", lag, least=0.0)
    except (SettingsError, ValueError) as error:
        complain(str(error))
        return MISUSED

    async def work(client: smm.Client) -> int:
        watched = dict.fromkeys([id_ async for id_ in ids.read()])
        changes = client.watch(watched, poll=poll, lag=lag)
        if not output.is_table:
            return await _write_rows(changes, output)
        return await (_show_live(changes, len(watched)) if make_console().is_terminal else _write_lines(changes))

    return run(connection, work)


async def _write_rows(changes: smm.Watch[str], output: Output) -> int:
    code = DONE
    with Writer(output, STATUS_COLUMNS) as writer:
        async for change in changes:
            writer.write(status_row(change.order, change.after))
            code = max(code, code_for(change.after))
    return code


async def _write_lines(changes: smm.Watch[str]) -> int:
    code = DONE
    async for change in changes:
        sys.stdout.write(f"{shown(_line(change))}\n")
        sys.stdout.flush()
        code = max(code, code_for(change.after))
    return code


def _line(change: smm.Change[str]) -> str:
    after = change.after
    if isinstance(after, smm.UnknownOrderError):
        return f"{change.order}: {after.text or after}"
    before = "" if change.before is None or change.before.status == after.status else f"{change.before.status} -> "
    details = [] if after.charge is None else [money(after.charge, after.currency)]
    details += [] if after.remains is None else [f"{after.remains:,} remain"]
    return ", ".join([f"{change.order}: {before}{after.status}", *details])


async def _show_live(changes: smm.Watch[str], count: int) -> int:
    board = _Board(count)
    with board.live:
        error = await _follow(changes, board)
        board.show()
    if error is not None:
        raise error
    return code_for(*(change.after for change in board.changes.values()))


async def _follow(changes: smm.Watch[str], board: _Board) -> smm.SmmError | None:
    """Put changes on the board until the last one, and return the error that was the last one instead."""
    async with anyio.create_task_group() as drawing:
        drawing.start_soon(board.draw)
        # Returned, not raised: what leaves the group would be an exception group.
        try:
            async for change in changes:
                board.note(change)
        except smm.SmmError as error:
            return error
        finally:
            board.is_over = True
    return None


class _Board:
    """The last change of each order, in as many lines as the terminal has; drawn when it is told to."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._console = make_console()
        self.live = Live(console=self._console, auto_refresh=False)
        self.changes = dict[str, smm.Change[str]]()
        self.is_over = False
        self._is_stale = True

    def note(self, change: smm.Change[str]) -> None:
        """Take in one change; the orders that changed last are shown, where not all can be."""
        self.changes.pop(change.order, None)
        self.changes[change.order] = change
        self._is_stale = True

    async def draw(self) -> None:
        """Show what is new ten times a second, until it is over."""
        while not self.is_over:
            if self._is_stale:
                self.show()
            await anyio.sleep(_REDRAW_SECONDS)

    def show(self) -> None:
        """Show it as it is now."""
        self._is_stale = False
        room = max(1, self._console.height - _LINES_AROUND)
        rows = [status_row(order, change.after) for order, change in list(self.changes.items())[-room:]]
        words = Counter(row["status"] or "not found" for row in map(_last_row, self.changes.values()))
        silent = self._count - len(self.changes)
        kinds = [*words.most_common(), *([("not seen yet", silent)] if silent else [])]
        counts = ", ".join(f"{count:,} {word}" for word, count in kinds)
        self.live.update(
            RichGroup(make_table(STATUS_COLUMNS, rows, width=self._console.width), Text(shown(counts))), refresh=True
        )


def _last_row(change: smm.Change[str]) -> Mapping[str, Any]:
    return status_row(change.order, change.after)

"""What `smm-async status` and `smm-async refill-status` do: look up any number of ids, in bounded memory."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Self

import anyio
import attrs
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import smm_async as smm
from smm_async._cli_ids import IdFile, Ids
from smm_async._cli_output import TABLE, Column, Output, Writer, complain, make_console
from smm_async._cli_panel import DEFAULTS, Connection, SettingsError
from smm_async._cli_run import DONE, FAILED, MISUSED, run

__all__ = ["ERROR_COLUMNS", "STATUS_COLUMNS", "error_fields", "refill_status", "status", "status_row"]

_REDRAW_SECONDS: Final = 0.1
# Fewer are there before anybody could read a bar.
_MANY: Final = 100

ERROR_COLUMNS: Final = (Column("error", is_long=True),)
STATUS_COLUMNS: Final = (
    Column("order"),
    Column("status", is_long=True),
    Column("charge", is_number=True, rank=1),
    Column("currency", rank=2),
    Column("start_count", is_number=True, rank=4),
    Column("remains", is_number=True, rank=3),
    *ERROR_COLUMNS,
)
"""What is shown of an order."""
_REFILL_COLUMNS: Final = (Column("refill"), Column("status", is_long=True), *ERROR_COLUMNS)


def status(*orders: str, file: IdFile = None, connection: Connection = DEFAULTS, output: Output = TABLE) -> int:
    """Show where orders stand.

    The exit code is 1 if one of them was not found.

    Args:
        orders: Their ids.
        file: A file with more ids, any white space between them; - is the standard input.
        connection: Which panel, and how.
        output: How to write it.
    """
    return _look_up(_ORDERS, orders, file, connection, output)


def refill_status(*refills: str, file: IdFile = None, connection: Connection = DEFAULTS, output: Output = TABLE) -> int:
    """Show where refills stand.

    The exit code is 1 if one of them was not found.

    Args:
        refills: Their ids, as refill has shown them.
        file: A file with more ids, any white space between them; - is the standard input.
        connection: Which panel, and how.
        output: How to write it.
    """
    return _look_up(_REFILLS, refills, file, connection, output)


def error_fields(result: object) -> dict[str, str | None]:
    """Return what is written of an error, or of there being none: its text, and for JSON its kind."""
    if not isinstance(result, smm.SmmError):
        return {"error": None, "error_type": None}
    # Only a refusal is in the panel's own words: those of a lost answer are a web page, say, and do not tell what it was.
    words = result.text if isinstance(result, smm.PanelError) else ""
    return {"error": words or str(result), "error_type": type(result).__name__}


@attrs.frozen
class _Lookup:
    """What is looked up, and how it is shown."""

    what: str
    columns: tuple[Column, ...]
    record: type[smm.OrderStatus | smm.RefillStatus]

    def row(self, id_: str, result: object) -> dict[str, Any]:
        names = [field.name for field in attrs.fields(self.record)]
        return {self.what: id_, **{name: getattr(result, name, None) for name in names}, **error_fields(result)}

    def stream(self, client: smm.Client, ids: Ids) -> _Results:
        if not ids.are_endless:
            return _at_once(client, self.what, ids.given)
        return client.stream_statuses(ids.read()) if self.what == "order" else client.stream_refill_statuses(ids.read())


_Results = AbstractAsyncContextManager[AsyncIterator[tuple[str, Any]]]


@asynccontextmanager
async def _at_once(
    client: smm.Client, what: str, ids: Iterable[str]
) -> AsyncGenerator[AsyncIterator[tuple[str, Any]], None]:
    """Yield the answers about a few ids, in the order in which they were given."""
    look_up = client.statuses if what == "order" else client.refill_statuses

    async def results() -> AsyncIterator[tuple[str, Any]]:
        for id_, result in (await look_up(ids)).items():
            yield id_, result

    yield results()


_ORDERS: Final = _Lookup("order", STATUS_COLUMNS, smm.OrderStatus)
_REFILLS: Final = _Lookup("refill", _REFILL_COLUMNS, smm.RefillStatus)


def status_row(order: str, result: object) -> dict[str, Any]:
    """Return what is written of where one order stands."""
    return _ORDERS.row(order, result)


def _look_up(lookup: _Lookup, given: tuple[str, ...], file: IdFile, connection: Connection, output: Output) -> int:
    try:
        ids = Ids(given, file, what=lookup.what)
    except SettingsError as error:
        complain(str(error))
        return MISUSED

    async def work(client: smm.Client) -> int:
        code = DONE
        with Writer(output, lookup.columns) as writer:
            async with _Bar(ids) as bar, lookup.stream(client, ids) as results:
                async for id_, result in results:
                    writer.write(lookup.row(id_, result))
                    bar.advance()
                    if isinstance(result, smm.SmmError):
                        code = FAILED
        return code

    return run(connection, work)


class _Bar:
    """How many were looked up, how fast, and when the rest will be; on a terminal only, and on the standard error."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._done = 0
        self._began_at = self._shown_at = 0.0
        is_drawn = sys.stderr.isatty() and (ids.are_endless or len(ids.given) > _MANY)
        self._progress = Progress(
            BarColumn(20),
            TextColumn("{task.completed:,} looked up, {task.fields[rate]:,.0f}/s"),
            TimeRemainingColumn(compact=True),
            console=make_console(stderr=True),
            auto_refresh=False,
            transient=True,
            # Rows that go to the same terminal are written above it; what goes elsewhere is left alone.
            redirect_stdout=sys.stdout.isatty(),
            disable=not is_drawn,
        )

    async def __aenter__(self) -> Self:
        total = None if self._progress.disable else await self._ids.count()
        self._task = self._progress.add_task("", total=total, rate=0.0)
        self._began_at = anyio.current_time()
        self._progress.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """Count one more. To tell rich of each would take longer than to look it up."""
        self._done += 1
        now = anyio.current_time()
        if now - self._shown_at >= _REDRAW_SECONDS:
            self._shown_at = now
            rate = self._done / max(now - self._began_at, _REDRAW_SECONDS)
            self._progress.update(self._task, completed=self._done, rate=rate, refresh=True)

"""What `smm-async refill` and `smm-async cancel` do: ask for it once, and say what came of each order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

import anyio
import attrs

import smm_async as smm
from smm_async._cli_ids import IdFile, Ids
from smm_async._cli_lookups import ERROR_COLUMNS, error_fields
from smm_async._cli_output import TABLE, UNWRITABLE, Column, Output, Writer, complain, complain_of_output
from smm_async._cli_panel import DEFAULTS, Connection, SettingsError
from smm_async._cli_run import DONE, MISUSED, STOPPED, UNKNOWN, Work, code_for, explain, run

__all__ = ["cancel", "finish_writes", "refill"]

Ask = Callable[[list[str]], Awaitable[Mapping[str, Any]]]
_WORDS: Final = {"refill": "refill", "cancel": "answer"}


def refill(*orders: str, file: IdFile = None, connection: Connection = DEFAULTS, output: Output = TABLE) -> int:
    """Ask for refills, and show their ids for refill-status.

    Each is asked for once. The exit code is 3 if one may have been asked for, and nobody knows.

    Args:
        orders: The ids of the orders.
        file: A file with more ids, any white space between them; - is the standard input.
        connection: Which panel, and how.
        output: How to write it.
    """
    return _write("refill", orders, file, connection, output)


def cancel(*orders: str, file: IdFile = None, connection: Connection = DEFAULTS, output: Output = TABLE) -> int:
    """Ask the panel to cancel orders; status tells later whether it did.

    Each is asked for once. The exit code is 3 if one may have been asked for, and nobody knows.

    Args:
        orders: The ids of the orders.
        file: A file with more ids, any white space between them; - is the standard input.
        connection: Which panel, and how.
        output: How to write it.
    """
    return _write("cancel", orders, file, connection, output)


def _write(action: str, given: tuple[str, ...], file: IdFile, connection: Connection, output: Output) -> int:
    try:
        ids = Ids(given, file)
    except SettingsError as error:
        complain(str(error))
        return MISUSED
    asking = _Asking(action, ids, output, debug=connection.debug)
    code = run(connection, finish_writes(asking.work))
    # Whatever came later.
    return UNKNOWN if asking.code == UNKNOWN else code


@attrs.define
class _Asking:
    """What is asked for, one request after the other, and what came of it."""

    action: str
    ids: Ids
    output: Output
    debug: bool = attrs.field(kw_only=True)
    code: int = DONE

    async def work(self, client: smm.Client) -> int:
        writer = Writer(self.output, (Column("order"), Column(_WORDS[self.action]), *ERROR_COLUMNS))
        try:
            with writer:
                await self._ask(client, writer)
        except SettingsError as error:
            complain(str(error))
            return max(self.code, MISUSED)
        except smm.SmmError as error:
            explain(error, debug=self.debug)
            return max(self.code, code_for(error))
        except UNWRITABLE:
            if not writer.unwritten:
                raise
            complain_of_output("What was answered could not be written:", *map(self._line, writer.unwritten))
            return UNKNOWN
        if self.code == UNKNOWN:
            complain("Where it is not known, it may have happened: look at the panel before you repeat it.")
        return self.code

    async def _ask(self, client: smm.Client, writer: Writer) -> None:
        ask: Ask = client.refills if self.action == "refill" else client.cancels
        async with aclosing(_batches(self.ids, client.panel.batch_limit)) as batches:
            async for batch in batches:
                found = await ask(batch)
                self.code = max(self.code, code_for(*found.values()))
                writer.write(*(self._row(id_, result) for id_, result in found.items()))

    def _row(self, id_: str, result: Any) -> Mapping[str, Any]:
        answer = None if isinstance(result, smm.SmmError) else result
        return {"order": id_, _WORDS[self.action]: answer, **error_fields(result)}

    def _line(self, row: Mapping[str, Any]) -> str:
        return f"{self.action} order={row['order']} was answered: {row['error'] or row[_WORDS[self.action]]}"


async def _batches(ids: Ids, size: int) -> AsyncGenerator[list[str], None]:
    """Yield the ids in parts, and each once, however often it is named."""
    batch: list[str] = []
    taken: set[str] = set()
    async with aclosing(ids.read()) as read:
        async for id_ in read:
            if id_ in taken:
                continue
            taken.add(id_)
            batch.append(id_)
            if len(batch) == size:
                yield batch  # noqa: ASYNC119  who reads it closes it
                batch = []
    if batch:
        yield batch


def finish_writes(work: Work, advice: Callable[[str | None], str] = lambda _: "") -> Work:
    """Return the same work, which says what became of writes that were on their way when Ctrl-C came.

    ``advice`` says how to find out what became of one of which nobody knows, by what it is called in the journal.
    """

    async def finishing(client: smm.Client) -> int:
        try:
            return await work(client)
        except anyio.get_cancelled_exc_class():
            # Caught here, at the end of the program, since there is something to say, and no one else to say it.
            complain("Waiting for the answer to what was sent already.")
            await client.aclose()
            return _tell(client.unsettled(), advice)

    return finishing


def _tell(writes: Sequence[smm.Unsettled], advice: Callable[[str | None], str]) -> int:
    """Say what became of writes, and return the exit code."""
    code = STOPPED
    for write in writes:
        for what, outcome in _outcomes(write):
            if outcome is None or code_for(outcome) == UNKNOWN:
                warning = f"{write.action} {what} may have been carried out: look at the panel before you repeat it."
                complain(f"{warning} {advice(write.ref)}".rstrip())
                code = UNKNOWN
            else:
                complain(f"{write.action} {what} was answered: {outcome}")
    return code


def _outcomes(write: smm.Unsettled) -> list[tuple[str, Any]]:
    """Return what was asked for, and what came of it, for each order of a write that is about several."""
    came: Any = write.outcome
    if isinstance(came, Mapping):
        found = cast("Mapping[str, Any]", came)
        return [(f"order={id_}", outcome) for id_, outcome in found.items()]
    return [(" ".join(f"{name}={text}" for name, text in write.fields.items()), came)]

"""The commands `smm-async journal ...`: see what nobody knows of orders, look for evidence, and write down what it was."""

from __future__ import annotations

import math
import shlex
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import attrs
from cyclopts import App, Parameter
from cyclopts.validators import Number

import smm_async as smm
from smm_async._bounds import check_seconds
from smm_async._cli_output import TABLE, Column, Output, Writer, complain
from smm_async._cli_panel import DEFAULTS, Connection, SettingsError, journal_path
from smm_async._cli_run import DONE, MISUSED, UNKNOWN, run
from smm_async.journal import Entry, EntryState, Journal

__all__ = ["app", "command_for", "existing_journal", "reading"]

_ENTRIES: Final = (
    Column("ref"),
    Column("state"),
    Column("order"),
    Column("opened_at", rank=3),
    Column("action", rank=4),
    Column("fields", is_long=True, rank=1),
    Column("note", is_long=True, rank=2),
)
_FINDINGS: Final = (Column("ref"), Column("verdict"), Column("order"), Column("evidence", is_long=True))
_ALL_KNOWN: Final = "What became of every order is known."

_BROKEN: Final = (OSError, sqlite3.Error)

app = App(name="journal", help="See which orders may have been placed, look for evidence, and write down what it was.")


@app.command(name="list")
def list_(
    *,
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    journal: Path | None = None,
    panel: str | None = None,
    output: Output = TABLE,
) -> int:
    """Show the orders that may have been placed, and nobody knows; also those that are on their way right now.

    Args:
        everything: Show all orders in the journal.
        journal: The journal; by default the profile's, or SMM_JOURNAL.
        panel: The name of the profile whose journal it is.
        output: How to write it.
    """

    async def show(book: Journal) -> int:
        with reading(book):
            entries = await (book.entries() if everything else book.unknown())
        _write(entries, output)
        if not entries:
            complain("There is no order in the journal." if everything else _ALL_KNOWN)
        return DONE

    return _with_journal(journal, panel, show)


@app.command
def reconcile(
    *refs: str,
    neighbours: Annotated[int, Parameter(validator=Number(gte=0, lte=1000))] = 0,
    settle: Annotated[float, Parameter(validator=Number(gte=0))] = 120.0,
    journal: Path | None = None,
    connection: Connection = DEFAULTS,
    output: Output = TABLE,
) -> int:
    """Look for evidence of whether orders were placed. Nothing is sent but reads, and nothing is decided.

    The exit code is 3 if it is still not known of one of them.

    Args:
        refs: What they are called in the journal; by default all of which nobody knows.
        neighbours: How many ids after the last order that the journal knows may be looked up, too.
        settle: Seconds to wait after an order was sent, since panels book late.
        journal: The journal; by default the profile's, or SMM_JOURNAL.
        connection: Which panel, and how.
        output: How to write it.
    """
    try:
        check_seconds("--settle", settle, least=0.0)
        book = _existing(journal, connection)
    except (SettingsError, ValueError) as error:
        complain(str(error))
        return MISUSED
    commands = command_for(journal, connection)
    search = _Search(book, refs, output, commands, {"settle": settle, "neighbours": neighbours})
    return run(connection, search.work, journal=book)


@app.command(name="settle")
def settle_(
    ref: str,
    /,
    *,
    order: str | None = None,
    not_placed: Annotated[bool, Parameter(negative="")] = False,
    journal: Path | None = None,
    panel: str | None = None,
    output: Output = TABLE,
) -> int:
    """Write down what you found out about an order: the panel's number, or that it was not placed. Nothing is sent.

    Args:
        ref: What it is called in the journal.
        order: The panel's number: it was placed.
        not_placed: It was not, and may be placed again under the same ref.
        journal: The journal; by default the profile's, or SMM_JOURNAL.
        panel: The name of the profile whose journal it is.
        output: How to write it.
    """
    if (order is None) != not_placed:
        complain("Say either --order with the panel's number, or --not-placed.")
        return MISUSED

    async def close(book: Journal) -> int:
        try:
            with reading(book, errors=_BROKEN):
                entry = await book.settle(ref, order=order, placed=False if not_placed else None)
        except LookupError:
            raise _no_order(ref, command_for(journal, Connection(panel=panel))) from None
        except ValueError as error:
            complain(str(error))
            return MISUSED
        _write([entry], output)
        return DONE

    return _with_journal(journal, panel, close)


def command_for(journal: Path | None, connection: Connection) -> Callable[..., str]:
    """Return what makes a command line to copy, `smm-async journal ...`, about the same journal and panel."""
    options = {"--journal": journal, "--panel": connection.panel, "--url": connection.url}
    told = {name: str(value) for name, value in options.items() if value is not None}

    def make(*words: str) -> str:
        # The others look into the journal alone, and take no address.
        taken = [(name, value) for name, value in told.items() if name != "--url" or words[0] == "reconcile"]
        return shlex.join(["smm-async", "journal", *words, *(word for option in taken for word in option)])

    return make


def _no_order(ref: str, command: Callable[..., str]) -> SettingsError:
    return SettingsError(f"There is no order under ref {ref!r}: see what there is with {command('list', '--all')}")


@contextmanager
def reading(
    journal: Journal,
    *,
    errors: tuple[type[Exception], ...] = (*_BROKEN, ValueError),
    then: str = "Look at that file, or say another --journal.",
) -> Generator[None, None, None]:
    """Raise a `SettingsError` that ends with ``then`` where the file cannot be read."""
    try:
        yield
    except errors as error:
        message = f"{journal} cannot be read: {error}. {then}"
    else:
        return
    raise SettingsError(message)


def _existing(given: Path | None, connection: Connection) -> Journal:
    path = journal_path(given, connection)
    if path is None:
        message = "Which journal? Say --journal PATH, or set SMM_JOURNAL."
        raise SettingsError(message)
    return existing_journal(path)


def existing_journal(path: Path) -> Journal:
    """Return a journal that is there: to look into one makes none.

    Raises:
        SettingsError: there is no such file.
    """
    if not path.exists():
        message = f"There is no journal {path}."
        raise SettingsError(message)
    return Journal(path.absolute())


def _with_journal(given: Path | None, panel: str | None, work: Callable[[Journal], Awaitable[int]]) -> int:
    """Do some work with a journal alone, and return the exit code."""
    try:
        return anyio.run(work, _existing(given, Connection(panel=panel)))
    except SettingsError as error:
        complain(str(error))
        return MISUSED


def _write(entries: Sequence[Entry], output: Output) -> None:
    with Writer(output, _ENTRIES) as writer:
        for entry in entries:
            row = attrs.asdict(entry, recurse=False)
            writer.write(row if output.json else row | _in_words(entry))


def _in_words(entry: Entry) -> dict[str, str | None]:
    fields = " ".join(f"{name}={text}" for name, text in entry.fields.items())
    return {"fields": fields, "note": entry.note or None}


@attrs.frozen
class _Search:
    """What evidence is looked for, and how that is shown."""

    journal: Journal
    refs: Sequence[str]
    output: Output
    command: Callable[..., str]
    options: Mapping[str, Any]

    async def work(self, client: smm.Client) -> int:
        refs = await self._find()
        if not refs:
            complain(_ALL_KNOWN)
        found: list[smm.Reconciliation] = []
        with Writer(self.output, _FINDINGS) as writer:
            for ref in refs:
                found.append(await self._look(client, ref))
                writer.write(_found_row(found[-1], self.output))
        for one in found:
            await self._advise(one)
        return UNKNOWN if any(one.verdict is smm.Verdict.UNKNOWN for one in found) else DONE

    async def _find(self) -> Sequence[str]:
        """Return the refs to look for.

        Raises:
            SettingsError: one of those that were said is not in the journal.
        """
        with reading(self.journal):
            if not self.refs:
                return [entry.ref for entry in await self.journal.unknown()]
            missing = [ref for ref in self.refs if await self.journal.get(ref) is None]
        if missing:
            raise _no_order(missing[0], self.command)
        return self.refs

    async def _look(self, client: smm.Client, ref: str) -> smm.Reconciliation:
        with reading(self.journal, errors=_BROKEN):
            pause = self.options["settle"] - await self.journal.age(ref)
            if pause > 0 and await self._is_open(ref):
                complain(f"{ref} was sent a short time ago, and panels book late: waiting for {math.ceil(pause)} s.")
            return await client.reconcile(ref, **self.options)

    async def _is_open(self, ref: str) -> bool:
        entry = await self.journal.get(ref)
        return entry is not None and entry.state is EntryState.OPEN

    async def _advise(self, found: smm.Reconciliation) -> None:
        """Say what to do next about an order that is open."""
        if not await self._is_open(found.ref):
            return
        placed, not_placed = (
            self.command("settle", found.ref, *verdict)
            for verdict in (("--order", found.order or "NUMBER"), ("--not-placed",))
        )
        sentences = {
            smm.Verdict.PLACED: f"{found.ref} was placed. If you agree, write it down{_number(found)}: {placed}",
            smm.Verdict.NOT_PLACED: f"{found.ref} was not placed. If you agree, write it down: {not_placed}",
            smm.Verdict.UNKNOWN: f"What became of {found.ref} is still not known. Look at the panel or ask its support, and write it down: "
            f"{placed} or {not_placed}",
        }
        complain(sentences[found.verdict])


def _number(found: smm.Reconciliation) -> str:
    return "" if found.order else " with the panel's number"


def _found_row(found: smm.Reconciliation, output: Output) -> dict[str, Any]:
    row = attrs.asdict(found, recurse=False)
    return row if output.json else row | {"evidence": " ".join(found.evidence)}

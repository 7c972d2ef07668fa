"""What `smm-async add` does: show what an order will cost, ask, and place it once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table

import smm_async as smm
from smm_async._cli_balance import money
from smm_async._cli_journal import command_for, reading
from smm_async._cli_order import describe_cost, find_service, make_order, read_fields
from smm_async._cli_output import (
    TABLE,
    UNWRITABLE,
    Column,
    Output,
    Writer,
    complain,
    complain_of_output,
    make_console,
    shown,
)
from smm_async._cli_panel import DEFAULTS, Connection, SettingsError, journal_path
from smm_async._cli_run import DONE, FAILED, MISUSED, UNKNOWN, code_for, explain, run
from smm_async._cli_writes import finish_writes
from smm_async.journal import Entry, EntryState, Journal

__all__ = ["add"]

Count = Annotated[int | None, Parameter(validator=Number(gte=1))]

_YES: Final = frozenset({"y", "yes"})


def add(
    service: str,
    /,
    *,
    link: str | None = None,
    quantity: Count = None,
    runs: Count = None,
    interval: Count = None,
    comments_file: Path | None = None,
    field: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    ref: str | None = None,
    journal: Path | None = None,
    yes: Annotated[bool, Parameter(negative="", alias="-y")] = False,
    connection: Connection = DEFAULTS,
    output: Output = TABLE,
) -> int:
    """Show what an order will cost, ask, and place it.

    It is sent once, and its id is written. The exit code is 3 if it may have been placed, and nobody knows.

    Args:
        service: The id of the service.
        link: Where to deliver.
        quantity: How many; with --runs, how many in each run.
        runs: How many times to deliver, for services with drip-feed.
        interval: Minutes between two runs.
        comments_file: A file with the comments, one on a line.
        field: Any other field of the order, as NAME=VALUE; may be given more than once.
        ref: Your own name for this order; in one journal it is placed at most once under that name.
        journal: The file in which orders are written down before they are sent; by default the profile's, or SMM_JOURNAL.
        yes: Do not ask.
        connection: Which panel, and how.
        output: How to write it.
    """
    options = {"link": link, "quantity": quantity, "runs": runs, "interval": interval}
    try:
        _check_may_ask(yes=yes)
        fields = read_fields(options, comments_file, field)
        path = journal_path(journal, connection)
        book = _journal_at(path, ref)
    except (SettingsError, ValueError) as error:
        complain(str(error))
        return MISUSED
    quote = _Quote()
    # Twice, and not at once: while an event loop runs, Ctrl-C does not interrupt a question.
    code = run(connection, lambda client: quote.fill(client, service, fields, ref, book))
    if code != DONE:
        return code
    if not quote.is_placed:
        make_console(stderr=True).print(quote.table())
        if not yes and not _agrees():
            complain("Nothing was ordered.")
            return FAILED
    advice = _advice(None if book is None else command_for(journal, connection), ref)
    placing = _Placing(quote, ref, output, advice, debug=connection.debug)
    return run(connection, finish_writes(placing.work, advice), journal=book)


def _check_may_ask(*, yes: bool) -> None:
    if not yes and not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        message = "This spends money, and there is no terminal to ask on: say --yes."
        raise SettingsError(message)


def _journal_at(path: Path | None, ref: str | None) -> Journal | None:
    if ref is not None and path is None:
        message = "--ref needs a journal, which remembers it: say --journal PATH, or set SMM_JOURNAL."
        raise SettingsError(message)
    # With evidence, or `journal reconcile` would have nothing to compare.
    return None if path is None else Journal(path, evidence=True)


async def _entry_in(journal: Journal, ref: str) -> Entry | None:
    with reading(journal, then="Nothing was ordered: look at that file, or say another --journal."):
        return await journal.get(ref)


def _advice(command: Callable[..., str] | None, ref: str | None) -> Callable[[str | None], str]:
    """Return what says how to find out what became of an order, by what it is called in the journal."""

    def advise(known: str | None) -> str:
        if command is None:
            return "There is no journal to ask: compare the balance above with that of: smm-async balance"
        name = known or ref
        return f"Look for evidence with: {command('list') if name is None else command('reconcile', name)}"

    return advise


def _agrees() -> bool:
    sys.stderr.write("Place this order? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in _YES


@attrs.define
class _Quote:
    """What is going to be ordered, and what that will cost."""

    service: smm.Service = attrs.field(init=False)
    order: smm.orders.Order = attrs.field(init=False)
    balance: smm.Balance = attrs.field(init=False)
    is_placed: bool = False
    """Whether the journal has it already, so that nothing will be sent."""

    async def fill(
        self, client: smm.Client, service: str, fields: Mapping[str, str], ref: str | None, journal: Journal | None
    ) -> int:
        # No ref is empty; but a journal that cannot be read is found now, before anything is asked for.
        entry = None if journal is None else await _entry_in(journal, ref or "")
        self.service = find_service(await client.services(), service)
        self.order = make_order(self.service, fields)
        self.balance = await client.balance()
        self.is_placed = entry is not None and entry.state is EntryState.PLACED
        return DONE

    def table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in self._lines():
            table.add_row(name, shown(text))
        return table

    def _lines(self) -> list[tuple[str, str]]:
        service, currency = self.service, self.balance.currency
        cost, how = describe_cost(service, self.order)
        fields = [(name, text) for name, text in self.order.form_fields().items() if name != "service"]
        bounds = [] if service.min is None or service.max is None else [f"{service.min:,} to {service.max:,} at once"]
        kinds = ", ".join([service.type or "no type", *bounds])
        return [
            ("service", f"{service.service}: {service.name} ({kinds})"),
            *fields,
            ("cost", how if cost is None else f"{money(cost, currency)} ({how})"),
            ("balance", money(self.balance.balance, currency) + self._left_after(cost)),
        ]

    def _left_after(self, cost: Decimal | None) -> str:
        if cost is None:
            return ""
        left = self.balance.balance - cost
        return f", {money(left, self.balance.currency)} after it" + ("; too little" if left < 0 else "")


@attrs.frozen
class _Placing:
    """How the order is placed, and what is said of it."""

    quote: _Quote
    ref: str | None
    output: Output
    advice: Callable[[str | None], str]
    debug: bool = attrs.field(kw_only=True)

    async def work(self, client: smm.Client) -> int:
        try:
            order = await client.add(self.quote.order, ref=self.ref)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        except smm.SmmError as error:
            return self._fail(error)
        if self.quote.is_placed:
            complain(f"{self.ref} was placed before: nothing was sent.")
        try:
            _write(self.quote, order, self.ref, self.output)
        except UNWRITABLE:
            complain_of_output(f"Order {order} was placed, but its number could not be written.")
            return UNKNOWN
        return DONE

    def _fail(self, error: smm.SmmError) -> int:
        explain(error, debug=self.debug)
        code = code_for(error)
        if code == UNKNOWN:
            complain(self.advice(error.ref if isinstance(error, smm.OutcomeUnknownError) else None))
        return code


def _write(quote: _Quote, order: str, ref: str | None, output: Output) -> None:
    if output.is_table:
        sys.stdout.write(f"{order}\n")
        sys.stdout.flush()
        return
    cost, _ = describe_cost(quote.service, quote.order)
    columns = [Column(name) for name in ("order", "service", "ref", "cost", "currency")]
    with Writer(output, columns) as writer:
        row = {"order": order, "service": quote.service.service, "ref": ref, "cost": cost}
        writer.write(row | {"currency": quote.balance.currency})

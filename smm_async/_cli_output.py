"""How all commands write what they found: a table for people, lines of JSON or CSV for programs.

What goes to the standard output can be read by a program; bars, questions and complaints go to the standard error.
"""

from __future__ import annotations

import csv
import enum
import json
import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self, TextIO

import attrs
from cyclopts import Group, Parameter
from cyclopts.validators import MutuallyExclusive
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

__all__ = [
    "TABLE",
    "UNWRITABLE",
    "Column",
    "Output",
    "Writer",
    "complain",
    "complain_of_output",
    "drop",
    "make_console",
    "make_table",
    "plain",
    "shown",
]

UNWRITABLE: Final = (OSError, UnicodeError)
"""What is raised where the standard output cannot be written to, or not in its encoding."""

# A table shows no row before its columns are known: so many at once, and no more in memory.
_PAGE: Final = 1000
# Where nobody looks, nothing needs to be cut.
_UNBOUNDED: Final = 10_000
# Between two columns.
_GAP: Final = 2
# Narrower, a text is no text any more.
_READABLE: Final = 16
_GROUP: Final = Group("Output", validator=MutuallyExclusive())  # type: ignore[no-untyped-call]


@Parameter(name="*")
@attrs.frozen
class Output:
    """The options for how to write."""

    json: Annotated[bool, Parameter(negative="", group=_GROUP, help="Write lines of JSON, money as text.")] = False
    csv: Annotated[bool, Parameter(negative="", group=_GROUP, help="Write CSV.")] = False

    @property
    def is_table(self) -> bool:
        """Whether people are to read it."""
        return not self.json and not self.csv


TABLE: Final = Output()


@attrs.frozen
class Column:
    """One column of a table and of CSV."""

    name: str
    is_number: bool = False
    is_long: bool = False
    """Whether it goes on in the next line where there is no room."""
    rank: int = 0
    """What is left out of a table where there is no room: the highest first, and never 0."""

    @property
    def title(self) -> str:
        """What stands above it."""
        return self.name.replace("_", " ")


class Writer:
    """Writes rows to the standard output. Use it with ``with``: a table waits for its end, or for a thousand rows."""

    def __init__(self, output: Output, columns: Sequence[Column]) -> None:
        self._output = output
        self._columns = columns
        self.unwritten: list[Mapping[str, Any]] = []
        """The rows that nobody has seen yet."""
        self._is_seen = sys.stdout.isatty()
        self._csv = csv.writer(sys.stdout, lineterminator="\n")
        if output.csv:
            self._csv.writerow([column.name for column in columns])
            sys.stdout.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._show()

    def write(self, *rows: Mapping[str, Any]) -> None:
        """Write rows, each of which has a value for each column; what else it has is for JSON."""
        self.unwritten.extend(rows)
        if not self._output.is_table:
            for row in rows:
                self._write_line(row)
                # Whoever reads them through a pipe may wait for each.
                sys.stdout.flush()
                del self.unwritten[0]
        elif len(self.unwritten) >= _PAGE:
            self._show()

    def _write_line(self, row: Mapping[str, Any]) -> None:
        if self._output.json:
            sys.stdout.write(f"{json.dumps(plain(row), ensure_ascii=self._is_seen)}\n")
        else:
            cells = [_cell(row[column.name], no="false", yes="true") for column in self._columns]
            self._csv.writerow(map(shown, cells) if self._is_seen else cells)

    def _show(self) -> None:
        if self.unwritten:
            console = make_console()
            console.print(make_table(self._columns, self.unwritten, width=console.width))
            self.unwritten.clear()


def make_table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], *, width: int) -> Table:
    """Return a table in which no id and no number is ever cut. Empty columns are left out, and what there is no room for."""
    texts = {
        column: [shown(_cell(row[column.name], no="no", yes="yes")) for row in rows]
        for column in columns
        if any(row[column.name] is not None for row in rows)
    }
    fitting = _fitting(texts, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in fitting:
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.title, justify=justify, no_wrap=not column.is_long, overflow="fold")
    for place in range(len(rows)):
        table.add_row(*(texts[column][place] for column in fitting))
    return table


def _fitting(texts: Mapping[Column, Sequence[str]], width: int) -> list[Column]:
    """Return the columns for which there is room; the least of them goes first."""

    def room_for(column: Column) -> int:
        longest = max(map(cell_len, [column.title, *texts[column]]))
        return _GAP + (min(longest, _READABLE) if column.is_long else longest)

    fitting = list(texts)
    for column in sorted(texts, key=lambda column: -column.rank):
        if column.rank == 0 or sum(map(room_for, fitting)) - _GAP <= width:
            break
        fitting.remove(column)
    return fitting


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Within the handler of the error. Else the program would end here, whatever it has sent.
        raise  # noqa: PLE0704


def make_console(*, stderr: bool = False) -> Console:
    """Return what writes for people. What panels say is never taken for markup, and a pipe is as wide as it takes."""
    console = _Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = _Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=_UNBOUNDED)
    return console


def plain(value: Any) -> Any:
    """Return a value as JSON can say it: money as its digits, in text."""
    match value:
        case Decimal():
            return format(value, "f")
        case enum.Enum():
            return value.value
        case Mapping():
            return {str(name): plain(inner) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list() | tuple():
            return [plain(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def shown(text: str) -> str:
    """Return a text without what would move a terminal's cursor, or do worse."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def complain(sentence: str) -> None:
    """Say something on the standard error; where that takes nothing, the exit code alone says it."""
    try:
        sys.stderr.write(f"{shown(sentence)}\n")
    except OSError:
        drop(sys.stderr)


def complain_of_output(*sentences: str) -> None:
    """Say what the standard output did not take."""
    drop(sys.stdout)
    for sentence in sentences:
        complain(sentence)


def drop(stream: TextIO) -> None:
    """Let nothing more be written to a stream, nor be said of it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _cell(value: Any, *, no: str, yes: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return yes if value else no
    return str(plain(value))

"""What `smm-async demo` does: look up many orders of a simulated panel, merged and one by one, and compare; follow some."""

from __future__ import annotations

import gc
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import anyio
import attrs
from anyio.abc import Process
from anyio.lowlevel import checkpoint
from anyio.streams.buffered import BufferedByteReceiveStream
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

import smm_async as smm
from smm_async._cli_output import Column, make_table
from smm_async._demo_follow import follow
from smm_async._signals import stop_signals

_PLACED: Final = 5
_SAMPLE: Final = 500
_FOLLOWED: Final = 100
# With more, Ctrl-C would take longer than a second: each task is cancelled by itself.
_MOST_ORDERS: Final = 20_000
# All lookups begin at once, so the last of very many waits for a while.
_BUDGET: Final = 600.0
# Starting very many tasks takes seconds, in which Ctrl-C should be heard.
_TASKS_PER_PASS: Final = 1000
_REDRAW_SECONDS: Final = 0.1
_LONGEST_REPLY: Final = 1000
_SERVER: Final = ("-P", "-m", "smm_async._demo_server")
_FAILED: Final = 1
# What a shell adds to the number of the signal that ended a program.
_SIGNALED: Final = 128


def demo(
    *,
    backend: Literal["asyncio", "trio"] = "asyncio",
    orders: Annotated[int, Parameter(validator=Number(gte=1, lte=_MOST_ORDERS))] = 10_000,
) -> int:
    """Look up many orders at once on a simulated panel, merged and one by one, and compare; follow some to their end.

    Args:
        backend: The event loop.
        orders: How many orders to look up, each from a task of its own.
    """
    console = Console(highlight=False)
    console.print(f"Looking up {_count(orders, 'order')} at once, each from a task of its own, on {backend}.")
    console.print("The panel is simulated: another process on this machine, reached over HTTP.")
    return anyio.run(_run, console, orders, backend=backend)


async def _run(console: Console, orders: int) -> int:
    """Return the exit code. A signal ends everything at once, and leaves nothing behind."""
    code, caught = 0, list[signal.Signals]()
    with stop_signals() as signals:
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                if signals is not None:
                    group.start_soon(_cancel_at_signal, signals, scope, caught)
                # Caught in here: what leaves the group would be an exception group.
                try:
                    await _compare(console, orders)
                except (_ServerGoneError, smm.SmmError) as error:
                    sys.stderr.write(f"{error}\n")
                    code = _FAILED
                except SystemExit:  # from rich, when nobody reads the output any more
                    code = _FAILED
            group.cancel_scope.cancel()
    if caught:
        gc.freeze()
    return _SIGNALED + caught[0] if caught else code


async def _cancel_at_signal(
    signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope, caught: list[signal.Signals]
) -> None:
    async for signum in signals:
        caught.append(signum)
        scope.cancel()
        # To look for garbage in what is left of very many tasks would take longer than to end them.
        gc.disable()


async def _compare(console: Console, orders: int) -> None:
    key, placed = secrets.token_hex(16), min(_PLACED, orders)
    async with await _start_server(orders - placed) as process:
        server = _Server(process)
        hello = await server.ask(key)
        panel, first = smm.Panel(hello["url"]), hello["first_order"]
        ids = [str(first + place) for place in range(orders - placed)]
        ids += await _place(panel, key, placed)
        console.print(f"Placed {_count(placed, 'order')} with client.add: {', '.join(ids[-placed:])}.")
        ways = [_Way("merged", panel, ids), _Way("one by one", _without_merging(panel), ids[-_SAMPLE:])]
        with _make_progress(console) as progress:
            bars = [_Bar(progress, way.name, len(way.ids)) for way in ways]
            figures = [await _measure(server, key, way, bar) for way, bar in zip(ways, bars, strict=True)]
        console.print("", _make_table(figures, width=console.width), "", sep="\n")
        console.print(_conclude(*figures), style="bold")
        await _follow(console, server, panel, key, min(_FOLLOWED, orders))


async def _follow(console: Console, server: _Server, panel: smm.Panel, key: str, count: int) -> None:
    ids = await _place(panel, key, count)
    console.print(f"\nFollowing {_count(count, 'new order')} with client.watch, until each has ended.")
    before = await server.ask("count")
    async with smm.Client(panel, key=key) as client:
        changes = await follow(client, ids, console, server.wait)
    after = await server.ask("count")
    lookups, requests = after["ids"] - before["ids"], after["requests"] - before["requests"]
    console.print(f"{_count(changes, 'change')}, {_count(lookups, 'lookup')} in {_count(requests, 'request')}.")


async def _start_server(orders: int) -> Process:
    return await anyio.open_process(
        [sys.executable, *_SERVER, str(orders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=_make_environment(),
        start_new_session=True,  # Ctrl-C is for this process alone
    )


def _make_environment() -> dict[str, str]:
    """Return an environment in which Python finds what this process finds, in the same order, and nothing else."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}


class _ServerGoneError(Exception):
    """The process of the simulated panel has ended before its time."""


class _Server:
    """The process of the simulated panel, and its pipes."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101  it was started so
        assert process.stdout is not None  # noqa: S101  it was started so
        self._lines = process.stdin
        self.wait = process.wait
        self._replies = BufferedByteReceiveStream(process.stdout)

    async def ask(self, line: str) -> Mapping[str, Any]:
        """Send one line and return the answer to it.

        Raises:
            _ServerGoneError: There is none, and never will be.
        """
        try:
            await self._lines.send(f"{line}\n".encode())
            reply = await self._replies.receive_until(b"\n", _LONGEST_REPLY)
        except (anyio.BrokenResourceError, anyio.IncompleteRead, OSError):
            message = "The process of the simulated panel has ended unexpectedly."
            raise _ServerGoneError(message) from None
        return cast("Mapping[str, Any]", json.loads(reply))


@attrs.frozen
class _Way:
    """How some orders are looked up."""

    name: str
    panel: smm.Panel
    ids: Sequence[str]


@attrs.frozen
class _Figures:
    """What some lookups took; requests and ids as counted by the panel."""

    name: str
    lookups: int
    requests: int
    ids: int
    seconds: float

    @property
    def ids_per_request(self) -> float:
        return self.ids / self.requests

    @property
    def lookups_per_second(self) -> float:
        return self.lookups / self.seconds


def _without_merging(panel: smm.Panel) -> smm.Panel:
    """Return the same panel, taken for one that knows no plural form of `status`."""
    single = attrs.evolve(panel.actions["status"], many=None)
    return attrs.evolve(panel, actions={**panel.actions, "status": single})


async def _place(panel: smm.Panel, key: str, count: int) -> list[str]:
    async with smm.Client(panel, key=key) as client:
        service = (await client.services())[0]
        order = smm.orders.Default(service=service.service, link="https://example.com/p/1", quantity=service.min or 1)
        return [await client.add(order) for _ in range(count)]


async def _measure(server: _Server, key: str, way: _Way, bar: _Bar) -> _Figures:
    before = await server.ask("count")
    async with smm.Client(way.panel, key=key, budget=_BUDGET) as client:
        seconds = await _look_up(client, way.ids, bar)
    after = await server.ask("count")
    return _Figures(
        way.name, len(way.ids), after["requests"] - before["requests"], after["ids"] - before["ids"], seconds
    )


async def _look_up(client: smm.Client, ids: Sequence[str], bar: _Bar) -> float:
    """Look up each order from a task of its own, all at once, and return how many seconds that took."""
    failed: list[smm.SmmError] = []
    # One for each: a thousand tasks that are cancelled while they wait for a common one search through each other.
    starts: list[anyio.Event] = []
    began_at = ended_at = 0.0

    async def look_up(id_: str) -> None:
        starts.append(start := anyio.Event())
        await start.wait()
        try:
            await client.status(id_)
        except smm.SmmError as error:
            failed.append(error)
            lookups.cancel_scope.cancel()
        else:
            bar.done += 1

    async with anyio.create_task_group() as drawing:
        drawing.start_soon(bar.draw)
        async with anyio.create_task_group() as lookups:
            for place, id_ in enumerate(ids, 1):
                lookups.start_soon(look_up, id_)
                if place % _TASKS_PER_PASS == 0:
                    await checkpoint()
            while len(starts) < len(ids):
                await checkpoint()
            bar.is_starting = False
            began_at = anyio.current_time()
            for start in starts:
                start.set()
        ended_at = anyio.current_time()
        drawing.cancel_scope.cancel()
    if failed:
        raise failed[0]
    bar.show()
    return ended_at - began_at


def _make_progress(console: Console) -> Progress:
    """Return bars, which are shown on a terminal only; they are drawn when they are told to, and not by a thread."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        auto_refresh=False,
        disable=not console.is_interactive,
    )


class _Bar:
    """Counts what is done, and shows it now and then: telling rich of each lookup would take longer than the lookup."""

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self._progress = progress
        self._total = total
        self._task = progress.add_task(name, total=total, note="waiting")
        self.done = 0
        self.is_starting = True

    async def draw(self) -> None:
        """Show it ten times a second, for ever."""
        while True:
            self.show()
            await anyio.sleep(_REDRAW_SECONDS)

    def show(self) -> None:
        """Show it as it is now."""
        note = "starting tasks" if self.is_starting else f"{self.done:,} of {self._total:,}"
        self._progress.update(self._task, completed=self.done, note=note, refresh=True)


_COLUMNS: Final = (
    Column(""),
    Column("lookups", is_number=True, rank=3),
    Column("requests", is_number=True),
    Column("ids per request", is_number=True, rank=2),
    Column("seconds", is_number=True, rank=1),
    Column("lookups/s", is_number=True),
)


def _make_table(figures: Sequence[_Figures], *, width: int) -> Table:
    rows = [
        {
            "": row.name,
            "lookups": f"{row.lookups:,}",
            "requests": f"{row.requests:,}",
            "ids per request": f"{row.ids_per_request:.1f}",
            "seconds": f"{row.seconds:.3f}",
            "lookups/s": f"{row.lookups_per_second:,.0f}",
        }
        for row in figures
    ]
    return make_table(_COLUMNS, rows, width=width)


def _conclude(merged: _Figures, single: _Figures) -> str:
    fewer = merged.ids_per_request / single.ids_per_request
    faster = merged.lookups_per_second / single.lookups_per_second
    if merged.lookups == 1:
        return "One order alone is one request either way."
    return f"Merged lookups took {fewer:.3g} times fewer requests and were {faster:.3g} times as fast."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

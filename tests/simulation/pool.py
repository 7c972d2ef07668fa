"""Storms over a connection pool: ``python -m tests.simulation.pool --seeds 100``; see ``--help``.

Each seed is 1,200 requests in bursts of about 20 cancelled callers under one shared deadline, to a client over the pool
of httpx and of httpx2, given by the user, and over the client's own connections, on asyncio and on trio. Exits with 1
if a slot was lost, or a later request was not answered, and prints how to see it again. As a control, every tenth storm
breaks over the pools without the client's gate, and without the client: there httpcore 1.0.9 loses slots
(encode/httpcore#1093). Exits with 1, too, if none of these lost any, for then the others have shown nothing.
"""

import os
import sys
import time
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from tests.simulation import pool_storm
from tests.simulation.loops import BACKENDS
from tests.simulation.pool_storm import CLIENT, CONTROLS, LIBRARIES, OWN, PLAIN, UNGATED, Outcome, Storm
from tests.simulation.processes import show_progress, work

app = App(name="python -m tests.simulation.pool", help=__doc__)
out = Console()
_CHUNK = 5
_SEEDS_PER_CONTROL = 10
_MOST_SHOWN = 20
_CORES = os.cpu_count() or 1
_CALLED = {CLIENT: "client", UNGATED: "client, no gate", PLAIN: "AsyncClient"}
# The client's own connections are only ever limited by its gate.
_ROWS = [(library, CLIENT) for library in LIBRARIES] + [
    (library, through) for through in CONTROLS for library in LIBRARIES if library != OWN
]

Backend = Literal["asyncio", "trio"]
Library = Literal["httpx", "httpx2", "own"]
Through = Literal["client", "ungated", "plain"]
Jobs = Annotated[int, Parameter(help="Processes that work at the same time.")]


@app.default
def simulate(*, seeds: int = 100, first_seed: int = 0, jobs: Jobs = _CORES) -> int:
    """Let the storms of SEEDS seeds break over each pool, and look for slots that were lost."""
    last = first_seed + seeds
    tasks = [
        (library, backend, through, first, min(1 if through in CONTROLS else _CHUNK, last - first))
        for first in range(first_seed, last, _CHUNK)
        for library, through in _ROWS
        for backend in BACKENDS
        if through not in CONTROLS or (first - first_seed) % _SEEDS_PER_CONTROL == 0
    ]
    totals = {(*row, backend): Outcome() for row in _ROWS for backend in BACKENDS}
    started = time.perf_counter()
    with show_progress(out) as progress:
        bar = progress.add_task("storms", total=sum(count for *_, count in tasks))
        for (library, backend, through, *_), outcome in work(storms_of, [(task,) for task in tasks], jobs):
            totals[library, through, backend].add(outcome)
            progress.advance(bar, outcome.storms)
    show(totals, time.perf_counter() - started)
    is_broken = any(total.violations for (_, through, _), total in totals.items() if through == CLIENT)
    has_control_lost = any(total.stuck for (_, through, _), total in totals.items() if through in CONTROLS)
    if not has_control_lost:
        out.print("No control lost a slot: these storms would not have found one that the client loses.", style="bold")
    return 1 if is_broken or not has_control_lost else 0


def storms_of(task):
    """Return a task, and what its storms came to."""
    return task, pool_storm.storms(*task)


def show(totals, seconds):
    """Print a row for each pool, and what was wrong where the client asked."""
    columns = ("pool of", "asked by", "loop", "storms", "requests", "cancelled", "lost", "later")
    table = Table(*columns, title=f"{sum(total.storms for total in totals.values()):,} storms in {seconds:,.0f} s")
    for (library, through, backend), total in totals.items():
        numbers = (total.storms, total.calls, total.cancelled, total.stuck)
        later = f"{total.later:,} of {total.slots:,}"
        table.add_row(library, _CALLED[through], backend, *(f"{number:,}" for number in numbers), later)
    out.print(table)
    for (library, through, backend), total in totals.items():
        if through == CLIENT:
            _show_violations(library, backend, total.violations)


def _show_violations(library, backend, violations):
    for seed, message in sorted(violations)[:_MOST_SHOWN]:
        out.print(f"{library} on {backend}, {seed}: {message}", markup=False, highlight=False)
    for seed in sorted({seed for seed, _ in violations})[:_MOST_SHOWN]:
        out.print("see it again:", replay_command(library, backend, seed), markup=False, highlight=False)


def replay_command(library, backend, seed):
    """Return the command that lets one storm break again."""
    return f"python -m tests.simulation.pool replay {seed} --library {library} --backend {backend}"


@app.command
def replay(seed: int, *, library: Library = "httpx", backend: Backend = "asyncio", through: Through = "client") -> int:
    """Let one storm break again, and show what it came to and the pools that it left behind."""
    storm = Storm(library, backend, seed, through)
    outcome = pool_storm.let_break(storm)
    out.print(storm.knobs, *storm.left_behind, markup=False, highlight=False, sep="\n")
    out.print(
        f"{outcome.calls:,} requests, {outcome.cancelled:,} cancelled, {outcome.answered:,} answered", highlight=False
    )
    messages = [message for _, message in outcome.violations]
    out.print(*(messages or ["nothing wrong"]), sep="\n", style="bold", markup=False, highlight=False)
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(app())

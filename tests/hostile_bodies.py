"""Gives hostile answers to all actions of a client, on both loops, and shows what it makes of them.

``python -m tests.hostile_bodies [--count N] [--seed N]``; the exit code is 1 if anything is wrong.
"""

import argparse
import sys
import time

import anyio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.bomb_program import fill_memory, peak_memory
from tests.hostile_corpus import MANY
from tests.hostile_trial import Findings, give_all, strictly, threads_in_step
from tests.virtual_time import VIRTUAL_BACKENDS, virtual_backend

CHUNK = 250
MOST_SHOWN = 50


def main():
    """Give as many answers as were asked for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile_bodies", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--count", type=int, default=MANY, help="how many answers each loop gets (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="what they are made from (default: %(default)s)")
    options = parser.parse_args()
    console, started = Console(), time.perf_counter()
    with strictly() as errors, threads_in_step(), progress_on(console) as progress:
        found, grown = give_to_both(options.seed, options.count, progress)
    found.failures += errors
    console.print(summary(found, options, grown, time.perf_counter() - started))
    for failure in found.failures[:MOST_SHOWN]:
        console.print(ascii(failure), markup=False, highlight=False, soft_wrap=True)
    return 1 if found.failures else 0


def progress_on(console):
    """Return a bar for each loop."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, TimeRemainingColumn(), console=console)


def give_to_both(seed, count, progress):
    """Return what came of all answers, and how many MiB more than at first the program needed."""
    found, ballast, before = Findings(), None, 0.0
    for name in VIRTUAL_BACKENDS:
        backend, backend_options = virtual_backend(name)
        task = progress.add_task(name, total=count)
        for first in range(0, count, CHUNK):
            numbers = range(first, min(first + CHUNK, count))
            found.add(anyio.run(give_all, seed, numbers, backend=backend, backend_options=backend_options))
            progress.advance(task, len(numbers))
            if ballast is None:
                ballast, before = fill_memory(), peak_memory()
    return found, peak_memory() - before


def summary(found, options, grown, seconds):
    """Return a table of what came of them."""
    table = Table(title=f"{options.count:,} answers on each loop, seed {options.seed}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, count in found.outcomes.most_common():
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("all outcomes", f"{found.outcomes.total():,}")
    table.add_row("failures", f"{len(found.failures):,}")
    table.add_row("slowest on the loop", f"{found.slowest[0] * 1000:.1f} ms, {found.slowest[1]}")
    table.add_row("memory at its peak", f"{grown:+.1f} MiB")
    table.add_row("time", f"{seconds:.0f} s")
    return table


if __name__ == "__main__":
    sys.exit(main())

"""Simulate lives of a client: ``python -m tests.simulation --lives 20000 --jobs 2``; see ``--help``.

Half of the lives run on asyncio, half on trio. Exits with 1 if an invariant was broken, and prints how to see it again.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from tests.simulation import hunt, mutants
from tests.simulation.processes import show_progress, work

app = App(name="python -m tests.simulation", help=__doc__)
out = Console()
_BACKENDS = ("asyncio", "trio")
_CHUNK = 250
_MOST_SHOWN = 20

Backend = Literal["asyncio", "trio"]
Jobs = Annotated[int, Parameter(help="Processes that work at the same time.")]
_CORES = os.cpu_count() or 1


@app.default
def simulate(lives: int = 20_000, *, jobs: Jobs = _CORES, first_seed: int = 0) -> int:
    """Live LIVES lives, half per event loop, and check the invariants in each."""
    chunks = [
        (backend, first, min(_CHUNK, first_seed + lives // 2 - first))
        for first in range(first_seed, first_seed + lives // 2, _CHUNK)
        for backend in _BACKENDS
    ]
    started, reports = time.perf_counter(), []
    with show_progress(out) as progress:
        bar = progress.add_task("lives", total=2 * (lives // 2))
        for report in work(hunt.hunt, chunks, jobs):
            reports.append(report)
            progress.advance(bar, report.lives)
            for seed, message in report.violations:
                progress.console.print(f"{report.backend} {seed}: {message}", markup=False, highlight=False)
    status = _conclude(reports, time.perf_counter() - started)
    # A hunt that was stopped has found nothing out.
    return status or int(sum(report.lives for report in reports) < max(lives, 2) // 2 * 2)


def _conclude(reports, seconds) -> int:
    table = Table("", *_BACKENDS, title=f"{sum(report.lives for report in reports):,} lives in {seconds:,.0f} s")
    sums = {name: sum((r.counts for r in reports if r.backend == name), Counter()) for name in _BACKENDS}
    lives = {name: sum(report.lives for report in reports if report.backend == name) for name in _BACKENDS}
    broken = [report for report in reports if report.violations]
    table.add_row("lives", *(f"{lives[name]:,}" for name in _BACKENDS))
    for row, _ in sum(sums.values(), Counter()).most_common(_MOST_SHOWN):
        table.add_row(row, *(f"{sums[name][row]:,}" for name in _BACKENDS))
    seeds = [len({seed for r in broken if r.backend == name for seed, _ in r.violations}) for name in _BACKENDS]
    table.add_row("lives with a violation", *map(str, seeds))
    out.print(table)
    for report in broken[:_MOST_SHOWN]:
        out.print("see it again:", report.replay(), highlight=False)
    return 1 if broken else 0


@app.command
def replay(seed: int, *, backend: Backend = "asyncio", mutant: str | None = None) -> int:
    """Live one life again, and show all that happened in it."""
    if mutant is not None:
        mutants.plant(mutant)
    from tests.simulation.life import live  # noqa: PLC0415  after the bug was planted

    life = live(backend, seed)
    out.print(life.knobs, *life.trace, sep="\n", markup=False, highlight=False)
    out.print(*(life.violations or ["nothing wrong"]), sep="\n", style="bold", markup=False, highlight=False)
    return 1 if life.violations else 0


@app.command(name="mutants")
def hunt_mutants(*names: str, lives: int = 2_000, jobs: Jobs = _CORES) -> int:
    """Plant each bug, and see that it is found on both event loops within LIVES lives, by the right message."""
    chosen = [mutant for mutant in mutants.MUTANTS if not names or mutant.name in names]
    if len(chosen) < len(names):
        out.print("There is no such planted bug:", *set(names) - {mutant.name for mutant in chosen}, highlight=False)
        return 2
    tasks = [(mutant.name, backend, lives) for mutant in chosen for backend in _BACKENDS]
    found = {}
    with show_progress(out) as progress:
        bar = progress.add_task("mutants", total=len(tasks))
        for name, report in work(hunt.hunt_mutant, tasks, jobs, tasks_per_child=1):
            found[name, report.backend] = report
            progress.advance(bar)
    table = Table("planted bug", "found by", *(f"{name}: life" for name in _BACKENDS), title=f"{len(chosen)} mutants")
    failures = 0
    for mutant in chosen:
        cells = [
            _first_finding(mutant, found[mutant.name, backend])
            for backend in _BACKENDS
            if (mutant.name, backend) in found
        ]
        failures += len(_BACKENDS) - sum(cell.isdigit() for cell in cells)
        table.add_row(mutant.name, mutant.expected, *cells)
    out.print(table)
    out.print(f"{failures} not found" if failures else "all found")
    return 1 if failures else 0


def _first_finding(mutant, report):
    """Return in which life the bug was found, or what was found in place of the message meant for it."""
    messages = [message for _, message in report.violations]
    if any(message.startswith(mutant.expected) for message in messages):
        return str(report.lives)
    return messages[0] if messages else "not found"


@app.command
def torture(*, jobs: Jobs = _CORES, scenarios: int = 50) -> int:
    """Cancel every waiter of SCENARIOS scenarios at every pass of the scheduler, one at a time."""
    tasks = [(backend, number) for number in range(scenarios) for backend in _BACKENDS]
    runs, wrong, started = Counter[str](), [], time.perf_counter()
    with show_progress(out) as progress:
        bar = progress.add_task("scenarios", total=len(tasks))
        for backend, count, found in work(hunt.torture, tasks, jobs):
            runs[backend] += count
            wrong += found
            progress.advance(bar)
    out.print(f"{scenarios} scenarios, {dict(runs)} runs in {time.perf_counter() - started:.0f} s, {len(wrong)} wrong")
    out.print(*wrong[:_MOST_SHOWN], sep="\n", markup=False, highlight=False)
    return 1 if wrong else 0


@app.command
def day(orders: int = 100_000, *, backend: Backend = "asyncio", seed: int = 0) -> int:
    """Watch ORDERS orders for a day, and print what it costs and how late their ends are seen."""
    from tests.simulation.day import simulate_day  # noqa: PLC0415  `resource` is not everywhere

    started = time.process_time()
    figures = simulate_day(backend, orders, seed)
    table = Table("", backend, title=f"a day, in {time.process_time() - started:,.0f} s of CPU")
    for row in figures.rows():
        table.add_row(*row)
    out.print(table)
    return 0 if figures.seen >= 0.95 * figures.ended else 1


@app.command
def digest(*, lives: int = 1_000, backend: Backend = "asyncio") -> int:
    """Print what LIVES lives come to."""
    print(hunt.hunt(backend, 0, lives).digest)
    return 0


@app.command
def determinism(*, lives: int = 1_000) -> int:
    """Compare what LIVES lives come to in two processes, in which sets have different orders."""
    is_same = True
    for backend in _BACKENDS:
        command = [sys.executable, "-m", "tests.simulation", "digest", "--lives", str(lives), "--backend", backend]
        started = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONHASHSEED": seed})
            for seed in ("1", "2")
        ]
        digests = {process.communicate()[0].strip() for process in started}
        is_same = is_same and len(digests) == 1 and not any(process.returncode for process in started)
        out.print(f"{lives:,} lives on {backend} in two processes:", *sorted(digests), highlight=False)
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(app())

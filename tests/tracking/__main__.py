"""Proofs and figures of durable tracking, against real servers and processes."""

import sys
from typing import Literal

from cyclopts import App
from rich import box
from rich.console import Console
from rich.table import Table

from tests.tracking import figures
from tests.tracking import storm as storms

app = App(name="python -m tests.tracking", help=__doc__)

Engine = Literal["postgres", "sqlite"]


@app.command
def storm(engine: Engine = "postgres", *, orders: int = 100_000, workers: int = 4, seed: int = 0) -> int:
    """Kill and freeze workers, crash the database, and look whether every order ends, and is recorded once."""
    result = storms.storm(engine, orders, workers, seed)
    print(f"{engine}, {workers} workers: {'right' if result.is_right else 'WRONG'}\n{result}")
    return not result.is_right


@app.command
def store(engine: Engine = "postgres", *, most: int = 1_000_000, rounds: int = 60) -> int:
    """Print what a claim and a record of 1,000 orders cost while ten thousand to a million are open."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{engine}, 1,000 rows a call; load: {figures.load()}")
    columns = ("open", "insert s", "claim ms", "record ms", "rows/s", "client CPU us", "database CPU us", "memory MB")
    for title in columns:
        table.add_column(title, justify="right")
    for row in figures.of_store(engine, [size for size in (10_000, 100_000, 1_000_000) if size <= most], rounds):
        costs = (row.claim, row.record, row.rows_a_second, row.client_cpu, row.database_cpu, row.memory)
        table.add_row(f"{row.open:,}", f"{row.insert:.1f}", *(f"{cost:,.1f}" for cost in costs))
    Console(width=120).print(table)
    return 0


@app.command
def workers(
    engine: Engine = "postgres",
    *,
    crews: tuple[int, ...] = (1, 2, 4),
    orders: int = 50_000,
    seconds: float = 15.0,
    backend: Literal["asyncio", "trio"] = "asyncio",
) -> int:
    """Print how many lookups a second workers make, and what each costs; the panel takes 50 ms for an answer."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{engine}, {backend}, {orders:,} orders; load: {figures.load()}")
    columns = ("workers", "lookups/s", "ids per request", "worker CPU us", "database CPU us", "memory MB")
    for title in columns:
        table.add_column(title, justify="right")
    for crew in crews:
        row = figures.of_workers(engine, crew, orders, seconds, backend)
        costs = (row.lookups_a_second, row.ids_per_request, row.cpu, row.database_cpu, row.memory)
        table.add_row(str(crew), *(f"{cost:,.1f}" for cost in costs))
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(app())

"""Proofs of durable tracking, against real servers and processes."""

import sys
from typing import Literal

from cyclopts import App

from tests.tracking import storm as storms

app = App(name="python -m tests.tracking", help=__doc__)

BACKENDS = {"asyncio": ("asyncio",), "trio": ("trio",), "both": ("asyncio", "trio")}


@app.command
def storm(
    engine: Literal["postgres", "sqlite"] = "postgres",
    *,
    orders: int = 100_000,
    workers: int = 4,
    seed: int = 0,
    backend: Literal["asyncio", "trio", "both"] = "both",
) -> int:
    """Kill and freeze workers, crash the database, and look whether every order ends, and is recorded once."""
    result = storms.storm(engine, orders, workers, seed, backends=BACKENDS[backend])
    print(f"{engine}, {workers} workers, {backend}: {'right' if result.is_right else 'WRONG'}\n{result}")
    return not result.is_right


if __name__ == "__main__":
    sys.exit(app())

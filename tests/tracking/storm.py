"""Workers that are killed and frozen, a database that crashes: every order ends, and every end is recorded once."""

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress

import attrs

from smm_async._store_urls import store_at
from smm_async.tracking import StoreAwayError
from tests.tracking.processes import ROOT, PanelProcess, Worker, database

MOST_SECONDS = 900.0


@attrs.define
class Result:
    """What came of a storm."""

    orders: int
    ended: int
    recorded: int
    distinct: int
    delivered: int
    delivered_distinct: int
    lookups: int
    wasted: int
    requests: int
    seconds: float
    done: Counter[str]

    @property
    def is_right(self):
        """Whether the promise was kept, and lookups were not wasted."""
        return (
            self.orders == self.ended == self.recorded == self.distinct == self.delivered_distinct
            and self.wasted <= 0.02 * self.lookups
            and self.lookups >= 95 * self.requests
        )

    def __str__(self):
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        return (
            f"{self.orders:,} orders, {self.ended:,} ended, events: {self.recorded:,} recorded, {self.distinct:,} "
            f"distinct, {self.delivered:,} delivered, {self.delivered_distinct:,} of them distinct\n"
            f"{self.lookups:,} lookups in {self.seconds:.0f} s, {self.wasted:,} wasted "
            f"({100 * self.wasted / self.lookups:.2f} %), {self.lookups / self.requests:.1f} ids per request\n"
            f"done to them: {done}"
        )


def storm(engine, orders, workers, seed, *, backends=("asyncio", "trio"), lookups=9, crashes=3, scale=1.0):
    """Track orders while everything falls over, and return what came of it; ``scale`` shortens polls and leases."""
    lease = 6.0 * scale
    numbers = {"--shortest": scale, "--longest": 2 * scale, "--budget": 2 * scale, "--lease": lease}
    options = [text for name, number in numbers.items() for text in (name, f"{number:g}")]
    rng, done = random.Random(seed), Counter[str]()
    with ExitStack() as stack:
        place = stack.enter_context(database(engine))
        panel = stack.enter_context(closing(PanelProcess(0.05, lookups)))
        log = stack.enter_context(tempfile.TemporaryFile())
        store = store_at(place.url)
        store.open()
        stack.callback(store.close)
        store.add("alpha", [str(order) for order in range(1, orders + 1)])
        crew = [
            stack.enter_context(closing(Worker(place.url, panel.url, backend, options, log)))
            for backend in itertools.islice(itertools.cycle(backends), workers)
        ]
        started = time.monotonic()
        left = crashes if engine == "postgres" else 0
        while (ended := _ended(store)) < orders and time.monotonic() < started + MOST_SECONDS:
            time.sleep(rng.uniform(1.0, 3.0))
            for worker in crew:
                worker.revive()
            # The first at once: however fast the rest goes, there is one.
            if left and ended >= orders * (crashes - left) / (crashes + 2):
                left -= 1
                place.crash()
                done["crashes of the database"] += 1
            _hurt(rng, crew, lease, done)
        seconds = time.monotonic() - started
        codes = [worker.stop() for worker in crew]
        counted = panel.counters()
        recorded, distinct = _events(place.url)
        delivered = _deliver(place.url, rng, done)
    done["workers that did not leave in order"] += sum(code != 0 for code in codes)
    return Result(
        orders=orders,
        ended=ended,
        recorded=recorded,
        distinct=distinct,
        delivered=len(delivered),
        delivered_distinct=len(set(delivered)),
        lookups=counted["ids"],
        wasted=counted["late"],
        requests=counted["requests"],
        seconds=seconds,
        done=done,
    )


def _hurt(rng, crew, lease, done):
    worker = rng.choice(crew)
    if rng.random() < 0.75:
        worker.kill()
        done["workers killed"] += 1
        return
    worker.freeze()
    time.sleep(lease + 1)
    worker.thaw()
    done["workers frozen past the lease"] += 1


def _ended(store):
    for _ in range(100):
        with suppress(StoreAwayError):
            return sum(row.ended for row in store.stats())
        time.sleep(0.2)
    message = "The database does not come back."
    raise SystemExit(message)


def _events(url):
    """Return how many events there are, and for how many orders."""
    query = "select count(*), count(distinct order_id) from smm_event"
    if url.startswith("sqlite"):
        import sqlite3  # noqa: PLC0415  only here

        db = sqlite3.connect(url.removeprefix("sqlite:///"))
    else:
        import psycopg  # noqa: PLC0415  an extra

        db = psycopg.connect(url)
    try:
        return db.execute(query).fetchone()
    finally:
        db.close()


def _deliver(url, rng, done):
    """Have events taken by consumers that are killed now and then, and return the keys that they got, in all."""
    keys = []
    backends = ("asyncio", "trio")
    while True:
        command = [sys.executable, "-m", "tests.tracking.consumer", url, rng.choice(backends)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True, cwd=ROOT) as process:
            left = rng.randrange(20_000, 60_000)
            is_done = False
            for line in process.stdout:
                is_done = line == "done\n"
                # Who is killed may leave half a line, of an event that comes again.
                keys += [line] if line.endswith("\n") and not is_done else []
                left -= 1
                if not left:
                    process.kill()
                    done["consumers killed"] += 1
        if is_done:
            return keys

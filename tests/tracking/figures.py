"""What tracking costs: a claim and a record by how many orders are open, and lookups a second by how many work."""

import os
import resource
import statistics
import tempfile
import time
from contextlib import ExitStack, closing

import attrs

from smm_async._store_urls import store_at
from smm_async.tracking import News
from tests.tracking.processes import PanelProcess, Worker, database

CLAIM = 1000
PANELS = 5
NEVER = 60_000
OPTIONS = ["--shortest", "0.5", "--longest", "1", "--lease", "60"]


@attrs.frozen
class StoreFigures:
    """The cost of a store, in milliseconds for a thousand rows, the median of many."""

    open: int
    insert: float
    claim: float
    record: float
    rows_a_second: float
    client_cpu: float
    database_cpu: float
    """Microseconds of CPU for each row claimed and recorded."""
    memory: float
    """The most megabytes this process has had so far."""


def of_store(engine, sizes, rounds):
    """Yield the figures of one store, as more and more orders are open."""
    with database(engine) as place, closing(store_at(place.url)) as store:
        store.open()
        known = 0
        for size in sizes:
            started = time.perf_counter()
            for panel in range(PANELS):
                numbers = range(known // PANELS, size // PANELS)
                store.add(f"panel{panel}", [str(number) for number in numbers])
            insert = time.perf_counter() - started
            known = size
            yield _measure(store, place, size, insert, rounds)


def _measure(store, place, size, insert, rounds):
    claims, records = [], []
    rows = 0
    cpu, database_cpu = time.process_time(), place.cpu()
    started = time.perf_counter()
    for number in range(rounds):
        began = time.perf_counter()
        claim = store.claim(f"panel{number % PANELS}", limit=CLAIM, batch=100, lease=600.0, ahead=5.0, horizon=1e9)
        claimed = time.perf_counter()
        # As many go on as in a real slice, with the same word as before; they are due again at once.
        news = [
            News(row.id, row.claim, row.version, 0.0, status="In progress", state="In progress", remains=7)
            for row in claim.rows
        ]
        records.append(_since_of(store.record, news))
        claims.append(claimed - began)
        rows += len(news)
    seconds = time.perf_counter() - started
    return StoreFigures(
        open=size,
        insert=insert,
        claim=1000 * statistics.median(claims),
        record=1000 * statistics.median(records),
        rows_a_second=rows / seconds,
        client_cpu=1e6 * (time.process_time() - cpu) / rows,
        database_cpu=1e6 * (place.cpu() - database_cpu) / rows,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _since_of(call, *arguments):
    began = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - began


@attrs.frozen
class WorkerFigures:
    """What some workers do together on one store and one panel."""

    workers: int
    lookups_a_second: float
    ids_per_request: float
    cpu: float
    """Microseconds of a worker's CPU for each lookup."""
    database_cpu: float
    memory: float
    """The most megabytes that a worker had."""


def of_workers(engine, workers, orders, seconds, backend):
    """Return the figures of some workers after they have warmed up."""
    with ExitStack() as stack:
        place = stack.enter_context(database(engine))
        panel = stack.enter_context(closing(PanelProcess(0.05, NEVER)))
        log = stack.enter_context(tempfile.TemporaryFile())
        with closing(store_at(place.url)) as store:
            store.open()
            store.add("alpha", [str(order) for order in range(orders)])
        crew = [Worker(place.url, panel.url, backend, OPTIONS, log) for _ in range(workers)]
        for worker in crew:
            stack.callback(lambda worker=worker: worker.process.kill())
        while panel.counters()["ids"] < orders / 4:
            time.sleep(0.2)
        before, usage, database_cpu, started = _look(panel, crew, place)
        time.sleep(seconds)
        after, usage_after, database_cpu_after, ended = _look(panel, crew, place)
        lookups = after["ids"] - before["ids"]
        cpu = sum(each[0] for each in usage_after) - sum(each[0] for each in usage)
        return WorkerFigures(
            workers,
            lookups / (ended - started),
            lookups / (after["requests"] - before["requests"]),
            1e6 * cpu / lookups,
            1e6 * (database_cpu_after - database_cpu) / lookups,
            max(each[1] for each in usage_after),
        )


def _look(panel, crew, place):
    return panel.counters(), [worker.usage() for worker in crew], place.cpu(), time.perf_counter()


def load():
    """Return how busy the machine is, for whoever reads the figures."""
    return f"{os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"

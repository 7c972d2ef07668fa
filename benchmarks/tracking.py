"""What durable tracking costs: a claim by how many orders are open, and lookups a second by how many workers share them.

``python -m benchmarks.tracking [--quick]`` (needs ``pip install -e '.[benchmark]'``)

The first table calls a store as a worker does, with 1,000 orders a call: it claims them, and records for each that it goes
on. Milliseconds are medians; CPU is that of a claimed and recorded order, of the caller and of the server's processes.
"Growth" is the last claim by the first: it must not cost more when more orders are open.

The second is the command `smm-async worker`, in as many processes, at one panel in another, which takes 50 ms for an
answer; all of them and the database share this machine. PostgreSQL is a server of its own, that writes to the disk at each
commit; SQLite is a file that does the same.
"""

import itertools
import statistics
import tempfile
import time
from contextlib import ExitStack, closing

import attrs

from benchmarks.measuring import Report, alone, memory
from smm_async._store_urls import store_at
from smm_async.tracking import News
from tests.tracking.processes import PanelProcess, Worker, database

ENGINES = ("postgres", "sqlite")
OPEN = (10_000, 100_000, 1_000_000)
CLAIM = 1000
PANELS = 5
ROUNDS = 60
CREWS = (("asyncio", 1), ("trio", 1), ("asyncio", 2), ("asyncio", 4))
ORDERS = 50_000
SECONDS = 10.0
LATENCY = 0.05
NEVER = 60_000
"""No order ends at the panel."""
OPTIONS = ["--shortest", "0.1", "--longest", "0.2", "--lease", "60"]
START_SECONDS = 60.0
QUICK_OPEN = (500, 1_000)
QUICK_ROUNDS = 2
QUICK_CREWS = (("asyncio", 1), ("trio", 1), ("asyncio", 4))
QUICK_ORDERS = 1_000
QUICK_SECONDS = 0.3


@attrs.frozen
class Cost:
    open: int
    claim: float
    """Milliseconds for `CLAIM` orders, like the next."""
    record: float
    rows_a_second: float
    cpu: float
    """Microseconds for an order, like the next."""
    database_cpu: float


def cost_of_store(engine, sizes, rounds):
    """Return what a store costs as more and more orders are open, and the most memory of this process."""
    costs = []
    with database(engine) as place, closing(store_at(place.url)) as store:
        store.open()
        for known, size in itertools.pairwise((0, *sizes)):
            for panel in range(PANELS):
                store.add(f"panel{panel}", [str(number) for number in range(known // PANELS, size // PANELS)])
            costs.append(cost_of_rounds(store, place, size, rounds))
    return costs, memory("VmHWM")


def cost_of_rounds(store, place, size, rounds):
    claims, records, rows = [], [], 0
    started, cpu, database_cpu = time.perf_counter(), time.process_time(), place.cpu()
    for number in range(rounds):
        began = time.perf_counter()
        claim = store.claim(f"panel{number % PANELS}", limit=CLAIM, batch=100, lease=600.0, ahead=5.0, horizon=1e9)
        claimed = time.perf_counter()
        # With the same word as before, and due again at once.
        store.record(
            [
                News(row.id, row.claim, row.version, 0.0, status="In progress", state="In progress", remains=7)
                for row in claim.rows
            ]
        )
        claims.append(claimed - began)
        records.append(time.perf_counter() - claimed)
        rows += len(claim.rows)
    return Cost(
        size,
        1e3 * statistics.median(claims),
        1e3 * statistics.median(records),
        rows / (time.perf_counter() - started),
        1e6 * (time.process_time() - cpu) / rows,
        1e6 * (place.cpu() - database_cpu) / rows,
    )


def store_rows(report, engine, sizes, rounds):
    costs, most = alone(cost_of_store, engine, sizes, rounds)
    growth = costs[-1].claim / costs[0].claim
    report.keep(f"{engine} claim growth", growth)
    for cost in costs:
        is_last = cost is costs[-1]
        numbers = (cost.claim, cost.record, cost.cpu, cost.database_cpu)
        yield [
            *(engine, f"{cost.open:,}", *(f"{number:.1f}" for number in numbers), f"{cost.rows_a_second:,.0f}"),
            *((f"{most / 1e6:.0f}", f"{growth:.2f}") if is_last else ("", "")),
        ]


@attrs.frozen
class Look:
    """What was counted up to a moment."""

    at: float
    lookups: int
    requests: int
    cpu: float
    database_cpu: float
    memory: float

    @classmethod
    def now(cls, panel, crew, place):
        counted, usage = panel.counters(), [worker.usage() for worker in crew]
        cpu, most = sum(cpu for cpu, _ in usage), max(most for _, most in usage)
        return cls(time.perf_counter(), counted["ids"], counted["requests"], cpu, place.cpu(), most)


def looks_at_workers(engine, loop, workers, orders, seconds):
    """Return what was counted before and after, once some workers are at work."""
    with ExitStack() as stack:
        place = stack.enter_context(database(engine))
        panel = stack.enter_context(closing(PanelProcess(LATENCY, NEVER)))
        log = stack.enter_context(tempfile.TemporaryFile())
        with closing(store_at(place.url)) as store:
            store.open()
            store.add("alpha", [str(order) for order in range(orders)])
        crew = [stack.enter_context(closing(Worker(place.url, panel.url, loop, OPTIONS, log))) for _ in range(workers)]
        wait_for(panel, orders // 4)
        before = Look.now(panel, crew, place)
        time.sleep(seconds)
        # In so short a time as `--quick` takes, a busy machine may do nothing.
        wait_for(panel, before.lookups + 1)
        return before, Look.now(panel, crew, place)


def wait_for(panel, lookups):
    give_up_at = time.monotonic() + START_SECONDS
    while panel.counters()["ids"] < lookups:
        assert time.monotonic() < give_up_at, "The workers do not work."
        time.sleep(0.05)


def worker_row(report, engine, crew, orders, seconds):
    loop, workers = crew
    before, after = looks_at_workers(engine, loop, workers, orders, seconds)
    lookups = after.lookups - before.lookups
    rate, full = lookups / (after.at - before.at), lookups / (after.requests - before.requests)
    cpus = [1e6 * (after.cpu - before.cpu) / lookups, 1e6 * (after.database_cpu - before.database_cpu) / lookups]
    report.keep(f"{loop} {engine} {workers} lookups", rate)
    report.keep(f"{loop} {engine} {workers} ids", full)
    report.keep(f"{loop} {engine} {workers} memory", after.memory)
    costs = [f"{cpu:.1f}" for cpu in cpus]
    return [engine, loop, str(workers), f"{rate:,.0f}", f"{full:.1f}", *costs, f"{after.memory:.0f}"]


def main():
    with Report(__doc__) as report:
        sizes, rounds, crews, orders, seconds = OPEN, ROUNDS, CREWS, ORDERS, SECONDS
        if report.is_quick:
            sizes, rounds, crews, orders, seconds = QUICK_OPEN, QUICK_ROUNDS, QUICK_CREWS, QUICK_ORDERS, QUICK_SECONDS
        report.say(f"Claim and record of {CLAIM:,} orders, medians of {rounds} calls\n")
        columns = ["claim ms", "record ms", "CPU us", "database CPU us", "orders/s", "MB", "growth"]
        rows = [row for engine in ENGINES for row in store_rows(report, engine, sizes, rounds)]
        report.table(["store", "open"], columns, rows)
        report.say(f"{orders:,} orders, always due, in {seconds:g} s; CPU of a lookup; memory of the largest worker\n")
        columns = ["workers", "lookups/s", "ids per request", "CPU us", "database CPU us", "MB"]
        rows = [worker_row(report, engine, crew, orders, seconds) for engine in ENGINES for crew in crews]
        report.table(["store", "loop"], columns, rows)


if __name__ == "__main__":
    main()

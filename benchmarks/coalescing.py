"""What merging costs: CPU per lookup of the coalescer, beside tasks that only wait, and beside its peers.

``python -m benchmarks.coalescing [--quick]`` (needs ``pip install -e '.[benchmark]'``)

The answers cost nothing, so what is left is the price of merging. "Tasks" are one task per lookup, all at once;
"pollers" are long-lived tasks that look up one key after the other. A *bare task* waits for a bare future of its loop
(on trio, it parks), which is fulfilled in the next pass: what a lookup costs without anything being looked up. Lists
are looked up with `get_many()`, beside a loop that has nothing to merge and makes the same calls by itself. Competitors
run in turn, in one process, and the order turns around every round. Figures are medians of CPU per lookup; "of the
first" is what share it is of the first row's figure in the same round, the median of all rounds. The slowest library
has fewer lookups to do.

The second table counts the requests for so many tasks at once, of which none or a third, at random, is cancelled before
anything was sent. How costs grow with the number that wait, and what memory they hold, is in `benchmarks.scale`.
"""

import asyncio
import contextlib
import itertools
import math
import random
import statistics

import anyio
import trio

import smm_async as smm
from benchmarks.measuring import LOOPS, Meter, Report, in_tasks, in_turn, is_on_trio, ratio, run_all, run_on, spread
from benchmarks.merging_libraries import AiodataloaderUncached, AsyncBatcher, StrawberryUncached

LOOKUPS = 100_000
POLLERS = 1_000
ROUNDS = 5
QUICK_LOOKUPS = 1_000
QUICK_ROUNDS = 1
BATCH, SLOTS = 100, 8
BUDGET = 600.0
"""Every lookup has one, which is part of its price; none is to end while a million are looked up."""
SLOW_SHARE = 1 / 20


async def answer(keys):
    return dict.fromkeys(keys, 1)


async def answer_in_order(keys):
    return keys


# Each yields what is called for a key, or for a list of keys.


@contextlib.asynccontextmanager
async def bare(fetch=answer):
    """What only waits: for ever, if nobody answers."""
    make = BareOnTrio if is_on_trio() else BareOnAsyncio
    yield make(is_woken=fetch is answer).get


@contextlib.asynccontextmanager
async def ours(fetch=answer):
    async with smm.Coalescer(fetch, max_batch=BATCH, max_in_flight=SLOTS, budget=BUDGET) as coalescer:
        yield coalescer.get


@contextlib.asynccontextmanager
async def aiodataloader():
    yield AiodataloaderUncached(answer_in_order, BATCH, SLOTS).get


@contextlib.asynccontextmanager
async def strawberry():
    yield StrawberryUncached(answer_in_order, BATCH, SLOTS).get


@contextlib.asynccontextmanager
async def async_batcher():
    batcher = AsyncBatcher(answer_in_order, BATCH, SLOTS)
    yield batcher.get
    await batcher.aclose()


@contextlib.asynccontextmanager
async def list_by_hand():
    async def get_many(keys):
        found = {}
        for start in range(0, len(keys), BATCH):
            found |= await answer(keys[start : start + BATCH])
        return found

    yield get_many


@contextlib.asynccontextmanager
async def our_list(fetch=answer):
    async with smm.Coalescer(fetch, max_batch=BATCH, max_in_flight=SLOTS, budget=BUDGET) as coalescer:
        yield coalescer.get_many


class BareOnAsyncio:
    def __init__(self, *, is_woken):
        self._loop = asyncio.get_running_loop()
        self._is_woken = is_woken
        self._parked = []

    async def get(self, _):
        if not self._parked and self._is_woken:
            self._loop.call_soon(self._wake)
        self._parked.append(future := self._loop.create_future())
        await future

    def _wake(self):
        for future in self._parked:
            future.set_result(1)
        self._parked.clear()


class BareOnTrio:
    def __init__(self, *, is_woken):
        self._token = trio.lowlevel.current_trio_token()
        self._is_woken = is_woken
        self._parked = []

    async def get(self, _):
        if not self._parked and self._is_woken:
            self._token.run_sync_soon(self._wake)
        self._parked.append(trio.lowlevel.current_task())
        await trio.lowlevel.wait_task_rescheduled(leave)

    def _wake(self):
        for task in self._parked:
            trio.lowlevel.reschedule(task)
        self._parked.clear()


def leave(_):
    return trio.lowlevel.Abort.SUCCEEDED


BARE, OURS, BY_HAND, OUR_LIST = "bare task", "Coalescer.get", "loop", "get_many"
COMPETITORS = {
    BARE: bare,
    OURS: ours,
    "aiodataloader": aiodataloader,
    "strawberry": strawberry,
    "async-batcher": async_batcher,
}
PORTABLE = {BARE: bare, OURS: ours}
IN_LISTS = {BY_HAND: list_by_hand, OUR_LIST: our_list}
LISTED = tuple(IN_LISTS.values())
SLOW = (async_batcher,)


def measure(loop, competitor, lookups, waiting, pollers=None):
    """Return the CPU microseconds per lookup, when as many wait at a time."""
    keys = list(range(waiting))

    async def main():
        async with competitor() as get:
            with Meter() as meter:
                for _ in range(repeats):
                    await (get(keys) if competitor in LISTED else in_tasks(get, keys, pollers or waiting))
        return meter.cpu

    repeats = max(1, lookups // waiting)
    return run_on(loop, main) / waiting / repeats * 1e6


def compare(loop, competitors, lookups, rounds, pollers=None):
    """Return the figures of all competitors, one a round."""

    def measure_some(competitor):
        share = SLOW_SHARE if competitor in SLOW else 1

        def measure_share(size):
            some = max(pollers or 1, int(size * share))
            return measure(loop, competitor, some, some, pollers and min(pollers, some))

        return measure_share

    measures = {name: measure_some(competitor) for name, competitor in competitors.items()}
    return in_turn(measures, rounds, lookups)


def price_rows(report, loop, lookups, rounds):
    competitors = PORTABLE if loop == "trio" else COMPETITORS
    pollers = min(POLLERS, lookups // 10)
    loads = {
        "tasks": compare(loop, competitors, lookups, rounds),
        "pollers": compare(loop, competitors, lookups, rounds, pollers),
        "a list": compare(loop, IN_LISTS, lookups, rounds),
    }
    for load, figures in loads.items():
        first = next(iter(figures.values()))
        for name, each in figures.items():
            median, of_first = statistics.median(each), ratio(each, first)
            report.keep(f"{loop} {load} {name}", median)
            report.keep(f"{loop} {load} {name} of first", of_first)
            yield [loop, load, name, f"{median:.2f}", spread(each), f"{of_first:.2f}"]


async def count_requests(count, cancelled):
    """Return how many requests a burst takes, of which so many callers are cancelled as soon as the last has called."""
    victims = set(random.Random(count).sample(range(count), cancelled))
    scopes, sizes, has_called = [], [], itertools.count(1)

    async def fetch(keys):
        sizes.append(len(keys))
        return dict.fromkeys(keys, 1)

    async def call(key):
        if next(has_called) == count:
            for scope in scopes:
                scope.cancel()
        await get(key)

    async def call_and_leave(key):
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await call(key)

    async with ours(fetch) as get:
        await run_all(lambda key: (call_and_leave if key in victims else call)(key), range(count))
    return len(sizes)


def request_rows(report, loop, count):
    for cancelled, name in ((0, "requests too many"), (count // 3, "requests too many, cancelled")):
        requests, fewest = run_on(loop, count_requests, count, cancelled), math.ceil((count - cancelled) / BATCH)
        report.keep(f"{loop} {name}", requests - fewest)
        yield [loop, f"{count:,}", f"{cancelled:,}", requests, fewest]


def main():
    with Report(__doc__) as report:
        lookups, rounds = (QUICK_LOOKUPS, QUICK_ROUNDS) if report.is_quick else (LOOKUPS, ROUNDS)
        report.say(f"{lookups:,} lookups, batches of {BATCH}, {SLOTS} in flight, median CPU of {rounds} rounds\n")
        rows = [row for loop in LOOPS for row in price_rows(report, loop, lookups, rounds)]
        report.table(["loop", "load", ""], ["us/lookup", "spread", "of the first"], rows)
        report.say("Requests for a burst\n")
        rows = [row for loop in LOOPS for row in request_rows(report, loop, lookups)]
        report.table(["loop"], ["tasks", "cancelled", "requests", "fewest"], rows)


if __name__ == "__main__":
    main()

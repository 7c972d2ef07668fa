"""What merging costs: CPU per lookup of the coalescer, beside aiodataloader and beside tasks that wait for nothing else.

``python -m benchmarks.coalescing [--quick]``

Two shapes of load: one task per lookup, all at once, and long-lived pollers that look up one after the other. The
answers cost nothing, so what is left is the price of merging. Competitors run in turn, in one process, and the order
turns around every round; figures are medians of CPU time, ratios are against the first row of the same load and loop.
"""

import argparse
import asyncio
import gc
import statistics
import time
from functools import partial

import anyio
import trio
from aiodataloader import DataLoader

import smm_async as smm

LOOKUPS = 100_000
POLLERS = 1_000
ROUNDS = 5
QUICK_LOOKUPS = 2_000
QUICK_ROUNDS = 1


async def answer(keys):
    return dict.fromkeys(keys, 1)


async def answer_in_order(keys):
    return keys


async def in_tasks(call, lookups, pollers):
    """Call for every number below ``lookups``, shared out to ``pollers`` tasks, with the loop's own cheapest tasks."""
    each = lookups // pollers

    async def poll(first):
        for key in range(first, first + each):
            await call(key)

    starts = range(0, each * pollers, each)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        async with trio.open_nursery() as nursery:
            for first in starts:
                nursery.start_soon(poll, first)
    else:
        await asyncio.gather(*map(poll, starts))


async def bare(lookups, pollers):
    """Wait once for each lookup, for something that is there already at the next pass: the floor."""
    await in_tasks(lambda _: anyio.lowlevel.checkpoint(), lookups, pollers)


async def ours(lookups, pollers):
    async with smm.Coalescer(answer, budget=30.0) as coalescer:
        await in_tasks(coalescer.get, lookups, pollers)


async def ours_in_bulk(lookups, _):
    async with smm.Coalescer(answer, budget=30.0) as coalescer:
        await coalescer.get_many(range(lookups))


async def dataloader(lookups, pollers):
    loader = DataLoader(answer_in_order, max_batch_size=100, cache=False)
    await in_tasks(loader.load, lookups, pollers)


LOADS = {
    "tasks": {"bare task": bare, "aiodataloader": dataloader, "Coalescer.get": ours, "get_many": ours_in_bulk},
    "pollers": {"bare task": bare, "aiodataloader": dataloader, "Coalescer.get": ours},
}


def cpu_of(run, backend):
    """Return the CPU seconds of ``run`` on ``backend``, garbage of earlier runs left out."""
    gc.collect()
    started = time.process_time()
    anyio.run(run, backend=backend)
    return time.process_time() - started


def measure(competitors, backend, lookups, pollers, rounds):
    """Return each competitor's CPU microseconds per lookup, one figure a round."""
    runs = {name: partial(run, lookups, pollers) for name, run in competitors.items()}
    if backend == "trio":
        runs.pop("aiodataloader")
    figures = {name: [] for name in runs}
    for run in runs.values():
        cpu_of(run, backend)
    for number in range(rounds):
        for name in list(runs)[:: -1 if number % 2 else 1]:
            figures[name].append(cpu_of(runs[name], backend) / lookups * 1e6)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    is_quick = parser.parse_args().quick
    lookups, rounds = (QUICK_LOOKUPS, QUICK_ROUNDS) if is_quick else (LOOKUPS, ROUNDS)
    print(f"{lookups:,} lookups, batches of 100, median CPU of {rounds} rounds")
    print(f"{'loop':8} {'load':8} {'':15} {'us/lookup':>9} {'spread':>15} {'ratio':>6}")
    for backend in ("asyncio", "trio"):
        for load, competitors in LOADS.items():
            pollers = lookups if load == "tasks" else min(POLLERS, lookups // 10)
            figures = measure(competitors, backend, lookups, pollers, rounds)
            floor = statistics.median(next(iter(figures.values())))
            for name, each in figures.items():
                median = statistics.median(each)
                spread = f"{min(each):.2f}-{max(each):.2f}"
                print(f"{backend:8} {load:8} {name:15} {median:9.2f} {spread:>15} {median / floor:6.2f}")


if __name__ == "__main__":
    main()

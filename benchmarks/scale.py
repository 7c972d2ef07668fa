"""What many lookups at once cost: whether one costs more when more of them wait, and how much memory they hold.

``python -m benchmarks.scale [--quick]`` (needs ``pip install -e '.[benchmark]'``)

The first table says what CPU a lookup takes when as many wait at a time, in tasks of their own or in one list; answers
cost nothing, as in `benchmarks.coalescing`, whose bare tasks stand beside. All run in turn, in one process, and the order
turns around every round. Figures are medians; the greatest number of tasks is measured once. "Growth" is the last figure
by the first, that of the coalescer's tasks without what bare tasks grow by themselves.

The second table says how many bytes Python has allocated when as many wait: for each task with all that belongs to it, or
for each key of a list.

The third is one stream of ids from a generator, `stream_statuses()`, over HTTP from a panel in another process, in a
process of its own: the megabytes it held after each tenth of the results, and at most. Below stands the same as one list,
`statuses()`, which holds every id and every result.
"""

import gc
import itertools
import statistics
import time
import tracemalloc

import anyio

import smm_async as smm
from benchmarks.baseline import FIRST_ID
from benchmarks.coalescing import BARE, OUR_LIST, OURS, bare, measure, our_list, ours
from benchmarks.lean_panel import LeanPanel
from benchmarks.measuring import LOOPS, Report, alone, choose_cpus, in_tasks, in_turn, memory, run_on

COMPETITORS = {BARE: bare, OURS: ours, OUR_LIST: our_list}
WAITING, MOST = (1_000, 10_000, 100_000), 1_000_000
REMEMBERED = 100_000
ROUNDS = 3
STREAMED = 1_000_000
STEPS = 10
SLOTS = 8
PASSES = 20
"""After as many, everybody waits who is going to."""
QUICK_WAITING, QUICK_MOST = (100, 1_000), 2_000
QUICK_REMEMBERED = 1_000
QUICK_ROUNDS = 1
QUICK_STREAMED = 5_000


async def never_answer(_):
    await anyio.sleep_forever()


def medians_of(loop, competitor, sizes, most, rounds):
    """Return the CPU microseconds per lookup by how many wait; all but ``most`` make the same number of lookups."""
    measures = {
        size: (lambda share, size=size: measure(loop, competitor, int(sizes[-1] * share), size)) for size in sizes
    }
    figures = in_turn(measures, rounds, 1)
    medians = {size: statistics.median(each) for size, each in figures.items()}
    return {**medians, most: measure(loop, competitor, most, most)}


def growth_rows(report, loop, sizes, most, rounds):
    medians = {name: medians_of(loop, each, sizes, most, rounds) for name, each in COMPETITORS.items()}
    growths = {name: each[most] / each[sizes[0]] for name, each in medians.items()}
    growths[OURS] /= growths[BARE]
    for name, each in medians.items():
        report.keep(f"{loop} {name} growth", growths[name])
        report.keep(f"{loop} {name} by waiting", list(each.items()))
        yield [loop, name, *(f"{median:.2f}" for median in each.values()), f"{growths[name]:.2f}"]


async def bytes_waiting(name, count):
    """Return how many bytes Python has allocated for each of as many lookups that wait for an answer."""
    keys = list(range(count))
    async with COMPETITORS[name](never_answer) as get, anyio.create_task_group() as group:
        gc.collect()
        tracemalloc.start()
        if name == OUR_LIST:
            group.start_soon(get, keys)
        else:
            group.start_soon(in_tasks, get, keys, count)
        for _ in range(PASSES):
            await anyio.lowlevel.checkpoint()
        gc.collect()
        allocated, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        group.cancel_scope.cancel()
    return allocated / count


def memory_rows(report, loop, count):
    for name in COMPETITORS:
        each = run_on(loop, bytes_waiting, name, count)
        report.keep(f"{loop} {name} bytes", each)
        yield [loop, name, f"{each:,.0f}"]


async def stream(url, count):
    """Look up as many orders in one stream; return the seconds of CPU, and the memory held after each tenth."""
    held, places = [memory()], itertools.count(1)
    async with smm.Client(url, key="not-a-key", max_in_flight=SLOTS) as client:
        started = time.process_time()
        async with client.stream_statuses(FIRST_ID + number for number in range(count)) as results:
            async for _, result in results:
                assert not isinstance(result, smm.SmmError)
                if next(places) % (count // STEPS) == 0:
                    held.append(memory())
        return time.process_time() - started, held


async def list_all(url, count):
    """Look up as many orders in one list; return the seconds of CPU, and the memory held at the beginning."""
    held = [memory()]
    async with smm.Client(url, key="not-a-key", max_in_flight=SLOTS) as client:
        started = time.process_time()
        found = await client.statuses(FIRST_ID + number for number in range(count))
        spent = time.process_time() - started
    assert not any(isinstance(result, smm.SmmError) for result in found.values())
    return spent, held


def look_up_alone(look_up, url, loop, count):
    """Return what ``look_up`` does, and the most memory that this process has held."""
    spent, held = run_on(loop, look_up, url, count)
    return spent, held, max(*held, memory("VmHWM"))


def stream_rows(report, panel, count):
    for loop, look_up in (*((loop, stream) for loop in LOOPS), ("asyncio", list_all)):
        panel.counts()
        seconds, held, most = alone(look_up_alone, look_up, panel.url(), loop, count)
        if look_up is stream:
            report.keep(f"{loop} stream", [(place * count // STEPS, size) for place, size in enumerate(held)])
            report.keep(f"{loop} stream growth", most / held[1] if held[1] else None)
        megabytes = [f"{size / 1e6:.1f}" for size in held] + [""] * (STEPS + 1 - len(held))
        requests = f"{panel.counts()['requests']:,}"
        name = "stream" if look_up is stream else "list"
        yield [loop, name, f"{seconds / count * 1e6:.2f}", requests, *megabytes, f"{most / 1e6:.1f}"]


def main():
    with Report(__doc__) as report:
        sizes, most, count, rounds, streamed = WAITING, MOST, REMEMBERED, ROUNDS, STREAMED
        if report.is_quick:
            sizes, most, rounds = QUICK_WAITING, QUICK_MOST, QUICK_ROUNDS
            count, streamed = QUICK_REMEMBERED, QUICK_STREAMED
        report.say(f"CPU us per lookup by how many wait at a time, medians of {rounds} rounds\n")
        rows = [row for loop in LOOPS for row in growth_rows(report, loop, sizes, most, rounds)]
        report.table(["loop", ""], [*(f"{size:,}" for size in (*sizes, most)), "growth"], rows)
        report.say(f"Bytes per lookup when {count:,} wait\n")
        rows = [row for loop in LOOPS for row in memory_rows(report, loop, count)]
        report.table(["loop", ""], ["bytes"], rows)
        report.say(f"{streamed:,} ids in one stream, and in one list; MB held\n")
        columns = ["CPU us", "requests", *(f"{place / STEPS:.0%}" for place in range(STEPS + 1)), "at most"]
        with LeanPanel(choose_cpus()) as panel:
            report.table(["loop", ""], columns, stream_rows(report, panel, streamed))


if __name__ == "__main__":
    main()

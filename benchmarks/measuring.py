"""What all benchmarks share: event loops, turns, medians, tables, and the figures that the goals are held against."""

import argparse
import asyncio
import contextlib
import gc
import json
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import anyio
import trio

try:
    import uvloop
except ImportError:
    uvloop = None

LOOPS = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}
if uvloop is None:
    del LOOPS["uvloop"]
WARM_UP = 1 / 10
"""Before the first round everybody runs once, with this share of the work."""


class Report:
    """One run of a benchmark: whether it is a quick one, what it prints, and the figures it keeps for the goals."""

    def __init__(self, doc):
        parser = argparse.ArgumentParser(description=doc.splitlines()[0])
        parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
        parser.add_argument("--figures", type=Path, metavar="FILE", help="write the figures there, too, as JSON")
        arguments = parser.parse_args()
        self.is_quick = arguments.quick
        self._path = arguments.figures
        self._figures = {}
        if uvloop is None:
            self.say("uvloop is not installed, and left out")

    def __enter__(self):
        return self

    def __exit__(self, exc_type, *_):
        if self._path is not None and exc_type is None:
            self._path.write_text(json.dumps(self._figures), "utf-8")

    def say(self, text):
        print(text, flush=True)

    def keep(self, name, value):
        """Keep a figure, or a list of points, under ``name``, for the goals and the plots.

        ``None`` says that it cannot be measured on this machine.
        """
        self._figures[name] = value

    def worst(self, name, value):
        """Keep the greatest of the figures that are given for ``name``, and ``None`` where all of them are."""
        values = {value, self._figures.get(name)} - {None}
        self.keep(name, max(values, default=None))

    def table(self, labels, columns, rows):
        """Print rows of texts under their headings, ``labels`` to the left and ``columns`` to the right."""
        lines = [[*labels, *columns], *([str(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            left = [cell.ljust(width) for cell, width in zip(line[: len(labels)], widths, strict=False)]
            right = [cell.rjust(width) for cell, width in zip(line[len(labels) :], widths[len(labels) :], strict=True)]
            print("  ".join([*left, *right]).rstrip())
        print(flush=True)


def run_on(loop, main, *args):
    """Run ``main`` on an event loop of its own, and return what it returns."""
    return anyio.run(main, *args, **LOOPS[loop])


def in_turn(measures, rounds, size):
    """Return what each of ``measures`` returns for ``size``, one figure a round; the order turns around every round."""
    figures = {name: [] for name in measures}
    for measure in measures.values():
        measure(size * WARM_UP)
    for number in range(rounds):
        for name in list(measures)[:: -1 if number % 2 else 1]:
            figures[name].append(measures[name](size))
    return figures


class Meter:
    """Measures seconds of CPU, all threads of this process together, and of time; earlier garbage is left out."""

    def __init__(self):
        self.cpu = self.wall = 0.0

    def __enter__(self):
        gc.collect()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.cpu, self.wall = time.process_time() - self._cpu, time.perf_counter() - self._wall


def spread(values, form="{:.2f}"):
    """Return the least and the greatest of ``values`` as a text."""
    return f"{form.format(min(values))}-{form.format(max(values))}"


def ratio(of, to):
    """Return the median of the ratios of each round, in which both had the same conditions."""
    return statistics.median(one / other for one, other in zip(of, to, strict=True))


async def in_tasks(call, keys, tasks):
    """Call for every key, shared out to ``tasks`` tasks, which are the loop's own and cheapest."""
    each = len(keys) // tasks

    async def poll(first):
        for place in range(first, first + each):
            await call(keys[place])

    await run_all(poll, range(0, each * tasks, each))


async def run_all(run, arguments):
    """Run all at the same time, in tasks of the loop's own."""
    if is_on_trio():
        async with trio.open_nursery() as nursery:
            for argument in arguments:
                nursery.start_soon(run, argument)
    else:
        await asyncio.gather(*map(run, arguments))


def is_on_trio():
    return trio.lowlevel.in_trio_task()


@contextlib.contextmanager
def tuned_collector():
    """Have the garbage collector look less often, as a program may that holds many tasks."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def alone(function, *args):
    """Return what ``function`` returns in a process of its own, whose memory has held nothing else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def memory(field="VmRSS"):
    """Return how many bytes of memory this process holds, or with ``VmHWM`` has held at most; 0 where nobody says."""
    status = Path("/proc/self/status")
    lines = status.read_text("utf-8").splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def choose_cpus():
    """Keep this process to one CPU, and return another for its server; ``None`` where that cannot be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    mine, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return None
    os.sched_setaffinity(0, {mine})
    return others[0]

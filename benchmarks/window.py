"""How long lookups wait for company, and how many requests that saves: our pacing, and two simpler policies.

``python -m benchmarks.window [--quick]`` (needs ``pip install -e '.[benchmark]'``)

Lookups come one by one, at random (Poisson), at the rates in the first columns, and are merged by three policies.
*Natural* sends whatever waits as soon as a slot is free. *Linger* has the first of a batch wait 10 ms for others, unless
the batch is full before. *Ours* is `smm.Coalescer`, which sends part of a batch only when a slot is free and the response
time divided by the slots has passed since the last one, and a quarter more if it is more than half full. No policy has
more than 100 ids in a request, or more requests in flight than slots: 8, or as many as bring the load down to 80 % of
what they carry.

Cells say how many requests there were per lookup, and how many milliseconds lookups waited until they were sent, the
median and the 99th percentile; the last column is ours by that pace. One lookup is made before, so that the response time
is known, and the first tenth is left out; *cold* is ours without either. The first table is in virtual time, with the real
coalescer; response times are drawn from a lognormal distribution, spread by sigma around their mean. The second is in real
time, over HTTP, to a panel in another process that takes such times to answer, with the garbage collector tuned as in
`benchmarks.end_to_end`: at its defaults it stops 20,000 lookups a second for so long, several times a second, that they
wait for it alone. The table also says what share of a CPU ours took. Where that is 80 % or more, lookups wait for the
CPU, which no policy can change: such a row, marked *busy*, does not count for the goals.
"""

import asyncio
import math
import random
import statistics
import time
from collections import deque

import attrs

import smm_async as smm
from benchmarks import virtual_loops
from benchmarks.baseline import FIRST_ID
from benchmarks.lean_panel import LeanPanel
from benchmarks.measuring import Report, choose_cpus, run_on, tuned_collector
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask_for

BATCH, FEWEST_SLOTS = 100, 8
LINGER = 0.01
LOAD = 0.8
WARM_UP = 0.1
RATES = (1, 10, 100, 500, 1_000, 2_000, 4_000, 10_000, 20_000)
SIMULATED = {0.05: RATES, 0.15: RATES, 0.5: RATES[:-2]}
"""Rates by response time."""
SIGMAS = (0.3, 0.02)
FEWEST = 3_000
RESPONSES = 20
"""So many response times a simulation should last."""
REAL = (
    *((0.15, 0.3, 1), (0.15, 0.3, 500), (0.15, 0.02, 500), (0.5, 0.02, 500)),
    *((0.05, 0.3, 2_000), (0.15, 0.02, 4_000), (0.05, 0.3, 20_000)),
)
REAL_SECONDS = 5.0
QUICK_SIMULATED = {0.15: (1, 500)}
QUICK_FEWEST = 300
QUICK_REAL = tuple((0.05, sigma, 500) for sigma in SIGMAS)
QUICK_REAL_SECONDS = 0.5
LIMIT = 256 * 1024
BUSY = 0.8
"""The share of a CPU at which lookups begin to wait for it."""


class Lingering:
    """Sends what waits when a slot is free, and the oldest has waited for ``seconds``, or a batch is full."""

    def __init__(self, fetch, slots, seconds):
        self._fetch = fetch
        self._free = slots
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting = deque()
        self._tasks = set()
        self._timer = None

    async def get(self, key):
        future = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._seconds, key, future))
        if self._timer is None or len(self._waiting) == BATCH:
            self._look_at(0.0)
        return await future

    def _look_at(self, moment):
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(moment, self._look)

    def _look(self):
        self._timer = None
        while self._free and self._waiting:
            if len(self._waiting) < BATCH and (due := self._waiting[0][0]) > self._loop.time():
                self._look_at(due)
                return
            self._free -= 1
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._tasks.add(task := self._loop.create_task(self._send(batch)))
            task.add_done_callback(self._tasks.discard)

    async def _send(self, batch):
        answers = await self._fetch([key for _, key, _ in batch])
        for _, key, future in batch:
            future.set_result(answers[key])
        self._free += 1
        self._look()

    async def aclose(self):
        assert not self._waiting


OURS, COLD = "ours", "ours, cold"
SIMULATED_TABLE, REAL_TABLE = "simulated", "real"
POLICIES = {
    "natural": lambda fetch, slots: Lingering(fetch, slots, 0.0),
    f"linger {LINGER * 1000:.0f} ms": lambda fetch, slots: Lingering(fetch, slots, LINGER),
    OURS: lambda fetch, slots: smm.Coalescer(fetch, max_batch=BATCH, max_in_flight=slots),
}


@attrs.frozen
class Load:
    seconds: float
    """How long the panel takes to answer, on average."""
    sigma: float
    rate: float

    @property
    def slots(self):
        return max(FEWEST_SLOTS, math.ceil(self.rate * self.seconds / BATCH / LOAD))

    @property
    def pace(self):
        return self.seconds / self.slots

    def draw(self, source):
        return source.lognormvariate(math.log(self.seconds) - self.sigma**2 / 2, self.sigma)


@attrs.frozen
class Figures:
    requests: float
    """How many there were per lookup."""
    median: float
    """Of the seconds that lookups waited."""
    most: float
    """The 99th percentile of them."""
    busy: float


class World:
    """One policy under one load."""

    def __init__(self, name, load, count, respond=None):
        self._make, self._load, self._count = POLICIES[OURS if name == COLD else name], load, count
        self._is_cold = name == COLD
        self._random = random.Random(count)
        self._respond = respond or self._sleep
        self._came = [0.0] * count
        self.waits = [0.0] * count
        """How long each lookup waited until it was sent."""
        self.requests = 0
        self.busy = 0.0
        """What share of a CPU this process took, if it was in real time."""

    async def _sleep(self, _):
        await asyncio.sleep(self._load.draw(self._random))

    async def _fetch(self, keys):
        self.requests += 1
        now = asyncio.get_running_loop().time()
        for key in keys:
            self.waits[key] = now - self._came[key]
        await self._respond(keys)
        return dict.fromkeys(keys, 1)

    async def play(self):
        loop, source, tasks = asyncio.get_running_loop(), random.Random(1), set()
        policy = self._make(self._fetch, self._load.slots)
        if not self._is_cold:
            await policy.get(0)
            self.requests = 0
        due = loop.time()
        for key in range(self._count):
            due += source.expovariate(self._load.rate)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            self._came[key] = loop.time()
            tasks.add(task := loop.create_task(policy.get(key)))
            # To hold a hundred thousand would have the garbage collector stop everything for a tenth of a second.
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        await policy.aclose()

    def figures(self):
        waits = sorted(self.waits[0 if self._is_cold else int(self._count * WARM_UP) :])
        most = waits[int(len(waits) * 0.99)]
        return Figures(self.requests / self._count, statistics.median(waits), most, self.busy)


def simulate(name, load, fewest):
    world = World(name, load, int(max(fewest, load.rate * load.seconds * RESPONSES)))
    virtual_loops.run("asyncio", world.play, lambda: False)
    return world.figures()


async def play_for_real(name, url, load, seconds):
    panel = smm.Panel(url)
    transport = Transport(panel, Secret("not-a-key"))

    async def respond(keys):
        ids = [str(FIRST_ID + key) for key in keys]
        await transport.send(ask_for(panel, "status", ids), limit=LIMIT)

    world = World(name, load, int(load.rate * seconds), respond)
    begun, spent = time.perf_counter(), time.process_time()
    with tuned_collector():
        await world.play()
    world.busy = (time.process_time() - spent) / (time.perf_counter() - begun)
    await transport.aclose()
    return world.figures()


def row_of(report, table, load, play, names):
    """Return a row of what ``play`` makes of each policy, and keep what goals and plots are about."""
    figures = {name: play(name, load) for name in names}
    cells = []
    for name, each in figures.items():
        cells += [f"{each.requests:.3f}", f"{each.median * 1000:.0f}", f"{each.most * 1000:.0f}"]
        report.keep(f"{table} {load.seconds:g} {load.sigma:g} {load.rate} {name}", each.most * 1000)
    ours = figures[OURS]
    paces, is_busy = ours.most / load.pace, ours.busy >= BUSY
    report.worst(f"{table} {load.sigma:g}", None if is_busy else paces)
    if table == REAL_TABLE:
        cells.append(f"{ours.busy:.0%}{' busy' if is_busy else ''}")
    return [f"{load.seconds * 1000:.0f}", f"{load.sigma:g}", f"{load.rate:,}", load.slots, *cells, f"{paces:.2f}"]


def print_table(report, names, rows, *more):
    columns = [
        f"{name}: {figure}" if figure == "req." else figure for name in names for figure in ("req.", "p50", "p99")
    ]
    report.table(["ms", "sigma", "rate/s", "slots"], [*columns, *more, "ours p99/pace"], rows)


def main():
    with Report(__doc__) as report:
        simulated, fewest, real, seconds = SIMULATED, FEWEST, REAL, REAL_SECONDS
        if report.is_quick:
            simulated, fewest, real, seconds = QUICK_SIMULATED, QUICK_FEWEST, QUICK_REAL, QUICK_REAL_SECONDS

        def play(name, load):
            return simulate(name, load, fewest)

        def play_over_http(name, load):
            url = panel.url(load.seconds, load.sigma)
            return run_on("asyncio", play_for_real, name, url, load, seconds)

        report.say("In virtual time\n")
        names = [*POLICIES, COLD]
        loads = [Load(time, sigma, rate) for time, rates in simulated.items() for sigma in SIGMAS for rate in rates]
        print_table(report, names, [row_of(report, SIMULATED_TABLE, load, play, names) for load in loads])
        report.say(f"In real time, {seconds:g} seconds each\n")
        loads = [Load(*load) for load in real]
        with LeanPanel(choose_cpus()) as panel:
            rows = [row_of(report, REAL_TABLE, load, play_over_http, POLICIES) for load in loads]
            print_table(report, POLICIES, rows, "ours CPU")


if __name__ == "__main__":
    main()

"""A day of watching very many orders, in virtual time: what it costs, and how late the ends are seen.

All orders are placed at midnight. How long they take is lognormal with a median of two hours and a long tail, drawn from
a seed; that is an assumption, not a measurement of panels. The panel answers after 200 ms.
"""

import random
import resource
import statistics
from collections import Counter

import anyio
import attrs

import smm_async as smm
from smm_async.testing import SimulatedPanel
from tests.virtual_time import virtual_backend

DAY = 86_400.0
_HOUR = 3600.0
_MEDIAN = 2 * _HOUR
_SIGMA = 1.58  # makes the mean seven hours
_LATENCY = 0.2


@attrs.frozen
class Figures:
    """What a day has come to."""

    orders: int
    ended: int
    """Orders that have ended on this day."""
    seen: int
    """Of those, orders whose end was seen."""
    changes: int
    requests: int
    lookups: int
    most_per_order: int
    """Lookups of the order that was asked for most often."""
    busiest_minute: int
    """Requests of the minute with the most of them, after the first."""
    delays: list[float] = attrs.field(repr=False)
    """Seconds from each end to the moment it was seen."""
    shares: list[float] = attrs.field(repr=False)
    """The same as a share of the order's life."""
    memory: tuple[int, int]
    """The most that the process ever held, in KiB: after an hour, and at the end."""

    @property
    def lookups_per_order(self):
        """How often an order was asked for."""
        return self.lookups / self.orders

    @property
    def ids_per_request(self):
        """How full the requests were."""
        return self.lookups / self.requests

    def rows(self):
        """Return the figures in words, each with what it is."""
        yield "orders", f"{self.orders:,}"
        yield "ended, and seen", f"{self.ended:,} {self.seen:,}"
        yield "changes", f"{self.changes:,}"
        yield "requests; in the busiest minute but the first", f"{self.requests:,} {self.busiest_minute:,}"
        yield "ids per request", f"{self.ids_per_request:.1f}"
        yield "lookups per order; the most", f"{self.lookups_per_order:.1f} {self.most_per_order}"
        yield "delay p50, p95, max in seconds", _quantiles(self.delays, "{:.0f}")
        yield "delay p50, p95, max as % of the life", _quantiles([100 * share for share in self.shares], "{:.1f}")
        yield "peak memory in MiB after an hour, at the end", " ".join(f"{kib / 1024:.0f}" for kib in self.memory)


def _quantiles(values, form):
    cuts = statistics.quantiles(values, n=20)
    return " ".join(form.format(value) for value in (cuts[9], cuts[18], max(values)))


class _Watcher:
    def __init__(self, orders, seed):
        self.panel = SimulatedPanel(latency=_LATENCY, seed=seed, partial_share=0.1, canceled_share=0.05)
        self.rng = random.Random(seed)
        self.count = orders
        self.changes = 0
        self.seen_at = {}
        self.requests = Counter()
        self.lookups = Counter()
        self.memory = [0, 0]

    async def watch(self):
        """Watch for a day."""
        lives = [_MEDIAN * self.rng.lognormvariate(0, _SIGMA) for _ in range(self.count)]
        orders = [self.panel.place(duration=life) for life in lives]
        transport = self.panel.transport()
        async with smm.Client(self.panel.url, key=self.panel.key, transport=transport) as client:
            with anyio.move_on_after(DAY):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.count_requests)
                    await self.read(client.watch(orders))
                    tasks.cancel_scope.cancel()
        self._count()
        self.memory[1] = _peak()

    async def read(self, watch):
        """Keep when each end is seen."""
        async for change in watch:
            self.changes += 1
            if change.is_final:
                self.seen_at[change.order] = anyio.current_time()

    async def count_requests(self):
        """Keep what the panel was asked, and not each request of a day."""
        while True:
            await anyio.sleep(60)
            self._count()
            if anyio.current_time() <= _HOUR:
                self.memory[0] = _peak()

    def _count(self):
        for request in self.panel.requests:
            self.requests[request.at // 60] += 1
            self.lookups.update(request.ids)
        self.panel.requests.clear()

    def figures(self):
        """Return what the day has come to."""
        ends = {number: (order.placed_at or 0.0) + order.duration for number, order in self.panel.orders.items()}
        delays = {number: at - ends[number] for number, at in self.seen_at.items()}
        return Figures(
            orders=self.count,
            ended=sum(end < DAY for end in ends.values()),
            seen=len(delays),
            changes=self.changes,
            requests=self.requests.total(),
            lookups=self.lookups.total(),
            most_per_order=max(self.lookups.values()),
            busiest_minute=max(count for minute, count in self.requests.items() if minute),
            delays=list(delays.values()),
            shares=[delay / self.panel.orders[number].duration for number, delay in delays.items()],
            memory=(self.memory[0], self.memory[1]),
        )


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def simulate_day(backend, orders, seed=0):
    """Watch so many orders for a day, and return the figures."""
    watcher = _Watcher(orders, seed)
    name, options = virtual_backend(backend)
    anyio.run(watcher.watch, backend=name, backend_options=options)
    return watcher.figures()

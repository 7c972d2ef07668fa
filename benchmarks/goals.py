"""What the library is meant to reach, and whether it did: ratios mostly, for microseconds do not travel."""

import attrs

from benchmarks import measuring

LOOPS = ("asyncio", "uvloop", "trio")
EXPLANATION = """\
A *floor* is what a release must reach, a *moonshot* what would be remarkable. Behind what was reached stands *yes* for
the floor, *moonshot* for that, and **no** for neither. Each figure stands in a table below, or is a ratio of two that do.
What has nothing to do with a loop, or was measured on one only, stands under asyncio. *not here* is what this machine
cannot measure, **missing** what should have been measured and was not."""


@attrs.frozen
class Goal:
    number: int
    text: str
    program: str
    figure: str
    """The name of what is measured, with braces for the loop."""
    floor: float | None
    moonshot: float | None
    is_at_most: bool
    unit: str
    digits: int
    loops: tuple[str, ...]

    def row(self, figures):
        """Return the cells of its row, after what was measured."""
        cells = [self._cell(loop, figures) if loop in self.loops else "" for loop in LOOPS]
        return [str(self.number), self.text, self._bound(self.floor), self._bound(self.moonshot), *cells]

    def missing(self, figures):
        """Return the names of what should have been measured for it, and was not."""
        names = [self.figure.format(loop) for loop in self.loops if loop in measuring.LOOPS]
        return [f"{self.program}: {name}" for name in names if name not in figures.get(self.program, {})]

    def _bound(self, bound):
        return "" if bound is None else f"{'≤' if self.is_at_most else '≥'} {bound:,.4g}{self.unit}"

    def _cell(self, loop, figures):
        of_program, name = figures.get(self.program, {}), self.figure.format(loop)
        if loop in measuring.LOOPS and name not in of_program:
            return "**missing**"
        reached = of_program.get(name)
        return "not here" if reached is None else self._verdict(reached)

    def _verdict(self, reached):
        verdict = "moonshot" if self._is_met(reached, self.moonshot) else "yes"
        if verdict == "yes" and not self._is_met(reached, self.floor):
            verdict = "**no**"
        return f"{reached:,.{self.digits}f}{self.unit} {verdict}"

    def _is_met(self, reached, bound):
        if bound is None:
            return False
        return reached <= bound if self.is_at_most else reached >= bound


def at_least(number, text, figure, floor, moonshot=None, *, unit="x", digits=2, loops=LOOPS, is_at_most=False):
    program, _, name = figure.partition(": ")
    return Goal(number, text, program, name, floor, moonshot, is_at_most, unit, digits, loops)


def at_most(*args, **options):
    return at_least(*args, **options, is_at_most=True)


COUNTED = {"unit": "", "digits": 0}
BYTES = {"unit": " B", "digits": 0}
ONCE = {"loops": LOOPS[:1]}
ON_BOTH = {"loops": ("asyncio", "trio")}
ON_ASYNCIO, ON_TRIO = {"loops": LOOPS[:2]}, {"loops": LOOPS[2:]}
IN_VIRTUAL_TIME = {"loops": ("asyncio", "trio")}
GOALS = [
    at_least(1, "`statuses()`: times less CPU than batches by hand", "end_to_end: {} statuses() times", 1.3, 4.0),
    at_least(1, "the same, with the extra `fast`", "end_to_end: {} statuses(), fast times", 1.3, 4.0, **ON_ASYNCIO),
    at_least(2, "1,000 pollers: times less CPU than batches by hand", "end_to_end: {} pollers times", 0.9, 2.0),
    at_least(3, "100,000 tasks: times less CPU than batches by hand", "end_to_end: {} tasks times", 0.45, 0.75),
    at_least(3, "100,000 tasks, collector tuned: the same", "end_to_end: {} tasks, gc times", None, 1.4),
    at_most(4, "100,000 tasks: CPU, of bare tasks", "coalescing: {} tasks Coalescer.get of first", 1.1, 1.03),
    at_most(
        *(5, "1,000 pollers: CPU of a lookup", "coalescing: {} pollers Coalescer.get", 2.0, 1.3),
        **ON_ASYNCIO,
        unit=" us",
    ),
    at_most(
        *(5, "1,000 pollers: CPU of a lookup", "coalescing: {} pollers Coalescer.get", 4.0, 3.0),
        **ON_TRIO,
        unit=" us",
    ),
    at_most(6, "list: CPU of an id", "coalescing: {} a list get_many", 0.30, 0.15, unit=" us"),
    at_most(6, "list: memory of an id that waits", "scale: {} get_many bytes", 80, 64, **BYTES),
    at_least(7, "HTTP, 8 at once: times less CPU than `post(data=)`", "transport: {} default 8 times", 1.6, 6.0),
    at_least(7, "HTTP, 32 at once: the same", "transport: {} default 32 times", 2.7, 10.0),
    at_least(7, "the same, with the extra `fast`", "transport: {} pyreqwest 32 times", 2.7, 10.0, **ON_ASYNCIO),
    at_most(7, "HTTP, 32 at once: CPU of a request, of one alone", "transport: {} default growth", 1.1),
    at_least(8, "decoding: times less CPU than `json` and cattrs", "decoding: text smm_async times", 1.15, 5.0, **ONCE),
    at_most(9, "burst: requests more than can be helped", "coalescing: {} requests too many", 0, **COUNTED),
    at_most(
        *(9, "the same, a third cancelled at random", "coalescing: {} requests too many, cancelled", None, 0),
        **COUNTED,
    ),
    at_most(10, "added wait, sigma 0.3: p99 by pace, simulated", "window: simulated 0.3", 3.0, 2.0, **ONCE),
    at_most(10, "the same, in real time", "window: real 0.3", 3.0, 2.0, **ONCE),
    at_most(10, "added wait, sigma 0.02: p99 by pace, simulated", "window: simulated 0.02", 1.3, 1.1, **ONCE),
    at_most(10, "the same, in real time", "window: real 0.02", 1.3, 1.1, **ONCE),
    at_most(
        *(11, "task that waits: memory, its lookup included", "scale: {} Coalescer.get bytes", 1200),
        **ON_ASYNCIO,
        **BYTES,
    ),
    at_most(
        *(11, "task that waits: memory, its lookup included", "scale: {} Coalescer.get bytes", 2300),
        **ON_TRIO,
        **BYTES,
    ),
    at_least(
        *(12, "1,000 pollers: times less CPU than one by one", "end_to_end: {} pollers times one by one", 150, 500),
        digits=0,
    ),
    at_least(
        *(12, "`statuses()`: times less CPU than one by one", "end_to_end: {} statuses() times one by one", 150, 500),
        digits=0,
    ),
    at_least(
        *(13, "`statuses()`, 8 slots, 50 ms: times the speed by hand", "throughput: 8 slots statuses() times"),
        *(0.95, 1.05),
        **ONCE,
    ),
    at_least(13, "1,000 pollers, 8 slots, 50 ms: the same", "throughput: 8 slots pollers times", 0.95, **ONCE),
    at_least(13, "50,000 tasks, 8 slots, 50 ms: the same", "throughput: 8 slots tasks times", 0.8, 1.0, **ONCE),
    at_least(13, "`statuses()`, 32 slots, 50 ms: the same", "throughput: 32 slots statuses() times", None, 1.1, **ONCE),
    at_most(14, "list of 1,000,000: CPU of an id, of one of 1,000", "scale: {} get_many growth", 1.1),
    at_most(15, "1,000,000 tasks: CPU growth from 1,000, by bare tasks'", "scale: {} Coalescer.get growth", 1.1),
    at_most(16, "stream of 1,000,000: most memory, of what a tenth held", "scale: {} stream growth", 1.05),
    at_most(
        17, "idle hour: passes, but for those of a sleep", "idle: {} passes too many", 0, **COUNTED, **IN_VIRTUAL_TIME
    ),
    at_most(18, "import: packages of extras", "idle: extras imported", 0, **COUNTED, **ONCE),
    at_least(
        *(19, "PostgreSQL: lookups a second of one worker", "tracking: {} postgres 1 lookups", 10_000, 15_000),
        **ON_BOTH,
        **COUNTED,
    ),
    at_least(
        *(19, "SQLite file: lookups a second of one worker", "tracking: {} sqlite 1 lookups", 10_000, 15_000),
        **ON_BOTH,
        **COUNTED,
    ),
    at_least(19, "PostgreSQL, 4 workers: ids per request", "tracking: {} postgres 4 ids", 95, 99, **ONCE, unit=""),
    at_most(20, "PostgreSQL: claim, 1,000,000 open, of 10,000", "tracking: postgres claim growth", 1.5, 1.1, **ONCE),
    at_most(20, "SQLite file: the same", "tracking: sqlite claim growth", 1.5, 1.1, **ONCE),
]
HEADINGS = ("", "goal", "floor", "moonshot", *LOOPS)


def markdown(figures):
    """Return all goals as a table."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(goal.row(figures) for goal in GOALS)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def missing(figures):
    """Return the names of all that should have been measured, and was not; figures are by program."""
    return list(dict.fromkeys(name for goal in GOALS for name in goal.missing(figures)))

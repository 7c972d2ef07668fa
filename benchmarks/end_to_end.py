"""What a lookup costs from the call to the typed record, over HTTP, in every way of calling, beside code without merging.

``python -m benchmarks.end_to_end [--quick]`` (needs ``pip install -e '.[benchmark]'``)

A panel in another process, on another CPU if there are two, answers at once. The baseline is a loop that has nothing to
merge, and makes perfect batches by hand: 8 tasks, `httpx.AsyncClient.post(data=)`, `json`, and `cattrs` with its defaults.
"One by one" is the same with one id per request and 32 tasks: a sample, scaled. The others use `smm.Client`: a list in
`statuses()` or `stream_statuses()`; 1,000 long-lived pollers that await one `status()` after the other; one task for each
`status()`, all at once. With "gc" the garbage collector is tuned: ``gc.freeze(); gc.set_threshold(50_000, 20, 100)``. With
"fast" the transport is that of the extra of this name, pyreqwest in Rust.

All run in turn, in one process, and the order turns around every round. Figures are medians of microseconds per lookup;
"times less" is how often the CPU goes into what the baseline took in the same round, the median of all rounds. Memory is
what each way has held at most in a process of its own, interpreter, ids and results included. The second table is the same
for batches of other sizes. A stream of a million is in `benchmarks.scale`.
"""

import math
import statistics

import attrs

from benchmarks import lookup_ways as ways
from benchmarks.lean_panel import LeanPanel
from benchmarks.measuring import LOOPS, Report, alone, choose_cpus, in_turn, memory, ratio, run_on, spread

SLOTS, SLOTS_ONE_BY_ONE = 8, 32


@attrs.frozen
class Size:
    lookups: int
    sample: int
    """How many are looked up one by one."""
    rounds: int
    batches: tuple[int, ...]
    requests: int
    """How many for each size of batch."""
    remembered: tuple[str, ...]
    """The ways whose memory is looked at, on asyncio and on trio."""

    def of(self, name):
        return self.sample if name == ways.ONE_BY_ONE else self.lookups


FULL = Size(
    lookups=100_000,
    sample=500,
    rounds=5,
    batches=(1, 2, 5, 10, 20, 50, 100),
    requests=200,
    remembered=(ways.HAND, ways.LIST, ways.STREAM, ways.IN_POLLERS, ways.IN_TASKS),
)
QUICK = Size(lookups=2_000, sample=50, rounds=1, batches=(1, 100), requests=10, remembered=(ways.LIST,))


def meter_for(panel, loop, name, count, batch=None):
    """Look up as many orders, and return the meter that was running."""
    meter = ways.PanelMeter(panel)
    slots = SLOTS_ONE_BY_ONE if name == ways.ONE_BY_ONE else SLOTS
    run_on(loop, ways.ALL_WAYS[name], panel.url(), ways.make_ids(count), slots, meter, *([batch] if batch else []))
    return meter


def compare(panel, loop, size):
    """Return the meters of all ways, one a round."""

    def measure_for(name):
        return lambda share: meter_for(panel, loop, name, int(size.of(name) * share))

    return in_turn({name: measure_for(name) for name in ways.ways_on(loop)}, size.rounds, 1)


class NoPanel:
    """Stands in for the panel in a process whose memory is looked at."""

    def counts(self):
        return {"requests": 0}


def most_memory(url, loop, name, count):
    """Look up as many orders, and return how many bytes this process has held at most."""
    run_on(loop, ways.ALL_WAYS[name], url, ways.make_ids(count), SLOTS, ways.PanelMeter(NoPanel()))
    return memory("VmHWM")


def rows_of(report, panel, loop, size):
    meters = compare(panel, loop, size)
    cpu = {name: [meter.cpu / size.of(name) * 1e6 for meter in each] for name, each in meters.items()}
    for name, each in meters.items():
        count = size.of(name)
        wall = statistics.median(meter.wall / count * 1e6 for meter in each)
        times = ratio(cpu[ways.HAND], cpu[name])
        requests = sorted({meter.requests for meter in each})
        is_remembered = name in size.remembered and loop != "uvloop"
        held = f"{alone(most_memory, panel.url(), loop, name, count) / 1e6:.0f}" if is_remembered else ""
        report.keep(f"{loop} {name} times", times)
        report.keep(f"{loop} {name} times one by one", ratio(cpu[ways.ONE_BY_ONE], cpu[name]))
        report.keep(f"{loop} {name} extra requests", max(requests) - math.ceil(count / ways.BATCH))
        yield [
            *(loop, name, f"{statistics.median(cpu[name]):.2f}", spread(cpu[name]), f"{wall:.2f}", f"{times:.3g}"),
            *("-".join(map(str, requests)), held),
        ]


def batch_rows(report, panel, size):
    def measure_for(name, batch):
        return lambda share: meter_for(panel, "asyncio", name, int(size.requests * share) * batch, batch)

    names = (ways.HAND, ways.LIST)
    figures = {}
    for batch in size.batches:
        meters = in_turn({name: measure_for(name, batch) for name in names}, size.rounds, 1)
        figures[batch] = {
            name: [meter.cpu / size.requests / batch * 1e6 for meter in each] for name, each in meters.items()
        }
    for name in names:
        report.keep(f"batches {name}", [(batch, statistics.median(figures[batch][name])) for batch in size.batches])
    for batch, each in figures.items():
        medians = [f"{statistics.median(each[name]):.1f}" for name in names]
        yield [batch, *medians, *(spread(each[name], "{:.1f}") for name in names), f"{ratio(*each.values()):.2f}"]


def main():
    with Report(__doc__) as report:
        size = QUICK if report.is_quick else FULL
        if ways.fast is None:
            report.say("pyreqwest is not installed, and left out")
        with LeanPanel(choose_cpus()) as panel:
            report.say(f"{size.lookups:,} lookups, {SLOTS} requests in flight, medians of {size.rounds} rounds\n")
            rows = [row for loop in LOOPS for row in rows_of(report, panel, loop, size)]
            report.table(["loop", "way"], ["CPU us", "spread", "wall us", "times less", "requests", "most MB"], rows)
            report.say(f"CPU us per lookup in batches of other sizes, on asyncio, {size.requests} requests each\n")
            columns = [ways.HAND, ways.LIST, f"spread {ways.HAND}", f"spread {ways.LIST}", "times less"]
            report.table(["batch"], columns, batch_rows(report, panel, size))


if __name__ == "__main__":
    main()

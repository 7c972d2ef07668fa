"""How many lookups a second pass through a panel that takes 50 ms for each answer, beside a loop that batches by hand.

``python -m benchmarks.throughput [--quick]`` (needs ``pip install -e '.[benchmark]'``)

The panel, in another process, takes exactly 50 ms, however many ask: what limits is how many requests are in flight, and
how full they are. The ceiling is 100 ids times the slots in 50 ms. The ways of calling are those of
`benchmarks.end_to_end`, on asyncio. They run in turn, in one process, and the order turns around every round. Figures are
medians of time, from the first call to the last answer; "times" is how often the speed goes into what the loop by hand
took in the same round, the median of all rounds. In the second table each has more to look up the more slots there are,
so that each takes about half a second.
"""

import statistics

from benchmarks import lookup_ways as ways
from benchmarks.lean_panel import LeanPanel
from benchmarks.measuring import Report, choose_cpus, in_turn, ratio, run_on, spread

SECONDS = 0.05
LOOKUPS = 50_000
ROUNDS = 5
RUNS = {8: (ways.HAND, ways.LIST, ways.IN_POLLERS, ways.IN_TASKS), 32: (ways.HAND, ways.LIST, ways.IN_TASKS)}
"""By slots; 1,000 pollers cannot fill 32."""
SLOTS = (1, 2, 4, 8, 16, 32, 64)
PER_SLOT = 1_000
ROUNDS_PER_SLOT = 3
QUICK_LOOKUPS = 2_000
QUICK_ROUNDS = 1
QUICK_SLOTS = (1, 8)
QUICK_PER_SLOT = 100


def lookups_per_second(panel, name, slots, count):
    meter = ways.PanelMeter(panel)
    run_on("asyncio", ways.ALL_WAYS[name], panel.url(SECONDS), ways.make_ids(count), slots, meter)
    return count / meter.wall


def compare(panel, names, slots, count, rounds):
    """Return the lookups per second of all ways, one figure a round."""
    measures = {
        name: (lambda share, name=name: lookups_per_second(panel, name, slots, int(count * share))) for name in names
    }
    return in_turn(measures, rounds, 1)


def ceiling(slots):
    return slots * ways.BATCH / SECONDS


def rows_of(report, panel, lookups, rounds):
    for slots, names in RUNS.items():
        speeds = compare(panel, names, slots, lookups, rounds)
        for name, each in speeds.items():
            median, times = statistics.median(each), ratio(each, speeds[ways.HAND])
            report.keep(f"{slots} slots {name} times", times)
            share = median / ceiling(slots)
            yield [slots, name, f"{median:,.0f}", spread(each, "{:,.0f}"), f"{share:.0%}", f"{times:.2f}"]


def slot_rows(report, panel, all_slots, per_slot, rounds):
    names = (ways.HAND, ways.LIST)
    medians = {name: [] for name in names}
    for slots in all_slots:
        speeds = compare(panel, names, slots, per_slot * slots, rounds)
        for name, each in speeds.items():
            medians[name].append((slots, statistics.median(each)))
        cells = [f"{medians[name][-1][1]:,.0f}" for name in names]
        spreads = [spread(speeds[name], "{:,.0f}") for name in names]
        yield [slots, f"{ceiling(slots):,.0f}", *cells, *spreads, f"{ratio(speeds[ways.LIST], speeds[ways.HAND]):.2f}"]
    for name in names:
        report.keep(f"slots {name}", medians[name])
    report.keep("slots ceiling", [(slots, ceiling(slots)) for slots in all_slots])


def main():
    with Report(__doc__) as report:
        lookups, rounds = LOOKUPS, ROUNDS
        slots, per_slot, slot_rounds = SLOTS, PER_SLOT, ROUNDS_PER_SLOT
        if report.is_quick:
            lookups, rounds = QUICK_LOOKUPS, QUICK_ROUNDS
            slots, per_slot, slot_rounds = QUICK_SLOTS, QUICK_PER_SLOT, QUICK_ROUNDS
        with LeanPanel(choose_cpus()) as panel:
            report.say(f"{lookups:,} lookups, medians of {rounds} rounds\n")
            columns = ["lookups/s", "spread", "of the ceiling", "times"]
            report.table(["slots", "way"], columns, rows_of(report, panel, lookups, rounds))
            report.say(f"{per_slot:,} lookups for each slot, medians of {slot_rounds} rounds\n")
            columns = ["ceiling", ways.HAND, ways.LIST, f"spread {ways.HAND}", f"spread {ways.LIST}", "times"]
            report.table(["slots"], columns, slot_rows(report, panel, slots, per_slot, slot_rounds))


if __name__ == "__main__":
    main()

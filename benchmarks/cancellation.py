"""What becomes of those who share a batch when one of them is cancelled: the coalescer beside other libraries.

``python -m benchmarks.cancellation [--quick]`` (needs ``pip install -e '.[benchmark]'``)

Every library gets the same callers, the same load function, which takes a second, and the same cancellations, in virtual
time on loops that repeat exactly. A cell of the first table says what a library made of a case, the worst of all moments
that the row stands for. "Before sending" is each pass of the loop between the calls and the call of the load function, at
most nine; "at the answer" are nine passes from the one in which the load function has its answer. New callers, where some
come, call as soon as the others have been cancelled; and in the end everybody calls once more.

  right      who was cancelled ended so, everybody else got the right answer, and the library goes on working
  HUNG       somebody had no outcome after 100 seconds
  CANCELLED  somebody was cancelled whom nobody had cancelled
  ERROR      somebody got an exception in place of an answer
  VALUE      somebody got another key's answer, or one older than the question
  DEAF       somebody who was cancelled went on
  nobody     the load function was asked for a key although all who wanted it had left
  shared     several callers were raised one and the same exception object
  twice      one batch had a key more than once
  -          there is no such thing in this library, or on this loop

The second table is torture: in each run one caller is cancelled at one pass of the loop, for all callers and all passes.
It says in how many of the runs something was not right, and below, in how many of all runs what was the worst.

The columns are smm_async's Coalescer on asyncio and on trio, the DataLoader of aiodataloader and that of strawberry, and
async-batcher, all three for asyncio only. A loader in ``-nc`` has its cache turned off; the other is told to forget a key
when it is loaded, so that callers of one key are merged and no answer is old. Loaders are made to live as long as one web
request; here they live on, as a client's must. The program exits with 1 if the coalescer is not right everywhere.
"""

import argparse
import logging
import platform
import sys
from collections import Counter

import attrs

from benchmarks.callers import (
    WORST_FIRST,
    Case,
    World,
    be_cancelled,
    fail,
    leave_out,
    wait_for_what_is_cancelled,
)
from benchmarks.merging_libraries import LIBRARIES, version_of
from benchmarks.virtual_loops import TICK
from benchmarks.ways_to_cancel import WAYS

SEEDS = range(5)
QUICK_SEEDS = range(1)
ASYNCIO = ("asyncio",)
AROUND = 9
OURS = 2
"""How many columns are the coalescer's."""

_ONE, _TWO, _BATCH, _CROWD = "a", "aab", "abc", "abcdefghij" * 2
_ALL, _EVERYBODY = (0, 1, 2), tuple(range(20))
CASES = [
    Case("nobody is cancelled", _TWO),
    *(
        Case(f"{who}, {when}", keys, victims, moment, has_followers=has_followers)
        for who, keys, victims, has_followers in (
            ("first of two with one key", _TWO, (0,), False),
            ("second of two with one key", _TWO, (1,), False),
            ("first of a batch", _BATCH, (0,), False),
            ("only one, then another", _ONE, (0,), True),
            ("all of a batch, then others", _BATCH, _ALL, True),
            ("20 at one instant, then others", _CROWD, _EVERYBODY, True),
        )
        for when, moment in (
            ("before sending", "unsent"),
            ("in flight", "sent"),
            ("at the answer", "answered"),
        )
    ),
    Case("load function raises", _TWO, load=fail, is_failing=True),
    Case(
        "load function awaits what is cancelled",
        _TWO,
        load=wait_for_what_is_cancelled,
        is_failing=True,
        backends=ASYNCIO,
    ),
    Case("task of the load function is cancelled", _TWO, load=be_cancelled, is_failing=True, backends=ASYNCIO),
    Case("load function returns too few", _TWO, load=leave_out, is_failing=True),
    Case("closed at once, waiters queued", _TWO, close="aclose", moment="unsent", is_failing=True),
    Case("closed at once, waiters in flight", _TWO, close="aclose", moment="sent", is_failing=True),
    Case("closed gently, waiters queued", _TWO, close="drain", moment="unsent", is_failing=True),
    Case("closed gently, waiters in flight", _TWO, close="drain", moment="sent", is_failing=True),
]
TORTURE = [
    Case("one batch", "abc", (0,)),
    Case("one key", "aaaa", (0,)),
    Case("small batches", "abacde", (0,), max_batch=2),
    Case("one in flight", "abacd", (0,), max_batch=2, max_in_flight=1),
    Case("load raises", "aab", (0,), load=fail, is_failing=True),
]


def columns():
    """Return what is compared: a heading, the class, and the loop."""
    first, *others = ((name, make, "asyncio") for name, make in LIBRARIES.items() if make.is_here)
    return [first, (f"{first[0]} trio", first[1], "trio"), *others]


def moments(make, case, way, backend, seed):
    """Return when to cancel, as arguments of a world, found by a run in which nobody is cancelled."""
    if not case.moment:
        return [{}]
    calm = World(make, attrs.evolve(case, close=""), way).run(backend, seed)
    if case.moment == "sent":
        return [{"at": (calm.sent_at + calm.done_at) / 2}]
    if case.moment == "unsent":
        passes, start = range(2, min(calm.sent_pass, AROUND) + 1), calm.called_at
    else:
        passes, start = range(calm.done_pass, calm.done_pass + AROUND), calm.done_at - 2 * TICK
    timers = [{"at": start + (number + 0.5) * TICK} for number in range(len(passes) - 1)]
    # A timer goes off behind what is to run in the same pass anyway; this, before it.
    return timers + [{"cancel_at_pass": number} for number in passes if way == "cancel()"]


def verdict_on(make, case, way, backend, seeds):
    """Return the worst verdict on a case, over all moments and orders."""
    if backend not in case.backends or (case.close and case.close not in make.closings):
        return "-"
    found = {
        World(make, case, way, **moment).run(backend, seed).verdict
        for seed in (seeds if backend == "trio" else range(1))
        for moment in moments(make, case, way, backend, seed)
    }
    return min(found, key=WORST_FIRST.index)


def rows_of(case, seeds):
    """Return the rows of a case, ways with the same cells together."""
    rows = {}
    for way in WAYS["asyncio"] if case.victims else [""]:
        cells = tuple(verdict_on(make, case, way, backend, seeds) for _, make, backend in columns())
        rows.setdefault(cells, []).append(way)
    return [(name_of(ways), cells) for cells, ways in rows.items()]


def name_of(ways):
    """Return a name for some of the ways to be cancelled."""
    missing = [way for way in WAYS["asyncio"] if way not in ways]
    if len(missing) == 1:
        return f"all but {missing[0]}"
    return ", ".join(ways) if missing else "each way"


def tortured(make, case, way, backend, seeds):
    """Return the verdicts on all runs of a case in which one caller is cancelled at one pass."""
    verdicts = Counter()
    for seed in seeds if backend == "trio" else range(1):
        for victim in range(len(case.keys)):
            at_pass, was_cancelled = 0, True
            while was_cancelled:
                at_pass += 1
                world = World(make, attrs.evolve(case, victims=(victim,)), way, cancel_at_pass=at_pass)
                was_cancelled = world.run(backend, seed).was_cancelled
                verdicts[world.verdict] += was_cancelled
    return verdicts


def print_cases(seeds):
    """Print the first table, and return whether the coalescer is right in all of it."""
    print(f"\n{'who is cancelled, when':47}{'how':24}" + "".join(f"{name:>10}" for name, *_ in columns()))
    is_right = True
    for case in CASES:
        for way, cells in rows_of(case, seeds):
            print(f"{case.text:47}{way:24}" + "".join(f"{cell:>10}" for cell in cells))
            is_right &= set(cells[:OURS]) <= {"right", "-"}
    return is_right


def print_torture(seeds):
    """Print the second table, and return whether the coalescer is right in all of it."""
    print(f"\n{'one cancelled, at each pass':47}{'':24}" + "".join(f"{name:>10}" for name, *_ in columns()))
    totals = [Counter() for _ in columns()]
    for case in TORTURE:
        for way in ("cancel()", "fail_after"):
            cells = [tortured(make, case, way, backend, seeds) for _, make, backend in columns()]
            print(f"{case.text:47}{way:24}" + "".join(f"{f'{wrong(cell)}/{cell.total()}':>10}" for cell in cells))
            for total, cell in zip(totals, cells, strict=True):
                total.update(cell)
    for kind in WORST_FIRST[:-1]:
        if any(total[kind] for total in totals):
            print(f"{'':47}{kind:24}" + "".join(f"{total[kind]:10}" for total in totals))
    return not any(map(wrong, totals[:OURS]))


def wrong(verdicts):
    """Return how many verdicts are not right."""
    return verdicts.total() - verdicts["right"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one order of tasks on trio, in place of several")
    seeds = QUICK_SEEDS if parser.parse_args().quick else SEEDS
    logging.disable()
    present = dict.fromkeys(make.package for make in LIBRARIES.values() if make.is_here)
    print(f"Python {platform.python_version()}, {', '.join(map(version_of, [*present, 'anyio', 'trio']))}")
    for package in {make.package: None for make in LIBRARIES.values() if not make.is_here}:
        print(f"{package} is not installed, and left out")
    is_right = [print_cases(seeds), print_torture(seeds)]
    sys.exit(not all(is_right))


if __name__ == "__main__":
    main()

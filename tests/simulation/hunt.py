"""Many lives in one process: what they came to, and those in which something was wrong.

Nothing here imports the package before `hunt()` is called, so that a bug can be planted in it first.
"""

import gc
import hashlib
from collections import Counter

import attrs

from tests.simulation import mutants

_LIVES_PER_COLLECTION = 25


@attrs.define
class Report:
    """What some lives of one event loop came to."""

    backend: str
    lives: int = 0
    counts: Counter[str] = attrs.field(factory=Counter)
    """How many calls ended how, and what the panels saw."""
    violations: list[tuple[int, str]] = attrs.field(factory=list)
    """Seeds, and what was wrong in their lives."""
    digest: str = ""

    def replay(self):
        """Return the command that lives the first life again in which something was wrong."""
        return replay_command(self.backend, self.violations[0][0])


def replay_command(backend, seed):
    """Return the command that lives one life again."""
    return f"python -m tests.simulation replay {seed} --backend {backend}"


def hunt(backend, first, count, *, mutant=None):
    """Live the lives of ``count`` seeds. With a planted bug, stop at the first that it is found in by its message."""
    expected = None if mutant is None else mutants.plant(mutant).expected
    from tests.simulation import checks, life  # noqa: PLC0415  after the bug was planted

    report, digest = Report(backend), hashlib.blake2b(digest_size=8)
    gc.collect()
    gc.disable()
    # What the modules hold would take most of the time of each collection.
    gc.freeze()
    try:
        for seed in range(first, first + count):
            one = life.live(backend, seed)
            if seed % _LIVES_PER_COLLECTION == 0:
                # What is never awaited or never retrieved says so when it is collected: in this life or one before.
                with checks.watch_the_process(one):
                    gc.collect()
            digest.update(one.digest().encode())
            _add(report, one)
            if expected is not None and any(message.startswith(expected) for message in one.violations):
                break
    finally:
        gc.unfreeze()
        gc.enable()
    report.digest = digest.hexdigest()
    return report


def hunt_mutant(name, backend, lives):
    """Return the name of a mutant, and the report of the hunt for it."""
    return name, hunt(backend, 0, lives, mutant=name)


def torture(backend, number):
    """Return the backend, how often a scenario was played on it, and what was wrong."""
    from tests.simulation.torture import torture_scenario  # noqa: PLC0415  after the bug was planted

    return backend, *torture_scenario(backend, number)


def _add(report, life):
    report.lives += 1
    report.violations += [(life.seed, message) for message in life.violations]
    counts = report.counts
    for caller in life.callers:
        for call in caller.calls:
            if call.has_begun:
                counts["calls"] += 1
                counts["cancelled" if call.saw_cancel else type(call.outcome).__name__] += 1
                if call.reading is not None:
                    counts["streams"] += 1
                    counts["ids streamed"] += len(call.reading.pairs)
    counts["requests"] += len(life.world.received)
    counts["ids asked"] += sum(len(received.ids) for received in life.world.received)
    counts["faults"] += sum(map(len, life.world.met.values()))
    counts["orders placed"] += sum(map(len, life.world.placed.values()))
    counts["passes"] += life.passes

"""A reader that is cancelled at any pass of the loop, and reads on, has missed nothing and gets nothing twice."""

import random
from itertools import pairwise

import anyio
import pytest

import smm_async as smm
from smm_async.testing import SimulatedPanel
from tests.simulation.loops import BACKENDS, run

POLL = smm.Poll(shortest=5.0, longest=20.0)
LIFE = 40.0


class Reader:
    """Reads all changes of a few orders; whoever strikes at a pass cancels the read that is going on."""

    def __init__(self, strike_at):
        self.strike_at = strike_at
        self.passes = 0
        self.scope = None
        self.struck = 0
        self.changes = []
        self.most_ids = 0
        self.asked = 0

    def at_pass(self):
        """Count a pass, and strike if it is time to."""
        self.passes += self.scope is not None
        if self.scope is not None and self.passes == self.strike_at:
            self.scope.cancel()

    async def read(self):
        """Read to the end, beginning anew after each cancellation."""
        panel = SimulatedPanel(durations=(LIFE, LIFE), latency=0.1)
        orders = panel.seed_orders(3)
        async with smm.Client(panel.url, key=panel.key, transport=panel.transport()) as client:
            watch = client.watch(orders, poll=POLL)
            while await self._read_one(watch):
                pass
        self.asked = panel.count("status")

    async def _read_one(self, watch):
        with anyio.CancelScope() as self.scope:
            try:
                self.changes.append(await anext(watch))
            except StopAsyncIteration:
                return False
        self.struck += self.scope.cancelled_caught
        return True


def read_with(backend, strike_at):
    """Return a reader that was cancelled at this pass, and has read all."""
    reader = Reader(strike_at)
    run(backend, reader.read, random.Random(strike_at), reader.at_pass)
    return reader


@pytest.mark.parametrize("backend", BACKENDS)
def test_cancelled_reader_misses_nothing_and_gets_nothing_twice(backend):
    """At every pass of the loop: each change begins with what the last one ended with, up to the end."""
    untouched = read_with(backend, strike_at=0)
    struck = 0
    for strike_at in range(1, untouched.passes + 1):
        reader = read_with(backend, strike_at)
        struck += reader.struck
        for order in (1, 2, 3):
            mine = [change for change in reader.changes if change.order == order]
            assert mine[0].before is None
            assert all(before.after == after.before != after.after for before, after in pairwise(mine)), strike_at
            assert [change.is_final for change in mine] == [False] * (len(mine) - 1) + [True]
        # One lookup more, at most, for the one whose answer nobody took.
        assert reader.asked <= untouched.asked + 3

    assert untouched.struck == 0
    assert len(untouched.changes) >= 12
    assert struck > untouched.passes * 0.5

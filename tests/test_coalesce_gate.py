"""The gate that several coalescers may share: how many it lets in, and what happens when it fails."""

from typing import Any

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, sizes, value_of, values_of


class Gate:
    """Lets a number in at once, and can be told to fail."""

    def __init__(self, places):
        self.semaphore = anyio.Semaphore(places)
        self.errors_entering = []
        self.errors_leaving = []
        self.inside = 0
        self.most_inside = 0

    async def __aenter__(self):
        """Wait for a place."""
        await self.semaphore.acquire()
        if self.errors_entering:
            self.semaphore.release()
            raise self.errors_entering.pop()
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)

    async def __aexit__(self, *raised):
        """Free the place."""
        self.inside -= 1
        self.semaphore.release()
        if self.errors_leaving:
            raise self.errors_leaving.pop()


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


async def test_gate_shared_by_two_coalescers(fetch):
    """Two coalescers that share a gate have no more requests on their way together than it lets in."""
    gate = Gate(3)
    fetch.seconds = 0.001
    options: Any = {"max_batch": 1, "gate": gate}
    async with smm.Coalescer(fetch, **options) as one, smm.Coalescer(fetch, **options) as other, Callers() as callers:
        for key in range(20):
            callers.start(("one", key), one.get, key)
            callers.start(("other", key), other.get, key)

    assert callers.got == {(who, key): value_of(key) for who in ("one", "other") for key in range(20)}
    assert fetch.most_running == gate.most_inside == 3


async def test_keys_are_chosen_inside_the_gate(fetch):
    """While a batch waits at the gate, keys join it and leave it; who comes to an empty batch asks nothing."""
    gate = Gate(1)
    async with smm.Coalescer(fetch, gate=gate) as coalescer, Callers() as callers:
        await gate.semaphore.acquire()
        for key in "abc":
            callers.start(key, coalescer.get, key)
            await anyio.wait_all_tasks_blocked()
        callers.cancel("a")
        await anyio.wait_all_tasks_blocked()
        gate.semaphore.release()
        await anyio.wait_all_tasks_blocked()

        await gate.semaphore.acquire()
        callers.start("d", coalescer.get, "d")
        await anyio.wait_all_tasks_blocked()
        callers.cancel("d")
        await anyio.wait_all_tasks_blocked()
        gate.semaphore.release()
        callers.start("e", coalescer.get, "e")

    assert fetch.asked == [["b", "c"], ["e"]]
    assert callers.got == {"a": "cancelled", "d": "cancelled"} | values_of("bce")
    assert gate.inside == 0


async def test_gate_that_fails_to_open(fetch):
    """Whom the gate keeps out by an error hears of it; the next are served."""
    gate = Gate(1)
    gate.errors_entering = [OSError("jammed")]
    async with smm.Coalescer(fetch, max_batch=2, max_in_flight=1, gate=gate) as coalescer, Callers() as callers:
        for key in range(4):
            callers.start(key, coalescer.get, key)

    failed = [key for key, got in callers.got.items() if isinstance(got, OSError)]
    assert len(failed) == 2
    assert sizes(fetch) == [2]
    assert {key: got for key, got in callers.got.items() if key not in failed} == values_of(fetch.asked[0])


async def test_gate_that_fails_when_nobody_is_left(fetch):
    """An error of the gate that nobody waits to hear breaks nothing."""
    gate = Gate(1)
    async with smm.Coalescer(fetch, max_in_flight=1, gate=gate) as coalescer, Callers() as callers:
        await gate.semaphore.acquire()
        callers.start("a", coalescer.get, "a")
        await anyio.wait_all_tasks_blocked()
        callers.cancel("a")
        gate.errors_entering = [OSError("jammed")]
        gate.semaphore.release()
        await anyio.wait_all_tasks_blocked()

        assert await coalescer.get("b") == value_of("b")

    assert gate.errors_entering == []
    assert fetch.asked == [["b"]]


async def test_gate_that_fails_to_close(fetch):
    """An error on the way out of the gate changes no answer, and the slot lives on."""
    gate = Gate(1)
    fetch.answer = lambda keys: values_of(set(keys) - {"b"})
    async with smm.Coalescer(fetch, max_in_flight=1, gate=gate) as coalescer:
        gate.errors_leaving = [OSError("jammed")]
        found = await coalescer.get_many("ab")
        again = await coalescer.get("c")

    assert found["a"] == value_of("a")
    assert type(found["b"]) is OSError
    assert again == value_of("c")


async def test_closing_while_waiting_at_the_gate(fetch):
    """Callers whose batch waits at the gate are told of the closing at once, and the gate is left alone."""
    gate = Gate(1)
    await gate.semaphore.acquire()
    async with Callers() as callers, smm.Coalescer(fetch, gate=gate) as coalescer:
        callers.start("a", coalescer.get, "a")
        await anyio.wait_all_tasks_blocked()
    gate.semaphore.release()

    assert type(callers.got["a"]) is smm.ClosedError
    assert fetch.asked == []
    assert gate.semaphore.value == 1

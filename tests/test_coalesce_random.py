"""Short random lives of a coalescer in virtual time, and what must hold in each of them."""

import random
from typing import Any

import anyio
import pytest

import smm_async as smm
from tests.coalescing import LONG, Callers, passes
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

STEP = 0.25
KEYS = "abcdef"
DEEDS = ["answer"] * 8 + ["lose", "fail", "share", "odd", "list", "one", "swallow"]


class OddError(BaseException):
    """What no ``except Exception`` catches."""


class World:
    """One life: who asks what and when, what fetch does, and what was wrong."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.budget = self.draw.choice([None, 1.0, 2.0])
        self.max_batch = self.draw.randint(1, 4)
        self.max_in_flight = self.draw.randint(1, 3)
        self.coalescer = smm.Coalescer(
            self.fetch,
            max_batch=self.max_batch,
            max_in_flight=self.max_in_flight,
            max_delay=self.draw.choice([0.0, 0.0, STEP, 3 * STEP]),
            budget=self.budget,
            shared_errors=(smm.MaintenanceError,),
            gate=self.draw.choice([None, anyio.Semaphore(1), anyio.Semaphore(2)]),
        )
        self.is_calm = self.draw.random() < 0.3
        self.may_hang = self.budget is not None and not self.is_calm
        self.is_over = False
        self.closed_at = self.moment() if self.draw.random() < 0.2 else None
        self.wrong = []
        self.calls = 0
        self.running = 0
        self.waiting = {}
        self.started = {}

    def moment(self):
        """Draw a moment on a grid, so that events fall together."""
        return self.draw.randrange(16) * STEP

    def check(self, is_true, what):
        """Keep what is wrong; an exception raised here might be taken for one of fetch's."""
        if not is_true:
            self.wrong.append((anyio.current_time(), what))

    async def fetch(self, keys):
        """Check that the question may be asked, and do something with it."""
        now = anyio.current_time()
        self.calls += 1
        self.running += 1
        number = self.calls
        self.check(1 <= len(keys) <= self.max_batch, f"asked for {len(keys)} keys")
        self.check(len(set(keys)) == len(keys), f"asked for {keys}")
        self.check(self.running <= self.max_in_flight, f"{self.running} at once")
        self.check(self.closed_at is None or now <= self.closed_at, "asked after the closing")
        for key in keys:
            self.check(any(key in wanted for wanted in self.waiting.values()), f"nobody waits for {key}")
        try:
            await passes(self.draw.randrange(3))
            return await self.act(keys, number)
        finally:
            self.running -= 1

    async def act(self, keys, number):
        """Answer, or do what a fetch should not do."""
        answers = {key: (key, number) for key in keys}
        deed = "answer" if self.is_calm else self.draw.choice(DEEDS)
        seconds = 0 if self.is_over else self.draw.choice([0, STEP, 2 * STEP, 1.0, LONG if self.may_hang else 1.0])
        try:
            await anyio.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            if deed != "swallow":
                raise
        if deed == "lose":
            return {key: answers[key] for key in keys if self.draw.random() < 0.5}
        if deed == "one":
            return answers | {keys[0]: smm.UnknownOrderError("No.")}
        if deed == "list":
            return list(answers)
        if deed in {"fail", "share", "odd"}:
            raise {"fail": OSError("lost"), "share": smm.MaintenanceError("Later."), "odd": OddError()}[deed]
        return answers

    async def live(self):
        """Let everything happen, and return how the calls ended."""
        plan: list[Any] = [(self.moment(), "ask", name) for name in range(self.draw.randint(1, 12))]
        plan += [(self.moment(), "cancel", name) for _, _, name in plan if self.draw.random() < 0.3]
        plan += [] if self.closed_at is None else [(self.closed_at, "close", None)]
        self.draw.shuffle(plan)
        async with Callers(LONG) as callers:
            for moment, deed, name in sorted(plan, key=lambda one: one[0]):
                await anyio.sleep_until(moment)
                await passes(self.draw.randrange(3))
                if deed == "ask":
                    callers.start(name, self.ask, name)
                elif deed == "close":
                    callers.start("close", self.coalescer.aclose)
                elif name in self.started:
                    self.note_cancelled(name)
                    callers.cancel(name)
        return callers

    def note_cancelled(self, name):
        """Forget a cancelled caller; one with a list may just have been woken, and is not known to be gone until it ran."""
        if len(self.waiting.get(name, ())) == 1:
            del self.waiting[name]

    async def ask(self, name):
        """Look something up as the caller ``name``."""
        keys = self.draw.choices(KEYS, k=self.draw.choice([1, 1, 1, 0, 2, 9]))
        self.started[name] = (anyio.current_time(), self.calls, keys)
        self.waiting[name] = keys
        try:
            if len(keys) == 1:
                return {keys[0]: await self.coalescer.get(keys[0])}
            return await self.coalescer.get_many(keys)
        finally:
            self.waiting.pop(name, None)
            end = self.started[name][0] + (self.budget or LONG)
            self.check(len(keys) != 1 or anyio.current_time() <= end, f"{name} waited beyond its budget")

    def check_ends(self, callers):
        """Check how each call ended."""
        errors = []
        for name, (started_at, calls, keys) in self.started.items():
            got, ended_at = callers.got[name], callers.ended_at[name]
            if isinstance(got, Exception):
                got = dict.fromkeys(keys, got) if len(keys) == 1 else {None: got}
            elif got == "cancelled":
                continue
            else:
                self.check(list(got) == list(dict.fromkeys(keys)), f"{name} asked for {keys} and got {list(got)}")
            for key, result in got.items():
                if isinstance(result, Exception):
                    errors.append(result)
                    self.check_error(name, started_at, ended_at, keys, result)
                else:
                    self.check(result[0] == key, f"{name} asked for {key} and got {result}")
                    self.check(result[1] > calls, f"{name} got an answer older than its question")
        self.check(len({id(error) for error in errors}) == len(errors), "an error is shared")

    def check_error(self, name, started_at, ended_at, keys, error):
        """Check that an error has its cause."""
        if isinstance(error, smm.ClosedError):
            closed_at = LONG if self.closed_at is None else self.closed_at
            is_right = ended_at == max(closed_at, started_at)
        elif isinstance(error, smm.NotSentError) or "budget" in str(error):
            is_right = self.budget is not None and (len(keys) != 1 or ended_at == started_at + self.budget)
        else:
            kinds = (OSError, TypeError, smm.MaintenanceError, smm.UnknownOrderError, smm.NoAnswerError)
            is_right = isinstance(error, kinds) and not self.is_calm
        self.check(is_right, f"{name} got {error!r} for {keys}")


@pytest.mark.parametrize("seed", range(100))
async def test_random_life(seed):
    """Whatever happens, everybody gets the right thing at the right time, and the next one is served."""
    world = World(seed)

    callers = await world.live()
    world.check_ends(callers)
    world.is_calm = world.is_over = True
    # What is still on its way may end badly, and take what is queued with it.
    await anyio.sleep(10)
    if world.closed_at is None:
        world.waiting["next"] = ["next"]
        world.check(await world.coalescer.get("next") == ("next", world.calls), "the next lookup got something else")
    await world.coalescer.aclose()

    assert world.wrong == []
    assert world.running == 0

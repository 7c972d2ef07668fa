"""What streams do in a life: who reads how fast, from which source, and when it has enough.

All is drawn by a generator of its own, seeded from the seed of the life, and most lives have no stream: what else
happens in them does not depend on what is drawn here.
"""

import random
from collections import Counter
from typing import Any

import anyio
import attrs

LOOKUPS = {"stream_statuses": "status", "stream_refill_statuses": "refill_status"}
_SHARE = 0.3
_PAUSES = (0.0, 0.0, 0.005, 0.05, 0.5)
_SLACK = 1e-6


class SourceError(Exception):
    """What a source raises."""


@attrs.frozen
class Habits:
    """How one stream is read."""

    is_async: bool
    source_pause: float
    """Seconds that an async source takes for some of its ids."""
    reader_pause: float
    """Seconds that the reader takes for some of the results."""
    patience: float | None
    """Seconds after which a wait for a result is given up, and begun again."""
    enough: int | None
    """How many results the reader takes before it leaves."""
    end: str
    """How the source ends: well, by an error, or with an id that is none."""


@attrs.define(eq=False)
class Reading:
    """What one stream has come to, until now."""

    taken: Counter[str] = attrs.field(factory=Counter)
    asked_after: dict[str, int] = attrs.field(factory=dict)
    """How many requests had left when an id was taken for the first time."""
    pairs: list[tuple[str, Any]] = attrs.field(factory=list)
    waiting: Counter[str] = attrs.field(factory=Counter)
    """What was taken and not yielded, for as long as the reader is there."""
    has_left: bool = False
    is_reading: bool = False
    """Whether the reader waits for a result, and is not doing other things."""
    is_away: bool = False
    """Whether the reader gave up a wait, and has not begun another."""
    is_source_open: bool = False
    late: int = 0
    """How many ids were taken after the reader had left."""
    error: Any = None
    """What the source raised."""

    def wants(self, id_, *, is_gone):
        """Return whether the reader wants to know about an id; one cancelled while it does other things may, as yet."""
        is_there = not (self.has_left or self.is_away or (is_gone and self.is_reading))
        return is_there and self.waiting[id_] > 0


def draw_callers(seed, knobs):
    """Return for each reader of a life when it begins, what it asks for, and how it reads; most lives have none."""
    draw = random.Random(f"streams from {seed}")
    if draw.random() >= _SHARE:
        return []
    return [_draw_caller(draw, knobs) for _ in range(draw.choice([1, 1, 2, 3]))]


def _draw_caller(draw, knobs):
    count = draw.choice([0, 1, 5, 20, 60])
    ids = tuple(str(draw.randint(1, draw.choice([knobs.ids, 500]))) for _ in range(count))
    habits = Habits(
        is_async=draw.random() < 0.6,
        source_pause=draw.choice(_PAUSES),
        reader_pause=draw.choice(_PAUSES),
        patience=draw.choice([None, None, 0.0, 0.01, 0.3]),
        enough=draw.randint(0, count) if draw.random() < 0.25 else None,
        end=draw.choice(["well"] * 6 + ["error", "bad id"]),
    )
    starts_at = draw.randrange(int(knobs.spread / 0.005) + 1) * 0.005
    return starts_at, draw.choice(list(LOOKUPS)), ids, habits


async def read(life, call):
    """Read a stream as its reader does, and return ``None`` at its end."""
    reading, habits = call.reading, call.habits
    ids = _async_ids(life, call) if habits.is_async else _ids(life, call)
    try:
        async with getattr(life.client, call.kind)(ids) as results:
            try:
                await _read_all(life, call, results)
            finally:
                reading.has_left = True
    finally:
        if habits.is_async and reading.is_source_open:
            life.wrong(f"I14 the source of {call.kind} was not closed when it was left")


async def _read_all(life, call, results):
    habits, pairs = call.habits, call.reading.pairs
    while habits.enough is None or len(pairs) < habits.enough:
        pair = await _read_one(life, call, results)
        if pair is None:
            return
        pairs.append(pair)
        call.reading.waiting[pair[0]] -= 1
        if habits.reader_pause and len(pairs) % 3 == 0:
            await anyio.sleep(habits.reader_pause)


async def _read_one(life, call, results):
    """Wait for one result; with little patience, in vain at first."""
    reading, habits = call.reading, call.habits
    if habits.patience is not None and len(reading.pairs) % 4 == 0:
        with anyio.move_on_after(habits.patience) as scope:
            return await _wait(life, call, results)
        if scope.cancelled_caught:
            reading.is_away = True
            await anyio.sleep(habits.reader_pause)
            reading.is_away = False
    return await _wait(life, call, results)


async def _wait(life, call, results):
    began, call.reading.is_reading = anyio.current_time(), True
    try:
        return await anext(results, None)
    finally:
        call.reading.is_reading = False
        now, closed_at = anyio.current_time(), life.closed_at
        if now - began > life.knobs.budget + _longest(call) + _SLACK:
            life.wrong(f"I12 {call.kind} kept its reader waiting for {now - began:g} seconds")
        if closed_at is not None and now > max(began, closed_at) + _SLACK:
            life.wrong(f"I6 {call.kind} kept its reader waiting after the closing")


def _longest(call):
    """Return how long a source may keep all waiting: it pauses before each fourth id."""
    return 2 * call.habits.source_pause


def _ids(life, call):
    for id_ in call.ids:
        _take(life, call, id_)
        yield id_
    yield from _end(call)


async def _async_ids(life, call):
    call.reading.is_source_open = True
    try:
        for place, id_ in enumerate(call.ids):
            if place % 4 == 0:
                await anyio.sleep(call.habits.source_pause)
            _take(life, call, id_)
            yield id_
        for id_ in _end(call):
            yield id_
    finally:
        call.reading.is_source_open = False


def _end(call):
    if call.habits.end == "bad id":
        yield "no, id"
    if call.habits.end == "error":
        call.reading.error = SourceError()
        raise call.reading.error


def _take(life, call, id_):
    reading = call.reading
    # One whose wait ended at the instant of the leaving is given all the same.
    reading.late += reading.has_left
    if reading.late > 1:
        life.wrong(f"I14 {id_} was taken from a source that was left")
    reading.taken[id_] += 1
    reading.waiting[id_] += 1
    reading.asked_after.setdefault(id_, life.world.arrivals)
    # What has been learned of the panel only makes it less.
    most = 2 * life.knobs.limit * life.knobs.max_in_flight
    if reading.waiting.total() > most:
        life.wrong(f"I11 {reading.waiting.total()} ids of {call.kind} were taken and not yielded, where {most} may be")


def check(life, call):
    """Check that each id was yielded as often as it was taken, or less often if there was a reason."""
    reading = call.reading
    yielded = Counter(id_ for id_, _ in reading.pairs)
    if yielded - reading.taken:
        life.wrong(f"I1 {call.kind} yielded {yielded - reading.taken} more often than it was asked for")
    if call.saw_cancel or call.habits.enough is not None:
        return
    is_own = call.outcome is None or call.outcome is reading.error or type(call.outcome) is ValueError
    if is_own and yielded != reading.taken:
        life.wrong(f"I1 {call.kind} lost {reading.taken - yielded}")
    if call.outcome is None and reading.taken != Counter(call.ids):
        life.wrong(f"I1 {call.kind} did not take {Counter(call.ids) - reading.taken}")
    expected = {"well": type(None), "error": SourceError, "bad id": ValueError}[call.habits.end]
    if is_own and type(call.outcome) is not expected:
        life.wrong(f"I1 {call.kind} ended as {call.outcome!r}, its source as {call.habits.end!r}")

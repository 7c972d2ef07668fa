"""What a panel allows in a life, and whether the client keeps to it.

All is drawn by a generator of its own, seeded from the seed of the life, and most lives have no limits: what else
happens in them does not depend on what is drawn here.
"""

import random
from typing import Any

import anyio
import anyio.lowlevel

import smm_async as smm

_SHARE = 0.3
_REQUESTS = (1, 1, 2, 3, 5)
_WINDOWS = (0.05, 0.05, 0.5, 0.5, 2.0, 10.0)
_SLACK = 1e-6


class Turns:
    """A limiter of somebody else's, which lets go when it likes, and counts how often it did."""

    def __init__(self, draw):
        self._draw = draw
        self.given = 0

    async def acquire(self):
        """Give a turn, at once or after some passes of the loop."""
        while self._draw.random() < 0.3:
            await anyio.lowlevel.checkpoint()
        self.given += 1


def draw_rate_limit(seed):
    """Return what the client of a life is told to keep to; most are told nothing."""
    draw = random.Random(f"limits from {seed}")
    if draw.random() >= _SHARE:
        return None
    kind = draw.choice(["all", "all", "status", "both", "both", "writes", "turns", "429"])
    limits: dict[str, Any] = {
        "all": _draw_limit(draw),
        "status": {"status": _draw_limit(draw)},
        "both": {"*": _draw_limit(draw), "status": _draw_limit(draw)},
        "writes": {"add": _draw_limit(draw), "refill_status": _draw_limit(draw), "balance": _draw_limit(draw)},
        "turns": {"*": _draw_limit(draw), "status": Turns(draw)},
        "429": {},
    }
    return limits[kind]


def _draw_limit(draw):
    return smm.RateLimit(draw.choice(_REQUESTS), per=draw.choice(_WINDOWS))


def _by_name(life):
    limits = life.knobs.rate_limit
    return limits if isinstance(limits, dict) else {} if limits is None else {"*": limits}


def most_at_once(life, action):
    """Return how many requests may leave at one instant, when none has left for long."""
    limits = [limit for name, limit in _by_name(life).items() if name in {"*", action}]
    return min((limit.requests for limit in limits if isinstance(limit, smm.RateLimit)), default=10**6)


def listen(life, transport):
    """Note when the client has read that it is to wait."""
    if life.knobs.rate_limit is None:
        return
    send, send_write = transport.send, transport.send_write

    async def listened(question, *args, **options):
        reply = await (send_write if args else send)(question, *args, **options)
        if reply.status_code == 429 and reply.retry_after is not None:
            life.told_to_wait.append((anyio.current_time(), question.action, reply.retry_after))
        return reply

    transport.send = transport.send_write = listened


def check(life):
    """Check that no more came to the panel than it allows, and nothing while it wanted to be left alone."""
    named = _by_name(life)
    received = sorted((one.at, one.action) for one in life.world.received)
    for name, limit in named.items():
        times = [at for at, action in received if name in {"*", action}]
        if isinstance(limit, Turns):
            if len(times) > limit.given:
                life.wrong(f"I15 {len(times)} requests for {name!r}, for {limit.given} turns")
        elif any(later - at < limit.per - _SLACK for at, later in zip(times, times[limit.requests :], strict=False)):
            life.wrong(f"I15 more than {limit.requests} requests for {name!r} within {limit.per:g} seconds")
    for told_at, about, seconds in life.told_to_wait:
        until = told_at + min(seconds, life.knobs.budget)
        for at, action in received:
            if told_at + _SLACK < at < until - _SLACK and (action == about or about not in named):
                life.wrong(f"I15 asked in a pause for {about}: {action}")

"""Gives hostile answers to a client, one call after the other, and collects what is wrong with the outcomes."""

import contextlib
import gc
import json
import logging
import sys
import time
import unittest.mock
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import anyio
import anyio.lowlevel
import anyio.to_thread
import attrs
import httpx

import smm_async as smm
from tests.hostile_corpus import Hostile, body_at
from tests.hostile_judge import EACH, KEY, Truth, complaints

PANEL = smm.Panel("https://panel.example/api/v2")
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
CALLS = {
    "status": lambda client: client.status(1),
    "statuses": lambda client: client.statuses(EACH["statuses"]),
    "hundred": lambda client: client.statuses(EACH["hundred"]),
    "balance": lambda client: client.balance(),
    "services": lambda client: client.services(),
    "products": lambda client: client.products(),
    "refill_status": lambda client: client.refill_status(1),
    "add": lambda client: client.add(ORDER),
    "refill": lambda client: client.refill(1),
    "cancel": lambda client: client.cancel(1),
    "cancels": lambda client: client.cancels(EACH["cancels"]),
    "call": lambda client: client.call("anything"),
}
USUAL = tuple(name for name in CALLS if name != "hundred")
SMALL = Hostile("a small refusal", b'{"error": "Incorrect order ID"}')
LONGEST = 0.1
"""Seconds of the loop's own time that one answer may take,"""
REFERENCE = 0.02
"""where reading some numbers takes so many. On a slower machine, everything may take longer."""


class HostileTransport(httpx.AsyncBaseTransport):
    """Answers every request with the same body, and measures how long the loop's thread works at each answer."""

    def __init__(self, *, once=False):
        self._once = once
        self._began = None
        self.begin(SMALL)

    def begin(self, hostile):
        """Answer with ``hostile`` from now on, or only the next request if it is to come once."""
        self._hostile, self.requests, self.slowest = hostile, 0, 0.0

    async def handle_async_request(self, request):
        async for _ in request.stream:
            pass
        self.end()
        self.requests += 1
        hostile = SMALL if self._once and self.requests > 1 else self._hostile
        self._began = time.thread_time()
        return httpx.Response(hostile.status_code, headers=[*hostile.headers], stream=_Pieces(hostile))

    def end(self):
        """End the time of the last answer."""
        if self._began is not None:
            self.slowest = max(self.slowest, time.thread_time() - self._began)
        self._began = None


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, hostile):
        self._hostile = hostile

    async def __aiter__(self):
        content, size = self._hostile.content, self._hostile.piece
        for start in range(0, len(content), size):
            yield content[start : start + size]


@attrs.define
class Findings:
    """What came of all answers."""

    given: int = 0
    outcomes: Counter[str] = attrs.field(factory=Counter)
    failures: list[str] = attrs.field(factory=list)
    slowest: tuple[float, str] = (0.0, "nothing")

    def add(self, other):
        """Take in what another run found."""
        self.given += other.given
        self.outcomes += other.outcomes
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)


class Trial:
    """A client that answers are given to; a new one whenever it has learned something about its panel."""

    def __init__(self, *, once=False):
        self.findings = Findings()
        self._transport = HostileTransport(once=once)
        self._client = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self._renew()

    async def _renew(self):
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def give(self, hostile, calls=USUAL):
        """Answer each call with ``hostile``."""
        self.findings.given += 1
        truth = Truth(hostile)
        for call in calls:
            outcome = await self.ask(hostile, call)
            wrong = [*complaints(truth, call, outcome, self._transport.requests)]
            seconds = await self._least_time(hostile, call)
            if seconds > LONGEST:
                wrong.append(f"the loop worked {seconds * 1000:.0f} ms at it")
            self.findings.slowest = max(self.findings.slowest, (seconds, f"{call}: {hostile.name}"))
            self.findings.failures += [f"{call}: {hostile.name}: {complaint}: {outcome!r:.200}" for complaint in wrong]
            results = outcome.values() if call in EACH and isinstance(outcome, dict) else [outcome]
            self.findings.outcomes.update(
                type(result).__name__ if isinstance(result, BaseException) else "a value" for result in results
            )

    async def ask(self, hostile, call):
        """Return what a call returns or raises when it is answered with ``hostile``; it must not take for ever."""
        if self._client is None or self._client.panel is not PANEL:
            await self._renew()
            # One request at a time, so that the time of each can be told apart.
            self._client = smm.Client(PANEL, key=KEY, transport=self._transport, max_in_flight=1)
        self._transport.begin(hostile)
        try:
            with anyio.fail_after(100.0):
                return await CALLS[call](self._client)
        except Exception as error:  # noqa: BLE001  whatever it is, it is judged
            return error
        finally:
            self._transport.end()

    async def _least_time(self, hostile, call):
        """Return the loop's seconds for the answer; if they are many, the least of three more times.

        These have the garbage collected before, and nobody who traces the program.
        """
        times = [self._transport.slowest]
        if times[0] > LONGEST:
            trace = sys.gettrace()
            sys.settrace(None)
            for _ in range(3):
                await self._renew()
                gc.collect()
                await self.ask(hostile, call)
                times.append(self._transport.slowest)
            times = [min(times) / max(1.0, _reference_time() / REFERENCE)]
            sys.settrace(trace)
        return times[0]


def _reference_time():
    """Return the seconds that reading many numbers, each of them by a call, takes on this machine."""
    numbers = b"[" + b"1e1," * 65_000 + b"1]"
    began = time.thread_time()
    json.loads(numbers, parse_float=lambda text: Decimal(text) if len(text) < 40 else None)
    return time.thread_time() - began


async def give_all(seed, numbers):
    """Give the bodies with these numbers to a client, and return the findings."""
    async with Trial() as trial:
        for number in numbers:
            await trial.give(body_at(seed, number))
    return trial.findings


async def _run_beside(call, *args, **_):
    await anyio.lowlevel.checkpoint()
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(call, *args).result()


def threads_in_step():
    """Return a context in which the loop stands still while a thread works for it: virtual time waits for no thread."""
    return unittest.mock.patch.object(anyio.to_thread, "run_sync", _run_beside)


class _ErrorLog(logging.Handler):
    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        self.texts.append(f"it was logged: {record.getMessage()}")


@contextlib.contextmanager
def strictly():
    """Turn warnings into errors, and yield a list of what is logged as an error."""
    log, handler = logging.getLogger("smm_async"), _ErrorLog()
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield handler.texts
    log.setLevel(logging.NOTSET)
    log.removeHandler(handler)

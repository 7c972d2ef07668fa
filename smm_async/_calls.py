"""Requests that are not merged: each runs in a task of the client's own, and its caller only waits."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import anyio
import attrs

from smm_async._backend import Waiter
from smm_async._host import TaskHost
from smm_async._limits import Limits
from smm_async._requests import Departure
from smm_async._secret import clear_frames
from smm_async._telemetry import Telemetry
from smm_async._transport import Gate
from smm_async._wire import Question
from smm_async.errors import ClosedError, NoAnswerError, NotSentError, OutcomeUnknownError, SmmError
from smm_async.models import Unsettled

__all__ = ["Call", "Calls"]

Job: TypeAlias = "Callable[[Call], Awaitable[Any]]"

_LOG: Final = logging.getLogger("smm_async")
_MISSING: Final = object()


@attrs.define(eq=False)
class Call:
    """One request: who waits for it, and how far it has come."""

    question: Question
    waiter: Waiter
    is_write: bool
    budget: float
    departure: Departure = attrs.field(factory=Departure)
    ref: str | None = None
    is_begun: bool = False
    is_wanted: bool = True
    """Whether the caller still waits."""
    has_ended: bool = False
    outcome: Any = None
    """What came of it, once it has ended; ``None`` may be an answer."""

    @property
    def is_on_its_way(self) -> bool:
        """Whether it is a write that the panel may have got, and that has not ended."""
        return self.is_write and not self.has_ended and self.departure.may_have_left

    def as_unsettled(self) -> Unsettled:
        """Return what is known of a write, without all else that it needed."""
        return Unsettled(self.question.action, self.question.fields, self.ref, self.outcome)

    def answer(self, outcome: object) -> None:
        """Wake the caller, if it still waits."""
        if self.is_wanted and not self.waiter.done():
            self.waiter.set_result(outcome)


class Calls:
    """All calls of one client that have not ended, and the writes that ended after their callers had left."""

    def __init__(self, host: TaskHost, gate: Gate | Limits, grace: float, telemetry: Telemetry) -> None:
        self._host = host
        self._telemetry = telemetry
        self._gate = gate
        self._grace = grace
        self._open: set[Call] = set()
        self._left_behind: list[Unsettled] = []
        self._ended: anyio.Event | None = None

    def start(self, question: Question, job: Job, *, is_write: bool, budget: float) -> Call:
        """Have ``job`` done when a place in the gate is free, and return where its outcome will be.

        Raises:
            ClosedError: the client is closed.
        """
        loop = self._host.loop_here()
        job = self._telemetry.carry(job, loop.now)
        call = Call(question, loop.make_waiter(), is_write, budget)
        self._open.add(call)
        self._host.start_soon(self._perform, call, job, loop.now() + budget)
        return call

    async def result(self, calls: Sequence[Call], call: Call) -> Any:
        """Wait for the outcome of ``call``, an error among it.

        A caller that is cancelled wants none of ``calls``: those that have not left never will.
        """
        try:
            return await call.waiter
        except BaseException:
            for one in calls:
                one.is_wanted = False
                one.departure.stop()
                if one.has_ended and one.is_write and one.departure.may_have_left:
                    self._left_behind.append(one.as_unsettled())
            raise

    def unsettled(self) -> list[Unsettled]:
        """Return the writes on their way, and those whose outcome nobody was there to take."""
        return [*self._left_behind, *(call.as_unsettled() for call in self._open if call.is_on_its_way)]

    async def _perform(self, call: Call, job: Job, deadline: float) -> None:
        outcome: Any = _MISSING
        try:
            with anyio.CancelScope(deadline=deadline):
                async with self._gate.at(call.question.action):
                    outcome = await self._begin(call, job)
        except Exception as error:  # noqa: BLE001  whatever it is, the caller must hear of it
            outcome = self._failed(call, error)
        except GeneratorExit:
            # Thrown away with its dead loop, on which nobody can be woken.
            call.is_wanted = False
            raise
        finally:
            self._end(call, self._late(call) if outcome is _MISSING else outcome)

    async def _begin(self, call: Call, job: Job) -> Any:
        # Whoever left before its turn has not asked.
        if not call.is_wanted or call.waiter.done():
            return _MISSING
        call.is_begun = True
        return await job(call)

    def _end(self, call: Call, outcome: Any) -> None:
        if call.has_ended:
            # Given up with its loop before.
            return
        call.has_ended, call.outcome = True, outcome
        self._open.discard(call)
        if call.is_write and call.departure.may_have_left and not call.is_wanted:
            self._left_behind.append(call.as_unsettled())
        call.answer(outcome)
        if self._ended is not None:
            self._ended.set()
            self._ended = None
        # One that its dead loop throws away ends in the middle of anything, where the user's code is not to be called.
        if self._host.is_here:
            self._telemetry.note_write(call.question, call.departure, call.ref, outcome)

    def _failed(self, call: Call, error: Exception) -> Exception:
        """Return what an exception means that nobody expected: after a write has left, never that it did not."""
        clear_frames(error)
        if not call.is_on_its_way:
            return error
        _LOG.error("What became of %r was lost to an error.", call.question.action, exc_info=error)
        return self._unknown(call, f"{type(error).__name__} while its answer was read")

    def _unknown(self, call: Call, why: str) -> OutcomeUnknownError:
        action = call.question.action
        error = OutcomeUnknownError(f"Whether {action!r} was carried out is not known: {why}.", action=action)
        error.ref = call.ref
        return error

    def _late(self, call: Call) -> SmmError:
        action, seconds = call.question.action, f"{call.budget:g} seconds"
        if call.is_on_its_way:
            return self._unknown(call, "no answer in time")
        if self._host.is_closed:
            return ClosedError(f"Closed before {action!r} was sent.", action=action)
        if call.is_begun and not call.is_write:
            return NoAnswerError(f"No answer to {action!r} within {seconds}.", action=action)
        return NotSentError(f"{action!r} could not be sent within {seconds}.", action=action)

    def answer_closed(self) -> None:
        """Answer all who wait with `ClosedError`, but for writes on their way; the others will never leave."""
        for call in list(self._open):
            if not call.is_on_its_way:
                call.departure.stop()
                call.answer(ClosedError("Closed before the answer came.", action=call.question.action))

    def forget(self) -> None:
        """Drop the calls of an event loop that has ended, but remember the writes that were on their way."""
        for call in self._open:
            if call.is_on_its_way:
                call.outcome = self._unknown(call, "its event loop ended before an answer came")
                call.has_ended = True
                self._telemetry.note_write(call.question, call.departure, call.ref, call.outcome)
                self._left_behind.append(call.as_unsettled())
        self._open.clear()

    async def wait_for_writes(self) -> None:
        """Wait until no write is on its way, for as long as the grace time."""
        with anyio.move_on_after(self._grace):
            while any(call.is_on_its_way for call in self._open):
                # Several may wait for one event: the client can be closed by two tasks at once.
                if self._ended is None:
                    self._ended = anyio.Event()
                await self._ended.wait()

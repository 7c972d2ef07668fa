"""What all of a client's requests share: its tasks, its gate, its transport, and what a panel turned out to be like."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, cast

import anyio
import anyio.to_thread
import attrs

from smm_async import _wire
from smm_async._backend import Waiter
from smm_async._coalesce import Coalescer
from smm_async._decode import UnreadableError, make_converter
from smm_async._host import TaskHost
from smm_async._refusals import CONCERNS_ALL
from smm_async._retry import Retries
from smm_async._secret import Secret
from smm_async._tickets import own_copy
from smm_async._transport import AsyncTransport, Gate, Transport
from smm_async._wire import Question, Reader, Reply
from smm_async._writes import unknown
from smm_async.errors import (
    BadReplyError,
    ClosedError,
    NoAnswerError,
    NotSentError,
    OutcomeUnknownError,
    SmmError,
)
from smm_async.models import OrderStatus, ProductOrderStatus, RefillStatus
from smm_async.panels import Panel

__all__ = ["SMALL", "Exchange"]

T = TypeVar("T")

_LOG: Final = logging.getLogger("smm_async")

SMALL: Final = 16 * 1024
"""The most bytes an answer about one thing may have."""
_BATCH: Final = 256 * 1024
_CATALOGUE: Final = 16 * 1024 * 1024
# Decoding a larger body holds up the event loop for longer than handing it to a thread takes.
_TO_THREAD: Final = 64 * 1024

_RECORDS: Final = {
    "status": OrderStatus,
    "refill_status": RefillStatus,
    "product_order_status": ProductOrderStatus,
}


@attrs.define(eq=False)
class _Call:
    """One request that is not merged: who waits for it, and how far it has come."""

    waiter: Waiter
    is_write: bool
    is_sent: bool = False
    is_wanted: bool = True

    def answer(self, outcome: object) -> None:
        if not self.waiter.done():
            self.waiter.set_result(outcome)


class Exchange:
    """Asks one panel, with one key, from tasks of its own."""

    def __init__(
        self,
        panel: Panel,
        key: Secret,
        *,
        transport: AsyncTransport | None,
        max_in_flight: int,
        budget: float,
        max_delay: float,
        grace: float,
    ) -> None:
        self.panel = panel
        self.host = TaskHost("client")
        self.reader = Reader.for_panel(panel, key.redact)
        self.converter = make_converter(panel)
        self._transport = Transport(panel, key, transport)
        self._gate = Gate(max_in_flight)
        self._retries = Retries()
        self._budget = budget
        self._grace = grace
        self._calls: set[_Call] = set()
        self._settled: anyio.Event | None = None
        self._coalescers = {
            action: self._coalescer(action, max_in_flight, max_delay) for action in _RECORDS if action in panel.actions
        }
        self.host.at_end(self._end)

    def _coalescer(self, action: str, max_in_flight: int, max_delay: float) -> Coalescer[str, Any]:
        return Coalescer(
            functools.partial(self._fetch, action),
            max_batch=self.panel.batch_limit if self.panel.actions[action].many else 1,
            max_in_flight=max_in_flight,
            max_delay=max_delay,
            budget=self._budget,
            shared_errors=CONCERNS_ALL,
            gate=self._gate,
            _host=self.host,
        )

    def lookups(self, action: str) -> Coalescer[str, Any]:
        """Return what merges the lookups of ``action``.

        Raises:
            UnsupportedActionError: the panel documents no such action.
        """
        _wire.documented(self.panel, action)
        return self._coalescers[action]

    async def aclose(self) -> None:
        """Answer everybody, give writes on their way a grace time, and close the connections."""
        await self.host.aclose(before=self._wait_for_writes, after=self._transport.aclose)

    async def _fetch(self, action: str, ids: list[str]) -> dict[str, Any]:
        answers = await self._retries.read(functools.partial(self._look_up, action, ids))
        if isinstance(answers, SmmError):
            raise answers
        return answers

    async def _look_up(self, action: str, ids: Sequence[str]) -> dict[str, Any] | SmmError:
        reply = await self._send(_wire.ask_for(self.panel, action, ids), _BATCH)
        if isinstance(reply, SmmError):
            return reply
        rows = self.reader.read_lookup(action, ids, reply)
        if isinstance(rows, SmmError):
            return rows
        record = _RECORDS[action]
        return {id_: self._decode(action, record, row, reply) for id_, row in rows.items()}

    def _decode(self, action: str, record: type[Any], row: Any, reply: Reply) -> Any:
        if isinstance(row, SmmError):
            return row
        try:
            return self.converter.structure(row, record)
        except UnreadableError as problem:
            complaint = str(problem)
        code = reply.status_code
        return BadReplyError(
            f"A row of {action!r} is not usable: {complaint}.",
            action=action,
            status_code=code,
        )

    def structure_all(self, action: str, record: type[T], rows: Sequence[Any]) -> list[T]:
        """Return the rows as records, passing over those that are none, with a warning in the log."""
        records: list[T] = []
        skipped = 0
        for row in rows:
            try:
                records.append(self.converter.structure(row, record))
            except (UnreadableError, TypeError):
                skipped += 1
        if skipped:
            _LOG.warning(
                "%d of %d rows of %r are not usable and were passed over.",
                skipped,
                len(rows),
                action,
            )
        return records

    async def _send(self, question: Question, limit: int) -> Reply | SmmError:
        try:
            return await self._transport.send(question, limit=limit)
        except SmmError as error:
            return error

    async def read(
        self,
        question: Question,
        read: Callable[[Reply], T | SmmError],
        *,
        is_long: bool = False,
    ) -> T:
        """Return what ``read`` makes of the answer; asks again as `Retries` allows.

        Raises:
            SmmError: what ``read`` found, or what kept the answer from coming within the budget.
        """

        async def attempt() -> T | SmmError:
            reply = await self._send(question, _CATALOGUE if is_long else SMALL)
            if isinstance(reply, SmmError):
                return reply
            if len(reply.body) > _TO_THREAD:
                return await anyio.to_thread.run_sync(read, reply)
            return read(reply)

        call = self._start(question, functools.partial(self._retries.read, attempt), is_write=False)
        return cast("T", await self._outcome([call], call))

    async def write(self, questions: Sequence[Question], read: Callable[[int, Reply], Any]) -> list[Any]:
        """Send each question once, at most, and return what ``read`` makes of the answers, errors among it.

        ``read`` gets the place of the question in ``questions``, and the reply. If the caller is cancelled, what was
        not begun is not sent any more; what was begun goes on to its own end.

        Raises:
            ClosedError: nothing of it was sent.
        """
        calls = [
            self._start(
                question,
                functools.partial(self._write_once, question, functools.partial(read, place)),
            )
            for place, question in enumerate(questions)
        ]
        return [await self._result(calls, call) for call in calls]

    async def _write_once(self, question: Question, read: Callable[[Reply], Any]) -> Any:
        reply = await self._send(question, _BATCH)
        if isinstance(reply, NotSentError):
            return reply
        return unknown(question.action, reply) if isinstance(reply, SmmError) else read(reply)

    def _start(
        self,
        question: Question,
        job: Callable[[], Awaitable[Any]],
        *,
        is_write: bool = True,
    ) -> _Call:
        loop = self.host.loop_here()
        call = _Call(loop.make_waiter(), is_write)
        self._calls.add(call)
        self.host.start_soon(self._perform, call, question, job, loop.now() + self._budget)
        return call

    async def _result(self, calls: Sequence[_Call], call: _Call) -> Any:
        try:
            return await call.waiter
        except BaseException:
            for one in calls:
                one.is_wanted = False
            raise

    async def _outcome(self, calls: Sequence[_Call], call: _Call) -> Any:
        result = await self._result(calls, call)
        if isinstance(result, Exception):
            raise own_copy(result)
        return result

    async def _perform(
        self,
        call: _Call,
        question: Question,
        job: Callable[[], Awaitable[Any]],
        deadline: float,
    ) -> None:
        outcome: object = None
        try:
            with anyio.CancelScope(deadline=deadline):
                async with self._gate:
                    # Whoever left before its turn has not asked.
                    if call.is_wanted and not call.waiter.done():
                        call.is_sent = True
                        outcome = await job()
        except Exception as error:  # noqa: BLE001  whatever it is, the caller must hear of it
            outcome = error
        finally:
            self._calls.discard(call)
            call.answer(self._late(call, question) if outcome is None else outcome)
            if self._settled is not None:
                self._settled.set()

    def _late(self, call: _Call, question: Question) -> SmmError:
        action, seconds = question.action, f"{self._budget:g} seconds"
        if self.host.is_closed and not call.is_sent:
            return ClosedError(f"Closed before {action!r} was sent.", action=action)
        if not call.is_sent:
            return NotSentError(f"No slot was free for {action!r} within {seconds}.", action=action)
        if not call.is_write:
            return NoAnswerError(f"No answer to {action!r} within {seconds}.", action=action)
        message = f"Whether {action!r} was carried out is not known: no answer in time."
        return OutcomeUnknownError(message, action=action)

    def _end(self) -> None:
        """Answer all who wait, but for writes on their way; if their loop has ended, forget what it held."""
        for call in list(self._calls):
            if not (call.is_write and call.is_sent):
                call.answer(ClosedError("Closed before the answer came."))
        if not self.host.is_closed:
            self._calls.clear()
            self._gate.reset()
            self._transport.forget()

    async def _wait_for_writes(self) -> None:
        with anyio.move_on_after(self._grace):
            while any(call.is_write and call.is_sent for call in self._calls):
                self._settled = anyio.Event()
                await self._settled.wait()

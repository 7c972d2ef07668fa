"""What all of a client's requests share: its tasks, its gate, its transport, and what a panel turned out to be like."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

import anyio
import anyio.to_thread
import attrs

from smm_async import _wire
from smm_async._askers import AskersCoalescer
from smm_async._calls import Call, Calls, Job
from smm_async._coalesce import Coalescer
from smm_async._decode import UnreadableError, make_converter, make_shortcut
from smm_async._errands import one_request
from smm_async._host import TaskHost
from smm_async._ledger import Ledger
from smm_async._limits import LimitedTransport, Limits, Rates
from smm_async._plurals import PluralForm
from smm_async._refusals import CONCERNS_ALL
from smm_async._retry import Retries
from smm_async._secret import Secret, clear_frames
from smm_async._telemetry import Telemetry, WatchedTransport
from smm_async._tickets import own_copy
from smm_async._transport import AsyncTransport, Gate, Sender, Transport
from smm_async._wire import Question, Reader, Reply, no_shortcut
from smm_async._writes import unknown
from smm_async.errors import (
    BadReplyError,
    NotSentError,
    SmmError,
)
from smm_async.events import Explanation, Hook, Stats
from smm_async.journal import Journal
from smm_async.models import Balance, OrderId, OrderStatus, ProductOrderStatus, RefillStatus, Unsettled
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
        write_budget: float,
        grace: float,
        journal: Journal | None,
        rate_limit: Rates | None,
        on_event: Hook | None,
    ) -> None:
        self.panel = panel
        self.host = TaskHost("client")
        self.reader = Reader.for_panel(panel, key.redact)
        self.converter = make_converter(panel)
        self._shortcut = make_shortcut(panel)
        self._transport = Transport(panel, key, transport)
        self._telemetry = Telemetry(panel.method, on_event)
        self._sender: Sender = WatchedTransport(self._transport, self._telemetry)
        self._gate: Gate | Limits = Gate(max_in_flight)
        if rate_limit is not None:
            self._gate = Limits(rate_limit, panel, self._gate, longest_pause=budget)
            self._sender = LimitedTransport(self._gate, self._sender)
        self._retries = Retries()
        self._budget = budget
        self._write_budget = write_budget
        self._calls = Calls(self.host, self._gate, grace, self._telemetry)
        self._ledger = Ledger(journal)
        self._coalescers = {
            action: self._coalescer(action, max_in_flight, max_delay) for action in _RECORDS if action in panel.actions
        }
        self._plurals = {
            action: PluralForm(functools.partial(self._look_up, action), coalescer.max_batch)
            for action, coalescer in self._coalescers.items()
        }
        self.host.at_end(self._end)

    def _coalescer(self, action: str, max_in_flight: int, max_delay: float) -> Coalescer[str, Any]:
        telemetry = self._telemetry
        make: Callable[..., Coalescer[str, Any]] = Coalescer
        if telemetry.teller.captures:
            make = functools.partial(AskersCoalescer[str, Any], note_asker=telemetry.teller.note_asker)
        return make(
            functools.partial(self._fetch, action),
            max_batch=self.panel.batch_limit if self.panel.actions[action].many else 1,
            max_in_flight=max_in_flight,
            max_delay=max_delay,
            budget=self._budget,
            shared_errors=CONCERNS_ALL,
            gate=self._gate.at(action),
            _host=self.host,
            _on_take=telemetry.note_batch,
        )

    def lookups(self, action: str) -> Coalescer[str, Any]:
        """Return what merges the lookups of ``action``.

        Raises:
            UnsupportedActionError: the panel documents no such action.
        """
        if action not in self._coalescers:
            _wire.documented(self.panel, action)
        return self._coalescers[action]

    def unsettled(self) -> list[Unsettled]:
        """Return the writes on their way, and those whose outcome nobody was there to take."""
        return self._calls.unsettled()

    def stats(self) -> Stats:
        """Return what was counted until now."""
        return self._telemetry.tally.stats(self._coalescers.values())

    def explain(self) -> Explanation:
        """Return the last requests, and why each was sent."""
        return self._telemetry.explain()

    async def aclose(self) -> None:
        """Answer everybody, give writes on their way a grace time, and close the connections."""
        await self.host.aclose(before=self._calls.wait_for_writes, after=self._transport.aclose)

    async def _fetch(self, action: str, ids: list[str]) -> dict[str, Any]:
        try:
            answers = await self._retries.read(functools.partial(self._look_up, action, ids))
            if not isinstance(answers, SmmError):
                answers = await self._plurals[action].settle(ids, answers)
                self._learn(action, self._plurals[action].limit)
        except Exception as error:
            # A bug: what the server said may stand in its frames.
            clear_frames(error)
            raise
        if isinstance(answers, SmmError):
            raise answers
        return answers

    def _learn(self, action: str, limit: int) -> None:
        """Ask for no more ids at once than the panel was seen to answer, and have `panel` show it."""
        coalescer = self._coalescers[action]
        if limit >= coalescer.max_batch:
            return
        coalescer.max_batch = limit
        if limit > 1:
            self.panel = attrs.evolve(self.panel, batch_limit=min(limit, self.panel.batch_limit))
        else:
            only_one = attrs.evolve(self.panel.actions[action], many=None)
            self.panel = attrs.evolve(self.panel, actions={**self.panel.actions, action: only_one})
        _LOG.info("%s answers %d ids of %r at once.", self.panel.url, limit, action)

    @one_request
    async def _look_up(self, action: str, ids: Sequence[str]) -> dict[str, Any] | SmmError:
        if len(ids) > 1 and self.panel.actions[action].many is None:
            # Another batch taught it while this one was on its way: as if the panel had not understood.
            return {}
        reply = await self._send(_wire.ask_for(self.panel, action, ids), _BATCH)
        if isinstance(reply, SmmError):
            return reply
        shortcut = self._shortcut if action == "status" else no_shortcut
        rows = await _beside(reply, lambda reply: self.reader.read_lookup(action, ids, reply, shortcut))
        if isinstance(rows, SmmError):
            return rows
        if not rows and len(ids) > 1:
            plural = self._plurals[action]
            plural.limit = min(plural.limit, self.reader.limit_in(action, reply) or plural.limit)
        record = _RECORDS[action]
        for id_, row in rows.items():
            if type(row) is dict:
                rows[id_] = self._decode(action, record, row, reply)
        return rows

    def _decode(self, action: str, record: type[Any], row: Any, reply: Reply) -> Any:
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
            return await self._sender.send(question, limit=limit)
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
        limit = _CATALOGUE if is_long else SMALL

        async def repeatedly(_: Call) -> T | SmmError:
            return await self._retries.read(functools.partial(self._read_once, question, limit, read))

        call = self._calls.start(question, repeatedly, is_write=False, budget=self._budget)
        outcome = await self._calls.result([call], call)
        if isinstance(outcome, Exception):
            raise own_copy(outcome)
        return cast("T", outcome)

    @one_request
    async def _read_once(self, question: Question, limit: int, read: Callable[[Reply], T | SmmError]) -> T | SmmError:
        reply = await self._send(question, limit)
        return reply if isinstance(reply, SmmError) else await _beside(reply, read)

    async def write(self, questions: Sequence[Question], read: Callable[[int, Reply], Any]) -> list[Any]:
        """Send each question once, at most, and return what ``read`` makes of the answers, errors among it.

        ``read`` gets the place of the question in ``questions``, and the reply. If the caller is cancelled, what has
        not left is not sent any more; what has left goes on to its own end.

        Raises:
            ClosedError: nothing of it was sent.
        """

        def job_for(place: int) -> Job:
            return lambda call: self._write_once(call, functools.partial(read, place))

        calls = [
            self._calls.start(question, job_for(place), is_write=True, budget=self._write_budget)
            for place, question in enumerate(questions)
        ]
        return [await self._calls.result(calls, call) for call in calls]

    async def place(self, question: Question, ref: str | None, read: Callable[[Reply], Any]) -> Any:
        """Send an order once, at most, written down in the journal before and after, and return what came of it."""

        async def place_once(call: Call) -> Any:
            outcome = await self._ledger.place(call, ref, lambda: self._write_once(call, read), self._ask_balance)
            if call.departure.may_have_left and isinstance(outcome, str):
                self._telemetry.note_order(question.action, OrderId(outcome), call.ref)
            return outcome

        call = self._calls.start(question, place_once, is_write=True, budget=self._write_budget)
        return await self._calls.result([call], call)

    @one_request
    async def _ask_balance(self) -> Decimal | None:
        # Evidence must not use up the time that the order itself needs.
        with anyio.move_on_after(min(5.0, self._write_budget / 4)):
            reply = await self._send(_wire.ask(self.panel, "balance"), SMALL)
            balance = reply if isinstance(reply, SmmError) else self.read_balance(reply)
            return None if isinstance(balance, SmmError) else balance.balance
        return None

    def read_balance(self, reply: Reply) -> Balance | SmmError:
        """Return the balance in an answer, which may be a bare number, or the error it is instead."""
        answer = self.reader.read_value("balance", reply)
        if isinstance(answer, SmmError):
            return answer
        # An amount beside an error is none, and a wrong key not a balance of 0.
        is_failure = isinstance(answer, dict) or reply.status_code >= 400  # noqa: PLR2004  "404" is a number, too
        refusal = self.reader.refusal("balance", answer, reply) if is_failure else None
        if refusal is not None:
            return refusal
        value = _wire.unwrap(answer)
        try:
            return self.converter.structure(_wire.balance_row(value), Balance)
        except (UnreadableError, TypeError):
            pass
        return self.reader.refusal("balance", value, reply) or self.reader.bad_shape("balance", reply)

    @one_request
    async def _write_once(self, call: Call, read: Callable[[Reply], Any]) -> Any:
        question = call.question
        try:
            reply = await self._sender.send_write(question, call.departure, limit=_BATCH)
        except NotSentError as error:
            return error
        except SmmError as error:
            return unknown(question.action, error)
        # What became of a write is worth waiting for, even if its budget ends meanwhile.
        return await _beside(reply, read, is_left=False)

    def _end(self) -> None:
        """Answer all who wait, but for writes on their way; if their loop has ended, forget what it held."""
        if self.host.is_here:
            self._calls.answer_closed()
        if not self.host.is_closed:
            self._calls.forget()
            self._gate.reset()
            self._transport.forget()


async def _beside(reply: Reply, read: Callable[[Reply], T], *, is_left: bool = True) -> T:
    """Return what ``read`` makes of ``reply``, a long one in a thread, which is left to itself when the budget ends."""
    if len(reply.body) <= _TO_THREAD:
        return read(reply)
    return await anyio.to_thread.run_sync(read, reply, abandon_on_cancel=is_left)

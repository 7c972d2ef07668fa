"""Merge concurrent lookups of single keys into batches.

State changes only in functions that do not wait; the coroutines around them only wait. A *slot* is a task that sends
one batch at a time. At most one idle slot is *on watch*: it sends the next batch when the time for it has come.
"""

from __future__ import annotations

import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from itertools import islice
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

import anyio
import anyio.lowlevel

from smm_async._async_stream import make_stream
from smm_async._backend import Loop, Waiter
from smm_async._bounds import check_seconds, check_whole
from smm_async._host import TaskHost
from smm_async._reasons import Reason
from smm_async._sentry import Sentry
from smm_async._stream import Desk, Stream
from smm_async._tickets import (
    Batch,
    Crowd,
    Queue,
    Ticket,
    answer,
    answer_all,
    answer_entry,
    own_copy,
)
from smm_async.errors import ClosedError, NoAnswerError, UnresolvedError

__all__ = ["Coalescer"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MISSING: Final = object()
# How much the newest response time counts in the smoothed one, as TCP has it.
_SMOOTHING: Final = 1 / 8
# How much longer a batch waits for its turn that is more than half full: it may become full. If parts of batches left in
# each turn, they would keep all slots busy, and have everybody wait for one slow answer.
_STRETCH: Final = 1.25


class Coalescer(Generic[K, V]):
    """Merges concurrent `get()` calls into few calls of ``fetch``, each for at most ``max_batch`` keys.

    A key that a batch's answer leaves out is fetched once more, alone. What ``fetch`` raises goes to every caller of
    that batch. No caller's cancellation reaches ``fetch`` or another caller; a key is not fetched when all its
    callers have left before. Nothing is cached: a caller never gets an answer to a question asked before its own.

    Use it with ``async with``, on asyncio or trio, on one event loop at a time.
    """

    def __init__(
        self,
        fetch: Callable[[list[K]], Awaitable[Mapping[K, V | Exception]]],
        *,
        max_batch: int = 100,
        max_in_flight: int = 8,
        max_delay: float = 0.0,
        budget: float | None = None,
        shared_errors: tuple[type[Exception], ...] = (),
        gate: AbstractAsyncContextManager[Any] | None = None,
        _host: TaskHost | None = None,
        _on_take: Callable[[Batch[K], Reason, float, int, Callable[[], float]], None] | None = None,
    ) -> None:
        """Do nothing yet: tasks start with the first lookup.

        Args:
            fetch: gets 1 to ``max_batch`` different keys and returns their values or exceptions by key.
            max_batch: at least 1.
            max_in_flight: how many calls of ``fetch`` may run at the same time, at least 1.
            max_delay: seconds that a batch may wait to become fuller, even if nothing else is going on.
            budget: seconds from a lookup's call to its end, queueing and repetition included. ``fetch`` sees the end
                of its youngest caller's budget as ``anyio.current_effective_deadline()``.
            shared_errors: what ``fetch`` raises of these classes answers everybody who is queued at that instant, too.
            gate: entered around each ``fetch``, before its keys are chosen; for what several coalescers share.
        """
        check_whole("max_batch", max_batch)
        check_whole("max_in_flight", max_in_flight)
        check_seconds("max_delay", max_delay, least=0.0)
        if budget is not None:
            check_seconds("budget", budget, least=1e-9)
        self._fetch = fetch
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._max_delay = max_delay
        self._budget = math.inf if budget is None else budget
        self._shared_errors = shared_errors
        self._gate: AbstractAsyncContextManager[Any] = nullcontext() if gate is None else gate
        self._host = TaskHost("coalescer") if _host is None else _host
        self._host.at_end(self._end)
        self._on_take = _on_take
        self._withdrawn = 0
        self._reset()

    def _reset(self) -> None:
        """Begin with nobody waiting and no task. All that changes is named here, but for the response time."""
        self._queue: Queue[K] = Queue()
        self._in_flight: set[Batch[K]] = set()
        self._streams: set[Stream] = set()
        self._slots = 0
        self._idle: list[Waiter] = []
        self._on_watch = False
        self._pacer: Waiter | None = None
        self._sentry = Sentry(self._host, self._queue, self._budget)
        self._forming_since = -math.inf
        self._sent_at = -math.inf
        self._response_time = 0.0

    @property
    def max_batch(self) -> int:
        """How many keys ``fetch`` may get at once. What is set here counts for all batches that are still to come."""
        return self._max_batch

    @max_batch.setter
    def max_batch(self, value: int) -> None:
        check_whole("max_batch", value)
        self._max_batch = value

    @property
    def waiting(self) -> int:
        """How many keys wait to be fetched."""
        return len(self._queue)

    @property
    def withdrawn(self) -> int:
        """How many lookups have ended without being fetched, most of them cancelled."""
        return self._withdrawn + self._queue.withdrawn

    async def __aenter__(self) -> Self:
        """Return the coalescer itself.

        Raises:
            ClosedError: if it was closed.
        """
        self._host.loop_here()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Answer everybody who waits with `ClosedError`, at that instant, and end all tasks. Harmless when repeated."""
        await self._host.aclose()

    async def get(self, key: K) -> V:
        """Return the value of ``key``, asked for after this call began.

        Raises:
            NotSentError: the budget ended while the lookup was queued.
            NoAnswerError: the budget ended before the answer came.
            UnresolvedError: ``fetch`` left the key out, even when asked for it alone.
            ClosedError: the coalescer is closed, or was while this waited.
            Exception: what ``fetch`` returned for this key, or raised; each caller gets an object of its own.
        """
        loop = self._host.loop_here()
        waiter = loop.make_waiter()
        ticket = self._join(key, waiter, loop)
        try:
            result: Any = await waiter
        except BaseException:
            self._queue.leave(ticket, key)
            raise
        if isinstance(result, Exception):
            raise result
        value: V = result
        return value

    async def get_many(self, keys: Iterable[K]) -> dict[K, V | Exception]:
        """Return the value or the exception of each key, in the order given; a key given twice is there once.

        They share batches with all other lookups. Not all are queued at once: each lookup's budget begins when its
        turn comes, and others are not kept waiting behind a long list.

        Raises:
            ClosedError: the coalescer is closed, or was while this waited.
        """
        results: dict[K, Any] = dict.fromkeys(keys, _MISSING)
        crowd = Crowd(self._host.loop_here(), results)
        _, most = self._sizes()
        # Too dear for one lookup, but a long list is not to be sent by somebody who is cancelled already.
        await anyio.lowlevel.checkpoint_if_cancelled()
        try:
            rest = iter(results)
            while crowd.stop is None and (chunk := list(islice(rest, most - len(crowd.open)))):
                self._join_all(chunk, crowd)
                await crowd.wait_until_left(most // 2)
            await crowd.wait_until_left(0)
        finally:
            for key, ticket in crowd.open.items():
                self._queue.leave(ticket, key)
            crowd.open.clear()
        if crowd.stop is not None:
            _share_out(crowd.stop, results)
        return results

    def stream(
        self,
        keys: Iterable[K] | AsyncIterable[K],
        *,
        _key_of: Callable[[Any], K] | None = None,
        _note_error: Callable[[Exception], bool] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[K, V | Exception]]]:
        """Ask for any number of keys, and yield each with its value or its exception, as the answers come.

        Use it as ``async with coalescer.stream(keys) as results: async for key, result in results: ...``. Memory is
        bounded: at most ``2 * max_batch * max_in_flight`` keys are taken from ``keys`` and not yet yielded, so a slow
        reader slows the asking. Batches are shared with all other lookups, and each lookup's budget begins when it
        is queued. A key that comes twice is yielded twice, and asked for once if both wait to be sent.

        Leaving the ``async with``, however that happens, withdraws at that instant what was not sent. So does
        cancelling the task while it waits for a result; if that ended only this wait, the next one asks again,
        and no result is lost. Only one task may read at a time.

        Args:
            keys: an iterable, which is read in the reader's task, or an async iterable, which is read in a task of the
                coalescer's with the reader's context variables; that task ends before the ``async with`` does. Either
                is read from the first result on. An async generator is closed on leaving, for it must be by the task
                that ran it; any other source is yours to close.

        Raises:
            ClosedError: the coalescer is closed, or was before all results had come.
            Exception: what ``fetch`` raised of ``shared_errors``, once, when every key that was taken has been yielded:
                those on their way with their results, those not sent with this error.
            Exception: what ``keys`` raised, or a `TypeError` for what cannot be a key, when everything before it has
                been yielded.
            RuntimeError: it was read after it was left, or by two tasks at once.
        """
        desk = Desk(
            host=self._host,
            join=lambda key, stream: self._join(key, stream, self._host.loop_here()),
            take_back=self._take_back,
            sizes=self._sizes,
            key_of=_key_of or _itself,
            note_error=_note_error or _concerns_one,
        )
        return self._open_stream(desk, keys)

    @asynccontextmanager
    async def _open_stream(
        self, desk: Desk, keys: Iterable[Any] | AsyncIterable[Any]
    ) -> AsyncGenerator[AsyncIterator[tuple[Any, Any]], None]:
        stream = make_stream(self._host.loop_here(), desk, keys)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            await stream.aclose()

    def _sizes(self) -> tuple[int, int]:
        """Return how many keys may go at once, and how many keys of one caller may wait."""
        return self._max_batch, 2 * self._max_batch * self._max_in_flight

    def _take_back(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Take out of the queue all tickets that are not on their way, and return them."""
        on_their_way = {id(ticket) for batch in self._in_flight for _, ticket in batch.places()}
        back = [ticket for ticket in tickets if id(ticket) not in on_their_way]
        for ticket in back:
            self._queue.leave(ticket, ticket[1])
        return back

    def _join(self, key: K, waiter: Waiter | Crowd, loop: Loop) -> Ticket:
        if self._max_delay:
            self._note_forming(loop)
        ticket = (loop.now() + self._budget, key, waiter)
        self._queue.join(ticket)
        self._look_after_queue(loop)
        return ticket

    def _join_all(self, keys: Iterable[K], crowd: Crowd) -> None:
        """Queue different keys of one caller, all in one go and with one ticket."""
        loop = self._host.loop_here()
        if self._max_delay:
            self._note_forming(loop)
        ticket = (loop.now() + self._budget, None, crowd)
        places = dict.fromkeys(keys, ticket)
        crowd.open.update(places)
        self._queue.join_all(places, ticket)
        self._look_after_queue(loop)

    def _note_forming(self, loop: Loop) -> None:
        """Note when a batch begins to form."""
        if not self._queue:
            self._forming_since = loop.now()

    def _look_after_queue(self, loop: Loop) -> None:
        """See to it that what is queued is sent, and that those who wait hear of the end of their budgets."""
        if self._sentry.is_off_duty:
            self._sentry.alert(loop)
        if not self._on_watch:
            self._rouse(loop)
        elif self._pacer is not None and self._queue.holds_batch(self._max_batch):
            self._hurry()

    def _rouse(self, loop: Loop) -> None:
        """Put one idle slot on watch, if there is something to send and none is."""
        if self._on_watch or not self._queue:
            return
        while self._idle:
            idle = self._idle.pop()
            # One that was cancelled from outside is no more there to be woken.
            if not idle.done():
                self._on_watch = True
                idle.set_result(None)
                return
        if self._slots < self._max_in_flight:
            self._on_watch = True
            self._slots += 1
            self._host.start_soon(self._serve, loop)

    def _hurry(self) -> None:
        """End the pause of the slot on watch, if it makes one."""
        if self._pacer is not None and not self._pacer.done():
            self._pacer.set_result(None)

    async def _serve(self, loop: Loop) -> None:
        """Send batches, one at a time, for ever: the life of a slot, which begins on watch."""
        while True:
            await self._pace(loop)
            await self._send(loop)
            if self._on_watch or not self._queue:
                self._idle.append(waiter := loop.make_waiter())
                await waiter
            self._on_watch = True

    async def _pace(self, loop: Loop) -> None:
        """Wait until the next batch may go."""
        while (pause := self._pause(loop.now())) > 0:
            self._pacer = loop.make_waiter()
            with anyio.move_on_after(pause):
                await self._pacer
            self._pacer = None

    def _pause(self, now: float) -> float:
        """Return how many seconds the batch that forms should still wait.

        A full one does not wait. Others go ``response time / slots`` apart: while the panel takes its time, this costs
        a fraction of it, fills the batches, and keeps the slots from falling into step.
        """
        if not self._queue or self._queue.holds_batch(self._max_batch):
            return 0.0
        return max(self._forming_since + self._max_delay, self._turn_of(len(self._queue))) - now

    def _turn_of(self, count: int) -> float:
        """Return when it is the turn of a batch with as many keys, which is not full."""
        if not self._in_flight:
            return -math.inf
        pace = self._response_time / self._max_in_flight
        return self._sent_at + (pace * _STRETCH if 2 * count > self._max_batch else pace)

    def _take(self, loop: Loop) -> Batch[K] | None:
        self._on_watch = False
        now = loop.now()
        self._sentry.expire(now)
        for stream in self._streams:
            # A cancelled reader is known here before its own task has run.
            # One that has nothing open has nothing to lay aside, and is cheap to pass over.
            if stream.open and stream.is_deserted:
                stream.lay_aside()
        batch = self._queue.take(self._max_batch)
        if batch is not None:
            if self._on_take is not None:
                asked_at = batch.oldest_deadline() - self._budget
                self._on_take(batch, self._reason(batch), asked_at, self._max_batch, loop.now)
            self._sent_at = self._forming_since = now
            self._in_flight.add(batch)
            self._rouse(loop)
        return batch

    def _reason(self, batch: Batch[K]) -> Reason:
        """Return why a batch leaves now, which is what `_pause()` found."""
        if batch.is_follow_up:
            return Reason.FOLLOW_UP
        if len(batch.entries) >= self._max_batch:
            return Reason.FULL
        if self._max_delay and self._forming_since + self._max_delay > self._turn_of(len(batch.entries)):
            return Reason.LINGERED
        return Reason.PACED if self._in_flight else Reason.IDLE

    async def _send(self, loop: Loop) -> None:
        batch = None
        try:
            async with self._gate:
                batch = self._take(loop)
                if batch is not None:
                    await self._ask(batch, loop)
        except Exception as error:  # noqa: BLE001  the gate's own: those that it keeps out must hear of it
            batch = batch or self._take(loop)
            if batch is not None:
                self._fail(batch, error)
                self._settle(batch)

    async def _ask(self, batch: Batch[K], loop: Loop) -> None:
        sent_at = loop.now()
        try:
            with anyio.CancelScope(deadline=batch.deadline) as scope:
                answers = await self._fetch(list(batch.entries))
                self._note_response_time(loop.now() - sent_at)
                self._hand_out(batch, answers)
            if scope.cancelled_caught:
                answer_all(batch.places(), self._sentry.too_late(), stop=False)
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  whatever it is, the callers must hear of it, and the slot lives on
            self._fail(batch, error if isinstance(error, Exception) else _interrupted(error))
        self._settle(batch)
        # If this task itself was cancelled, it ends here.
        await anyio.lowlevel.checkpoint_if_cancelled()

    def _note_response_time(self, seconds: float) -> None:
        weight = _SMOOTHING if self._response_time else 1.0
        self._response_time += weight * (seconds - self._response_time)

    def _settle(self, batch: Batch[K]) -> None:
        self._in_flight.discard(batch)
        self._queue.settle()
        if not self._in_flight or self._queue.holds_batch(self._max_batch):
            self._hurry()

    def _fail(self, batch: Batch[K], error: Exception) -> None:
        places = list(batch.places())
        if isinstance(error, self._shared_errors):
            places += self._queue.clear()
        answer_all(places, error, stop=isinstance(error, self._shared_errors))

    def _hand_out(self, batch: Batch[K], answers: Mapping[K, V | Exception]) -> None:
        if not isinstance(answers, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  it comes from the user
            message = f"fetch must return a mapping, not {type(answers).__name__}."
            raise TypeError(message)
        if batch.answer_plainly(answers):
            return
        for key, entry in batch.entries.items():
            result = answers.get(key, _MISSING)
            if type(entry) is tuple and result is not _MISSING and not isinstance(result, Exception):
                # Nearly always; what `answer_entry()` would do.
                answer(entry, key, result)
            elif result is not _MISSING:
                answer_entry(entry, key, result)
            elif len(batch.entries) > 1:
                self._queue.ask_alone(key, entry)
            else:
                answer_entry(entry, key, UnresolvedError(f"The answer says nothing about {key!r}."))

    def _end(self) -> None:
        """Answer everybody, for no task is left that would; if their loop has ended, nobody waits."""
        places = [place for batch in self._in_flight for place in batch.places()] + self._queue.clear()
        streams = self._streams
        self._withdrawn = self.withdrawn
        self._reset()
        if self._host.is_here:
            error = ClosedError("Closed before the answer came.")
            for stream in streams:
                stream.close(error)
            answer_all(places, error, stop=True)


def _itself(key: Any) -> Any:
    return key


def _concerns_one(_: Exception) -> bool:
    return False


def _interrupted(error: BaseException) -> NoAnswerError:
    """Return what the callers get when a request ended otherwise than by an exception: they were not cancelled."""
    return NoAnswerError(f"The request was ended by {type(error).__name__}.")


def _share_out(error: Exception, results: dict[Any, Any]) -> None:
    """Give what stopped the whole call to all keys that were not asked any more."""
    if isinstance(error, ClosedError):
        raise own_copy(error)
    for key, result in results.items():
        if result is _MISSING:
            results[key] = own_copy(error)

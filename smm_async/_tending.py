"""Looking up what is due at one panel: claim, ask, record, and again."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Final

import anyio
import anyio.abc
import attrs

from smm_async._asking import Client, ask_in_parts
from smm_async._calls_to_store import Calls, Wakeup
from smm_async._news import Answer, Health, count_errors, news_of, returned
from smm_async._recording import Recorder
from smm_async._reports import Change, Claimed, LookedUp, Paused, Slice
from smm_async._store import Claim, Due, News
from smm_async._tending_settings import Settings
from smm_async.errors import AccountError, ClosedError, InvalidKeyError, SmmError
from smm_async.models import OrderId, OrderStatus

__all__ = ["Tending"]

_LOG: Final = logging.getLogger("smm_async")

# While one claim is asked for, the next one is taken and the last one recorded.
_CLAIMS_AT_ONCE: Final = 3
# Workers that wait for the same order would otherwise all come at the same instant, and share one batch.
_SPREAD_SECONDS: Final = 0.25


class Tending:
    """Looks up what is due at one panel."""

    def __init__(self, name: str, client: Client, calls: Calls, settings: Settings, pace: float | None) -> None:
        self._name = name
        self._client = client
        self._calls = calls
        self._store = calls.store
        self._settings = settings
        self._interval = None if pace is None else 1 / pace
        self._health = Health()
        self._recorder = Recorder(name, calls, settings)
        self._is_stopping = False
        self._wakeup = Wakeup()

    def wake(self) -> None:
        """Look at once whether something is due."""
        self._wakeup.tell()

    def stop(self) -> None:
        """Claim nothing more."""
        self._is_stopping = True
        self.wake()

    async def work(self, until: float = math.inf) -> Slice:
        """Look up what is due until a moment of the event loop's clock, and finish what was begun then.

        Cancelled, what was claimed is given back.

        Raises:
            ClosedError: the client was closed.
        """
        work = _Work(until)
        async with anyio.create_task_group() as group:
            # Not here: what asyncio itself cancels, as its timeouts do, would lose what a thread has just claimed.
            group.start_soon(self._take_all, work, group)
        if work.failures:
            raise work.failures[0]
        # Only to see when something is due next: what was looked up meanwhile is due at other times than before.
        left = Claim() if until == math.inf else await self._claim(limit=0)
        return Slice(work.orders, work.ended, self._recorder.backoff() if left is None else left.wait)

    async def _take_all(self, work: _Work, group: anyio.abc.TaskGroup) -> None:
        try:
            while not self._is_over(work):
                await work.slots.acquire()
                await self._take(work, group)
        except Exception as error:  # noqa: BLE001  out of the group it would come in a group
            work.failures.append(error)
            group.cancel_scope.cancel()

    def _is_over(self, work: _Work) -> bool:
        return self._is_stopping or bool(work.failures) or anyio.current_time() >= work.until

    async def _take(self, work: _Work, group: anyio.abc.TaskGroup) -> None:
        """Begin with one claim; or wait until there may be one."""
        if self._is_over(work):
            work.slots.release()
            return
        alarm = self._wakeup.event
        # Asked now: what is on its way now is not due in the eyes of the store, but may be when it is recorded.
        is_alone = work.slots.value == _CLAIMS_AT_ONCE - 1
        claim = await self._claim()
        if claim is not None and claim.rows:
            group.start_soon(self._serve, claim, work)
        else:
            work.slots.release()
        if claim is None or claim.rows:
            # Where nothing can be recorded, more claims would only be lookups for nothing.
            if self._recorder.troubles:
                await self._sleep(self._recorder.backoff(), work, alarm)
            return
        is_far = claim.wait is None or anyio.current_time() + claim.wait >= work.until
        if is_alone and is_far and work.until != math.inf:
            # Nothing will be due in this slice any more.
            work.until = -math.inf
        else:
            await self._sleep(self._pause_before_next(claim), work, alarm)

    async def _claim(self, *, limit: int | None = None) -> Claim | None:
        """Return what was claimed; ``None`` if the store has failed."""
        settings, batch = self._settings, self._batch()
        requests = 1 if self._health.failures else self._requests_per_claim()
        try:
            claim = await self._calls.run(
                self._store.claim,
                self._name,
                limit=batch * requests if limit is None else limit,
                batch=batch,
                lease=settings.lease,
                ahead=settings.ahead,
                horizon=settings.horizon / 2,
            )
        except Exception as error:  # noqa: BLE001  a worker lives on, whatever the store says
            self._recorder.note_failed_claim(error)
            return None
        self._recorder.note_claim()
        return claim

    def _batch(self) -> int:
        panel = self._client.panel
        return panel.batch_limit if panel.actions["status"].many else 1

    def _requests_per_claim(self) -> int:
        requests = self._health.requests
        if self._interval is None:
            return requests
        # No more than a fourth of what may be reserved: other workers want to reserve, too.
        return max(1, min(requests, int(self._settings.horizon / 4 / self._interval)))

    def _pause_before_next(self, claim: Claim) -> float:
        spread = self._settings.rng.uniform(0.0, min(_SPREAD_SECONDS, self._settings.idle))
        wait = self._settings.idle if claim.wait is None else min(claim.wait, self._settings.idle)
        return wait + spread

    async def _sleep(self, seconds: float, work: _Work, alarm: anyio.Event) -> None:
        """Wait, until something is added here, something is done, or it is over."""
        with anyio.move_on_after(min(seconds, work.until - anyio.current_time())):
            await alarm.wait()

    async def _serve(self, claim: Claim, work: _Work) -> None:
        began_at = anyio.current_time()
        answers: Mapping[str, Answer] = {}
        changes: Sequence[Change] = ()
        self._settings.report(Claimed(self._name, len(claim.rows), claim.lag))
        try:
            answers = await self._look_up(claim.rows)
            changes = await self._write_down(claim.rows, answers)
        except anyio.get_cancelled_exc_class():
            await self._recorder.give_back(claim.rows)
            raise
        except ClosedError as error:
            work.failures.append(error)
            self.wake()
            await self._recorder.give_back(claim.rows)
        except Exception as error:  # noqa: BLE001  a bug: the rows come back by themselves
            self._recorder.note_trouble(error)
        finally:
            work.slots.release()
            if work.until != math.inf:
                self.wake()
        ended = sum(change.end is not None for change in changes)
        work.orders += len(answers)
        work.ended += ended
        self._settings.report(
            LookedUp(
                panel=self._name,
                claimed=len(claim.rows),
                orders=len(answers),
                requests=-(-len(answers) // self._batch()),
                seconds=anyio.current_time() - began_at,
                changed=len(changes),
                ended=ended,
                errors=count_errors(answers),
            )
        )

    async def _look_up(self, rows: Sequence[Due]) -> Mapping[str, Answer]:
        """Return the answers by order, none where they must not be touched."""
        orders = [row.order for row in rows]
        try:
            answers = await self._ask(orders)
        except (InvalidKeyError, AccountError) as error:
            await self._pause(self._health.refused(), error)
            return {}
        if not answers:
            # There was no turn for them: that says nothing about the panel.
            return {}
        answers = self._read(answers)
        errors = [answer for answer in answers.values() if isinstance(answer, SmmError)]
        seconds = self._health.pause(list(answers.values()))
        if seconds:
            await self._pause(seconds, errors[-1])
        return answers

    def _read(self, answers: Mapping[str, Answer]) -> Mapping[str, Answer]:
        doubts = self._health.doubts
        answers = self._health.read(answers)
        if self._health.doubts and not doubts:
            _LOG.warning(
                "Panel %r has named none of %d orders: the account or the key may be another one, or the panel be broken."
                " If it goes on, they end as unknown.",
                self._name,
                len(answers),
            )
        return answers

    async def _ask(self, orders: Sequence[str]) -> Mapping[str, Answer]:
        """Ask in parts that are a request each: all at once, or in turns that are apart, among all workers.

        The client begins a lookup's budget when it begins to ask for it: all of them together, or in their turns, so
        that the answers come within the lease.
        """
        batch, interval = self._batch(), self._interval
        parts = [orders[start : start + batch] for start in range(0, len(orders), batch)]
        if interval is None:
            return await ask_in_parts(self._client, parts)
        wait = await self._calls.run(
            self._store.reserve, self._name, turns=len(parts), interval=interval, horizon=self._settings.horizon
        )
        return {} if wait is None else await ask_in_parts(self._client, parts, wait=wait, interval=interval)

    async def _pause(self, seconds: float, error: SmmError) -> None:
        _LOG.warning("Panel %r is left alone for %.0f seconds: %s", self._name, seconds, error)
        await self._recorder.repeat(functools.partial(self._store.pause, self._name, seconds))
        self._settings.report(Paused(self._name, seconds, error))

    async def _write_down(self, rows: Sequence[Due], answers: Mapping[str, Answer]) -> list[Change]:
        """Record the answers, give back what was not asked for, and return what is new."""
        news = [self._news(row, answers.get(row.order)) for row in rows]
        accepted = await self._recorder.record(rows, news)
        changes: list[Change] = []
        for row in rows:
            if row.id in accepted and row.order in answers:
                changes += _changes(self._name, row, accepted[row.id], answers[row.order])
        self._settings.publish(changes)
        return changes

    def _news(self, row: Due, answer: Answer | None) -> News:
        settings = self._settings
        if answer is None:
            return returned(row)
        lot = settings.rng.random()
        return news_of(row, answer, poll=settings.poll, max_misses=settings.max_misses, lot=lot)


@attrs.define
class _Work:
    """One call of `Tending.work()`."""

    until: float
    slots: anyio.Semaphore = attrs.field(factory=lambda: anyio.Semaphore(_CLAIMS_AT_ONCE))
    failures: list[Exception] = attrs.field(factory=list[Exception])
    orders: int = 0
    ended: int = 0


def _changes(panel: str, row: Due, news: News, answer: Answer) -> list[Change]:
    """Return the change, if there is one."""
    heard = answer if isinstance(answer, OrderStatus) else None
    status = row.status if heard is None else news.status
    if news.end is None and status == row.status:
        return []
    return [Change(panel, OrderId(row.order), row.status, status, heard, news.end)]

"""Track orders until they end, by the million, across crashes, processes and machines.

A *store* remembers which orders are open and when each is to be looked up; any number of workers share it. The promise:
one terminal event per order is recorded, ever; it is delivered at least once, with a stable key; it takes effect exactly
once if the handler's work is in the same database transaction.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self
from weakref import WeakSet

import anyio

from smm_async._asking import Client
from smm_async._bounds import check_seconds, check_whole
from smm_async._calls_to_store import Calls, Wakeup
from smm_async._endings import Changes, Endings, Events
from smm_async._ids import read_id
from smm_async._lookout import Lookout
from smm_async._poll import Poll
from smm_async._postgres_store import PostgresStore
from smm_async._reports import Change, Claimed, LookedUp, Observation, Paused, Slice, StoreAway
from smm_async._sqlite_store import SQLiteStore
from smm_async._store import (
    Claim,
    Due,
    Ended,
    EndKind,
    News,
    OnRecord,
    OnRecordError,
    PanelStats,
    Store,
    StoreAwayError,
    StoreError,
    Tracked,
)
from smm_async._tending import Tending
from smm_async._tending_settings import Settings
from smm_async._tracker_arguments import check_client, check_panel, read_orders, read_paces
from smm_async.journal import EntryState, Journal

__all__ = [
    "Change",
    "Changes",
    "Claim",
    "Claimed",
    "Due",
    "EndKind",
    "Ended",
    "Endings",
    "Events",
    "LookedUp",
    "News",
    "Observation",
    "OnRecord",
    "OnRecordError",
    "PanelStats",
    "Paused",
    "Poll",
    "PostgresStore",
    "SQLiteStore",
    "Slice",
    "Store",
    "StoreAway",
    "StoreAwayError",
    "StoreError",
    "Tracked",
    "Tracker",
]

# As many as may wait for a database at a time. A worker's own threads are left alone.
_THREADS: Final = 4
_POLL: Final = Poll()
# The part of what a lease leaves beside a lookup for which turns may be reserved; the rest is for recording.
_RESERVED: Final = 0.5
_RECORD_SECONDS: Final = 30.0


class Tracker:
    """Looks up the open orders of a store until they end, on asyncio or trio, together with any number of others.

    Use it with ``async with``; the clients stay yours to close. Nothing runs in the background: somebody, here or
    elsewhere, awaits `run()` or has `tend()` called.
    """

    def __init__(
        self,
        store: Store,
        clients: Mapping[str, Client],
        *,
        poll: Poll = _POLL,
        lease: float = 120.0,
        pace: Mapping[str, float] | float | None = None,
        ahead: float = 5.0,
        idle: float = 1.0,
        max_misses: int | None = 10,
        observe: Callable[[Observation], object] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Check the arguments; nothing is opened yet.

        Args:
            store: where the orders are. It is opened and closed with the tracker: an object for this one alone, though any
                number may be for the same file or database.
            clients: a client for each panel to be looked up here, by the name that its orders are added under. A name
                stands for one panel and one key, everywhere and for ever. It may be empty, for a process that only
                adds orders or takes events.
            poll: how often to look up an order.
            lease: seconds for which a claimed order is nobody else's. A crash delays its orders by so much. It must be
                longer than a lookup may take, which is the client's ``budget``.
            pace: requests a second to each panel, or by its name, among all workers; ``None`` for no limit. What is
                counted is one request for each full batch of a claim: not the client's repetitions, nor its questions
                about ids that an answer left out or that spoiled a batch. Its ``rate_limit`` counts all, in its process.
            ahead: seconds; orders due so soon fill a request that is sent anyway.
            idle: seconds between two looks of an idle worker for what other processes have added.
            max_misses: after how many answers in a row without it, or that it is not known, an order ends as unknown;
                ``None`` for never. With the default ``poll`` that is more than an hour. Where a panel names none of ten
                orders or more, that does not count at first, three times, and is logged.
            observe: called with what happens, for figures; it must not wait. What it raises is logged.
            rng: where chance comes from.

        Raises:
            ValueError: a number out of bounds, a lease that is too short, a panel that has no ``status``, a ``pace`` for a
                name that has no client; where there are no clients at all, it means nothing, and may name any.
        """
        check_seconds("ahead", ahead, least=0.0)
        check_seconds("idle", idle, least=0.001)
        if max_misses is not None:
            check_whole("max_misses", max_misses)
        for name, client in clients.items():
            check_panel(name)
            check_client(name, client, lease)
        budget = max((client.budget for client in clients.values()), default=0.0)
        self._store = store
        self._clients = dict(clients)
        horizon = (lease - budget) * _RESERVED
        self._paces = read_paces(pace, clients, horizon)
        self._settings = Settings(
            poll=poll,
            lease=lease,
            ahead=ahead,
            idle=idle,
            max_misses=max_misses,
            window=min(lease, _RECORD_SECONDS),
            horizon=horizon,
            rng=rng or random.Random(),  # noqa: S311  no secret is drawn
            observe=observe,
            publish=self._publish,
        )
        # Made on the event loop that it is entered on.
        self._calls: Calls | None = None
        self._tendings: dict[str, Tending] = {}
        self._listeners: WeakSet[Changes] = WeakSet()
        self._consumers: WeakSet[Endings] = WeakSet()
        self._lookouts: dict[str, Lookout] = {}
        self._wakeup = Wakeup()

    async def __aenter__(self) -> Self:
        """Open the store; cancelled, close it again.

        Raises:
            StoreAwayError: it cannot be reached.
            StoreError: it is no store, or one of another version.
        """
        calls = Calls(self._store, anyio.CapacityLimiter(_THREADS))
        await self._open(calls)
        self._calls = calls
        self._tendings = {
            name: Tending(name, client, calls, self._settings, self._paces[name])
            for name, client in self._clients.items()
        }
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop `run()`, close the store, and end `changes()`, `ended()`, and all that `wait()`."""
        self.stop()
        calls, self._calls = self._opened(), None
        lookouts, self._lookouts = self._lookouts, {}
        for lookout in lookouts.values():
            lookout.close()
        for listener in self._listeners:
            listener.close()
        for consumer in self._consumers:
            consumer.close()
        self._wakeup.tell()
        await calls.run_shielded(self._store.close)

    async def _open(self, calls: Calls) -> None:
        failures: list[Exception] = []
        try:
            async with anyio.create_task_group() as group:
                # Not here: what asyncio itself cancels, as its timeouts do, would leave what a thread has just opened.
                group.start_soon(self._open_into, calls, failures)
        except anyio.get_cancelled_exc_class():
            await calls.run_shielded(self._store.close)
            raise
        if failures:
            raise failures[0]

    async def _open_into(self, calls: Calls, failures: list[Exception]) -> None:
        try:
            await calls.run(self._store.open)
        except Exception as error:  # noqa: BLE001  out of the group it would come in a group
            failures.append(error)

    async def add(self, panel: str, orders: Iterable[int | str]) -> int:
        """Track orders from now on, and return how many are new. Harmless when repeated, even after `prune()`.

        Raises:
            ValueError: what cannot be an order id, or a panel's name; one text in place of many orders.
            StoreAwayError: the store cannot be reached.
        """
        name, ids = check_panel(panel), read_orders(orders)
        added = await self._opened().run(self._store.add, name, ids)
        if name in self._tendings:
            self._tendings[name].wake()
        return added

    async def add_placed(self, panel: str, journal: Journal) -> int:
        """Track all orders that were placed by `smm_async.Client.add()` through a journal; return how many are new.

        Harmless when repeated: call it now and then, or after placing. A journal does not say at which panel an order was
        placed: it must be one that only this panel's client has.

        Raises:
            StoreAwayError: the store cannot be reached.
        """
        entries = [entry for entry in await journal.entries() if entry.action == "add"]
        placed = [entry.order for entry in entries if entry.state is EntryState.PLACED and entry.order is not None]
        return await self.add(panel, placed)

    async def wait(self, panel: str, order: int | str) -> Tracked:
        """Return an order once it has ended, whoever looks it up.

        Any number may wait: one look into the store, every two seconds, is for all of them. An end that this process
        records is seen at once.

        Raises:
            LookupError: the order is not tracked.
            StoreAwayError: the store cannot be reached.
            RuntimeError: the tracker was left meanwhile.
        """
        id_, calls = read_id(order), self._opened()
        if panel not in self._lookouts:
            self._lookouts[panel] = Lookout(panel, calls)
        return await self._lookouts[panel].wait(id_)

    async def reopen(self, panel: str, order: int | str) -> bool:
        """Track an order that has ended again, as after a refill; return ``False`` if it has not ended.

        Its next end is another event, with a key of its own.
        """
        is_open = await self._opened().run(self._store.reopen, panel, read_id(order))
        if is_open and panel in self._tendings:
            self._tendings[panel].wake()
        return is_open

    def changes(self) -> Changes:
        """Return an asynchronous iterator of the changes that this process records from now on.

        It is for people to look at: what other workers see is not in it, and of 100,000 that nobody has taken the oldest
        go. It ends when the tracker is left.
        """
        self._opened()
        changes = Changes()
        self._listeners.add(changes)
        return changes

    def ended(self, limit: int = 100, *, lease: float = 300.0) -> Endings:
        """Return an asynchronous iterator of the events of orders that have ended, whoever looked them up.

        Any number of consumers, anywhere, share the events. Each yields `Events`, to be used with ``async with``: left
        normally, they are acknowledged and never come again; left by an exception, those that are not `Events.done()`
        come back after a second, and after twice as long each time, 300 seconds at most; if the process dies, after the
        lease. So an event may come twice, always with the same `Tracked.key`, and after younger ones. The iterator ends
        when the tracker is left.

        Args:
            limit: how many to take at a time, at most.
            lease: seconds that handling them may take.
        """
        check_whole("limit", limit)
        check_seconds("lease", lease, least=0.0)
        endings = Endings(self._opened(), self._wakeup, limit, lease)
        self._consumers.add(endings)
        return endings

    async def run(self) -> None:
        """Look up what is due, until `stop()`. Cancelled, it gives back what it has claimed.

        Raises:
            ClosedError: a client was closed.
        """
        failures: list[Exception] = []
        self._opened()
        async with anyio.create_task_group() as group:

            async def work(tending: Tending) -> None:
                try:
                    await tending.work()
                except Exception as error:  # noqa: BLE001  out of the group it would come in a group
                    failures.append(error)
                    group.cancel_scope.cancel()

            for tending in self._tendings.values():
                group.start_soon(work, tending)
        if failures:
            raise failures[0]

    def stop(self) -> None:
        """Have `run()` and `tend()` claim nothing more, record what is on its way, and return."""
        for tending in self._tendings.values():
            tending.stop()

    async def tend(self, panel: str, *, seconds: float) -> Slice:
        """Look up what is due at one panel, for so long at most, and return what was done: for other schedulers.

        Lookups on their way at the end are awaited. It returns sooner if nothing will be due in time.

        Raises:
            LookupError: this tracker has no client for the panel.
            ClosedError: the client was closed.
        """
        check_seconds("seconds", seconds, least=0.0)
        self._opened()
        if panel not in self._tendings:
            message = f"There is no client for panel {panel!r} here, but for {', '.join(self._tendings) or 'none'}."
            raise LookupError(message)
        return await self._tendings[panel].work(anyio.current_time() + seconds)

    async def stats(self) -> list[PanelStats]:
        """Return the figures of all panels in the store. It reads every order: for people, not for loops."""
        return await self._opened().run(self._store.stats)

    async def prune(self, seconds: float, *, events: bool = False) -> int:
        """Forget orders that ended so long ago and whose events were acknowledged; return how many.

        What stays of each is its number, so that it is not added again; `reopen()` tracks it as the next version. Call
        it once a day, from one process.

        Args:
            seconds: since they ended.
            events: forget them even if nobody has acknowledged their events: for whoever uses *on_record* only.

        Raises:
            StoreAwayError: the store cannot be reached.
        """
        check_seconds("seconds", seconds, least=0.0)
        return await self._opened().run(self._store.prune, seconds, events=events)

    def _opened(self) -> Calls:
        if self._calls is None:
            message = "A tracker is used with async with: it is not open."
            raise RuntimeError(message)
        return self._calls

    def _publish(self, changes: Sequence[Change]) -> None:
        for listener in self._listeners:
            listener.put(changes)
        ends = [change for change in changes if change.end is not None]
        for change in ends:
            if change.panel in self._lookouts:
                self._lookouts[change.panel].hear([change.order])
        if ends:
            self._wakeup.tell()

"""What every store of tracked orders must do, as tests that you can run on a store of your own.

Subclass `StoreConformance` in a file of tests, and pytest runs it. The tests that are coroutines need anyio's plugin,
with ``anyio_mode = "auto"`` or ``pytestmark = pytest.mark.anyio``.
"""

# ruff: noqa: S101, PLR2004  tests assert, and what they expect are numbers

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

import anyio
import attrs

from smm_async._client import Client
from smm_async.models import OrderState
from smm_async.testing import SimulatedPanel
from smm_async.tracking import (
    Claim,
    Due,
    EndKind,
    News,
    OnRecord,
    OnRecordError,
    Poll,
    Store,
    StoreError,
    Tracker,
)

__all__ = ["StoreConformance"]

_FAR: Final = 1e6


class StoreConformance:
    """The tests. A subclass says how its store is made, and how time passes there."""

    def make_store(self, on_record: OnRecord | None = None) -> Store:
        """Return a store that is not open and has nothing in it."""
        raise NotImplementedError

    def advance(self, store: Store, seconds: float) -> None:
        """Let so many seconds pass for an open store: by its clock, or by setting all that is in it back."""
        raise NotImplementedError

    def test_opened_twice_it_is_the_same(self) -> None:
        """Opening what is open changes nothing."""
        with self._opened() as store:
            store.add("alpha", ["1"])

            store.open()

            assert len(_claim(store).rows) == 1

    def test_closed_it_refuses(self) -> None:
        """A store that is not open says so, and closing it again does no harm."""
        store = self.make_store()
        store.open()
        store.close()
        store.close()

        complaints: list[str] = []
        try:
            store.add("alpha", ["1"])
        except StoreError as error:
            complaints.append(str(error))
        assert complaints
        assert "open" in complaints[0]

    def test_order_is_added_once(self) -> None:
        """What is known stays as it is; names are apart."""
        with self._opened() as store:
            assert store.add("alpha", ["1", "2", "2"]) == 2
            claim = _claim(store)
            assert store.add("alpha", ["2", "3"]) == 1
            assert store.add("beta", ["2"]) == 1
            assert store.add("beta", []) == 0

            assert _orders(claim) == {"1", "2"}
            assert _orders(_claim(store)) == {"3"}
            assert _orders(_claim(store, "beta")) == {"2"}

    def test_empty_panel_has_nothing_to_wait_for(self) -> None:
        """Where nothing is open, there is no moment to wait for."""
        with self._opened() as store:
            assert _claim(store) == Claim((), None)
            store.add("alpha", ["1"])
            _end(store, _claim(store).rows)
            assert _claim(store) == Claim((), None)

    def test_claimed_order_is_nobody_else_s_until_the_lease_ends(self) -> None:
        """A claim hides its orders, says for how long, and gives them back by itself."""
        with self._opened() as store:
            store.add("alpha", ["1"])
            first = _claim(store, lease=60.0).rows[0]
            nothing = _claim(store)
            self.advance(store, 61.0)
            second = _claim(store)

            assert nothing.rows == ()
            assert nothing.wait is not None
            assert 50 < nothing.wait <= 60
            assert (second.rows[0].id, second.rows[0].claim) == (first.id, first.claim + 1)
            assert 0.5 < second.lag < 10

    def test_longest_due_is_taken_first(self) -> None:
        """A limit takes those that have waited longest."""
        with self._opened() as store:
            store.add("alpha", ["1"])
            self.advance(store, 10.0)
            store.add("alpha", ["2"])
            self.advance(store, 10.0)

            assert [_orders(_claim(store, limit=1)), _orders(_claim(store, limit=1))] == [{"1"}, {"2"}]

    def test_soon_due_rides_along(self) -> None:
        """Orders due soon fill a batch that is asked for anyway, and no more than that."""
        with self._opened() as store:
            store.add("alpha", [str(number) for number in range(10)])
            for place, row in enumerate(sorted(_claim(store).rows, key=lambda row: row.order)):
                store.record([_news(row, due_in=float(10 + place))])

            early = _claim(store, batch=4, ahead=30.0)
            self.advance(store, 10.5)
            alone, fill = _claim(store, batch=4), _claim(store, batch=4, ahead=30.0)
            self.advance(store, 1.0)
            filled, rest = _claim(store, batch=4, ahead=30.0), _claim(store, batch=4, ahead=30.0)

            assert (early.rows, fill.rows, rest.rows) == ((), (), ())
            assert _orders(alone) == {"0"}
            assert _orders(filled) == {"1", "2", "3", "4"}

    def test_claim_takes_full_batches(self) -> None:
        """All that is due is taken, up to the limit, and the last batch is filled."""
        with self._opened() as store:
            store.add("alpha", [str(number) for number in range(7)])
            for row in [row for row in _claim(store).rows if row.order in {"5", "6"}]:
                store.record([_news(row, due_in=_FAR + 3.0)])
            self.advance(store, _FAR)

            assert _orders(_claim(store, limit=2, batch=2)) < {"0", "1", "2", "3", "4"}
            assert len(_claim(store, limit=100, batch=2, ahead=10.0).rows) == 4

    def test_news_is_kept(self) -> None:
        """What the panel said is there digit by digit, and when it is due again."""
        with self._opened() as store:
            store.add("alpha", ["1", "2"])
            rows = sorted(_claim(store).rows, key=lambda row: row.order)
            heard = _news(rows[0], status="In progress", state="In progress", due_in=30.0)
            heard = attrs.evolve(heard, charge=Decimal("0.0010"), start_count=5, remains=-2, currency="USD")

            assert store.record([heard, _news(rows[1], misses=3, due_in=90.0)]) == {rows[0].id, rows[1].id}

            known, missed = store.find("alpha", ["1", "2", "3"])
            assert (known.panel, known.order, known.status, known.state) == (
                "alpha",
                "1",
                "In progress",
                OrderState.IN_PROGRESS,
            )
            assert (str(known.charge), known.start_count, known.remains, known.currency) == ("0.0010", 5, -2, "USD")
            assert (missed.status, missed.misses, missed.ended_at) == (None, 3, None)
            wait = _claim(store).wait
            assert wait is not None
            assert 20 < wait <= 30

    def test_silence_is_since_the_word_changed(self) -> None:
        """The same word again, or none, is silence; another word ends it."""
        with self._opened() as store:
            store.add("alpha", ["1"])
            silences: list[int] = []
            for status in ("Pending", "Pending", None, "In progress"):
                row = _claim(store).rows[0]
                silences.append(round(row.silence / 100))
                store.record([_news(row, status=status, state=status, due_in=100.0)])
                self.advance(store, 101.0)
            last = _claim(store).rows[0]

            assert silences == [0, 1, 2, 3]
            assert (last.status, round(last.silence / 100)) == ("In progress", 1)

    def test_news_from_an_older_claim_is_refused(self) -> None:
        """Who comes after the lease does not overwrite what was heard since."""
        with self._opened() as store:
            stale, fresh = self._claimed_twice(store)

            accepted = [
                store.record([_news(row, status=status, state=status)])
                for row, status in ((fresh, "In progress"), (stale, "Pending"))
            ]

            assert accepted == [{fresh.id}, set()]
            assert store.find("alpha", ["1"])[0].status == "In progress"

    def test_end_is_accepted_from_any_claim_and_once(self) -> None:
        """That an order has ended is true whoever heard it; there is one event."""
        with self._opened() as store:
            stale, fresh = self._claimed_twice(store)

            assert [_end(store, [stale]), _end(store, [fresh]), _end(store, [stale])] == [{stale.id}, set(), set()]
            assert store.record([_news(fresh, status="Pending", state="Pending")]) == set()

            events = store.take(10, 60.0)
            assert [(event.key, event.kind, event.state) for event in events] == [
                ("alpha/1", EndKind.ENDED, OrderState.COMPLETED)
            ]

    def test_end_as_unknown_needs_the_newest_claim(self) -> None:
        """That a panel does not know an order is no word of the panel's about it."""
        with self._opened() as store:
            stale, fresh = self._claimed_twice(store)

            accepted = [
                store.record([attrs.evolve(_news(row, misses=9), end=EndKind.UNKNOWN)]) for row in (stale, fresh)
            ]

            assert accepted == [set(), {fresh.id}]
            assert [event.kind for event in store.take(10, 60.0)] == [EndKind.UNKNOWN]

    def test_lease_of_zero_loses_and_doubles_nothing(self) -> None:
        """The lease saves lookups; that there is one event does not rest on it."""
        with self._opened() as store:
            store.add("alpha", [str(number) for number in range(20)])
            claims = [_claim(store, lease=0.0).rows for _ in range(3)]

            accepted = [len(_end(store, rows)) for rows in claims]

            assert accepted == [20, 0, 0]
            assert len({event.key for event in store.take(100, 60.0)}) == 20

    def test_threads_share_the_work(self) -> None:
        """Whoever claims at the same time gets other orders, and ends that are recorded at the same time are one."""
        with self._opened() as store:
            store.add("alpha", [str(number) for number in range(400)])
            taken: list[str] = []
            ended: list[int] = []

            def work() -> None:
                for _ in range(10):
                    rows = _claim(store, limit=10, batch=10).rows
                    taken.extend(row.order for row in rows)
                    ended.extend(_end(store, rows))

            _in_threads([work] * 4)

            assert (len(taken), len(set(taken)), len(ended)) == (400, 400, 400)
            assert sum(1 for _ in store.take(1000, 60.0)) == 400

    def test_threads_record_an_end_once(self) -> None:
        """Of four that heard the same end, one records it."""
        with self._opened() as store:
            store.add("alpha", [str(number) for number in range(50)])
            claims = [_claim(store, lease=0.0).rows for _ in range(4)]
            accepted: list[int] = []

            def end(rows: Sequence[Due]) -> None:
                accepted.extend(_end(store, rows))

            _in_threads([functools.partial(end, rows) for rows in claims])

            assert len(accepted) == len(set(accepted)) == 50

    def test_event_comes_until_it_is_acknowledged(self) -> None:
        """An event is one consumer's for a while; given back, or after its lease, it comes again, the same."""
        with self._opened() as store:
            store.add("alpha", ["1", "2"])
            _end(store, _claim(store).rows)

            first = store.take(1, 60.0)
            second = store.take(10, 60.0)
            nothing = store.take(10, 60.0)
            store.release([event.id for event in first])
            too_soon = store.take(10, 60.0)
            self.advance(store, 1.1)
            again = store.take(10, 60.0)
            store.ack([event.id for event in second])
            self.advance(store, 61.0)
            after = store.take(10, 60.0)
            store.ack([event.id for event in after])
            self.advance(store, 61.0)

            assert (len(first), len(second), nothing, too_soon) == (1, 1, [], [])
            assert [event.key for event in again] == [event.key for event in after] == [first[0].key]
            assert {first[0].key, second[0].key} == {"alpha/1", "alpha/2"}
            assert store.take(10, 60.0) == []

    def test_event_that_is_given_back_lets_others_pass(self) -> None:
        """Given back again and again, an event comes after 1, 2, 4 seconds, and at last 300; younger ones meanwhile."""
        with self._opened() as store:
            store.add("alpha", ["1", "2"])
            rows = sorted(_claim(store).rows, key=lambda row: row.order)
            _end(store, rows[:1])
            for pause in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
                taken = store.take(1, 3600.0)
                assert [event.order for event in taken] == ["1"]
                store.release([event.id for event in taken])
                self.advance(store, 0.6 * pause)
                assert store.take(1, 3600.0) == []
                self.advance(store, 0.5 * pause)
            store.release([event.id for event in store.take(1, 3600.0)])
            _end(store, rows[1:])

            assert [event.order for event in store.take(1, 3600.0)] == ["2"]

    def test_late_acknowledgement_loses_no_other_event(self) -> None:
        """An event's number is never another's, so that who acknowledges twice does no harm."""
        with self._opened() as store:
            store.add("alpha", ["1", "2"])
            rows = _claim(store).rows
            _end(store, rows[:1])
            ids = [event.id for event in store.take(10, 60.0)]
            store.ack(ids)
            _end(store, rows[1:])

            store.ack(ids)
            store.release(ids)

            assert len(store.take(10, 60.0)) == 1

    def test_reopened_order_is_another_version(self) -> None:
        """After it was opened again, an order ends again, with a key of its own; an older end does not end it."""
        with self._opened() as store:
            store.add("alpha", ["1"])
            old = _claim(store, lease=0.0).rows[0]
            assert not store.reopen("alpha", "1")
            _end(store, [old])

            assert store.reopen("alpha", "1")
            assert not store.reopen("alpha", "2")
            assert _end(store, [old]) == set()
            assert _end(store, _claim(store).rows) == {old.id}

            assert [event.key for event in store.take(10, 60.0)] == ["alpha/1", "alpha/1:2"]

    def test_turns_are_one_after_the_other(self) -> None:
        """Turns are shared by whoever reserves, no further ahead than allowed, and hold up claims."""
        with self._opened() as store:
            store.add("alpha", ["1"])

            waits = [store.reserve("alpha", turns=2, interval=5.0, horizon=25.0) for _ in range(3)]

            assert [wait if wait is None else round(wait / 5) for wait in waits] == [0, 2, None]
            assert store.reserve("beta", turns=1, interval=1.0, horizon=9.0) is None
            held = _claim(store, horizon=15.0)
            assert held.rows == ()
            assert held.wait is not None
            assert 0 < held.wait <= 5
            assert len(_claim(store, horizon=25.0).rows) == 1

    def test_pause_holds_for_everybody(self) -> None:
        """A paused panel has nothing to claim; a shorter pause does not end a longer one, and others go on."""
        with self._opened() as store:
            store.add("alpha", ["1"])
            store.add("beta", ["1"])
            store.pause("alpha", 60.0)
            store.pause("alpha", 1.0)

            assert _claim(store).rows == ()
            assert (_claim(store).wait or 0.0) > 50
            assert len(_claim(store, "beta").rows) == 1
            self.advance(store, 61.0)
            assert len(_claim(store).rows) == 1

    def test_orders_are_listed(self) -> None:
        """Orders come page by page, of all panels or one, open or ended."""
        with self._opened() as store:
            store.add("alpha", ["1", "2", "3"])
            store.add("beta", ["4"])
            _end(store, [row for row in _claim(store).rows if row.order == "2"])

            def listed(panel: str | None, is_open: bool | None) -> list[str]:  # noqa: FBT001  as in the table below
                found: list[str] = []
                after = 0
                while page := store.page(panel, after=after, limit=2, is_open=is_open):
                    found += [tracked.order for _, tracked in page]
                    after = page[-1][0]
                return found

            assert listed(None, None) == ["1", "2", "3", "4"]
            assert listed("alpha", is_open=True) == ["1", "3"]
            assert listed("alpha", is_open=False) == ["2"]
            assert listed("gamma", None) == []

    def test_figures(self) -> None:
        """What is open, due, late, ended, undelivered and paused can be seen for each panel."""
        with self._opened() as store:
            assert store.stats() == []
            store.add("beta", ["1"])
            store.add("alpha", ["1", "2", "3"])
            _end(store, [row for row in _claim(store, lease=30.0).rows if row.order == "2"])
            self.advance(store, 40.0)
            store.pause("beta", 60.0)

            alpha, beta = store.stats()

            assert (alpha.panel, alpha.open, alpha.due, alpha.ended, alpha.events) == ("alpha", 2, 2, 1, 1)
            assert (alpha.paused, 9 < alpha.lag < 20) == (0.0, True)
            assert (beta.panel, beta.open, beta.due) == ("beta", 1, 1)
            assert 50 < beta.paused <= 60

    def test_order_with_two_events_is_counted_once(self) -> None:
        """One that was opened again, and ended again, is one that has ended, with two events."""
        with self._opened() as store:
            store.add("alpha", ["1", "2"])
            _end(store, [row for row in _claim(store, lease=0.0).rows if row.order == "1"])
            assert store.reopen("alpha", "1")
            _end(store, [row for row in _claim(store, lease=0.0).rows if row.order == "1"])

            (alpha,) = store.stats()

            assert (alpha.open, alpha.ended, alpha.events) == (1, 1, 2)

    def test_old_orders_can_be_forgotten(self) -> None:
        """Only what ended long ago and was acknowledged goes, unless events are not wanted."""
        with self._opened() as store:
            store.add("alpha", ["1", "2", "3", "4"])
            rows = sorted(_claim(store, lease=_FAR).rows, key=lambda row: row.order)
            _end(store, rows[:2])
            store.ack([event.id for event in store.take(1, 60.0)])
            self.advance(store, 100.0)
            _end(store, rows[2:3])

            assert [store.prune(200.0), store.prune(50.0), store.prune(50.0)] == [0, 1, 0]
            assert store.prune(50.0, events=True) == 1
            assert [tracked.order for tracked in store.find("alpha", ["1", "2", "3", "4"])] == ["3", "4"]

    def test_forgotten_order_does_not_begin_anew(self) -> None:
        """Added again it stays forgotten; opened again, it goes on with the version that its next end must have."""
        with self._opened() as store:
            store.add("alpha", ["1", "2"])
            old = _claim(store).rows
            _end(store, old)
            self.advance(store, 100.0)
            assert store.prune(50.0, events=True) == 2

            assert [store.add("alpha", ["1", "2", "3"]), store.add("beta", ["1"])] == [1, 1]
            assert [tracked.order for tracked in store.find("alpha", ["1", "2", "3"])] == ["3"]
            assert [tracked.key for _, tracked in store.page(None, after=0, limit=9, is_open=None)] == [
                "alpha/3",
                "beta/1",
            ]
            assert [store.reopen("alpha", "1"), store.reopen("alpha", "1"), store.add("alpha", ["1"])] == [
                True,
                False,
                0,
            ]
            assert _end(store, old) == set()
            assert len(_end(store, [row for row in _claim(store).rows if row.order == "1"])) == 1
            self.advance(store, 100.0)
            assert [event.key for event in store.take(10, 0.0)] == ["alpha/1:2"]
            assert store.prune(50.0, events=True) == 1
            assert [store.reopen("alpha", "1"), store.find("alpha", ["1"])[0].version] == [True, 3]

    def test_what_no_table_can_hold_spoils_nothing(self) -> None:
        """A panel's strange words and numbers are made fit; the other orders of the claim are recorded with them."""
        with self._opened() as store:
            store.add("alpha", ["1", "2"])
            rows = sorted(_claim(store).rows, key=lambda row: row.order)
            strange = attrs.evolve(
                _news(rows[0], status="a\0b\ud800" + "c" * 300, state="Unknown"),
                charge=Decimal("1234567890123456789.0123456789"),
                start_count=10**30,
                remains=-(2**63),
                currency="\0",
            )

            assert len(store.record([strange, _news(rows[1], status="Pending", state="Pending")])) == 2

            known, other = store.find("alpha", ["1", "2"])
            assert known.status is not None
            assert (known.status[:3], len(known.status), other.status) == ("a\ufffdb", 200, "Pending")
            assert (known.charge, known.start_count, known.remains) == (
                Decimal("1234567890123456789.0123456789"),
                None,
                -(2**63),
            )

    def test_nothing_to_record_is_nothing(self) -> None:
        """No news, no events, and nothing to acknowledge are in order."""
        with self._opened() as store:
            assert store.record([]) == set()
            assert store.find("alpha", []) == []
            store.ack([])
            store.release([])

    def test_ends_are_handed_over_in_the_same_transaction(self) -> None:
        """What handles ends sees each once; where it fails, nothing was recorded."""
        handed: list[str] = []

        def take(_: Any, ended: Sequence[Any]) -> None:
            handed.extend(event.key for event in ended)
            if len(handed) == 1:
                raise ArithmeticError

        with self._opened(take) as store:
            store.add("alpha", ["1"])
            rows = _claim(store).rows
            causes: list[BaseException | None] = []
            try:
                _end(store, rows)
            except OnRecordError as error:
                causes.append(error.__cause__)
            before = store.take(10, 0.0)
            store.record([_news(rows[0], status="Pending", state="Pending")])
            _end(store, rows)
            _end(store, rows)

            assert [type(cause) for cause in causes] == [ArithmeticError]
            assert (before, handed) == ([], ["alpha/1", "alpha/1"])
            assert len(store.take(10, 60.0)) == 1

    async def test_tracker_sees_every_order_to_its_end(self) -> None:
        """Looked up through a store, each of many orders ends, and has one event, on every event loop."""
        panel = SimulatedPanel(durations=(0.0, 0.3), partial_share=0.2, canceled_share=0.2)
        orders = [str(order) for order in panel.seed_orders(250)]
        poll = Poll(shortest=0.05, longest=0.1)
        keys: list[str] = []
        async with (
            Client(panel.url, key=panel.key, transport=panel.transport()) as client,
            Tracker(self.make_store(), {"alpha": client}, poll=poll, idle=0.05, ahead=0.05) as tracker,
            anyio.create_task_group() as group,
        ):
            group.start_soon(tracker.run)
            await tracker.add("alpha", orders)
            ended = tracker.ended()
            with anyio.fail_after(60):
                while len(keys) < len(orders):
                    async with await anext(ended) as events:
                        keys += [event.key for event in events]
            last = await tracker.wait("alpha", orders[0])
            assert last.state is not None
            assert last.state.is_terminal
            tracker.stop()

        assert sorted(keys) == sorted(f"alpha/{order}" for order in orders)

    @contextmanager
    def _opened(self, on_record: OnRecord | None = None) -> Generator[Store, None, None]:
        store = self.make_store(on_record)
        store.open()
        try:
            yield store
        finally:
            store.close()

    def _claimed_twice(self, store: Store) -> tuple[Due, Due]:
        """Return the same order as two claims have it."""
        store.add("alpha", ["1"])
        stale = _claim(store, lease=60.0).rows[0]
        self.advance(store, 61.0)
        return stale, _claim(store).rows[0]


def _claim(
    store: Store,
    panel: str = "alpha",
    *,
    limit: int = 100_000,
    batch: int = 100,
    lease: float = 3600.0,
    ahead: float = 0.0,
    horizon: float = _FAR,
) -> Claim:
    return store.claim(panel, limit=limit, batch=batch, lease=lease, ahead=ahead, horizon=horizon)


def _orders(claim: Claim) -> set[str]:
    return {row.order for row in claim.rows}


def _news(
    row: Due, *, due_in: float = 0.0, misses: int = 0, status: str | None = None, state: str | None = None
) -> News:
    return News(row.id, row.claim, row.version, due_in, misses=misses, status=status, state=state)


def _end(store: Store, rows: Sequence[Due]) -> set[int]:
    """Record that orders were completed, and return the ids of those that were accepted."""
    ends = [_news(row, status="Completed", state="Completed") for row in rows]
    return store.record([attrs.evolve(end, end=EndKind.ENDED) for end in ends])


def _in_threads(calls: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

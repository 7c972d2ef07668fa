"""Stores under anything that workers and consumers may do to them, in any order, against a model of a few lines.

Three things hold: an order's end is one event, ever; no open order is out of reach; nothing older is recorded over what
is known.
"""

from collections import Counter
from typing import ClassVar

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from smm_async.tracking import EndKind, News, PostgresStore, SQLiteStore
from tests.databases import postgres_schema, postgres_url  # noqa: F401  fixtures
from tests.test_stores import set_back

ORDERS = [str(number) for number in range(3)]
ENDS = {"Completed": EndKind.ENDED, None: None, "Pending": None, "In progress": None, "unknown": EndKind.UNKNOWN}
A_LONG_TIME = 1_000_000


@attrs.define
class Known:
    """What the model knows of an order."""

    version: int = 1
    claim: int = 0
    status: str | None = None
    is_open: bool = True
    due_at: float = 0.0
    id: int | None = None
    """The store's own number, once a claim has told it; forgotten and opened again, an order has another one."""
    ended_at: float = 0.0


class StoreMachine(RuleBasedStateMachine):
    """What may happen; a test says with which store, in `make`."""

    make = None
    ends: ClassVar[Counter[str]] = Counter()
    """How often each end was recorded, in all runs."""
    claims = Bundle("claims")
    taken = Bundle("taken")

    @initialize()
    def begin(self):
        """Open a store with an order: without any, most of what may happen means nothing."""
        self.store, self.advance = type(self).make()
        self.now = 0.0
        self.orders: dict[str, Known] = {}
        self.forgotten: dict[str, int] = {}
        self.recorded: list[str] = []
        self.acknowledged: set[str] = set()
        self.attempts: Counter[str] = Counter()
        self.free_at: dict[str, float] = {}
        """When each event that was taken may be taken again."""
        self.put(ORDERS[:1])

    @rule(orders=st.lists(st.sampled_from(ORDERS), min_size=1, max_size=3))
    def add(self, orders):
        """Add orders, known ones among them."""
        self.put(orders)

    def put(self, orders):
        """Add orders to the store and the model."""
        new = set(orders) - set(self.orders) - set(self.forgotten)
        assert self.store.add("alpha", orders) == len(new)
        self.orders |= {order: Known(due_at=self.now) for order in new}

    @rule(
        target=claims,
        limit=st.integers(1, 3),
        batch=st.integers(1, 3),
        lease=st.sampled_from([0, 10, 100]),
        ahead=st.sampled_from([0, 20]),
    )
    def claim(self, limit, batch, lease, ahead):
        """Claim what is due, and keep the claim for as long as it takes."""
        return multiple(*self.claimed(limit, batch, lease, ahead))

    def claimed(self, limit, batch, lease, ahead):
        """Claim what is due."""
        claim = self.store.claim("alpha", limit=limit, batch=batch, lease=lease, ahead=ahead, horizon=1e9)
        assert len(claim.rows) <= limit
        for row in claim.rows:
            known = self.orders[row.order]
            assert known.is_open
            # The server's clock goes on by itself, a little.
            assert known.due_at <= self.now + ahead + 5
            known.claim += 1
            known.due_at = self.now + lease
            assert known.id in {row.id, None}
            known.id = row.id
            assert (row.claim, row.version, row.status) == (known.claim, known.version, known.status)
        return claim.rows

    @rule(word=st.sampled_from(list(ENDS)), due_in=st.sampled_from([0, 15]))
    def work(self, word, due_in):
        """Claim all that is due, and record it at once, as a worker to which nothing happens does."""
        rows = self.claimed(len(ORDERS), 1, 10, 0)
        self.write_down(rows, word, due_in)

    @rule(
        rows=st.lists(claims, min_size=1, max_size=4),
        word=st.sampled_from(list(ENDS)),
        due_in=st.sampled_from([0, 15, 200]),
    )
    def record(self, rows, word, due_in):
        """Record what some claim has heard, the newest or not, once or again."""
        self.write_down(list({row.id: row for row in rows}.values()), word, due_in)

    def write_down(self, rows, word, due_in):
        """Record what was heard, and look whether it was accepted as it should be."""
        end, status = ENDS[word], None if word == "unknown" else word
        news = [News(row.id, row.claim, row.version, due_in, status=status, state=status, end=end) for row in rows]

        accepted = self.store.record(news)

        for row in rows:
            known = self.orders.get(row.order, Known(is_open=False))
            is_newest = row.claim == known.claim
            is_same = (row.id, row.version) == (known.id, known.version)
            expected = known.is_open and is_same and (end is EndKind.ENDED or is_newest)
            assert (row.id in accepted) == expected
            if expected:
                known.status, known.due_at = status or known.status, self.now + due_in
                known.is_open = end is None
                if end is not None:
                    known.ended_at = self.now
                    self.recorded.append(key_of(row.order, known.version))

    @rule(seconds=st.sampled_from([1, 12, 150]))
    def pass_time(self, seconds):
        """Let time pass."""
        self.now += seconds
        self.advance(self.store, seconds)

    @precondition(lambda self: self.recorded)
    @rule(order=st.sampled_from(ORDERS))
    def reopen(self, order):
        """Open an order again, if it has ended."""
        self.open_again(order)

    def open_again(self, order):
        """Open an order of the store and the model again, if it has ended."""
        known = self.orders.get(order)
        can_be = order in self.forgotten if known is None else not known.is_open
        assert self.store.reopen("alpha", order) == can_be
        if can_be and known is None:
            self.orders[order] = Known(self.forgotten.pop(order) + 1, due_at=self.now)
        elif can_be:
            known.is_open, known.version, known.claim, known.due_at = True, known.version + 1, known.claim + 1, self.now

    # No time that passes is as long: a server's clock goes on by itself, a little.
    @precondition(lambda self: self.recorded)
    @rule(seconds=st.sampled_from([0.5, 100.5]), events=st.booleans())
    def prune(self, seconds, events):
        """Forget orders that have ended, with their events or not."""
        self.forget(seconds, events)

    def forget(self, seconds, events):
        """Have the store and the model forget orders."""
        old = [
            (order, known)
            for order, known in self.orders.items()
            if not known.is_open and known.ended_at < self.now - seconds
        ]
        if events:
            self.acknowledged |= {
                key_of(order, version) for order, known in old for version in range(1, known.version + 1)
            }
        waiting = set(self.recorded) - self.acknowledged
        gone = {
            order: known.version
            for order, known in old
            if not any(key_of(order, version) in waiting for version in range(1, known.version + 1))
        }
        assert self.store.prune(seconds, events=events) == len(gone)
        self.forgotten |= gone
        self.orders = {order: known for order, known in self.orders.items() if order not in gone}

    @rule(target=taken, limit=st.integers(1, 3), lease=st.sampled_from([0, 10]))
    def take(self, limit, lease):
        """Take events: as many as there are; what was acknowledged, or is somebody's, or was given back just now, is not."""
        free = [key for key in set(self.recorded) - self.acknowledged if self.free_at.get(key, 0) <= self.now]
        events = self.store.take(limit, lease)
        keys = [event.key for event in events]
        assert len(set(keys)) == len(keys)
        assert set(keys) <= set(self.recorded) - self.acknowledged
        assert len(keys) >= min(limit, len(free))
        # The server's clock goes on by itself, a little.
        assert all(self.free_at.get(key, 0) <= self.now + 5 for key in keys)
        self.attempts.update(keys)
        self.free_at |= dict.fromkeys(keys, self.now + lease)
        return multiple(*events)

    @rule(event=taken)
    def acknowledge(self, event):
        """Acknowledge an event, late or twice."""
        self.store.ack([event.id])
        self.acknowledged.add(event.key)

    @rule(event=taken)
    def give_back(self, event):
        """Give an event back, late or twice."""
        self.store.release([event.id])
        self.free_at[event.key] = self.now + min(2 ** (self.attempts[event.key] - 1), 300)

    def teardown(self):
        """Look whether the three things hold, after all leases have ended."""
        if not hasattr(self, "store"):
            return
        try:
            self.check()
        finally:
            self.store.close()

    def check(self):
        """Check what must hold in the end, whatever happened, after one more order has ended for the second time."""
        for order in [order for order, known in self.orders.items() if not known.is_open][:1]:
            self.open_again(order)
            self.write_down(self.claimed(len(ORDERS), 1, 10, 0), "Completed", 0)
        assert len(set(self.recorded)) == len(self.recorded)
        self.now += A_LONG_TIME
        self.advance(self.store, A_LONG_TIME)
        rest = {event.key for event in self.store.take(100, 0.0)}
        assert rest == set(self.recorded) - self.acknowledged
        type(self).ends.update(self.recorded)
        known = {row.order: (row.status, row.version) for row in self.store.find("alpha", ORDERS)}
        assert known == {order: (known.status, known.version) for order, known in self.orders.items()}
        claim = self.store.claim("alpha", limit=100, batch=100, lease=1, ahead=0, horizon=1e9)
        assert {row.order for row in claim.rows} == {order for order, known in self.orders.items() if known.is_open}
        self.forget(0.5, events=True)
        self.put(ORDERS)
        assert {row.order for row in self.store.find("alpha", ORDERS)} == set(self.orders)


def key_of(order, version):
    """Return the key of an event."""
    return f"alpha/{order}" + (f":{version}" if version > 1 else "")


def check(make, examples, steps):
    """Have it happen to stores that ``make`` makes."""
    ends = Counter[str]()
    machine = type("Machine", (StoreMachine,), {"make": staticmethod(make), "ends": ends})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        ),
    )
    return ends


def test_anything_may_happen_to_sqlite():
    """The three things hold for a store in memory, with a clock that only moves when it is told to."""

    def make():
        clock = [1e9]

        def advance(_, seconds):
            clock[0] += seconds

        store = SQLiteStore(clock=lambda: clock[0])
        store.open()
        return store, advance

    ends = check(make, examples=60, steps=40)

    # Orders that were opened again have ended again, too: otherwise this looks at half of it.
    assert any(":" in key for key in ends)


def test_anything_may_happen_to_postgres(postgres_url, postgres_schema):
    """The three things hold for a real server."""
    psycopg = pytest.importorskip("psycopg")

    def make():
        store = PostgresStore(postgres_url, schema=postgres_schema)
        store.open()
        with psycopg.connect(postgres_url, autocommit=True) as db:
            schema = f'"{postgres_schema.replace(chr(34), chr(34) * 2)}"'
            db.execute(f"delete from {schema}.smm_event")
            db.execute(f"delete from {schema}.smm_order")
            db.execute(f"delete from {schema}.smm_pruned")
        return store, lambda _, seconds: set_back(postgres_url, postgres_schema, seconds)

    check(make, examples=8, steps=25)

"""Accounts with lost answers, late bookings, refunds and other people's orders: what is said is what happened."""

import random
from decimal import Decimal

import anyio
import pytest

import smm_async as smm
from smm_async.testing import Fault
from tests.placing import KEY, LINK, client_of, make_panel, outcome_of, threadless  # noqa: F401
from tests.virtual_time import anyio_backend  # noqa: F401

SEEDS = 100
SETTLE = 120.0
LATEST = 60.0
"""The longest that a panel takes to book an order whose answer was lost."""
pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("threadless")]


class Account:
    """One account over some minutes, by a seed: few prices, so that one order may pass for another."""

    def __init__(self, seed, journal, tasks):
        self.chance = random.Random(seed)
        self.panel = make_panel(seed=seed)
        self.journal = journal
        self._tasks = tasks
        self._refundable = []
        self._refunds: list[Decimal] = []
        self._refunds_before: dict[str, int] = {}
        """How many refunds there had been when each order was placed."""

    def price_of(self, ref):
        """Return what an order costs."""
        return Decimal("0.09") * (1 + int(ref.split("-")[1]))

    def sold(self):
        """Return the ids of the orders that were placed, by their refs."""
        return {
            write.fields["link"].rpartition("/")[2]: str(write.order)
            for write in self.panel.executed
            if write.action == "add"
        }

    async def place(self, client, ref):
        """Place an order, whose answer may be lost, and which may be booked late."""
        order = smm.orders.Default(service=1, link=f"{LINK}/{ref}", quantity=100 * (1 + int(ref.split("-")[1])))
        lot, self._refunds_before[ref] = self.chance.random(), len(self._refunds)
        if lot < 0.3:
            self.panel.fault(Fault.lost_answer(executed=lot < 0.1), action="add")
        elif lot < 0.4:
            self.panel.fault(Fault.error("Not enough funds on balance"), action="add")
        outcome = await outcome_of(client.add(order, ref=ref))
        if isinstance(outcome, str):
            self._refundable.append(outcome)
        elif isinstance(outcome, smm.OutcomeUnknownError) and ref not in self.sold() and self.chance.random() < 0.5:
            self._tasks.start_soon(self._book_late, order)

    async def _book_late(self, order):
        await anyio.sleep(self.chance.random() * LATEST)
        self.panel.answer({"key": KEY, "action": "add", **order.form_fields()})

    def happen(self):
        """Have something happen that the client does not hear of: a refund, or an order of somebody else's."""
        lot = self.chance.random()
        if lot < 0.15 and self._refundable:
            before = self.panel.balance
            self.panel.set_status(self._refundable.pop(), "Canceled")
            self._refunds.append(self.panel.balance - before)
        elif lot < 0.5:
            # Ids that this account does not know.
            self.panel._books.next_order += self.chance.randint(1, 3)

    def may_be_deceived(self, ref):
        """Return whether refunds of just the order's price came after it was placed."""
        return sum(self._refunds[self._refunds_before[ref] :]) == self.price_of(ref)


async def live(account):
    """Place orders one after the other, or a few at once, with things happening in between."""
    async with client_of(account.panel, journal=account.journal) as client:
        for number in range(account.chance.randint(1, 4)):
            async with anyio.create_task_group() as together:
                for one in range(1 if account.chance.random() < 0.8 else 2):
                    together.start_soon(account.place, client, f"{number}{one}-{account.chance.randint(0, 1)}")
            account.happen()
            await anyio.sleep(account.chance.choice([0.0, 1.0, 30.0, 200.0]))
            account.happen()


async def find_out(account):
    """Reconcile what is open, and settle some of it by what was found; return the verdicts."""
    found = []
    async with client_of(account.panel, journal=account.journal) as client:
        for entry in await account.journal.unknown():
            neighbours = account.chance.choice([0, 20])
            verdict = await client.reconcile(entry.ref, settle=SETTLE, neighbours=neighbours)
            found.append(verdict)
            if verdict.verdict is smm.Verdict.PLACED and verdict.order is not None and account.chance.random() < 0.5:
                await account.journal.settle(entry.ref, order=verdict.order)
            elif verdict.verdict is smm.Verdict.NOT_PLACED and account.chance.random() < 0.5:
                await account.journal.settle(entry.ref, placed=False)
    return found


async def test_reconcile_is_never_certain_wrongly(tmp_path):
    """Whatever was lost, late, refunded or somebody else's, a yes is a yes, and a no is a no, but for refunds alike."""
    seen = {}

    for seed in range(SEEDS):
        async with anyio.create_task_group() as tasks:
            account = Account(seed, smm.Journal(tmp_path / f"{seed}.db", evidence=True), tasks)
            await live(account)
            found = await find_out(account)
            sold = account.sold()
        for one in found:
            seen[one.verdict] = seen.get(one.verdict, 0) + 1
            if one.verdict is smm.Verdict.PLACED:
                assert one.ref in sold, (seed, one)
                assert one.order in {None, sold[one.ref]}, (seed, one)
            elif one.verdict is smm.Verdict.NOT_PLACED:
                assert one.ref not in sold or account.may_be_deceived(one.ref), (seed, one)

    # The evidence is worth its requests: it does say something, both ways.
    assert set(seen) == set(smm.Verdict)
    assert seen[smm.Verdict.PLACED] >= 10
    assert seen[smm.Verdict.NOT_PLACED] >= 5

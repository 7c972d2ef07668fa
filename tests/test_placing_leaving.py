"""Writes whose callers leave, whose time is over, or whose client is closed: at every point on their way."""

import functools

import anyio
import anyio.to_thread
import pytest

import smm_async as smm
from smm_async import _journal_file
from smm_async.testing import Fault
from tests.placing import (
    NOT_SENT,
    OPEN,
    ORDER,
    PLACED,
    PLACING,
    REFUSED,
    SINGLE,
    WRITES,
    Caller,
    HeldTransport,
    client_of,
    every_placing,
    every_single,
    every_write,
    journal,  # noqa: F401  a fixture is used by its name
    outcome_of,
    panel,  # noqa: F401
    threadless,  # noqa: F401
)
from tests.virtual_time import anyio_backend, let_others_run  # noqa: F401

pytestmark = pytest.mark.usefixtures("threadless")


class SlowDisk:
    """Has one step of a journal take its time, and tells when it is there."""

    def __init__(self, monkeypatch, step, seconds):
        self.arrived = anyio.Event()
        self._step = getattr(_journal_file, step)
        run_sync = anyio.to_thread.run_sync
        monkeypatch.setattr(_journal_file, step, self._note)
        self._is_there = False

        async def run_slowly(transact, path, call, **kwargs):
            # As with a thread: what was begun cannot be cancelled.
            result = await run_sync(transact, path, call, **kwargs)
            if self._is_there:
                self._is_there = False
                self.arrived.set()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(seconds)
            return result

        monkeypatch.setattr(anyio.to_thread, "run_sync", run_slowly)

    def _note(self, *args, **kwargs):
        self._is_there = True
        return self._step(*args, **kwargs)


@pytest.fixture
def slow_disk(monkeypatch):
    """Return what makes a step of a journal slow."""
    return functools.partial(SlowDisk, monkeypatch)


async def state_of(journal):
    """Return the state of the only order in the journal."""
    (entry,) = await journal.entries()
    return entry.state


# --- Callers that leave


@every_write
async def test_caller_that_leaves_a_write_on_its_way_leaves_at_once(panel, journal, name):
    """A cancelled caller waits for nothing; the answer comes all the same, to the client and to the journal."""
    panel.fault(Fault.late(5.0))

    async with client_of(panel, journal=journal) as client, anyio.create_task_group() as tasks:
        caller = Caller(tasks, WRITES[name](client))
        await anyio.sleep(1.0)
        await caller.leave()
        assert anyio.current_time() - panel.requests[0].at == pytest.approx(1.0)
        (left,) = client.unsettled()
        assert (left.action, left.outcome) == (panel.requests[0].action, None)

        await anyio.sleep(5.0)
        (left,) = client.unsettled()

    assert caller.outcome is None
    assert len(panel.executed) == (2 if name.endswith("s") else 1)
    assert not isinstance(left.outcome, Exception)
    if name in PLACING:
        (entry,) = await journal.entries()
        assert (entry.ref, entry.order, entry.state) == (left.ref, left.outcome, PLACED)
        assert left.fields == entry.fields


@pytest.mark.parametrize(
    ("fault", "error_type", "state"),
    [
        (Fault.error("Insufficient funds"), smm.NotEnoughFundsError, REFUSED),
        (Fault.lost_answer(), smm.OutcomeUnknownError, OPEN),
    ],
    ids=["refused", "lost"],
)
@every_placing
async def test_outcome_of_whatever_kind_is_kept_for_a_caller_that_left(panel, journal, name, fault, error_type, state):
    """Errors, too, are kept for whoever asks later what became of an order."""
    held = HeldTransport(panel.transport(), is_before=False)
    panel.fault(fault)
    panel.latency = 3.0

    async with client_of(panel, journal=journal, transport=held) as client, anyio.create_task_group() as tasks:
        caller = Caller(tasks, PLACING[name](client, ref="a"))
        await anyio.sleep(1.0)
        await caller.leave()
        held.release()
        await anyio.sleep(3.0)
        (left,) = client.unsettled()

    assert type(left.outcome) is error_type
    assert left.ref == "a"
    assert await state_of(journal) is state


@every_single
async def test_write_that_has_not_left_never_does_after_its_caller(panel, journal, name):
    """Whoever is cancelled while the connection is made has bought nothing, and nothing is left to ask about."""
    held = HeldTransport(panel.transport(), is_before=True)

    async with client_of(panel, journal=journal, transport=held) as client, anyio.create_task_group() as tasks:
        caller = Caller(tasks, SINGLE[name](client))
        await held.arrival()
        await caller.leave()
        assert client.unsettled() == []
        held.release()
        await let_others_run()
        assert client.unsettled() == []

    assert panel.executed == []
    assert panel.count() == 0
    if name in PLACING:
        assert await state_of(journal) is NOT_SENT


@every_placing
@pytest.mark.parametrize("step", ["begin", "forbidding", "last_change"])
async def test_order_is_not_sent_if_its_caller_leaves_while_it_is_written_down(panel, journal, name, slow_disk, step):
    """Whoever is cancelled while the intent is written has bought nothing, and may buy it later."""
    disk = slow_disk(step, 2.0)
    journal.evidence = True

    async with client_of(panel, journal=journal) as client:
        async with anyio.create_task_group() as tasks:
            caller = Caller(tasks, PLACING[name](client, ref="a"))
            await disk.arrived.wait()
            await caller.leave()
            await anyio.sleep(10.0)
        assert client.unsettled() == []
        assert panel.count(name) == 0
        assert await PLACING[name](client, ref="a")

    assert len(panel.executed) == 1


async def test_callers_of_several_requests_leave_with_what_came(panel):
    """What came of the first requests of a call is kept if its caller leaves during a later one."""
    panel.latency = 1.0
    one_by_one = smm.Panel(panel.url, batch_limit=1)

    async with client_of(panel, max_in_flight=1) as client, anyio.create_task_group() as tasks:
        client._exchange.panel = one_by_one
        caller = Caller(tasks, client.cancels([3, 4]))
        await anyio.sleep(1.5)
        await caller.leave()
        assert [left.outcome is None for left in client.unsettled()] == [False, True]
        await anyio.sleep(1.0)
        assert sorted(map(str, [left.outcome for left in client.unsettled()])) == ["{'3': '1'}", "{'4': '1'}"]


# --- Budgets


PHASES = {
    "connecting": smm.NotSentError,
    "on_its_way": smm.OutcomeUnknownError,
    "queue": smm.NotSentError,
    "begin": smm.NotSentError,
    "answer": smm.OutcomeUnknownError,
}


async def hang_at(phase, panel, slow_disk, client):
    """Have orders hang at one point on their way, from now on."""
    if phase == "begin":
        slow_disk("begin", 30.0)
    elif phase == "answer":
        panel.fault(Fault.late(9.999))
    elif phase == "on_its_way":
        panel.fault(Fault.stall(executed=True))


@pytest.mark.parametrize(("phase", "error_type"), PHASES.items(), ids=PHASES)
@every_placing
async def test_order_ends_with_its_budget_wherever_it_is(panel, journal, name, phase, error_type, slow_disk):
    """When its time is over, an order is certainly not sent, or in doubt; never anything in between."""
    held = HeldTransport(panel.transport(), is_before=True)
    transport = held if phase == "connecting" else panel.transport()
    panel.latency = 0.002 if phase == "answer" else 0.0

    async with client_of(panel, journal=journal, transport=transport, write_budget=10.0, max_in_flight=1) as client:
        async with anyio.create_task_group() as tasks:
            await hang_at(phase, panel, slow_disk, client)
            if phase == "queue":
                panel.fault(Fault.stall(), action="balance")
                Caller(tasks, client.balance())
                await let_others_run()
            before = anyio.current_time()
            outcome = await outcome_of(PLACING[name](client, ref="a"))
            took = anyio.current_time() - before

    assert type(outcome) is error_type
    assert took == pytest.approx(30.0 if phase == "begin" else 10.0)
    assert len(panel.executed) == (error_type is smm.OutcomeUnknownError)
    assert panel.count(name) == len(panel.executed)
    states = [entry.state for entry in await journal.entries()]
    assert states == ([] if phase == "queue" else [OPEN if panel.executed else NOT_SENT])


@every_placing
async def test_evidence_leaves_the_order_its_time(panel, journal, name):
    """A balance that does not come costs the order a quarter of its budget, and the evidence."""
    journal.evidence = True
    panel.fault(Fault.stall(), action="balance")
    before = anyio.current_time()

    async with client_of(panel, journal=journal, write_budget=10.0) as client:
        placed = await PLACING[name](client, ref="a")

    assert anyio.current_time() - before == pytest.approx(2.5)
    (entry,) = await journal.entries()
    assert (entry.order, entry.balance) == (placed, None)


@every_placing
async def test_outcome_is_written_down_beyond_the_budget(panel, journal, name, slow_disk):
    """An answer that has come is not lost because the disk is slow."""
    slow_disk("finish", 30.0)

    async with client_of(panel, journal=journal, write_budget=10.0) as client:
        placed = await PLACING[name](client, ref="a")

    (entry,) = await journal.entries()
    assert (entry.state, entry.order) == (PLACED, placed)


# --- Closing


@every_single
async def test_write_that_has_not_left_never_does_after_closing(panel, journal, name):
    """Whoever is told that the client was closed has bought nothing, although another write has its grace time."""
    held = HeldTransport(panel.transport(), is_before=True)
    client = client_of(panel, journal=journal, transport=held, grace=10.0)

    async with anyio.create_task_group() as tasks:
        panel.fault(Fault.late(5.0), action="refill")
        first = Caller(tasks, client.refill(1))
        await held.arrival()
        second = Caller(tasks, SINGLE[name](client))
        await let_others_run()
        held._is_before = False
        held._go_on = anyio.Event()
        third = Caller(tasks, client.cancel(4))
        await let_others_run()
        tasks.start_soon(client.aclose)
        outcomes = [await first.end(), await second.end()]
        held.release()
        assert await third.end() == "1"

    assert [type(outcome) for outcome in outcomes] == [smm.ClosedError, smm.ClosedError]
    assert [(write.action, write.order) for write in panel.executed] == [("cancel", 4)]
    if name in PLACING:
        assert await state_of(journal) is NOT_SENT


@every_placing
async def test_order_that_is_being_written_down_is_not_sent_after_closing(panel, journal, name, slow_disk):
    """A client that is closed while an intent is written sends nothing, and says so in the journal."""
    disk = slow_disk("begin", 2.0)
    client = client_of(panel, journal=journal)

    async with anyio.create_task_group() as tasks:
        caller = Caller(tasks, PLACING[name](client, ref="a"))
        await disk.arrived.wait()
        await client.aclose()
        assert type(await caller.end()) is smm.ClosedError

    assert panel.count() == 0
    assert await state_of(journal) is NOT_SENT


@every_single
@pytest.mark.parametrize(("seconds", "is_answered"), [(9.0, True), (11.0, False)])
async def test_write_on_its_way_has_the_grace_time(panel, journal, name, seconds, is_answered):
    """Closing waits for a write as long as the grace time; unanswered then, it is in doubt, and open."""
    panel.fault(Fault.late(seconds))
    client = client_of(panel, journal=journal, grace=10.0)

    async with anyio.create_task_group() as tasks:
        caller = Caller(tasks, SINGLE[name](client))
        await let_others_run()
        before = anyio.current_time()
        await client.aclose()
        took = anyio.current_time() - before
        outcome = await caller.end()

    assert took == pytest.approx(min(seconds, 10.0))
    assert isinstance(outcome, smm.OutcomeUnknownError) != is_answered
    assert len(panel.executed) == 1
    if name in PLACING:
        assert await state_of(journal) is (PLACED if is_answered else OPEN)


@every_placing
async def test_closing_waits_for_an_outcome_to_be_written_down(panel, journal, name, slow_disk):
    """An answer that came before closing is in the journal after it."""
    disk = slow_disk("finish", 3.0)
    client = client_of(panel, journal=journal)

    async with anyio.create_task_group() as tasks:
        caller = Caller(tasks, PLACING[name](client, ref="a"))
        await disk.arrived.wait()
        await client.aclose()
        assert isinstance(await caller.end(), str)

    assert await state_of(journal) is PLACED


@every_placing
async def test_order_after_closing_is_closed_and_not_written_down(panel, journal, name):
    """A closed client begins nothing."""
    client = client_of(panel, journal=journal)
    await client.aclose()

    assert type(await outcome_of(PLACING[name](client, ref="a"))) is smm.ClosedError
    assert await journal.entries() == []
    assert panel.count() == 0


async def test_left_writes_are_still_known_after_closing(panel):
    """What nobody was there to hear is kept by a closed client, too."""
    panel.fault(Fault.stall(executed=True))
    client = client_of(panel, grace=1.0)

    async with anyio.create_task_group() as tasks:
        caller = Caller(tasks, client.add(ORDER))
        await let_others_run()
        await caller.leave()
    await client.aclose()

    (left,) = client.unsettled()
    assert type(left.outcome) is smm.OutcomeUnknownError

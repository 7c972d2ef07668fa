"""Orders under a name of the caller's own: sent once for ever, and not at all if that cannot be written down."""

import contextlib
import pathlib
import sqlite3
from decimal import Decimal

import anyio
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
    Caller,
    HeldTransport,
    client_of,
    every_placing,
    journal,  # noqa: F401  a fixture is used by its name
    nothing_sent,
    outcome_of,
    panel,  # noqa: F401
)

OTHER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=200)
with_evidence = pytest.mark.parametrize("evidence", [False, True], ids=["bare", "evidence"])


def again(journal, *, evidence=False):
    """Return the journal as another process opens it."""
    return smm.Journal(journal._path, evidence=evidence)


# --- The same ref again


@every_placing
@with_evidence
async def test_ref_that_was_placed_returns_its_order(panel, journal, name, evidence):
    """A second order under one ref is the first one's id, without any request, in whatever process."""
    async with client_of(panel, journal=again(journal, evidence=evidence)) as client:
        first = await PLACING[name](client, ref="a")
        with nothing_sent(panel):
            assert await PLACING[name](client, ref="a") == first
    async with client_of(panel, journal=again(journal, evidence=evidence)) as client:
        with nothing_sent(panel):
            assert await PLACING[name](client, ref="a") == first

    assert len(panel.executed) == panel.count(name) == 1
    assert panel.count("balance") == evidence


@every_placing
@with_evidence
@pytest.mark.parametrize("executed", [False, True])
async def test_ref_that_is_open_is_in_doubt_and_not_sent(panel, journal, name, evidence, executed):
    """Under a ref whose order may have been placed nothing is sent, in whatever process, until it is settled."""
    panel.fault(Fault.lost_answer(executed=executed), action=name)

    async with client_of(panel, journal=again(journal, evidence=evidence)) as client:
        first = await outcome_of(PLACING[name](client, ref="a"))
    async with client_of(panel, journal=again(journal, evidence=evidence)) as client:
        with nothing_sent(panel):
            second = await outcome_of(PLACING[name](client, ref="a"))

    assert type(first) is type(second) is smm.OutcomeUnknownError
    assert first.ref == second.ref == "a"
    assert second.text == str(first)
    assert second is not first


@pytest.mark.parametrize(("order", "sends"), [(77, 0), (None, 1)])
async def test_ref_that_was_settled_is_what_was_found_out(panel, journal, order, sends):
    """An order that a person found is returned; one that was found missing is sent again."""
    panel.fault(Fault.lost_answer(executed=False))

    async with client_of(panel, journal=journal) as client:
        await outcome_of(client.add(ORDER, ref="a"))
        await journal.settle("a", order=order, placed=None if order else False)
        assert await client.add(ORDER, ref="a") == str(order or 5)

    assert panel.count("add") == 1 + sends


@pytest.mark.parametrize(
    "fault", [Fault.error("Not enough funds on balance"), Fault.refuse()], ids=["refused", "unreachable"]
)
@every_placing
async def test_ref_that_was_not_placed_is_sent_again(panel, journal, name, fault):
    """What the panel refused, or what never left, is sent again, and placed once."""
    panel.fault(fault)

    async with client_of(panel, journal=journal) as client:
        first = await outcome_of(PLACING[name](client, ref="a"))
        placed = await PLACING[name](client, ref="a")
        assert await PLACING[name](client, ref="a") == placed

    assert isinstance(first, (smm.PanelError, smm.NotSentError))
    assert len(panel.executed) == 1


@every_placing
async def test_another_order_under_one_ref_is_a_mistake(panel, journal, name):
    """A ref stands for one order: another one under it is a `ValueError`, and nothing is sent."""
    others = [
        lambda client: client.add(OTHER, ref="a"),
        lambda client: client.add_product_order(1, 3, "me@example.com", ref="a"),
    ]

    async with client_of(panel, journal=journal) as client:
        await PLACING[name](client, ref="a")
        with nothing_sent(panel):
            for call in others:
                with pytest.raises(ValueError, match="under ref 'a'"):
                    await call(client)


@every_placing
async def test_ref_without_a_journal_is_a_mistake(panel, name):
    """Without a journal nobody could remember a ref."""
    async with client_of(panel) as client:
        with nothing_sent(panel), pytest.raises(ValueError, match="needs a journal"):
            await PLACING[name](client, ref="a")


@pytest.mark.parametrize("ref", ["", "x" * 201, "a\nb", 7])
@every_placing
async def test_what_is_no_ref_is_a_mistake(panel, journal, name, ref):
    """A ref that nobody could read is refused before anything is written or sent."""
    async with client_of(panel, journal=journal) as client:
        with nothing_sent(panel), pytest.raises(ValueError, match="A ref is a text"):
            await PLACING[name](client, ref=ref)

    assert await journal.entries() == []


async def test_orders_without_a_ref_are_each_their_own(panel, journal):
    """Two equal orders without a ref are two orders, each under a name that was made up for it."""
    async with client_of(panel, journal=journal) as client:
        assert [await client.add(ORDER), await client.add(ORDER)] == ["5", "6"]

    first, second = await journal.entries()
    assert first.ref != second.ref
    assert (first.order, second.order) == ("5", "6")


@with_evidence
async def test_one_ref_at_once_is_sent_once(panel, journal, evidence):
    """Of many callers of one ref at the same time, in several clients, one sends it; the others are told so or its id."""
    outcomes = []

    async def one(client):
        outcomes.append(await outcome_of(client.add(ORDER, ref="a")))

    async with contextlib.AsyncExitStack() as stack:
        journals = [again(journal, evidence=evidence) for _ in range(3)]
        clients = [await stack.enter_async_context(client_of(panel, journal=one)) for one in journals]
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(one, clients[number % 3])

    assert len(panel.executed) == panel.count("add") == 1
    assert "5" in outcomes
    assert {type(outcome) for outcome in outcomes if outcome != "5"} <= {smm.OutcomeUnknownError}


# --- The balance as evidence


@every_placing
async def test_balance_is_asked_for_right_before_an_order(panel, journal, name):
    """With evidence, the balance before each order is in the journal."""
    async with client_of(panel, journal=again(journal, evidence=True)) as client:
        await PLACING[name](client, ref="a")
        await PLACING[name](client, ref="b")

    assert [request.action for request in panel.requests] == ["balance", name] * 2
    first, second = await journal.entries()
    assert first.balance == Decimal("1000.005")
    assert second.balance == first.balance - panel.executed[0].charge


@pytest.mark.parametrize(
    "fault", [Fault.refuse(), Fault.html(), Fault.error("No"), Fault.raw("[]")], ids=lambda fault: fault.name
)
async def test_order_is_placed_without_evidence_where_there_is_none(panel, journal, fault):
    """A balance that cannot be read is no reason not to place an order."""
    panel.fault(fault, action="balance")

    async with client_of(panel, journal=again(journal, evidence=True)) as client:
        assert await client.add(ORDER, ref="a") == "5"

    (entry,) = await journal.entries()
    assert entry.balance is None
    assert len(panel.executed) == 1


# --- A journal that cannot be written


class FullDisk(sqlite3.Connection):
    """A connection to a file that has grown to what the disk holds."""

    def execute(self, *args):
        result = super().execute(*args)
        if "journal_mode" in args[0]:
            super().execute("pragma max_page_count = 1")
        return result


def fill_disk(path, monkeypatch):
    """Have no file grow any more."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **kwargs, factory=FullDisk))
    return contextlib.nullcontext()


@contextlib.contextmanager
def locked(path, monkeypatch):
    """Have another program write for longer than anybody waits."""
    monkeypatch.setattr(smm.journal, "_BUSY_SECONDS", 0.02)
    monkeypatch.setattr(_journal_file, "_MOMENT", 0.0)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("begin immediate")
        yield


def spoil(path, monkeypatch):
    """Have the file be of another kind."""
    with pathlib.Path(path).open("wb") as file:
        file.write(b"no database" * 100)
    return contextlib.nullcontext()


def take_folder_away(path, monkeypatch):
    """Have the folder be gone."""
    monkeypatch.setattr(
        _journal_file, "transact", lambda _, call, real=_journal_file.transact: real("/gone/orders.db", call)
    )
    return contextlib.nullcontext()


def break_disk(path, monkeypatch):
    """Have every access fail."""

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(_journal_file, "transact", fail)
    return contextlib.nullcontext()


TROUBLES = {
    "full": (fill_disk, "full"),
    "locked": (locked, "locked"),
    "spoiled": (spoil, "not a database"),
    "gone": (take_folder_away, "unable to open"),
    "broken": (break_disk, "Input/output error"),
}
every_trouble = pytest.mark.parametrize(("trouble", "complaint"), TROUBLES.values(), ids=TROUBLES)


@every_placing
@with_evidence
@every_trouble
async def test_order_that_cannot_be_written_down_is_not_sent(
    panel, journal, name, evidence, trouble, complaint, monkeypatch
):
    """No order leaves before it is on the disk; one that did not leave may be placed again."""
    async with client_of(panel, journal=again(journal, evidence=evidence)) as client:
        with monkeypatch.context() as patch, trouble(journal._path, patch):
            outcome = await outcome_of(PLACING[name](client, ref="a"))

    assert type(outcome) is smm.NotSentError
    assert complaint in str(outcome)
    assert outcome.action == name
    assert panel.executed == []
    assert panel.count(name) == 0


async def test_order_is_placed_when_the_trouble_is_over(panel, journal, monkeypatch):
    """What could not be written down once is placed once it can."""
    async with client_of(panel, journal=journal) as client:
        with monkeypatch.context() as patch, fill_disk(journal._path, patch):
            assert type(await outcome_of(client.add(ORDER, ref="a"))) is smm.NotSentError
        assert await client.add(ORDER, ref="a") == "5"

    assert len(panel.executed) == 1


async def test_order_with_a_journal_of_another_version_is_a_mistake(panel, journal):
    """A journal that this version cannot read lets nothing through."""
    await journal.entries()
    with contextlib.closing(sqlite3.connect(journal._path)) as db:
        db.execute("pragma user_version = 9")

    async with client_of(panel, journal=journal) as client:
        with nothing_sent(panel), pytest.raises(ValueError, match="version 9"):
            await client.add(ORDER)


@pytest.mark.parametrize(
    ("fault", "outcome_type", "state"),
    [
        (None, str, PLACED),
        (Fault.error("Insufficient funds"), smm.NotEnoughFundsError, REFUSED),
        (Fault.refuse(), smm.NotSentError, NOT_SENT),
    ],
    ids=["placed", "refused", "unreachable"],
)
async def test_outcome_is_told_although_it_cannot_be_written_down(
    panel, journal, fault, outcome_type, state, monkeypatch, caplog
):
    """Whoever waits gets the outcome; the journal keeps the order open, so that nothing is sent again."""
    if fault is not None:
        panel.fault(fault)

    def fail(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    async with client_of(panel, journal=journal) as client:
        with monkeypatch.context() as patch:
            patch.setattr(_journal_file, "finish", fail)
            outcome = await outcome_of(client.add(ORDER, ref="a"))
        with nothing_sent(panel):
            assert type(await outcome_of(client.add(ORDER, ref="a"))) is smm.OutcomeUnknownError

    assert isinstance(outcome, outcome_type)
    assert "disk is full" in caplog.text
    (entry,) = await journal.unknown()
    assert entry.state is OPEN


async def test_order_that_was_placed_twice_is_told(panel, journal, monkeypatch, caplog):
    """If a person said that an order was not placed, and it was, both ids are written down and cried out."""
    held = HeldTransport(panel.transport(), is_before=False)
    monkeypatch.setattr(_journal_file, "_IS_ON_ITS_WAY", "select 1 where ? is null")  # as if its time were over

    async with client_of(panel, journal=journal, transport=held) as first, client_of(panel, journal=journal) as second:
        async with anyio.create_task_group() as tasks:
            caller = Caller(tasks, first.add(ORDER, ref="a"))
            await held.arrival()
            await journal.settle("a", placed=False)
            assert await second.add(ORDER, ref="a") == "6"
            held.release()
            assert await caller.end() == "5"

    (entry,) = await journal.entries()
    assert (entry.state, entry.order, entry.note) == (PLACED, "6", "Placed a second time, as 5.")
    assert "placed a second time: as 6 and as 5" in caplog.text


async def test_order_that_a_panel_takes_for_a_repetition_stays_open(panel, journal):
    """What the panel takes for a second call may be the first one's echo, so the same ref does not buy again."""
    panel.fault(Fault.error("An identical order was just placed"))
    async with client_of(panel, journal=journal) as client:
        with pytest.raises(smm.DuplicateOrderError):
            await client.add(ORDER, ref="a")
        with nothing_sent(panel), pytest.raises(smm.OutcomeUnknownError):
            await client.add(ORDER, ref="a")

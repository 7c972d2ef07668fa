"""The journal: what it lets through once, what it refuses, and what it says of an order."""

import sqlite3
from decimal import Decimal

import pytest

import smm_async as smm
from smm_async import _journal_file
from smm_async.journal import check_ref

OPEN, PLACED, REFUSED, NOT_SENT = (
    smm.EntryState.OPEN,
    smm.EntryState.PLACED,
    smm.EntryState.REFUSED,
    smm.EntryState.NOT_SENT,
)
FIELDS = {"service": "1", "link": "https://example.com/p/1", "quantity": "100"}
OTHERS = {"action": ("add_product_order", FIELDS), "quantity": ("add", {**FIELDS, "quantity": "101"})}
OTHERS |= {"more": ("add", {**FIELDS, "runs": "2"}), "less": ("add", {"service": "1"})}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.db"


@pytest.fixture
def journal(path):
    return smm.Journal(path)


async def begin(journal, ref="a", *, attempt="1", within=60.0, **kwargs):
    """Begin an attempt at the order that all tests place."""
    return await journal.begin(ref, "add", FIELDS, attempt=attempt, within=within, **kwargs)


async def place(journal, ref, order):
    """Have an order placed."""
    await begin(journal, ref)
    await journal.finish(ref, PLACED, attempt="1", order=order)


def change(path, statement, *values):
    """Change the file behind the journal's back."""
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()


# --- What is let through


async def test_begin_of_a_new_ref_lets_it_through(journal):
    """A new order may be sent, and is open from then on, with all that was said of it."""
    assert await begin(journal, balance=Decimal("12.3400")) is None

    entry = await journal.get("a")
    assert (entry.ref, entry.action, entry.fields, entry.state) == ("a", "add", FIELDS, OPEN)
    assert (entry.order, entry.note, str(entry.balance)) == (None, "", "12.3400")
    assert entry.opened_at[:2] == "20"
    assert entry.opened_at[-1] == "Z"


@pytest.mark.parametrize("ask", ["begin", "check"])
async def test_open_order_is_not_let_through(journal, ask):
    """What may have been sent is in the way of a second attempt."""
    await begin(journal)

    again = begin(journal, attempt="2") if ask == "begin" else journal.check("a", "add", FIELDS)

    assert await again == await journal.get("a")
    assert (await journal.get("a")).state is OPEN


async def test_placed_order_is_returned_for_ever(journal, path):
    """What was placed is known by its id, also by a journal that is opened later."""
    await place(journal, "a", "77")

    entry = await begin(smm.Journal(path), attempt="2")

    assert (entry.state, entry.order) == (PLACED, "77")


@pytest.mark.parametrize("state", [REFUSED, NOT_SENT])
async def test_order_that_was_not_placed_is_let_through_again(journal, state):
    """A refused order, or one that never left, may be sent again, and is open again then, as if it were new."""
    await begin(journal, balance=Decimal(5))
    ended = await journal.finish("a", state, attempt="1", note="No.")
    assert (ended.state, ended.order, ended.note) == (state, None, "No.")

    assert await journal.check("a", "add", FIELDS) is None
    assert await begin(journal, attempt="2", balance=Decimal(4)) is None

    entry = await journal.get("a")
    assert (entry.state, entry.note, entry.balance) == (OPEN, "", 4)
    assert len(await journal.entries()) == 1


async def test_unknown_outcome_stays_open_with_its_note(journal):
    """An outcome that proves nothing leaves the order open, and says why."""
    await begin(journal)

    entry = await journal.finish("a", OPEN, attempt="1", note="The line went dead.")

    assert (entry.state, entry.note) == (OPEN, "The line went dead.")
    assert await begin(journal, attempt="2") == entry


@pytest.mark.parametrize(
    ("state", "other"), [*zip([OPEN, PLACED, REFUSED, NOT_SENT], OTHERS.values(), strict=True)], ids=OTHERS
)
async def test_another_order_under_the_same_ref_is_refused(journal, state, other):
    """A ref stands for one order for ever, whatever became of it."""
    action, fields = other
    await begin(journal)
    before = await journal.finish("a", state, attempt="1", order="77" if state is PLACED else None)

    with pytest.raises(ValueError, match="under ref 'a'"):
        await journal.check("a", action, fields)
    with pytest.raises(ValueError, match="under ref 'a'"):
        await journal.begin("a", action, fields, attempt="2", within=60.0)

    assert await journal.entries() == [before]


async def test_order_of_fields_does_not_matter(journal):
    """The same fields in another order are the same order."""
    await begin(journal)

    assert await journal.check("a", "add", dict(reversed(FIELDS.items()))) == await journal.get("a")


# --- Late answers


@pytest.mark.parametrize(("state", "settled"), [(OPEN, True), (REFUSED, False), (NOT_SENT, False), (NOT_SENT, True)])
async def test_late_no_of_an_earlier_attempt_counts_no_more(journal, state, settled):
    """What an attempt that was given up reports says nothing of the one that is on its way now."""
    await begin(journal, within=0.0)
    await journal.settle("a", placed=False)
    if not settled:
        await begin(journal, attempt="2")
    before = await journal.get("a")

    after = await journal.finish("a", state, attempt="1", note="Late.")

    assert after == before


@pytest.mark.parametrize("is_begun_again", [False, True])
async def test_late_yes_counts_whatever_was_settled(journal, is_begun_again):
    """That the panel placed it is true also if somebody has settled the opposite meanwhile, or sent it again."""
    await begin(journal, within=0.0)
    await journal.settle("a", placed=False)
    if is_begun_again:
        await begin(journal, attempt="2")

    entry = await journal.finish("a", PLACED, attempt="1", order="77")

    assert (entry.state, entry.order) == (PLACED, "77")
    assert (await begin(journal, attempt="3")).order == "77"


async def test_second_yes_is_written_beside_the_first(journal):
    """An order that was placed twice keeps its first id, and the note tells the second."""
    await place(journal, "a", "77")

    assert (await journal.finish("a", PLACED, attempt="2", order="77")).note == ""
    entry = await journal.finish("a", PLACED, attempt="2", order="78")

    assert (entry.order, entry.note) == ("77", "Placed a second time, as 78.")


async def test_placed_order_never_becomes_anything_else(journal):
    """Once placed is placed, by whatever attempt a no comes."""
    await place(journal, "a", "77")

    for state in (OPEN, REFUSED, NOT_SENT):
        for attempt in ("1", "2"):
            entry = await journal.finish("a", state, attempt=attempt, note="No.")
            assert (entry.state, entry.order, entry.note) == (PLACED, "77", "")


async def test_placed_order_has_an_id(journal):
    """Nothing is placed without an id to return."""
    await begin(journal)

    with pytest.raises(sqlite3.IntegrityError):
        await journal.finish("a", PLACED, attempt="1")

    assert (await journal.get("a")).state is OPEN


async def test_finish_of_an_order_that_is_not_there_is_an_error(journal):
    """What became of an order is not written down where the order is not."""
    with pytest.raises(LookupError, match="'a'"):
        await journal.finish("a", PLACED, attempt="1", order="77")

    assert await journal.entries() == []


# --- Settling by hand


@pytest.mark.parametrize(
    ("verdict", "state", "order"), [({"order": 77}, PLACED, "77"), ({"placed": False}, NOT_SENT, None)]
)
async def test_settle_closes_an_open_order(journal, verdict, state, order):
    """What a person found out is the order's outcome."""
    await begin(journal, within=0.0)

    entry = await journal.settle("a", **verdict)

    assert entry == await journal.get("a")
    assert (entry.state, entry.order, entry.note) == (state, order, "Settled by hand.")
    assert (await begin(journal, attempt="2") is None) == (order is None)


async def test_order_on_its_way_is_not_settled_as_not_placed(journal):
    """While an order may still be sent, nobody can know that it was not placed; that it was placed, anybody may."""
    await begin(journal, within=60.0)

    with pytest.raises(ValueError, match="on its way, for 60 seconds"):
        await journal.settle("a", placed=False)
    assert (await journal.get("a")).state is OPEN

    await journal.finish("a", OPEN, attempt="1", note="Lost.")
    assert (await journal.settle("a", placed=False)).state is NOT_SENT


async def test_order_is_settled_after_the_clock_was_turned_back(journal, path):
    """A clock that was turned back by a year keeps nobody from settling an order for a year."""
    await begin(journal, within=60.0)
    change(path, "update smm_order set opened_at = '2999-01-01T00:00:00.000Z', ends_at = '2999-01-01T00:01:00.000Z'")

    assert (await journal.settle("a", placed=False)).state is NOT_SENT


async def test_settle_without_one_verdict_is_refused(journal):
    """Settling takes an id, or the word that it was not placed; both or neither is a mistake."""
    await begin(journal, within=0.0)

    for verdict in ({}, {"placed": True}, {"order": 1, "placed": False}, {"order": 1, "placed": True}):
        with pytest.raises(ValueError, match="Say either"):
            await journal.settle("a", **verdict)
    assert (await journal.get("a")).state is OPEN


async def test_settle_with_what_is_no_id_is_refused(journal):
    """An order is settled with an id, or not at all."""
    await begin(journal)

    for bad in ("", "1,2", True, -1):
        with pytest.raises(ValueError, match="is no order id"):
            await journal.settle("a", order=bad)


@pytest.mark.parametrize("state", [PLACED, REFUSED, NOT_SENT])
async def test_settle_of_what_is_not_open_is_refused(journal, state):
    """What is known is not settled again."""
    await begin(journal)
    before = await journal.finish("a", state, attempt="1", order="77" if state is PLACED else None)

    with pytest.raises(ValueError, match=state.value):
        await journal.settle("a", order=78)

    assert await journal.get("a") == before


async def test_settle_of_an_order_that_is_not_there_is_an_error(journal):
    """There is nothing to settle where there is no order."""
    with pytest.raises(LookupError, match="'a'"):
        await journal.settle("a", order=1)


# --- What it tells


async def test_lists_have_the_oldest_first(journal):
    """All orders, and the open ones among them, come in the order they were first begun."""
    for ref in "dbca":
        await begin(journal, ref)
    await journal.finish("b", REFUSED, attempt="1")
    await begin(journal, "b", attempt="2")
    await journal.finish("c", NOT_SENT, attempt="1")

    assert [entry.ref for entry in await journal.entries()] == ["d", "b", "c", "a"]
    assert [entry.ref for entry in await journal.unknown()] == ["d", "b", "a"]


async def test_journal_of_nothing_is_empty(journal):
    """A journal that nothing was written to holds nothing."""
    assert await journal.entries() == await journal.unknown() == []
    assert await journal.get("a") is None
    assert await journal.last_change() == 0


async def test_age_counts_from_the_end_of_sending(journal, path):
    """Until its sending has ended an order has no age; then it counts by the machine's clock."""
    await begin(journal, within=60.0)
    assert -61 < await journal.age("a") <= -59.9

    await journal.finish("a", OPEN, attempt="1")
    assert 0 <= await journal.age("a") < 5

    change(path, "update smm_order set ends_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1000 seconds')")
    assert 999 < await journal.age("a") < 1005


async def test_age_after_the_clock_was_turned_back_is_that_of_a_new_order(journal, path):
    """A clock that was turned back by a year makes nobody wait for a year."""
    await begin(journal, within=60.0)
    change(path, "update smm_order set opened_at = '2999-01-01T00:00:00.000Z', ends_at = '2999-01-01T00:01:00.000Z'")

    assert await journal.age("a") == pytest.approx(-60, abs=0.01)


async def test_age_of_an_order_that_is_not_there_is_an_error(journal):
    """What is not there has no age."""
    with pytest.raises(LookupError, match="'a'"):
        await journal.age("a")


@pytest.mark.parametrize("within", [0.0, 1e-7, 1e12])
async def test_budget_of_any_length_can_be_written(journal, within):
    """The shortest and the longest budget are no reason not to place an order."""
    assert await begin(journal, within=within) is None
    assert await journal.age("a") < 1


async def test_orders_that_may_have_moved_the_balance(journal):
    """Open orders, and those placed since the balance was asked for, may have moved it; all others have not."""
    await place(journal, "before", "1")
    await begin(journal, "open")
    await begin(journal, "late")
    since = await journal.last_change()
    await journal.finish("late", PLACED, attempt="1", order="2")
    await begin(journal, since=since)
    await place(journal, "after", "3")
    await begin(journal, "refused")
    await journal.finish("refused", REFUSED, attempt="1")
    await begin(journal, "new")

    assert [entry.ref for entry in await journal.moved_since("a")] == ["open", "late", "after", "new"]
    assert [entry.ref for entry in await journal.placed_before("a")] == ["before"]


async def test_orders_placed_before_are_by_the_same_action(journal):
    """The ids of products and of services are counted apart."""
    await journal.begin("product", "add_product_order", {}, attempt="1", within=60.0)
    await journal.finish("product", PLACED, attempt="1", order="5")
    await place(journal, "service", "900")
    await begin(journal)

    assert [entry.order for entry in await journal.placed_before("a")] == ["900"]


# --- The file


@pytest.mark.parametrize("path", ["", ":memory:", "file:orders.db?mode=memory"])
def test_journal_in_memory_is_refused(path):
    """What no crash survives is no journal."""
    with pytest.raises(ValueError, match="does not survive"):
        smm.Journal(path)


async def test_journal_stays_where_it_was_named(tmp_path, monkeypatch):
    """A relative path means one file, wherever the program goes later."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    journal = smm.Journal("orders.db")
    await begin(journal)
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert await begin(journal, attempt="2") is not None
    assert repr(journal) == f"Journal({str(tmp_path / 'orders.db')!r})"
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_journal_of_another_version_is_refused(journal, path):
    """A file that a later version made is neither read nor changed."""
    await begin(journal)
    change(path, "pragma user_version = 2")

    for call in (journal.entries(), begin(journal, "b")):
        with pytest.raises(ValueError, match=r"version 2; this smm_async reads version 1"):
            await call


async def test_file_that_is_no_database_is_left_alone(journal, path):
    """A file of another kind is an error, and stays as it is."""
    path.write_bytes(b"not a database" * 100)

    with pytest.raises(sqlite3.DatabaseError):
        await begin(journal)

    assert path.read_bytes() == b"not a database" * 100


def test_every_commit_waits_for_the_disk(path):
    """The file is written ahead and synchronised in full, on every system, at every commit."""
    pragmas = ("journal_mode", "synchronous", "fullfsync")

    found = _journal_file.transact(str(path), lambda db: [db.execute(f"pragma {name}").fetchone() for name in pragmas])

    assert found == [("wal",), (2,), (1,)]


def test_transaction_that_fails_changes_nothing(path):
    """If anything raises, what was written before in the same transaction is taken back."""

    def fail(db):
        db.execute("insert into smm_order values (1,'a','add','{}','open',null,'',null,'1',0,1,'','')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _journal_file.transact(str(path), fail)

    assert _journal_file.transact(str(path), lambda db: _journal_file.select(db, "")) == []


async def test_ref_is_any_printable_text(journal):
    """A ref of up to 200 printable characters is one, whatever they are."""
    refs = ["x" * 200, "Rechnung 7/ü", "'; drop table smm_order; --"]

    for ref in refs:
        await begin(journal, check_ref(ref))

    assert [entry.ref for entry in await journal.entries()] == refs


@pytest.mark.parametrize("ref", ["", "x" * 201, "a\n", "a\0", "\ud800", 7, None, b"a"])
def test_what_is_no_ref_is_refused(ref):
    """A ref is a text that people can read, and not a long one."""
    with pytest.raises(ValueError, match="A ref is a text"):
        check_ref(ref)

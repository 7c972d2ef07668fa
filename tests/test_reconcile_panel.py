"""Looking for an order whose answer was lost: what is asked of the panel, when, and what is found."""

from decimal import Decimal

import anyio
import pytest

import smm_async as smm
from smm_async import _journal_file
from smm_async.testing import Fault, SimulatedService
from tests.placing import (
    KEY,
    LINK,
    ORDER,
    PLACING,
    client_of,
    every_placing,
    journal,  # noqa: F401  a fixture is used by its name
    make_panel,
    outcome_of,
    panel,  # noqa: F401
    threadless,  # noqa: F401
)
from tests.virtual_time import anyio_backend  # noqa: F401

PLACED, NOT_PLACED, UNKNOWN = smm.Verdict.PLACED, smm.Verdict.NOT_PLACED, smm.Verdict.UNKNOWN
pytestmark = pytest.mark.usefixtures("threadless")


@pytest.fixture
def evident(journal):
    """A journal that asks for the balance before each order."""
    journal.evidence = True
    return journal


async def lose(panel, client, call, *, executed, ref="lost"):
    """Have the answer to an order be lost."""
    panel.fault(Fault.lost_answer(executed=executed), action=None if call not in PLACING else call)
    panel.clear_faults()
    panel.fault(Fault.lost_answer(executed=executed), action="add" if call == "add" else "add_product_order")
    assert type(await outcome_of(PLACING[call](client, ref=ref))) is smm.OutcomeUnknownError


async def change(journal, statement):
    """Change the file behind the journal's back."""
    await journal._run(lambda db: db.execute(statement))


def writes_in(panel):
    """Return the actions of the writes that reached the panel."""
    return [request.action for request in panel.requests if request.action not in READS]


READS = {"balance", "services", "products", "status", "product_order_status"}


@every_placing
@pytest.mark.parametrize(("executed", "verdict"), [(True, PLACED), (False, NOT_PLACED)])
async def test_balance_tells_whether_a_lone_order_was_placed(panel, evident, name, executed, verdict):
    """If nothing else happened, the balance before and after decides, with no other write and two reads."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, name, executed=executed)
        before = panel.count()

        found = await client.reconcile("lost")

    assert (found.ref, found.verdict, found.order) == ("lost", verdict, None)
    assert "The balance went from 1000.005 to" in found.evidence[0]
    assert writes_in(panel) == [name]
    assert panel.count() - before == 2
    assert (await evident.get("lost")).state is smm.EntryState.OPEN


async def test_verdict_can_be_settled(panel, evident):
    """What was found missing may be settled and placed again, and is placed once."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add", executed=False)
        found = await client.reconcile("lost")
        await evident.settle(found.ref, placed=False)
        assert await client.add(ORDER, ref="lost") == "5"

    assert len(panel.executed) == 1


@pytest.mark.parametrize(("settle", "ago", "waited"), [(120.0, 0, 120), (0.0, 0, 0), (120.0, 100, 20), (120.0, 500, 0)])
async def test_reconcile_waits_until_panels_have_booked(panel, evident, settle, ago, waited):
    """Nothing is looked at before the settle time is over, counted from the end of the sending."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add", executed=True)
        await change(
            evident, f"update smm_order set ends_at = strftime('%Y-%m-%dT%H:%M:%fZ', ends_at, '-{ago} seconds')"
        )
        before, asked = anyio.current_time(), panel.count()

        await client.reconcile("lost", settle=settle)

    assert [request.at - before for request in panel.requests[asked:]] == pytest.approx([waited] * 2, abs=2)


async def test_reconcile_waits_for_an_order_that_may_still_be_sent(panel, evident):
    """An order that another process may be sending is looked for when its time and the settle time are over."""
    await evident.begin("lost", "add", {"service": "1"}, attempt="1", within=60.0)
    async with client_of(panel, journal=evident) as client:
        before = anyio.current_time()
        await client.reconcile("lost", settle=120.0)

    assert panel.requests[0].at - before == pytest.approx(180, abs=2)


async def test_order_that_is_booked_late_is_found(panel, evident):
    """A panel that carries an order out after the answer was lost is not misjudged."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add", executed=False)

        async with anyio.create_task_group() as tasks:

            async def book_late():
                await anyio.sleep(60)
                panel.answer({"key": KEY, "action": "add", **ORDER.form_fields()})

            tasks.start_soon(book_late)
            found = await client.reconcile("lost")

    assert found.verdict is PLACED


@pytest.mark.parametrize("state", [smm.EntryState.PLACED, smm.EntryState.REFUSED, smm.EntryState.NOT_SENT])
async def test_order_that_is_not_open_is_what_the_journal_says(panel, journal, state):
    """What the journal knows is told without any request or wait."""
    await journal.begin("a", "add", {}, attempt="1", within=60.0)
    await journal.finish("a", state, attempt="1", order="77" if state is smm.EntryState.PLACED else None)

    async with client_of(panel, journal=journal) as client:
        before = anyio.current_time()
        found = await client.reconcile("a")
        assert anyio.current_time() == before

    assert found.verdict is (PLACED if state is smm.EntryState.PLACED else NOT_PLACED)
    assert found.order == ("77" if state is smm.EntryState.PLACED else None)
    assert found.evidence == (f"The journal says that it was {state.value}.",)
    assert panel.count() == 0


@pytest.mark.parametrize("is_sent_again", [False, True])
async def test_what_happens_while_it_waits_counts(panel, evident, is_sent_again):
    """If the order is settled in the meantime that is the verdict; if it is sent again there is none."""

    async def settle():
        await anyio.sleep(60)
        await evident.settle("lost", order=None if is_sent_again else 77, placed=False if is_sent_again else None)
        if is_sent_again:
            await change(evident, "update smm_order set opened_at = '', ends_at = ''")
            await evident.begin("lost", "add", ORDER.form_fields(), attempt="2", within=60.0)

    async with client_of(panel, journal=evident) as client, anyio.create_task_group() as tasks:
        await lose(panel, client, "add", executed=True)
        before = panel.count()
        tasks.start_soon(settle)
        found = await client.reconcile("lost")

    assert (found.verdict, found.order) == ((UNKNOWN, None) if is_sent_again else (PLACED, "77"))
    assert panel.count() == before


OTHERS = {
    "placed_since": lambda client, panel: client.add(ORDER),
    "lost_since": lambda client, panel: lose(panel, client, "add", executed=True, ref="other"),
    "product_since": lambda client, panel: client.add_product_order(3, 1, "-"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("executed", [True, False])
async def test_balance_says_nothing_if_other_orders_moved_it(panel, evident, other, executed):
    """As soon as the journal has another order that may have moved the balance, it proves nothing."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add", executed=executed)
        await other(client, panel)
        found = await client.reconcile("lost")

    assert found.verdict is UNKNOWN
    assert "1 other orders" in found.evidence[0]


async def test_balance_says_nothing_if_an_earlier_order_was_still_on_its_way(panel, evident):
    """An order that was begun before, and answered after the balance was asked for, may be what moved it."""
    panel.fault(Fault.late(5.0), action="add")

    async with client_of(panel, journal=evident) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.add, ORDER)
        await anyio.sleep(1.0)
        await lose(panel, client, "add", executed=False)
        await anyio.sleep(10.0)
        found = await client.reconcile("lost")

    assert found.verdict is UNKNOWN
    assert "1 other orders" in found.evidence[0]


async def test_orders_that_were_not_placed_moved_nothing(panel, evident):
    """What was refused, never left, or was placed long before does not stand in the way of a verdict."""
    async with client_of(panel, journal=evident) as client:
        await client.add(ORDER)
        await lose(panel, client, "add", executed=True)
        for fault in (Fault.error("Not enough funds on balance"), Fault.refuse()):
            panel.fault(fault, action="add")
            await outcome_of(client.add(ORDER))
        found = await client.reconcile("lost")

    assert found.verdict is PLACED


SERVICES = (
    SimulatedService(service=1, name="Followers", rate=Decimal("0.90")),
    SimulatedService(service=2, name="Comments", type="Custom Comments", rate=Decimal(8)),
    SimulatedService(service=3, name="Likes", rate=Decimal("0.25"), dripfeed=True),
    SimulatedService(service=4, name="Package", type="Package", rate=Decimal("12.5")),
    SimulatedService(service=5, name="Later", type="Subscriptions", rate=Decimal("1.2")),
    SimulatedService(service=6, name="Mentions", type="Mentions Custom List", rate=Decimal("3.5")),
    SimulatedService(service=7, name="Strange", type="Strange", rate=Decimal(4)),
)
PRICED = {
    "comments": (smm.orders.CustomComments(service=2, link=LINK, comments=["a", "b", "c"]), PLACED),
    "drip_feed": (smm.orders.Default(service=3, link=LINK, quantity=100, runs=3, interval=5), PLACED),
    "package": (smm.orders.Package(service=4, link=LINK), PLACED),
    "names": (smm.orders.MentionsCustomList(service=6, link=LINK, usernames=["a", "b"]), PLACED),
    "strange_type": (smm.orders.Default(service=7, link=LINK, quantity=100), PLACED),
    "subscription": (smm.orders.Subscriptions(service=5, username="u", min=10, max=10, delay=0), UNKNOWN),
    "no_such_service": (smm.orders.Default(service=99, link=LINK, quantity=100), UNKNOWN),
    "no_quantity": (smm.orders.Custom(service=7, extra={"amount": 5}), UNKNOWN),
    "odd_quantity": (smm.orders.Custom(service=7, extra={"quantity": "many"}), UNKNOWN),
    "no_quantity_at_all": (smm.orders.Custom(service=7, extra={"quantity": 0}), UNKNOWN),
}


@pytest.mark.parametrize(("order", "verdict"), PRICED.values(), ids=PRICED)
async def test_price_is_known_where_it_can_be(evident, order, verdict):
    """What an order costs is told by its type; where that does not say it, the balance proves nothing."""
    panel = make_panel(services=SERVICES)
    panel.fault(Fault.lost_answer(), action="add")

    async with client_of(panel, journal=evident) as client:
        await outcome_of(client.add(order, ref="lost"))
        found = await client.reconcile("lost")

    assert found.verdict is verdict
    if verdict is UNKNOWN:
        assert "price is not known" in found.evidence[0]


async def test_price_of_a_service_without_a_rate_is_not_known(panel, evident):
    """Where the catalogue has no price, the balance proves nothing."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add", executed=True)
        panel.fault(Fault.raw('[{"service": 1, "name": "Followers", "type": "Default"}]'), action="services")
        assert (await client.reconcile("lost")).verdict is UNKNOWN


@pytest.mark.parametrize("catalogue", ["[]", '[{"product": 1, "name": "x"}]'])
async def test_price_of_a_product_that_is_gone_is_not_known(panel, evident, catalogue):
    """A product that the catalogue no longer has, or has without a price, proves nothing."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add_product_order", executed=True)
        panel.fault(Fault.raw(catalogue), action="products")
        assert (await client.reconcile("lost")).verdict is UNKNOWN


async def test_without_the_balance_before_nothing_is_known(panel, journal):
    """A journal that did not ask for the balance leaves it to the neighbours."""
    async with client_of(panel, journal=journal) as client:
        await lose(panel, client, "add", executed=True)
        found = await client.reconcile("lost")

    assert found.verdict is UNKNOWN
    assert "evidence=True" in found.evidence[0]


# --- Neighbours


@every_placing
async def test_neighbours_show_the_order_itself(panel, journal, name):
    """Among the next ids, the one of this account that costs what the order costs is the order."""
    async with client_of(panel, journal=journal) as client:
        before = await PLACING[name](client)
        await lose(panel, client, name, executed=True)
        asked = panel.count()
        found = await client.reconcile("lost", neighbours=100)

    assert (found.verdict, found.order) == (PLACED, str(int(before) + 1))
    assert len(found.evidence) == 2
    assert writes_in(panel) == [name, name]
    # Ids that nobody has are asked for singly, where a panel is silent about them in a batch.
    assert panel.count() - asked <= 2 + 100


async def test_neighbours_and_balance_that_contradict_each_other_are_unknown(panel, evident):
    """If the balance says no and an id says yes, nobody knows."""
    async with client_of(panel, journal=evident) as client:
        await client.add(ORDER)
        await lose(panel, client, "add", executed=True)
        panel.balance += Decimal("0.09")
        found = await client.reconcile("lost", neighbours=10)

    assert (found.verdict, found.order) == (UNKNOWN, None)
    assert "would have cost" in found.evidence[0]
    assert "costs what the order costs" in found.evidence[1]


@pytest.mark.parametrize(("quantity", "verdict"), [(100, UNKNOWN), (200, PLACED)])
async def test_neighbour_may_be_another_open_order(panel, journal, quantity, verdict):
    """If two orders at one price are open, one order on the panel is nobody's; at two prices it is known."""
    async with client_of(panel, journal=journal) as client:
        await client.add(ORDER)
        await lose(panel, client, "add", executed=True)
        panel.fault(Fault.lost_answer(executed=False), action="add")
        await outcome_of(client.add(smm.orders.Default(service=1, link=LINK, quantity=quantity), ref="other"))
        found = await client.reconcile("lost", neighbours=10)

    assert found.verdict is verdict


async def test_neighbours_need_an_order_that_is_known(panel, journal):
    """Without an earlier id with a number there are no neighbours to look at."""
    async with client_of(panel, journal=journal) as client:
        await client.add_product_order(3, 1, "-")
        await lose(panel, client, "add", executed=True)
        before = panel.count()
        found = await client.reconcile("lost", neighbours=10)

    assert found.verdict is UNKNOWN
    assert "no earlier order with a number" in found.evidence[1]
    assert panel.count() - before == 2


# --- Mistakes and troubles


async def test_reconcile_of_what_is_not_there_is_an_error(panel, journal):
    """A ref that the journal does not know is a mistake."""
    async with client_of(panel, journal=journal) as client:
        with pytest.raises(LookupError, match="'a'"):
            await client.reconcile("a")


@pytest.mark.parametrize("neighbours", [-1, 1001, 1.5, True, None])
async def test_reconcile_with_a_bad_number_of_neighbours_is_refused(panel, journal, neighbours):
    """How many ids are looked at is bounded."""
    async with client_of(panel, journal=journal) as client:
        with pytest.raises(ValueError, match="neighbours must be"):
            await client.reconcile("a", neighbours=neighbours)


@pytest.mark.parametrize("settle", [-1, float("inf"), None])
async def test_reconcile_with_a_bad_settle_time_is_refused(panel, journal, settle):
    """The settle time is a number of seconds."""
    async with client_of(panel, journal=journal) as client:
        with pytest.raises(ValueError, match="settle must be"):
            await client.reconcile("a", settle=settle)


async def test_reconcile_without_a_journal_is_refused(panel):
    """Without a journal there is nothing to look for."""
    async with client_of(panel) as client:
        with pytest.raises(ValueError, match="without a journal"):
            await client.reconcile("a")


@pytest.mark.parametrize("action", ["balance", "services"])
async def test_read_that_fails_is_an_error_and_no_verdict(panel, evident, action):
    """Without evidence nothing is said, and the order stays open."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add", executed=True)
        panel.fault(Fault.html(), action=action, times=None)
        with pytest.raises(smm.BadReplyError):
            await client.reconcile("lost")

    assert (await evident.get("lost")).state is smm.EntryState.OPEN


async def test_reconcile_that_is_cancelled_leaves_everything_as_it_was(panel, evident):
    """Whoever is cancelled while it waits has asked for nothing, and the order is open as before."""
    async with client_of(panel, journal=evident) as client:
        await lose(panel, client, "add", executed=True)
        entries, before = await evident.entries(), panel.count()

        with anyio.move_on_after(60):
            await client.reconcile("lost")

    assert panel.count() == before
    assert await evident.entries() == entries


def test_reads_of_the_panel_are_no_writes():
    """The list of reads that the tests above rely on holds none of the writes."""
    assert READS.isdisjoint(PLACING)
    assert _journal_file.EntryState is smm.EntryState

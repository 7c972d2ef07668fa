"""The simulated panel: its answers, its books, its clock and its records, without a socket."""

import json
from decimal import Decimal

import anyio
import attrs
import pytest

from smm_async import testing
from smm_async.testing import (
    D3MWORLD,
    ONE_DG,
    SERVICES,
    STANDARD,
    SimulatedPanel,
    SimulatedProduct,
    SimulatedService,
)

LINK = "https://example.com/p/1"


class Clock:
    """A clock that only a test moves."""

    now = 0.0

    def __call__(self):
        """Return the moment."""
        return self.now


@pytest.fixture
def clock():
    """Give a clock that stands at 0."""
    return Clock()


@pytest.fixture
def panel(clock):
    """Give a standard panel whose orders take 100 seconds."""
    return SimulatedPanel(clock=clock, durations=(100.0, 100.0))


def ask(panel, action, **fields):
    """Send one form and return the decoded answer."""
    return json.loads(panel.answer({"key": panel.key, "action": action} | fields).body)


def panel_of(dialect, **options):
    """Return a panel of a dialect whose clock stands still."""
    return SimulatedPanel(dialect=dialect, clock=Clock(), **options)


# The literal examples of the two panels' pages.


def test_services_of_1dg():
    """The catalogue looks like the example on the page of 1dg."""
    services = [
        SimulatedService(
            service=1, name="Youtube views", category="Youtube", rate=Decimal("2.5"), min=200, refill=True
        ),
        SimulatedService(
            service=2,
            name="Facebook comments",
            type="Custom Comments",
            category="Facebook",
            rate=Decimal(4),
            min=10,
            max=1500,
        ),
    ]

    rows = ask(panel_of(ONE_DG, services=services), "services")

    assert rows == [
        {
            "service": 1,
            "name": "Youtube views",
            "type": "Default",
            "category": "Youtube",
            "rate": "2.5",
            "min": "200",
            "max": "10000",
            "refill": True,
        },
        {
            "service": 2,
            "name": "Facebook comments",
            "type": "Custom Comments",
            "category": "Facebook",
            "rate": "4",
            "min": "10",
            "max": "1500",
            "refill": False,
        },
    ]


def test_services_of_d3mworld():
    """The catalogue looks like the example on the page of d3mworld."""
    service = SimulatedService(
        service=1,
        name="Followers",
        category="First Category",
        rate=Decimal("0.90"),
        min=50,
        refill=True,
        cancel=True,
    )

    rows = ask(panel_of(D3MWORLD, services=[service]), "services")

    assert rows == [
        {
            "service": 1,
            "name": "Followers",
            "type": "Default",
            "category": "First Category",
            "rate": "0.90",
            "min": "50",
            "max": "10000",
            "refill": True,
            "cancel": True,
        }
    ]


@pytest.mark.parametrize(("dialect", "order"), [(ONE_DG, 99999), (D3MWORLD, 23501)], ids=["1dg", "d3mworld"])
def test_add_of_both_pages(dialect, order):
    """A new order is answered with its id as a number."""
    panel = panel_of(dialect, first_order=order)

    assert ask(panel, "add", service="1", link=LINK, quantity="100") == {"order": order}


def status_example(dialect):
    """Return a panel with the orders of the two pages' examples for several ids."""
    services = [
        SimulatedService(service=1, name="Views", rate=Decimal("0.27819")),
        SimulatedService(service=2, name="Likes", rate=Decimal("1.44219")),
    ]
    panel = panel_of(dialect, services=services, first_order=123)
    panel.place(1, quantity=1157)
    panel.seed_orders(665)
    panel.place(2)
    panel.set_status(123, "Partial", remains=157)
    panel.set_status(789, "In progress", remains=10)
    panel.orders[123].start_count = 3572
    panel.orders[789].start_count = 234
    del panel.orders[456]
    return panel


@pytest.mark.parametrize(("dialect", "end"), [(ONE_DG, {}), (D3MWORLD, {"currency": "USD"})], ids=["1dg", "d3mworld"])
def test_status_of_both_pages(dialect, end):
    """One and several orders look like the examples on both pages, with the currency only where it was."""
    panel = status_example(dialect)
    partial = {"charge": "0.27819", "start_count": "3572", "status": "Partial", "remains": "157"} | end
    running = {"charge": "1.44219", "start_count": "234", "status": "In progress", "remains": "10"} | end

    assert ask(panel, "status", order="123") == partial
    assert ask(panel, "status", orders="123,456,789") == {
        "123": partial,
        "456": {"error": "Incorrect order ID"},
        "789": running,
    }


def test_status_of_1dg_after_over_delivery():
    """A completed order may have less than nothing remaining, as on the page of 1dg."""
    panel = panel_of(ONE_DG, services=[SimulatedService(service=1, name="Views", rate=Decimal("2.5"))])
    order = panel.place()
    panel.set_status(order, "Completed", remains=-2)
    panel.orders[order].start_count = 168

    row = ask(panel, "status", order=str(order))

    assert row == {"charge": "2.5", "start_count": "168", "status": "Completed", "remains": "-2"}


@pytest.mark.parametrize(
    ("dialect", "balance"), [(ONE_DG, "68.6868"), (D3MWORLD, "100.84292")], ids=["1dg", "d3mworld"]
)
def test_balance_of_both_pages(dialect, balance):
    """The balance is a text beside its currency."""
    panel = panel_of(dialect, balance=Decimal(balance))

    assert ask(panel, "balance") == {"balance": balance, "currency": "USD"}


@pytest.mark.parametrize("dialect", [ONE_DG, D3MWORLD], ids=["1dg", "d3mworld"])
def test_refill_of_both_pages(dialect):
    """A refill is answered with its id as a text, and its status with one word."""
    panel = panel_of(dialect)
    order = panel.place(duration=0.0)

    assert ask(panel, "refill", order=str(order)) == {"refill": "1"}
    panel.set_refill_status(1, "Completed")
    assert ask(panel, "refill_status", refill="1") == {"status": "Completed"}


def test_refills_of_1dg():
    """Several refills are answered with a row for each order, with an error in the place of a refused refill."""
    panel = panel_of(ONE_DG)
    panel.place(duration=0.0)
    panel.place(duration=0.0)

    assert ask(panel, "refill", orders="1,2,9,x") == [
        {"order": 1, "refill": 1},
        {"order": 2, "refill": 2},
        {"order": 9, "refill": {"error": "Incorrect order ID"}},
        {"order": "x", "refill": {"error": "Incorrect order ID"}},
    ]


def test_refills_of_1dg_as_printed():
    """Several refills are answered with the first alone, where the dialect takes the page of 1dg at its word."""
    panel = panel_of(attrs.evolve(ONE_DG, plural_refill="single"))
    panel.place(duration=0.0)

    assert ask(panel, "refill", orders="1,9") == {"refill": "1"}
    assert ask(panel, "refill", orders="9,1") == {"error": "Incorrect order ID"}
    assert ask(panel, "refill", orders="") == {"error": "Incorrect order ID"}


def test_refill_statuses_of_1dg():
    """Several refills look like the example on the page of 1dg, ids as numbers and errors inside the status."""
    panel = panel_of(ONE_DG)
    for order in (panel.place(duration=0.0), panel.place(duration=0.0)):
        ask(panel, "refill", order=str(order))
    panel.set_refill_status(1, "Completed")
    panel.set_refill_status("2", "Rejected")

    assert ask(panel, "refill_status", refills="1,2,3") == [
        {"refill": 1, "status": "Completed"},
        {"refill": 2, "status": "Rejected"},
        {"refill": 3, "status": {"error": "Incorrect refill ID"}},
    ]


def test_products_of_1dg():
    """The products look like the example on the page of 1dg, numbers as numbers."""
    account = "Input your account"
    products = [
        SimulatedProduct(
            product=1,
            name="Netflix premium 1 month",
            require=account,
            rate=Decimal("2.5"),
            category="Netflix",
            inventory=40,
            type="Auto",
        ),
        SimulatedProduct(
            product=2,
            name="Youtube premium 1 month",
            require=account,
            rate=Decimal(5),
            max=1,
            category="Youtube",
            inventory=0,
            type="Auto",
        ),
        SimulatedProduct(
            product=3, name="Facebook account 5000 friends", rate=Decimal("0.5"), max=2, category="Facebook"
        ),
    ]

    rows = ask(panel_of(ONE_DG, products=products), "products")

    assert rows == [
        {
            "product": 1,
            "name": "Netflix premium 1 month",
            "require": account,
            "rate": 2.5,
            "min": 1,
            "max": 10,
            "category": "Netflix",
            "status": "In stock",
            "inventory": 40,
            "type": "Auto",
        },
        {
            "product": 2,
            "name": "Youtube premium 1 month",
            "require": account,
            "rate": 5,
            "min": 1,
            "max": 1,
            "category": "Youtube",
            "status": "Out of stock",
            "inventory": 0,
            "type": "Auto",
        },
        {
            "product": 3,
            "name": "Facebook account 5000 friends",
            "rate": 0.5,
            "min": 1,
            "max": 2,
            "category": "Facebook",
            "status": "In stock",
            "type": "Service",
        },
    ]


def test_product_orders_of_1dg():
    """Product orders look like the examples on the page of 1dg."""
    products = [
        SimulatedProduct(product=1, name="Film club", rate=Decimal("2.5"), inventory=40),
        SimulatedProduct(product=2, name="Voucher", rate=Decimal(1)),
    ]
    panel = panel_of(ONE_DG, products=products, first_order=123)

    made = [
        ask(panel, "add_product_order", product=product, quantity=n)
        for product, n in [("1", "3"), ("1", "1"), ("2", "6")]
    ]
    panel.set_product_status(123, "Completed")
    panel.set_product_status(124, "Canceled", note="Out of stock")
    panel.set_product_status("125", "Partial", refund=Decimal("0.4"))
    panel.product_orders[123].result = "c85c1d1a-9ef3-4d01-8c58-3dfaf3bbc78e"

    completed = {"charge": 7.5, "status": "Completed", "result": "c85c1d1a-9ef3-4d01-8c58-3dfaf3bbc78e"}
    assert made == [{"order": 123}, {"order": 124}, {"order": 125}]
    assert ask(panel, "product_order_status", order="123") == completed
    assert ask(panel, "product_order_status", orders="123,456,124,125") == {
        "123": completed,
        "456": {"error": "Incorrect order ID"},
        "124": {"charge": 0, "status": "Canceled", "note": "Out of stock"},
        "125": {"charge": 5.6, "status": "Partial", "note": "", "refund": 0.4},
    }


# What each dialect knows.


def test_cancel_answers_rows_and_one(panel):
    """A cancel answers a row for each id, and one alone in the single form."""
    panel.seed_orders(3)

    assert ask(panel, "cancel", orders="1,9,2") == [
        {"order": 1, "cancel": 1},
        {"order": 9, "cancel": {"error": "Incorrect order ID"}},
        {"order": 2, "cancel": 1},
    ]
    assert ask(panel, "cancel", order="3") == {"cancel": 1}


def test_services_of_standard_have_all_flags(panel):
    """The standard catalogue says which services drip, refill and cancel."""
    row = ask(panel, "services")[2]

    assert (row["dripfeed"], row["refill"], row["cancel"]) == (True, True, False)


def test_numbers_without_texts():
    """A dialect may write counts and money as JSON numbers."""
    panel = panel_of(attrs.evolve(STANDARD, has_text_numbers=False))
    panel.place(duration=0.0)

    assert ask(panel, "balance") == {"balance": 1000, "currency": "USD"}
    assert ask(panel, "refill", order="1") == {"refill": 1}
    assert ask(panel, "services")[0] | {"rate": 0.9, "min": 50, "max": 10000} == ask(panel, "services")[0]
    assert ask(panel, "status", order="1")["charge"] == 0.9


@pytest.mark.parametrize("action", ["products", "cancel", "Status", ""])
def test_action_unknown_to_d3mworld(action):
    """An action that the dialect lacks is an incorrect request."""
    assert ask(panel_of(D3MWORLD), action) == {"error": "Incorrect request"}


@pytest.mark.parametrize("key", [{"key": "other"}, {"key": ""}, {}], ids=["other", "empty", "missing"])
def test_key_wrong(panel, key):
    """A wrong or missing key is refused before anything else."""
    answer = panel.answer({"action": "nonsense"} | key)

    assert answer.status == 200
    assert answer.headers == (("content-type", "application/json"),)
    assert json.loads(answer.body) == {"error": "Invalid API key"}
    assert not panel.requests[0].is_authorized


def test_key_empty_is_refused():
    """A panel cannot be made with an empty key."""
    with pytest.raises(ValueError, match="must not be empty"):
        SimulatedPanel("")


def test_key_field_of_the_dialect():
    """The key travels in the field that the dialect names."""
    panel = SimulatedPanel("secret", dialect=attrs.evolve(STANDARD, key_field="api_token"), clock=Clock())

    answer = panel.answer({"api_token": "secret", "action": "balance"})

    assert json.loads(answer.body)["balance"] == "1000"
    assert "secret" not in repr(panel.requests)


def test_plural_form_unknown_to_d3mworld():
    """Where an action takes one id, several ids count as a missing one."""
    panel = panel_of(D3MWORLD)
    panel.place(duration=0.0)

    assert ask(panel, "refill", orders="1") == {"error": "Incorrect order ID"}
    assert ask(panel, "refill_status", refills="1") == {"error": "Incorrect refill ID"}
    assert panel.requests[0].ids == ()


def test_ids_repeated_and_blank(panel):
    """Duplicates and blanks in a plural request collapse, and the record keeps the duplicates."""
    panel.seed_orders(2)

    rows = ask(panel, "status", orders="2, 1,,2 ")

    assert list(rows) == ["2", "1"]
    assert panel.requests[0].ids == ("2", "1", "2")


@pytest.mark.parametrize("text", ["0", "-1", "1.0", "²", "٣", "a", "1_0", "9" * 5000, ""])
def test_id_odd(panel, text):
    """An id that is no number of an order is unknown."""
    panel.seed_orders(10)

    assert ask(panel, "status", order=text) == {"error": "Incorrect order ID"}


def test_batch_over_the_limit_is_cut_in_silence(panel):
    """Beyond the limit only the first ids are answered."""
    ids = panel.seed_orders(101)

    rows = ask(panel, "status", orders=",".join(map(str, ids)))

    assert list(rows) == [str(order) for order in ids[:100]]


def test_batch_over_the_limit_is_refused():
    """A dialect may refuse too many ids as a whole, duplicates not counted."""
    panel = panel_of(attrs.evolve(STANDARD, batch_limit=2, over_limit="error"))
    panel.seed_orders(3)

    assert ask(panel, "status", orders="1,2,3") == {"error": "Maximum 2 orders"}
    assert len(ask(panel, "status", orders="1,2,1")) == 2


# Selling.


@pytest.mark.parametrize(
    ("fields", "charge"),
    [
        ({"service": "1", "link": LINK, "quantity": "150"}, "0.135"),
        ({"service": "2", "link": LINK, "comments": "one\r\n\r\ntwo\nthree"}, "0.024"),
        ({"service": "3", "link": LINK, "quantity": "10", "runs": "4", "interval": "60"}, "0.01"),
        ({"service": "3", "link": LINK, "quantity": "10"}, "0.0025"),
        ({"service": "4", "link": LINK}, "12.5"),
        ({"service": "5", "username": "me", "min": "1", "max": "10", "delay": "0", "posts": "3"}, "0.036"),
        ({"service": "5", "username": "me", "min": "1", "max": "10", "delay": "0"}, "0.012"),
        ({"service": "6", "link": LINK, "quantity": "100", "answer_number": "2"}, "0.075"),
        ({"service": "7", "link": LINK, "usernames": "a\nb"}, "0.007"),
        ({"service": "8", "link": LINK, "comments": "one\ntwo"}, "0.5"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"service {value['service']}, {len(value)} fields",
)
def test_add_charges_the_balance(panel, fields, charge):
    """An order takes its exact price from the balance and shows it as its charge."""
    order = ask(panel, "add", **fields)["order"]

    assert panel.balance == 1000 - Decimal(charge)
    assert ask(panel, "status", order=str(order))["charge"] == charge
    assert panel.executed == [
        testing.ExecutedWrite(
            action="add", order=order, charge=Decimal(charge), fields={"action": "add"} | fields, at=0.0
        )
    ]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Incorrect service ID"),
        ({"service": "77"}, "Incorrect service ID"),
        ({"service": "1", "quantity": "100"}, "Bad link"),
        ({"service": "1", "link": LINK}, "quantity is required"),
        ({"service": "1", "link": LINK, "quantity": "1e2"}, "Incorrect quantity"),
        ({"service": "1", "link": LINK, "quantity": "49"}, "Quantity less than minimal 50"),
        ({"service": "1", "link": LINK, "quantity": "10001"}, "Quantity more than maximum 10000"),
        ({"service": "2", "link": LINK, "comments": " "}, "comments is required"),
        ({"service": "9", "link": LINK, "quantity": "100", "country": "US"}, "device is required"),
        (
            {"service": "1", "link": LINK, "quantity": "50", "runs": "2", "interval": "1"},
            "Drip-feed is not available for this service",
        ),
        ({"service": "3", "link": LINK, "quantity": "50", "runs": "2"}, "interval is required"),
        ({"service": "3", "link": LINK, "quantity": "50", "runs": "0", "interval": "1"}, "runs is required"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_add_refused(panel, fields, text):
    """An order that lacks something is refused in the panel's words and costs nothing."""
    assert ask(panel, "add", **fields) == {"error": text}
    assert panel.balance == 1000
    assert panel.executed == []
    assert panel.orders == {}


def test_add_without_funds(panel):
    """An order dearer than the balance is refused; one of exactly the balance is not."""
    panel.balance = Decimal("0.09")

    refused = ask(panel, "add", service="1", link=LINK, quantity="101")
    made = ask(panel, "add", service="1", link=LINK, quantity="100")

    assert refused == {"error": "Not enough funds on balance"}
    assert made == {"order": 1}
    assert panel.balance == 0
    assert ask(panel, "balance")["balance"] == "0"


def test_catalogue_has_the_usual_types():
    """The default catalogue sells the common order types, also drip-feed, refill and cancel."""
    kinds = {service.type for service in SERVICES}

    assert kinds >= {"Default", "Package", "Custom Comments", "Subscriptions", "Poll"}
    assert any(service.dripfeed for service in SERVICES)
    assert {service.refill for service in SERVICES} == {service.cancel for service in SERVICES} == {True, False}


def test_add_product_order_takes_stock_and_money(panel):
    """A product order takes its pieces from the stock and its price from the balance."""
    made = ask(panel, "add_product_order", product="1", quantity="4", require="me")
    ask(panel, "add_product_order", product="3", quantity="2")

    assert made == {"order": 1}
    assert ask(panel, "products")[0]["inventory"] == 36
    assert panel.balance == Decimal(1000) - 10 - 1
    assert [write.action for write in panel.executed] == ["add_product_order", "add_product_order"]
    assert panel.orders == {}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"product": "9"}, "Incorrect product ID"),
        ({"product": "2", "quantity": "1"}, "Out of stock"),
        ({"product": "1", "require": "me"}, "Incorrect quantity"),
        ({"product": "1", "require": "me", "quantity": "0"}, "Quantity less than minimal 1"),
        ({"product": "1", "require": "me", "quantity": "11"}, "Quantity more than maximum 10"),
        ({"product": "1", "require": "", "quantity": "1"}, "require is required"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_add_product_order_refused(panel, fields, text):
    """A product order that lacks something is refused and costs nothing."""
    assert ask(panel, "add_product_order", **fields) == {"error": text}
    assert panel.balance == 1000
    assert panel.executed == []


def test_add_product_order_beyond_the_stock():
    """No more pieces are sold than there are."""
    panel = panel_of(ONE_DG, products=[SimulatedProduct(product=1, name="Voucher", inventory=3)])

    assert ask(panel, "add_product_order", product="1", quantity="4") == {"error": "Quantity more than maximum 3"}
    assert ask(panel, "add_product_order", product="1", quantity="3") == {"order": 1}
    assert ask(panel, "products")[0]["status"] == "Out of stock"


def test_product_order_canceled_and_revived(panel):
    """A canceled product order gives its money back, and takes it again when it is set to go on."""
    ask(panel, "add_product_order", product="3", quantity="2")

    panel.set_product_status(1, "Canceled")
    after_cancel = panel.balance
    panel.set_product_status(1, "In progress")

    assert after_cancel == 1000
    assert panel.balance == 999
    assert ask(panel, "product_order_status", order="1") == {"charge": 1, "status": "In progress"}


# Time.


@pytest.mark.parametrize(
    ("at", "status", "remains"),
    [
        (0.0, "Pending", "1000"),
        (9.9, "Pending", "1000"),
        (10.0, "Processing", "1000"),
        (20.0, "In progress", "1000"),
        (60.0, "In progress", "500"),
        (99.9, "In progress", "1"),
        (100.0, "Completed", "0"),
        (1e9, "Completed", "0"),
        (-5.0, "Pending", "1000"),
    ],
    ids=str,
)
def test_status_progresses(panel, clock, at, status, remains):
    """An order goes through all words while what remains falls to nothing."""
    panel.place()

    clock.now = at
    row = ask(panel, "status", order="1")

    assert (row["status"], row["remains"]) == (status, remains)


@pytest.mark.parametrize(("at", "status"), [(0.0, "Pending"), (50.0, "In progress"), (100.0, "Completed")], ids=str)
def test_refill_and_product_progress(panel, clock, at, status):
    """Refills and product orders have a course of their own."""
    panel.place(duration=0.0)
    ask(panel, "refill", order="1")
    ask(panel, "add_product_order", product="3", quantity="1")

    clock.now = at

    assert ask(panel, "refill_status", refill="1") == {"status": status}
    assert ask(panel, "product_order_status", order="1")["status"] == status
    assert ("result" in ask(panel, "product_order_status", order="1")) == (status == "Completed")


def test_durations_are_drawn_between_the_bounds():
    """Orders take different times within the bounds, the same for the same seed."""
    first, again, other = (panel_of(STANDARD, seed=seed, durations=(5.0, 9.0)) for seed in (1, 1, 2))

    courses = [
        [(panel.orders[order].duration, panel.orders[order].start_count) for order in panel.seed_orders(50)]
        for panel in (first, again, other)
    ]

    assert courses[0] == courses[1] != courses[2]
    assert len(set(courses[0])) == 50
    assert all(5.0 <= duration <= 9.0 for duration, _ in courses[0])


def test_orders_that_end_partial_give_money_back(clock):
    """With a share of 1 every order ends Partial, and the balance gains at that moment without a lookup."""
    panel = SimulatedPanel(clock=clock, durations=(100.0, 100.0), partial_share=1.0)
    ask(panel, "add", service="1", link=LINK, quantity="1000")

    clock.now = 99.9
    assert panel.balance == Decimal("999.1")
    clock.now = 100.0
    remains = panel.orders[1].outcome_remains
    assert 0 < remains < 1000
    assert panel.balance == Decimal("999.1") + Decimal("0.0009") * remains
    row = ask(panel, "status", order="1")
    assert (row["status"], row["remains"]) == ("Partial", str(remains))
    assert Decimal(row["charge"]) == Decimal("0.0009") * (1000 - remains)


def test_orders_that_end_canceled_give_all_back(clock):
    """With a share of 1 every order ends Canceled and costs nothing."""
    panel = SimulatedPanel(clock=clock, durations=(100.0, 100.0), canceled_share=1.0)
    ask(panel, "add", service="1", link=LINK, quantity="1000")

    clock.now = 100.0

    assert ask(panel, "balance")["balance"] == "1000"
    row = ask(panel, "status", order="1")
    assert (row["status"], row["remains"], row["charge"]) == ("Canceled", "1000", "0")


def test_shares_are_met():
    """Between the shares the rest of the orders complete."""
    panel = panel_of(STANDARD, partial_share=0.2, canceled_share=0.3)

    outcomes = [panel.orders[order].outcome for order in panel.seed_orders(1000)]

    assert 150 < outcomes.count("Partial") < 250
    assert 250 < outcomes.count("Canceled") < 350
    assert 450 < outcomes.count("Completed") < 550


def test_order_taken_away_before_its_refund(clock):
    """An order removed by a test gives nothing back."""
    panel = SimulatedPanel(clock=clock, durations=(100.0, 100.0), canceled_share=1.0)
    ask(panel, "add", service="1", link=LINK, quantity="1000")

    del panel.orders[1]
    clock.now = 100.0

    assert panel.balance == Decimal("999.1")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_time_stands_still_outside_an_event_loop(backend):
    """Without a clock of its own the panel works outside an event loop, and its orders start inside one."""
    panel = SimulatedPanel()
    panel.place(duration=0.0, outcome="Partial", remains=400)
    panel.place(service=2, duration=0.0)
    ask(panel, "add_product_order", product="3", quantity="1")
    panel.product_orders[1].duration = 0.0
    outside = ask(panel, "status", order="1")
    panel.refills[1] = testing.SimulatedRefill(1, 2, duration=0.0, placed_at=None)

    async def look():
        return [
            ask(panel, "status", order="1"),
            ask(panel, "refill_status", refill="1"),
            ask(panel, "product_order_status", order="1"),
        ]

    order, refill, product = anyio.run(look, backend=backend)

    assert panel.requests[0].at == 0.0
    assert outside["status"] == "Pending"
    assert (order["status"], order["charge"]) == ("Partial", "0.54")
    assert (refill["status"], product["status"]) == ("Completed", "Completed")
    assert panel.balance == Decimal("999.5") + Decimal("0.36")


# Refill and cancel.


def test_refill_refused(panel, clock):
    """A refill is refused without the flag, before the end, and while another one runs."""
    panel.place(service=2, duration=0.0)
    panel.place()
    panel.place(duration=0.0)

    refused = [ask(panel, "refill", order=order) for order in "12393"]

    assert refused == [
        {"error": "Refill is disabled for this service"},
        {"error": "The order is not completed"},
        {"refill": "1"},
        {"error": "Incorrect order ID"},
        {"error": "The refill task is not completed for this order"},
    ]
    clock.now = 100.0
    assert ask(panel, "refill", order="3") == {"refill": "2"}
    assert [(write.order, write.refill) for write in panel.executed] == [(3, 1), (3, 2)]


@pytest.mark.parametrize(
    ("at", "status", "remains"),
    [(5.0, "Canceled", 1000), (60.0, "Partial", 500)],
    ids=["early", "late"],
)
def test_cancel_stops_an_order(panel, clock, at, status, remains):
    """A cancel stops an order at what is delivered and gives the rest of the money back."""
    panel.place()

    clock.now = at
    ask(panel, "cancel", order="1")
    clock.now = 200.0

    row = ask(panel, "status", order="1")
    refund = Decimal("0.0009") * remains
    assert (row["status"], row["remains"]) == (status, str(remains))
    assert panel.balance == 1000 + refund
    assert panel.executed[0].charge == -refund


def test_cancel_refused(panel):
    """A cancel is refused without the flag and after the end."""
    panel.place(service=3)
    panel.place(duration=0.0)
    panel.place()

    refused = [ask(panel, "cancel", orders=order) for order in "1233"]

    error = {"error": "Order cannot be canceled"}
    assert [rows[0]["cancel"] for rows in refused] == [error, error, 1, error]
    assert [write.action for write in panel.executed] == ["cancel"]


# Direct access.


def test_set_status_moves_money_once(panel):
    """Setting words back and forth leaves the balance at what the last one says."""
    order = panel.place(quantity=100)

    balances = []
    for status, remains in [("Partial", 10), ("Canceled", None), ("Completed", None), ("On hold", None)]:
        panel.set_status(str(order), status, remains=remains)
        balances.append(panel.balance - 1000)

    assert balances == [Decimal("0.009"), Decimal("0.09"), 0, 0]
    assert ask(panel, "status", order="1")["status"] == "On hold"


@pytest.mark.parametrize("outcome", ["Canceled", "Partial", "Completed"])
def test_place_with_an_outcome(panel, clock, outcome):
    """An order may be placed with its end known beforehand."""
    order = panel.place(quantity=10, outcome=outcome, remains=4, fields={"link": LINK})

    clock.now = 100.0

    row = ask(panel, "status", order=str(order))
    assert row["status"] == outcome
    assert row["remains"] == ("10" if outcome == "Canceled" else "4")
    assert panel.orders[order].fields == {"link": LINK}


def test_place_with_a_service_unknown(panel):
    """An order cannot be placed for a service that is not there."""
    with pytest.raises(KeyError):
        panel.place(77)


def test_seed_orders_many_cost_nothing(clock):
    """Ten thousand orders are there at once, with consecutive ids and without a request or a charge."""
    panel = SimulatedPanel(clock=clock, first_order=500)

    ids = panel.seed_orders(10_000, service=3, quantity=20)

    assert ids == list(range(500, 10_500))
    assert list(panel.orders) == ids
    assert panel.balance == 1000
    assert panel.requests == []
    assert panel.executed == []
    assert ask(panel, "add", service="1", link=LINK, quantity="100") == {"order": 10_500}


def test_counts_per_action(panel, clock):
    """Requests and their ids are counted per action and in all."""
    ids = panel.seed_orders(5)
    ask(panel, "status", orders=",".join(map(str, ids)))
    clock.now = 3.0
    ask(panel, "status", order="1")
    ask(panel, "balance")

    assert panel.count() == 3
    assert panel.count("status") == 2
    assert panel.ids_per_request("status") == [5, 1]
    assert panel.ids_per_request() == [5, 1, 0]
    assert [request.at for request in panel.requests] == [0.0, 3.0, 3.0]
    assert [request.is_plural for request in panel.requests] == [True, False, False]
    assert panel.requests[1].fields == {"action": "status", "order": "1"}


def test_key_is_nowhere_in_records():
    """No repr and no recorded field bears the key, even if the client puts it into other fields."""
    panel = SimulatedPanel("s3cret", clock=Clock())
    form = {"key": "s3cret", "action": "add", "service": "1", "quantity": "100", "link": "x?k=s3cret", '{"s3cret"}': ""}

    panel.answer(form)

    recorded = repr((panel, panel.requests, panel.executed, panel.orders[1]))
    assert "s3cret" not in recorded
    assert panel.requests[0].fields["link"] == "x?k=[key]"
    assert panel.executed[0].fields == panel.requests[0].fields


def test_repr_of_the_panel(panel):
    """The repr says the dialect and how much happened."""
    panel.seed_orders(2)
    ask(panel, "balance")

    assert repr(panel) == "<SimulatedPanel standard, 2 orders, 1 requests>"


def test_all_names_exist():
    """Every name of the export list exists and is documented."""
    exported = [getattr(testing, name) for name in testing.__all__]

    assert all(value.__doc__ for value in exported)

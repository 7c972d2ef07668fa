"""What each piece of evidence says of an order whose answer was lost, and what all of it says together."""

from decimal import Decimal

import attrs
import pytest

import smm_async as smm
from smm_async._reconcile import Finding, conclude, judge_balance, judge_neighbours
from smm_async.models import Balance, OrderStatus

PLACED, NOT_PLACED, UNKNOWN = smm.Verdict.PLACED, smm.Verdict.NOT_PLACED, smm.Verdict.UNKNOWN
ENTRY = smm.Entry(
    ref="a",
    action="add",
    fields={"service": "1", "quantity": "100"},
    state=smm.EntryState.OPEN,
    order=None,
    note="",
    balance=Decimal("10.00"),
    opened_at="2026-11-20T12:00:00.000Z",
)
FOREIGN = smm.UnknownOrderError("Incorrect order ID")
SILENT = smm.UnresolvedError("not a word")


def judge(before, now, price, *, others=0):
    """Return what the balance says, and in which words."""
    entry = attrs.evolve(ENTRY, balance=None if before is None else Decimal(before))
    price = None if price is None else Decimal(price)
    return judge_balance(entry, Balance(balance=Decimal(now), currency="USD"), price, [ENTRY] * others)


@pytest.mark.parametrize(
    ("before", "now", "price", "verdict", "words"),
    [
        ("10.00", "9.91", "0.09", PLACED, "from 10.00 to 9.91, by exactly the order's price of 0.09."),
        ("10.00", "9.9100", "0.09", PLACED, "by exactly"),
        ("0.09", "0.00", "0.09", PLACED, "by exactly"),
        ("10.00", "10.00", "0.09", NOT_PLACED, "from 10.00 to 10.00; the order would have cost 0.09."),
        ("10.00", "10.00", "0.01", NOT_PLACED, "would have cost"),
        ("10.00", "10", "0.09", NOT_PLACED, "would have cost"),
        ("10.00", "9.90", "0.09", UNKNOWN, "which is not the order's price of 0.09."),
        ("10.00", "9.82", "0.09", UNKNOWN, "which is not"),
        ("10.00", "10.09", "0.09", UNKNOWN, "which is not"),
        ("10.00", "10.00", "0.009", UNKNOWN, "a price of 0.009 might not show in it."),
        ("10", "10", "0.09", UNKNOWN, "might not show"),
        ("1000", "1000", "0.5", UNKNOWN, "might not show"),
        ("10.00", "10.00", "0", UNKNOWN, "might not show"),
        ("10.00", "9.91", None, UNKNOWN, "the order's price is not known."),
        (None, "9.91", "0.09", UNKNOWN, "The balance before the order is not in the journal"),
    ],
)
def test_balance_that_moved_by_the_price_or_not_at_all_says_something(before, now, price, verdict, words):
    """The balance says that an order was placed only if it moved by the price, and that it was not only if it could."""
    finding = judge(before, now, price)

    assert finding.verdict is verdict
    assert words in finding.sentence
    assert finding.order is None


@pytest.mark.parametrize("now", ["9.91", "10.00"])
def test_balance_that_others_may_have_moved_says_nothing(now):
    """Whatever the balance shows, another order may be the reason."""
    finding = judge("10.00", now, "0.09", others=2)

    assert finding.verdict is UNKNOWN
    assert "2 other orders" in finding.sentence


def neighbours(**found):
    """Return answers by id: a charge is an order of ours."""
    return {
        id_.removeprefix("n"): answer if isinstance(answer, Exception) else status(Decimal(answer))
        for id_, answer in found.items()
    }


def status(charge):
    """Return where an order stands that cost ``charge``."""
    return OrderStatus(status="Pending", state=smm.OrderState.PENDING, charge=charge)


@pytest.mark.parametrize(
    ("found", "price", "order"),
    [
        (neighbours(n8="0.09"), "0.09", "8"),
        (neighbours(n8=FOREIGN, n9="0.0900", n10=FOREIGN), "0.09", "9"),
        (neighbours(n8="0.18", n9="0.09"), "0.09", "9"),
        (neighbours(n7="0.09", n8="0.09"), "0.09", "8"),
        (neighbours(n8=FOREIGN), "0.09", None),
        (neighbours(n8="0.18"), "0.09", None),
        (neighbours(n8="0.09", n9="0.09"), "0.09", None),
        (neighbours(n8="0.09", n9=SILENT), "0.09", None),
        (neighbours(n8="0.00"), "0", None),
        (neighbours(n8="0.09"), None, None),
        (neighbours(n7="0.09"), "0.09", None),
        ({}, "0.09", None),
    ],
)
def test_one_neighbour_of_our_own_at_the_price_is_the_order(found, price, order):
    """Of the next ids, the only one of this account that nobody knows and that costs the price is the order."""
    finding = judge_neighbours(found, None if price is None else Decimal(price), {"7"})

    assert finding.verdict is (UNKNOWN if order is None else PLACED)
    assert finding.order == order
    assert f"Of {len(found)} ids" in finding.sentence


@pytest.mark.parametrize(
    ("rivals", "verdict"), [([], PLACED), (["0.18"], PLACED), (["0.09"], UNKNOWN), (["0.18", None], UNKNOWN)]
)
def test_neighbour_that_may_be_another_open_order_says_nothing(rivals, verdict):
    """If two orders are open at one price, or one at a price that nobody knows, a neighbour may be either."""
    prices = [None if rival is None else Decimal(rival) for rival in rivals]

    finding = judge_neighbours(neighbours(n8="0.09"), Decimal("0.09"), set(), prices)

    assert finding.verdict is verdict


def test_neighbour_without_a_charge_is_not_alike():
    """Where a panel does not tell what an order cost, it is not known to be this one."""
    finding = judge_neighbours({"8": status(None)}, Decimal("0.09"), set())

    assert finding.verdict is UNKNOWN


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([], UNKNOWN),
        ([UNKNOWN], UNKNOWN),
        ([PLACED], PLACED),
        ([NOT_PLACED], NOT_PLACED),
        ([PLACED, UNKNOWN], PLACED),
        ([UNKNOWN, NOT_PLACED], NOT_PLACED),
        ([PLACED, PLACED], PLACED),
        ([PLACED, NOT_PLACED], UNKNOWN),
        ([NOT_PLACED, UNKNOWN, PLACED], UNKNOWN),
    ],
)
def test_findings_must_not_contradict_each_other(verdicts, verdict):
    """What all findings allow is the verdict; what contradicts itself is unknown. Every sentence is kept."""
    findings = [Finding(one, f"sentence {n}", "8" if one is PLACED else None) for n, one in enumerate(verdicts)]

    found = conclude(ENTRY, findings)

    assert (found.ref, found.verdict) == ("a", verdict)
    assert found.order == ("8" if verdict is PLACED else None)
    assert found.evidence == tuple(f"sentence {n}" for n in range(len(verdicts)))


def test_verdict_without_an_id_has_none():
    """The balance alone shows that an order was placed, but not under which id."""
    found = conclude(ENTRY, [Finding(PLACED, "by the balance"), Finding(UNKNOWN, "nothing")])

    assert (found.verdict, found.order) == (PLACED, None)

"""Prices of services, and what changes between two catalogues."""

from decimal import Decimal

import attrs
import pytest

from smm_async import CatalogueDiff, Service, diff_services

FOLLOWERS = Service(service="1", name="Followers", type="Default", rate=Decimal("0.90"), min=50, max=10_000)
PACKAGE = Service(service="2", name="Starter", type="package", rate=Decimal("7.5"), min=1, max=1)


@pytest.mark.parametrize(
    ("service", "quantity", "runs", "price"),
    [
        (FOLLOWERS, 1000, 1, "0.90"),
        (FOLLOWERS, 1, 1, "0.0009"),
        (FOLLOWERS, 250, 4, "0.90"),
        (PACKAGE, 1, 1, "7.5"),
        (PACKAGE, 1000, 1, "7.5"),
        (attrs.evolve(PACKAGE, type="Custom Comments Package"), 30, 2, "15.0"),
        (attrs.evolve(FOLLOWERS, type="nobody knows it"), 500, 1, "0.45"),
    ],
)
def test_price_of_a_service(service, quantity, runs, price):
    """A rate is for 1,000 of every run; a package has one price whatever the quantity."""
    assert service.price(quantity, runs=runs) == Decimal(price)


def test_price_of_a_package_needs_no_quantity():
    """A package is priced without any number."""
    assert PACKAGE.price() == Decimal("7.5")


@pytest.mark.parametrize("numbers", [{"quantity": 0}, {"quantity": 5, "runs": 0}])
def test_price_of_nothing_is_refused(numbers):
    """There is no order of none."""
    with pytest.raises(ValueError, match="at least 1"):
        FOLLOWERS.price(**numbers)


def test_price_without_a_rate_is_refused():
    """A missing rate is not a price of zero."""
    with pytest.raises(ValueError, match="has no rate"):
        attrs.evolve(FOLLOWERS, rate=None).price(100)


def test_diff_of_equal_catalogues_is_empty():
    """The same services in another order are no difference."""
    diff = diff_services([FOLLOWERS, PACKAGE], [PACKAGE, FOLLOWERS])

    assert not diff
    assert diff == CatalogueDiff(new=(), gone=(), changed=())


def test_diff_tells_new_gone_and_changed_services():
    """Each difference is named once, with the record before and after."""
    dearer = attrs.evolve(FOLLOWERS, rate=Decimal("0.95"))
    smaller = attrs.evolve(FOLLOWERS, service="3", max=500)
    renamed = attrs.evolve(FOLLOWERS, service="4", name="Fans", extra={"desc": "x"})
    third, fourth = attrs.evolve(FOLLOWERS, service="3"), attrs.evolve(FOLLOWERS, service="4")
    added = attrs.evolve(FOLLOWERS, service="5")

    diff = diff_services([FOLLOWERS, PACKAGE, third, fourth], [added, dearer, smaller, renamed])

    assert diff
    assert diff.new == (added,)
    assert diff.gone == (PACKAGE,)
    assert [(change.before.service, change.fields) for change in diff.changed] == [
        ("1", frozenset({"rate"})),
        ("3", frozenset({"max"})),
        ("4", frozenset({"name", "extra"})),
    ]
    assert [change.after for change in diff.price_changes] == [dearer]
    assert [change.after for change in diff.limit_changes] == [smaller]


def test_diff_with_another_type_is_a_price_change():
    """The type says what the rate is the price of."""
    diff = diff_services([PACKAGE], [attrs.evolve(PACKAGE, type="Default")])

    assert diff.price_changes


def test_diff_that_loses_half_the_catalogue_is_refused():
    """A catalogue cut short does not call the rest of the services gone, unless the caller knows better."""
    catalogue = [attrs.evolve(FOLLOWERS, service=str(n)) for n in range(100)]

    with pytest.raises(ValueError, match="51 of 100"):
        diff_services(catalogue, catalogue[:49])

    assert len(diff_services(catalogue, catalogue[:50]).gone) == 50
    assert len(diff_services(catalogue, [], most_gone=1.0).gone) == 100

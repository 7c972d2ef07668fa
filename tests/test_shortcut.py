"""The short way from plain rows to models leads to the same place as the long one."""

import json
from decimal import Decimal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smm_async as smm
from smm_async._decode import make_converter, make_shortcut
from smm_async._wire import Reader, Reply
from smm_async.models import OrderState, OrderStatus
from smm_async.panels import Panel
from tests.families import JSON, families

PANEL = Panel("https://panel.example/api/v2")
READER = Reader.for_panel(PANEL, lambda text: text[:200])
CONVERTER = make_converter(PANEL)
SHORTCUT = make_shortcut(PANEL)
ROW = {"charge": "0.27819", "start_count": "3572", "status": "Partial", "remains": "157", "currency": "USD"}
BARE = {name: ROW[name] for name in ("charge", "start_count", "status", "remains")}

AMOUNTS = st.sampled_from(
    ["0", "0.5", "5.", ".5", "-5", "1,5", "", ".", "1.2.3", "Unknown", "1" * 19, "\u0661", "\u00b2"]
)
COUNTS = st.sampled_from(["0", "12", "-2", "1,204", "", "Unknown", "1" * 19, "\u0661", 5, -5, True])
VALUES = AMOUNTS | COUNTS | st.sampled_from([None, 1, Decimal("1.50"), [], {}, False])
STATES: st.SearchStrategy[object] = st.sampled_from(
    ["Partial", "partial", "In progress", "IN_PROGRESS", "Teleporting", "", "2", 2, None, {}, [], True]
)
CURRENCIES: st.SearchStrategy[object] = st.sampled_from(["USD", "", "Unknown", None, 5, False, []])
OPTIONAL = {"currency": CURRENCIES, "order": st.just("7"), "error": st.sampled_from(["", "x"]), "note": JSON}
ROWS = st.fixed_dictionaries(
    {"charge": VALUES, "start_count": VALUES, "status": STATES, "remains": VALUES}, optional=OPTIONAL
)


def outcome_of(row):
    """Return the model that a row becomes the long way, and what can be compared of an error."""
    if isinstance(row, smm.SmmError):
        return type(row), row.text
    return row if isinstance(row, OrderStatus) else CONVERTER.structure(row, OrderStatus)


def outcomes(ids, reply, *args):
    """Return what an answer says of each id."""
    found = READER.read_lookup("status", ids, reply, *args)
    return type(found) if isinstance(found, smm.SmmError) else {id_: outcome_of(row) for id_, row in found.items()}


@pytest.mark.parametrize("row", [ROW, BARE], ids=["with_currency", "without"])
@pytest.mark.parametrize(
    "changes", [{}, {"charge": Decimal("0.5"), "start_count": 7, "remains": -2}, {"status": "In progress"}], ids=repr
)
def test_plain_rows_take_the_short_way(row, changes):
    """The documented fields, plainly written, are read without looking further."""
    row = {**row, **changes}
    found = SHORTCUT(["7", "8"], {"7": row, "9": row})

    assert found == {"7": CONVERTER.structure(row, OrderStatus)}
    assert list(found["7"].extra) == []


@pytest.mark.parametrize("name", ["charge", "start_count", "remains"])
@pytest.mark.parametrize("value", [None, True, "", "Unknown", "1" * 19, [], {}], ids=repr)
def test_rows_that_are_not_plain_are_left_to_the_long_way(name, value):
    """What is neither a plain number nor one in text is nothing that the short way decides."""
    assert SHORTCUT(["7", "8"], {"7": ROW | {name: value}, "8": ROW}).keys() == {"8"}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["7", "8", " 7"]), ROWS | JSON, max_size=3) | JSON)
def test_short_way_says_what_the_long_one_says(value):
    """Whatever a row holds, the short way gives the same model or leaves it alone."""
    found = SHORTCUT(["7", "8"], value)

    for id_, status in found.items():
        assert status == CONVERTER.structure(value[id_], OrderStatus)
        assert READER.refusals.find("status", value[id_]) is None


@settings(deadline=None)
@given(families())
def test_answer_read_the_short_way_is_the_same(family):
    """An answer of any shape settles the same ids in the same way, with the short way and without."""
    for body in (family.body, json.dumps(dict.fromkeys(family.asked[1:], ROW) | {"x": 1}).encode()):
        for status_code in (200, 302, 400, 500):
            reply = Reply(status_code, body)

            assert outcomes(family.asked, reply, SHORTCUT) == outcomes(family.asked, reply)


def test_short_way_knows_the_panels_own_states():
    """A panel's own words and numbers are states on the short way, too."""
    panel = attrs.evolve(PANEL, order_states={**PANEL.order_states, "2": OrderState.COMPLETED})
    shortcut = make_shortcut(panel)

    assert shortcut(["7"], {"7": ROW | {"status": "2"}})["7"].state is OrderState.COMPLETED
    assert SHORTCUT(["7"], {"7": ROW | {"status": "2"}}) == {}


def test_records_of_the_short_way_are_frozen():
    """A record of the short way is of the very class of the others, and nothing of it can be changed."""
    found = SHORTCUT(["7", "8"], {"7": ROW, "8": ROW})

    assert found["7"] == found["8"]
    assert type(found["7"]) is OrderStatus
    assert found["7"].extra is CONVERTER.structure(ROW, OrderStatus).extra
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        found["7"].charge = Decimal(0)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        del found["7"].charge

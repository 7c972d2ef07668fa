"""Whatever the shape of an answer, everybody gets what is true about their own order, and never another's."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import smm_async as smm
from smm_async import _writes
from smm_async._decode import UnreadableError, make_converter
from smm_async._wire import Reader, Reply, balance_row, unwrap
from smm_async.models import Balance, OrderStatus, RefillStatus, Service
from smm_async.panels import Panel
from tests.canned import CannedPanel, all_at_once, reply
from tests.families import IDS, JSON, families

pytestmark = pytest.mark.thorough

PANEL = Panel("https://panel.example/api/v2")
READER = Reader.for_panel(PANEL, lambda text: text[:200])
CONVERTER = make_converter(PANEL)
AN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
ROW = {"charge": "1.5", "status": "Partial", "remains": "5"}


def check_order(order, found, model):
    """Check that what was found is what is true about an order."""
    if order.fate == "error":
        assert type(found) is (smm.UnknownRefillError if order.refill else smm.UnknownOrderError)
        assert found.text == order.text
        return
    record = found if isinstance(found, model) else CONVERTER.structure(found, model)
    if order.refill:
        assert record.extra["note"] == order.number
    else:
        assert (record.charge, record.start_count, record.remains) == (
            order.number + Decimal("0.25"),
            order.number,
            order.number,
        )


def check_family(family, action, model, status_code=200):
    """Check that an answer settles exactly what it tells about those who were asked for."""
    found = READER.read_lookup(action, family.asked, Reply(status_code, family.body))

    truth = family.truth()
    if status_code != 200 and not truth:
        if isinstance(found, dict) and len(family.asked) == 1 and status_code >= 400:
            # What the panel says there is about that id.
            assert {type(error) for error in found.values()} <= {smm.PanelError}
        else:
            assert found == {} or isinstance(found, (smm.BadReplyError, smm.MaintenanceError))
        return
    assert isinstance(found, dict)
    assert found.keys() == truth.keys()
    for id_, order in truth.items():
        check_order(order, found[id_], model)


@settings(deadline=None)
@given(families())
def test_family_of_status_answers(family):
    """Each order asked for has its own row or its own error, and is open where the answer does not tell."""
    check_family(family, "status", OrderStatus)


@settings(deadline=None)
@given(families(refill=True))
def test_family_of_refill_answers(family):
    """The same is true of refills."""
    check_family(family, "refill_status", RefillStatus)


@settings(max_examples=40, deadline=None)
@given(families(), st.sampled_from([201, 400, 404, 422, 500, 503]))
def test_family_of_answers_with_other_http_statuses(family, status_code):
    """The HTTP status changes nothing about rows that are there."""
    check_family(family, "status", OrderStatus, status_code)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(families(least=1))
async def test_family_of_answers_through_a_client(family):
    """Every caller gets the truth about its own order: what the batch leaves open is asked for singly."""
    truth = {order.id: order for order in family.orders}

    def answer_singly(form):
        order = truth[form["order"]]
        if order.fate == "row":
            return reply({"charge": order.number + 0.25, "status": "Partial", "remains": order.number} | {
                "start_count": order.number})  # fmt: skip
        return reply({"error": order.text} if order.fate == "error" else [])

    def answer(form):
        return answer_singly(form) if "order" in form else reply([])

    panel = CannedPanel(*[reply(family.body)] * (len(family.asked) > 1), single=answer)
    async with panel.client() as client:
        found = await all_at_once(client.status, family.asked)

    assert found.keys() == set(family.asked)
    for id_, result in found.items():
        if truth[id_].fate in {"row", "error"}:
            check_order(truth[id_], result, OrderStatus)
        else:
            assert type(result) is smm.UnresolvedError
    asked_twice = [form["order"] for form in panel.forms if "order" in form]
    assert len(set(asked_twice)) == len(asked_twice)


@settings(deadline=None)
@given(st.lists(IDS, min_size=2, max_size=8, unique=True), st.data())
def test_family_without_ids_is_nobodys(ids, data):
    """Rows without ids are never dealt out in order, and one row is never given to several, wrapped or not."""
    rows = [{"charge": f"{number}.5", "status": "Partial"} for number in range(len(ids))]
    value = data.draw(st.sampled_from([rows, rows[:1], rows[0], rows + rows, {"order": rows[0]}]))
    envelope = data.draw(st.sampled_from(["", "data", "orders", "value"]))

    found = READER.read_lookup("status", ids, reply_of({envelope: value} if envelope else value))

    assert found == {}


@settings(deadline=None)
@given(st.lists(IDS, min_size=2, max_size=2, unique=True), st.sampled_from(["order", "id", "order_id"]), st.booleans())
def test_row_of_another_is_nobodys(ids, name, is_list):
    """A row that bears another id than the only one asked for is not its row."""
    row = ROW | {name: ids[1]}

    assert READER.read_lookup("status", ids[:1], reply_of([row] if is_list else row)) == {}
    assert READER.read_lookup("status", ids[:1], reply_of({ids[1]: ROW})) == {}


def reply_of(value, status_code=200):
    """Return the reply with a JSON value."""
    return Reply(status_code, json.dumps(value).encode())


ORDERED = st.builds(lambda value, id_: {"order": id_} | (value if isinstance(value, dict) else {}), JSON, IDS)
STATUS_CODES = st.sampled_from([200, 200, 200, 201, 301, 400, 401, 402, 404, 429, 500, 503])


@settings(deadline=None)
@given(JSON, STATUS_CODES, st.sampled_from([["1"], ["1", "2"]]))
@pytest.mark.parametrize("action", ["status", "refill_status", "product_order_status"])
def test_any_json_as_the_answer_to_a_lookup(action, value, status_code, ids):
    """Whatever JSON comes, a lookup ends with rows and errors of those who asked, or with one error."""
    found = READER.read_lookup(action, ids, reply_of(value, status_code))

    if isinstance(found, smm.SmmError):
        return
    assert found.keys() <= set(ids)
    for row in found.values():
        assert isinstance(row, (dict, smm.PanelError))


@settings(deadline=None)
@given(JSON)
@pytest.mark.parametrize("model", [OrderStatus, RefillStatus, Balance, Service])
def test_any_json_as_a_row(model, value):
    """Whatever a row holds, it becomes a record or is unreadable."""
    row = value if isinstance(value, dict) else {"status": value, "balance": value, "service": value}
    try:
        record = CONVERTER.structure(row, model)
    except UnreadableError:
        return

    assert type(record) is model
    assert record.extra.keys() <= row.keys()


@settings(deadline=None)
@given(JSON | ORDERED, STATUS_CODES)
def test_any_json_as_the_answer_to_an_order(value, status_code):
    """Whatever JSON comes, an order ends with an id, a refusal, or the news that nobody knows."""
    outcome = _writes.read_placed(READER, "add", reply_of(value, status_code))

    assert isinstance(outcome, (str, smm.PanelError, smm.OutcomeUnknownError))
    id_ = outcome if isinstance(outcome, str) else None
    assert id_ is None or (AN_ID.fullmatch(id_) and status_code < 300)
    assert id_ is None or f'"{id_}"' in json.dumps(value) or id_.isdigit()
    assert not isinstance(outcome, smm.PanelError) or status_code < 500


@settings(deadline=None)
@given(JSON, STATUS_CODES, st.sampled_from([["1"], ["1", "2"]]))
@pytest.mark.parametrize("action", ["refill", "cancel"])
def test_any_json_as_the_answer_to_other_writes(action, value, status_code, ids):
    """Whatever JSON comes, each order has an outcome."""
    found = _writes.read_each(READER, action, ids, reply_of(value, status_code))

    assert list(found) == ids
    for outcome in found.values():
        assert isinstance(outcome, (str, smm.PanelError, smm.OutcomeUnknownError))
        assert not isinstance(outcome, str) or (outcome and status_code < 300)
        assert not isinstance(outcome, smm.PanelError) or status_code < 500


@settings(deadline=None)
@given(JSON, STATUS_CODES)
def test_any_json_as_a_catalogue_or_any_answer(value, status_code):
    """Whatever JSON comes, a catalogue is rows or an error, and any other answer a value or an error."""
    rows = READER.read_list("services", "service", reply_of(value, status_code))
    answer = _writes.read_any(READER, "anything", reply_of(value, status_code))

    assert isinstance(rows, smm.SmmError) or all(isinstance(row, dict) for row in rows)
    assert not isinstance(answer, Exception) or isinstance(answer, (smm.PanelError, smm.OutcomeUnknownError))
    assert isinstance(balance_row(unwrap(value)), dict)


@settings(deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()), st.integers(0, 200), STATUS_CODES)
def test_any_bytes_as_an_answer(body, cut, status_code):
    """Whatever bytes come, and wherever they end, nothing raises."""
    answer = Reply(status_code, body[:cut])

    assert isinstance(READER.read_lookup("status", ["1", "2"], answer), (dict, smm.SmmError))
    assert isinstance(_writes.read_placed(READER, "add", answer), (str, smm.SmmError))
    assert isinstance(READER.read_list("services", "service", answer), (list, smm.SmmError))

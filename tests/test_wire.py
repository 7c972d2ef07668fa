"""Answers by id, from bytes, without I/O."""

import json

import pytest

import smm_async as smm
from smm_async._wire import Reader, Reply
from smm_async.panels import Panel

PANEL = Panel("https://panel.example/api/v2")
ROW = {"charge": "0.27819", "start_count": "3572", "status": "Partial", "remains": "157"}
OTHER = {"charge": "1.44219", "start_count": "234", "status": "In progress", "remains": "10"}
UNKNOWN = {"error": "Incorrect order ID"}


def redact(text):
    """Stand in for what hides a key."""
    return text.replace("topsecret", "***")[:200]


READER = Reader.for_panel(PANEL, redact)


def reply(value, status_code=200, **extra):
    """Return the reply with a JSON value, or with bytes as they are, as its body."""
    return Reply(status_code, value if isinstance(value, bytes) else json.dumps(value).encode(), **extra)


def look_up(ids, value, *, action="status", status_code=200):
    """Return what an answer settles about ``ids``, errors as their classes."""
    found = READER.read_lookup(action, ids, reply(value, status_code))
    if isinstance(found, smm.SmmError):
        return type(found)
    return {id_: type(row) if isinstance(row, smm.SmmError) else row for id_, row in found.items()}


# Answers that are no JSON, or not an answer.


@pytest.mark.parametrize(
    ("answer", "error", "complaint"),
    [
        (reply(b"<html>Just a moment... topsecret</html>"), smm.BadReplyError, "it is not JSON"),
        (reply(b"<html>topsecret</html>", 403), smm.BadReplyError, "HTTP 403"),
        (reply(b"topsecret", 429), smm.RateLimitedError, "HTTP 429"),
        (reply(b"", 500), smm.BadReplyError, "it is empty"),
        (reply(None, 404), smm.BadReplyError, "it is empty"),
        (reply(b"\xff\xfe"), smm.BadReplyError, "it is not UTF-8"),
        (reply(b'{"1":1,"1":2}'), smm.BadReplyError, "a key is given twice"),
        (reply(b"", 301, location="https://www.panel.example/?key=topsecret"), smm.BadReplyError, "redirects"),
        (reply({"status": "Completed"}, 302), smm.BadReplyError, "redirects"),
    ],
)
def test_value_that_is_no_json_is_the_error_it_is(answer, error, complaint):
    """HTML, an empty failure, hostile JSON and a redirect are errors, with a redacted excerpt."""
    found = READER.read_value("status", answer)

    assert type(found) is error
    assert complaint in str(found)
    assert (found.action, found.status_code) == ("status", answer.status_code)
    assert "topsecret" not in f"{found} {found.text} {answer!r}"


def test_value_of_a_redirect_says_where_to():
    """The address a redirect leads to is shown, without the key."""
    found = READER.read_value("status", reply(b"", 308, location="https://www.panel.example/?key=topsecret"))

    assert found.text == "https://www.panel.example/?key=***"


def test_value_that_is_rate_limited_knows_how_long():
    """How long to wait is kept, JSON or not."""
    limited = {"error": "Rate limit exceeded"}
    found = [
        READER.read_value("status", reply(b"<html>", 429, retry_after=7.0)),
        READER.refusal("status", {"error": "x"}, reply({}, 429, retry_after=7.0)),
        READER.read_lookup("status", ["1"], reply(limited, retry_after=7.0)),
        READER.read_lookup("status", ["1"], reply({"status": "fail", **limited}, retry_after=7.0)),
    ]

    assert [(type(error), getattr(error, "retry_after", None)) for error in found] == [(smm.RateLimitedError, 7.0)] * 4


def test_excerpt_of_an_enormous_body_is_short():
    """Of a body of megabytes only the beginning is looked at."""
    found = READER.read_value("services", reply(b"<html>" + b"topsecret" * 1_000_000))

    assert len(found.text) == 200
    assert "topsecret" not in found.text


@pytest.mark.parametrize("value", [None, [], {}, 5, "", True])
def test_value_that_is_json_is_the_value(value):
    """Everything else is the value, and nothing is no value."""
    assert READER.read_value("status", reply(value)) == value
    assert READER.read_value("status", reply(b"")) is None


def test_refusal_by_the_http_status_alone():
    """A failure that names no error is not the protocol, but for too many requests."""
    assert READER.refusal("status", [], reply([], 200)) is None
    assert type(READER.refusal("status", [], reply([], 500))) is smm.BadReplyError
    assert type(READER.refusal("status", [], reply([], 429))) is smm.RateLimitedError
    assert type(READER.refusal("status", {"error": "Bad link"}, reply({}, 500))) is smm.BadLinkError


# Answers by id.

BY_ID = {
    "object": {"1": ROW, "2": OTHER},
    "object_in_any_order": {"2": OTHER, "1": ROW},
    "keys_with_blanks": {" 1": ROW, "2 ": OTHER},
    "one_key_with_a_blank": {"1": ROW, " 2": OTHER},
    "ids_not_asked_for": {"1": ROW, "2": OTHER, "3": UNKNOWN, "12": ROW},
    "data": {"data": {"1": ROW, "2": OTHER}},
    "orders": {"status": "success", "orders": {"1": ROW, "2": OTHER}},
    "result_with_everything_beside": {"success": True, "status": 1, "message": "", "msg": "", "code": 200, "result": {
        "1": ROW, "2": OTHER}},
    "value": {"value": {"1": ROW, "2": OTHER}},
    "envelope_in_envelope": {"data": {"status": "success", "orders": {"1": ROW, "2": OTHER}}},
    "list_by_order": [ROW | {"order": 1}, OTHER | {"order": "2"}],
    "list_in_any_order": [OTHER | {"order": 2}, ROW | {"order": 1}],
    "list_by_id": [ROW | {"id": 1}, OTHER | {"id": 2}],
    "list_by_order_id": [ROW | {"order_id": " 1 "}, OTHER | {"order_id": 2}],
    "list_by_order_beside_id": [ROW | {"id": 2, "order": 1}, OTHER | {"id": 1, "order": 2}],
    "list_in_data": {"data": [ROW | {"order": 1}, OTHER | {"order": 2}]},
    "list_in_orders": {"orders": [ROW | {"order": 1}, OTHER | {"order": 2}], "status": "success"},
    "list_with_other_things": [None, 5, "x", [], ROW | {"order": 1}, ROW, ROW | {"order": True}, OTHER | {"order": 2}],
    "list_with_the_same_row_twice": [ROW | {"order": 1}, OTHER | {"order": 2}, ROW | {"order": 1}],
    "error_beside_the_rows": {"error": "Invalid Order Ids", "status": "104", "1": ROW, "2": OTHER},
    "error_beside_an_envelope": {"error": "Invalid Order Ids", "status": "error", "data": {"1": ROW, "2": OTHER}},
    "key_error_beside_the_rows": {"error": "Invalid API key", "1": ROW, "2": OTHER},
}  # fmt: skip


@pytest.mark.parametrize("value", BY_ID.values(), ids=BY_ID)
@pytest.mark.parametrize("status_code", [200, 400])
def test_rows_by_id_in_any_container(value, status_code):
    """Each id gets its own row, wherever it stands and whatever stands beside it."""
    found = look_up(["1", "2"], value, status_code=status_code)

    assert {id_: row["charge"] for id_, row in found.items()} == {"1": "0.27819", "2": "1.44219"}


ERRORS_OF_ONE = {
    "error_object": UNKNOWN,
    "bare_text": "Incorrect order ID",
    "status_error": {"status": "error", "error": "Incorrect order ID"},
    "status_error_message": {"status": "error", "message": "Incorrect order ID"},
    "error_in_status": {"status": {"error": "Incorrect order ID"}},
    "status_is_the_error": {"status": "Incorrect order ID"},
    "code": {"error": "?", "status": "104"},
}


@pytest.mark.parametrize("error", ERRORS_OF_ONE.values(), ids=ERRORS_OF_ONE)
def test_error_of_one_id_is_its_own(error):
    """An error in the place of a row is that id's, and nobody else's."""
    expected = {"1": smm.UnknownOrderError, "2": OTHER}

    assert look_up(["1", "2"], {"1": error, "2": OTHER}) == expected
    assert look_up(["1", "2"], {"data": {"1": error, "2": OTHER}}) == expected
    if isinstance(error, dict):
        found = look_up(["1", "2"], [error | {"order": 1}, OTHER | {"order": 2}])
        assert found == {"1": smm.UnknownOrderError, "2": OTHER | {"order": 2}}


@pytest.mark.parametrize("nothing", [None, [], {}, 5, True, {"status": ""}, {"status": "success"}, [ROW]], ids=repr)
def test_row_that_says_nothing_leaves_its_id_open(nothing):
    """An id whose place is empty is as open as one that was left out."""
    assert look_up(["1", "2"], {"1": nothing, "2": OTHER}) == {"2": OTHER}
    assert look_up(["1", "2"], {"2": OTHER}) == {"2": OTHER}


UNSETTLED = {
    "null": None,
    "empty_body": b"",
    "empty_list": [],
    "empty_object": {},
    "empty_data": {"status": "success", "data": []},
    "number": 5,
    "list_without_ids": [ROW, OTHER],
    "list_without_ids_in_data": {"data": [ROW, OTHER]},
    "list_of_one_without_id": [ROW],
    "list_of_lists": [[ROW], [OTHER]],
    "list_of_others": [ROW | {"order": 3}, OTHER | {"order": 4}],
    "list_of_errors_without_ids": [UNKNOWN, UNKNOWN],
    "flat_row": ROW,
    "flat_row_of_one_of_them": ROW | {"order": 1},
    "flat_row_in_data": {"data": ROW},
    "flat_row_in_order": {"order": ROW | {"id": 1}},
    "others_only": {"3": ROW},
    "ids_inside_other_ids": {"11": ROW, "12": OTHER, "01": ROW, "1.0": ROW},
    "list_of_children": {"status": "success", "orders": ["1", "2"]},
    "two_rows_for_each_id": [ROW | {"order": i} for i in (1, 2)] + [OTHER | {"order": i} for i in (1, 2)],
    "two_keys_for_each_id": {" 1": ROW, "1 ": OTHER, "2 ": ROW, " 2": OTHER},
    "error_for_all_unknown": {"error": "Invalid Order Ids"},
    "error_and_code": {"error": "Order not found.", "status": "104"},
    "missing_order": {"error": "Missing order parameter"},
    "too_many": {"error": "Maximum 100 orders per request"},
    "bare_error": "Incorrect order ID",
    "unsupported": {"error": "Incorrect request"},
    "generic": {"error": "Server error"},
    "error_beside_empty_data": {"error": "Invalid Order Ids", "data": {}},
    "success_without_rows": {"status": "success"},
}


@pytest.mark.parametrize("value", UNSETTLED.values(), ids=UNSETTLED)
def test_answer_that_cannot_be_told_apart_settles_nobody(value):
    """Without an id of its own, no row and no error is given to one of several."""
    assert look_up(["1", "2"], value) == {}


SHARED = {
    smm.InvalidKeyError: {"error": "Invalid API key"},
    smm.AccountError: {"error": "x", "status": 103},
    smm.RateLimitedError: {"status": "error", "msg": "Rate limit exceeded"},
    smm.MaintenanceError: "Hệ thống đang bảo trì!",
}


@pytest.mark.parametrize(("error", "value"), SHARED.items())
@pytest.mark.parametrize("ids", [["1"], ["1", "2"]], ids=["one", "two"])
def test_answer_that_concerns_everybody_is_everybodys(error, value, ids):
    """Key, account, rate and maintenance are about the call, however many ids it had."""
    assert look_up(ids, value) is error


@pytest.mark.parametrize(("value", "status_code"), [(b"<html>", 200), (b"", 500), ([], 404), ([], 503)], ids=repr)
@pytest.mark.parametrize("ids", [["1"], ["1", "2"]], ids=["one", "two"])
def test_answer_that_is_no_answer_is_everybodys(value, status_code, ids):
    """What is not the protocol answers nobody."""
    assert look_up(ids, value, status_code=status_code) is smm.BadReplyError


SINGLE = {
    "flat": ROW,
    "flat_with_its_id": ROW | {"order": 1},
    "flat_with_its_id_as_text": ROW | {"order_id": "1 "},
    "in_order": {"status": "ok", "order": ROW},
    "in_order_with_its_id": {"order": ROW | {"id": 1}},
    "in_data": {"success": True, "data": ROW},
    "in_data_in_order": {"data": {"order": ROW}},
    "by_key": {"1": ROW},
    "list_of_one": [ROW],
    "list_of_one_with_its_id": [ROW | {"order": 1}],
    "list_of_several": [OTHER | {"order": 2}, ROW | {"order": 1}, OTHER],
    "list_of_one_in_data": {"data": [ROW]},
}


@pytest.mark.parametrize("value", SINGLE.values(), ids=SINGLE)
def test_row_for_the_only_id_in_any_container(value):
    """Where one id was asked for, the only row is its own."""
    found = look_up(["1"], value)

    assert list(found) == ["1"]
    assert found["1"]["charge"] == ROW["charge"]


@pytest.mark.parametrize(
    "value",
    [
        ROW | {"order": 2},
        [ROW | {"order": 2}],
        [ROW, OTHER],
        {"2": ROW},
        {"order": ROW | {"id": 2}},
        {"order": 1},
        {"order": 1, "currency": "USD"},
        None,
        [],
        {},
        {"status": "success"},
        {"status": "success", "orders": ["2"]},
        {"data": None},
    ],
    ids=repr,
)
def test_row_for_another_id_is_not_the_only_ones(value):
    """A row that says whose it is, and it is somebody else, answers nobody."""
    assert look_up(["1"], value) == {}


@pytest.mark.parametrize(
    "value", [*ERRORS_OF_ONE.values(), {"1": UNKNOWN}, [UNKNOWN], {"errors": ["Order not found"]}], ids=repr
)
@pytest.mark.parametrize("status_code", [200, 400, 404])
def test_error_for_the_only_id_is_its_own(value, status_code):
    """Where one id was asked for, the error is its own."""
    assert look_up(["1"], value, status_code=status_code) == {"1": smm.UnknownOrderError}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"refill": 1, "status": "Completed"}, {"refill": "2", "status": "Error"}], {"1": "Completed", "2": "Error"}),
        ({"1": {"status": "In progress"}, "2": UNKNOWN}, {"1": "In progress", "2": smm.UnknownOrderError}),
        ([{"refill": 1, "status": {"error": "Incorrect refill ID"}}], {"1": smm.UnknownRefillError}),
        ([{"refill": 1, "error": "Incorrect refill ID"}], {"1": smm.UnknownRefillError}),
        ([{"refill": 1, "status": "Not found"}], {"1": smm.UnknownRefillError}),
        ([{"refill": {"a": 1}, "refill_id": 1, "status": "Pending"}], {"1": "Pending"}),
        ([{"order": 1, "status": "Pending"}, {"order": 2, "status": "Pending"}], {}),
        ([{"status": "Pending"}, {"status": "Completed"}], {}),
        ({"status": "Completed"}, {}),
        (None, {}),
    ],
)
def test_refill_rows_by_their_own_id(value, expected):
    """Refills are told apart by the refill's id, never by the order's."""
    found = look_up(["1", "2"], value, action="refill_status")

    assert {id_: row["status"] if isinstance(row, dict) else row for id_, row in found.items()} == expected


def test_refill_row_for_the_only_id():
    """A lone refill may be answered flat, in a list, or by key."""
    for value in ({"status": "Completed"}, [{"status": "Completed"}], {"1": {"status": "Completed"}}):
        assert look_up(["1"], value, action="refill_status") == {"1": {"status": "Completed"}}


@pytest.mark.parametrize("word", ["error", "status", "data", "orders", "charge"])
def test_id_that_reads_like_a_field_is_never_a_key(word):
    """An order may be called anything, but these keys are what they usually are."""
    assert look_up([word, "2"], {word: "Incorrect order ID", "2": OTHER}) == {"2": OTHER}


def test_limit_is_read_from_the_refusal():
    """A panel that refuses a batch as too large may say how large it may be."""
    for text, limit in {
        "Maximum 100 orders per request": 100,
        "Maximum of 50 refills": 50,
        "max 20 ids": 20,
        "Maximum 0 orders": 1,
        "Quantity more than maximum 100": None,
        "Maximum 99999 orders": None,
    }.items():
        assert READER.limit_in("status", reply({"error": text})) == limit
    assert READER.limit_in("status", reply({"1": ROW})) is None
    assert READER.limit_in("status", reply(b"<html>")) is None
    assert READER.limit_in("status", reply({"error": "Maximum 100 orders per request" + " " * 5000})) is None


@pytest.mark.parametrize(("body", "wait"), [(b"<html>", 7.0), (b"", 7.0), (b"<html>", None)])
def test_value_of_a_panel_that_is_closed_for_a_while(body, wait):
    """HTTP 503 is maintenance where the server says how long; without that, it is what a broken gateway says, too."""
    found = READER.read_value("status", reply(body, 503, retry_after=wait))

    assert type(found) is (smm.BadReplyError if wait is None else smm.MaintenanceError)
    assert getattr(found, "retry_after", None) == wait

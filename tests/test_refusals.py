"""What a panel says no with: where in an answer it stands, and what decides which error it is."""

import time
from decimal import Decimal

import pytest

import smm_async as smm
from smm_async._refusals import Refusals, is_call_result, is_row
from smm_async.panels import Panel

PANEL = Panel("https://panel.example/api/v2")
REFUSALS = Refusals(PANEL, redact=str)
UNKNOWN_TEXT = "Quelque chose"
ROW = {"charge": "0.27819", "start_count": "3572", "status": "Partial", "remains": "157", "currency": "USD"}


def find(*args, refusals=REFUSALS, **how):
    """Return the refusal in an answer."""
    return refusals.find(*args, **how)


REFUSED = {
    "error": ({"error": "Incorrect order ID"}, smm.UnknownOrderError, "Incorrect order ID"),
    "error_with_blanks": ({"error": " Incorrect order ID\n"}, smm.UnknownOrderError, "Incorrect order ID"),
    "error_and_message": (
        {"msg": "Số dư không đủ", "error": "neworder.error.not_enough_funds"},
        smm.NotEnoughFundsError,
        "neworder.error.not_enough_funds",
    ),
    "errors_list": ({"errors": ["Bad link", "", "x"]}, smm.BadLinkError, "Bad link; x"),
    "errors_list_with_nulls": ({"errors": [None, "Bad link", True]}, smm.BadLinkError, "Bad link"),
    "errors_object": ({"errors": {"message": "Bad link"}}, smm.BadLinkError, "Bad link"),
    "capital_error": ({"Error": "Incorrect order ID"}, smm.UnknownOrderError, "Incorrect order ID"),
    "capital_errors": ({"ERRORS": ["Incorrect order ID"]}, smm.UnknownOrderError, "Incorrect order ID"),
    "status_error_message": (
        {"status": "error", "order": "A-20999", "message": "Order not found"},
        smm.UnknownOrderError,
        "Order not found",
    ),
    "status_error_msg": ({"status": "error", "msg": "Maintenance"}, smm.MaintenanceError, "Maintenance"),
    "status_error_error": ({"status": "error", "error": "Bad link"}, smm.BadLinkError, "Bad link"),
    "status_fail_message": ({"status": "fail", "message": "Bad link"}, smm.BadLinkError, "Bad link"),
    "status_failed_mess": ({"status": "FAILED", "mess": "Bad link"}, smm.BadLinkError, "Bad link"),
    "status_false_pesan": ({"status": False, "data": {"pesan": "Bad link"}}, smm.BadLinkError, "Bad link"),
    "success_false_msg": ({"success": False, "msg": "Bad link"}, smm.BadLinkError, "Bad link"),
    "success_false_message": ({"success": False, "message": "Bad link"}, smm.BadLinkError, "Bad link"),
    "success_0": ({"success": 0, "message": "Bad link"}, smm.BadLinkError, "Bad link"),
    "success_text_0": ({"success": "0", "message": "Bad link"}, smm.BadLinkError, "Bad link"),
    "success_yet_error": ({"status": "success", "error": "Bad link"}, smm.BadLinkError, "Bad link"),
    "error_object": ({"error": {"message": "Bad link"}}, smm.BadLinkError, "Bad link"),
    "error_object_in_object": ({"error": {"error": "Bad link"}}, smm.BadLinkError, "Bad link"),
    "error_object_unknown": ({"error": {"a": Decimal("0.5")}}, smm.PanelError, '{"a": "0.5"}'),
    "error_true_message": ({"error": True, "message": "Bad link"}, smm.BadLinkError, "Bad link"),
    "error_1_message": ({"error": 1, "message": "Bad link"}, smm.BadLinkError, "Bad link"),
    "error_text_1_message": ({"error": "1", "message": "Bad link"}, smm.BadLinkError, "Bad link"),
    "error_number": ({"error": 7}, smm.PanelError, "7"),
    "error_true": ({"error": True}, smm.PanelError, ""),
    "status_error_object": ({"status": {"error": "Bad link"}}, smm.BadLinkError, "Bad link"),
    "status_error_object_beside_a_charge": (
        {"status": {"error": "Incorrect order ID"}, "charge": None},
        smm.UnknownOrderError,
        "Incorrect order ID",
    ),
    "status_not_found": ({"status": "Not found"}, smm.UnknownOrderError, "Not found"),
    "status_is_the_error": ({"status": "Incorrect order ID"}, smm.UnknownOrderError, "Incorrect order ID"),
    "status_is_the_key_error": ({"status": "Invalid API key"}, smm.InvalidKeyError, "Invalid API key"),
    "bare_text": ("Incorrect request", smm.UnsupportedActionError, "Incorrect request"),
    "bare_text_of_an_order": (" Incorrect order ID ", smm.UnknownOrderError, "Incorrect order ID"),
    "bare_text_unknown": (UNKNOWN_TEXT, smm.PanelError, UNKNOWN_TEXT),
    "empty_texts": ({"status": "error", "msg": "", "error": ""}, smm.PanelError, ""),
    "error_beside_a_row": (ROW | {"error": "Incorrect order ID"}, smm.UnknownOrderError, "Incorrect order ID"),
}


@pytest.mark.parametrize(("answer", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_refusal_is_found_wherever_it_stands(answer, error, text):
    """Each of the shapes seen is found, with its class and its text."""
    found = find("status", answer)

    assert type(found) is error
    assert found.text == text
    assert found.action == "status"
    assert found.status_code == 200


NOT_REFUSED: dict[str, object] = {
    "null": None,
    "empty_list": [],
    "list": [{"error": "Incorrect order ID"}],
    "empty_object": {},
    "number": 42,
    "fraction": Decimal("42.1"),
    "true": True,
    "row": ROW,
    "row_with_empty_errors": ROW | {"error": "", "errors": []},
    "error_false": ROW | {"error": False},
    "error_null": {"order": 1, "error": None},
    "error_0": {"order": 1, "error": 0},
    "error_text_0": {"order": 1, "error": "0"},
    "error_text_false": {"order": 1, "error": "false"},
    "error_text_null": {"order": 1, "error": "null"},
    "capital_error_empty": {"order": 1, "Error": ""},
    "capital_error_text_0": {"order": 1, "Error": "0"},
    "success": {"status": "success", "order": 1},
    "success_with_message": {"status": "success", "msg": "Bad link", "order": "TX7Q2M9K"},
    "code_100": {"status": 100, "order": 1},
    "success_true": {"success": True, "data": {}},
    "state_alone": {"status": "Completed"},
    "state_nobody_knows": {"status": "Teleporting"},
    "state_fail_of_an_order": ROW | {"status": "Fail"},
    "state_error_of_an_order": ROW | {"status": "Error"},
    "state_not_found_of_an_order": ROW | {"status": "Not found"},
    "subscription": {"status": "Expired", "expiry": False, "posts": "6", "orders": []},
    "message_alone": {"message": "Bad link"},
    "status_empty_object": {"status": {}},
}


@pytest.mark.parametrize("answer", NOT_REFUSED.values(), ids=NOT_REFUSED)
def test_answer_that_refuses_nothing_is_no_refusal(answer):
    """Rows, successes and empty error fields are no refusals."""
    assert REFUSALS.find("status", answer) is None


@pytest.mark.parametrize("word", ["Error", "Fail", "Failed"])
def test_refill_that_failed_is_a_state(word):
    """A refill has no field but its status, so a bare "Error" is what became of it."""
    assert REFUSALS.find("refill_status", {"refill": 1, "status": word}) is None
    assert is_row({"refill": 1, "status": word})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"refill": 1, "status": "Error", "message": "Incorrect refill ID"}, smm.UnknownRefillError),
        ({"refill": 1, "status": "error", "error": ""}, smm.PanelError),
        ({"refill": 3, "status": {"error": "Incorrect refill ID"}}, smm.UnknownRefillError),
        ({"refill": "3", "error": "Incorrect refill ID"}, smm.UnknownRefillError),
        ({"refill": 1, "status": "Not found"}, smm.UnknownRefillError),
        ({"refill": 1, "status": "not_found"}, smm.UnknownRefillError),
        ({"error": "Not found"}, smm.UnknownRefillError),
    ],
)
def test_refill_that_is_refused_is_an_error(answer, error):
    """A message, an error field or "not found" make it an error about that refill."""
    assert type(REFUSALS.find("refill_status", answer)) is error


def redact(text):
    """Stand in for what hides a key."""
    return text.replace("topsecret", "***")[:200]


@pytest.mark.parametrize(
    "answer",
    [
        "Invalid API key topsecret",
        {"error": "Invalid API key topsecret"},
        {"errors": ["topsecret", "topsecret"]},
        {"status": "error", "msg": "topsecret"},
        {"error": {"topsecret": ["topsecret"]}},
        {"Error": "topsecret"},
        {"status": {"error": "topsecret"}},
        {"status": "Invalid API key: topsecret"},
    ],
)
def test_key_in_a_quoted_text_is_blacked_out(answer):
    """Neither the message nor the text of the error shows what was echoed."""
    found = find("status", answer, refusals=Refusals(PANEL, redact))

    assert "topsecret" not in f"{found!r} {found} {found.text} {vars(found)}"
    assert "***" in found.text
    assert "***" in str(found)


def test_long_text_is_cut_but_read_whole():
    """The words that decide may stand behind what is shown."""
    found = find("status", {"error": "x" * 500 + " Incorrect order ID"}, refusals=Refusals(PANEL, redact))

    assert type(found) is smm.UnknownOrderError
    assert len(found.text) == 200


def test_text_that_is_unclear_far_behind_is_unclear():
    """What makes a text unclear may stand behind what is shown of it."""
    refusals = Refusals(PANEL, redact)

    assert refusals.is_unclear(find("add", {"error": "x " * 200 + "Please try again later"}, refusals=refusals))
    assert not refusals.is_unclear(find("add", {"error": "x " * 200 + "Comments is required"}, refusals=refusals))


@pytest.mark.parametrize("word", ["cancel", "refill ", "\0", "İ", "- "])
def test_enormous_text_takes_bounded_time(word):
    """A megabyte of an error is read in no time, and not whole."""
    began = time.process_time()

    found = find("add", {"error": word * 1_000_000}, refusals=Refusals(PANEL, redact))

    assert len(found.text) <= 200
    assert time.process_time() - began < 0.25


def test_refusal_without_a_word_says_so():
    """The message of an error without a text is a sentence, too."""
    found = find("add", {"status": "error"})

    assert str(found) == "The panel refused 'add' without a word."
    assert str(REFUSALS.find("add", {"error": "Bad link"})) == "The panel refused 'add': Bad link"


@pytest.mark.parametrize(
    "status", ["success", "Success", "SUCCESS", "ok", "true", True, 1, "1", 100, "100", 200], ids=repr
)
def test_call_result_is_no_state(status):
    """These words say that the call went well, and nothing of an order."""
    assert is_call_result(status)
    assert not is_row({"status": status})
    assert is_row({"status": status, "charge": "0.5"})


@pytest.mark.parametrize("status", ["Pending", "error", "fail", "", None, {}, [], 104, Decimal(1), False, 0])
def test_other_words_are_no_call_result(status):
    """Any other word, and what is no word, does not say that the call went well."""
    assert not is_call_result(status)


@pytest.mark.parametrize(
    "answer",
    [
        ROW,
        {"status": "Completed"},
        {"status": 3},
        {"charge": None},
        {"remains": ""},
        {"start_counter": 1},
        {"count_start": 1},
        {"status": "Active", "runs": 1},
        {"status": "", "posts": "0"},
        {"status": "success", "orderStatus": "Pending"},
        {"order_status": "Pending"},
        {"status": "success", "count_remain": 5},
    ],
)
def test_row_tells_of_an_order(answer):
    """Fields that only an order has, or a word that is none about the call, make a row."""
    assert is_row(answer)


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], "Completed", 5, [ROW], {}, {"status": ""}, {"status": None}, {"status": {}}, {"order": 5}),
        *({"status": "success", "message": "x"}, {"status": "success", "orderStatus": ""}, {"currency": "USD"}),
    ],
)
def test_what_tells_of_no_order_is_no_row(answer):
    """Everything else is not taken for one."""
    assert not is_row(answer)

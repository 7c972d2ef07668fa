"""What became of refills, cancellations and other writes: a yes, a no, or unknown."""

import json

import pytest

import smm_async as smm
from smm_async._wire import Reader, Reply
from smm_async._writes import read_any, read_each
from smm_async.panels import Panel

READER = Reader.for_panel(Panel("https://panel.example/api/v2"), lambda text: text.replace("topsecret", "***")[:200])
UNKNOWN = smm.OutcomeUnknownError
HTML = b"<html>Bad gateway topsecret</html>"


def reply(value, status_code=200, **extra):
    """Return the reply with a JSON value, or with bytes as they are, as its body."""
    return Reply(status_code, value if isinstance(value, bytes) else json.dumps(value).encode(), **extra)


def each(action, ids, value, status_code=200):
    """Return what an answer to a refill or a cancellation says of each id, errors as their classes."""
    found = read_each(READER, action, ids, reply(value, status_code))
    assert list(found) == ids
    return [type(outcome) if isinstance(outcome, smm.SmmError) else outcome for outcome in found.values()]


# Refills.

REFILL = {
    "text": ({"refill": "1"}, "1"),
    "number": ({"refill": 1}, "1"),
    "success_text": ({"success": "Refill has been requested", "refill": 12345}, "12345"),
    "refill_id": ({"refill_id": "R-5"}, "R-5"),
    "of_its_own_id": ({"refill": "TX7Q2M9K", "order": "7"}, "TX7Q2M9K"),
    "list_of_one": ([{"order": 7, "refill": 9}], "9"),
    "by_key": ({"7": {"refill": 9}}, "9"),
    "in_data": ({"status": "success", "data": {"7": {"refill": 9}}}, "9"),
    "error_in_refill": (
        {"refill": {"error": "The order was completed or refill was requested less than 24 hours ago"}},
        smm.RefillRefusedError,
    ),
    "words_in_refill": ({"refill": "Refill is disabled for this service"}, smm.RefillRefusedError),
    "error": ({"error": "Incorrect order ID"}, smm.UnknownOrderError),
    "error_in_list": ([{"order": 7, "error": "Order not found"}], smm.UnknownOrderError),
    "error_in_row": ([{"order": 7, "refill": {"error": "Incorrect order ID"}}], smm.UnknownOrderError),
    "error_by_key": ({"7": "Incorrect order ID"}, smm.UnknownOrderError),
    "unsupported": ({"error": "Incorrect request"}, smm.UnsupportedActionError),
    "success_without_id": ({"status": "Success"}, UNKNOWN),
    "true": ({"refill": True}, UNKNOWN),
    "zero": ({"refill": 0}, UNKNOWN),
    "word": ({"refill": "Pending"}, UNKNOWN),
    "error_word": ({"refill": "error"}, UNKNOWN),
    "object": ({"refill": {"status": "Pending"}}, UNKNOWN),
    "id_and_error": ({"refill": 5, "error": "x"}, UNKNOWN),
    "of_another_order": ({"order": 8, "refill": 5}, UNKNOWN),
    "of_others": ([{"order": 8, "refill": 5}], UNKNOWN),
    "of_two": ([{"order": 7, "refill": 5}, {"order": 7, "refill": 6}], UNKNOWN),
    "null_by_key": ({"7": None}, UNKNOWN),
    "text_by_key": ({"7": "Your request was taken"}, UNKNOWN),
    "generic": ({"error": "Server error"}, UNKNOWN),
    "null": (None, UNKNOWN),
    "empty_list": ([], UNKNOWN),
    "html": (HTML, UNKNOWN),
}


@pytest.mark.parametrize(("value", "outcome"), REFILL.values(), ids=REFILL)
def test_refill_of_one_order(value, outcome):
    """A refill id is a yes, a reason is a no."""
    assert each("refill", ["7"], value) == [outcome]
    assert each("refill", ["7"], value, 500) == [UNKNOWN]


def test_refill_refused_for_now_may_be_asked_for_later():
    """The panel's words tell whether it may pass."""
    for text, may_pass in {"requested less than 24 hours ago: no refill": True, "Refill is disabled": False}.items():
        found = read_each(READER, "refill", ["7"], reply({"refill": {"error": text}}))["7"]

        assert isinstance(found, smm.RefillRefusedError)
        assert found.retryable is may_pass


# Cancellations.

CANCEL = {
    "one": ([{"order": 7, "cancel": 1}], "1"),
    "text": ([{"order": "7", "cancel": "1"}], "1"),
    "true": ([{"order": 7, "cancel": True}], "true"),
    "pending": ([{"order": 7, "cancel": "Pending"}], "Pending"),
    "cancel_id": ([{"order": 7, "cancel": 45}], "45"),
    "cancel_text_id": ([{"order": 7, "cancel": "C-45"}], "C-45"),
    "flat": ({"cancel": 1}, "1"),
    "flat_with_status": ({"cancel": 45, "status": "Success"}, "45"),
    "canceled_list": ({"canceled": [7]}, "1"),
    "canceled_list_of_texts": ({"status": "success", "canceled": [" 7 "]}, "1"),
    "by_key": ({"7": {"cancel": 1}}, "1"),
    "success": ({"status": "success"}, "success"),
    "success_of_its_order": ({"status": "Success", "order": 7, "message": "x"}, "Success"),
    "success_true": ({"success": True}, "true"),
    "success_text": ({"success": "Cancel request has been sent"}, "Cancel request has been sent"),
    "success_row": ([{"order": 7, "status": "success"}], "success"),
    "error_in_cancel": ([{"order": 7, "cancel": {"error": "Order cannot be canceled"}}], smm.CancelRefusedError),
    "words_in_cancel": ([{"order": 7, "cancel": "Order cannot be canceled"}], smm.CancelRefusedError),
    "flat_error_row": ([{"order": 7, "error": "Incorrect order ID"}], smm.UnknownOrderError),
    "error": ({"error": "Cancel is disabled"}, smm.CancelRefusedError),
    "error_by_key": ({"7": "Incorrect order ID"}, smm.UnknownOrderError),
    "unknown_words_in_cancel": ([{"order": 7, "cancel": "We will see"}], UNKNOWN),
    "failed_in_cancel": ([{"order": 7, "cancel": "Rejected"}], UNKNOWN),
    "error_word_in_cancel": ([{"order": 7, "cancel": "error"}], UNKNOWN),
    "false": ([{"order": 7, "cancel": False}], UNKNOWN),
    "zero": ([{"order": 7, "cancel": 0}], UNKNOWN),
    "zero_and_success": ([{"order": 7, "cancel": 0, "status": "success"}], UNKNOWN),
    "empty_success_text": ({"success": " "}, UNKNOWN),
    "denying_success_text": ({"success": "Order cannot be canceled"}, UNKNOWN),
    "success_text_of_nothing": ({"success": "Nothing canceled"}, UNKNOWN),
    "success_text_of_zero": ({"success": "0 orders canceled"}, UNKNOWN),
    "success_text_too_late": ({"success": "The order was already completed"}, UNKNOWN),
    "text_by_key": ({"7": "Your request was taken"}, UNKNOWN),
    "canceled_others": ({"canceled": [8, 77]}, UNKNOWN),
    "canceled_none": ({"canceled": []}, UNKNOWN),
    "canceled_true": ({"canceled": True}, UNKNOWN),
    "of_another_order": ({"order": 8, "cancel": 1}, UNKNOWN),
    "success_of_another_order": ({"order": 8, "status": "success"}, UNKNOWN),
    "state": ({"status": "Canceled"}, UNKNOWN),
    "generic": ({"error": "Server error"}, UNKNOWN),
    "success_and_error": ({"status": "success", "error": "x"}, UNKNOWN),
    "null": (None, UNKNOWN),
    "html": (HTML, UNKNOWN),
}


@pytest.mark.parametrize(("value", "outcome"), CANCEL.values(), ids=CANCEL)
def test_cancellation_of_one_order(value, outcome):
    """Any of the ways of saying "taken" is a yes, with the panel's own word; a reason is a no."""
    assert each("cancel", ["7"], value) == [outcome]
    assert each("cancel", ["7"], value, 502) == [UNKNOWN]
    assert each("cancel", ["7"], HTML, 200) == [UNKNOWN]


# Several at once.

CANCELED = {
    "list": ([{"order": 2, "cancel": 1}, {"order": 9, "cancel": {"error": "Incorrect order ID"}}],
             ["1", smm.UnknownOrderError]),
    "list_in_another_order": ([{"order": "9", "error": "Cancel is disabled"}, {"order": 2, "cancel": True}],
                              ["true", smm.CancelRefusedError]),
    "by_key": ({"2": {"cancel": 1}, "9": "Incorrect order ID"}, ["1", smm.UnknownOrderError]),
    "canceled_list": ({"canceled": [2]}, ["1", UNKNOWN]),
    "left_out": ([{"order": 2, "cancel": 1}], ["1", UNKNOWN]),
    "left_out_beside_an_error": ({"error": "Incorrect order ID", "2": {"cancel": 1}}, ["1", UNKNOWN]),
    "left_out_beside_a_key_error": ({"error": "Invalid API key", "2": {"cancel": 1}}, ["1", UNKNOWN]),
    "null": ([{"order": 2, "cancel": 1}, {"order": 9, "cancel": None}], ["1", UNKNOWN]),
    "others": ([{"order": 3, "cancel": 1}], [UNKNOWN, UNKNOWN]),
    "without_ids": ([{"cancel": 1}, {"cancel": 1}], [UNKNOWN, UNKNOWN]),
    "flat": ({"cancel": 1}, [UNKNOWN, UNKNOWN]),
    "success": ({"status": "success"}, [UNKNOWN, UNKNOWN]),
    "unknown_order": ({"error": "Incorrect order ID"}, [UNKNOWN, UNKNOWN]),
    "unknown_orders": ({"error": "Invalid Order Ids", "status": "104"}, [UNKNOWN, UNKNOWN]),
    "cancel_refused": ({"error": "Order cannot be canceled"}, [UNKNOWN, UNKNOWN]),
    "generic": ({"error": "Please try again later"}, [UNKNOWN, UNKNOWN]),
    "text_nobody_knows": ({"error": "Quelque chose"}, [UNKNOWN, UNKNOWN]),
    "nothing": ([], [UNKNOWN, UNKNOWN]),
    "html": (HTML, [UNKNOWN, UNKNOWN]),
    "key": ({"error": "Invalid API key"}, [smm.InvalidKeyError] * 2),
    "account": ({"error": "Account suspended"}, [smm.AccountError] * 2),
    "rate": ({"error": "Too many requests"}, [smm.RateLimitedError] * 2),
    "maintenance": ({"error": "Maintenance"}, [smm.MaintenanceError] * 2),
    "unsupported": ({"error": "Incorrect request"}, [smm.UnsupportedActionError] * 2),
}  # fmt: skip


@pytest.mark.parametrize(("value", "outcomes"), CANCELED.values(), ids=CANCELED)
def test_cancellation_of_several_orders(value, outcomes):
    """Each order has its own outcome by its own id; what names none is nobody's, but for what concerns everybody."""
    assert each("cancel", ["2", "9"], value) == outcomes
    assert each("cancel", ["2", "9"], value, 503) == [UNKNOWN, UNKNOWN]


def test_refill_of_several_orders_answered_for_one():
    """One refill id for several orders is nobody's."""
    assert each("refill", ["300", "301"], {"refill": "1"}) == [UNKNOWN, UNKNOWN]
    assert each("refill", ["300", "301"], {"refill": {"error": "Incorrect order ID"}}) == [UNKNOWN, UNKNOWN]


def test_refill_of_several_orders():
    """Each order has its own refill id or its own reason."""
    value = [
        {"order": 3, "refill": {"error": "Incorrect order ID"}},
        {"order": 1, "refill": 11},
        {"order": "2", "error": "Refill is disabled for this service"},
    ]

    assert each("refill", ["1", "2", "3"], value) == ["11", smm.RefillRefusedError, smm.UnknownOrderError]
    assert each("refill", ["1", "2"], {"data": {"1": {"refill": 5}, "2": {"refill": 6}}}, 201) == ["5", "6"]


@pytest.mark.parametrize("value", [{"error": "Invalid API key"}, {"error": "Order not found"}, HTML, []], ids=repr)
def test_outcomes_of_several_orders_are_objects_of_their_own(value):
    """Nobody shares an exception."""
    found = read_each(READER, "cancel", ["2", "9"], reply(value))

    assert found["2"] is not found["9"]


# Any action.


@pytest.mark.parametrize("value", [{"a": 1}, [], None, 5, "1.2.3", {"status": "success"}, [{"error": "x"}]], ids=repr)
def test_answer_to_any_action_is_its_value(value):
    """Whatever is no refusal is the answer, a text among it."""
    assert read_any(READER, "anything", reply(value)) == value


@pytest.mark.parametrize(
    ("value", "status_code", "error"),
    [
        ({"error": "Incorrect request"}, 200, smm.UnsupportedActionError),
        ("Incorrect request", 200, smm.UnsupportedActionError),
        ({"error": "Comments is required"}, 422, smm.PanelError),
        ({"error": "Quelque chose"}, 422, UNKNOWN),
        ({"error": "Bad link"}, 500, UNKNOWN),
        ({"error": "Server error"}, 200, UNKNOWN),
        ({"a": 1}, 404, UNKNOWN),
        ({"a": 1}, 500, UNKNOWN),
        (HTML, 200, UNKNOWN),
        (b"", 502, UNKNOWN),
    ],
)
def test_answer_to_any_action_that_is_none(value, status_code, error):
    """A clear no is the panel's; what is not an answer leaves open what became of it."""
    assert type(read_any(READER, "anything", reply(value, status_code))) is error

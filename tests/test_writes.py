"""What became of an order: only a plain yes is a yes, only a clear no is a no, all else is unknown."""

import json

import pytest

import smm_async as smm
from smm_async._wire import Reader, Reply
from smm_async._writes import read_placed, unknown
from smm_async.panels import Panel

READER = Reader.for_panel(Panel("https://panel.example/api/v2"), lambda text: text.replace("topsecret", "***")[:200])
UNKNOWN = smm.OutcomeUnknownError
HTML = b"<html>Bad gateway topsecret</html>"


def reply(value, status_code=200, **extra):
    """Return the reply with a JSON value, or with bytes as they are, as its body."""
    return Reply(status_code, value if isinstance(value, bytes) else json.dumps(value).encode(), **extra)


def place(value, status_code=200, action="add"):
    """Return the id that an answer to an order means, or the class of the error it is."""
    outcome = read_placed(READER, action, reply(value, status_code))
    return type(outcome) if isinstance(outcome, smm.SmmError) else outcome


PLACED = {
    "number": ({"order": 23501}, "23501"),
    "text": ({"order": "23501"}, "23501"),
    "text_with_blanks": ({"order": " 23501\n"}, "23501"),
    "transaction": ({"status": "success", "msg": "Đơn hàng đã được tạo", "order": "TX7Q2M9K"}, "TX7Q2M9K"),
    "object_id": ({"order": "507f1f77bcf86cd799439011"}, "507f1f77bcf86cd799439011"),
    "letter_and_number": ({"order": "A-10432"}, "A-10432"),
    "uuid": ({"order": "c85c1d1a-9ef3-4d01-8c58-3dfaf3bbc78e"}, "c85c1d1a-9ef3-4d01-8c58-3dfaf3bbc78e"),
    "code_100": ({"status": 100, "order": "55102"}, "55102"),
    "status_success": ({"status": "success", "order": 5}, "5"),
    "with_charge": ({"status": "Success", "order": 5, "charge": "0.1", "start_count": 7, "currency": "USD"}, "5"),
    "with_state": ({"order": 5, "status": "Pending", "charge": "0.1"}, "5"),
    "order_id": ({"order_id": 5}, "5"),
    "orderId": ({"orderId": 5}, "5"),
    "orderID": ({"orderID": 5}, "5"),
    "OrderID": ({"OrderID": "5"}, "5"),
    "Order": ({"Order": 5}, "5"),
    "id": ({"id": 5}, "5"),
    "in_data": ({"status": "success", "data": {"order": 5}}, "5"),
    "id_in_data": ({"success": True, "data": {"id": 5}}, "5"),
    "id_in_order": ({"order": {"id": 5, "status": "Pending"}}, "5"),
    "in_result": ({"result": {"order": 5}}, "5"),
    "one_of_several_links": ({"orders": ["5"]}, "5"),
    "empty_error": ({"order": 5, "error": ""}, "5"),
    "no_error": ({"order": 5, "error": None, "errors": []}, "5"),
    "error_flags": ({"order": 5, "error": False, "Error": "0"}, "5"),
    "behind_a_notice": (b"<br />\n<b>Notice</b>: x<br />\n" + b'{"order": 5}', "5"),
    "byte_order_mark": (b"\xef\xbb\xbf\n" + b'{"order": 5}', "5"),
}


@pytest.mark.parametrize(("value", "id_"), PLACED.values(), ids=PLACED)
@pytest.mark.parametrize("status_code", [200, 201, 202])
def test_order_is_placed_where_the_panel_names_it(value, id_, status_code):
    """An id, wherever it stands, and no error, is the order."""
    assert place(value, status_code) == id_
    assert place(value, status_code, action="add_product_order") == id_


REFUSED = {
    "funds": ({"error": "neworder.error.not_enough_funds"}, smm.NotEnoughFundsError),
    "busy": ({"error": "You have active order with this link. Please wait until order being completed."},
             smm.LinkBusyError),
    "quantity": ({"error": "Quantity less than minimal 250"}, smm.BadQuantityError),
    "link": ({"error": "Bad link"}, smm.BadLinkError),
    "service": ({"error": "Incorrect service ID"}, smm.UnknownServiceError),
    "duplicate": ({"error": "An identical order was just placed"}, smm.DuplicateOrderError),
    "key": ({"error": "Invalid API key"}, smm.InvalidKeyError),
    "rate": ({"error": "Too many requests, please try again later."}, smm.RateLimitedError),
    "maintenance": ({"status": "error", "msg": "Maintenance"}, smm.MaintenanceError),
    "top_up_and_try_again": ({"error": "Insufficient balance. Top up and try again."}, smm.NotEnoughFundsError),
    "other_field": ({"error": "neworder.error.schedule_time"}, smm.PanelError),
    "status_and_message": ({"status": "fail", "message": "Eksik veri"}, smm.PanelError),
    "number_of_another_field": ({"error": "Quelque chose", "status": "107"}, smm.PanelError),
    "code": ({"error": "Quelque chose", "status": 109}, smm.BadQuantityError),
    "no_id_in_the_order": ({"order": None, "error": "Bad link"}, smm.BadLinkError),
    "bare_text": ("Incorrect request", smm.UnsupportedActionError),
}  # fmt: skip


@pytest.mark.parametrize(("value", "error"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("status_code", [200, 400, 402, 404, 422])
def test_order_is_refused_where_the_panel_says_why(value, error, status_code):
    """A reason and no id is a no, with any HTTP status but that of a failed server."""
    found = place(value, status_code)

    assert found is error


@pytest.mark.parametrize(
    "text",
    [
        *("Quelque chose", "An error occurred", "Database error", "SQLSTATE[40001]: Deadlock found", "Bir hata oluştu"),
        *("MySQL server has gone away", "cURL error 56: Connection reset by peer", "Gateway Time-out"),
        *("Upstream did not respond", "Ocorreu um erro", "Order is being processed", "Order already exists: 12345"),
    ],
)
@pytest.mark.parametrize("status_code", [200, 400, 408, 409, 422, 425, 499, 500])
def test_order_is_in_doubt_where_nobody_knows_the_words(text, status_code):
    """A text that no table knows may mean anything, so it is neither a no nor a yes."""
    assert place({"error": text}, status_code) is smm.OutcomeUnknownError


@pytest.mark.parametrize(
    ("status_code", "error"),
    [(401, smm.InvalidKeyError), (402, smm.NotEnoughFundsError), (429, smm.RateLimitedError)],
)
def test_order_is_refused_where_http_says_why(status_code, error):
    """An object with no error text is a no where the HTTP status has a meaning of its own."""
    assert place({"message": ""}, status_code) is error


@pytest.mark.parametrize(("value", "_"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("status_code", [500, 502, 503, 520])
def test_order_refused_by_a_failing_server_is_unknown(value, _, status_code):
    """What stands behind a failed server may have placed it, whatever it says."""
    assert place(value, status_code) is UNKNOWN


NEITHER = {
    "empty_texts": {"status": "error", "msg": "", "error": ""},
    "generic": {"error": "There was an error processing your request. Please try again later"},
    "failed": {"error": "Failed to create order"},
    "server_error": {"error": "Internal server error"},
    "provider": {"status": "error", "message": "Provider is unavailable"},
    "timeout": {"error": "Request timed out"},
    "error_word": {"error": "Error"},
    "error_flag": {"error": True},
    "success_false": {"success": False},
    "scheduled": {"status": "success", "msg": "Order has been scheduled"},
    "scheduled_with_quantity": {"status": "success", "msg": "Order with quantity 5 has been scheduled"},
    "message_alone": {"message": "Incorrect quantity"},
    "code_100_alone": {"status": 100},
    "order_0": {"order": 0},
    "order_text_0": {"order": "0"},
    "order_null": {"order": None},
    "order_empty": {"order": ""},
    "order_true": {"order": True},
    "order_false": {"order": False},
    "order_fraction": {"order": 1.5},
    "order_negative": {"order": -5},
    "order_huge": b'{"order": 1e5}',
    "order_words": {"order": "placed with success"},
    "order_word": {"order": "success"},
    "order_state": {"order": "Pending"},
    "order_failed": {"order": "error"},
    "order_unknown": {"order": "unknown"},
    "order_undefined": {"order": "undefined"},
    "order_comma": {"order": "1,2"},
    "order_plus": {"order": "+1"},
    "order_arabic": {"order": "\u0661\u0662"},
    "order_long": {"order": "1" * 65},
    "order_list": {"order": [5]},
    "order_object_without_id": {"order": {"status": "Pending"}},
    "order_and_error": {"order": 5, "error": "x"},
    "order_and_known_error": {"order": 5, "error": "Not enough funds"},
    "order_and_status_error": {"order": 5, "status": "error", "message": "Bad link"},
    "two_orders": {"orders": [5, 6]},
    "no_orders": {"orders": []},
    "empty_object": {},
    "empty_list": [],
    "list_with_order": [{"order": 5}],
    "null": None,
    "empty_body": b"",
    "number": 23501,
    "bare_number_text": "23501",
    "bare_text": "Quelque chose",
    "html": HTML,
    "notice_alone": b"Notice: x on line 1",
    "cut": b'{"order": 5',
    "trailing_junk": b'{"order": 5}x',
    "key_twice": b'{"order": 5, "order": 6}',
}


@pytest.mark.parametrize("value", NEITHER.values(), ids=NEITHER)
@pytest.mark.parametrize("status_code", [200, 201, 500, 503])
def test_order_without_a_yes_or_a_no_is_unknown(value, status_code):
    """Without an id, or with an id and an error, or without a reason, nobody knows whether it was placed."""
    assert place(value, status_code) is UNKNOWN


@pytest.mark.parametrize("status_code", [301, 302, 308, 400, 404, 422, 500, 502])
def test_order_with_an_http_failure_is_unknown_though_it_has_an_id(status_code):
    """An id and an HTTP status that says no do not agree."""
    assert place({"order": 23501}, status_code) is UNKNOWN


@pytest.mark.parametrize("status_code", [200, 301, 400, 403, 404, 429, 500, 503, 520])
def test_order_answered_in_html_is_unknown(status_code):
    """A page of a server in between proves nothing."""
    assert place(HTML, status_code) is UNKNOWN


@pytest.mark.parametrize(
    "value", [HTML, {"error": "Server error topsecret"}, {"status": "success", "msg": "topsecret"}]
)
def test_unknown_outcome_quotes_the_panel_without_the_key(value):
    """What the panel said is kept, redacted, and not to be repeated by machine."""
    found = read_placed(READER, "add", reply(value))

    assert isinstance(found, UNKNOWN)
    assert "***" in found.text
    assert "topsecret" not in f"{found} {found.text}"
    assert (found.action, found.status_code, found.retryable) == ("add", 200, False)


def test_unknown_outcome_of_a_broken_connection():
    """What broke is named."""
    found = unknown("add", smm.NoAnswerError("The connection broke.", status_code=502, text="x"))

    assert str(found) == "Whether 'add' was carried out is not known: The connection broke."
    assert (found.action, found.status_code, found.text) == ("add", 502, "x")

"""What decides which error a refusal is where its text does not: codes and the HTTP status."""

import attrs
import pytest

import smm_async as smm
from smm_async._refusals import Refusals
from smm_async.panels import Panel

PANEL = Panel("https://panel.example/api/v2")
REFUSALS = Refusals(PANEL, redact=str)
UNKNOWN_TEXT = "Quelque chose"
ROW = {"charge": "0.27819", "start_count": "3572", "status": "Partial", "remains": "157", "currency": "USD"}


def find(*args, refusals=REFUSALS, **how):
    """Return the refusal in an answer."""
    return refusals.find(*args, **how)


CODES = {
    "102": smm.InvalidKeyError,
    "103": smm.AccountError,
    "104": smm.UnknownOrderError,
    "105": smm.ServiceDisabledError,
    "108": smm.BadQuantityError,
    "109": smm.BadQuantityError,
    "114": smm.BadLinkError,
    "101": smm.PanelError,
    "107": smm.PanelError,
    "110": smm.PanelError,
    "111": smm.PanelError,
    "112": smm.PanelError,
    "113": smm.PanelError,
    "999": smm.PanelError,
}


@pytest.mark.parametrize(("code", "error"), CODES.items())
def test_code_beside_an_unknown_text_decides(code, error):
    """A number beside the error, as a text or a number, under either name, tells what nobody can read."""
    answers = [
        {"error": UNKNOWN_TEXT, "status": code},
        {"error": UNKNOWN_TEXT, "status": int(code)},
        {"error": UNKNOWN_TEXT, "status": f" {code} "},
        {"error": UNKNOWN_TEXT, "code": code},
        {"error": UNKNOWN_TEXT, "status": "error", "code": int(code)},
        {"status": "error", "code": code, "message": UNKNOWN_TEXT},
    ]

    assert [type(REFUSALS.find("add", answer)) for answer in answers] == [error] * len(answers)


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ("Not enough funds on balance", "113", smm.NotEnoughFundsError),
        ("You have active order with this link", 113, smm.LinkBusyError),
        ("Invalid API key", "104", smm.InvalidKeyError),
        ("Order not found.", "102", smm.UnknownOrderError),
    ],
)
def test_text_goes_before_the_code(text, code, error):
    """What can be read decides before a number with two meanings."""
    assert type(REFUSALS.find("add", {"error": text, "status": code})) is error


@pytest.mark.parametrize(
    ("status_code", "error"),
    [
        (200, smm.PanelError),
        (400, smm.PanelError),
        (401, smm.InvalidKeyError),
        (402, smm.NotEnoughFundsError),
        (404, smm.PanelError),
        (422, smm.PanelError),
        (429, smm.RateLimitedError),
        (500, smm.PanelError),
        (503, smm.MaintenanceError),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [{"error": UNKNOWN_TEXT}, {"status": "error", "message": UNKNOWN_TEXT}, {"error": ""} | {"success": False}],
)
def test_http_status_breaks_a_tie(status_code, error, answer):
    """Where neither text nor code tells, the HTTP status does."""
    found = find("add", answer, status_code=status_code)

    assert type(found) is error
    assert found.status_code == status_code


@pytest.mark.parametrize("status_code", [400, 401, 402, 429, 500, 503])
def test_text_and_code_go_before_the_http_status(status_code):
    """A text or a code that says what is wrong is not overruled by the HTTP status."""
    by_text = REFUSALS.find("add", {"error": "Incorrect order ID"}, status_code=status_code)
    by_code = REFUSALS.find("add", {"error": UNKNOWN_TEXT, "status": 105}, status_code=status_code)

    assert type(by_text) is smm.UnknownOrderError
    assert type(by_code) is smm.ServiceDisabledError


@pytest.mark.parametrize(
    ("answer", "status_code", "error", "text"),
    [
        ({"message": "Unauthenticated."}, 401, smm.InvalidKeyError, "Unauthenticated."),
        ({"message": "Too Many Attempts."}, 429, smm.RateLimitedError, "Too Many Attempts."),
        ({"message": "Bad link"}, 422, smm.BadLinkError, "Bad link"),
        ({"message": UNKNOWN_TEXT}, 500, smm.PanelError, UNKNOWN_TEXT),
        ({}, 401, smm.InvalidKeyError, ""),
        ({"message": "Bad link", "data": []}, 400, smm.BadLinkError, "Bad link"),
        ({"error": ""}, 503, smm.MaintenanceError, ""),
    ],
)
def test_message_is_the_error_where_http_says_so(answer, status_code, error, text):
    """With an HTTP status of failure, a message needs no error field to be one."""
    found = find("status", answer, status_code=status_code)

    assert type(found) is error
    assert found.text == text


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], {}, {"message": ""}, ROW, ROW | {"message": "x"}, {"status": "Pending"}),
        *({"message": "Done", "data": [ROW]}, {"status": "success", "message": "Done"}, {"message": "x", "1": ROW}),
    ],
    ids=repr,
)
def test_http_status_alone_is_no_refusal(answer):
    """A status of 400 or 500 adds nothing to a row, or to an answer without a word."""
    assert REFUSALS.find("status", answer, status_code=400) is None
    assert REFUSALS.find("status", answer, status_code=500) is None


@pytest.mark.parametrize("part", [{}, {"order": 5}, {"message": "Bad link"}], ids=repr)
def test_http_status_makes_no_error_of_a_part(part):
    """The status of the whole answer says nothing of a row in it that names no error."""
    assert REFUSALS.find("status", part, status_code=401, is_part=True) is None
    assert type(REFUSALS.find("status", {"error": "?"}, status_code=401, is_part=True)) is smm.InvalidKeyError


@pytest.mark.parametrize("answer", [{"error": "Too many requests"}, {"error": "Maintenance"}, {"error": "Bad link"}])
def test_retry_after_is_kept_where_it_means_something(answer):
    """How long to wait is known to the errors that pass with time, and to no other."""
    found = find("status", answer, retry_after=7.0)

    passes = type(found) in {smm.RateLimitedError, smm.MaintenanceError}
    assert getattr(found, "retry_after", None) == (7.0 if passes else None)


def test_panels_own_codes_decide():
    """A panel may have numbers of its own."""
    panel = attrs.evolve(PANEL, error_codes={"E7": smm.LinkBusyError, "104": smm.AccountError})
    refusals = Refusals(panel, redact=str)

    assert type(refusals.find("add", {"error": UNKNOWN_TEXT, "code": "E7"})) is smm.LinkBusyError
    assert type(refusals.find("add", {"error": UNKNOWN_TEXT, "status": 104})) is smm.AccountError

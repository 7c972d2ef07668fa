"""The words panels use: every spelling seen of a state, and every text seen of an error."""

import attrs
import pytest

import smm_async as smm
from smm_async._refusals import Refusals
from smm_async._words import fold, has_word
from smm_async.models import OrderState, RefillState
from smm_async.panels import Panel

PANEL = Panel("https://panel.example/api/v2")
REFUSALS = Refusals(PANEL, redact=str)


def find(*args, refusals=REFUSALS, **how):
    """Return the refusal in an answer."""
    return refusals.find(*args, **how)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("In progress", "in progress"),
        ("  IN_PROGRESS ", "in progress"),
        ("in--progress", "in progress"),
        ("In \t Progress.", "in progress"),
        ("neworder.error.not_enough_funds", "neworder error not enough funds"),
        ("", ""),
        ("_-.", ""),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
    ],
)
def test_fold_of_a_text(text, folded):
    """Case and what stands between words do not matter."""
    assert fold(text) == folded


ORDER_STATES = {
    OrderState.PENDING: ["Pending", "pending", "Queued", "Awaiting", "AWAITING", " Pending\n"],
    OrderState.PROCESSING: ["Processing", "processing", "processing order", "Processing_Order"],
    OrderState.IN_PROGRESS: [
        *("In progress", "In Progress", "Inprogress", "inprogress", "in_progress", "In_progress", "IN_PROGRESS"),
        *("in-progress", "in  progress", "Active", "Running"),
    ],
    OrderState.COMPLETED: [
        *("Completed", "Complete", "completed", "COMPLETED", "Finished", "Success", "Done", "Delivered", "Closed"),
        *("Concluido", "Concluído", "tamamlandı", "Tamamlandı"),
    ],
    OrderState.PARTIAL: ["Partial", "partial", "Partially Completed", "partially_completed", "kısmen", "Kısmen"],
    OrderState.CANCELED: [
        *("Canceled", "Cancelled", "CANCELED", "CANCELLED", "Cancel", "canscelled", "canelled", "iptal", "İptal"),
        "Iptal",
    ],
    OrderState.REFUNDED: ["Refunded", "Refund", "Refunds", "reembolso", "Reembolso"],
    OrderState.EXPIRED: ["Expired", "expired"],
    OrderState.FAILED: ["Fail", "FAIL", "Failed", "failed", "Error", "ERROR"],
    OrderState.PAUSED: ["Paused", "Holding", "Suspended", "suspended"],
    OrderState.REFILLING: ["Refill", "refill", "Refilling"],
    OrderState.UNKNOWN: ["", "Unknown", "Teleporting", "completed soon", "not completed", "0", "1", "2", "3", "4", "5"],
}
REFILL_STATES = {
    RefillState.PENDING: ["Pending", "pending", "Queued", "Awaiting"],
    RefillState.IN_PROGRESS: ["In progress", "In Progress", "in_progress", "Inprogress", "Processing"],
    RefillState.COMPLETED: ["Completed", "completed", "Complete"],
    RefillState.REJECTED: ["Rejected", "rejected"],
    RefillState.CANCELED: ["Canceled", "Cancelled"],
    RefillState.FAILED: ["Error", "Failed"],
    RefillState.EXPIRED: ["Expired"],
    RefillState.UNKNOWN: ["", "Teleporting", "Not found", "0", "2"],
}
ENDED_ORDERS = {"COMPLETED", "PARTIAL", "CANCELED", "REFUNDED", "EXPIRED"}
ENDED_REFILLS = {"COMPLETED", "REJECTED", "CANCELED", "FAILED", "EXPIRED"}


@pytest.mark.parametrize(("state", "word"), [(state, word) for state, words in ORDER_STATES.items() for word in words])
def test_order_state_by_its_spelling(state, word):
    """Each spelling seen is its state, and every other word, numbers among them, is none that anybody knows."""
    assert PANEL.order_states.get(fold(word), OrderState.UNKNOWN) is state


@pytest.mark.parametrize(("state", "word"), [(state, word) for state, words in REFILL_STATES.items() for word in words])
def test_refill_state_by_its_spelling(state, word):
    """Refills have words of their own, read in the same way."""
    assert PANEL.refill_states.get(fold(word), RefillState.UNKNOWN) is state


@pytest.mark.parametrize("state", OrderState)
def test_order_state_ends_an_order_or_not(state):
    """A failed order may be repaired, and an unknown word may mean anything: neither is an end."""
    assert state.is_terminal is (state.name in ENDED_ORDERS)


@pytest.mark.parametrize("state", RefillState)
def test_refill_state_ends_a_refill_or_not(state):
    """A refill is over but when it waits, runs, or has a word that nobody knows."""
    assert state.is_terminal is (state.name in ENDED_REFILLS)


def test_words_hold_text_or_pattern():
    """A word may stand anywhere in the text, a pattern must match."""
    words = PANEL.error_words[0][1]

    assert has_word("sorry, your account is inactive now", words)
    assert not has_word("sorry", words)
    assert not has_word("", words)


ERRORS = {
    smm.InvalidKeyError: [
        *("Invalid API key", "Invalid API Key", "Incorrect API key", "API key is incorrect", "API key invalid"),
        *("Invalid API key format", "Missing key", "API key is required", "Incorrect request or API key"),
        *("API is Disable for this user or User Not Found!", "API access disabled", "API is disabled"),
        *("API key hatalı", "invalid_api_key", "INVALID API KEY."),
    ],
    smm.AccountError: [
        *("user_inactive", "Your account is inactive", "Account suspended", "Hesabınız pasif", "IP not allowed"),
        *("Too many failed attempts", "neworder.error.account_banned", "Your account is suspended."),
    ],
    smm.UnknownOrderError: [
        *("Incorrect order ID", "Incorrect order IDs", "Order not found", "Order Not found", "Order not found."),
        *("Invalid Order Id", "Invalid Order Ids", "error.incorrect_order_id", "Sipariş bulunamadı."),
    ],
    smm.UnknownRefillError: [
        *("Incorrect refill ID", "Refill not found", "Refill Request Not found", "error.incorrect_refill_id"),
    ],
    smm.NotEnoughFundsError: [
        *("Not enough funds on balance", "neworder.error.not_enough_funds", "neworder.error.insufficient_balance"),
        *("not_enough_funds", "Insufficient balance", "Insufficient funds", "You have insufficient balance"),
        *("balance", "Balance", "Bakiyeniz yetersiz"),
    ],
    smm.UnknownServiceError: [
        *("Incorrect service ID", "incorrect_service_id", "error.incorrect_service_id", "Service not found"),
        *("neworder.error.incorrect_service_id", "neworder.error.service_not_found", "Invalid Service Id"),
        "Service ID does not exists",
    ],
    smm.ServiceDisabledError: [
        *("Disabled service ID", "Service temporarily disabled", "neworder.error.service_inactive"),
        *("Service is under maintenance", "This service is not available via API"),
    ],
    smm.BadLinkError: [
        *("Bad link", "Bad Link", "Incorrect link", "Invalid link", "Link is required", "neworder.error.link"),
        *("neworder.error.invalid_link", "neworder.error.link_not_found", "Girilen profil gizli"),
    ],
    smm.BadQuantityError: [
        *("Quantity less than minimal 250", "Quantity more than maximum 5000", "Quantity less than maximum 10"),
        *("neworder.error.min_quantity", "neworder.error.max_quantity", "Incorrect quantity"),
        *("Quantity must be between 10 and 100", "Minimum quantity is 50", "Quantity must be a multiple of 10"),
        *("Minimum sayıyı karşılayamadınız.", "Maksimum sayı aşıldı."),
    ],
    smm.LinkBusyError: [
        "You have active order with this link. Please wait until order being completed.",
        *("neworder.error.link_duplicate", "This link currently active", "Link currently active"),
    ],
    smm.DuplicateOrderError: ["An identical order was just placed", "error.duplicate_order", "duplicate order"],
    smm.RateLimitedError: [
        *("Too many requests", "Rate limit exceeded", "Too many requests. Limit 50/minute."),
        "Too many requests, please try again later.",
    ],
    smm.MaintenanceError: [
        *("Maintenance", "This panel is temporarily unavailable", "Ordering is disabled"),
        *("Hệ thống đang bảo trì!", "Service is running slow", "Service is running slow/stopped"),
        "Service is stopped",
    ],
    smm.RefillRefusedError: [
        *("Refill is disabled for this service", "Refill is not available for this service"),
        *("Order not eligible for refill.", "The order is not completed", "Refill not allowed yet"),
        "The order was completed or refill was requested less than 24 hours ago",
        *("The refill task is not completed for this order", "already active", "Refill is not available via API"),
    ],
    smm.CancelRefusedError: [
        *("Order cannot be canceled", "Order cannot be cancelled", "Order can not be canceled", "Cancel is disabled"),
        *("Cancel is not supported via API", "Cancel not supported via API", "Cancellation is not available"),
        *("Cancel is not available via API", "Order can't be cancelled"),
    ],
    smm.UnsupportedActionError: [
        *("Incorrect request", "incorrect_request", "Incorrect action", "Invalid action", "This action is Invalid"),
        *("Unknown action", "Unknown action specified!", "The Request Not Found", "Method Not Allowed"),
    ],
    smm.PanelError: [
        *("neworder.error.comment", "neworder.error.schedule_time", "Missing order parameter", "Eksik veri"),
        *("Gerekli alanları doldurmalısınız.", "Comments is required", "Username is required"),
        *("Maximum 100 orders", "Maximum 100 orders per request", "Maximum of 100 orders", "Quelque chose"),
        "There was an error processing your request. Please try again later",
        *("Failed to create order", "Server error", "Internal server error", "Provider is unavailable"),
        "There was an error",
    ],
}
UNCLEAR = {
    "There was an error processing your request. Please try again later",
    *("Failed to create order", "Server error", "Internal server error", "Provider is unavailable"),
    *("There was an error", "Error", "Something went wrong", "Request timed out", "", "Quelque chose"),
}
LATER = [
    "The order was completed or refill was requested less than 24 hours ago",
    *("The order is not completed", "Refill not allowed yet", "The refill task is not completed for this order"),
    "Refill is already active",
]
NEVER = [
    *("Refill is disabled for this service", "Refill is not available for this service"),
    "Order not eligible for refill.",
]


@pytest.mark.parametrize(("error", "text"), [(error, text) for error, texts in ERRORS.items() for text in texts])
def test_error_text_is_its_class(error, text):
    """Each text seen is the error that tells the caller what to do next, with the text kept as it came."""
    found = find("add", {"error": text})

    assert type(found) is error
    assert found.text == text


@pytest.mark.parametrize("text", sorted(UNCLEAR))
def test_text_that_says_nothing_is_unclear(text):
    """A failure without a reason does not say that nothing happened."""
    found = find("add", {"status": "error", "error": text})

    assert type(found) is smm.PanelError
    assert REFUSALS.is_unclear(found)


@pytest.mark.parametrize("text", sorted({text for texts in ERRORS.values() for text in texts} - UNCLEAR))
def test_text_that_says_why_is_clear(text):
    """A failure with a reason is a refusal: nothing happened."""
    assert not REFUSALS.is_unclear(find("add", {"error": text}))


@pytest.mark.parametrize(("text", "may_pass"), [(text, True) for text in LATER] + [(text, False) for text in NEVER])
def test_refused_refill_may_pass_later_where_the_words_say_so(text, may_pass):
    """A refill refused for now may be asked for again in some hours, any other may not."""
    found = find("refill", {"error": text})

    assert type(found) is smm.RefillRefusedError
    assert found.retryable is may_pass


@pytest.mark.parametrize(
    ("text", "may_pass"),
    [("Server error", True), ("Failed to create order", True), ("neworder.error.comment", False), ("", False)],
)
def test_unknown_refusal_may_pass_later_where_it_is_generic(text, may_pass):
    """A generic failure may pass, a reason that nobody knows will not."""
    assert find("status", {"status": "error", "error": text}).retryable is may_pass


@pytest.mark.parametrize(
    ("error", "may_pass"),
    [
        ("Too many requests", True),
        ("Maintenance", True),
        ("You have active order with this link", True),
        ("Incorrect order ID", False),
        ("Invalid API key", False),
        ("Not enough funds on balance", False),
    ],
)
def test_refusal_may_pass_later_by_its_class(error, may_pass):
    """Limits, maintenance and a busy link pass with time, others do not."""
    assert find("add", {"error": error}).retryable is may_pass


def test_panels_own_words_go_first():
    """A panel's lines stand before the usual ones, and its numbers are states where it says so."""
    words = ((smm.LinkBusyError, ("incorrect order",)), *PANEL.error_words)
    panel = attrs.evolve(PANEL, error_words=words)

    found = Refusals(panel, redact=str).find("status", {"error": "Incorrect order ID"})

    assert type(found) is smm.LinkBusyError

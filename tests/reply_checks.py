"""What each answer in ``replies.jsonl`` has to become, and what has to be sent for it."""

from decimal import Decimal

import attrs

import smm_async as smm
from smm_async.models import OrderState, RefillState


@attrs.frozen
class Outcome:
    """What came of a case: the result or error, one for each id of a batch, and the forms that were sent."""

    value: object
    forms: list[dict[str, str]]

    @property
    def error(self):
        """The error that the only call raised."""
        assert isinstance(self.value, smm.SmmError), self.value
        return self.value

    def asked(self):
        """Return the ids of each request."""
        return [
            form.get("orders") or form.get("order") or form.get("refills") or form.get("refill") for form in self.forms
        ]


def check_services_standard(outcome):
    """Texts for money and bounds, a number for the id: both services are read."""
    first, second = outcome.value
    assert (first.service, second.service) == ("411", "412")
    assert (first.rate, second.rate) == (Decimal("0.84"), Decimal(7))
    assert (first.min, first.max, second.min, second.max) == (20, 150_000, 5, 900)
    assert (first.dripfeed, first.refill, first.cancel) == (True, True, True)
    assert (second.dripfeed, second.refill, second.cancel) == (False, False, False)
    assert first.category == "Instagram 🔥"
    assert (first.name, first.order_type) == ("Insta Followers | R30 | 5K/day", smm.orders.Default)
    assert second.order_type is smm.orders.CustomComments


def check_services_everything_string_lowercase_type(outcome):
    """JSON as text/html, flags as digits and types in lower case are read."""
    first, second = outcome.value
    assert (first.service, second.service) == ("88", "89")
    assert (first.refill, first.cancel, first.dripfeed) == (True, False, False)
    assert (second.refill, second.cancel, second.dripfeed) == (False, True, False)
    assert (first.order_type, second.order_type) == (smm.orders.Default, smm.orders.Poll)
    assert str(first.rate) == "0.0350"
    assert first.extra == {"desc": ""}


def check_services_wrapped_data_with_bad_row(outcome):
    """A row without an id is passed over, the others stay."""
    assert [service.service for service in outcome.value] == ["701", "703"]
    assert [service.rate for service in outcome.value] == [Decimal("0.1"), Decimal("0.2")]


def check_services_cloudflare_html_403(outcome):
    """A page in HTML is not the protocol, and not an error about the key."""
    assert type(outcome.error) is smm.BadReplyError
    assert outcome.error.status_code == 403
    assert "Just a moment..." in outcome.error.text
    assert len(outcome.error.text) <= 200
    assert outcome.error.retryable


def check_add_text_id_with_message(outcome):
    """An id that is no number is the order's, and a message beside it no error."""
    assert outcome.value == "TX7Q2M9K"


def check_add_osp_code_100(outcome):
    """A code of 100 is an acceptance."""
    assert outcome.value == "55102"


def check_add_localized_funds(outcome):
    """A key instead of a text is understood."""
    assert type(outcome.error) is smm.NotEnoughFundsError
    assert outcome.error.text == "neworder.error.not_enough_funds"
    assert not outcome.error.retryable


def check_add_active_order_on_link(outcome):
    """The link is busy, which passes with time."""
    assert type(outcome.error) is smm.LinkBusyError
    assert outcome.error.text.startswith("You have active order with this link.")
    assert outcome.error.retryable


def check_add_quantity_below_min_422(outcome):
    """An error is read with any HTTP status, in the panel's words."""
    assert type(outcome.error) is smm.BadQuantityError
    assert outcome.error.text == "Quantity less than minimal 250"
    assert outcome.error.status_code == 422
    assert not outcome.error.retryable


def check_add_empty_error_text(outcome):
    """A failure without a text proves nothing."""
    assert type(outcome.error) is smm.OutcomeUnknownError
    assert outcome.error.text == ""
    assert not outcome.error.retryable


def check_add_success_without_id(outcome):
    """A success without an id is neither placed nor refused."""
    assert type(outcome.error) is smm.OutcomeUnknownError
    assert "Order has been scheduled" in outcome.error.text
    assert not outcome.error.retryable


def check_status_negative_remains_no_currency(outcome):
    """More than ordered was delivered: the number stays below zero."""
    status = outcome.value
    assert (status.remains, status.currency, status.state) == (-5, None, OrderState.COMPLETED)
    assert status.state.is_terminal
    assert (status.charge, status.start_count) == (Decimal("3.1"), 77)


def check_status_numbers_start_counter(outcome):
    """Numbers, another name for a field, and a state run together are read."""
    status = outcome.value
    assert (status.charge, status.start_count, status.remains) == (Decimal(1250), 904, 96)
    assert (status.state, status.status, status.currency) == (OrderState.IN_PROGRESS, "inprogress", "VND")
    assert not status.state.is_terminal


def check_status_long_float_british(outcome):
    """Eleven decimals are exact, and the British spelling is known."""
    status = outcome.value
    assert str(status.charge) == "0.04172390551"
    assert (status.state, status.status) == (OrderState.CANCELED, "Cancelled")
    assert status.state.is_terminal
    assert status.extra == {}


def check_status_dripfeed_parent(outcome):
    """The parent of a drip-feed has runs and children."""
    status = outcome.value
    assert (status.state, status.runs) == (OrderState.IN_PROGRESS, 3)
    assert status.orders == ("77131", "77132", "77133")
    assert (status.charge, status.remains) == (None, None)


def check_status_subscription_parent(outcome):
    """A subscription has posts, and ends when it expires."""
    status = outcome.value
    assert (status.state, status.posts, status.orders, status.expiry) == (OrderState.EXPIRED, 6, (), None)
    assert status.state.is_terminal


def check_status_error_in_message_only(outcome):
    """A message beside a failed call is its error."""
    assert type(outcome.error) is smm.UnknownOrderError
    assert outcome.error.text == "Order not found"


def check_status_fail_is_order_state(outcome):
    """The same word beside a charge is the order's state."""
    status = outcome.value
    assert (status.state, status.status) == (OrderState.FAILED, "Fail")
    assert (status.charge, status.start_count, status.remains) == (Decimal("0.90"), 15, 90)
    assert not status.state.is_terminal


def check_status_bom_and_blank_lines(outcome):
    """A byte order mark, blank lines and decimal commas are read."""
    status = outcome.value
    assert (status.charge, status.start_count, status.remains) == (Decimal("12.5"), 1204, 30)
    assert (status.state, status.currency) == (OrderState.PROCESSING, "TRY")


def check_multi_standard(outcome):
    """Each caller has its own row or its own error, from one request."""
    found = outcome.value
    assert (found["1201"].state, found["1201"].charge) == (OrderState.IN_PROGRESS, Decimal("0.27"))
    assert type(found["1202"]) is smm.UnknownOrderError
    assert found["1202"].text == "Incorrect order ID"
    assert (found["1203"].state, found["1203"].remains) == (OrderState.CANCELED, 100)
    assert len(outcome.forms) == 1


def check_multi_bare_string_error(outcome):
    """A text in the place of a row is an error, never a state."""
    found = outcome.value
    assert (found["41"].state, found["41"].charge) == (OrderState.PROCESSING, Decimal("0.11"))
    assert type(found["42"]) is smm.UnknownOrderError
    assert len(outcome.forms) == 1


def check_asked_singly(outcome, ids):
    """Check that all ids were asked again one by one, and each got its own answer."""
    batch, *singles = outcome.asked()
    assert sorted(batch.split(",")) == sorted(ids)
    assert sorted(singles) == sorted(ids)
    assert outcome.value.keys() == set(ids)
    for id_, found in outcome.value.items():
        if int(id_) % 2:
            assert (found.charge, found.start_count) == (Decimal(f"{id_}.5"), int(id_))
        else:
            assert type(found) is smm.UnknownOrderError


def check_multi_all_unknown_400(outcome):
    """An error for the whole batch is nobody's: all are asked singly."""
    check_asked_singly(outcome, ["5551", "5552"])


def check_multi_not_supported_osp(outcome):
    """A panel that looks for one id only is asked for one at a time."""
    check_asked_singly(outcome, ["610", "611", "612"])


def check_multi_positional_list_without_ids(outcome):
    """Rows without ids are nobody's, though there are as many as ids."""
    check_asked_singly(outcome, ["30", "31", "32"])


def check_multi_list_with_order_field(outcome):
    """Rows in a list are told apart by their ids."""
    found = outcome.value
    assert (found["802"].state, found["802"].remains) == (OrderState.PARTIAL, 11)
    assert type(found["801"]) is smm.UnknownOrderError
    assert len(outcome.forms) == 1


def check_multi_one_id_flat_row(outcome):
    """A lone id is asked for in the single form, and a flat row is its own."""
    assert (outcome.value["1450"].state, outcome.value["1450"].remains) == (OrderState.IN_PROGRESS, 14)
    assert outcome.forms == [{"action": "status", "order": "1450"}]


def check_multi_php_empty_array(outcome):
    """An empty list settles nobody."""
    check_asked_singly(outcome, ["71", "72"])


def check_everybody(outcome, error, text):
    """Check that one request answered everybody with an error of their own."""
    assert [type(found) for found in outcome.value.values()] == [error] * 3
    assert {found.text for found in outcome.value.values()} == {text}
    assert len(set(map(id, outcome.value.values()))) == 3
    assert len(outcome.forms) == 1


def check_multi_bad_key(outcome):
    """An error about the key is everybody's at once."""
    check_everybody(outcome, smm.InvalidKeyError, "Invalid API key")


def check_multi_rate_limited_429(outcome):
    """An error about the rate is everybody's at once, and never asked for in parts."""
    check_everybody(outcome, smm.RateLimitedError, "Too many requests")


def check_refill_single_nested_error(outcome):
    """An error under the name of the id is no id."""
    assert type(outcome.error) is smm.RefillRefusedError
    assert outcome.error.text == "The order was completed or refill was requested less than 24 hours ago"
    assert outcome.error.retryable


def check_refill_multi_single_answer(outcome):
    """One refill id for two orders is nobody's, and is not asked for again."""
    assert list(outcome.value) == ["300", "301"]
    assert [type(found) for found in outcome.value.values()] == [smm.OutcomeUnknownError] * 2
    assert '"refill":"1"' in outcome.value["300"].text
    assert outcome.forms == [{"action": "refill", "orders": "300,301"}]


def check_refill_status_multi_standard(outcome):
    """Each refill has its own state or its own error."""
    found = outcome.value
    assert (found["51"].state, found["52"].state) == (RefillState.COMPLETED, RefillState.REJECTED)
    assert found["51"].state.is_terminal
    assert found["52"].state.is_terminal
    assert type(found["53"]) is smm.UnknownRefillError
    assert len(outcome.forms) == 1


def check_refill_status_single_as_list(outcome):
    """A lone refill answered in a list of one is read."""
    assert outcome.value.state is RefillState.PENDING
    assert not outcome.value.state.is_terminal
    assert outcome.forms == [{"action": "refill_status", "refill": "TX7Q2M9K"}]


def check_refill_status_multi_dict(outcome):
    """Refills keyed by id are read."""
    assert outcome.value["61"].state is RefillState.IN_PROGRESS
    assert type(outcome.value["62"]) is smm.UnknownRefillError
    assert len(outcome.forms) == 1


def check_products_list(outcome):
    """Products are read with and without an inventory."""
    first, second = outcome.value
    assert (first.product, second.product) == ("14", "15")
    assert (first.rate, second.rate) == (Decimal("6.75"), Decimal("0.5"))
    assert (first.inventory, second.inventory) == (12, None)
    assert (first.in_stock, second.in_stock) == (True, False)
    assert (first.require, second.require) == ("Account e-mail", None)


def check_product_order_status_multi(outcome):
    """Each bought product has its own row, with its refund exact."""
    found = outcome.value
    assert (found["7001"].state, found["7001"].charge) == (OrderState.COMPLETED, Decimal("13.5"))
    assert found["7001"].result == "code-aaaa | code-bbbb"
    assert type(found["7002"]) is smm.UnknownOrderError
    assert (found["7003"].state, found["7003"].charge, found["7003"].note) == (
        OrderState.CANCELED,
        Decimal(0),
        "Out of stock",
    )
    assert (found["7004"].state, str(found["7004"].refund), found["7004"].remains) == (OrderState.PARTIAL, "0.4", 1)
    assert len(outcome.forms) == 1


CHECKS = {name.removeprefix("check_"): check for name, check in globals().items() if name.startswith("check_")}

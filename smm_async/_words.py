"""The words panels use for states and errors, in the languages seen so far: the defaults of `smm_async.Panel`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from smm_async import errors
from smm_async.models import OrderState, RefillState

Words: TypeAlias = tuple[str | re.Pattern[str], ...]
ErrorWords: TypeAlias = tuple[tuple[type[errors.PanelError], Words], ...]

_SEPARATORS = re.compile(r"[\s_\-.:/]+")


def fold(text: str) -> str:
    """Return ``text`` so that spellings compare equal: no case, and one blank for blanks, ``_``, ``-`` and dots."""
    return _SEPARATORS.sub(" ", text.casefold()).strip()


def has_word(folded: str, words: Words) -> bool:
    """Return whether one of ``words`` stands in the folded text: a `str` anywhere, a pattern where it matches."""
    return any(word in folded if isinstance(word, str) else word.search(folded) for word in words)


def _states(**words: str) -> dict[str, str]:
    return {fold(word): name for name, line in words.items() for word in line.split(",")}


ORDER_STATES: Final[Mapping[str, OrderState]] = {
    word: OrderState[name]
    for word, name in _states(
        PENDING="Pending,Queued,Awaiting",
        PROCESSING="Processing,Processing order",
        IN_PROGRESS="In progress,Inprogress,Active,Running",
        COMPLETED="Completed,Complete,Finished,Success,Done,Delivered,Closed,Concluido,Concluído,Tamamlandı",
        PARTIAL="Partial,Partially completed,Kısmen",
        CANCELED="Canceled,Cancelled,Cancel,Canscelled,Canelled,İptal,Iptal",
        REFUNDED="Refunded,Refund,Refunds,Reembolso",
        EXPIRED="Expired",
        FAILED="Fail,Failed,Error",
        PAUSED="Paused,Holding,Suspended",
        REFILLING="Refill,Refilling",
    ).items()
}

REFILL_STATES: Final[Mapping[str, RefillState]] = {
    word: RefillState[name]
    for word, name in _states(
        PENDING="Pending,Queued,Awaiting",
        IN_PROGRESS="In progress,Inprogress,Processing",
        COMPLETED="Completed,Complete,Finished,Done",
        REJECTED="Rejected",
        CANCELED="Canceled,Cancelled",
        FAILED="Error,Fail,Failed",
        EXPIRED="Expired",
    ).items()
}

# Every word stands here as `fold()` leaves it. The first line that matches decides, so the order matters: the words for
# an account come before those for the rate ("too many failed attempts"), a service under maintenance before a panel
# under maintenance, money before quantities, refills before orders, and a batch too large before a quantity.
ERROR_WORDS: Final[ErrorWords] = (
    (
        errors.AccountError,
        (
            *(
                "user inactive",
                "account is inactive",
                "account inactive",
                "account is not active",
                "account suspend",
            ),
            *(
                "account is suspend",
                "account banned",
                "account is banned",
                "account disabled",
                "account is disabled",
            ),
            *(
                "hesabınız pasif",
                "ip not allowed",
                "ip is not allowed",
                "ip address is not",
                "too many failed attempts",
            ),
        ),
    ),
    (
        errors.InvalidKeyError,
        (
            *(
                "api key",
                "apikey",
                "api token",
                "invalid key",
                "incorrect key",
                "missing key",
                "key is required",
            ),
            *(
                "key is invalid",
                "api is disable",
                "api access disabled",
                "unauthorized",
                re.compile("^user not found$"),
            ),
        ),
    ),
    (
        errors.RateLimitedError,
        ("too many requests", "rate limit", "request limit", "requests limit"),
    ),
    (
        errors.ServiceDisabledError,
        (
            *(
                "disabled service",
                "service disabled",
                "service is disabled",
                "service temporarily disabled",
            ),
            *(
                "service inactive",
                "service is inactive",
                "service is not active",
                "service is under maintenance",
            ),
            *(
                "service under maintenance",
                "service is not available",
                "product is not available",
                "out of stock",
            ),
        ),
    ),
    (
        errors.MaintenanceError,
        (
            *(
                "maintenance",
                "temporarily unavailable",
                "ordering is disabled",
                "service is running slow",
            ),
            *("service is stopped", "bảo trì", "bakım"),
        ),
    ),
    (
        errors.NotEnoughFundsError,
        (
            *(
                "not enough fund",
                "not enough balance",
                "insufficient balance",
                "insufficient fund",
                "low balance",
            ),
            *(
                "insufficient credit",
                "bakiyeniz yetersiz",
                "yetersiz bakiye",
                "saldo insuficiente",
                "số dư không đủ",
            ),
            re.compile("^balance$"),
        ),
    ),
    (errors.DuplicateOrderError, ("identical order", "duplicate order")),
    (
        errors.LinkBusyError,
        (
            "order with this link",
            "order on this link",
            "link duplicate",
            "link currently active",
            "aktif sipariş",
        ),
    ),
    (
        errors.UnknownRefillError,
        (
            "incorrect refill",
            "invalid refill",
            "refill not found",
            "refill request not found",
            "unknown refill",
        ),
    ),
    (
        errors.UnsupportedActionError,
        (
            *(
                "incorrect request",
                "incorrect action",
                "invalid action",
                "action is invalid",
                "unknown action",
            ),
            *(
                "the request not found",
                "method not allowed",
                "unsupported action",
                "action not found",
            ),
        ),
    ),
    (
        errors.CancelRefusedError,
        (re.compile(r"can ?not be cancel|can't be cancel|not cancel|cancel\w{0,9} (is|not)\b"),),
    ),
    (errors.RefillRefusedError, ("refill", "order is not completed", "already active")),
    (
        errors.UnknownServiceError,
        (
            *(
                "incorrect service",
                "invalid service",
                "service not found",
                "service id does not exist",
            ),
            *(
                "service does not exist",
                "incorrect product",
                "invalid product",
                "product not found",
            ),
        ),
    ),
    (
        errors.UnknownOrderError,
        (
            *(
                "incorrect order",
                "order not found",
                "orders not found",
                "invalid order id",
                "order id not found",
            ),
            *("order does not exist", "no order found", "sipariş bulunamadı"),
            re.compile("^not found$"),
        ),
    ),
    (
        errors.PanelError,
        (
            re.compile(r"max(imum)?( of)? \d+ (orders|refills|ids)"),
            "missing order",
        ),
    ),
    (
        errors.BadQuantityError,
        (
            *(
                "quantity",
                "less than minim",
                "more than maxim",
                "less than maxim",
                "more than minim",
            ),
            *("minimum sayı", "maksimum sayı"),
        ),
    ),
    (
        errors.BadLinkError,
        (
            *(
                "bad link",
                "incorrect link",
                "invalid link",
                "wrong link",
                "link is required",
                "link not found",
            ),
            *(
                "link is not valid",
                "link is invalid",
                "profil gizli",
                "profile is private",
                "private profile",
            ),
            *("account is private", "private account"),
            re.compile("^neworder error link$"),
        ),
    ),
    (
        # Of fields that have no class of their own.
        errors.PanelError,
        ("is required", "eksik veri", "gerekli alanlar", "neworder error comment", "neworder error schedule time"),
    ),
)

# Texts that admit a failure without saying that nothing happened: for a write, they prove nothing.
UNCLEAR_WORDS: Final[Words] = (
    *(
        "try again",
        "there was an error",
        "failed to create order",
        "server error",
        "provider is unavailable",
    ),
    *(
        "something went wrong",
        "timeout",
        "timed out",
        "unexpected error",
        "internal error",
        "unknown error",
    ),
    re.compile("^(error|fail|failed)$"),
)

# A refill that is refused for now only.
LATER_WORDS: Final[Words] = (
    *(
        "24 hours",
        "not completed",
        "not allowed yet",
        "already active",
        "already requested",
        "yet",
    ),
)

# The numbers that panels of the "OSP" family put into `status` beside `error`. 113 has two meanings: its text decides.
ERROR_CODES: Final[Mapping[str, type[errors.PanelError]]] = {
    "101": errors.PanelError,
    "102": errors.InvalidKeyError,
    "103": errors.AccountError,
    "104": errors.UnknownOrderError,
    "105": errors.ServiceDisabledError,
    "107": errors.PanelError,
    "108": errors.BadQuantityError,
    "109": errors.BadQuantityError,
    "110": errors.PanelError,
    "111": errors.PanelError,
    "112": errors.PanelError,
    "114": errors.BadLinkError,
}

"""The errors, split by what the caller does next.

::

    SmmError
    |- NotSentError              never left: safe to repeat
    |- NoAnswerError             a read was sent, nothing usable came back
    |  `- UnresolvedError        the panel answered, but not about this id
    |- BadReplyError             not the protocol: HTML, broken or hostile JSON, wrong shape
    |- OutcomeUnknownError       a write may or may not have happened: look, never repeat blindly
    |- ClosedError               the client was closed
    `- PanelError                the panel said no, in its own words
       |- InvalidKeyError        the key is wrong or switched off: stop all calls
       |- AccountError           the account is suspended, or this address is not allowed
       |- RateLimitedError       too many requests; see ``retry_after``
       |- MaintenanceError       the panel is closed for a while
       |- UnknownOrderError      no such order (or placed a moment ago)
       |- UnknownRefillError     no such refill
       |- UnknownServiceError    no such service or product
       |- ServiceDisabledError   the service is switched off for now
       |- NotEnoughFundsError    the balance does not cover the order
       |- BadLinkError           the panel does not accept the link
       |- BadQuantityError       below the minimum, above the maximum, or not a multiple
       |- LinkBusyError          another order runs on the link
       |- DuplicateOrderError    the panel takes this for a repeated call
       |- RefillRefusedError     not refillable, or not yet
       |- CancelRefusedError     not cancellable
       `- UnsupportedActionError the panel has no such action

An `OutcomeUnknownError` shares no ancestor with anything that may be repeated, other than `SmmError` itself.
Every waiter of a request gets an error object of its own. No public call raises an ``ExceptionGroup``.
Bad arguments are a ``ValueError`` before any request.
"""

__all__ = [
    "AccountError",
    "BadLinkError",
    "BadQuantityError",
    "BadReplyError",
    "CancelRefusedError",
    "ClosedError",
    "DuplicateOrderError",
    "InvalidKeyError",
    "LinkBusyError",
    "MaintenanceError",
    "NoAnswerError",
    "NotEnoughFundsError",
    "NotSentError",
    "OutcomeUnknownError",
    "PanelError",
    "RateLimitedError",
    "RefillRefusedError",
    "ServiceDisabledError",
    "SmmError",
    "UnknownOrderError",
    "UnknownRefillError",
    "UnknownServiceError",
    "UnresolvedError",
    "UnsupportedActionError",
]


class SmmError(Exception):
    """Anything that went wrong between the caller and the panel."""

    retryable: bool = False
    """Whether the very same call may be made again, and making it again may help."""

    def __init__(
        self,
        message: str,
        *,
        action: str | None = None,
        status_code: int | None = None,
        text: str = "",
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.action = action
        """The action that was asked for, such as ``"status"``."""
        self.status_code = status_code
        """The HTTP status of the answer, where there was one."""
        self.text = text
        """What the panel said, the key blacked out, at most 200 characters."""
        if retryable is not None:
            self.retryable = retryable


class NotSentError(SmmError):
    """The request never left this machine: safe to repeat."""

    retryable = True


class NoAnswerError(SmmError):
    """A read was sent, or a connection for it was opened, and nothing usable came back within its budget."""

    retryable = True


class UnresolvedError(NoAnswerError):
    """The panel answered, but not about this id, not even when asked for it alone.

    This is not the same as an unknown order: the panel said neither yes nor no.
    """


class BadReplyError(SmmError):
    """The answer is not the protocol: HTML, a redirect, broken or hostile JSON, or a wrong shape."""

    retryable = True


class OutcomeUnknownError(SmmError):
    """A write may or may not have happened: look at the panel, never repeat it blindly."""

    ref: str | None = None
    """What the order is called in the client's journal, where there is one."""


class ClosedError(SmmError):
    """The client was closed before the answer came."""


class PanelError(SmmError):
    """The panel said no, in its own words (`SmmError.text`)."""

    is_understood: bool = True
    """Whether the words are known. If not, they are taken for a no to a read, but prove nothing of a write."""


class InvalidKeyError(PanelError):
    """The key is wrong, missing or switched off. Repeating it gets addresses blocked."""


class AccountError(PanelError):
    """The account is inactive or suspended, or this address is not allowed."""


class RateLimitedError(PanelError):
    """The panel counts too many requests."""

    retryable = True
    retry_after: float | None = None
    """How many seconds the panel asked to wait, where it said so."""


class MaintenanceError(PanelError):
    """The panel is closed for a while."""

    retryable = True
    retry_after: float | None = None
    """How many seconds the panel asked to wait, where it said so."""


class UnknownOrderError(PanelError):
    """The panel knows no such order, or not yet: some need minutes after ``add``."""


class UnknownRefillError(PanelError):
    """The panel knows no such refill."""


class UnknownServiceError(PanelError):
    """The panel knows no such service or product."""


class ServiceDisabledError(PanelError):
    """The service is switched off, for now or for this account."""


class NotEnoughFundsError(PanelError):
    """The balance does not cover the order."""


class BadLinkError(PanelError):
    """The panel does not accept the link, or the profile behind it is private."""


class BadQuantityError(PanelError):
    """The quantity is below the minimum, above the maximum, or not a multiple of what is sold."""


class LinkBusyError(PanelError):
    """Another order runs on this link; the same order may be accepted when it has ended."""

    retryable = True


class DuplicateOrderError(PanelError):
    """The panel takes the order for a repeated call: the first one probably succeeded."""


class RefillRefusedError(PanelError):
    """The order is not refillable; `SmmError.retryable` where the panel's words say "not yet"."""


class CancelRefusedError(PanelError):
    """The order cannot be cancelled."""


class UnsupportedActionError(PanelError):
    """The panel has no such action, by its documentation or its own words."""

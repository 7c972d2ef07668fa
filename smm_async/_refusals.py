"""What a panel says no with: from its words, codes and HTTP status to an error."""

# JSON is what it is: after `isinstance(value, dict)` nothing is known about the keys and values.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from smm_async import errors
from smm_async._words import LATER_WORDS, fold, has_word
from smm_async.panels import Panel

__all__ = ["CONCERNS_ALL", "Refusals", "is_call_result", "is_row"]

CONCERNS_ALL: Final = (
    errors.InvalidKeyError,
    errors.AccountError,
    errors.RateLimitedError,
    errors.MaintenanceError,
)
"""What a panel says to whoever asks, whatever they ask: it answers everybody, and is never asked again in parts."""

# How much of a text is looked at for words; and how much, far more than is shown, to black out the key in.
_READABLE: Final = 4096
_QUOTABLE: Final = 64 * 1024
_BY_STATUS_CODE: Final[Mapping[int, type[errors.PanelError]]] = {
    401: errors.InvalidKeyError,
    402: errors.NotEnoughFundsError,
    429: errors.RateLimitedError,
    503: errors.MaintenanceError,
}
_EVIDENCE: Final = frozenset(
    {
        "charge",
        "remains",
        "start_count",
        "start_counter",
        "count_start",
        "count_remain",
        "runs",
        "posts",
    }
)
_REAL_STATES: Final = ("order_status", "orderStatus")
_MESSAGES: Final = ("message", "msg", "mess", "pesan", "reason", "detail")
# An error field may hold a flag: these say that there is no error, and those that the message tells which.
_NO_ERROR: Final = frozenset({"", "0", "false", "no", "none", "null"})
_SOME_ERROR: Final = frozenset({"1", "true", "yes"})
_FAILED: Final = frozenset({"error", "fail", "failed", "failure", "false", "0"})
_SUCCEEDED: Final = frozenset({"success", "ok", "true", "1", "100", "200"})
_SAID_OF_ONE: Final = (
    errors.UnknownOrderError,
    errors.UnknownRefillError,
    *CONCERNS_ALL,
)


def is_row(answer: Any) -> bool:
    """Return whether a JSON value tells of an order or a refill, rather than of how the call went.

    The key ``status`` serves for both. Fields that only an order has decide; without any, "success" is about the call.
    """
    if not isinstance(answer, dict):
        return False
    if not _EVIDENCE.isdisjoint(answer):
        return True
    status = answer.get("status")
    is_state = isinstance(status, (str, int)) and status != "" and not is_call_result(status)
    return is_state or any(answer.get(name) for name in _REAL_STATES)


def is_call_result(status: object) -> bool:
    """Return whether ``status`` says that the call succeeded, rather than what state an order is in."""
    # A fold would make 1 of -1.
    return isinstance(status, (str, int)) and not str(status).startswith("-") and fold(str(status)) in _SUCCEEDED


@attrs.frozen
class _Complaint:
    text: str
    code: str = ""


@attrs.frozen
class Refusals:
    """Finds the panel's "no" in what it answered."""

    panel: Panel
    redact: Callable[[str], str]

    def find(
        self,
        action: str,
        answer: Any,
        *,
        status_code: int = 200,
        retry_after: float | None = None,
        is_part: bool = False,
    ) -> errors.PanelError | None:
        """Return the error that ``answer``, a JSON value, stands for, or ``None`` where it is not a refusal.

        The HTTP status speaks of a whole answer, and makes no error of a part of one that names none.
        """
        complaint = self._complaint_in(action, answer)
        if complaint is None and status_code >= 400 and not is_part:  # noqa: PLR2004
            complaint = _complaint_by_status(answer, status_code)
        if complaint is None:
            return None
        known_type = self._type_for(action, complaint, status_code)
        error_type = known_type or errors.PanelError
        text = self.redact(complaint.text[:_QUOTABLE])
        error = error_type(
            _sentence(action, text),
            action=action,
            status_code=status_code,
            text=text,
            retryable=self._may_pass(error_type, complaint.text),
        )
        error.is_understood = known_type is not None
        if isinstance(error, (errors.RateLimitedError, errors.MaintenanceError)):
            error.retry_after = retry_after
        return error

    def is_unclear(self, error: errors.PanelError) -> bool:
        """Return whether the panel admits a failure without saying that nothing happened."""
        return type(error) is errors.PanelError and (error.retryable or not error.is_understood)

    def _complaint_in(self, action: str, answer: Any) -> _Complaint | None:
        if isinstance(answer, str):
            return _Complaint(answer.strip())
        if not isinstance(answer, dict):
            return None
        for name in ("error", "errors"):
            if answer.get(name) and _is_error(answer[name]):
                return self._complaint_of(answer[name], answer)
        status = answer.get("status")
        if isinstance(status, dict):
            return self._complaint_in(action, status)
        if not _EVIDENCE.isdisjoint(answer):
            return None
        return self._verdict_in(action, answer, status) or self._other_spelling(answer)

    def _complaint_of(self, error: object, answer: Mapping[str, Any]) -> _Complaint:
        text = _text_of(error)
        if isinstance(error, int) or text.casefold() in _SOME_ERROR:
            text = _message_in(answer) or text
        return _Complaint(text, self._code_in(answer))

    def _other_spelling(self, answer: Mapping[str, Any]) -> _Complaint | None:
        """Look for ``Error`` and ``ERROR``, as panels write whose keys are all in title case."""
        for name, value in answer.items():
            if value and name.casefold() in {"error", "errors"} and _is_error(value):
                return self._complaint_of(value, answer)
        return None

    def _verdict_in(self, action: str, answer: Mapping[str, Any], status: object) -> _Complaint | None:
        """Return what the fields that say how the call went complain of."""
        for verdict in (status, answer.get("success")):
            if verdict is False or (isinstance(verdict, (str, int)) and fold(str(verdict)) in _FAILED):
                message = _message_in(answer)
                # A refill has no other field, so without any message "Error" is its state.
                is_state = action == "refill_status" and not message and "error" not in answer
                return None if is_state else _Complaint(message, self._code_in(answer))
        if isinstance(status, str) and self._is_said_of_one(action, status):
            return _Complaint(status)
        return None

    def _is_said_of_one(self, action: str, status: str) -> bool:
        """Return whether the word for a state is an error in its place."""
        states = self.panel.refill_states if action == "refill_status" else self.panel.order_states
        return fold(status) not in states and self._type_by_words(action, status) in _SAID_OF_ONE

    def _code_in(self, answer: Mapping[str, Any]) -> str:
        """Return the code that stands beside an error, where the panel is known to have such a code."""
        codes = (str(answer[name]).strip() for name in ("status", "code") if isinstance(answer.get(name), (str, int)))
        return next((code for code in codes if code in self.panel.error_codes), "")

    def _type_for(self, action: str, complaint: _Complaint, status_code: int) -> type[errors.PanelError] | None:
        return (
            self._type_by_words(action, complaint.text)
            or self.panel.error_codes.get(complaint.code)
            or _BY_STATUS_CODE.get(status_code)
        )

    def _type_by_words(self, action: str, text: str) -> type[errors.PanelError] | None:
        folded = fold(text[:_READABLE])
        if folded == "not found" and action == "refill_status":
            return errors.UnknownRefillError
        for error_type, words in self.panel.error_words:
            if has_word(folded, words):
                return error_type
        return None

    def _may_pass(self, error_type: type[errors.PanelError], text: str) -> bool | None:
        """Return whether the same call may succeed later, where the class alone does not tell."""
        if error_type is errors.RefillRefusedError:
            return has_word(fold(text[:_READABLE]), LATER_WORDS)
        if error_type is errors.PanelError:
            return has_word(fold(text[:_READABLE]), self.panel.unclear_words)
        return None


def _sentence(action: str, text: str) -> str:
    return f"The panel refused {action!r}: {text}" if text else f"The panel refused {action!r} without a word."


def _complaint_by_status(answer: Any, status_code: int) -> _Complaint | None:
    """Read an object without an error as one, where the HTTP status says that it is, and a message or it says which.

    One that holds rows or calls itself a success is no such object.
    """
    if not isinstance(answer, dict) or is_row(answer) or is_call_result(answer.get("status")):
        return None
    if any(isinstance(inner, (dict, list)) and inner for inner in answer.values()):
        return None
    message = _message_in(answer)
    return _Complaint(message) if message or status_code in _BY_STATUS_CODE else None


def _is_error(value: object) -> bool:
    return not (isinstance(value, str) and value.strip().casefold() in _NO_ERROR)


def _message_in(answer: Mapping[str, Any]) -> str:
    for name in _MESSAGES:
        if isinstance(answer.get(name), str) and answer[name].strip():
            return str(answer[name]).strip()
    data = answer.get("data")
    return _message_in(data) if isinstance(data, dict) else ""


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "; ".join(filter(None, map(_text_of, value)))
    if isinstance(value, dict):
        return _message_in(value) or _text_of(value.get("error", "")) or json.dumps(value, default=str)
    return "" if value is None or isinstance(value, bool) else str(value)

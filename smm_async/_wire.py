"""From an action to form fields, and from an answer's bytes to rows by id, without I/O."""

# JSON is what it is: after `isinstance(value, dict)` nothing is known about the keys and values.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import attrs

from smm_async import errors
from smm_async._json import NotJsonError, read_json
from smm_async._refusals import CONCERNS_ALL, Refusals, is_call_result, is_row
from smm_async.errors import BadReplyError, SmmError, UnsupportedActionError
from smm_async.panels import Action, Panel

__all__ = ["Question", "Reader", "Reply", "ask", "ask_for"]

Row: TypeAlias = Mapping[str, Any]
Shortcut: TypeAlias = Callable[[Sequence[str], Any], dict[str, Any]]

_ABSENT: Final = object()
# Far more than is ever shown, so that a key that is cut in two here is not among it.
_QUOTABLE: Final = 64 * 1024
_LONGEST_REFUSAL: Final = 4096
_LIMIT: Final = re.compile(r"max(?:imum)?(?: of)? ([0-9]{1,4}) (?:orders|refills|ids)")
_ENVELOPES: Final = (
    "data",
    "orders",
    "refills",
    "services",
    "products",
    "result",
    "results",
    "value",
    "statuses",
)
_BESIDE_ENVELOPES: Final = frozenset({"status", "success", "message", "msg", "code", "error"})
# An order id may be any word, but these are read as what they usually are.
_NEVER_IDS: Final = frozenset({*_ENVELOPES, *_BESIDE_ENVELOPES, "errors", "charge", "order", "refill", "cancel"})
_ORDER_IDS: Final = ("order", "order_id", "orderId", "orderID", "id", "ID")
_REFILL_IDS: Final = ("refill", "refill_id", "refillId", "id", "ID")


@attrs.frozen
class Question:
    """One request, all but the key."""

    action: str
    url: str
    content: bytes = attrs.field(repr=False)
    """The fields without the key, in the panel's body format."""
    fields: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    """The fields of the caller, by their standard names."""
    ids: tuple[str, ...] = ()
    """The ids it is about, if it is about any."""


@attrs.frozen
class Reply:
    """One answer, as it came."""

    status_code: int
    body: bytes = attrs.field(repr=False)
    retry_after: float | None = None
    """How many seconds the panel asked to wait, where it said so."""
    location: str = attrs.field(default="", repr=False)
    """Where a redirect leads."""


def ask(panel: Panel, action: str, fields: Mapping[str, str] | None = None) -> Question:
    """Return the question for an action without ids, or for a word that is none of the panel's documented actions.

    Raises:
        ValueError: a field would stand in for the key or the action.
    """
    known = panel.actions.get(action) or Action(action)
    pairs = [(panel.fields.get(name, name), text) for name, text in (fields or {}).items()]
    names = [name for name, _ in pairs]
    own = {panel.key_field.casefold(), panel.action_field.casefold()}
    for name in names:
        # PHP makes of "key[x]" a list that takes the place of the key.
        if not own.isdisjoint({name.casefold(), name.casefold().partition("[")[0]}):
            message = f"The field {name!r} is set by the client itself."
            raise ValueError(message)
        if names.count(name) > 1:
            message = f"Two fields would be sent as {name!r}, and the panel would take one of them."
            raise ValueError(message)
    return _question(panel, action, known, known.word, pairs, fields=fields or {})


def ask_for(panel: Panel, action: str, ids: Sequence[str]) -> Question:
    """Return the question about ``ids``: the single form for one, the plural form for several.

    Raises:
        UnsupportedActionError: the panel documents no such action.
    """
    known = documented(panel, action)
    word, name = known.word, known.one
    if len(ids) > 1:
        word, name = known.many_word or known.word, known.many
    assert name is not None  # noqa: S101  whoever asks for several knows that the panel takes several
    fields = {name: ",".join(ids)}
    if panel.body == "json":
        return _question(panel, action, known, word, fields.items(), fields=fields, ids=tuple(ids))
    content = _form_before_ids(panel.action_field, word, name) + "%2C".join(ids).encode()
    return Question(action, known.url or panel.url, content, fields, tuple(ids))


@functools.lru_cache
def _form_before_ids(action_field: str, word: str, name: str) -> bytes:
    """Return a form up to its ids. In them only the commas need escaping, which is 50 times faster than looking."""
    return form_pairs([(action_field, word), (name, "")])


def documented(panel: Panel, action: str) -> Action:
    """Return how the panel wants ``action`` asked for.

    Raises:
        UnsupportedActionError: it documents no such action.
    """
    known = panel.actions.get(action)
    if known is None:
        message = f"The panel documents no action {action!r}; if yours has it, add it to Panel.actions."
        raise UnsupportedActionError(message, action=action)
    return known


def _question(
    panel: Panel,
    action: str,
    known: Action,
    word: str,
    pairs: Iterable[tuple[str, str]],
    *,
    fields: Mapping[str, str],
    ids: tuple[str, ...] = (),
) -> Question:
    write_pairs = json_pairs if panel.body == "json" else form_pairs
    return Question(action, known.url or panel.url, write_pairs([(panel.action_field, word), *pairs]), fields, ids)


def form_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return fields as they stand in a form body."""
    return urlencode(list(pairs)).encode()


def json_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return fields as they stand between the braces of a JSON body."""
    return json.dumps(dict(pairs))[1:-1].encode()


def no_shortcut(_: Sequence[str], __: Any) -> dict[str, Any]:
    """Leave every row to the rules."""
    return {}


@attrs.frozen
class Reader:
    """Reads what a panel answered. Never raises: what is wrong comes back as the error it is."""

    refusals: Refusals

    @classmethod
    def for_panel(cls, panel: Panel, redact: Callable[[str], str]) -> Reader:
        """Return a reader that blacks out with ``redact`` whatever it quotes."""
        return cls(Refusals(panel, redact))

    def read_value(self, action: str, reply: Reply) -> Any:
        """Return the JSON value of the answer, ``None`` for an empty body, or the `SmmError` it is instead."""
        if 300 <= reply.status_code < 400:  # noqa: PLR2004
            return self._moved(action, reply)
        try:
            value = read_json(reply.body)
        except NotJsonError as problem:
            complaint = str(problem)
        else:
            if value is not None or reply.status_code < 400:  # noqa: PLR2004
                return value
            complaint = "it is empty"
        return self._not_json(action, reply, complaint)

    def refusal(self, action: str, value: Any, reply: Reply) -> SmmError | None:
        """Return the error that a whole answer stands for, if it is one."""
        found = self.refusals.find(action, value, status_code=reply.status_code, retry_after=reply.retry_after)
        if found is None and reply.status_code >= 400:  # noqa: PLR2004
            return self._not_json(action, reply, "it names no error")
        return found

    def _moved(self, action: str, reply: Reply) -> BadReplyError:
        there = self.refusals.redact(reply.location)
        message = (
            f"The panel's address redirects (HTTP {reply.status_code}), which is not followed: give the final one."
        )
        return BadReplyError(message, action=action, status_code=reply.status_code, text=there)

    def bad_shape(self, action: str, reply: Reply) -> BadReplyError:
        """Return the error for an answer that is JSON, but not what ``action`` answers."""
        return self._bad_reply(action, reply, "it has the wrong shape")

    def _not_json(self, action: str, reply: Reply, complaint: str) -> SmmError:
        bad = self._bad_reply(action, reply, complaint)
        later: type[errors.RateLimitedError | errors.MaintenanceError]
        if reply.status_code == 429:  # noqa: PLR2004
            later = errors.RateLimitedError
        elif reply.status_code == 503 and reply.retry_after is not None:  # noqa: PLR2004
            later = errors.MaintenanceError
        else:
            return bad
        error = later(str(bad), action=action, status_code=reply.status_code, text=bad.text)
        error.retry_after = reply.retry_after
        return error

    def _bad_reply(self, action: str, reply: Reply, complaint: str) -> BadReplyError:
        return BadReplyError(
            f"The answer to {action!r} (HTTP {reply.status_code}) is not usable: {complaint}.",
            action=action,
            status_code=reply.status_code,
            text=self.refusals.redact(reply.body[:_QUOTABLE].decode(errors="replace")),
        )

    def read_lookup(
        self, action: str, ids: Sequence[str], reply: Reply, shortcut: Shortcut = no_shortcut
    ) -> dict[str, Any] | SmmError:
        """Return each id's row or error, leaving out those the answer does not settle; or what concerns everybody.

        What ``shortcut`` makes of some ids and the value stands in place of their rows.
        """
        value = self.read_value(action, reply)
        if isinstance(value, SmmError):
            return value
        answers = shortcut(ids, value)
        if len(answers) == len(ids):
            return answers
        rows = find_rows(action, ids, value)
        answers |= self._settled(action, {id_: row for id_, row in rows.items() if id_ not in answers}, reply)
        if answers:
            # Of ids without a row nothing is known, whatever error stands beside the rows.
            only = answers[ids[0]] if len(ids) == 1 else None
            return only if isinstance(only, CONCERNS_ALL) else answers
        refusal = self.refusal(action, value, reply)
        if refusal is None:
            return {}
        if isinstance(refusal, (*CONCERNS_ALL, BadReplyError)):
            return refusal
        return {ids[0]: refusal} if len(ids) == 1 else {}

    def limit_in(self, action: str, reply: Reply) -> int | None:
        """Return how many ids the panel says it takes at once, where it refuses a batch for that."""
        if len(reply.body) > _LONGEST_REFUSAL:
            # To read it all once more would take the loop's time.
            return None
        refusal = self.refusal(action, self.read_value(action, reply), reply)
        named = _LIMIT.search(refusal.text.casefold()) if refusal is not None else None
        return max(1, int(named[1])) if named is not None else None

    def _settled(self, action: str, rows: Mapping[str, object], reply: Reply) -> dict[str, Row | SmmError]:
        answers: dict[str, Row | SmmError] = {}
        for id_, row in rows.items():
            refusal = self.refusals.find(
                action, row, status_code=reply.status_code, retry_after=reply.retry_after, is_part=True
            )
            if refusal is not None:
                answers[id_] = refusal
            elif isinstance(row, dict) and is_row(row):
                answers[id_] = row
        return answers

    def read_list(self, action: str, id_field: str, reply: Reply) -> list[Row] | SmmError:
        """Return the rows of a catalogue; those of a mapping get their key as ``id_field``."""
        value = self.read_value(action, reply)
        if isinstance(value, SmmError):
            return value
        rows = unwrap(value)
        if isinstance(rows, list) and (rows or reply.status_code < 400):  # noqa: PLR2004
            # What is no row stays in its place, for whoever counts the unusable ones.
            return [row if isinstance(row, dict) else {} for row in rows]
        refusal = self.refusal(action, value, reply)
        if refusal is not None:
            return refusal
        if isinstance(rows, dict) and rows and all(isinstance(row, dict) for row in rows.values()):
            return [{id_field: key, **row} for key, row in rows.items()]
        return [] if _is_empty_success(value) else self.bad_shape(action, reply)


def unwrap(value: Any, *, despite_error: bool = False) -> Any:
    """Return what is inside an envelope such as ``{"status": "success", "data": ...}``, or the value itself."""
    if not isinstance(value, dict):
        return value
    for name in _ENVELOPES:
        inner = value.get(name)
        if isinstance(inner, (dict, list)) and _is_envelope(value, name, despite_error=despite_error):
            return unwrap(inner, despite_error=despite_error) if _holds_rows(inner) else value
    return value


def _is_envelope(value: Mapping[str, Any], name: str, *, despite_error: bool) -> bool:
    if not value.keys() - {name} <= _BESIDE_ENVELOPES:
        return False
    return despite_error or (not value.get("error") and is_call_result(value.get("status", "success")))


def _is_empty_success(value: Any) -> bool:
    """Recognise ``{"status": "success", "data": "Empty Data"}``."""
    if not isinstance(value, dict) or not value.keys() <= {*_ENVELOPES, *_BESIDE_ENVELOPES}:
        return False
    if any(isinstance(inner, (dict, list)) and inner for inner in value.values()):
        return False
    return any(is_call_result(value.get(name)) for name in ("status", "success"))


def _holds_rows(inner: Mapping[str, Any] | list[Any]) -> bool:
    """Tell rows from the list of child ids that a drip-feed order has under the same name."""
    return isinstance(inner, dict) or all(isinstance(row, dict) for row in inner)


def find_rows(action: str, ids: Sequence[str], value: Any) -> dict[str, object]:
    """Return what the answer holds for each of ``ids``, by its own id and never by its place.

    A row without an id is taken only if it is the only one, and one id was asked for.
    """
    # An error beside the rows of others says nothing of theirs; beside a lone one it may be about it.
    value = unwrap(value, despite_error=len(ids) > 1)
    if isinstance(value, list):
        return _rows_in_list(action, ids, value)
    if not isinstance(value, dict):
        return {}
    rows = _rows_by_key(ids, value)
    if not rows and len(ids) == 1:
        return _own_row(action, ids[0], value)
    return rows


def _rows_by_key(ids: Sequence[str], value: Mapping[str, object]) -> dict[str, object]:
    rows = {id_: value[id_] for id_ in ids if id_ in value}
    if len(rows) < len(ids):
        # Some panels keep the blank after the comma in the key.
        stripped = _by_stripped_key(value)
        rows |= {id_: stripped[id_] for id_ in ids if id_ not in rows and id_ in stripped}
    return rows if _NEVER_IDS.isdisjoint(rows) else {id_: row for id_, row in rows.items() if id_ not in _NEVER_IDS}


def _by_stripped_key(value: Mapping[str, object]) -> dict[str, object]:
    rows: dict[str, object] = {}
    for key, row in value.items():
        id_ = key.strip()
        # Two different rows for one id settle nothing.
        rows[id_] = row if rows.get(id_, row) == row else None
    return rows


def _rows_in_list(action: str, ids: Sequence[str], value: Sequence[object]) -> dict[str, object]:
    wanted = set(ids)
    rows: dict[str, object] = {}
    for row in value:
        id_ = id_in(action, row)
        if id_ in wanted:
            # Two different rows for one id settle nothing.
            rows[id_] = row if rows.get(id_, row) == row else None
    if not rows and len(ids) == len(value) == 1 and id_in(action, value[0]) is None:
        return {ids[0]: value[0]}
    return rows


def _own_row(action: str, id_: str, value: Mapping[str, object]) -> dict[str, object]:
    inner = value.get("order")
    row = inner if isinstance(inner, dict) else value
    own = id_in(action, row)
    return {id_: row} if own in {None, id_} and is_row(row) else {}


def id_in(action: str, row: Any) -> str | None:
    """Return the id that a row says it is about."""
    if not isinstance(row, dict):
        return None
    for name in _REFILL_IDS if action == "refill_status" else _ORDER_IDS:
        id_ = row.get(name, _ABSENT)
        if isinstance(id_, (str, int)) and not isinstance(id_, bool):
            return str(id_).strip()
    return None


def balance_row(value: Any) -> Mapping[str, Any]:
    """Return the row that holds the balance; some panels answer with a bare number, or nest it twice."""
    if not isinstance(value, dict):
        return {"balance": value}
    for name in ("balance", "Balance"):
        inner = value.get(name)
        if isinstance(inner, dict):
            return {**{key: field for key, field in value.items() if key != name}, **inner}
    row: Mapping[str, Any] = value
    return row
